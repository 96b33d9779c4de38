/* SPDX-License-Identifier: MIT
 * Each word in zeroed data that may lead to a leaf is tried. */
#include "native/jemalloc.h"

#include "base/os/maps.h"
#include "base/status.h"

#define PAGE UINT64_C(4096)
#define WORDS (PAGE / 8)
#define PLACES (UINT64_C(1) << 18)               /* of the root, and of a leaf */
#define TREE (PLACES * 8)                        /* bytes of either */
#define HIGHEST (UINT64_C(1) << 17)              /* place in the root of an address that a process may have: 2^47 */
#define DESCRIPTION UINT64_C(0x0000ffffffffffc0) /* a leaf's word: what else it has is the class of sizes and a few flags */
#define CLASS_SHIFT 48                           /* of the class */
#define SLAB UINT64_C(1)                         /* flag of an extent that is cut into slots */
#define CLASSES 232                              /* further ones are of none: the extent is free */
#define SLAB_MOST (UINT64_C(1) << 20)            /* bytes of an extent to which words of its inner pages lead, too */
#define WORDS_LEAST 2                            /* that prove a leaf */
#define WRONG_MOST 1024                          /* leaves of an image that proved to be none: then it has no tree */
#define CACHE_BEGIN UINT64_C(0x7a7a7a7a7a7a7a7a)
#define CACHE_END UINT64_C(0xa7a7a7a7a7a7a7a7)       /* of 5.3.0 */
#define CACHE_END_LATER UINT64_C(0x7a7a7a7a7a7a7a7b) /* of 5.3.1 */
#define BLOCK_UNIT (UINT64_C(2) << 20)           /* what blocks begin at multiples of, and have */

typedef struct description {
    uint64_t bits, address, size; /* size: and a serial number, less than a page */
} description;

typedef struct leaf {
    mpr_jemalloc *out;
    mpr_alloc *alloc;
    uint64_t at, high;                 /* where it lies, and the place of the root that leads to it; UINT64_MAX: not known yet */
    uint64_t lowest, highest;          /* places of the root that may */
    uint64_t place[MPR_MAPS_PEEK];     /* of words that were read, ... */
    uint64_t word[MPR_MAPS_PEEK];      /* ... and they themselves */
    size_t count;
} leaf;

static bool read_page(uint64_t page, uint64_t *words) {
    unsigned char resident[MPR_MAPS_WINDOW];
    mpr_maps_resident(page, 1, resident);
    return (resident[0] & 1) && mpr_maps_peek(false, &page, 1, PAGE, words) == 1;
}

static int add_span(mpr_jemalloc *out, mpr_alloc *alloc, uint64_t begin, uint64_t end) {
    mpr_jemalloc_span *last = out->span.count > 0 ? &out->span.items[out->span.count - 1] : NULL;
    if (last != NULL && last->end == begin) {
        last->end = end;
        return MPR_OK;
    }
    return mpr_vec_push(&out->span, alloc, ((mpr_jemalloc_span){begin, end}));
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* May the word of a page lead to an extent? */
static bool leads(uint64_t page, uint64_t begin, uint64_t end) {
    bool inner = page > begin && page < end && end - begin <= SLAB_MOST;
    return end > begin && end >> 47 == 0 && (page == begin || page == end - PAGE || inner);
}

static mpr_jemalloc_span extent_of(const description *d) {
    uint64_t begin = d->address & ~(PAGE - 1);
    return (mpr_jemalloc_span){begin, begin + (d->size & ~(PAGE - 1))};
}

/* Bytes of a class: 8; four that are 16 apart; then four from each power of two to the next (jemalloc's sc.c, with its quantum of 16). */
static uint64_t class_size(uint64_t class) {
    uint64_t step = class < 5 ? 0 : (class - 5) / 4;
    return class == 0 ? 8 : class < 5 ? 16 * class : (UINT64_C(64) << step) + (UINT64_C(16) << step) * ((class - 5) % 4 + 1);
}

/* What an extent has in use, if its class fits: as many slots as there is room for; or one block of at most that size, and a page
 * more where blocks begin anywhere in their first one. */
static int add_slots(mpr_slots *slots, uint64_t word, const description *d) {
    mpr_jemalloc_span extent = extent_of(d);
    uint64_t class = word >> CLASS_SHIFT & 0xFF, bytes = extent.end - extent.begin, offset = d->address - extent.begin;
    if (slots == NULL || class == 0 || class >= CLASSES) {
        return MPR_OK;
    }
    uint64_t size = class_size(class), padding = offset > 0 || bytes > size ? PAGE : 0;
    if (word & SLAB) {
        return bytes % size == 0 && offset == 0 ? mpr_slots_add(slots, extent.begin, size, bytes / size) : MPR_OK;
    }
    bool fits = bytes > padding && bytes - padding <= size && bytes > class_size(class - 1);
    return fits ? mpr_slots_add(slots, d->address, bytes - padding, 1) : MPR_OK;
}

/* The root's place that leads to a leaf whose first word leads here. An extent may begin in the gigabyte before, for memory is cut without a
 * regard to what a leaf is of: then the word is that of one of its later pages. */
static uint64_t place_of_leaf(const description *first, uint64_t place) {
    mpr_jemalloc_span extent = extent_of(first);
    bool begins_here = (extent.begin >> 12) % PLACES <= place;
    return (begins_here || extent.end <= extent.begin ? extent.begin : extent.end - PAGE) >> 30;
}

/* Take the words that were read: MPR_OK; MPR_EFORMAT when one leads to no extent that has its page, and this is no leaf. */
static int take_words(leaf *l) {
    description found[MPR_MAPS_PEEK];
    uint64_t described[MPR_MAPS_PEEK];
    size_t count = l->count;
    l->count = 0;
    for (size_t i = 0; i < count; i++) {
        described[i] = l->word[i] & DESCRIPTION;
    }
    if (count > 0 && mpr_maps_peek(false, described, count, sizeof *found, found) != (int)count) {
        return MPR_EFORMAT;
    }
    if (l->high == UINT64_MAX) {
        l->high = count < WORDS_LEAST ? 0 : place_of_leaf(&found[0], l->place[0]);
    }
    bool proved = true;
    for (size_t i = 0; i < count; i++) {
        mpr_jemalloc_span extent = extent_of(&found[i]);
        proved = proved && l->high >= l->lowest && l->high <= l->highest &&
                 leads((l->high << 30) + l->place[i] * PAGE, extent.begin, extent.end);
    }
    if (!proved) {
        return MPR_EFORMAT;
    }
    for (size_t i = 0; i < count; i++) {
        mpr_jemalloc_span extent = extent_of(&found[i]);
        if ((l->high << 30) + l->place[i] * PAGE == extent.begin &&
            (add_span(l->out, l->alloc, extent.begin, extent.end) != MPR_OK ||
             add_slots(l->out->slots, l->word[i], &found[i]) != MPR_OK)) {
            return MPR_ENOMEM;
        }
    }
    return MPR_OK;
}

/* Take what may be a leaf. Nothing is added where its first words do not prove it. */
static int take_leaf(leaf *l) {
    uint64_t words[WORDS];
    int status = MPR_OK;
    for (uint64_t page = l->at & ~(PAGE - 1); page < l->at + TREE && status == MPR_OK; page += PAGE) {
        if (!read_page(page, words)) {
            continue;
        }
        for (uint64_t i = 0; i < WORDS && status == MPR_OK; i++) {
            uint64_t word = page + 8 * i;
            if (word >= l->at && word < l->at + TREE && (words[i] & DESCRIPTION) != 0) {
                l->place[l->count] = (word - l->at) / 8;
                l->word[l->count++] = words[i];
                status = l->count == (l->high == UINT64_MAX ? WORDS_LEAST : MPR_MAPS_PEEK) ? take_words(l) : MPR_OK;
            }
        }
    }
    return status == MPR_OK ? take_words(l) : status;
}

/* The leaves to which the words of a page lead, if it is one of a root's: there every word is empty or leads to a leaf of its own.
 * Their number; 0 for any other page, as for nearly all that are full of pointers, which would take long to try one by one. */
static size_t possible_leaves(const uint64_t words[WORDS], uint64_t at[WORDS], size_t place[WORDS]) {
    size_t count = 0;
    for (size_t i = 0; i < WORDS; i++) {
        if (words[i] == 0) {
            continue;
        }
        if (words[i] <= PAGE || words[i] % 64 != 0 || words[i] >> 47 != 0) {
            return 0;
        }
        for (size_t k = 0; k < count; k++) {
            if (at[k] - words[i] < TREE || words[i] - at[k] < TREE) {
                return 0;
            }
        }
        place[count] = i;
        at[count++] = words[i];
    }
    return count;
}

int mpr_jemalloc_add(mpr_jemalloc *out, mpr_alloc *alloc, uint64_t begin, uint64_t end) {
    uint64_t words[WORDS], at[WORDS];
    size_t place[WORDS], wrong = 0;
    for (uint64_t page = begin; page < end && end - begin >= TREE && wrong < WRONG_MOST; page += PAGE) {
        size_t count = read_page(page, words) ? possible_leaves(words, at, place) : 0;
        for (size_t i = 0; i < count; i++) {
            /* The root may begin in the page before, which has the end of what is not zeroed. */
            uint64_t offset = page + 8 * place[i] - (begin - PAGE), most = least(offset / 8, HIGHEST - 1);
            leaf l = {.out = out, .alloc = alloc, .at = at[i], .high = UINT64_MAX, .lowest = 1, .highest = most};
            int status = take_leaf(&l);
            if (status == MPR_ENOMEM) {
                return status;
            }
            wrong += status != MPR_OK;
        }
    }
    return MPR_OK;
}

static bool is_before(const mpr_jemalloc_span *a, const mpr_jemalloc_span *b) { return a->begin < b->begin; }

/* One that lies over another, which two trees never have, is damage. */
void mpr_jemalloc_finish(mpr_jemalloc *all) {
    mpr_jemalloc_span *span = all->span.items;
    size_t count = 0;
    mpr_vec_sort(&all->span, is_before);
    for (size_t i = 0; i < all->span.count; i++) {
        if (count == 0 || span[i].begin >= span[count - 1].end) {
            span[count++] = span[i];
        }
    }
    all->span.count = count;
}

/* base_block_t: its size, the next block, and the description of what is left of it. */
uint64_t mpr_jemalloc_block_end(uint64_t begin, uint64_t limit, const mpr_chunks_head *head) {
    uint64_t size = head->word[0], next = head->word[1], rest = head->word[3];
    bool sized = size > 0 && size % BLOCK_UNIT == 0 && begin % BLOCK_UNIT == 0 && size <= limit - begin;
    bool linked = next % BLOCK_UNIT == 0 && next != begin && next >> 47 == 0;
    return sized && linked && rest > begin && rest <= begin + size ? begin + size : 0;
}

MPR_MAPS_ANY_MEMORY bool mpr_jemalloc_is_cache(const uint64_t *words, size_t count) {
    if (count == 0 || words[0] != CACHE_BEGIN) {
        return false;
    }
    while (words[count - 1] == 0) {
        count--;
    }
    return words[count - 1] == CACHE_END || words[count - 1] == CACHE_END_LATER;
}
