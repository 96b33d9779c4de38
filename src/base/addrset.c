/* SPDX-License-Identifier: MIT
 * The paged bitmap with rank. See base/addrset.h for the idea. */
#include "base/addrset.h"

#define NO_PAGE UINT32_MAX
#define FEWEST_SLOTS 128

void mpr_addrset_init(mpr_addrset *set, mpr_alloc *alloc) { *set = (mpr_addrset){.alloc = alloc}; }

static size_t slot_count(const mpr_addrset *set) { return set->slots == NULL ? 0 : (size_t)set->slot_mask + 1; }

void mpr_addrset_free(mpr_addrset *set) {
    size_t pages = set->number.count;
    for (size_t i = 0; i < pages; i++) {
        mpr_alloc_free(set->alloc, set->odd.items[i], MPR_PAGE_WORDS, sizeof(uint64_t));
    }
    mpr_vec_free(&set->number, set->alloc);
    mpr_vec_free(&set->bits, set->alloc);
    mpr_vec_free(&set->odd, set->alloc);
    mpr_alloc_free(set->alloc, set->slots, slot_count(set), sizeof *set->slots);
    mpr_alloc_free(set->alloc, set->before, pages, sizeof *set->before);
    mpr_alloc_free(set->alloc, set->inside, pages * MPR_PAGE_WORDS, sizeof *set->inside);
    mpr_addrset_init(set, set->alloc);
}

/* ---- the directory of pages ---- */

static uint32_t slot_of(const mpr_addrset *set, uint64_t number) {
    uint32_t slot = (uint32_t)(number * UINT64_C(0x9E3779B97F4A7C15) >> 32) & set->slot_mask;
    while (set->slots[slot] != 0 && set->number.items[set->slots[slot] - 1] != number) {
        slot = (slot + 1) & set->slot_mask;
    }
    return slot;
}

uint32_t mpr_addrset_look_up(const mpr_addrset *set, uint64_t number) {
    if (set->number.count == 0) {
        return NO_PAGE;
    }
    uint32_t entry = set->slots[slot_of(set, number)];
    return entry == 0 ? NO_PAGE : entry - 1;
}

/* Slots for one more page, at most half full. */
static int reserve_slot(mpr_addrset *set) {
    if (2 * (set->number.count + 1) <= slot_count(set)) {
        return MPR_OK;
    }
    size_t count = set->slots == NULL ? FEWEST_SLOTS : 2 * slot_count(set);
    uint32_t *slots = mpr_alloc_array(set->alloc, count, sizeof *slots);
    if (slots == NULL) {
        return MPR_ENOMEM;
    }
    mpr_alloc_free(set->alloc, set->slots, slot_count(set), sizeof *slots);
    set->slots = slots;
    set->slot_mask = (uint32_t)count - 1;
    for (size_t i = 0; i < set->number.count; i++) {
        slots[slot_of(set, set->number.items[i])] = (uint32_t)i + 1;
    }
    return MPR_OK;
}

static int make_page(mpr_addrset *set, uint64_t number, uint32_t *index) {
    if (set->number.count == MPR_PAGE_MAX) {
        return MPR_ELIMIT;
    }
    if (reserve_slot(set) != MPR_OK || mpr_vec_reserve(&set->number, set->alloc, 1) != MPR_OK ||
        mpr_vec_reserve(&set->odd, set->alloc, 1) != MPR_OK || mpr_vec_reserve(&set->bits, set->alloc, MPR_PAGE_WORDS) != MPR_OK) {
        return MPR_ENOMEM;
    }
    *index = (uint32_t)set->number.count;
    set->slots[slot_of(set, number)] = *index + 1;
    set->number.items[set->number.count++] = number;
    set->odd.items[set->odd.count++] = NULL;
    set->bits.count += MPR_PAGE_WORDS; /* fresh memory reads as zero */
    return MPR_OK;
}

int mpr_addrset_page_index(mpr_addrset *set, uint64_t number, uint32_t *index) {
    *index = mpr_addrset_look_up(set, number);
    return *index == NO_PAGE ? make_page(set, number, index) : MPR_OK;
}

/* ---- members ---- */

int mpr_addrset_mark_odd(mpr_addrset *set, uint32_t handle) {
    uint64_t **odd = &set->odd.items[handle >> 16];
    uint32_t granule = handle & 0xFFFF;
    if (*odd == NULL) {
        *odd = mpr_alloc_array(set->alloc, MPR_PAGE_WORDS, sizeof(uint64_t));
        if (*odd == NULL) {
            return MPR_ENOMEM;
        }
    }
    (*odd)[granule >> 6] |= UINT64_C(1) << (granule & 63);
    return MPR_OK;
}

/* ---- rank ---- */

int mpr_addrset_rank(mpr_addrset *set) {
    size_t pages = set->number.count;
    uint32_t before = 0;
    mpr_vec_trim(&set->number, set->alloc);
    mpr_vec_trim(&set->odd, set->alloc);
    mpr_vec_trim(&set->bits, set->alloc);
    set->before = mpr_alloc_array(set->alloc, pages, sizeof *set->before);
    set->inside = mpr_alloc_array(set->alloc, pages * MPR_PAGE_WORDS, sizeof *set->inside);
    if (set->before == NULL || set->inside == NULL) {
        return MPR_ENOMEM;
    }
    for (size_t page = 0; page < pages; page++) {
        uint32_t inside = 0;
        set->before[page] = before;
        for (size_t word = page * MPR_PAGE_WORDS; word < (page + 1) * MPR_PAGE_WORDS; word++) {
            set->inside[word] = (uint16_t)inside;
            inside += mpr_addrset_bits(set->bits.items[word]);
        }
        before += inside;
    }
    return MPR_OK;
}

/* The handle of a member, found without making anything. */
static bool find_member(const mpr_addrset *set, uint64_t address, uint32_t *handle) {
    uint32_t index = mpr_addrset_look_up(set, address >> MPR_PAGE_SHIFT);
    *handle = index << 16 | ((uint32_t)(address >> 4) & 0xFFFF);
    return index != NO_PAGE && mpr_addrset_has(set, *handle) && mpr_addrset_address(set, *handle) == address;
}

bool mpr_addrset_contains(const mpr_addrset *set, uint64_t address) {
    uint32_t handle;
    return find_member(set, address, &handle);
}

uint32_t mpr_addrset_count(const mpr_addrset *set, uint64_t address, uint32_t bytes) {
    uint32_t index = mpr_addrset_look_up(set, address >> MPR_PAGE_SHIFT), count = 0;
    for (uint32_t i = 0; index != NO_PAGE && i < bytes / 1024; i++) {
        count += mpr_addrset_bits(set->bits.items[index << 10 | (((uint32_t)(address >> 10) & 0x3FF) + i)]);
    }
    return count;
}

unsigned mpr_addrset_three_slowly(const mpr_addrset *set, uint64_t address) {
    unsigned found = 0;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t granule = (address & ~UINT64_C(15)) + 16 * i;
        found |= mpr_addrset_contains(set, granule) || mpr_addrset_contains(set, granule + 8) ? 1u << i : 0;
    }
    return found;
}

int mpr_addrset_find(const mpr_addrset *set, uint64_t address, uint32_t *number) {
    uint32_t handle;
    if (!find_member(set, address, &handle)) {
        return 0;
    }
    *number = mpr_addrset_number(set, handle);
    return 1;
}
