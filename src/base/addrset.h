/* SPDX-License-Identifier: MIT
 * A set of addresses as a paged bitmap with rank: the address -> number map of the heap graph, without a hash table.
 *
 * Memory is cut into pages of 1 MiB, a page into 65,536 granules of 16 bytes. No two objects start in one granule, so an address is a
 * 4-byte *handle*: index of its page (in order of first use) and granule. A handle is also the place of its bit in one flat bitmap, which
 * says whether the address is in the set; running popcounts, made once by mpr_addrset_rank, number the members 0, 1, 2 ... in handle
 * order. Statically allocated objects may start at 8 modulo 16: a page where that happens has a second bitmap that says so.
 *
 * Cost: 8 KiB a page that holds objects, 10 KiB with rank. A page met lately is found by one look; another by a hash probe.
 * At most 65,536 pages (64 GiB of address space that holds objects): beyond it MPR_ELIMIT, never a wrong answer. */
#ifndef MPR_BASE_ADDRSET_H
#define MPR_BASE_ADDRSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"

#define MPR_PAGE_SHIFT 20
#define MPR_PAGE_WORDS 1024 /* 64-bit words of a page's bitmap */
#define MPR_PAGE_MAX 65536
#define MPR_PAGE_RECENT 256 /* a power of two */

typedef struct mpr_addrset {
    mpr_alloc *alloc;
    MPR_VEC(uint64_t) number; /* of each page, in order of first use: address >> MPR_PAGE_SHIFT. Small: every access reads it */
    MPR_VEC(uint64_t) bits;   /* MPR_PAGE_WORDS a page */
    MPR_VEC(uint64_t *) odd;  /* a page: NULL, or one bit per granule: the member starts at 8 modulo 16 */
    uint32_t *slots;          /* open addressing: page index + 1, or 0 */
    uint32_t slot_mask;
    uint32_t recent[MPR_PAGE_RECENT]; /* by the lowest bits of its number: the index of the page met last, if `number` says so */
    uint64_t members;

    /* made by mpr_addrset_rank */
    uint32_t *before; /* a page: members in the pages before it */
    uint16_t *inside; /* a word: members before it within its page, at most 65,472 */
} mpr_addrset;

void mpr_addrset_init(mpr_addrset *set, mpr_alloc *alloc);
void mpr_addrset_free(mpr_addrset *set);

/* The page of a number, made if it is not there. MPR_OK, MPR_ENOMEM, MPR_ELIMIT. */
int mpr_addrset_page_index(mpr_addrset *set, uint64_t number, uint32_t *index);

/* The slow half of mpr_addrset_find_page: UINT32_MAX for a page that is not there. */
uint32_t mpr_addrset_look_up(const mpr_addrset *set, uint64_t number);

/* The index of the page of a number, if it is there. */
static inline bool mpr_addrset_find_page(mpr_addrset *set, uint64_t number, uint32_t *index) {
    *index = set->recent[number % MPR_PAGE_RECENT];
    if (set->number.count == 0 || set->number.items[*index] != number) {
        *index = mpr_addrset_look_up(set, number);
        if (*index == UINT32_MAX) {
            return false;
        }
        set->recent[number % MPR_PAGE_RECENT] = *index;
    }
    return true;
}

/* The slow half of mpr_addrset_add: a member that starts at 8 modulo 16. */
int mpr_addrset_mark_odd(mpr_addrset *set, uint32_t handle);

/* The handle of an address, whether or not it is a member (its page is made). MPR_OK, MPR_ENOMEM, MPR_ELIMIT. */
static inline int mpr_addrset_handle(mpr_addrset *set, uint64_t address, uint32_t *handle) {
    uint64_t number = address >> MPR_PAGE_SHIFT;
    uint32_t index = set->recent[number % MPR_PAGE_RECENT];
    if (set->number.count == 0 || set->number.items[index] != number) {
        int status = mpr_addrset_page_index(set, number, &index);
        if (status != 0) {
            return status;
        }
        set->recent[number % MPR_PAGE_RECENT] = index;
    }
    *handle = index << 16 | ((uint32_t)(address >> 4) & 0xFFFF);
    return 0;
}

/* Make it a member. 1 it is new, 0 its granule was taken already, negative as above. *handle is set when >= 0. */
static inline int mpr_addrset_add(mpr_addrset *set, uint64_t address, uint32_t *handle) {
    int status = mpr_addrset_handle(set, address, handle);
    if (status != 0) {
        return status;
    }
    uint64_t *word = &set->bits.items[*handle >> 6], bit = UINT64_C(1) << (*handle & 63);
    if (*word & bit) {
        return 0;
    }
    if ((address & 8) != 0 && (status = mpr_addrset_mark_odd(set, *handle)) != 0) {
        return status;
    }
    *word |= bit;
    set->members++;
    return 1;
}

/* True for the handle of a member. */
static inline bool mpr_addrset_has(const mpr_addrset *set, uint32_t handle) {
    return set->bits.items[handle >> 6] >> (handle & 63) & 1;
}

/* The same for any address; rank is not needed. */
bool mpr_addrset_contains(const mpr_addrset *set, uint64_t address);

/* Which of the three granules from an address on begin a member, a bit each. */
unsigned mpr_addrset_three_slowly(const mpr_addrset *set, uint64_t address);

static inline unsigned mpr_addrset_three(const mpr_addrset *set, uint64_t address) {
    uint64_t number = address >> MPR_PAGE_SHIFT;
    uint32_t index = set->recent[number % MPR_PAGE_RECENT], bit = (uint32_t)(address >> 4) & 63;
    if (set->number.count == 0 || set->number.items[index] != number || bit > 61) {
        return mpr_addrset_three_slowly(set, address);
    }
    return (unsigned)(set->bits.items[index << 10 | ((uint32_t)(address >> 10) & 0x3FF)] >> bit) & 7;
}

/* How many members begin in so many bytes, a multiple of 1 KiB, from an address that is a multiple of them. */
uint32_t mpr_addrset_count(const mpr_addrset *set, uint64_t address, uint32_t bytes);

/* The address behind a handle, given by this set. */
static inline uint64_t mpr_addrset_address(const mpr_addrset *set, uint32_t handle) {
    const uint64_t *odd = set->odd.items[handle >> 16];
    uint32_t granule = handle & 0xFFFF;
    uint64_t eight = odd != NULL ? (odd[granule >> 6] >> (granule & 63) & 1) << 3 : 0;
    return set->number.items[handle >> 16] << MPR_PAGE_SHIFT | (uint64_t)granule << 4 | eight;
}

/* Number the members, and give back what growth left over. Call once, after the last add. MPR_OK or MPR_ENOMEM. */
int mpr_addrset_rank(mpr_addrset *set);

/* Bits that are set: without an instruction for it the compiler would call a function that reads a table. */
static inline uint32_t mpr_addrset_bits(uint64_t word) {
    word -= word >> 1 & UINT64_C(0x5555555555555555);
    word = (word & UINT64_C(0x3333333333333333)) + (word >> 2 & UINT64_C(0x3333333333333333));
    word = (word + (word >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    return (uint32_t)(word * UINT64_C(0x0101010101010101) >> 56);
}

/* The number of a member's handle (the handle must be a member, and rank done). */
static inline uint32_t mpr_addrset_number(const mpr_addrset *set, uint32_t handle) {
    uint64_t below = set->bits.items[handle >> 6] & ((UINT64_C(1) << (handle & 63)) - 1);
    return set->before[handle >> 16] + set->inside[handle >> 6] + mpr_addrset_bits(below);
}

/* Fetch what has and number will read of a handle. */
static inline void mpr_addrset_prefetch(const mpr_addrset *set, uint32_t handle) {
    __builtin_prefetch(&set->bits.items[handle >> 6]);
    __builtin_prefetch(&set->inside[handle >> 6]);
}

/* 1 and the number of a member, 0 when the address is not one (8 modulo 16 included). */
int mpr_addrset_find(const mpr_addrset *set, uint64_t address, uint32_t *number);

#endif
