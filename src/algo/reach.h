/* SPDX-License-Identifier: MIT
 * What can be reached from some nodes, and how many bytes it has. Cost: O(nodes + edges reached) and a bit a node (graph/sweep.h). */
#ifndef MPR_ALGO_REACH_H
#define MPR_ALGO_REACH_H

#include "graph/graph.h"

typedef struct mpr_reach_options {
    bool housekeeping;     /* follow housekeeping edges, and each instance's class */
    const uint8_t *walls;  /* NULL, or one byte a node: != 0 is not entered */
} mpr_reach_options;

/* Set one byte per node (out has graph->nodes bytes, those already != 0 count as visited) for everything reached from starts over strong
 * edges. *objects and *bytes count what was newly reached; either may be NULL. MPR_OK or MPR_ENOMEM. */
int mpr_reach(const mpr_graph *g, const uint32_t *starts, size_t count, const mpr_reach_options *options, uint8_t *out,
              uint64_t *objects, uint64_t *bytes);

#endif
