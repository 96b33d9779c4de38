/* SPDX-License-Identifier: MIT
 * What grew between two heaps, or among three: nodes of one path signature (algo/signature.h) are one row, whichever process they lived in.
 *
 * Rows form a tree as their nodes do in the dominator tree. A row grows when it has more nodes; what hangs below growing nodes grows with
 * them. So a leak is told once, at the *holder*: the lowest row that does not grow itself but has a row that does among its children, or grows
 * in its own bytes. With three heaps, only what is in the second and still in the third counts: the smaller of both, less the first.
 * Within one process algo/growth.h compares object by object. */
#ifndef MPR_ALGO_DIFF_H
#define MPR_ALGO_DIFF_H

#include "algo/signature.h"
#include "base/vec.h"

#define MPR_DIFF_MOST 3u
#define MPR_NO_ROW UINT32_MAX

typedef struct mpr_diff_row {
    uint64_t signature;
    uint32_t parent;               /* row of the dominators; MPR_NO_ROW for the root's */
    uint32_t type;                 /* in its graph */
    bool transparent;              /* a module, class or its namespace: holds what has a name of its own */
    uint32_t graph, node;          /* the node that retains most, in the newest heap that has one */
    uint64_t most;                 /* what it retains */
    uint64_t count[MPR_DIFF_MOST]; /* nodes in each heap */
    uint64_t bytes[MPR_DIFF_MOST]; /* their own */
    uint64_t whole[MPR_DIFF_MOST]; /* and those of all rows below */
} mpr_diff_row;

/* What grew: rows `grown` of what `holder` holds, most bytes first in it; `bytes` and `count` of growth, of all of its growing rows. */
typedef struct mpr_diff_growth {
    uint32_t holder; /* row; MPR_NO_ROW where only roots, modules or classes hold what grew, and `grown` speaks for itself */
    uint32_t grown; /* the row below that grew most; MPR_NO_ROW when the holder itself grew */
    int64_t count, bytes;
} mpr_diff_growth;

typedef struct mpr_diff {
    mpr_alloc *alloc;
    uint32_t graphs;
    MPR_VEC(mpr_diff_row) rows; /* each after its parent */
    MPR_VEC(mpr_diff_growth) growth; /* most bytes first; only what grew */
} mpr_diff;

/* Graphs are given oldest first, 2 or 3, each with its dominators; memory is the last one's. Of a single graph there are rows and no growth:
 * its dominator tree, grouped by signature. MPR_OK, MPR_ENOMEM, MPR_ECANCELLED; MPR_ELIMIT for another number of graphs. */
int mpr_diff_make(const mpr_graph *const *graphs, const mpr_dominators *const *dominators, uint32_t count, mpr_progress progress,
                  void *context, mpr_diff *out);
void mpr_diff_free(mpr_diff *diff); /* a zeroed one is allowed */

#endif
