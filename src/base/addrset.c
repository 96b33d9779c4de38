/* SPDX-License-Identifier: MIT
 * The paged bitmap with rank. See base/addrset.h for the idea. */
#include "base/addrset.h"

#include <string.h>

#include "base/status.h"

#define GRANULES 65536u
#define NO_PAGE UINT32_MAX

void mpr_addrset_init(mpr_addrset *set, mpr_alloc *alloc) { *set = (mpr_addrset){.alloc = alloc}; }

void mpr_addrset_free(mpr_addrset *set) {
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->pages[i]->odd != NULL) {
            mpr_alloc_free(set->alloc, set->pages[i]->odd, MPR_PAGE_WORDS, sizeof(uint64_t));
        }
        mpr_alloc_free(set->alloc, set->pages[i], 1, sizeof(mpr_addrset_page));
    }
    mpr_alloc_free(set->alloc, set->pages, set->capacity, sizeof *set->pages);
    mpr_alloc_free(set->alloc, set->slots, set->slots == NULL ? 0 : (size_t)set->slot_mask + 1, sizeof *set->slots);
    mpr_addrset_init(set, set->alloc);
}

/* ---- the directory of pages ---- */

static uint32_t slot_of(const mpr_addrset *set, uint64_t number) {
    uint32_t slot = (uint32_t)(number * UINT64_C(0x9E3779B97F4A7C15) >> 32) & set->slot_mask;
    while (set->slots[slot] != 0 && set->pages[set->slots[slot] - 1]->number != number) {
        slot = (slot + 1) & set->slot_mask;
    }
    return slot;
}

static uint32_t find_page(const mpr_addrset *set, uint64_t number) {
    if (set->count == 0) {
        return NO_PAGE;
    }
    uint32_t entry = set->slots[slot_of(set, number)];
    return entry == 0 ? NO_PAGE : entry - 1;
}

/* Room for one more page in the list and in the slots, which stay at most half full. */
static int reserve_page(mpr_addrset *set) {
    if (set->count < set->capacity) {
        return MPR_OK;
    }
    if (set->count == MPR_PAGE_MAX) {
        return MPR_ELIMIT;
    }
    uint32_t capacity = set->capacity == 0 ? 64 : set->capacity * 2;
    uint32_t *slots = mpr_alloc_array(set->alloc, (size_t)capacity * 2, sizeof *slots);
    if (slots == NULL) {
        return MPR_ENOMEM;
    }
    void *pages = set->pages;
    if (mpr_alloc_resize(set->alloc, &pages, set->capacity, capacity, sizeof *set->pages) != MPR_OK) {
        mpr_alloc_free(set->alloc, slots, (size_t)capacity * 2, sizeof *slots);
        return MPR_ENOMEM;
    }
    mpr_alloc_free(set->alloc, set->slots, set->slots == NULL ? 0 : (size_t)set->slot_mask + 1, sizeof *slots);
    set->pages = pages;
    set->capacity = capacity;
    set->slots = slots;
    set->slot_mask = capacity * 2 - 1;
    for (uint32_t i = 0; i < set->count; i++) {
        slots[slot_of(set, set->pages[i]->number)] = i + 1;
    }
    return MPR_OK;
}

static int make_page(mpr_addrset *set, uint64_t number, uint32_t *index) {
    int status = reserve_page(set);
    if (status != MPR_OK) {
        return status;
    }
    mpr_addrset_page *page = mpr_alloc_array(set->alloc, 1, sizeof *page);
    if (page == NULL) {
        return MPR_ENOMEM;
    }
    page->number = number;
    set->pages[set->count] = page;
    set->slots[slot_of(set, number)] = set->count + 1;
    *index = set->count++;
    return MPR_OK;
}

int mpr_addrset_page_index(mpr_addrset *set, uint64_t number, uint32_t *index) {
    *index = find_page(set, number);
    return *index == NO_PAGE ? make_page(set, number, index) : MPR_OK;
}

/* ---- members ---- */

static uint32_t granule_of(uint64_t address) { return (uint32_t)(address >> 4) & (GRANULES - 1); }

static bool test_bit(const uint64_t *bits, uint32_t granule) { return bits[granule >> 6] >> (granule & 63) & 1; }

int mpr_addrset_mark_odd(mpr_addrset *set, uint32_t handle) {
    mpr_addrset_page *page = set->pages[handle >> 16];
    uint32_t granule = handle & (GRANULES - 1);
    if (page->odd == NULL) {
        page->odd = mpr_alloc_array(set->alloc, MPR_PAGE_WORDS, sizeof(uint64_t));
        if (page->odd == NULL) {
            return MPR_ENOMEM;
        }
    }
    page->odd[granule >> 6] |= UINT64_C(1) << (granule & 63);
    return MPR_OK;
}

bool mpr_addrset_has(const mpr_addrset *set, uint32_t handle) {
    return handle >> 16 < set->count && test_bit(set->pages[handle >> 16]->bits, handle & (GRANULES - 1));
}

/* ---- rank ---- */

void mpr_addrset_rank(mpr_addrset *set) {
    uint32_t before = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        mpr_addrset_page *page = set->pages[i];
        uint32_t inside = 0;
        page->before = before;
        for (uint32_t word = 0; word < MPR_PAGE_WORDS; word++) {
            page->inside[word] = (uint16_t)inside;
            inside += (uint32_t)__builtin_popcountll(page->bits[word]);
        }
        before += inside;
    }
}

uint32_t mpr_addrset_number(const mpr_addrset *set, uint32_t handle) {
    const mpr_addrset_page *page = set->pages[handle >> 16];
    uint32_t granule = handle & (GRANULES - 1), word = granule >> 6;
    uint64_t below = page->bits[word] & ((UINT64_C(1) << (granule & 63)) - 1);
    return page->before + page->inside[word] + (uint32_t)__builtin_popcountll(below);
}

/* The handle of a member, found without making anything. */
static bool find_member(const mpr_addrset *set, uint64_t address, uint32_t *handle) {
    uint32_t index = find_page(set, address >> MPR_PAGE_SHIFT);
    *handle = index << 16 | granule_of(address);
    return index != NO_PAGE && mpr_addrset_has(set, *handle) && mpr_addrset_address(set, *handle) == address;
}

bool mpr_addrset_contains(const mpr_addrset *set, uint64_t address) {
    uint32_t handle;
    return find_member(set, address, &handle);
}

int mpr_addrset_find(const mpr_addrset *set, uint64_t address, uint32_t *number) {
    uint32_t handle;
    if (!find_member(set, address, &handle)) {
        return 0;
    }
    *number = mpr_addrset_number(set, handle);
    return 1;
}
