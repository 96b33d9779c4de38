/* SPDX-License-Identifier: MIT
 * The bitmap that is a work list. See base/workset.h. */
#include "base/workset.h"

void mpr_workset_init(mpr_workset *w, mpr_alloc *alloc) {
    *w = (mpr_workset){0};
    mpr_addrset_init(&w->seen, alloc);
}

void mpr_workset_free(mpr_workset *w) {
    mpr_alloc *alloc = w->seen.alloc;
    for (uint32_t i = 0; i < w->capacity; i++) {
        mpr_alloc_free(alloc, w->pending[i], 1, sizeof(mpr_pending));
    }
    mpr_alloc_free(alloc, w->pending, w->capacity, sizeof *w->pending);
    mpr_alloc_free(alloc, w->queue, w->capacity, sizeof *w->queue);
    mpr_addrset_free(&w->seen);
    mpr_workset_init(w, alloc);
}

/* Room for page `index` in the table and in the queue, whose ring is unrolled. */
static int grow(mpr_workset *w, uint32_t index) {
    mpr_alloc *alloc = w->seen.alloc;
    uint32_t capacity = w->capacity == 0 ? 64 : w->capacity * 2;
    while (capacity <= index) {
        capacity *= 2;
    }
    uint32_t *queue = mpr_alloc_array(alloc, capacity, sizeof *queue);
    void *pending = w->pending;
    if (queue == NULL || mpr_alloc_resize(alloc, &pending, w->capacity, capacity, sizeof *w->pending) != MPR_OK) {
        mpr_alloc_free(alloc, queue, capacity, sizeof *queue);
        return MPR_ENOMEM;
    }
    for (uint32_t i = 0; i < w->waiting; i++) {
        queue[i] = w->queue[(w->head + i) % w->capacity];
    }
    mpr_alloc_free(alloc, w->queue, w->capacity, sizeof *w->queue);
    w->queue = queue;
    w->pending = pending;
    w->capacity = capacity;
    w->head = 0;
    return MPR_OK;
}

static int page_of(mpr_workset *w, uint32_t index, mpr_pending **page) {
    if (index >= w->capacity && grow(w, index) != MPR_OK) {
        return MPR_ENOMEM;
    }
    if (w->pending[index] == NULL) {
        w->pending[index] = mpr_alloc_array(w->seen.alloc, 1, sizeof(mpr_pending));
    }
    *page = w->pending[index];
    return *page == NULL ? MPR_ENOMEM : MPR_OK;
}

static void enqueue(mpr_workset *w, uint32_t index, mpr_pending *page) {
    page->queued = true;
    w->queue[(w->head + w->waiting++) % w->capacity] = index;
}

int mpr_workset_push(mpr_workset *w, uint32_t handle) {
    mpr_pending *page;
    uint32_t index = handle >> 16, granule = handle & 0xFFFF;
    if (page_of(w, index, &page) != MPR_OK) {
        return MPR_ENOMEM;
    }
    page->bits[granule >> 6] |= UINT64_C(1) << (granule & 63);
    page->summary[granule >> 12] |= UINT64_C(1) << (granule >> 6 & 63);
    if (!page->queued) {
        enqueue(w, index, page);
    }
    return 1;
}

int mpr_workset_skip(mpr_workset *w, uint64_t address) {
    uint32_t handle = 0;
    return mpr_addrset_add(&w->seen, address, &handle);
}

/* The first word at or after `word` with something pending, or MPR_PAGE_WORDS. */
static uint32_t next_word(const mpr_pending *page, uint32_t word) {
    for (uint32_t block = word / 64; block < MPR_PAGE_WORDS / 64; block++) {
        uint64_t summary = page->summary[block];
        summary &= block == word / 64 ? ~UINT64_C(0) << (word & 63) : ~UINT64_C(0);
        if (summary != 0) {
            return block * 64 + (uint32_t)__builtin_ctzll(summary);
        }
    }
    return MPR_PAGE_WORDS;
}

/* Take all pending bits of the next word of the current page; false when the sweep of the page is over. */
static bool take_word(mpr_workset *w) {
    mpr_pending *page = w->pending[w->current];
    w->word = next_word(page, w->word);
    if (w->word == MPR_PAGE_WORDS) {
        return false;
    }
    w->left = page->bits[w->word];
    page->bits[w->word] = 0;
    page->summary[w->word >> 6] &= ~(UINT64_C(1) << (w->word & 63));
    const char *base = (const char *)(uintptr_t)(w->seen.pages[w->current]->number << MPR_PAGE_SHIFT | (uint64_t)w->word << 10);
    for (uint64_t bits = w->left; bits != 0; bits &= bits - 1) {
        __builtin_prefetch(base + 16 * __builtin_ctzll(bits));
    }
    return true;
}

/* Go on to the next page in the queue; a page with bits left behind the sweep goes to its end. */
static bool next_page(mpr_workset *w) {
    if (w->sweeping) {
        mpr_pending *page = w->pending[w->current];
        page->queued = false;
        w->sweeping = false;
        if (next_word(page, 0) != MPR_PAGE_WORDS) {
            enqueue(w, w->current, page);
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

int mpr_workset_next(mpr_workset *w, uint64_t *address) {
    while (w->left == 0) {
        if (!(w->sweeping && take_word(w)) && !next_page(w)) {
            return 0;
        }
    }
    uint32_t granule = w->word << 6 | (uint32_t)__builtin_ctzll(w->left);
    w->left &= w->left - 1;
    *address = mpr_addrset_address(&w->seen, w->current << 16 | granule);
    return 1;
}

bool mpr_workset_has(const mpr_workset *w, uint64_t address) { return mpr_addrset_contains(&w->seen, address); }
