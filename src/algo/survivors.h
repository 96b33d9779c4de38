/* SPDX-License-Identifier: MIT
 * Who keeps thinly filled memory: an allocator gives a piece back when nothing in it is in use, so a few objects that last, made among many
 * that did not, pin all that these were in.
 *
 * A collection writes to a piece in which an object that is tracked, and not frozen, has its head.
 *
 * Objects are grouped by the variable that has them: the highest in the rank tree that is below what is looked through (suspects.h: modules,
 * classes, namespaces) and below roots and frames. */
#ifndef MPR_ALGO_SURVIVORS_H
#define MPR_ALGO_SURVIVORS_H

#include "algo/dominators.h"
#include "base/vec.h"

typedef struct mpr_survivor {
    uint32_t node;    /* what the variable has */
    uint32_t type;    /* that most of their bytes are of, ... */
    uint64_t of_type; /* ... and how many objects of it there are */
    uint64_t objects, bytes;
    uint32_t pieces;  /* that have one of them, ... */
    uint32_t alone;   /* ... and no object of another variable */
} mpr_survivor;

typedef struct mpr_survivors {
    mpr_alloc *alloc;
    MPR_VEC(mpr_survivor) rows; /* most pieces first */
    uint32_t empty;             /* pieces without any object of the program's: buffers, and what C code has */
} mpr_survivors;

/* `begin`: where pieces of `size` bytes begin, ascending; `d`: of the rank tree. MPR_OK or MPR_ENOMEM. */
int mpr_survivors_find(const mpr_graph *g, const mpr_dominators *d, const uint64_t *begin, uint32_t count, uint64_t size,
                       mpr_survivors *out);
/* How many of some pieces a collection writes to; `begin` NULL: of all pieces that begin at a multiple of `size`, which
 * is one of 16. MPR_OK, MPR_ENOMEM, or MPR_ELIMIT (base/addrset.h). */
int mpr_survivors_noted(const mpr_graph *g, const uint64_t *begin, uint32_t count, uint64_t size, uint32_t *noted);

void mpr_survivors_free(mpr_survivors *survivors); /* a zeroed one is allowed */

#endif
