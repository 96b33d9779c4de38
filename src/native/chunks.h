/* SPDX-License-Identifier: MIT
 * What glibc's malloc has: the chunks of a region of its memory, read in place.
 *
 * A chunk is a head of 16 bytes and what the program got. The head has the chunk's size, a multiple of 16, so that the next chunk's head
 * follows, and three flags; one says whether the chunk before is in use. A region is full of chunks that follow each other; the
 * last of an arena, its top, has never been given out or was joined to what was. Memory above a threshold (M_MMAP_THRESHOLD) is a
 * mapping with a chunk of its own.
 *
 *   main arena    from the beginning of [heap] to the break
 *   other arenas  heaps of at most 64 MiB at multiples of that: heap_info, in the first heap malloc_state, chunks
 *   mmapped       a whole number of pages; several lie side by side, and with other mappings
 *
 * Chunks in a thread's cache (tcache) and in fast bins count as in use, as in mallinfo2() those of the cache do.
 *
 * Heads are read without a lock: only where no other thread can be in malloc, as in a forked child. Which regions there are can be asked
 * anywhere. Source of the layout: glibc's malloc/malloc.c and arena.c, 2.26 to 2.43, whose comments describe it; each region is proved by its chunks, which
 * must end where it ends. Not for musl, whose regions are never recognised. */
#ifndef MPR_NATIVE_CHUNKS_H
#define MPR_NATIVE_CHUNKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/os/held.h"
#include "base/vec.h"
#include "native/block.h"

#define MPR_CHUNKS_HEAP (UINT64_C(64) << 20) /* bytes: the alignment of other arenas' heaps, and the most that one has */

typedef enum mpr_chunks_kind { MPR_CHUNKS_MAIN, MPR_CHUNKS_OTHER, MPR_CHUNKS_MAPPED } mpr_chunks_kind;

/* Chunks that follow each other from `begin` to `end`, of the main arena or another one; or one that is a mapping. It was recognised as what it is: flags of
 * its first chunk say the same, but a program may have written over them. */
typedef struct mpr_chunks_region {
    uint64_t begin, end;
    mpr_chunks_kind kind;
} mpr_chunks_region;

#define MPR_CHUNKS_PIECE (UINT64_C(1) << 20) /* bytes, and what a piece begins at a multiple of */

/* A piece of a region that is thinly filled: less than a quarter of what it has in memory is in use, and a quarter of it at least is free there. */
typedef struct mpr_chunks_piece {
    uint64_t begin, used, free; /* free: in memory */
} mpr_chunks_piece;

typedef struct mpr_chunks_regions {
    mpr_alloc *alloc; /* NULL: nobody wants them */
    MPR_VEC(mpr_chunks_region) region;
    MPR_VEC(mpr_chunks_piece) sparse; /* by address, if the regions are walked so */
    bool incomplete; /* there was no memory for one */
} mpr_chunks_regions;

typedef struct mpr_chunks {
    uint64_t used, used_bytes,
        used_resident; /* chunks in use; bytes as the allocator counts them, heads among them; of these in memory */
    uint64_t free, free_bytes, free_resident; /* the same of what is free, tops among them */
    uint64_t top_bytes; /* of free_bytes: at the end of the arenas */
    uint64_t largest; /* free chunk that is no top, bytes */
    uint64_t arenas, others_free; /* how many; free_resident of those that are not the main one */
    uint64_t returnable; /* of free_resident: what malloc_trim(0) would give back: whole pages, but of no other arena's top */
    mpr_chunks_regions regions; /* what was walked, and mmapped chunks */
    mpr_held pages; /* the caller's, to be set first: by it what was only read is not in memory (base/os/maps.h); none is allowed */
} mpr_chunks;

/* Add the chunks of [begin, end), of which the first begins at `begin`; the top of the main arena can be given back. Nothing is added, and false is returned, when they do not end there. */
bool mpr_chunks_walk(mpr_chunks *out, uint64_t begin, uint64_t end, bool main_arena);

/* What a page begins with: by these words regions are recognised. */
typedef struct mpr_chunks_head {
    uint64_t word[4];
} mpr_chunks_head;

/* The end of the heap of another arena than the main one that begins at `begin`, or 0 when there is none. */
uint64_t mpr_chunks_heap_end(uint64_t begin, const mpr_chunks_head *head);

/* Add the chunks of such a heap. False as above. */
bool mpr_chunks_walk_heap(mpr_chunks *out, uint64_t begin, uint64_t end);

/* Note a region, if somebody wants it. */
void mpr_chunks_note(mpr_chunks *out, mpr_chunks_region region);

/* Each chunk of a region that is in use, as what the program has of it; those that malloc keeps ready are among them (native/in_use.h). Where the process stands
 * still. The address of its top, or 0: it has none. */
uint64_t mpr_chunks_each_block(const mpr_chunks_region *region, mpr_block_each *each, void *context);

/* Of a chunk in use that the program has by this address: what it may use of it, and all of it, in bytes. */
uint64_t mpr_chunks_block_size(uint64_t address);
uint64_t mpr_chunks_block_bytes(uint64_t address);

void mpr_chunks_regions_free(mpr_chunks_regions *regions);

/* The end of the mmapped chunk that begins at `begin`, before `limit`, or 0 when there is none. */
uint64_t mpr_chunks_mapped_end(uint64_t begin, uint64_t limit, const mpr_chunks_head *head);

#endif
