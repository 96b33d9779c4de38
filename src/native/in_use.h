/* SPDX-License-Identifier: MIT
 * Which blocks of glibc's malloc are in use. A chunk's head says so, but not of a chunk that was freed and is kept ready: in a
 * cache that each thread has (tcache), or in a fast bin of its arena. Both are lists that begin in a structure which is
 * recognised by what it must be:
 *
 *   tcache   a block of the structure's size, whose heads of lists are blocks of the size of their list: { counts [64],
 *            heads [64] }, from glibc 2.42 on 76 of each
 *   arena    malloc_state { .., fast bins [10], top, last remainder, bins [254] }: the bins of an arena lead to chunks or to
 *            themselves. An arena that is not the main one lies at the beginning of its first heap; the main one in the data of
 *            the C library, where its top is known
 *
 * Links are masked by their own address since glibc 2.32. Source of the layouts: glibc's malloc/malloc.c, 2.26 to 2.43. */
#ifndef MPR_NATIVE_IN_USE_H
#define MPR_NATIVE_IN_USE_H

#include "native/blocks.h"
#include "native/chunks.h"

typedef struct mpr_in_use {
    uint64_t cached, cached_bytes; /* chunks that were kept ready, and what a program could use of them */
    /* Where the fast bins of the main arena begin; 0: it was not found, and what is in them is among the blocks. */
    uint64_t main_arena;
} mpr_in_use;

/* Bytes from there to the end of its bins. They lead to the heads of free chunks, whose first word belongs to the block before. */
#define MPR_IN_USE_BINS (8 * (10 + 2 + 2 * 126))

/* Add the blocks in use of all regions. Where the process stands still. MPR_OK, MPR_ENOMEM, MPR_ELIMIT. */
int mpr_in_use_add(mpr_blocks *blocks, const mpr_chunks_regions *regions, mpr_in_use *out);

#endif
