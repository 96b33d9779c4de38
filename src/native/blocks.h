/* SPDX-License-Identifier: MIT
 * The blocks that allocators have given out, found by any address within them: malloc's chunks, and blocks of pymalloc; and slots
 * of other allocators (native/slots.h), which have no bits and need none, for they lie side by side.
 *
 * Where a block begins is one bit in a paged bitmap (base/addrset.h). The block of an address begins at the last such bit at or
 * before it, in the same page of 1 MiB or the one before; what is larger than a page is in a short list besides. A summary, one
 * bit a word of a page's bitmap, leads to that bit in two steps. How large a block is its allocator has written down itself:
 * before a chunk, and at the beginning of a pool.
 *
 *   address ──▶ page ──▶ last bit at or before it ──▶ begin ──▶ its allocator's head ──▶ does the block reach the address?
 *
 * Cost: 8.2 KiB a page that has a block, less than one percent of small blocks; nothing for large ones. The heads are read in
 * place: only where the process stands still. */
#ifndef MPR_NATIVE_BLOCKS_H
#define MPR_NATIVE_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addrset.h"
#include "base/vec.h"
#include "native/slots.h"

#define MPR_BLOCKS_LARGE (UINT64_C(1) << MPR_PAGE_SHIFT) /* bytes: the least of what the list has */

typedef struct mpr_blocks_large {
    uint64_t begin, end;
} mpr_blocks_large;

typedef struct mpr_blocks {
    mpr_addrset begins;
    MPR_VEC(uint64_t) summary; /* MPR_PAGE_WORDS / 64 a page: which words of its bits are not zero */
    MPR_VEC(uint64_t) pools;   /* a page: which of its 64 pieces of 16 KiB are pools of pymalloc */
    MPR_VEC(mpr_blocks_large) large; /* by address, once mpr_blocks_sort was called */
    const mpr_slots *slots; /* of others; or NULL */
    mpr_addrset removed;    /* slots that are none */
    uint64_t lowest, end; /* no block lies outside; 0, 0 without any */
} mpr_blocks;

void mpr_blocks_init(mpr_blocks *blocks, mpr_alloc *alloc);
void mpr_blocks_free(mpr_blocks *blocks);

/* Add a block that begins at a multiple of 16; the size is what the program may use of it. MPR_OK, MPR_ENOMEM, MPR_ELIMIT. */
int mpr_blocks_add_chunk(mpr_blocks *blocks, uint64_t begin, uint64_t size);
int mpr_blocks_add_pooled(mpr_blocks *blocks, uint64_t begin, uint64_t size);

/* Slots of other allocators are blocks from now on, as long as they are there. */
void mpr_blocks_add_slots(mpr_blocks *blocks, const mpr_slots *slots);

/* When all large ones were added, and before one is found by an address within it. */
void mpr_blocks_sort(mpr_blocks *blocks);

/* It is none: its allocator has it back, though its head does not say so; or somebody else counts it. MPR_OK; MPR_ENOMEM and MPR_ELIMIT
 * of a slot. */
int mpr_blocks_remove(mpr_blocks *blocks, uint64_t begin);

/* The slow half of mpr_blocks_find. */
uint64_t mpr_blocks_search(mpr_blocks *blocks, uint64_t address);

/* Where the block begins that has an address; 0: none. */
static inline uint64_t mpr_blocks_find(mpr_blocks *blocks, uint64_t address) {
    return address - blocks->lowest < blocks->end - blocks->lowest ? mpr_blocks_search(blocks, address) : 0;
}

/* Does a block begin there? */
bool mpr_blocks_has(mpr_blocks *blocks, uint64_t begin);

/* What the program may use of a block, in bytes. */
uint64_t mpr_blocks_size(mpr_blocks *blocks, uint64_t begin);

/* The same with its head, as its allocator counts it. */
uint64_t mpr_blocks_bytes(mpr_blocks *blocks, uint64_t begin);

/* Is it a slot of another allocator, which may have more room than was asked for, and may have been given back? */
bool mpr_blocks_is_slot(const mpr_blocks *blocks, uint64_t begin);

/* Where in a block the word begins that may not have been asked for, and then is left behind by what had it before: the last of
 * a chunk, which begins the next one's head. UINT64_MAX: there is none. */
uint64_t mpr_blocks_doubted(mpr_blocks *blocks, uint64_t begin);

/* Each block that is no slot, by pages in the order of first use. Other than MPR_OK ends it. */
int mpr_blocks_each(const mpr_blocks *blocks, int (*each)(void *context, uint64_t begin), void *context);

#endif
