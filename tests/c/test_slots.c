/* SPDX-License-Identifier: MIT
 * native/slots, jemalloc and mimalloc: trees and arenas that are made up here. */
#define _GNU_SOURCE 1
#include <string.h>
#include <sys/mman.h>

#include "base/os/maps.h"
#include "base/status.h"
#include "native/account.h"
#include "native/blocks.h"
#include "native/jemalloc.h"
#include "native/mimalloc.h"
#include "native/slots.h"
#include "test.h"

#define PAGE ((uint64_t)4096)
#define MIB ((size_t)1 << 20)

/* ---- jemalloc ---- */

#define PLACES ((uint64_t)1 << 18)

static volatile uint64_t root[1 << 18]; /* zeroed data of this program; volatile, for nobody here reads it */

typedef struct described {
    uint64_t bits, address, size, other[13];
} described;

/* Enter an extent: the words of its first and its last page lead to its description, as in jemalloc. */
static void enter(uint64_t *leaf, described *d, uint64_t begin, uint64_t size) {
    *d = (described){.bits = 7, .address = begin + 64, .size = size | 5}; /* a large block begins somewhere in its first page */
    leaf[(begin >> 12) % PLACES] = leaf[((begin + size - 1) >> 12) % PLACES] = (uint64_t)(uintptr_t)d | (UINT64_C(30) << 48) | 9;
}

/* Memory that lies in one gigabyte, whose leaf is filled; not in the first one, where valgrind's programs have theirs. */
static uint64_t extents_in_one_gigabyte(uint64_t **leaf, described **d) {
    enum { SIZE = 64 * 4096 };
    static uintptr_t wish = (uintptr_t)1 << 42;
    uint64_t at = (uint64_t)(uintptr_t)mmap((void *)(wish += (uintptr_t)1 << 30), 2 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    at = at >> 30 == (at + SIZE - 1) >> 30 ? at : at + SIZE;
    *leaf = test_pages(PLACES * 8);
    *d = test_pages(PAGE);
    enter(*leaf, &(*d)[0], at, 16 * PAGE);
    enter(*leaf, &(*d)[1], at + 16 * PAGE, PAGE);
    enter(*leaf, &(*d)[2], at + 32 * PAGE, 8 * PAGE);
    return at;
}

static void knows_extents(test *t) {
    uint64_t *leaf, *data = test_pages(PLACES * 8 + PAGE);
    described *d;
    mpr_alloc a;
    mpr_alloc_pages(&a);
    uint64_t at = extents_in_one_gigabyte(&leaf, &d), begin = (uint64_t)(uintptr_t)data, end = begin + PLACES * 8 + PAGE;
    data[(at >> 30) + 11] = (uint64_t)(uintptr_t)leaf; /* the root begins at the 12th word */
    mpr_jemalloc found = {0};
    CHECK(t, mpr_jemalloc_add(&found, &a, begin, end) == MPR_OK);
    mpr_jemalloc_finish(&found);
    if (CHECK(t, found.span.count == 2)) { /* the first two lie side by side */
        CHECK(t, found.span.items[0].begin == at && found.span.items[0].end == at + 17 * PAGE);
        CHECK(t, found.span.items[1].begin == at + 32 * PAGE && found.span.items[1].end == at + 40 * PAGE);
    }
    mpr_vec_free(&found.span, &a);
    struct { uint64_t *word, wrong; } wrongs[] = {
        {&d[0].address, at + PAGE},       /* not where the leaf's word says */
        {&d[0].size, 0},                  /* of no page */
        {&d[0].address, 0},               /* of the first gigabyte */
        {&data[(at >> 30) + 11], 0},      /* nothing leads to the leaf */
        {&data[(at >> 30) + 11], 8 * PAGE}, /* what is not there */
        {&leaf[(at >> 12) % PLACES], 64 * PAGE},
        {&d[0].size, UINT64_C(1) << 40},  /* a pointer read for a size: no word leads to its last page */
    };
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        uint64_t right = *wrongs[i].word;
        *wrongs[i].word = wrongs[i].wrong;
        mpr_jemalloc none = {0};
        CHECK(t, mpr_jemalloc_add(&none, &a, begin, end) == MPR_OK && none.span.count == 0);
        *wrongs[i].word = right;
    }
    data[(at >> 30) + 12] = (uint64_t)(uintptr_t)leaf + 64; /* leaves that lie one over another: the page is none of a root's */
    mpr_jemalloc torn = {0};
    CHECK(t, mpr_jemalloc_add(&torn, &a, begin, end) == MPR_OK && torn.span.count == 0);
    data[(at >> 30) + 11] = data[(at >> 30) + 12] = 0;
    data[PAGE / 8] = (uint64_t)(uintptr_t)leaf; /* its root would lie before the data */
    mpr_jemalloc none = {0};
    CHECK(t, mpr_jemalloc_add(&none, &a, begin, end) == MPR_OK && none.span.count == 0 && a.used == 0);
    /* Pointers only, as valgrind's own data have: each tried by itself, this would not end in an hour. */
    for (size_t i = 0; i < PLACES; i++) data[i] = (uint64_t)(uintptr_t)leaf + i % 99 * 64;
    CHECK(t, mpr_jemalloc_add(&none, &a, begin, end) == MPR_OK && none.span.count == 0 && a.used == 0);
    munmap(data, PLACES * 8 + PAGE);
    munmap(leaf, PLACES * 8);
    munmap(d, PAGE);
}

/* One that begins in the gigabyte before: both leaves have it, and the second begins with its last page. */
static void knows_an_extent_of_two_gigabytes(test *t) {
    enum { BEFORE = 4, AFTER = 3 };
    uint64_t border = UINT64_C(1) << 43, *low = test_pages(PLACES * 8), *high = test_pages(PLACES * 8), *data = test_pages(PLACES * 8);
    uint64_t begin = (uint64_t)(uintptr_t)data, from = border - BEFORE * PAGE, end = border + AFTER * PAGE;
    described *d = test_pages(PAGE);
    mpr_alloc a;
    mpr_alloc_pages(&a);
    enter(low, &d[0], from - 2 * PAGE, 2 * PAGE);
    enter(low, &d[1], from, end - from);
    enter(high, &d[1], from, end - from); /* puts the words of both pages in each, of which one is the other leaf's */
    low[((end - 1) >> 12) % PLACES] = high[(from >> 12) % PLACES] = 0;
    enter(high, &d[2], end, PAGE);
    data[(border >> 30) - 1] = (uint64_t)(uintptr_t)low;
    data[border >> 30] = (uint64_t)(uintptr_t)high;
    mpr_jemalloc found = {0};
    CHECK(t, mpr_jemalloc_add(&found, &a, begin, begin + PLACES * 8) == MPR_OK);
    mpr_jemalloc_finish(&found);
    CHECK(t, found.span.count == 1 && found.span.items[0].begin == from - 2 * PAGE && found.span.items[0].end == end + PAGE);
    mpr_vec_free(&found.span, &a);
    munmap(data, PLACES * 8);
    munmap(high, PLACES * 8);
    munmap(low, PLACES * 8);
    munmap(d, PAGE);
}

/* Damage at random: whatever is read leads to no fault, and to no extent that is none of the process's addresses. */
static void survives_damaged_trees(test *t) {
    uint64_t *leaf, *data = test_pages(PLACES * 8);
    described *d;
    mpr_alloc a;
    mpr_alloc_pages(&a);
    uint64_t at = extents_in_one_gigabyte(&leaf, &d), begin = (uint64_t)(uintptr_t)data, seed = 7, good = 0;
    const uint64_t values[] = {0, 1, PAGE, at, at + PAGE, at - PAGE, UINT64_MAX, UINT64_C(1) << 46, (uint64_t)(uintptr_t)d, (uint64_t)(uintptr_t)leaf};
    for (int turn = 0; turn < 300; turn++) {
        uint64_t *words[] = {&leaf[(at >> 12) % PLACES], (uint64_t *)d, &data[at >> 30]};
        size_t room[] = {40, 3 * sizeof *d / 8, 2}, which = turn % 8 == 0 ? 2 : (size_t)turn % 2;
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t *word = &words[which][(seed >> 33) % room[which]], right = *word;
        data[at >> 30] = (uint64_t)(uintptr_t)leaf;
        *word = values[(seed >> 50) % (sizeof values / sizeof *values)];
        mpr_jemalloc found = {0};
        bool sound = mpr_jemalloc_add(&found, &a, begin, begin + PLACES * 8) == MPR_OK;
        mpr_jemalloc_finish(&found);
        for (size_t i = 0; i < found.span.count; i++) {
            sound = sound && found.span.items[i].begin < found.span.items[i].end && found.span.items[i].end >> 47 == 0;
        }
        good += sound;
        mpr_vec_free(&found.span, &a);
        *word = right;
    }
    CHECK(t, good == 300 && a.used == 0);
    munmap(data, PLACES * 8);
    munmap(leaf, PLACES * 8);
    munmap(d, PAGE);
}

static void orders_spans(test *t) {
    mpr_jemalloc_span spans[] = {{8 * PAGE, 9 * PAGE}, {2 * PAGE, 4 * PAGE}, {3 * PAGE, 5 * PAGE}, {5 * PAGE, 6 * PAGE}};
    mpr_jemalloc all = {.span = {.items = spans, .count = 4, .capacity = 4}};
    mpr_jemalloc_finish(&all);
    CHECK(t, all.span.count == 3 && spans[0].begin == 2 * PAGE && spans[1].begin == 5 * PAGE && spans[2].begin == 8 * PAGE);
}

static void knows_blocks_of_jemalloc(test *t) {
    uint64_t begin = UINT64_C(0x7f0000200000), limit = begin + 4 * MIB;
    mpr_chunks_head head = {{2 * MIB, 0, 7, begin + 4096}};
    CHECK(t, mpr_jemalloc_block_end(begin, limit, &head) == begin + 2 * MIB);
    CHECK(t, mpr_jemalloc_block_end(begin, begin + MIB, &head) == 0 && mpr_jemalloc_block_end(begin + PAGE, limit, &head) == 0);
    for (size_t i = 0; i < 4; i++) {
        mpr_chunks_head wrong = head;
        wrong.word[i] += 4096 - 1;
        CHECK(t, mpr_jemalloc_block_end(begin, limit, &wrong) == (i < 2 ? 0 : begin + 2 * MIB)); /* what is left may begin anywhere */
    }
    head.word[3] = begin;
    CHECK(t, mpr_jemalloc_block_end(begin, limit, &head) == 0);
}

static int account_for(mpr_account *account, mpr_alloc *alloc, mpr_account_more *more) {
    mpr_held smaps = mpr_maps_open(0, MPR_MAPS_SIZES), pages = mpr_maps_open(0, MPR_MAPS_PAGES);
    mpr_account_begin(account, more != NULL, &smaps);
    int status = mpr_account_finish(account, alloc, &pages, more != NULL, more);
    mpr_held_close(&smaps);
    mpr_held_close(&pages);
    return status;
}

/* Only what is in memory of the extents counts, and nothing is counted twice. */
static uint64_t count_jemalloc(test *t, mpr_alloc *alloc, mpr_account_more *more, uint64_t *images) {
    mpr_account account;
    CHECK(t, account_for(&account, alloc, more) == MPR_OK);
    CHECK(t, account.value[MPR_ACCOUNT_MALLOC] + account.value[MPR_ACCOUNT_JEMALLOC] <= account.value[MPR_ACCOUNT_RESIDENT]);
    *images = account.value[MPR_ACCOUNT_IMAGES];
    return account.value[MPR_ACCOUNT_JEMALLOC];
}

static void counts_extents(test *t) {
    uint64_t *leaf, first, before, during;
    described *d;
    mpr_alloc a;
    mpr_alloc_pages(&a);
    mpr_account_more more = {.alloc = &a}, unused = {.alloc = &a}, *still = test_has_glibc() ? &more : NULL;
    uint64_t at = extents_in_one_gigabyte(&leaf, &d);
    memset((void *)(uintptr_t)at, 1, 20 * PAGE); /* 17 of an extent, 3 of nobody */
    uint64_t head[] = {0, (256 << 10) | 2};      /* in an extent: as of a chunk of malloc's, which it is not */
    memcpy((void *)(uintptr_t)at, head, sizeof head);
    leaf[((at >> 12) + 16) % PLACES] = (uint64_t)(uintptr_t)&d[1] | (UINT64_C(28) << 48); /* one block of a page */
    d[1].address -= 64;
    root[at >> 30] = (uint64_t)(uintptr_t)leaf; /* once for nothing: then all code that it runs is in memory, which is part of an image */
    count_jemalloc(t, &a, still != NULL ? &unused : NULL, &first);
    mpr_account_more_free(&unused);
    root[at >> 30] = 0;
    CHECK(t, count_jemalloc(t, &a, NULL, &before) == 0);
    root[at >> 30] = (uint64_t)(uintptr_t)leaf;
    CHECK(t, count_jemalloc(t, &a, still, &during) == 17 * PAGE);
    root[at >> 30] = 0;
    CHECK(t, during < before + 2 * PAGE && before < during + 2 * PAGE);
    const mpr_slots_run *run = mpr_slots_find(&more.slots, at + 16 * PAGE);
    CHECK(t, still == NULL || (run != NULL && run->begin == at + 16 * PAGE && run->slot == PAGE));
    mpr_account_more_free(&more);
    munmap(leaf, PLACES * 8);
    munmap(d, PAGE);
    CHECK(t, a.used == 0);
}

static void without_memory(test *t) {
    test_alloc a;
    uint64_t *leaf;
    described *d;
    uint64_t at = extents_in_one_gigabyte(&leaf, &d);
    bool tripped = true;
    test_alloc_init(&a);
    root[at >> 30] = (uint64_t)(uintptr_t)leaf;
    leaf[((at >> 12) + 16) % PLACES] = (uint64_t)(uintptr_t)&d[1] | (UINT64_C(28) << 48);
    for (uint64_t nth = 1; tripped; nth++) {
        mpr_account account;
        mpr_account_more more = {.alloc = &a.alloc};
        a.calls = 0, a.fail_at = nth, a.tripped = false;
        int status = account_for(&account, &a.alloc, test_has_glibc() ? &more : NULL);
        tripped = a.tripped;
        CHECK(t, tripped ? status == MPR_ENOMEM || more.regions.incomplete : status == MPR_OK);
        mpr_account_more_free(&more);
        CHECK(t, a.live == 0);
    }
    root[at >> 30] = 0;
    munmap(leaf, PLACES * 8);
    munmap(d, PAGE);
}

/* Sizes of classes as jemalloc's manual has them; slabs are of whole slots. */
static void knows_slots_of_jemalloc(test *t) {
    struct { uint64_t class, pages, offset, slab, slot, count; } wanted[] = {
        {1, 1, 0, 1, 16, 256},    {4, 1, 0, 1, 64, 64},     {5, 5, 0, 1, 80, 256},         {7, 7, 0, 1, 112, 256},
        {9, 5, 0, 1, 160, 128},   {35, 7, 0, 1, 14336, 2},  {44, 17, 192, 0, 16 * PAGE, 1}, /* a page more */
        {44, 16, 0, 0, 16 * PAGE, 1}, {44, 15, 64, 0, 14 * PAGE, 1}, /* large ones may be rounded to pages alone */
        {44, 12, 0, 0, 0, 0},     {44, 18, 64, 0, 0, 0},    {35, 8, 0, 1, 0, 0},           {7, 7, 64, 1, 0, 0}, /* do not fit */
        {0, 1, 0, 1, 0, 0},       {232, 1, 0, 0, 0, 0},     {255, 1, 0, 0, 0, 0}}; /* too small, free */
    mpr_alloc a;
    mpr_alloc_pages(&a);
    uint64_t *leaf, *data = test_pages(PLACES * 8), begin = (uint64_t)(uintptr_t)data;
    described *d;
    uint64_t at = extents_in_one_gigabyte(&leaf, &d);
    data[at >> 30] = (uint64_t)(uintptr_t)leaf;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        mpr_slots slots = {.alloc = &a};
        mpr_jemalloc found = {.slots = &slots};
        memset(leaf, 0, PLACES * 8);
        d[0] = (described){.bits = 7, .address = at + wanted[i].offset, .size = wanted[i].pages * PAGE};
        uint64_t word = (uint64_t)(uintptr_t)d | wanted[i].class << 48 | wanted[i].slab;
        leaf[(at >> 12) % PLACES] = leaf[(at >> 12) % PLACES + wanted[i].pages - 1] = word;
        enter(leaf, &d[2], at + 32 * PAGE, 8 * PAGE); /* a leaf needs two */
        CHECK(t, mpr_jemalloc_add(&found, &a, begin, begin + PLACES * 8) == MPR_OK && found.span.count == 2);
        mpr_slots_finish(&slots);
        const mpr_slots_run *run = mpr_slots_find(&slots, at + wanted[i].offset);
        CHECK(t, (run != NULL) == (wanted[i].count > 0));
        CHECK(t, run == NULL || (run->begin == at + wanted[i].offset && run->slot == wanted[i].slot &&
                                 run->end == run->begin + wanted[i].slot * wanted[i].count));
        mpr_slots_free(&slots);
        mpr_vec_free(&found.span, &a);
    }
    munmap(data, PLACES * 8);
    munmap(leaf, PLACES * 8);
    munmap(d, PAGE);
    CHECK(t, a.used == 0);
}

static void knows_caches_of_threads(test *t) {
    const uint64_t first = UINT64_C(0x7a7a7a7a7a7a7a7a);
    uint64_t cache[8] = {first, 0, 4096, 8192, 0, first + 1};
    CHECK(t, mpr_jemalloc_is_cache(cache, 8) && mpr_jemalloc_is_cache(cache, 6));
    CHECK(t, !mpr_jemalloc_is_cache(cache, 0) && !mpr_jemalloc_is_cache(cache, 5) && !mpr_jemalloc_is_cache(cache + 1, 5));
    cache[5] = UINT64_C(0xa7a7a7a7a7a7a7a7);
    CHECK(t, mpr_jemalloc_is_cache(cache, 8));
    cache[7] = 1;
    CHECK(t, !mpr_jemalloc_is_cache(cache, 8));
}

/* ---- mimalloc ---- */

#define SLICE ((uint64_t)64 << 10)
#define ARENA (32 * MIB)

/* mi_page_t as words: thread, free, used and so on, local free, thread free, size, offset, .., arena, slices. */
static void put_page(uint64_t *record, uint64_t arena, uint64_t slice, uint64_t slices, uint64_t size, uint64_t used, uint64_t capacity, uint64_t reserved) {
    uint64_t first = arena + slice * SLICE + 64;
    memset(record, 0, 14 * 8);
    record[2] = used | capacity << 16 | reserved << 32;
    record[5] = size;
    record[6] = (first - (uint64_t)(uintptr_t)record) / 8;
    record[11] = arena;
    record[12] = slice | slices << 32;
}

static void knows_pages_of_mimalloc(test *t) {
    mpr_alloc a;
    mpr_alloc_pages(&a);
    uint8_t *room = test_pages(ARENA + SLICE);
    uint64_t begin = ((uint64_t)(uintptr_t)room + SLICE - 1) & ~(SLICE - 1), end = begin + ARENA;
    uint64_t *arena = (uint64_t *)(uintptr_t)begin, *records = arena + 3 * PAGE / 8 - 5; /* over the end of a page */
    uint64_t head[] = {begin, ARENA, 4, 5, 0, ARENA / SLICE, 2};
    memcpy(arena, head, sizeof head);
    CHECK(t, mpr_mimalloc_end(begin, end, (const mpr_chunks_head *)arena) == end);
    CHECK(t, mpr_mimalloc_end(begin, end - 1, (const mpr_chunks_head *)arena) == 0);
    CHECK(t, mpr_mimalloc_end(begin + SLICE, end, (const mpr_chunks_head *)arena) == 0);
    struct { uint64_t slice, slices, size, used, capacity, reserved, count; } wanted[] = {
        {2, 1, 64, 3, 10, 1000, 10}, {3, 1, 4096, 1, 15, 15, 15}, {4, 10, 600000, 1, 1, 1, 1}, {511, 1, 16, 1, 1, 1, 1},
        {20, 1, 64, 0, 10, 1000, 0},    /* nothing in use */
        {21, 1, 64, 11, 10, 1000, 0},   /* more than there are */
        {22, 1, 64, 1, 1001, 1000, 0},
        {23, 1, 64, 1, 10, 1024, 0},    /* more than there is room for */
        {24, 0, 64, 1, 10, 10, 0},      /* of no slice */
        {1, 1, 64, 1, 10, 10, 0},       /* of the arena's own */
        {511, 2, 64, 1, 10, 10, 0},     /* over its end */
        {25, 1, 0, 1, 10, 10, 0},
        {26, 1, 24, 1, 10, 10, 0}};     /* of no multiple of 16 */
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        mpr_slots slots = {.alloc = &a};
        put_page(records, begin, wanted[i].slice, wanted[i].slices, wanted[i].size, wanted[i].used, wanted[i].capacity, wanted[i].reserved);
        CHECK(t, mpr_mimalloc_add(&slots, begin, end) == MPR_OK);
        mpr_slots_finish(&slots);
        uint64_t first = begin + wanted[i].slice * SLICE + 64;
        const mpr_slots_run *run = mpr_slots_find(&slots, first);
        CHECK(t, (run != NULL) == (wanted[i].count > 0) && slots.run.count == (wanted[i].count > 0));
        CHECK(t, run == NULL || (run->begin == first && run->end == first + wanted[i].size * wanted[i].count));
        mpr_slots_free(&slots);
    }
    mpr_slots none = {.alloc = &a};
    put_page(records, begin + SLICE, 3, 1, 64, 1, 1, 1); /* of another arena */
    CHECK(t, mpr_mimalloc_add(&none, begin, end) == MPR_OK && none.run.count == 0);
    put_page(records, begin, 3, 1, 64, 1, 1, 1);
    arena[6] = arena[5]; /* an arena of another layout */
    CHECK(t, mpr_mimalloc_add(&none, begin, end) == MPR_OK && none.run.count == 0);
    munmap(room, ARENA + SLICE);
    CHECK(t, a.used == 0);
}

/* ---- slots ---- */

static void orders_slots(test *t) {
    mpr_alloc a;
    mpr_alloc_pages(&a);
    mpr_slots slots = {.alloc = &a}, nobodys = {.alloc = NULL};
    struct { uint64_t begin, slot, count; } added[] = {
        {0x9000, 64, 4}, {0x1000, 48, 10}, {0x1100, 16, 1}, {0x11e0, 32, 2},          /* the third lies over the second */
        {0x2008, 16, 1}, {0x2000, 24, 1},  {0x2000, 8, 1},  {0x2000, 0, 1}, {0x2000, 16, 0}, /* none of these */
        {UINT64_C(1) << 47, 16, 1}, {0x2000, 16, UINT64_MAX}, {0x2000, UINT64_MAX - 15, 1}};
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        CHECK(t, mpr_slots_add(&slots, added[i].begin, added[i].slot, added[i].count) == MPR_OK);
        CHECK(t, mpr_slots_add(&nobodys, added[i].begin, added[i].slot, added[i].count) == MPR_OK);
    }
    CHECK(t, mpr_slots_find(&nobodys, 0x1000) == NULL);
    mpr_slots_finish(&slots);
    CHECK(t, slots.run.count == 3);
    CHECK(t, mpr_slots_find(&slots, 0xfff) == NULL && mpr_slots_find(&slots, 0x1000) == slots.run.items);
    CHECK(t, mpr_slots_find(&slots, 0x11df) == slots.run.items && mpr_slots_find(&slots, 0x11e0) == slots.run.items + 1);
    CHECK(t, mpr_slots_find(&slots, 0x1220) == NULL && mpr_slots_find(&slots, 0x90ff) == slots.run.items + 2);
    CHECK(t, mpr_slots_find(&slots, 0x9100) == NULL);
    mpr_slots_free(&slots);
    CHECK(t, a.used == 0);
}

/* Beside malloc's chunks, of which one lies before them in the same page of 1 MiB. */
static void finds_blocks_in_slots(test *t) {
    mpr_alloc a;
    mpr_alloc_pages(&a);
    uint64_t memory = (uint64_t)(uintptr_t)test_pages(MIB), slot = memory + 64 * PAGE;
    ((uint64_t *)(uintptr_t)memory)[1] = 0x41;
    mpr_slots slots = {.alloc = &a};
    mpr_blocks blocks;
    mpr_blocks_init(&blocks, &a);
    CHECK(t, mpr_slots_add(&slots, slot, 48, 100) == MPR_OK && mpr_blocks_add_chunk(&blocks, memory + 16, 0x38) == MPR_OK);
    mpr_slots_finish(&slots);
    mpr_blocks_add_slots(&blocks, &slots);
    mpr_blocks_sort(&blocks);
    CHECK(t, mpr_blocks_find(&blocks, memory + 40) == memory + 16 && mpr_blocks_find(&blocks, memory + 0x50) == 0);
    CHECK(t, mpr_blocks_find(&blocks, slot - 1) == 0 && mpr_blocks_find(&blocks, slot + 4800) == 0);
    CHECK(t, mpr_blocks_find(&blocks, slot) == slot && mpr_blocks_find(&blocks, slot + 4799) == slot + 4752);
    CHECK(t, mpr_blocks_has(&blocks, slot + 48) && !mpr_blocks_has(&blocks, slot + 16) && mpr_blocks_is_slot(&blocks, slot + 48));
    CHECK(t, mpr_blocks_size(&blocks, slot + 48) == 48 && mpr_blocks_bytes(&blocks, slot + 48) == 48);
    CHECK(t, mpr_blocks_doubted(&blocks, slot + 48) == UINT64_MAX && !mpr_blocks_is_slot(&blocks, memory + 16));
    CHECK(t, mpr_blocks_remove(&blocks, slot + 48) == MPR_OK && mpr_blocks_remove(&blocks, slot + 100) == MPR_OK);
    CHECK(t, !mpr_blocks_has(&blocks, slot + 48) && mpr_blocks_find(&blocks, slot + 50) == 0);
    CHECK(t, mpr_blocks_find(&blocks, slot + 100) == slot + 96); /* an address inside of one is none's */
    mpr_blocks_free(&blocks);
    mpr_slots_free(&slots);
    munmap((void *)(uintptr_t)memory, MIB);
    CHECK(t, a.used == 0);
}

void test_slots(test *t) {
    knows_extents(t);
    knows_an_extent_of_two_gigabytes(t);
    survives_damaged_trees(t);
    orders_spans(t);
    knows_blocks_of_jemalloc(t);
    counts_extents(t);
    without_memory(t);
    knows_slots_of_jemalloc(t);
    knows_caches_of_threads(t);
    knows_pages_of_mimalloc(t);
    orders_slots(t);
    finds_blocks_in_slots(t);
}
