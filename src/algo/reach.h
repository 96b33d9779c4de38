/* SPDX-License-Identifier: MIT
 * What can be reached from some nodes, and how many bytes it has. Cost: O(nodes + edges reached) and a bit a node (graph/sweep.h). */
#ifndef MPR_ALGO_REACH_H
#define MPR_ALGO_REACH_H

#include "graph/graph.h"

/* Set one byte per node (out has graph->nodes bytes; those already != 0 count as visited, so that they are walls) for everything reached
 * from starts over strong edges; with `housekeeping` over those too, and to each instance's class. *objects and *bytes count what was newly
 * reached; either may be NULL. MPR_OK or MPR_ENOMEM. */
int mpr_reach(const mpr_graph *g, const uint32_t *starts, size_t count, bool housekeeping, uint8_t *out, uint64_t *objects,
              uint64_t *bytes);

#endif
