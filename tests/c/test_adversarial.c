/* SPDX-License-Identifier: MIT
 * native/ on memory that lies: regions of malloc's and pools that are made up (regions.h), sound at first, then damaged by hand and
 * at random. Whatever a word says, nothing is read that is not there, it ends, each block lies in its region and over no other, and
 * what marking tells makes a sound graph. jemalloc's trees are damaged in test_native.c. */
#define _GNU_SOURCE 1
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/status.h"
#include "graph/graph.h"
#include "native/marking.h"
#include "native/pools.h"
#include "regions.h"
#include "test.h"

#define PAGE UINT64_C(4096)
#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define SECONDS_MOST 600 /* then something did not end */

/* ---- the conditions that hold for any region ---- */

typedef struct seen {
    uint64_t begin, end, behind, count, bytes; /* behind: the end of the last block */
    bool sound;
} seen;

static void see_block(void *context, const mpr_block *b) {
    seen *s = context;
    bool inside = b->address >= s->begin + REGION_HEAD && b->address >= s->behind && b->address < s->end;
    s->sound = s->sound && inside && b->address % 16 == 0 && b->size > 0 && b->size <= s->end - b->address;
    s->sound = s->sound && (uint64_t)(uintptr_t)b->words == b->address;
    s->behind = b->address + b->size;
    s->count++, s->bytes += b->size;
}

typedef struct met {
    mpr_blocks *blocks;
    seen seen;
} met;

/* The block that was added begins where it is, and is found by its first byte and by its last one. */
static int meet_block(void *context, uint64_t begin) {
    met *m = context;
    uint64_t size = mpr_blocks_size(m->blocks, begin);
    see_block(&m->seen, &(mpr_block){begin, size, (const uint64_t *)(uintptr_t)begin});
    m->seen.sound = m->seen.sound && mpr_blocks_has(m->blocks, begin) && mpr_blocks_find(m->blocks, begin) == begin &&
                    mpr_blocks_find(m->blocks, begin + size - 1) == begin && mpr_blocks_bytes(m->blocks, begin) >= size;
    return MPR_OK;
}

/* Words that lead to no block, wherever those are. */
#define TO_47 (UINT64_C(1) << 47)
#define TO_63 (UINT64_C(1) << 63)
#define LESS(n) (0 - (uint64_t)(n)) /* than 2^64 */

static const uint64_t nowhere[] = {0, 1, 15, 16, PAGE, TO_47, TO_47 - 16, TO_63, LESS(1), LESS(16), LESS(8), TO_63 - 1};

static bool leads_nowhere(mpr_blocks *blocks) {
    bool none = mpr_blocks_find(blocks, blocks->lowest - 1) == 0 && mpr_blocks_find(blocks, blocks->end) == 0;
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++)
        none = none && mpr_blocks_find(blocks, nowhere[i]) == 0 && !mpr_blocks_has(blocks, nowhere[i]);
    return none;
}

/* Of regions side by side: the blocks in use. */
static seen meet_blocks(const mpr_chunks_regions *regions, uint64_t begin, uint64_t end, mpr_in_use *in_use, mpr_alloc *a) {
    mpr_blocks blocks;
    mpr_blocks_init(&blocks, a);
    met m = {&blocks, {.begin = begin, .end = end, .sound = true}};
    m.seen.sound = mpr_in_use_add(&blocks, regions, in_use) == MPR_OK && mpr_blocks_each(&blocks, meet_block, &m) == MPR_OK;
    m.seen.sound = m.seen.sound && leads_nowhere(&blocks);
    mpr_blocks_free(&blocks);
    return m.seen;
}

/* Follow the chunks of a region as an account does. False where they lead not to its end: then it is in `found` all the same, as
 * one that was damaged since. */
static bool walk(const region *r, mpr_chunks *found) {
    mpr_chunks_head head;
    memcpy(&head, (void *)(uintptr_t)(r->other ? r->base : r->begin), sizeof head);
    uint64_t said = r->other ? mpr_chunks_heap_end(r->base, &head) : r->end, end = said != 0 && said <= r->end ? said : r->end;
    bool walked = r->other ? mpr_chunks_walk_heap(found, r->base, end) : mpr_chunks_walk(found, r->begin, end, true);
    if (!walked) mpr_chunks_note(found, (mpr_chunks_region){r->begin, r->end, r->other ? MPR_CHUNKS_OTHER : MPR_CHUNKS_MAIN});
    return walked;
}

/* What every walk has: all of the region was counted, or nothing; and the blocks that are given are those that were, but for a
 * fence. */
static bool counted(const mpr_chunks *found, const seen *s, bool walked) {
    const mpr_chunks_region *all = &found->regions.region.items[0];
    uint64_t size = all->end - all->begin;
    if (!walked) return found->used == 0 && found->free == 0 && found->used_bytes == 0 && found->free_bytes == 0;
    bool adds_up = found->used_bytes + found->free_bytes == size && found->used_resident <= found->used_bytes &&
                   found->free_resident <= found->free_bytes && found->returnable <= found->free_resident &&
                   found->top_bytes <= found->free_bytes && found->largest <= found->free_bytes;
    return adds_up && (s->count == found->used || s->count + 1 == found->used);
}

/* All conditions. Returns whether the region was accepted. */
static bool bears(test *t, const region *r, mpr_in_use *in_use) {
    mpr_alloc a;
    mpr_alloc_pages(&a);
    mpr_chunks found = {.regions = {.alloc = &a}};
    bool walked = walk(r, &found);
    seen given = {.begin = r->begin, .end = r->end, .sound = true};
    if (found.regions.region.count == 1) {
        mpr_chunks_each_block(&found.regions.region.items[0], see_block, &given);
        CHECK(t, given.sound && counted(&found, &given, walked));
        seen kept = meet_blocks(&found.regions, r->begin, r->end, in_use, &a);
        CHECK(t, kept.sound && kept.count + in_use->cached == given.count);
    }
    CHECK(t, found.regions.region.count == 1);
    mpr_chunks_regions_free(&found.regions);
    CHECK(t, a.used == 0);
    return walked;
}

/* ---- marking ---- */

/* Marking reads what is anybody's. The sanitizers do not look where that is said; valgrind always does. */
static bool can_mark(void) {
#ifdef __SANITIZE_ADDRESS__
    return true;
#else
    return test_has_glibc();
#endif
}

static void *volatile held; /* a variable of the program */

typedef struct marked {
    mpr_alloc alloc;
    mpr_graph *graph; /* or NULL */
    mpr_marking_totals totals;
    uint64_t blocks; /* that there are */
} marked;

static int count_block(void *context, uint64_t begin) {
    (void)begin;
    ++*(uint64_t *)context;
    return MPR_OK;
}

static __attribute__((noinline)) void mark(marked *out, const mpr_account_more *more) {
    mpr_builder *builder = NULL;
    mpr_addrset objects;
    mpr_marking m;
    uint32_t types = 0;
    uint64_t synthetic = MPR_SYNTHETIC + 16 * MPR_GROUP_COUNT, here = (uint64_t)(uintptr_t)&types;
    *out = (marked){.graph = NULL};
    mpr_alloc_pages(&out->alloc);
    mpr_addrset_init(&objects, &out->alloc);
    int status = mpr_builder_new(&builder, &out->alloc);
    status = status == MPR_OK ? mpr_marking_begin(&m, &out->alloc, more) : status;
    if (status == MPR_OK) {
        mpr_marking_walk walk = {mpr_builder_sink(builder), &types, &synthetic, &objects, {here - 64 * PAGE, here + 16 * PAGE}};
        status = mpr_marking_finish(&m, &walk);
        out->totals = m.totals;
        mpr_blocks_each(&m.blocks, count_block, &out->blocks);
        status = status == MPR_OK ? mpr_builder_freeze(builder, &out->graph) : status;
        out->graph = status == MPR_OK ? out->graph : NULL;
    }
    mpr_marking_free(&m);
    mpr_builder_free(builder);
    mpr_addrset_free(&objects);
}

/* Mark a region, whether or not its chunks can be followed. To be ended by free_marked. */
static void mark_region(test *t, marked *m, const region *r, mpr_pools_arena *arena) {
    mpr_alloc a;
    mpr_alloc_pages(&a);
    mpr_chunks found = {.regions = {.alloc = &a}};
    walk(r, &found);
    mpr_account_more more = {.alloc = &a, .regions = found.regions};
    if (arena != NULL) more.arenas.items = arena, more.arenas.count = 1;
    mark(m, &more);
    if (CHECK(t, m->graph != NULL)) {
        CHECK(t, mpr_graph_check(m->graph) == NULL && m->totals.blocks + m->totals.lost == m->blocks);
        CHECK(t, m->graph->totals.native_blocks == m->blocks && m->graph->totals.lost_blocks == m->totals.lost);
    }
    mpr_chunks_regions_free(&found.regions);
}

static void free_marked(test *t, marked *m) {
    mpr_graph_free(m->graph);
    CHECK(t, m->alloc.used == 0);
}

static uint32_t node_at(const mpr_graph *g, uint64_t address) {
    uint32_t node;
    return mpr_graph_find(g, address, &node) ? node : MPR_NO_NODE;
}

/* How many edges a block has, and the kind of the first one; `to` is where that leads. */
static size_t edges_of(const mpr_graph *g, uint64_t block, mpr_label_kind *kind, uint64_t *to) {
    uint32_t node = node_at(g, block);
    uint64_t first = node == MPR_NO_NODE ? 0 : mpr_graph_first(g, node);
    uint64_t count = node == MPR_NO_NODE ? 0 : mpr_graph_first(g, node + 1) - first;
    *kind = count > 0 ? mpr_label_kind_of(g->label[first]) : MPR_LABEL_CHILD;
    *to = count > 0 ? mpr_graph_address(g, g->target[first]) : 0;
    return count;
}

/* ---- sound regions: exactly what is in them ---- */

static void check_sound(test *t, const region *r) {
    mpr_alloc a;
    mpr_alloc_pages(&a);
    mpr_chunks found = {.regions = {.alloc = &a}};
    mpr_blocks blocks;
    mpr_in_use in_use;
    mpr_blocks_init(&blocks, &a);
    CHECK(t, walk(r, &found) && found.used == r->used && found.used_bytes == r->used_bytes && found.arenas == 1);
    CHECK(t, found.used + found.free == r->count + 1 && found.used_bytes + found.free_bytes == r->end - r->begin);
    CHECK(t, mpr_in_use_add(&blocks, &found.regions, &in_use) == MPR_OK);
    CHECK(t, in_use.cached == r->ready && in_use.cached_bytes == r->ready_bytes && r->ready > 0);
    CHECK(t, r->other ? in_use.main_arena == 0 : in_use.main_arena == (uint64_t)(uintptr_t)&r->state[1]);
    size_t wrong = 0;
    for (size_t i = 0; i < r->count; i++) {
        const region_chunk *c = &r->chunks[i];
        uint64_t block = region_block(r, i), wanted = c->used && !c->ready ? block : 0, end = block + c->size - 8;
        bool before = i > 0 && r->chunks[i - 1].used && !r->chunks[i - 1].ready; /* has the first word of this one's head */
        wrong += mpr_blocks_has(&blocks, block) != (wanted != 0) || mpr_blocks_find(&blocks, block) != wanted;
        wrong += mpr_blocks_find(&blocks, end - 1) != wanted || mpr_blocks_find(&blocks, end) != 0;
        wrong += mpr_blocks_find(&blocks, block - REGION_HEAD) != (before ? region_block(r, i - 1) : 0);
    }
    CHECK(t, wrong == 0 && leads_nowhere(&blocks));
    mpr_blocks_free(&blocks);
    mpr_chunks_regions_free(&found.regions);
    CHECK(t, a.used == 0);
}

static void reads_sound_regions(test *t) {
    for (int other = 0; other <= 1; other++) {
        region r;
        dice d = {31};
        mpr_in_use in_use;
        if (CHECK(t, region_new(&r, 16 * MIB, other))) {
            for (int round = 0; round < (t->quick ? 2 : 20); round++) {
                region_fill(&r, &d, 1000 + dice_below(&d, REGION_CHUNKS - 1000));
                check_sound(t, &r);
                CHECK(t, bears(t, &r, &in_use) && in_use.cached == r.ready);
            }
        }
        region_free(&r);
    }
}

/* ---- heads ---- */

#define ROW 64 /* chunks of 80 bytes */

static bool new_row(region *r, bool other) {
    uint64_t sizes[ROW];
    for (size_t i = 0; i < ROW; i++) sizes[i] = 80;
    if (!region_new(r, ROW * 80 + PAGE, other)) return false;
    region_lay(r, sizes, ROW);
    return true;
}

static void refuses_wrong_sizes(test *t) {
    enum { AT = 30 }; /* not where the first chunk of a heap may begin */
    region r;
    mpr_in_use in_use;
    for (int other = 0; other <= 1; other++) {
        if (CHECK(t, new_row(&r, other))) {
            uint64_t rest = r.end - r.begin - AT * 80, *size = region_size(&r, AT), right = *size;
            const uint64_t wrong[] = {0, 8, 16, 24, 88, rest + 8, rest + 16, rest + PAGE, rest - 8, LESS(8), LESS(16), LESS(80),
                                      LESS(r.begin + AT * 80), TO_47, TO_63, TO_63 - 16, MPR_CHUNKS_HEAP};
            for (size_t i = 0; i < 8 * sizeof wrong / sizeof *wrong; i++) { /* with each of the flags */
                *size = (wrong[i / 8] & ~UINT64_C(7)) | i % 8;
                CHECK(t, !bears(t, &r, &in_use));
            }
            const uint64_t other_ways[] = {rest, 160, 20 * 80, rest - 16, rest - 32}; /* to the end; over others; a fence is left */
            for (size_t i = 0; i < sizeof other_ways / sizeof *other_ways; i++) {
                *size = other_ways[i] | 1;
                CHECK(t, bears(t, &r, &in_use));
            }
            *size = right;
            CHECK(t, bears(t, &r, &in_use));
        }
        region_free(&r);
    }
}

/* The flags of a chunk say nothing of what a region is: not even those of its first one. */
static void bears_wrong_flags(test *t) {
    region r;
    mpr_in_use in_use;
    for (int other = 0; other <= 1; other++) {
        if (CHECK(t, new_row(&r, other))) {
            for (size_t chunk = 0; chunk < ROW; chunk += chunk == 0 ? 1 : 20) {
                for (uint64_t flags = 0; flags < 8; flags++) {
                    uint64_t *size = region_size(&r, chunk), right = *size;
                    *size = (right & ~UINT64_C(7)) | flags;
                    bool first = other && chunk == 0; /* a heap is recognised by the flags of its first chunk, too */
                    CHECK(t, bears(t, &r, &in_use) || first);
                    *size = right;
                }
            }
        }
        region_free(&r);
    }
}

/* A region that ends in a chunk, behind which nothing can be read: it is one where a chunk ends there, or what is left is small. */
static void refuses_what_is_cut(test *t) {
    uint8_t *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mpr_chunks none = {0};
    mprotect(memory + 3 * PAGE, PAGE, PROT_NONE);
    uint64_t end = (uint64_t)(uintptr_t)memory + 3 * PAGE;
    for (uint64_t bytes = 0; bytes <= 2 * PAGE; bytes += 8) {
        memset(memory, 0, 3 * PAGE);
        for (uint64_t at = 0; at + 16 <= bytes; at += 80) *(uint64_t *)(uintptr_t)(end - bytes + at + 8) = 80 | 1;
        mpr_chunks found = {0};
        CHECK(t, mpr_chunks_walk(&found, end - bytes, end, bytes % 32 == 0) == (bytes > 0 && bytes % 80 == 0));
        CHECK(t, found.used_bytes + found.free_bytes == (bytes % 80 == 0 ? bytes : 0));
    }
    CHECK(t, !mpr_chunks_walk(&none, end - 64, end - 80, true) && !mpr_chunks_walk(&none, end, end, true));
    munmap(memory, 4 * PAGE);
}

/* Two chunks of the least size to close a region, or less than that: nothing follows. */
static void knows_fences(test *t) {
    region r;
    mpr_in_use in_use;
    if (CHECK(t, new_row(&r, false))) {
        uint64_t *top = (uint64_t *)(uintptr_t)(r.begin + ROW * 80), rest = r.end - r.begin - ROW * 80;
        for (uint64_t left = 16; left <= 64; left += 16) {
            uint64_t *fence = (uint64_t *)(uintptr_t)(r.end - left);
            top[1] = (rest - left) | 1;
            for (uint64_t size = 0; size < 32; size++) {
                fence[1] = size;
                CHECK(t, bears(t, &r, &in_use));
            }
            fence[1] = 0;
        }
    }
    region_free(&r);
}

/* ---- lists of what is kept ready ---- */

/* Let the first link of a list be anything; what is not of the list stays in use. */
static void bears_wrong_links(test *t, bool other) {
    region r;
    dice d = {37};
    mpr_in_use in_use;
    if (CHECK(t, region_new(&r, 16 * MIB, other))) {
        region_fill(&r, &d, 2000);
        for (size_t i = 0; i < r.count; i += 1) {
            if (!r.chunks[i].ready) continue;
            uint64_t *link = region_words(&r, i), right = *link, block = region_block(&r, i);
            const uint64_t wrong[] = {block, block + 8, block - 16, block - 8, region_block(&r, 1), r.begin, r.begin - 16, r.end,
                                      r.end - 16, r.base, r.begin + r.cache + 16, TO_47, TO_63, LESS(1), LESS(16), 1, 0};
            size_t which = dice_below(&d, sizeof wrong / sizeof *wrong);
            *link = wrong[which] ^ (dice_chance(&d, 50) ? block >> 12 : 0);
            CHECK(t, bears(t, &r, &in_use) && in_use.cached > 0 && in_use.cached <= r.used);
            *link = right;
            if (t->quick) i += 20;
        }
        CHECK(t, bears(t, &r, &in_use) && in_use.cached == r.ready);
    }
    region_free(&r);
}

/* Lists that are cycles, of each length, masked and not; in the cache, and in a fast bin. */
static void ends_in_cycles(test *t) {
    region r;
    mpr_in_use in_use;
    for (int kind = 0; kind < 8; kind++) {
        bool fast = kind & 1, masked = kind & 2, other = kind & 4;
        if (!CHECK(t, region_new(&r, MIB, other))) return;
        uint64_t sizes[ROW + 1] = {656};
        for (size_t i = 1; i <= ROW; i++) sizes[i] = 80;
        region_lay(&r, sizes, ROW + 1);
        uint64_t *head = fast ? &r.state[1 + 3] : &region_words(&r, 0)[16 + 3];
        for (size_t length = 1; length < ROW; length += 1 + length / 4) {
            for (size_t i = 1; i <= length; i++) {
                uint64_t next = region_block(&r, i < length ? i + 1 : 1) - (fast ? REGION_HEAD : 0);
                *region_words(&r, i) = next ^ (masked ? region_block(&r, i) >> 12 : 0);
            }
            *head = region_block(&r, 1) - (fast ? REGION_HEAD : 0);
            CHECK(t, bears(t, &r, &in_use) && in_use.cached == length && in_use.cached_bytes == length * 72);
        }
        region_free(&r);
    }
}

/* A cache that has itself in a list; one with a head that leads to no chunk of its list, and is none; one whose lists are one. */
static void bears_wrong_caches(test *t) {
    region r;
    mpr_in_use in_use;
    uint64_t sizes[ROW + 1] = {656};
    for (size_t i = 1; i <= ROW; i++) sizes[i] = 80;
    if (CHECK(t, region_new(&r, MIB, false))) {
        region_lay(&r, sizes, ROW + 1);
        uint64_t *heads = region_words(&r, 0) + 16;
        uint64_t block = region_block(&r, 1), cache = region_block(&r, 0);
        heads[39] = cache;
        CHECK(t, bears(t, &r, &in_use) && in_use.cached == 1);
        heads[39] = 0;
        const uint64_t wrong[] = {block + 16, block - 16, cache, r.end, r.begin, r.base, 8, LESS(1)};
        for (size_t i = 0; i < 64 * sizeof wrong / sizeof *wrong; i++) {
            uint64_t value = wrong[i / 64], right = heads[3] = region_block(&r, 2);
            heads[i % 64] = value;
            bool itself = i % 64 == 39 && value == cache;
            CHECK(t, bears(t, &r, &in_use) && in_use.cached == (itself ? 2 : 0));
            heads[i % 64] = i % 64 == 3 ? right : 0;
        }
        for (size_t i = 0; i < 64; i++) heads[i] = block;
        CHECK(t, bears(t, &r, &in_use) && in_use.cached == 0);
        memset(region_words(&r, 0), 0xFF, 640);
        CHECK(t, bears(t, &r, &in_use) && in_use.cached == 0);
    }
    region_free(&r);
}

/* ---- mappings that are chunks ---- */

static void knows_whole_mappings_alone(test *t) {
    uint64_t begin = UINT64_C(0x7000000000), limit = begin + MIB, size = 256 * KIB;
    mpr_chunks_head head = {{0, size | 2}};
    CHECK(t, mpr_chunks_mapped_end(begin, limit, &head) == begin + size && mpr_chunks_mapped_end(begin + 16, limit, &head) == 0);
    head.word[1] = (size - 16) | 2; /* glibc 2.43 */
    CHECK(t, mpr_chunks_mapped_end(begin, limit, &head) == begin + size);
    const uint64_t sizes[] = {0, 16, PAGE, 128 * KIB - PAGE, size + 8, size + 16, size - 8, size - 32, MIB + PAGE,
                              LESS(PAGE), LESS(8), LESS(16), LESS(32), TO_47, TO_63, LESS(begin)};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        head.word[1] = (sizes[i] & ~UINT64_C(7)) | 2;
        CHECK(t, mpr_chunks_mapped_end(begin, limit, &head) == 0);
    }
    for (uint64_t flags = 0; flags < 8; flags++) {
        head.word[1] = size | flags;
        CHECK(t, (mpr_chunks_mapped_end(begin, limit, &head) != 0) == (flags == 2));
    }
    for (size_t i = 0; i < 64; i++) {
        mpr_chunks_head before = {{UINT64_C(1) << i, size | 2}}; /* as of a chunk before, which is free */
        CHECK(t, mpr_chunks_mapped_end(begin, limit, &before) == 0);
    }
}

static void finds_mapped_blocks(test *t) {
    const uint64_t sizes[] = {128 * KIB, 128 * KIB - 16, MIB, 3 * MIB, 3 * MIB - 16}; /* as their heads say them */
    uint64_t *head = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t at = (uint64_t)(uintptr_t)head;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        mpr_alloc a;
        mpr_in_use in_use;
        mpr_alloc_pages(&a);
        head[1] = sizes[i] | 2;
        uint64_t end = (at + sizes[i] + PAGE - 1) & ~(PAGE - 1);
        mpr_chunks_region one = {at, end, MPR_CHUNKS_MAPPED};
        mpr_chunks_regions regions = {.alloc = &a, .region = {.items = &one, .count = 1, .capacity = 1}};
        seen s = meet_blocks(&regions, at, end, &in_use, &a);
        CHECK(t, s.sound && s.count == 1 && s.bytes == end - at - 16 && in_use.cached == 0 && a.used == 0);
    }
    munmap(head, 4 * MIB);
}

/* Regions one over another: the same one twice, one that begins with a later chunk of it, and a mapping within a chunk. */
static void bears_regions_over_another(test *t) {
    region r;
    mpr_alloc a;
    mpr_in_use in_use;
    mpr_blocks blocks;
    uint64_t sizes[ROW] = {512 * KIB}, inner = 0;
    mpr_alloc_pages(&a);
    for (size_t i = 1; i < ROW; i++) sizes[i] = 80;
    if (!CHECK(t, region_new(&r, MIB, false))) return;
    region_lay(&r, sizes, ROW);
    inner = r.begin + 64 * KIB;
    ((uint64_t *)(uintptr_t)inner)[1] = 256 * KIB | 2;
    mpr_chunks_region all[] = {{r.begin, r.end, MPR_CHUNKS_MAIN},
                               {inner, inner + 256 * KIB, MPR_CHUNKS_MAPPED},
                               {r.begin + r.chunks[9].at, r.end, MPR_CHUNKS_MAIN},
                               {r.begin, r.end, MPR_CHUNKS_MAIN}};
    mpr_account_more more = {.alloc = &a, .regions = {.alloc = &a, .region = {.items = all, .count = 4, .capacity = 4}}};
    mpr_blocks_init(&blocks, &a);
    CHECK(t, mpr_in_use_add(&blocks, &more.regions, &in_use) == MPR_OK && blocks.begins.members == ROW + 1);
    CHECK(t, mpr_blocks_find(&blocks, inner + 64) == inner + 16 && mpr_blocks_find(&blocks, inner) == region_block(&r, 0));
    CHECK(t, leads_nowhere(&blocks));
    mpr_blocks_free(&blocks);
    if (can_mark()) {
        marked m;
        mark(&m, &more);
        CHECK(t, m.graph != NULL && mpr_graph_check(m.graph) == NULL);
        CHECK(t, m.blocks == ROW + 1 && m.totals.lost + m.totals.blocks == ROW + 1);
        free_marked(t, &m);
    }
    region_free(&r);
    CHECK(t, a.used == 0);
}

/* ---- what blocks contain ---- */

typedef struct content {
    uint64_t word;     /* from the block on; `absolute` ones as they are */
    bool absolute;
    size_t edges;
    mpr_label_kind kind;
    int64_t to; /* how many blocks further it leads */
} content;

static const content contents[] = {
    {0, false, 1, MPR_LABEL_NATIVE, 0},     /* itself */
    {3, false, 1, MPR_LABEL_NATIVE, 0},     /* with a tag */
    {16, false, 1, MPR_LABEL_NATIVE, 0},    /* behind a library's header */
    {24, false, 1, MPR_LABEL_DOUBTED, 0},   /* its inside */
    {25, false, 0, MPR_LABEL_CHILD, 0},
    {64, false, 1, MPR_LABEL_DOUBTED, 0},   /* its last word */
    {71, false, 0, MPR_LABEL_CHILD, 0},     /* its last byte */
    {72, false, 0, MPR_LABEL_CHILD, 0},     /* one past its end */
    {80, false, 1, MPR_LABEL_NATIVE, 1},    /* the next one */
    {0 - (uint64_t)8, false, 0, MPR_LABEL_CHILD, 0},
    {0 - (uint64_t)16, false, 1, MPR_LABEL_DOUBTED, -1}, /* its head begins with the last word of the one before */
    {0, true, 0, MPR_LABEL_CHILD, 0},
    {UINT64_C(1) << 47, true, 0, MPR_LABEL_CHILD, 0},
    {(UINT64_C(1) << 47) - 8, true, 0, MPR_LABEL_CHILD, 0},
    {UINT64_C(1) << 63, true, 0, MPR_LABEL_CHILD, 0},
    {~UINT64_C(0), true, 0, MPR_LABEL_CHILD, 0},
    {~UINT64_C(7), true, 0, MPR_LABEL_CHILD, 0},
};

#define CONTENTS (sizeof contents / sizeof *contents)

/* Each in a block's first word, and once more in the last one, which may be left from before: then the edge is doubted. */
static void takes_words_for_what_they_are(test *t) {
    region r;
    if (CHECK(t, new_row(&r, false))) {
        for (size_t i = 0; i < 2 * CONTENTS; i++) {
            const content *c = &contents[i / 2];
            region_words(&r, i + 1)[i % 2 == 0 ? 0 : 8] = c->word + (c->absolute ? 0 : region_block(&r, i + 1));
        }
        marked m;
        mark_region(t, &m, &r, NULL);
        size_t wrong = m.graph == NULL;
        for (size_t i = 0; m.graph != NULL && i < 2 * CONTENTS; i++) {
            const content *c = &contents[i / 2];
            mpr_label_kind kind;
            uint64_t to;
            bool right = edges_of(m.graph, region_block(&r, i + 1), &kind, &to) == c->edges;
            right = right && (c->edges == 0 || kind == (i % 2 == 0 ? c->kind : MPR_LABEL_DOUBTED));
            wrong += !right || (c->edges > 0 && to != region_block(&r, (size_t)((int64_t)i + 1 + c->to)));
        }
        CHECK(t, wrong == 0 && m.totals.lost == ROW && m.totals.blocks == 0);
        free_marked(t, &m);
    }
    region_free(&r);
}

/* What is full of addresses that are nobody's is not looked through: pymalloc's table of arenas, and libstdc++'s pool. Each as it
 * is, and with one word wrong, when it is a block like any other. */
static void passes_over_tables(test *t) {
    static const uint64_t sizes[] = {80, 16 * 48 + 16, 72704 + 16, 80, 16 * 48 + 16, 72704 + 16, 80};
    region r;
    if (CHECK(t, region_new(&r, MIB, false))) {
        region_lay(&r, sizes, 7);
        uint64_t arena = r.base - MIB; /* nothing is there, and nothing need be */
        mpr_pools_arena known = {.begin = arena};
        for (size_t i = 1; i < 6; i += 3) {
            uint64_t *record = region_words(&r, i), *pool = region_words(&r, i + 1);
            record[0] = arena, record[1] = arena + MPR_POOLS_ARENA + (i > 1 ? 8 : 0), record[2] = UINT64_C(64) << 32;
            pool[0] = 72704, pool[1] = i > 1;
            record[9] = pool[9] = region_block(&r, 3);
        }
        marked m;
        mark_region(t, &m, &r, &known);
        for (size_t i = 1; m.graph != NULL && i < 6; i += i == 2 ? 2 : 1) {
            mpr_label_kind kind;
            uint64_t to;
            CHECK(t, edges_of(m.graph, region_block(&r, i), &kind, &to) == (i < 3 ? 0 : 1) && (i < 3 || to == region_block(&r, 3)));
        }
        free_marked(t, &m);
    }
    region_free(&r);
}

/* ---- chains ---- */

/* Chunks of the least size, as many as wanted: more than a region keeps note of. */
static uint64_t lay_many(region *r, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) ((uint64_t *)(uintptr_t)(r->begin + 32 * i))[1] = 32 | 1;
    uint64_t top = r->begin + 32 * count;
    ((uint64_t *)(uintptr_t)top)[1] = (r->end - top) | 1;
    r->state[REGION_TOP] = top;
    return r->begin + 16;
}

/* Each block leads to the one `step` further, around; the last of a chain to nothing. */
static void link_many(uint64_t first, uint64_t count, uint64_t step, bool ring) {
    for (uint64_t i = 0; i < count; i++) {
        uint64_t next = (i + step) % count;
        *(uint64_t *)(uintptr_t)(first + 32 * i) = first + 32 * next;
    }
    uint64_t last = (count - step) % count; /* from there it goes on with the first */
    if (!ring) *(uint64_t *)(uintptr_t)(first + 32 * last) = 0;
}

static uint64_t lost_members(const mpr_graph *g) {
    uint32_t group = g->group[MPR_GROUP_LOST];
    return group == MPR_NO_NODE ? 0 : mpr_graph_first(g, group + 1) - mpr_graph_first(g, group);
}

/* A chain forwards, backwards, and all over; held at its beginning, or by nobody; some are rings. The steps have no divisor in
 * common with the count. */
static void follows_long_chains(test *t) {
    region r;
    uint64_t count = t->quick ? 100003 : 1000003;
    const uint64_t steps[] = {1, count - 1, count / 3};
    if (CHECK(t, region_new(&r, 32 * (count + 4), false))) {
        uint64_t first = lay_many(&r, count);
        for (size_t i = 0; i < (t->quick ? 4 : 6); i++) {
            bool ring = i & 1, root = i & 2;
            link_many(first, count, steps[i % 3], ring);
            held = root ? (void *)(uintptr_t)first : NULL;
            marked m;
            mark_region(t, &m, &r, NULL);
            held = NULL;
            CHECK(t, m.blocks == count && m.totals.blocks == (root ? count : 0) && m.totals.lost == (root ? 0 : count));
            CHECK(t, m.graph != NULL && lost_members(m.graph) == (root ? 0 : 1));
            free_marked(t, &m);
        }
    }
    region_free(&r);
}

/* Each block leads to itself; or two to each other. */
static void follows_short_cycles(test *t) {
    region r;
    if (CHECK(t, new_row(&r, true))) {
        for (size_t length = 1; length <= 2; length++) {
            for (size_t i = 0; i < ROW; i++) region_words(&r, i)[1] = region_block(&r, i ^ (length - 1));
            marked m;
            mark_region(t, &m, &r, NULL);
            CHECK(t, m.totals.lost == ROW && m.graph != NULL && lost_members(m.graph) == ROW / length);
            free_marked(t, &m);
        }
    }
    region_free(&r);
}

/* ---- pools ---- */

#define POOLS 8

typedef struct pools {
    uint64_t begin; /* of the first one */
    uint64_t used;
    uint8_t *memory;
} pools;

/* A pool of which `made` blocks were given out, and every `third` of them given back, lowest first. */
static uint64_t lay_pool(uint64_t base, uint32_t class, uint32_t made, uint32_t third) {
    uint64_t size = 16 * ((uint64_t)class + 1), *free_at = (uint64_t *)(uintptr_t)(base + 8);
    uint32_t *head = (uint32_t *)(uintptr_t)base, used = 0;
    head[8] = 0, head[9] = class, head[10] = (uint32_t)(48 + made * size), head[11] = (uint32_t)(MPR_POOLS_POOL - size);
    for (uint32_t i = 0; i < made; i++) {
        uint64_t block = base + 48 + i * size;
        if (i % third == 0) {
            *free_at = block;
            free_at = (uint64_t *)(uintptr_t)block;
        }
        used += i % third != 0;
    }
    *free_at = 0;
    head[0] = used;
    return used;
}

static void lay_pools(pools *p) {
    memset(p->memory, 0, (POOLS + 1) * MPR_POOLS_POOL);
    p->used = 0;
    for (uint32_t i = 0; i < POOLS; i++) p->used += lay_pool(p->begin + i * MPR_POOLS_POOL, 4 * i, 20 + i, 2 + i);
}

static bool is_ours(void *context, uint64_t base, uint32_t bytes) {
    const seen *s = context;
    return bytes <= MPR_POOLS_POOL && base >= s->begin && base < s->end;
}

static bool is_wanted(void *context, uint64_t base, uint32_t used) { return is_ours(context, base, 0) && used > 0; }

static uint64_t check_pools(test *t, const pools *p) {
    mpr_alloc a;
    mpr_pools all = {0};
    mpr_alloc_pages(&a);
    seen s = {.begin = p->begin, .end = p->begin + POOLS * MPR_POOLS_POOL, .sound = true};
    uint64_t at = (uint64_t)(uintptr_t)p->memory;
    mpr_mapping m = {.begin = at, .end = at + (POOLS + 1) * MPR_POOLS_POOL, .read = true, .write = true, .name = ""};
    const mpr_pools_client client = {.kept = is_ours, .wanted = is_wanted, .each = see_block, .context = &s};
    CHECK(t, mpr_pools_each_block(can_mark(), &client) == MPR_OK && s.sound);
    CHECK(t, mpr_pools_add(&all, &a, can_mark(), &m, 1 << 30) == MPR_OK && all.used_blocks >= s.count && all.pools <= POOLS);
    CHECK(t, all.used_bytes + all.free_bytes + all.lost_bytes == all.pools * MPR_POOLS_POOL && all.used_bytes >= s.bytes);
    mpr_pools_free(&all, &a);
    CHECK(t, a.used == 0);
    return s.count;
}

/* The first free block of a pool leads to less than a block before it: so far that adding a block's size wraps around. */
static void leads_before_pools(test *t, const pools *p) {
    for (uint32_t i = 0; i < POOLS; i++) {
        uint64_t base = p->begin + i * MPR_POOLS_POOL, size = 16 * (4 * (uint64_t)i + 1), *head = (uint64_t *)(uintptr_t)base;
        uint64_t *link = (uint64_t *)(uintptr_t)head[1], right = *link, used = (uint32_t)head[0];
        for (uint64_t before = 8; before <= size; before += t->quick ? 8 * (1 + before / 32) : 8) {
            *link = base - before;
            CHECK(t, check_pools(t, p) == p->used - used);
        }
        *link = right;
    }
}

/* A word of a pool's header, or the link of a free block, becomes anything, or another bit of it. */
static void bears_damaged_pools(test *t) {
    pools p = {.memory = mmap(NULL, (POOLS + 1) * MPR_POOLS_POOL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)};
    dice d = {41};
    p.begin = ((uint64_t)(uintptr_t)p.memory + MPR_POOLS_POOL - 1) & ~(MPR_POOLS_POOL - 1);
    lay_pools(&p);
    CHECK(t, check_pools(t, &p) == p.used);
    leads_before_pools(t, &p);
    for (int round = 0; round < (t->quick ? 50 : 2000); round++) {
        uint64_t base = p.begin + dice_below(&d, POOLS) * MPR_POOLS_POOL, *head = (uint64_t *)(uintptr_t)base;
        uint64_t *word = dice_chance(&d, 70) ? &head[dice_below(&d, 6)] : (uint64_t *)(uintptr_t)head[1];
        uint64_t end = base + MPR_POOLS_POOL, which = dice_below(&d, 26);
        const uint64_t values[] = {0, base, base + 48, base + 64, head[1], head[1] + 8, end, end - 16, base - 16, LESS(1),
                                   TO_47, TO_63, dice_next(&d)};
        *word = which < 13 ? values[which] : *word ^ UINT64_C(1) << dice_below(&d, 64);
        check_pools(t, &p);
        lay_pools(&p);
    }
    CHECK(t, check_pools(t, &p) == p.used);
    munmap(p.memory, (POOLS + 1) * MPR_POOLS_POOL);
}

/* ---- at random ---- */

#define CHANGES 16

typedef struct damage {
    const region *r;
    dice *d;
    size_t count;
    uint64_t *word[CHANGES], right[CHANGES];
} damage;

static void change(damage *g, uint64_t *word, uint64_t value) {
    if (g->count < CHANGES) {
        g->word[g->count] = word;
        g->right[g->count++] = *word;
        *word = value;
    }
}

static void undo(damage *g) {
    while (g->count > 0) {
        g->count--;
        *g->word[g->count] = g->right[g->count];
    }
}

static uint64_t random_word(const damage *g) {
    const region *r = g->r;
    uint64_t block = region_block(r, dice_below(g->d, r->count)), inside = 8 * dice_below(g->d, 100);
    uint64_t top = (uint64_t)(uintptr_t)&r->state[REGION_TOP], bit = UINT64_C(1) << dice_below(g->d, 64);
    const uint64_t words[] = {block, block - 16, block + 8, block + inside, block + dice_below(g->d, 64), r->begin, r->begin - 16,
                              r->end, r->end - 16, r->base, r->begin + r->cache + 16, top, bit, dice_next(g->d)};
    size_t known = sizeof nowhere / sizeof *nowhere, which = dice_below(g->d, known + sizeof words / sizeof *words);
    return which < known ? nowhere[which] : words[which - known];
}

/* The size of a chunk: another bit, anything, up to another chunk's end or around it, or what splits it into two. */
static void change_size(damage *g, size_t chunk) {
    const region *r = g->r;
    uint64_t at = r->chunks[chunk].at, all = r->chunks[chunk].size, rest = r->end - r->begin - at, to = dice_below(g->d, r->count);
    uint64_t *size = region_size(r, chunk), flags = *size & 7, part = 16 * dice_below(g->d, all / 16);
    switch (dice_below(g->d, 6)) {
        case 0: change(g, size, *size ^ UINT64_C(1) << dice_below(g->d, 64)); return;
        case 1: change(g, size, random_word(g)); return;
        case 2: change(g, size, (r->chunks[to].at - at) | flags); return; /* of one before: more than 2^63 */
        case 3: change(g, size, (rest - 16 * dice_below(g->d, 5) + 8 * dice_below(g->d, 2)) | flags); return;
        case 4: change(g, size, (all + 16 * dice_below(g->d, 4) - 32) | flags); return;
        default:
            change(g, (uint64_t *)(uintptr_t)(r->begin + at + part + 8), (all - part) | (dice_next(g->d) & 7));
            change(g, size, part | flags);
    }
}

static void change_something(damage *g) {
    const region *r = g->r;
    size_t chunk = dice_below(g->d, r->count);
    uint64_t *info = (uint64_t *)(uintptr_t)r->base;
    switch (dice_below(g->d, 9)) {
        case 0: change_size(g, chunk); return;
        case 1: change_size(g, dice_below(g->d, 3)); return;
        case 2: change(g, region_size(r, chunk), *region_size(r, chunk) ^ (1 + dice_below(g->d, 7))); return;
        case 3: change(g, region_size(r, 0), *region_size(r, 0) ^ (1 + dice_below(g->d, 7))); return;
        case 4: change(g, &((uint64_t *)(uintptr_t)(r->begin + r->cache))[dice_below(g->d, 82)], random_word(g)); return;
        case 5: change(g, &r->state[dice_below(g->d, REGION_TOP + 4)], random_word(g)); return;
        case 6: if (r->other) change(g, &info[dice_below(g->d, 4)], random_word(g)); return;
        default: /* a link, or whatever a block begins with */
            while (!r->chunks[chunk].ready && dice_chance(g->d, 90)) chunk = (chunk + 1) % r->count;
            change(g, region_words(r, chunk), random_word(g) ^ (dice_chance(g->d, 50) ? region_block(r, chunk) >> 12 : 0));
    }
}

/* Let blocks lead to each other, and to nowhere, so that marking has something to follow. */
static void scribble(damage *g) {
    for (size_t i = 0; i < g->r->count; i++) {
        uint64_t *words = region_words(g->r, i), room = (g->r->chunks[i].size - 8) / 8;
        for (uint64_t k = 1; k < room && g->r->chunks[i].at != g->r->cache; k += 1 + k) words[k] = random_word(g);
    }
}

static void fuzz(test *t, bool other) {
    region r;
    dice d = {43 + (uint64_t)other};
    damage g = {.r = &r, .d = &d};
    mpr_in_use in_use;
    int rounds = t->quick ? 100 : 3000, every = t->quick ? 25 : 60, accepted = 0;
    if (CHECK(t, region_new(&r, 4 * MIB, other))) {
        region_fill(&r, &d, 3000);
        scribble(&g);
        for (int round = 0; round < rounds; round++) {
            for (uint64_t i = 1 + dice_below(&d, 6); i > 0; i--) change_something(&g);
            accepted += bears(t, &r, &in_use);
            if (round % every == 0 && can_mark()) {
                marked m;
                mark_region(t, &m, &r, NULL);
                free_marked(t, &m);
            }
            undo(&g);
        }
        CHECK(t, accepted > rounds / 10 && accepted < rounds - rounds / 10); /* damage of both sorts */
        check_sound(t, &r);
    }
    region_free(&r);
}

void test_adversarial(test *t) {
    alarm(SECONDS_MOST);
    reads_sound_regions(t);
    refuses_wrong_sizes(t);
    bears_wrong_flags(t);
    refuses_what_is_cut(t);
    knows_fences(t);
    bears_wrong_links(t, false);
    bears_wrong_links(t, true);
    ends_in_cycles(t);
    bears_wrong_caches(t);
    knows_whole_mappings_alone(t);
    finds_mapped_blocks(t);
    bears_regions_over_another(t);
    if (can_mark()) {
        takes_words_for_what_they_are(t);
        passes_over_tables(t);
        follows_long_chains(t);
        follows_short_cycles(t);
    }
    bears_damaged_pools(t);
    fuzz(t, false);
    fuzz(t, true);
    alarm(0);
}
