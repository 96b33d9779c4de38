/* SPDX-License-Identifier: MIT
 * A set of addresses as a paged bitmap with rank: the address -> number map of the heap graph, without a hash table.
 *
 * Memory is cut into pages of 1 MiB, a page into 65,536 granules of 16 bytes. No two objects start in one granule, so an address is a
 * 4-byte *handle*: index of its page (in order of first use) and granule. A bit says that the address is in the set; running
 * popcounts, made once by mpr_addrset_rank, number the members 0, 1, 2 ... in handle order. Statically allocated objects may start
 * at 8 modulo 16: a page where that happens has a second bitmap that says so.
 *
 * Cost: 10 KiB a page that holds objects, one hash probe an access (none when the page is that of the access before).
 * At most 65,536 pages (64 GiB of address space that holds objects): beyond it MPR_ELIMIT, never a wrong answer. */
#ifndef MPR_BASE_ADDRSET_H
#define MPR_BASE_ADDRSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"

#define MPR_PAGE_SHIFT 20
#define MPR_PAGE_WORDS 1024 /* 64-bit words of a page's bitmap */
#define MPR_PAGE_MAX 65536

typedef struct mpr_addrset_page {
    uint64_t number;  /* address >> MPR_PAGE_SHIFT */
    uint32_t before;  /* members in the pages before this one; valid after mpr_addrset_rank */
    uint16_t inside[MPR_PAGE_WORDS]; /* members before each word, within the page: at most 65,472 */
    uint64_t *odd;    /* NULL, or one bit per granule: the member starts at 8 modulo 16 */
    uint64_t bits[MPR_PAGE_WORDS];
} mpr_addrset_page;

typedef struct mpr_addrset {
    mpr_alloc *alloc;
    mpr_addrset_page **pages; /* in order of first use */
    uint32_t count;           /* of pages */
    uint32_t capacity;        /* of `pages` */
    uint32_t *slots;          /* open addressing: page index + 1, or 0 */
    uint32_t slot_mask;
    uint32_t last;            /* index of the page of the last access; valid when count > 0 */
    uint64_t members;
} mpr_addrset;

void mpr_addrset_init(mpr_addrset *set, mpr_alloc *alloc);
void mpr_addrset_free(mpr_addrset *set);

/* The page of a number, made if it is not there. MPR_OK, MPR_ENOMEM, MPR_ELIMIT. */
int mpr_addrset_page_index(mpr_addrset *set, uint64_t number, uint32_t *index);

/* The slow half of mpr_addrset_add: a member that starts at 8 modulo 16. */
int mpr_addrset_mark_odd(mpr_addrset *set, uint32_t handle);

/* The handle of an address, whether or not it is a member (its page is made). MPR_OK, MPR_ENOMEM, MPR_ELIMIT. */
static inline int mpr_addrset_handle(mpr_addrset *set, uint64_t address, uint32_t *handle) {
    uint32_t index = set->last;
    uint64_t number = address >> MPR_PAGE_SHIFT;
    if (set->count == 0 || set->pages[index]->number != number) {
        int status = mpr_addrset_page_index(set, number, &index);
        if (status != 0) {
            return status;
        }
        set->last = index;
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
    uint64_t *word = &set->pages[*handle >> 16]->bits[(*handle & 0xFFFF) >> 6], bit = UINT64_C(1) << (*handle & 63);
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

bool mpr_addrset_has(const mpr_addrset *set, uint32_t handle);

/* The same for an address; rank is not needed. */
bool mpr_addrset_contains(const mpr_addrset *set, uint64_t address);

/* The address behind a handle, given by this set. */
static inline uint64_t mpr_addrset_address(const mpr_addrset *set, uint32_t handle) {
    const mpr_addrset_page *page = set->pages[handle >> 16];
    uint32_t granule = handle & 0xFFFF;
    uint64_t odd = page->odd != NULL ? (page->odd[granule >> 6] >> (granule & 63) & 1) << 3 : 0;
    return page->number << MPR_PAGE_SHIFT | (uint64_t)granule << 4 | odd;
}

/* Number the members. Call once, after the last add. */
void mpr_addrset_rank(mpr_addrset *set);

/* The number of a member's handle (the handle must be a member, and rank done). */
uint32_t mpr_addrset_number(const mpr_addrset *set, uint32_t handle);

/* 1 and the number of a member, 0 when the address is not one (8 modulo 16 included). */
int mpr_addrset_find(const mpr_addrset *set, uint64_t address, uint32_t *number);

#endif
