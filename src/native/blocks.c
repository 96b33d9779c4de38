/* SPDX-License-Identifier: MIT
 * See native/blocks.h for the idea. */
#include "native/blocks.h"

#include "base/os/maps.h"
#include "native/chunks.h"
#include "native/pools.h"

#define SUMMARY_WORDS (MPR_PAGE_WORDS / 64)
#define NO_PAGE UINT32_MAX

void mpr_blocks_init(mpr_blocks *b, mpr_alloc *alloc) {
    *b = (mpr_blocks){.lowest = 0};
    mpr_addrset_init(&b->begins, alloc);
    mpr_addrset_init(&b->removed, alloc);
}

void mpr_blocks_free(mpr_blocks *b) {
    mpr_alloc *alloc = b->begins.alloc;
    mpr_vec_free(&b->summary, alloc);
    mpr_vec_free(&b->pools, alloc);
    mpr_vec_free(&b->large, alloc);
    mpr_addrset_free(&b->begins);
    mpr_addrset_free(&b->removed);
    mpr_blocks_init(b, alloc);
}

/* ---- adding ---- */

/* Room for what the pages of `begins` have besides. */
static int grow(mpr_blocks *b) {
    mpr_alloc *alloc = b->begins.alloc;
    size_t more = b->begins.number.count - b->pools.count;
    if (mpr_vec_reserve(&b->summary, alloc, more * SUMMARY_WORDS) != MPR_OK || mpr_vec_reserve(&b->pools, alloc, more) != MPR_OK) {
        return MPR_ENOMEM;
    }
    b->summary.count += more * SUMMARY_WORDS; /* fresh memory reads as zero */
    b->pools.count += more;
    return MPR_OK;
}

static void widen(mpr_blocks *b, uint64_t begin, uint64_t end) {
    b->lowest = b->end == 0 || begin < b->lowest ? begin : b->lowest;
    b->end = end > b->end ? end : b->end;
}

static int add(mpr_blocks *b, uint64_t begin, uint64_t size, uint32_t *page) {
    uint32_t handle = 0;
    int added = mpr_addrset_add(&b->begins, begin, &handle);
    if (added < 0 || (b->pools.count < b->begins.number.count && grow(b) != MPR_OK)) {
        return added < 0 ? added : MPR_ENOMEM;
    }
    *page = handle >> 16;
    b->summary.items[handle >> 12] |= UINT64_C(1) << (handle >> 6 & 63);
    widen(b, begin, begin + size);
    return MPR_OK;
}

int mpr_blocks_add_chunk(mpr_blocks *b, uint64_t begin, uint64_t size) {
    uint32_t page;
    int status = add(b, begin, size, &page);
    if (status == MPR_OK && size >= MPR_BLOCKS_LARGE) {
        status = mpr_vec_push(&b->large, b->begins.alloc, ((mpr_blocks_large){begin, begin + size}));
    }
    return status;
}

int mpr_blocks_add_pooled(mpr_blocks *b, uint64_t begin, uint64_t size) {
    uint32_t page;
    int status = add(b, begin, size, &page);
    if (status == MPR_OK) {
        b->pools.items[page] |= UINT64_C(1) << (begin / MPR_POOLS_POOL % 64);
    }
    return status;
}

void mpr_blocks_add_slots(mpr_blocks *b, const mpr_slots *slots) {
    if (slots->run.count > 0) {
        b->slots = slots;
        widen(b, slots->run.items[0].begin, slots->run.items[slots->run.count - 1].end);
    }
}

static bool is_before(const mpr_blocks_large *a, const mpr_blocks_large *b) { return a->begin < b->begin; }

void mpr_blocks_sort(mpr_blocks *b) { mpr_vec_sort(&b->large, is_before); }

int mpr_blocks_remove(mpr_blocks *b, uint64_t begin) {
    uint32_t page, slot;
    if (mpr_blocks_is_slot(b, begin)) {
        int added = mpr_addrset_add(&b->removed, begin, &slot);
        return added < 0 ? added : MPR_OK;
    }
    if (mpr_addrset_find_page(&b->begins, begin >> MPR_PAGE_SHIFT, &page)) {
        uint32_t handle = page << 16 | ((uint32_t)(begin >> 4) & 0xFFFF);
        uint64_t *word = &b->begins.bits.items[handle >> 6];
        *word &= ~(UINT64_C(1) << (handle & 63));
        if (*word == 0) {
            b->summary.items[handle >> 12] &= ~(UINT64_C(1) << (handle >> 6 & 63));
        }
    }
    return MPR_OK;
}

/* ---- finding ---- */

/* The number of the highest bit that is set; the word is not zero. */
static uint32_t highest(uint64_t word) { return 63 - (uint32_t)__builtin_clzll(word); }

/* Where the last block begins that begins in a page at or before a granule of it, or 0. */
static uint64_t last_begin(const mpr_blocks *b, uint32_t page, uint32_t granule) {
    const uint64_t *bits = b->begins.bits.items + (size_t)page * MPR_PAGE_WORDS;
    const uint64_t *summary = b->summary.items + (size_t)page * SUMMARY_WORDS;
    uint32_t word = granule >> 6, group = word >> 6;
    uint64_t at = bits[word] & (~UINT64_C(0) >> (63 - (granule & 63)));
    if (at == 0) {
        uint64_t words = summary[group] & ((UINT64_C(1) << (word & 63)) - 1);
        while (words == 0 && group > 0) {
            words = summary[--group];
        }
        if (words == 0) {
            return 0;
        }
        word = group << 6 | highest(words);
        at = bits[word];
    }
    return b->begins.number.items[page] << MPR_PAGE_SHIFT | (uint64_t)(word << 6 | highest(at)) << 4;
}

/* Where the large block begins that has an address, or 0; one that was removed is in the list still. */
static uint64_t find_large(mpr_blocks *b, uint64_t address) {
    size_t at;
    mpr_vec_bisect(&b->large, address, &at);
    uint64_t begin = at < b->large.count && b->large.items[at].begin <= address ? b->large.items[at].begin : 0;
    return begin != 0 && mpr_blocks_has(b, begin) ? begin : 0;
}

/* The run of slots that has an address, or NULL. */
static const mpr_slots_run *run_of(const mpr_blocks *b, uint64_t address) {
    return b->slots != NULL ? mpr_slots_find(b->slots, address) : NULL;
}

static uint64_t find_slot(const mpr_blocks *b, uint64_t address) {
    const mpr_slots_run *run = run_of(b, address);
    uint64_t begin = run != NULL ? address - (address - run->begin) % run->slot : 0;
    return begin != 0 && !mpr_addrset_contains(&b->removed, begin) ? begin : 0;
}

uint64_t mpr_blocks_search(mpr_blocks *b, uint64_t address) {
    uint64_t number = address >> MPR_PAGE_SHIFT, begin = 0;
    uint32_t page;
    if (mpr_addrset_find_page(&b->begins, number, &page)) {
        begin = last_begin(b, page, (uint32_t)(address >> 4) & 0xFFFF);
    }
    if (begin == 0 && mpr_addrset_find_page(&b->begins, number - 1, &page)) {
        begin = last_begin(b, page, 0xFFFF);
    }
    if (begin == 0) {
        begin = find_large(b, address);
        return begin != 0 ? begin : find_slot(b, address);
    }
    bool at_begin = begin == (address & ~UINT64_C(15));
    return at_begin || address - begin < mpr_blocks_size(b, begin) ? begin : find_slot(b, address);
}

bool mpr_blocks_is_slot(const mpr_blocks *b, uint64_t begin) {
    const mpr_slots_run *run = run_of(b, begin);
    return run != NULL && (begin - run->begin) % run->slot == 0;
}

bool mpr_blocks_has(mpr_blocks *b, uint64_t begin) {
    uint32_t page;
    bool has = begin % 16 == 0 && mpr_addrset_find_page(&b->begins, begin >> MPR_PAGE_SHIFT, &page) &&
               mpr_addrset_has(&b->begins, page << 16 | ((uint32_t)(begin >> 4) & 0xFFFF));
    return has || (mpr_blocks_is_slot(b, begin) && !mpr_addrset_contains(&b->removed, begin));
}

static bool is_pooled(mpr_blocks *b, uint64_t begin) {
    uint32_t page;
    return mpr_addrset_find_page(&b->begins, begin >> MPR_PAGE_SHIFT, &page) &&
           (b->pools.items[page] >> (begin / MPR_POOLS_POOL % 64) & 1) != 0;
}

uint64_t mpr_blocks_size(mpr_blocks *b, uint64_t begin) {
    const mpr_slots_run *run = run_of(b, begin);
    return run != NULL ? run->slot : is_pooled(b, begin) ? mpr_pools_block_size(begin) : mpr_chunks_block_size(begin);
}

uint64_t mpr_blocks_bytes(mpr_blocks *b, uint64_t begin) {
    const mpr_slots_run *run = run_of(b, begin);
    return run != NULL ? run->slot : is_pooled(b, begin) ? mpr_pools_block_size(begin) : mpr_chunks_block_bytes(begin);
}

uint64_t mpr_blocks_doubted(mpr_blocks *b, uint64_t begin) {
    bool chunk = !mpr_blocks_is_slot(b, begin) && !is_pooled(b, begin);
    uint64_t size = chunk ? mpr_chunks_block_size(begin) : 0;
    bool whole_pages = size == 0 || mpr_chunks_block_bytes(begin) - size != 8; /* a mapping */
    return !chunk || whole_pages ? UINT64_MAX : begin + size - 8;
}

int mpr_blocks_each(const mpr_blocks *b, int (*each)(void *context, uint64_t begin), void *context) {
    int status = MPR_OK;
    for (size_t word = 0; status == MPR_OK && word < b->begins.bits.count; word++) {
        uint64_t base = (b->begins.number.items[word / MPR_PAGE_WORDS] << MPR_PAGE_SHIFT) + word % MPR_PAGE_WORDS * 64 * 16;
        for (uint64_t bits = b->begins.bits.items[word]; status == MPR_OK && bits != 0; bits &= bits - 1) {
            status = each(context, base + 16 * (uint64_t)__builtin_ctzll(bits));
        }
    }
    return status;
}
