/* SPDX-License-Identifier: MIT
 * The sink that only counts: objects and bytes by type, without a graph. */
#ifndef MPR_GRAPH_TALLY_H
#define MPR_GRAPH_TALLY_H

#include "base/vec.h"
#include <stdbool.h>

#include "graph/sink.h"

typedef struct mpr_tally_row {
    uint64_t count, bytes;
    size_t name; /* offset in `names`, NUL-terminated */
    bool own;    /* a class of memprobe: its instances are not counted in the totals */
    bool native; /* instances may hold native memory */
} mpr_tally_row;

typedef struct mpr_tally {
    mpr_sink sink; /* first: a sink pointer is a tally pointer */
    mpr_alloc *alloc;
    MPR_VEC(mpr_tally_row) rows; /* by type index */
    MPR_VEC(char) names;
    uint64_t objects, bytes;
} mpr_tally;

void mpr_tally_init(mpr_tally *tally, mpr_alloc *alloc);
void mpr_tally_free(mpr_tally *tally);

#endif
