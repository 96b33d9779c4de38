/* SPDX-License-Identifier: MIT
 * native/blocks, in_use, roots and marking: made-up regions beside a slow twin, and the memory of this very process, in which blocks are planted. */
#define _GNU_SOURCE 1
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/os/maps.h"
#include "base/status.h"
#include "native/account.h"
#include "native/marking.h"
#include "test.h"

#define PAGE ((uint64_t)4096)
#define MIB ((size_t)1 << 20)

/* ---- blocks, beside a list that is searched from its beginning ---- */

typedef struct twin {
    uint64_t begin, end;
} twin;

static void finds_blocks(test *t) {
    enum { MOST = 4096, SIZE = 64 << 20 };
    static twin list[MOST];
    mpr_alloc a;
    mpr_alloc_pages(&a);
    dice d = {17};
    uint8_t *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int round = 0; round < (t->quick ? 2 : 20); round++) {
        mpr_blocks blocks;
        mpr_blocks_init(&blocks, &a);
        uint64_t at = (uint64_t)(uintptr_t)memory, end = at + SIZE;
        size_t count = 0;
        bool added = true;
        while (count < MOST) {
            uint64_t size = dice_chance(&d, 2) ? MIB * (1 + dice_below(&d, 5)) : 32 + 16 * dice_below(&d, 600); /* of a chunk */
            if (at + size + 16 > end) break;
            ((uint64_t *)(uintptr_t)at)[1] = size | 1;
            if (dice_chance(&d, 70)) { /* else it is free, or not malloc's */
                added = added && mpr_blocks_add_chunk(&blocks, at + 16, size - 8) == MPR_OK;
                list[count++] = (twin){at + 16, at + 16 + size - 8};
            }
            at += size;
        }
        mpr_blocks_sort(&blocks);
        CHECK(t, added && blocks.begins.members == count);
        size_t right = 0, tries = 20000;
        for (size_t i = 0; i < tries; i++) {
            const twin *near = &list[dice_below(&d, count)];
            uint64_t address = dice_chance(&d, 50) ? near->begin + dice_below(&d, near->end - near->begin + 64) - 24
                                                   : (uint64_t)(uintptr_t)memory + dice_below(&d, SIZE);
            uint64_t wanted = 0;
            for (size_t k = 0; k < count && wanted == 0; k++)
                wanted = address >= list[k].begin && address < list[k].end ? list[k].begin : 0;
            right += mpr_blocks_find(&blocks, address) == wanted;
        }
        CHECK(t, right == tries);
        for (size_t k = 0; k < count; k += 2) mpr_blocks_remove(&blocks, list[k].begin);
        size_t kept = 0;
        for (size_t k = 0; k < count; k++) {
            bool has = mpr_blocks_find(&blocks, list[k].begin) == list[k].begin && mpr_blocks_has(&blocks, list[k].begin);
            kept += has == (k % 2 == 1) && (k % 2 == 1 || mpr_blocks_find(&blocks, list[k].end - 1) == 0);
        }
        CHECK(t, kept == count);
        mpr_blocks_free(&blocks);
    }
    CHECK(t, a.used == 0 && mpr_blocks_find(&(mpr_blocks){.lowest = 0}, 4096) == 0);
    explicit_bzero(list, sizeof list); /* what is lost below must not be found here */
    munmap(memory, SIZE);
}

/* ---- this process ---- */

static bool take_regions(mpr_alloc *a, mpr_account_more *more) {
    mpr_account account;
    mpr_held smaps = mpr_maps_open(0, MPR_MAPS_SIZES), pages = mpr_maps_open(0, MPR_MAPS_PAGES);
    *more = (mpr_account_more){.alloc = a};
    mpr_account_begin(&account, true, &smaps);
    int status = mpr_account_finish(&account, a, &pages, true, more);
    mpr_held_close(&smaps);
    mpr_held_close(&pages);
    return status == MPR_OK;
}

/* Chunks that were freed, of sizes that a thread's cache and fast bins have, are no blocks; those beside them are. */
static void leaves_out_what_malloc_keeps_ready(test *t) {
    enum { BLOCKS = 600 };
    static void *block[BLOCKS];
    mpr_alloc a;
    mpr_account_more more;
    mpr_alloc_pages(&a);
    for (size_t i = 0; i < BLOCKS; i++) block[i] = memset(malloc(24 + i % 20 * 16), 1, 24);
    for (size_t i = 0; i < BLOCKS; i += 2) free(block[i]);
    mpr_blocks blocks;
    mpr_in_use in_use;
    mpr_blocks_init(&blocks, &a);
    if (CHECK(t, take_regions(&a, &more) && mpr_in_use_add(&blocks, &more.regions, &in_use) == MPR_OK)) {
        size_t kept = 0, freed = 0;
        for (size_t i = 0; i < BLOCKS; i++) {
            bool has = mpr_blocks_has(&blocks, (uint64_t)(uintptr_t)block[i]);
            kept += i % 2 == 1 && has;
            freed += i % 2 == 0 && !has;
        }
        CHECK(t, kept == BLOCKS / 2 && freed >= BLOCKS / 2 - 2); /* the account's call of dlsym takes one */
        CHECK(t, in_use.cached >= 70 && in_use.cached_bytes >= 70 * 24);
    }
    mpr_blocks_free(&blocks);
    mpr_account_more_free(&more);
    for (size_t i = 1; i < BLOCKS; i += 2) free(block[i]);
    explicit_bzero(block, sizeof block);
    CHECK(t, a.used == 0);
}

/* ---- marking ---- */

static void *held; /* a variable of the program */

#define HIDE(p) (~(uint64_t)(uintptr_t)(p))

/* Blocks whose addresses nobody has but in this form. */
typedef struct planted {
    uint64_t root, inner, middle, behind, object_block, lost, lost_next, cycle[2], mapped, large_lost;
} planted;

static __attribute__((noinline)) void plant(planted *p) {
    void **root = calloc(1, 100), **inner = calloc(1, 300), *object = calloc(1, 700);
    void **middle = calloc(1, 200), **behind = calloc(1, 200);
    void **lost = calloc(1, 5000), **lost_next = calloc(1, 40), **one = calloc(1, 48), **two = calloc(1, 48);
    void **mapped = calloc(1, 40 * MIB), *large_lost = calloc(1, 40 * MIB);
    held = root;
    root[3] = (char *)inner + 200; /* into the middle */
    inner[1] = (char *)object + 16;
    root[5] = mapped;
    root[6] = middle + 3; /* and so does nobody else */
    middle[2] = behind + 4;
    mapped[5 * MIB - 512] = inner; /* in the last of a few pages that were written to */
    *lost = lost_next;
    *one = two, *two = one;
    *p = (planted){HIDE(root), HIDE(inner), HIDE(middle), HIDE(behind), HIDE(object), HIDE(lost), HIDE(lost_next), {HIDE(one), HIDE(two)}, HIDE(mapped), HIDE(large_lost)};
}

/* What was on the stack of `plant`. */
static __attribute__((noinline)) void wipe(void) {
    volatile char bytes[8192];
    memset((void *)bytes, 0, sizeof bytes);
}

static uint32_t node_of(const mpr_graph *g, uint64_t hidden) {
    uint32_t node;
    return mpr_graph_find(g, ~hidden, &node) ? node : MPR_NO_NODE;
}

static bool refers(const mpr_graph *g, uint32_t from, uint32_t to, uint32_t offset, mpr_label_kind kind, bool strong) {
    for (uint64_t k = mpr_graph_first(g, from); k < mpr_graph_first(g, from + 1); k++) {
        mpr_label label = g->label[k];
        if (g->target[k] == to && mpr_label_kind_of(label) == kind && mpr_label_payload(label) == offset)
            return (mpr_label_strong(label) != 0) == strong;
    }
    return false;
}

static int tell_object(mpr_sink *sink, uint64_t address, uint32_t *types) {
    mpr_seen_type type = {.address = 4096, .name = "object", .name_length = 6};
    mpr_seen_node node = {.address = address, .type = *types, .size = 600, .refcount = 1};
    int status = sink->type(sink, &type);
    *types += 1;
    return status == MPR_OK ? sink->node(sink, &node) : status;
}

static mpr_graph *mark_all(test *t, mpr_alloc *a, const planted *p, mpr_marking *m) {
    mpr_account_more more;
    mpr_builder *builder = NULL;
    mpr_addrset objects;
    mpr_graph *g = NULL;
    uint32_t handle, types = 0;
    uint64_t synthetic = MPR_SYNTHETIC + 16 * MPR_GROUP_COUNT, here = (uint64_t)(uintptr_t)&handle, object = ~p->object_block + 16;
    mpr_addrset_init(&objects, a);
    mpr_addrset_add(&objects, object, &handle);
    int status = take_regions(a, &more) ? mpr_builder_new(&builder, a) : MPR_EIO;
    CHECK(t, status == MPR_OK && mpr_marking_begin(m, a, &more) == MPR_OK);
    mpr_marking_walk walk = {mpr_builder_sink(builder), &types, &synthetic, &objects, {here - 64 * PAGE, here + 2 * PAGE}};
    CHECK(t, tell_object(walk.sink, object, &types) == MPR_OK);
    object = 0;
    CHECK(t, mpr_marking_finish(m, &walk) == MPR_OK && mpr_builder_freeze(builder, &g) == MPR_OK);
    mpr_builder_free(builder);
    mpr_addrset_free(&objects);
    mpr_account_more_free(&more);
    return g;
}

static void marks(test *t) {
    mpr_alloc a;
    mpr_marking m;
    planted p;
    mpr_alloc_pages(&a);
    plant(&p);
    wipe();
    mpr_graph *g = mark_all(t, &a, &p, &m);
    uint32_t root = node_of(g, p.root), inner = node_of(g, p.inner), lost = node_of(g, p.lost), next = node_of(g, p.lost_next);
    uint32_t middle = node_of(g, p.middle), behind = node_of(g, p.behind);
    uint32_t one = node_of(g, p.cycle[0]), two = node_of(g, p.cycle[1]), mapped = node_of(g, p.mapped), object, large = node_of(g, p.large_lost);
    bool all = root != MPR_NO_NODE && inner != MPR_NO_NODE && lost != MPR_NO_NODE && next != MPR_NO_NODE && one != MPR_NO_NODE &&
               two != MPR_NO_NODE && mapped != MPR_NO_NODE && large != MPR_NO_NODE && middle != MPR_NO_NODE && behind != MPR_NO_NODE;
    if (CHECK(t, all) && CHECK(t, mpr_graph_find(g, ~p.object_block + 16, &object) == 1)) {
        const uint32_t gone = MPR_NODE_UNREACHABLE;
        CHECK(t, mpr_graph_check(g) == NULL);
        CHECK(t, node_of(g, p.object_block) == MPR_NO_NODE); /* an object has it */
        CHECK(t, refers(g, root, mapped, 40, MPR_LABEL_NATIVE, true) && refers(g, mapped, inner, 40 * MIB - 4096, MPR_LABEL_NATIVE, true));
        CHECK(t, refers(g, root, inner, 24, MPR_LABEL_DOUBTED, false)); /* for another has its address */
        CHECK(t, refers(g, root, middle, 48, MPR_LABEL_DOUBTED, true) && refers(g, middle, behind, 16, MPR_LABEL_DOUBTED, true));
        CHECK(t, refers(g, inner, object, 8, MPR_LABEL_NATIVE, false)); /* may be stale: it takes nothing from the residual */
        CHECK(t, mpr_graph_residual(g, object) == 1 && mpr_graph_residual(g, root) == 0);
        CHECK(t, !((g->flags[root] | g->flags[inner] | g->flags[mapped] | g->flags[middle] | g->flags[behind]) & gone));
        CHECK(t, (g->flags[lost] & g->flags[next] & g->flags[one] & g->flags[two] & g->flags[large] & gone) != 0);
        CHECK(t, mpr_graph_size(g, root) == 112 && mpr_graph_size(g, mapped) >= 40 * MIB + 16);
        uint32_t group = g->group[MPR_GROUP_LOST], members = 0, wrong = 0;
        for (uint64_t k = mpr_graph_first(g, group); k < mpr_graph_first(g, group + 1); k++) {
            members += g->target[k] == lost || g->target[k] == one || g->target[k] == two || g->target[k] == large;
            wrong += g->target[k] == next;
        }
        CHECK(t, members == 3 && wrong == 0); /* of a cycle one */
        CHECK(t, g->totals.lost_blocks == m.totals.lost && g->totals.native_blocks == m.totals.lost + m.totals.blocks);
        CHECK(t, m.totals.lost < 5 + 20); /* whatever else this program has lost */
    }
    mpr_marking_free(&m);
    mpr_graph_free(g);
    CHECK(t, a.used == 0);
    free((void *)(uintptr_t)~p.lost), free((void *)(uintptr_t)~p.lost_next), free(held);
    free((void *)(uintptr_t)~p.middle), free((void *)(uintptr_t)~p.behind), free((void *)(uintptr_t)~p.inner), free((void *)(uintptr_t)~p.object_block), free((void *)(uintptr_t)~p.mapped);
    free((void *)(uintptr_t)~p.cycle[0]), free((void *)(uintptr_t)~p.cycle[1]), free((void *)(uintptr_t)~p.large_lost);
    held = NULL;
}

void test_marking(test *t) {
    finds_blocks(t);
    if (!test_has_glibc()) return;
    leaves_out_what_malloc_keeps_ready(t);
    marks(t);
}
