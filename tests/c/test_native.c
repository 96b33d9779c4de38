/* SPDX-License-Identifier: MIT
 * native/: chunks of regions that are made up here, and the account of this very process, beside what malloc and the kernel say. */
#define _GNU_SOURCE 1
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/os/maps.h"
#include "base/os/process.h"
#include "base/status.h"
#include "native/account.h"
#include "native/chunks.h"
#include "native/pools.h"
#include "test.h"

#define PAGE ((uint64_t)4096)
#define MIB ((size_t)1 << 20)

/* ---- made-up regions ---- */

/* Chunks of these sizes, one behind the other, of which every second is free; the last is the top. */
static uint64_t lay_chunks(uint64_t begin, const uint64_t *sizes, size_t count) {
    uint64_t at = begin;
    for (size_t i = 0; i < count; at += sizes[i], i++) {
        bool before_in_use = i == 0 || (i - 1) % 2 == 0;
        ((uint64_t *)(uintptr_t)at)[1] = sizes[i] | before_in_use;
    }
    return at;
}

static void follows_chunks(test *t) {
    static const uint64_t sizes[] = {48, 64, 4096 * 5, 160, 32, 4096 * 2};
    uint8_t *block = test_pages(16 * PAGE);
    uint64_t begin = (uint64_t)(uintptr_t)block, end = lay_chunks(begin, sizes, 6);
    mpr_chunks found = {0};
    CHECK(t, mpr_chunks_walk(&found, begin, end, true));
    CHECK(t, found.used == 3 && found.used_bytes == 48 + 4096 * 5 + 32 && found.free == 3 && found.free_bytes == 64 + 160 + 4096 * 2);
    CHECK(t, found.top_bytes == 4096 * 2 && found.largest == 160 && found.returnable == 0); /* nothing was touched */
    CHECK(t, found.used_resident < found.used_bytes && found.used_resident % 16 == 0); /* pages inside the large one were never touched */
    memset(block + 48 + 64 + 16, 1, 4096 * 5 - 16);
    mpr_chunks touched = {0};
    CHECK(t, mpr_chunks_walk(&touched, begin, end, true) && touched.used_resident == touched.used_bytes);

    memset((void *)(uintptr_t)(end - 4096 * 2 + 16), 1, 4096 * 2 - 16); /* the top: a whole page of it lies in memory now */
    mpr_chunks main = {0}, other = {0};
    CHECK(t, mpr_chunks_walk(&main, begin, end, true) && main.returnable == 4096);
    CHECK(t, mpr_chunks_walk(&other, begin, end, false) && other.returnable == 0);

    mpr_chunks none = {0}; /* what does not end where it should is not counted at all */
    CHECK(t, !mpr_chunks_walk(&none, begin, end + 4096, true) && !mpr_chunks_walk(&none, begin, end - 16, true) && none.used == 0);
    CHECK(t, !mpr_chunks_walk(&none, begin + 8, end, true) && !mpr_chunks_walk(&none, begin, begin, true));
    ((uint64_t *)(uintptr_t)(begin + 48))[1] = UINT64_MAX;
    CHECK(t, !mpr_chunks_walk(&none, begin, end, true) && none.used == 0);
    ((uint64_t *)(uintptr_t)(begin + 48))[1] = 0;
    CHECK(t, !mpr_chunks_walk(&none, begin, end, true) && none.used == 0);
    ((uint64_t *)(uintptr_t)(begin + 48))[1] = 16; /* as only the last ones of a region are */
    ((uint64_t *)(uintptr_t)(begin + 64))[1] = 48;
    CHECK(t, !mpr_chunks_walk(&none, begin, end, true) && none.used == 0);
    munmap(block, 16 * PAGE);
}

typedef struct tally {
    uint64_t count, bytes, last;
    bool ordered;
} tally;

static void add_block(void *context, const mpr_block *block) {
    tally *sum = context;
    sum->ordered = (sum->count == 0 || sum->ordered) && block->address > sum->last && block->words != NULL;
    sum->count++, sum->bytes += block->size, sum->last = block->address;
}

static void gives_chunks(test *t) {
    static const uint64_t sizes[] = {48, 64, 4096, 160, 32, 4096};
    uint8_t *block = test_pages(16 * PAGE);
    uint64_t begin = (uint64_t)(uintptr_t)block, end = lay_chunks(begin, sizes, 6);
    test_alloc a;
    test_alloc_init(&a);
    mpr_chunks found = {.regions = {.alloc = &a.alloc}};
    CHECK(t, mpr_chunks_walk(&found, begin, end, true) && found.regions.region.count == 1);
    tally sum = {0};
    mpr_chunks_each_block(&found.regions.region.items[0], add_block, &sum);
    CHECK(t, sum.count == 3 && sum.ordered && sum.bytes == 48 + 4096 + 32 - 3 * 8); /* of each the program has all but its size */
    ((uint64_t *)(uintptr_t)begin)[1] |= 2 | 4; /* its first chunk has flags of a mapping, and of another arena: what it is was seen before */
    tally same = {0};
    mpr_chunks_each_block(&found.regions.region.items[0], add_block, &same);
    CHECK(t, same.count == 3 && found.regions.region.items[0].kind == MPR_CHUNKS_MAIN);
    ((uint64_t *)(uintptr_t)begin)[1] = 48 | 1;
    ((uint64_t *)(uintptr_t)(begin + 48))[1] = 8; /* damaged since: no further than there */
    tally less = {0};
    mpr_chunks_each_block(&found.regions.region.items[0], add_block, &less);
    CHECK(t, less.count <= 1);
    ((uint64_t *)(uintptr_t)(begin + 48))[1] = 0 - (uint64_t)48; /* nor backwards */
    mpr_chunks_each_block(&found.regions.region.items[0], add_block, &less);
    CHECK(t, less.count <= 2);
    mpr_chunks_regions_free(&found.regions);
    ((uint64_t *)(uintptr_t)begin)[1] = 8 * PAGE | 2;
    mpr_chunks_region mapped = {begin, begin + 8 * PAGE, MPR_CHUNKS_MAPPED};
    tally one = {0};
    mpr_chunks_each_block(&mapped, add_block, &one);
    CHECK(t, one.count == 1 && one.bytes == 8 * PAGE - 16 && one.last == begin + 16 && a.live == 0);
    munmap(block, 16 * PAGE);
}

/* 4 MiB of one chunk of 16 bytes per 64 KiB in use, and of what is free between them all that was touched. */
static void finds_thinly_filled_pieces(test *t) {
    uint8_t *block = test_pages(8 * MIB);
    uint64_t first = ((uint64_t)(uintptr_t)block + MIB - 1) / MIB * MIB, sizes[2 * 64];
    for (size_t i = 0; i < 2 * 64; i++) {
        sizes[i] = i % 2 == 0 ? 32 : (64 << 10) - 32;
    }
    uint64_t end = lay_chunks(first, sizes, 2 * 64);
    CHECK(t, end == first + 4 * MIB);
    memset((void *)(uintptr_t)(first + 32 + 48), 1, (64 << 10) - 32 - 48);                /* a sixteenth of the first MiB */
    for (size_t i = 0; i < 16; i++) {                                                       /* all of the second */
        memset((void *)(uintptr_t)(first + MIB + i * (64 << 10) + 32 + 48), 1, (64 << 10) - 32 - 48);
    }
    test_alloc a;
    test_alloc_init(&a);
    mpr_chunks found = {.regions = {.alloc = &a.alloc}};
    CHECK(t, mpr_chunks_walk(&found, first, end, true) && found.arenas == 1 && found.others_free == 0);
    CHECK(t, found.regions.sparse.count == 1 && found.regions.sparse.items[0].begin == first + MIB);
    const mpr_chunks_piece *piece = found.regions.sparse.items;
    CHECK(t, found.regions.sparse.count == 1 && piece->used == 16 * 32 && piece->free == MIB - 16 * 32);
    CHECK(t, !mpr_chunks_walk(&found, first, end + PAGE, true) && found.regions.sparse.count == 1); /* what does not end there has none */
    CHECK(t, mpr_chunks_walk(&found, first, end, false) && found.others_free > MIB - PAGE && found.regions.sparse.count == 2);
    mpr_chunks_regions_free(&found.regions);
    CHECK(t, a.live == 0);
    munmap(block, 8 * MIB);
}

typedef struct bounded {
    uint64_t base; /* of the only pool that is wanted */
    tally *sum;
    bool wanted;
} bounded;

static bool is_at(void *context, uint64_t base, uint32_t bytes) { return base == ((const bounded *)context)->base && bytes <= MPR_POOLS_POOL; }

static bool is_wanted(void *context, uint64_t base, uint32_t used) {
    return is_at(context, base, 0) && used > 0 && ((const bounded *)context)->wanted;
}

static void add_block_of_arena(void *context, const mpr_block *block) { add_block(((bounded *)context)->sum, block); }

/* The blocks of the pool at `base`: where it is, or copied. */
static int each_block(bool still, bool kept, bounded *b) {
    return mpr_pools_each_block(still, &(mpr_pools_client){kept ? is_at : NULL, is_wanted, add_block_of_arena, b});
}

/* A pool of 48-byte blocks, of which 10 were given out, and 3 given back. */
static void gives_blocks_of_pools(test *t) {
    const uint64_t size = 48;
    uint8_t *arena = test_pages(64 * PAGE);
    uint64_t base = ((uint64_t)(uintptr_t)arena + MPR_POOLS_POOL - 1) & ~(MPR_POOLS_POOL - 1), free_at[3];
    uint32_t *head = (uint32_t *)(uintptr_t)base;
    for (size_t i = 0; i < 3; i++) free_at[i] = base + 48 + 3 * i * size;
    for (size_t i = 0; i < 3; i++) *(uint64_t *)(uintptr_t)free_at[i] = i < 2 ? free_at[i + 1] : 0;
    head[0] = 7;
    *(uint64_t *)(uintptr_t)(base + 8) = free_at[0];
    head[8] = 1, head[9] = 2, head[10] = (uint32_t)(48 + 10 * size), head[11] = (uint32_t)(MPR_POOLS_POOL - size);
    for (int still = 0; still <= test_has_glibc(); still++) { /* valgrind watches what is read directly */
        for (int kept = 0; kept <= 1; kept++) {
            tally sum = {0}, nothing = {0};
            CHECK(t, each_block(still, kept, &(bounded){base, &sum, true}) == MPR_OK);
            CHECK(t, sum.count == 7 && sum.bytes == 7 * size && sum.ordered);
            CHECK(t, each_block(still, kept, &(bounded){base, &nothing, false}) == MPR_OK && nothing.count == 0);
        }
    }
    *(uint64_t *)(uintptr_t)free_at[1] = free_at[0]; /* a circle */
    tally none = {0};
    each_block(test_has_glibc(), true, &(bounded){base, &none, true});
    CHECK(t, none.count == 0);
    *(uint64_t *)(uintptr_t)free_at[1] = base - 16; /* a block's size further it has gone around */
    each_block(test_has_glibc(), true, &(bounded){base, &none, true});
    CHECK(t, none.count == 0);
    munmap(arena, 64 * PAGE);
}

static void knows_mapped_chunks(test *t) {
    uint64_t begin = 0x7000000000, end = begin + MIB;
    mpr_chunks_head head = {{0, (256 << 10) | 2}};
    CHECK(t, mpr_chunks_mapped_end(begin, end, &head) == begin + (256 << 10));
    CHECK(t, mpr_chunks_mapped_end(begin, begin + (128 << 10), &head) == 0 && mpr_chunks_mapped_end(begin + 16, end, &head) == 0);
    head.word[1] = (256 << 10) | 3;
    CHECK(t, mpr_chunks_mapped_end(begin, end, &head) == 0);
    head.word[1] = 4096 | 2; /* smaller than any that malloc maps by itself */
    CHECK(t, mpr_chunks_mapped_end(begin, end, &head) == 0);
}

static void knows_heaps(test *t) {
    uint64_t begin = 100 * MPR_CHUNKS_HEAP;
    mpr_chunks_head first = {{begin + 48, 0, 135168, 135168}}, later = {{begin - MPR_CHUNKS_HEAP + 48, begin - MPR_CHUNKS_HEAP, 8192, 8192}};
    CHECK(t, mpr_chunks_heap_end(begin, &first) == begin + 135168 && mpr_chunks_heap_end(begin, &later) == begin + 8192);
    CHECK(t, mpr_chunks_heap_end(begin + PAGE, &first) == 0); /* not where a heap begins */
    for (size_t i = 0; i < 4; i++) {
        mpr_chunks_head wrong = first;
        wrong.word[i] ^= i == 1 ? PAGE : 1;
        CHECK(t, mpr_chunks_heap_end(begin, &wrong) == 0 || i == 0 || i == 3); /* an arena may lie a word further, more be writable */
    }
}

/* ---- memory that may not be there ---- */

static void peeks(test *t) {
    uint64_t *block = test_pages(3 * PAGE), words = PAGE / 8, out[3];
    uint64_t at = (uint64_t)(uintptr_t)block, places[3] = {at, at + PAGE, at + 2 * PAGE};
    block[0] = 1, block[words] = 2, block[2 * words] = 3;
    for (int still = 0; still < 2; still++)
        CHECK(t, mpr_maps_peek(still, places, 3, 8, out) == 3 && out[0] == 1 && out[1] == 2 && out[2] == 3);
    CHECK(t, mpr_maps_resident_bytes(at, at + 3 * PAGE) == 3 * PAGE);
    munmap(block + words, PAGE);
    CHECK(t, mpr_maps_peek(false, places, 3, 8, out) == 1);
    CHECK(t, mpr_maps_peek(false, places + 1, 1, 8, out) == 0 && mpr_maps_peek(false, places + 2, 1, 8, out) == 1);
    munmap(block, PAGE);
    munmap(block + 2 * words, PAGE);
}

static int check_mapping(void *context, const mpr_mapping *m) {
    uint64_t *last = context;
    bool good = m->begin >= *last && m->end > m->begin && m->resident <= m->end - m->begin;
    *last = m->end;
    return good ? MPR_OK : MPR_EFORMAT;
}

static int stop_reading(void *context, const mpr_mapping *m) { return (void)context, (void)m, MPR_ECANCELLED; }

static void reads_maps(test *t) {
    uint64_t last = 0;
    CHECK(t, mpr_maps_read(0, MPR_MAPS_SIZES, check_mapping, &last) == MPR_OK && last > 0);
    last = 0;
    CHECK(t, mpr_maps_read(getpid(), MPR_MAPS_PLAIN, check_mapping, &last) == MPR_OK);
    CHECK(t, mpr_maps_read(0, MPR_MAPS_PLAIN, stop_reading, NULL) == MPR_ECANCELLED);
    CHECK(t, mpr_maps_read(INT32_MAX, MPR_MAPS_SIZES, check_mapping, &last) == MPR_EIO);
}

/* ---- this process ---- */

static uint64_t value(const mpr_account *a, mpr_account_item item) { return a->value[item]; }

static uint64_t explained(const mpr_account *a) {
    return value(a, MPR_ACCOUNT_IMAGES) + value(a, MPR_ACCOUNT_STACKS) + value(a, MPR_ACCOUNT_FILES) +
           value(a, MPR_ACCOUNT_SHARED_MEMORY) + value(a, MPR_ACCOUNT_POOLS) + value(a, MPR_ACCOUNT_MALLOC);
}

static bool is_near(uint64_t a, uint64_t b, uint64_t by) { return a > b ? a - b <= by : b - a <= by; }

static int take_measured(mpr_account *account, mpr_alloc *alloc, bool still, bool measured) {
    mpr_held smaps = mpr_maps_open(0, MPR_MAPS_SIZES), pages = measured ? mpr_maps_open(0, MPR_MAPS_PAGES) : (mpr_held){0};
    mpr_account_begin(account, still, &smaps);
    int status = mpr_account_finish(account, alloc, &pages, still, NULL);
    mpr_held_close(&smaps);
    mpr_held_close(&pages);
    return status;
}

static int take(mpr_account *account, mpr_alloc *alloc, bool still) { return take_measured(account, alloc, still, true); }

/* Nothing else runs here, so chunks may be followed: they are what mallinfo2 counts. */
static void agrees_with_malloc(test *t) {
    enum { BLOCKS = 2000 };
    static void *blocks[BLOCKS];
    mpr_alloc a;
    mpr_account account;
    mpr_alloc_pages(&a);
    for (size_t i = 0; i < BLOCKS; i++) blocks[i] = memset(malloc(16 + i * 7), 1, 16 + i * 7);
    for (size_t i = 0; i < BLOCKS; i += 3) free(blocks[i]), blocks[i] = NULL;
    void *large = memset(malloc(40 * MIB), 1, MIB); /* a mapping of its own, however high the threshold rose; most of it not touched */
    struct mallinfo2 before = mallinfo2();
    if (CHECK(t, take(&account, &a, test_has_glibc()) == MPR_OK && value(&account, MPR_ACCOUNT_MALLOC_UNREAD) == 0)) {
        uint64_t in_use = before.uordblks + before.hblkhd + before.fsmblks; /* fast bins count as in use */
        CHECK(t, is_near(value(&account, MPR_ACCOUNT_MALLOC_GIVEN), in_use, 4096));
        CHECK(t, !test_has_glibc() || value(&account, MPR_ACCOUNT_MALLOC_USED) + 2 * MIB <= value(&account, MPR_ACCOUNT_MALLOC_GIVEN) + 8192);
        CHECK(t, value(&account, MPR_ACCOUNT_MALLOC_USED) <= value(&account, MPR_ACCOUNT_MALLOC));
        CHECK(t, explained(&account) <= value(&account, MPR_ACCOUNT_RESIDENT));
    }
    free(large);
    for (size_t i = 0; i < BLOCKS; i++) free(blocks[i]), blocks[i] = NULL; /* what is lost in test_marking.c must not be found here */
    CHECK(t, a.used == 0);
}

/* madvise makes two mappings of the heap, as for an array of numpy's: its chunks go on from one to the other. */
static void joins_parts_of_the_heap(test *t) {
    mpr_alloc a;
    mpr_account account;
    mpr_alloc_pages(&a);
    char *block = malloc(100000), *page = (char *)(((uintptr_t)block + 2 * PAGE) & ~(uintptr_t)(PAGE - 1));
    bool split = madvise(page, PAGE, MADV_DONTDUMP) == 0;
    struct mallinfo2 before = mallinfo2();
    if (CHECK(t, split && take(&account, &a, test_has_glibc()) == MPR_OK && value(&account, MPR_ACCOUNT_MALLOC_UNREAD) == 0)) {
        CHECK(t, is_near(value(&account, MPR_ACCOUNT_MALLOC_GIVEN), before.uordblks + before.hblkhd + before.fsmblks, 4096));
    }
    madvise(page, PAGE, MADV_DODUMP);
    free(block);
}

/* Pages that are read and never written are the kernel's page of zeros: no resident bytes of what they are in. Here a mapped chunk is, between others. */
static void leaves_out_what_was_only_read(test *t) {
    enum { SIZE = 64 << 20, CHUNK = 32 << 20 };
    mpr_alloc a;
    mpr_alloc_pages(&a);
    char *all = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(all, SIZE, MADV_NOHUGEPAGE);
    uint64_t head[] = {0, CHUNK | 2}, small[] = {0, MIB | 2};
    memcpy(memset(all, 1, MIB), small, sizeof small); /* as of malloc's, all of it written to */
    memcpy(all + MIB, head, sizeof head);
    for (int measured = 0; measured <= 1; measured++) {
        mpr_account before, during;
        volatile char sum = 0;
        madvise(all + MIB + PAGE, CHUNK - PAGE, MADV_DONTNEED);
        bool took = take_measured(&before, &a, test_has_glibc(), measured) == MPR_OK;
        for (uint64_t at = PAGE; at < CHUNK; at += PAGE) sum = (char)(sum + all[MIB + at]);
        took = took && take_measured(&during, &a, test_has_glibc(), measured) == MPR_OK;
        if (CHECK(t, took && mpr_maps_resident_bytes((uintptr_t)all, (uintptr_t)all + SIZE) == MIB + CHUNK)) {
            CHECK(t, is_near(value(&during, MPR_ACCOUNT_MALLOC), value(&before, MPR_ACCOUNT_MALLOC), 4 * PAGE));
            CHECK(t, explained(&during) <= value(&during, MPR_ACCOUNT_RESIDENT));
            CHECK(t, !test_has_glibc() || is_near(value(&during, MPR_ACCOUNT_MALLOC_USED), value(&before, MPR_ACCOUNT_MALLOC_USED), 4 * PAGE));
        }
    }
    munmap(all, SIZE);
}

/* The same in an arena of mimalloc's, which has a mapping to itself. */
static void leaves_out_what_was_only_read_in_an_arena(test *t) {
    enum { SIZE = 32 << 20 };
    mpr_alloc a;
    mpr_account before, during;
    mpr_alloc_pages(&a);
    char *reserved = mmap(NULL, 2 * SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *arena = (char *)(((uintptr_t)reserved + SIZE / 2) & ~(uintptr_t)0xFFFF);
    mprotect(arena, SIZE, PROT_READ | PROT_WRITE);
    uint64_t head[] = {(uintptr_t)arena, SIZE};
    memcpy(arena, head, sizeof head);
    bool took = take(&before, &a, test_has_glibc()) == MPR_OK;
    volatile char sum = 0;
    for (uint64_t at = PAGE; at < SIZE / 2; at += PAGE) sum = (char)(sum + arena[at]);
    took = took && take(&during, &a, test_has_glibc()) == MPR_OK;
    if (CHECK(t, took && mpr_maps_resident_bytes((uintptr_t)arena, (uintptr_t)arena + SIZE) >= SIZE / 2)) {
        CHECK(t, value(&before, MPR_ACCOUNT_MIMALLOC) == PAGE && value(&during, MPR_ACCOUNT_MIMALLOC) == PAGE);
    }
    munmap(reserved, 2 * SIZE);
}

/* The same in the heap, from which a block comes that is smaller than the threshold. */
static void leaves_out_what_was_only_read_in_the_heap(test *t) {
    enum { SIZE = 16 << 20 };
    mpr_alloc a;
    mpr_account before, during;
    mpr_alloc_pages(&a);
    mallopt(M_MMAP_THRESHOLD, 2 * SIZE);
    char *block = calloc(1, SIZE);
    bool took = block != NULL && take(&before, &a, test_has_glibc()) == MPR_OK;
    volatile char sum = 0;
    for (uint64_t at = PAGE; took && at < SIZE; at += PAGE) sum = (char)(sum + block[at]);
    took = took && take(&during, &a, test_has_glibc()) == MPR_OK;
    if (CHECK(t, took)) {
        CHECK(t, is_near(value(&during, MPR_ACCOUNT_MALLOC), value(&before, MPR_ACCOUNT_MALLOC), 64 * PAGE));
        CHECK(t, !test_has_glibc() || is_near(value(&during, MPR_ACCOUNT_MALLOC_USED), value(&before, MPR_ACCOUNT_MALLOC_USED), 64 * PAGE));
    }
    free(block);
}

/* Stacks of many threads are one mapping with glibc 2.42, of many times what is in memory: what lies far behind in it is found. */
static void looks_into_what_is_thinly_filled(test *t) {
    enum { CHUNK = 256 << 10 };
    uint64_t size = UINT64_C(4) << 30;
    mpr_alloc a;
    mpr_account before, during;
    mpr_alloc_pages(&a);
    char *all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool took = all != MAP_FAILED && take(&before, &a, test_has_glibc()) == MPR_OK;
    uint64_t head[] = {0, CHUNK | 2}; /* a chunk of malloc's with a mapping of its own */
    for (uint64_t at = 0; took && at < size; at += 16 * MIB) memcpy(all + at, head, sizeof head);
    took = took && take(&during, &a, test_has_glibc()) == MPR_OK;
    if (CHECK(t, took)) {
        uint64_t found = value(&during, MPR_ACCOUNT_MALLOC) - value(&before, MPR_ACCOUNT_MALLOC);
        CHECK(t, found == size / (16 * MIB) * PAGE);
    }
    munmap(all, size);
}

/* ---- threads ---- */

typedef struct worker {
    pthread_t thread;
    pthread_barrier_t *ready, *done;
} worker;

static void *use_stack(void *context) {
    worker *w = context;
    volatile char room[100000];
    for (size_t i = 0; i < sizeof room; i += 1024) room[i] = 1;
    void *block = malloc(1000); /* an arena of its own */
    pthread_barrier_wait(w->ready);
    pthread_barrier_wait(w->done);
    free(block);
    return NULL;
}

/* Threads' stacks are known, and their arenas are malloc's. What is left: this process has memory of nobody's, and as much is not explained. */
static void knows_threads(test *t) {
    enum { THREADS = 8 };
    mpr_alloc a;
    mpr_account before, during;
    pthread_barrier_t ready, done;
    worker workers[THREADS];
    pthread_attr_t attributes;
    mpr_alloc_pages(&a);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, MIB);
    pthread_barrier_init(&ready, NULL, THREADS + 1);
    pthread_barrier_init(&done, NULL, THREADS + 1);
    bool took = take(&before, &a, test_has_glibc()) == MPR_OK;
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.ready = &ready, .done = &done};
        pthread_create(&workers[i].thread, &attributes, use_stack, &workers[i]);
    }
    pthread_barrier_wait(&ready);
    void *nobodys = memset(test_pages(4 * MIB), 7, 4 * MIB);
    took = took && take(&during, &a, test_has_glibc()) == MPR_OK;
    pthread_barrier_wait(&done);
    for (int i = 0; i < THREADS; i++) pthread_join(workers[i].thread, NULL);
    if (CHECK(t, took)) {
        uint64_t stacks = value(&during, MPR_ACCOUNT_STACKS) - value(&before, MPR_ACCOUNT_STACKS);
        uint64_t rest = value(&during, MPR_ACCOUNT_RESIDENT) - explained(&during);
        uint64_t rest_before = value(&before, MPR_ACCOUNT_RESIDENT) - explained(&before);
        CHECK(t, value(&during, MPR_ACCOUNT_MALLOC_UNREAD) == 0);
#ifdef __x86_64__ /* elsewhere control blocks are not recognised */
        CHECK(t, !test_has_glibc() || stacks >= THREADS * 100000);
        CHECK(t, stacks <= THREADS * MIB);
        CHECK(t, !test_has_glibc() || is_near(rest - rest_before, 4 * MIB, 256 << 10));
#endif
        (void)stacks, (void)rest, (void)rest_before;
    }
    munmap(nobodys, 4 * MIB);
    pthread_attr_destroy(&attributes);
    pthread_barrier_destroy(&ready);
    pthread_barrier_destroy(&done);
}

/* The end of a thread's stack, an arena whose first pool begins a page later, and a chunk behind it: each ends where the next begins. */
static void knows_what_lies_behind_a_stack(test *t) {
    mpr_alloc a;
    mpr_account before, during;
    mpr_alloc_pages(&a);
    uint8_t *block = test_pages(4 * MIB);
    bool took = take(&before, &a, test_has_glibc()) == MPR_OK;
    uint64_t arena = (((uint64_t)(uintptr_t)block + MIB) & ~(MPR_POOLS_POOL - 1)) - PAGE, chunk = arena + MPR_POOLS_ARENA;
    uint64_t *control = (uint64_t *)(uintptr_t)(arena - 2304), *head = (uint64_t *)(uintptr_t)chunk;
    uint32_t *pool = (uint32_t *)(uintptr_t)(arena + PAGE);
    memset((void *)(uintptr_t)(arena - PAGE), 1, PAGE + MPR_POOLS_ARENA + (256 << 10));
    control[0] = control[2] = (uint64_t)(uintptr_t)control, control[5] = mpr_process_guard();
    memset(pool, 0, MPR_POOLS_POOL);
    pool[0] = 7, pool[8] = 1, pool[9] = 2, pool[10] = 48 + 10 * 48, pool[11] = (uint32_t)(MPR_POOLS_POOL - 48);
    head[0] = 0, head[1] = (256 << 10) | 2;
    took = took && take(&during, &a, test_has_glibc()) == MPR_OK;
    if (CHECK(t, took) && mpr_process_guard() != 0) {
        CHECK(t, value(&during, MPR_ACCOUNT_POOLS) - value(&before, MPR_ACCOUNT_POOLS) == MPR_POOLS_ARENA);
        CHECK(t, is_near(value(&during, MPR_ACCOUNT_STACKS) - value(&before, MPR_ACCOUNT_STACKS), PAGE, PAGE));
        CHECK(t, is_near(value(&during, MPR_ACCOUNT_MALLOC) - value(&before, MPR_ACCOUNT_MALLOC), 256 << 10, 64 << 10));
    }
    munmap(block, 4 * MIB);
}

/* Facts: a name and a number for what is known, and nothing for what is not. */
static int count_fact(mpr_sink *sink, const mpr_seen_info *info) {
    (void)sink;
    return info->text == NULL && strncmp(info->key, "mem_", 4) == 0 && info->number >= 0 ? MPR_OK : MPR_EFORMAT;
}

static int keep_arenas(mpr_sink *sink, const mpr_seen_info *info) {
    char *text = *(char **)(void *)(sink + 1);
    if (info->text != NULL && info->length < 100) memcpy(text, info->text, info->length), text[info->length] = 0;
    return MPR_OK;
}

/* Each from the one before it, in pages; what is in use rounded up. */
static void tells_arenas(test *t) {
    char text[100] = "";
    mpr_pools_arena arenas[] = {{0x7f0000004000, 1, 1}, {0x7f0000104000, 1 << 20, 64}, {0x7f0000304000, 1025, 9}};
    mpr_account account;
    mpr_alloc a;
    mpr_alloc_pages(&a);
    mpr_account_more more = {.alloc = &a, .arenas = {.items = arenas, .count = 3, .capacity = 3}};
    struct {
        mpr_sink sink;
        char *text;
    } told = {{.info = keep_arenas}, text};
    for (int i = 0; i < MPR_ACCOUNT_COUNT; i++) account.value[i] = MPR_ACCOUNT_UNKNOWN;
    CHECK(t, mpr_account_tell(&account, &more, &told.sink) == MPR_OK && strcmp(text, "7f0000004:1 100:400 200:2") == 0);
    CHECK(t, a.used == 0);
}

static void tells_facts(test *t) {
    mpr_alloc a;
    mpr_account account;
    mpr_sink sink = {.info = count_fact};
    mpr_alloc_pages(&a);
    mpr_held smaps = mpr_maps_open(0, MPR_MAPS_SIZES), none = {0};
    mpr_account_begin(&account, false, &none);
    CHECK(t, mpr_account_finish(&account, &a, &none, false, NULL) == MPR_EIO && value(&account, MPR_ACCOUNT_RESIDENT) == MPR_ACCOUNT_UNKNOWN);
    mpr_account_begin(&account, false, &smaps);
    mpr_held_close(&smaps);
    CHECK(t, mpr_account_tell(&account, NULL, &sink) == MPR_OK && value(&account, MPR_ACCOUNT_RESIDENT) == MPR_ACCOUNT_UNKNOWN);
    CHECK(t, mpr_account_finish(&account, &a, &none, false, NULL) == MPR_OK && mpr_account_tell(&account, NULL, &sink) == MPR_OK);
    CHECK(t, is_near(value(&account, MPR_ACCOUNT_RESIDENT), mpr_process_rss(), MIB));
    CHECK(t, value(&account, MPR_ACCOUNT_MALLOC_CHUNKS) == MPR_ACCOUNT_UNKNOWN && a.used == 0);
}

static void without_memory(test *t) {
    test_alloc a;
    test_alloc_init(&a);
    bool tripped = true;
    for (uint64_t nth = 1; tripped; nth++) {
        mpr_account account;
        a.calls = 0, a.fail_at = nth, a.tripped = false;
        int status = take(&account, &a.alloc, false);
        tripped = a.tripped;
        CHECK(t, status == (tripped ? MPR_ENOMEM : MPR_OK) && a.live == 0);
    }
}

void test_native(test *t) {
    follows_chunks(t);
    gives_chunks(t);
    finds_thinly_filled_pieces(t);
    gives_blocks_of_pools(t);
    knows_mapped_chunks(t);
    knows_heaps(t);
    peeks(t);
    reads_maps(t);
    agrees_with_malloc(t);
    joins_parts_of_the_heap(t);
    leaves_out_what_was_only_read(t);
    leaves_out_what_was_only_read_in_an_arena(t);
    leaves_out_what_was_only_read_in_the_heap(t);
    looks_into_what_is_thinly_filled(t);
    knows_threads(t);
    knows_what_lies_behind_a_stack(t);
    tells_facts(t);
    tells_arenas(t);
    without_memory(t);
}
