/* SPDX-License-Identifier: MIT
 * The dominator tree seen from above: the children of each node, and what each type retains.
 *
 * What the objects of a type retain together is not the sum of what each retains, for one of them may dominate another: only those count
 * that have no object of the same type above them in the tree. Cost: one pass down the tree; 8 bytes a node. */
#ifndef MPR_ALGO_RETAINED_H
#define MPR_ALGO_RETAINED_H

#include "algo/dominators.h"

/* The children of node v are child[k] for first[v] <= k < first[v + 1], in the order of the search. */
typedef struct mpr_tree {
    mpr_alloc *alloc;
    uint32_t nodes;
    uint32_t *first; /* nodes + 1 */
    uint32_t *child; /* reached - 1, in a block of `nodes` */
} mpr_tree;

/* MPR_OK or MPR_ENOMEM. */
int mpr_tree_make(const mpr_dominators *d, mpr_tree *out);
void mpr_tree_free(mpr_tree *tree); /* a zeroed one is allowed */

/* out has g->type_count entries: bytes that the objects of each type retain together. MPR_OK, MPR_ENOMEM, MPR_ECANCELLED. */
int mpr_retained_by_type(const mpr_graph *g, const mpr_dominators *d, const mpr_tree *tree, mpr_progress progress, void *context,
                         uint64_t *out);

#endif
