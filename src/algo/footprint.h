/* SPDX-License-Identifier: MIT
 * What the objects of a heap take of the allocators that serve them: CPython's own (pymalloc) for blocks of up to 512 bytes, the C library's
 * malloc for larger ones, nothing for objects that lie in an image. A free-threaded build has all of them in heaps of mimalloc.
 *
 * An object is one block, or a body and what it owns beside (a list's items, a dict's table); the snapshot has the sum of both. What a type
 * is says how it divides: its basicsize, and whether it has anything beside at all. A block takes what its allocator rounds it up to. */
#ifndef MPR_ALGO_FOOTPRINT_H
#define MPR_ALGO_FOOTPRINT_H

#include "algo/ranks.h"

/* Who has an object. */
typedef enum mpr_footprint_owner {
    MPR_FOOTPRINT_PROGRAM,     /* what lasts, and frames */
    MPR_FOOTPRINT_C,           /* held by C code alone */
    MPR_FOOTPRINT_UNREACHABLE, /* garbage */
    MPR_FOOTPRINT_SELF,        /* memprobe's own */
    MPR_FOOTPRINT_IMAGE,       /* in an image, whoever has it */
    MPR_FOOTPRINT_OWNERS
} mpr_footprint_owner;

typedef struct mpr_footprint {
    uint64_t objects;
    uint64_t bytes;  /* as the objects were asked for */
    uint64_t pools;  /* of them in blocks of pymalloc, or of mimalloc's heaps, rounded up to these */
    uint64_t malloc; /* in chunks of malloc, rounded up to these */
} mpr_footprint;

/* Who serves small blocks. */
typedef enum mpr_footprint_allocator {
    MPR_FOOTPRINT_MALLOC, /* as large ones (PYTHONMALLOC=malloc) */
    MPR_FOOTPRINT_POOLS,
    MPR_FOOTPRINT_HEAPS, /* which serve large ones, too */
} mpr_footprint_allocator;

/* out[owner] for each. MPR_OK or MPR_ENOMEM. */
int mpr_footprint_find(const mpr_graph *g, const mpr_ranks *ranks, mpr_footprint_allocator allocator,
                       mpr_footprint out[MPR_FOOTPRINT_OWNERS]);

#endif
