/* SPDX-License-Identifier: MIT
 * Dominators: v is dominated by d when every path of strong references from the super-root to v goes through d; the nearest such d is v's
 * immediate dominator. What dies with a node is its subtree in the tree of immediate dominators: its retained size.
 *
 * Edges are all strong ones, or those of the rank tree, housekeeping included, and from each instance of a heap type to its class. memprobe's
 * own objects are no part of it. Cost: O(edges log nodes) at worst, in practice a few passes; the result takes 16 bytes a node (24 with native blocks), the work about 32 bytes a node
 * and 12 an edge that is not in the search tree, given back before the result's sizes are asked for. */
#ifndef MPR_ALGO_DOMINATORS_H
#define MPR_ALGO_DOMINATORS_H

#include "algo/ranks.h"
#include "base/progress.h"
#include "graph/graph.h"

typedef struct mpr_dominators {
    mpr_alloc *alloc;
    uint32_t nodes, reached;
    uint32_t *parent;   /* immediate dominator of each node; MPR_NO_NODE for the root and for what it does not reach */
    uint32_t *order;    /* the reached nodes, each after its immediate dominator; the root first. `nodes` entries of room */
    uint64_t *retained; /* bytes of objects in each node's subtree, itself included; 0 for what is not reached */
    uint64_t *native;   /* the same of native blocks; NULL where the graph has none */
} mpr_dominators;

/* With ranks: of the rank tree, in which edges into a node of an earlier rank do not count, so that what runs at the moment does not move
 * what lasts (algo/ranks.h). With NULL: of all edges, what would be freed. MPR_OK, MPR_ENOMEM, MPR_ECANCELLED. `progress` may be NULL. */
int mpr_dominators_find(const mpr_graph *g, const mpr_ranks *ranks, mpr_progress progress, void *context, mpr_dominators *out);
void mpr_dominators_free(mpr_dominators *d); /* a zeroed one is allowed */

#endif
