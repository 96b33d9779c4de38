/* SPDX-License-Identifier: MIT
 * Native blocks by what they are: those that begin alike (in the same place of the same file, or in none) and have one size are
 * a row. Of all, or of those that are lost; and how many of these were lost in an older heap of the process, too: a block that
 * is lost twice is no accident of a moment. */
#ifndef MPR_ALGO_NATIVE_H
#define MPR_ALGO_NATIVE_H

#include "base/vec.h"
#include "graph/graph.h"

typedef struct mpr_native_row {
    uint32_t type, node; /* node: the first of them */
    uint64_t size;       /* of each, bytes */
    uint64_t count;
    uint64_t before; /* how many of them were lost before, too */
} mpr_native_row;

typedef MPR_VEC(mpr_native_row) mpr_native_rows; /* most bytes first */

/* memprobe's own are in no row. `older` may be NULL; it says something of lost ones alone. MPR_OK, MPR_ENOMEM. */
int mpr_native_by_kind(const mpr_graph *g, const mpr_graph *older, bool lost, mpr_native_rows *out);

#endif
