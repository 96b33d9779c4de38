/* SPDX-License-Identifier: MIT
 * The tree of paths that name: one search from the roots, breadth first, that gives each node the path by which a programmer would call it.
 * There is one such path for a node, whoever asks: suspects, diff, dominators, cycles, paths and pictures take their names from here.
 *
 * What comes first is found first:
 *
 *   1. modules, then the interpreter, over what can be typed in Python (attributes, indices, keys whose contents are known): a path that
 *      can be typed comes before one that cannot, whatever its length
 *   2. the same over what cannot be typed: keys of unknown contents, elements of sets, closures, variables of generators
 *   3. what threads keep, and running event loops
 *   4. housekeeping edges (a function to its globals) and classes by their instances
 *   5. static objects, frames, C references, garbage, in the order of ranks (algo/ranks.h), each over all edges before the next
 *
 * The search stops when what is wanted is met, and goes on from there when more is wanted: the answer does not depend on who asked before.
 * Cost: O(nodes + edges) at worst; 8 bytes a node. */
#ifndef MPR_ALGO_NAME_TREE_H
#define MPR_ALGO_NAME_TREE_H

#include "algo/ranks.h"
#include "algo/steps.h"
#include "base/progress.h"

/* What no path takes: edges, and nodes (`walls`: NULL, or a byte a node, != 0 is not entered). */
typedef struct mpr_name_bars {
    bool (*is_barred)(const void *context, uint32_t holder, uint64_t edge);
    const void *context;
    const uint8_t *walls;
} mpr_name_bars;

typedef struct mpr_name_tree {
    mpr_alloc *alloc;
    uint32_t nodes;
    uint32_t *parent; /* of each node met; the super-root's is itself; MPR_NO_NODE for nodes not met yet */
    MPR_VEC(uint32_t) order; /* the nodes met, each after its parent: the queue. It goes when the search is done */
    int status;              /* MPR_ENOMEM when the queue could not grow */
    uint64_t *named;  /* a bit a node: a str whose contents are known */
    uint64_t *typed;  /* a bit a node: met over what can be typed alone */
    uint64_t *wanted; /* a bit a node that is still to be met; `missing` of them */
    uint32_t missing;
    const mpr_name_bars *bars; /* NULL, or the caller's: set before the first search, for as long as the tree is used */
    /* where the search is */
    enum { MPR_NAMING_TYPED, MPR_NAMING_LOOSE, MPR_NAMING_ROOTS, MPR_NAMING_HOUSEKEEPING, MPR_NAMING_DONE } stage;
    uint32_t at, end, level;   /* next node of `order` to leave; where its level ends, and its number */
    mpr_rank_roots roots;
    size_t root;               /* the next one */
    MPR_VEC(mpr_step) loose;   /* nodes with edges that cannot be typed; `edge` is their level */
    size_t next_loose;
    MPR_VEC(uint32_t) chores;  /* nodes with housekeeping edges that lead on */
    size_t next_chore;
} mpr_name_tree;

/* With `living` the contents of every str can be read, by who looks at the objects themselves. MPR_OK or MPR_ENOMEM. */
int mpr_name_tree_begin(const mpr_graph *g, bool living, mpr_name_tree *out);
void mpr_name_tree_free(mpr_name_tree *tree); /* a zeroed one is allowed */

/* Search until all of these are met, or nothing is left. MPR_OK, MPR_ENOMEM, MPR_ECANCELLED: then it can be called again. */
int mpr_name_tree_reach(const mpr_graph *g, mpr_name_tree *tree, const uint32_t *wanted, size_t count, mpr_progress progress,
                        void *context);

/* The edge by which its parent holds a node that was met; MPR_NO_EDGE for the super-root and for a class met by its instance. */
uint64_t mpr_name_tree_edge(const mpr_graph *g, const mpr_name_tree *tree, uint32_t node);

/* The best strong edge of a holder to a node: one that can be typed, else one that is not housekeeping; MPR_NO_EDGE for none. */
uint64_t mpr_name_tree_edge_of(const mpr_graph *g, const mpr_name_tree *tree, uint32_t holder, uint32_t node);

/* Can an edge be typed? Can the path to a node that was met? */
bool mpr_name_tree_is_typed(const mpr_graph *g, const mpr_name_tree *tree, uint32_t holder, uint64_t edge);
bool mpr_name_tree_typed(const mpr_name_tree *tree, uint32_t node);

/* Append the path from the super-root to a node that was met. MPR_OK or MPR_ENOMEM. */
typedef MPR_VEC(mpr_step) mpr_steps;
int mpr_name_tree_path(const mpr_graph *g, const mpr_name_tree *tree, uint32_t node, mpr_steps *out);

#endif
