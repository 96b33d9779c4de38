/* SPDX-License-Identifier: MIT
 * Memory as glibc's malloc leaves it, made up: chunks one behind the other, a thread's cache, fast bins, an arena. The process's
 * own malloc knows nothing of it, so it is there under sanitizers and valgrind, too; and what lies around it can not be read.
 *
 *   main    [begin ............... chunks, top]             the state of its arena in a file that is called as the C library is
 *   other   [heap_info, malloc_state, begin .. chunks, top] from a multiple of 64 MiB on
 *
 * Chunks are kept by where they lie in their region: an address would be a word that leads to a block. */
#ifndef MPR_TESTS_REGIONS_H
#define MPR_TESTS_REGIONS_H

#include "native/chunks.h"
#include "test.h"

#define REGION_CHUNKS 4096 /* that a region may have */
#define REGION_HEAD UINT64_C(16)
#define REGION_STATE 267 /* words of an arena's state: fast bins, top, the remainder, bins, and one more before and behind */
#define REGION_FAST 10
#define REGION_TOP 11 /* which of them is its top */

typedef struct region_chunk {
    uint64_t at, size;  /* at: from the beginning of the region */
    bool used, ready;   /* ready: freed, and kept in a cache or a fast bin; its head says that it is in use */
} region_chunk;

typedef struct region {
    bool other;           /* of another arena than the main one */
    uint64_t base;        /* the multiple of 64 MiB at which the heap of another arena begins, or below the main one's */
    uint64_t begin, end;  /* of its chunks */
    uint64_t cache;       /* where the thread's cache lies: its chunk, from the beginning; 0: there is none */
    uint64_t *state;      /* REGION_STATE words */
    region_chunk *chunks; /* without the top */
    size_t count;
    uint64_t used, used_bytes, ready, ready_bytes; /* ready: of those in use; _bytes: what a program could use of them */
    uint8_t *reserved;
    uint64_t *library; /* a page that the state of the main arena is in, or NULL */
} region;

/* An empty region for so many bytes of chunks, at most 64 MiB less a few pages: one chunk, the top. False without memory. */
bool region_new(region *r, uint64_t bytes, bool other);
void region_free(region *r);

/* Fill it: chunks of these sizes, all in use, and the top. */
void region_lay(region *r, const uint64_t *sizes, size_t count);

/* Fill it with chunks of random sizes, used and free ones, some of which are kept ready. count <= REGION_CHUNKS */
void region_fill(region *r, dice *d, size_t count);

/* Words of the region: the head of a chunk that says its size, and the first word of what the program has. */
uint64_t *region_size(const region *r, size_t chunk);
uint64_t *region_words(const region *r, size_t chunk);

/* What the program has of a chunk. */
uint64_t region_block(const region *r, size_t chunk);

#endif
