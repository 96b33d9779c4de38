/* SPDX-License-Identifier: MIT
 * Routes: one search from the roots, breadth first, until some nodes are met; it leaves a tree of shortest routes to all of them.
 *
 * Routes are those that a programmer would name. Modules come first, threads and the interpreter a few steps later, so that a cache in a
 * module is not called after a frame that uses it; edges that every program has (a function to its globals) are taken only for what
 * is met in no other way, and after them the groups of C references, static objects and garbage. Cost: O(nodes + edges) at worst; 8 bytes a node. */
#ifndef MPR_ALGO_ROUTES_H
#define MPR_ALGO_ROUTES_H

#include "base/progress.h"
#include "graph/graph.h"

typedef struct mpr_routes {
    mpr_alloc *alloc;
    uint32_t nodes, count;
    uint32_t *parent; /* of each node met; the super-root's is itself; MPR_NO_NODE for nodes not met */
    uint32_t *order;  /* the nodes met, each after its parent: `count` of them, in a block of `nodes` */
} mpr_routes;

/* wanted: one byte a node, != 0 for those to meet. MPR_OK, MPR_ENOMEM, MPR_ECANCELLED. `progress` may be NULL. */
int mpr_routes_find(const mpr_graph *g, const uint8_t *wanted, mpr_progress progress, void *context, mpr_routes *out);
void mpr_routes_free(mpr_routes *routes); /* a zeroed one is allowed */

/* The edge by which a node's parent holds it, or MPR_NO_EDGE for the super-root and for a class met by its instance. */
uint64_t mpr_routes_edge(const mpr_graph *g, const mpr_routes *routes, uint32_t node);

#endif
