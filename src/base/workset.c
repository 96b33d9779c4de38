/* SPDX-License-Identifier: MIT
 * The bitmap that is a work list. See base/workset.h. */
#include "base/workset.h"

void mpr_workset_init(mpr_workset *w, mpr_alloc *alloc) {
    *w = (mpr_workset){0};
    mpr_addrset_init(&w->seen, alloc);
}

void mpr_workset_free(mpr_workset *w) {
    mpr_alloc *alloc = w->seen.alloc;
    mpr_vec_free(&w->pending, alloc);
    mpr_vec_free(&w->summary, alloc);
    mpr_vec_free(&w->later, alloc);
    mpr_vec_free(&w->later_bits, alloc);
    mpr_vec_free(&w->queued, alloc);
    mpr_alloc_free(alloc, w->queue, w->capacity, sizeof *w->queue);
    mpr_addrset_free(&w->seen);
    mpr_workset_init(w, alloc);
}

/* A longer ring for the queue, unrolled. */
static int grow_queue(mpr_workset *w) {
    mpr_alloc *alloc = w->seen.alloc;
    uint32_t capacity = w->capacity == 0 ? 64 : w->capacity * 2;
    uint32_t *queue = mpr_alloc_array(alloc, capacity, sizeof *queue);
    if (queue == NULL) {
        return MPR_ENOMEM;
    }
    for (uint32_t i = 0; i < w->waiting; i++) {
        queue[i] = w->queue[(w->head + i) % w->capacity];
    }
    mpr_alloc_free(alloc, w->queue, w->capacity, sizeof *w->queue);
    w->queue = queue;
    w->capacity = capacity;
    w->head = 0;
    return MPR_OK;
}

/* Room for the pages that `seen` has. */
static int grow(mpr_workset *w) {
    mpr_alloc *alloc = w->seen.alloc;
    size_t pages = w->seen.number.count, more = pages - w->queued.count;
    while (w->capacity < pages) {
        if (grow_queue(w) != MPR_OK) {
            return MPR_ENOMEM;
        }
    }
    if (mpr_vec_reserve(&w->pending, alloc, more * MPR_PAGE_WORDS) != MPR_OK ||
        mpr_vec_reserve(&w->summary, alloc, more * MPR_PAGE_BLOCKS) != MPR_OK ||
        mpr_vec_reserve(&w->queued, alloc, more) != MPR_OK) {
        return MPR_ENOMEM;
    }
    w->pending.count += more * MPR_PAGE_WORDS; /* fresh memory reads as zero */
    w->summary.count += more * MPR_PAGE_BLOCKS;
    w->queued.count += more;
    return MPR_OK;
}

static void enqueue(mpr_workset *w, uint32_t page) {
    w->queued.items[page] = true;
    w->queue[(w->head + w->waiting++) % w->capacity] = page;
}

int mpr_workset_enqueue(mpr_workset *w, uint32_t page) {
    if (page >= w->queued.count && grow(w) != MPR_OK) {
        return MPR_ENOMEM;
    }
    enqueue(w, page);
    return MPR_OK;
}

int mpr_workset_skip(mpr_workset *w, uint64_t address) {
    uint32_t handle = 0;
    return mpr_addrset_add(&w->seen, address, &handle);
}

static int set_later_bit(mpr_workset *w, uint32_t handle) {
    size_t words = ((size_t)(handle >> 16) + 1) * MPR_PAGE_WORDS;
    if (w->later_bits.count < words) {
        if (mpr_vec_reserve(&w->later_bits, w->seen.alloc, words - w->later_bits.count) != MPR_OK) {
            return MPR_ENOMEM;
        }
        w->later_bits.count = words; /* fresh memory reads as zero */
    }
    w->later_bits.items[handle >> 6] |= UINT64_C(1) << (handle & 63);
    return MPR_OK;
}

int mpr_workset_put_off(mpr_workset *w, uint64_t address) {
    uint32_t handle = 0;
    int status = mpr_addrset_handle(&w->seen, address, &handle);
    if (status != MPR_OK) {
        return status;
    }
    bool few = w->later.count < w->seen.number.count * MPR_WORKSET_FEW;
    return few ? mpr_vec_push(&w->later, w->seen.alloc, handle) : set_later_bit(w, handle);
}

static void make_pending(mpr_workset *w, size_t word, uint64_t bits) {
    w->pending.items[word] |= bits;
    w->summary.items[word >> 6] |= UINT64_C(1) << (word & 63);
    if (!w->queued.items[word / MPR_PAGE_WORDS]) {
        enqueue(w, (uint32_t)(word / MPR_PAGE_WORDS));
    }
}

void mpr_workset_resume(mpr_workset *w) {
    for (size_t i = 0; i < w->later.count; i++) {
        make_pending(w, w->later.items[i] >> 6, UINT64_C(1) << (w->later.items[i] & 63));
    }
    for (size_t word = 0; word < w->later_bits.count; word++) {
        if (w->later_bits.items[word] != 0) {
            make_pending(w, word, w->later_bits.items[word]);
        }
    }
    mpr_vec_free(&w->later, w->seen.alloc);
    mpr_vec_free(&w->later_bits, w->seen.alloc);
}

/* The first word of a page at or after `word` with something pending, or MPR_PAGE_WORDS. */
static uint32_t next_word(const mpr_workset *w, uint32_t page, uint32_t word) {
    for (uint32_t block = word / 64; block < MPR_PAGE_BLOCKS; block++) {
        uint64_t summary = w->summary.items[page * MPR_PAGE_BLOCKS + block];
        summary &= block == word / 64 ? ~UINT64_C(0) << (word & 63) : ~UINT64_C(0);
        if (summary != 0) {
            return block * 64 + (uint32_t)__builtin_ctzll(summary);
        }
    }
    return MPR_PAGE_WORDS;
}

/* The address of the first granule of a word of the current page. */
static uint64_t base_of(const mpr_workset *w, uint32_t word) {
    return (w->seen.number.items[w->current] << MPR_PAGE_SHIFT) + (uint64_t)word * 64 * 16;
}

/* Take all pending bits of the next word of the current page; false when the sweep of the page is over. */
static bool take_word(mpr_workset *w) {
    w->word = next_word(w, w->current, w->word);
    if (w->word == MPR_PAGE_WORDS) {
        return false;
    }
    size_t word = (size_t)w->current * MPR_PAGE_WORDS + w->word;
    w->left = w->pending.items[word];
    w->pending.items[word] = 0;
    w->summary.items[word >> 6] &= ~(UINT64_C(1) << (word & 63));
    uint64_t base = base_of(w, w->word);
    for (uint64_t bits = w->left; bits != 0; bits &= bits - 1) {
        __builtin_prefetch((const char *)(uintptr_t)base + 16 * __builtin_ctzll(bits));
    }
    return true;
}

/* Go on to the next page in the queue; a page with bits left behind the sweep goes to its end. */
static bool next_page(mpr_workset *w) {
    if (w->sweeping) {
        w->queued.items[w->current] = false;
        w->sweeping = false;
        if (next_word(w, w->current, 0) != MPR_PAGE_WORDS) {
            enqueue(w, w->current);
        }
    }
    if (w->waiting == 0) {
        return false;
    }
    w->current = w->queue[w->head];
    w->head = (w->head + 1) % w->capacity;
    w->waiting--;
    w->sweeping = true;
    w->word = 0;
    return true;
}

size_t mpr_workset_take(mpr_workset *w, uint64_t *addresses, size_t most) {
    size_t count = 0;
    while (count < most) {
        if (w->left == 0) {
            if (!(w->sweeping && take_word(w)) && !next_page(w)) {
                break;
            }
            continue;
        }
        const uint64_t *odd = w->seen.odd.items[w->current];
        uint64_t odd_word = odd == NULL ? 0 : odd[w->word], base = base_of(w, w->word);
        for (; w->left != 0 && count < most; w->left &= w->left - 1) {
            unsigned granule = (unsigned)__builtin_ctzll(w->left);
            addresses[count++] = base + 16 * granule + 8 * (odd_word >> granule & 1);
        }
    }
    return count;
}

bool mpr_workset_has(const mpr_workset *w, uint64_t address) { return mpr_addrset_contains(&w->seen, address); }
