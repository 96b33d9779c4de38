/* SPDX-License-Identifier: MIT
 * Following strong edges from some nodes, in any order: the one loop behind reachability, wherever it is asked. */
#ifndef MPR_GRAPH_SWEEP_H
#define MPR_GRAPH_SWEEP_H

#include "base/vec.h"
#include "graph/graph.h"

/* Work in progress: the nodes that are reached but not yet left. */
typedef struct mpr_sweep {
    mpr_alloc *alloc;
    uint8_t *reached; /* one byte a node, the caller's: 0 is not reached */
    uint8_t mark;     /* what to write there */
    bool housekeeping; /* follow housekeeping edges, and the edge from each instance to its class */
    const uint16_t *flags;
    uint16_t walls; /* nodes with any of these flags are not entered */
    MPR_VEC(uint32_t) open;
} mpr_sweep;

/* Enter a node (nothing happens if it is reached or a wall). MPR_OK or MPR_ENOMEM. */
int mpr_sweep_enter(mpr_sweep *sweep, uint32_t node);

/* Follow until nothing is open. `each`, when not NULL, is called for every node left. MPR_OK or MPR_ENOMEM. */
int mpr_sweep_run(mpr_sweep *sweep, const mpr_graph *g, void (*each)(void *context, uint32_t node), void *context);

void mpr_sweep_free(mpr_sweep *sweep);

#endif
