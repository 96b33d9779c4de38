/* SPDX-License-Identifier: MIT
 * algo/diff: a heap beside itself has not grown; planted growth is told at its holder; rows against a count by hand. */
#include <stdlib.h>
#include <string.h>

#include "algo/diff.h"
#include "base/status.h"
#include "test.h"

typedef struct heaps {
    const mpr_graph *graph[3];
    const mpr_dominators *dominators[3];
    mpr_dominators d[3];
} heaps;

static bool dominate(heaps *h, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (!h->graph[i] || mpr_dominators_find(h->graph[i], NULL, NULL, NULL, &h->d[i]) != MPR_OK) return false;
        h->dominators[i] = &h->d[i];
    }
    return true;
}

static void forget(heaps *h, uint32_t count) {
    for (uint32_t i = count; i-- > 0;) {
        mpr_dominators_free(&h->d[i]);
        mpr_graph_free((mpr_graph *)(uintptr_t)h->graph[i]);
    }
}

/* The rows of one heap against a count of its signatures, one by one. */
static void check_rows(test *t, const heaps *h, const mpr_diff *diff, uint32_t which) {
    const mpr_graph *g = h->graph[which];
    mpr_signatures s = {0};
    if (!CHECK(t, mpr_signatures_find(g, h->dominators[which], NULL, NULL, NULL, &s) == MPR_OK)) return;
    for (uint32_t i = 0; i < diff->rows.count; i++) {
        const mpr_diff_row *row = &diff->rows.items[i];
        uint64_t count = 0, bytes = 0, whole = row->bytes[which];
        for (uint32_t v = 0; v < h->d[which].reached; v++) {
            uint32_t node = h->d[which].order[v];
            if (s.value[node] != row->signature) continue;
            count++;
            bytes += mpr_graph_is_object(g, node) ? mpr_graph_size(g, node) : 0;
        }
        CHECK(t, row->count[which] == count && row->bytes[which] == bytes);
        for (uint32_t k = i + 1; k < diff->rows.count; k++)
            if (diff->rows.items[k].parent == i) whole += diff->rows.items[k].whole[which];
        CHECK(t, row->whole[which] == whole && (row->parent == MPR_NO_ROW) == (i == 0) && (i == 0 || row->parent < i));
    }
    CHECK(t, diff->rows.items[0].whole[which] == h->d[which].retained[g->group[MPR_GROUP_ROOT]]);
    mpr_signatures_free(&s);
}

static void random_pair(test *t, uint64_t seed) {
    heap_shape shape = {.nodes = 5 + (uint32_t)seed % (seed < 200 ? 150 : 25), .types = 6, .edges = 1 + (unsigned)seed % 3};
    test_alloc a;
    heaps h = {0};
    mpr_diff diff = {0};
    uint32_t count = 1 + seed % 3;
    test_alloc_init(&a);
    for (uint32_t i = 0; i < count; i++) h.graph[i] = graph_make(&a.alloc, seed + i, &shape);
    if (CHECK(t, dominate(&h, count) && mpr_diff_make(h.graph, h.dominators, count, NULL, NULL, &diff) == MPR_OK)) {
        for (uint32_t i = 0; i < count; i++) check_rows(t, &h, &diff, i);
        for (size_t i = 0; i < diff.growth.count; i++) {
            CHECK(t, diff.growth.items[i].bytes > 0);
            CHECK(t, i == 0 || diff.growth.items[i].bytes <= diff.growth.items[i - 1].bytes);
        }
    }
    mpr_diff_free(&diff);
    forget(&h, count);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

static void with_itself(test *t, uint64_t seed) {
    heap_shape shape = {.nodes = 150, .types = 6, .edges = 2, .wild = seed % 2 == 0, .native = seed % 5 == 1};
    mpr_alloc a;
    heaps h = {0};
    mpr_diff diff = {0};
    mpr_alloc_pages(&a);
    for (uint32_t i = 0; i < 3; i++) h.graph[i] = graph_make(&a, seed, &shape);
    CHECK(t, dominate(&h, 3) && mpr_diff_make(h.graph, h.dominators, 2 + seed % 2, NULL, NULL, &diff) == MPR_OK);
    CHECK(t, diff.growth.count == 0);
    mpr_diff_free(&diff);
    forget(&h, 3);
    CHECK(t, a.used == 0);
}

/* The first growth is at the variable's list, and has these items and bytes. */
static void planted(test *t, const program *p, uint32_t count, uint32_t variable, int64_t items) {
    mpr_alloc a;
    heaps h = {0};
    mpr_diff diff = {0};
    mpr_alloc_pages(&a);
    for (uint32_t i = 0; i < count; i++) h.graph[i] = program_make(&a, &p[i]);
    bool made = CHECK(t, dominate(&h, count) && mpr_diff_make(h.graph, h.dominators, count, NULL, NULL, &diff) == MPR_OK);
    if (made && variable == MPR_NO_NODE) CHECK(t, diff.growth.count == 0);
    if (made && variable != MPR_NO_NODE && CHECK(t, diff.growth.count > 0)) {
        const mpr_diff_growth *first = diff.growth.items;
        CHECK(t, first->count == items && first->bytes == items * (int64_t)(p->item_size + 8));
        if (CHECK(t, first->holder != MPR_NO_ROW)) {
            const mpr_diff_row *row = &diff.rows.items[first->holder];
            CHECK(t, row->graph == count - 1 && row->node == program_list(h.graph[count - 1], variable));
        }
    }
    mpr_diff_free(&diff);
    forget(&h, count);
    CHECK(t, a.used == 0);
}

static void all_planted(test *t) {
    program p[3] = {{.variables = 3, .items = {10, 20, 30}, .item_size = 48},
                    {.variables = 3, .items = {10, 70, 30}, .item_size = 48},
                    {.variables = 3, .items = {10, 90, 30}, .item_size = 48}};
    planted(t, p, 2, 1, 50);
    planted(t, p, 3, 1, 50);
    p[2].items[1] = 20; /* came, and went again */
    planted(t, p, 3, MPR_NO_NODE, 0);
    p[2] = p[1];
    p[2].items[0] = 500; /* is new in the last alone */
    planted(t, p, 3, 1, 50);
}

static int at_once(void *context, uint64_t done, uint64_t total) { return (void)context, (void)done, (void)total, 1; }

static void without_memory(test *t) {
    program p[2] = {{.variables = 3, .items = {1, 2, 3}, .item_size = 48}, {.variables = 3, .items = {1, 7, 3}, .item_size = 48}};
    test_alloc a;
    heaps h = {0};
    test_alloc_init(&a);
    for (uint32_t i = 0; i < 2; i++) h.graph[i] = program_make(&a.alloc, &p[i]);
    bool tripped = CHECK(t, dominate(&h, 2));
    for (uint64_t nth = 1; tripped; nth++) {
        mpr_diff diff = {0};
        a.calls = 0;
        a.fail_at = nth;
        a.tripped = false;
        CHECK(t, (mpr_diff_make(h.graph, h.dominators, 2, NULL, NULL, &diff) == MPR_ENOMEM) == a.tripped);
        mpr_diff_free(&diff);
        tripped = a.tripped;
    }
    a.fail_at = 0;
    mpr_diff diff = {0};
    CHECK(t, mpr_diff_make(h.graph, h.dominators, 2, at_once, NULL, &diff) == MPR_ECANCELLED && diff.alloc == NULL);
    CHECK(t, mpr_diff_make(h.graph, h.dominators, 0, NULL, NULL, &diff) == MPR_ELIMIT);
    forget(&h, 2);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

void test_diff(test *t) {
    all_planted(t);
    for (uint64_t seed = 1; seed <= (t->quick ? 5u : 10000u); seed++) random_pair(t, seed);
    for (uint64_t seed = 1; seed <= (t->quick ? 2u : 50u); seed++) with_itself(t, seed);
    without_memory(t);
}
