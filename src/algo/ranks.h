/* SPDX-License-Identifier: MIT
 * Ranks of reachability: what lasts, and what only runs at the moment. Used by dominators, suspects, diff and names.
 *
 * Frames come and go with every snapshot, and so do references that only C has for a moment. A container that one of them holds besides its
 * lasting owner would have two owners in one snapshot and one in the next. So the roots have an order, and each rank has only what no
 * earlier one reaches:
 *
 *   0          lasting: modules, the interpreter, static objects, what a thread keeps for its whole life (its dict, its context), and each
 *              running event loop, with the task that it runs
 *   1 .. k     the frames of threads, a rank each, outermost first, thread by thread; after a thread's frames what else it refers to (the
 *              exception that it handles)
 *   k + 1      C references: what has a residual
 *   k + 2      unreachable: garbage
 *
 * Invariant: a strong edge never leads to a node of a later rank, but for the edges of root groups and threads to the roots themselves. */
#ifndef MPR_ALGO_RANKS_H
#define MPR_ALGO_RANKS_H

#include "base/vec.h"
#include "graph/graph.h"

#define MPR_RANK_LASTING 0u
#define MPR_RANK_LAST_FRAME (UINT16_MAX - 4u) /* frames beyond share it */
#define MPR_RANK_NONE UINT16_MAX              /* not reached: memprobe's own */

/* Where reachability begins. `parent` refers to `node`: the super-root or a thread, neither of which is itself followed. A thread runs an event
 * loop by a variable of one of its frames: there is no edge between the two then. */
typedef struct mpr_rank_root {
    uint32_t node, parent;
    uint16_t rank;
    enum {
        MPR_ROOT_NAMED,
        MPR_ROOT_LIVING,
        MPR_ROOT_STATIC,
        MPR_ROOT_MOMENTARY
    } kind; /* in the order in which names are looked for */
} mpr_rank_root;

typedef MPR_VEC(mpr_rank_root) mpr_rank_roots;

typedef struct mpr_ranks {
    mpr_alloc *alloc;
    uint32_t nodes;
    uint16_t *value; /* of each node */
    uint16_t c_references, unreachable; /* the last two ranks */
    mpr_rank_roots living; /* what lasts, with who keeps it, by an edge or not */
} mpr_ranks;

/* All roots, by rank, by kind within rank 0. MPR_OK or MPR_ENOMEM; the caller frees `out` in any case, with the graph's allocator. */
int mpr_ranks_roots(const mpr_graph *g, mpr_rank_roots *out);

/* A sweep for each rank: O(nodes + edges), 2 bytes a node, 1 more while it runs. MPR_OK or MPR_ENOMEM. */
int mpr_ranks_find(const mpr_graph *g, mpr_ranks *out);
void mpr_ranks_free(mpr_ranks *ranks); /* a zeroed one is allowed */

#endif
