/* SPDX-License-Identifier: MIT
 * Whose a native block is (graph/native.h): against Bellman and Ford's algorithm over costs that are compared word by word, and
 * the case that led to it. */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "graph/graph.h"
#include "test.h"

#define GROUP (MPR_SYNTHETIC + 16 * (uint64_t)MPR_GROUP_NATIVE)
#define MOST 64u

typedef struct word {
    uint32_t from, to; /* 0: the group, the others are blocks */
    mpr_label_kind kind;
    uint32_t place;
} word;

static uint64_t address_of(uint32_t node) { return node == 0 ? GROUP : UINT64_C(0x100000) + 4096 * (uint64_t)node; }

/* A graph of the group and blocks, of such sizes; words stand by `from`. */
static mpr_graph *make(mpr_alloc *alloc, uint32_t nodes, const uint64_t *sizes, const word *words, size_t count) {
    mpr_builder *builder = NULL;
    mpr_graph *g = NULL;
    int status = mpr_builder_new(&builder, alloc);
    mpr_sink *sink = mpr_builder_sink(builder);
    mpr_seen_type type = {.name = "<native>", .name_length = 8, .flags = MPR_TYPE_NATIVE};
    status = status == MPR_OK ? sink->type(sink, &type) : status;
    for (uint32_t i = 0; status == MPR_OK && i < nodes; i++) {
        mpr_seen_node node = {.address = address_of(i), .size = sizes[i], .flags = i == 0 ? MPR_NODE_SYNTHETIC : MPR_NODE_NATIVE};
        status = sink->node(sink, &node);
        for (size_t k = 0; status == MPR_OK && k < count; k++) {
            mpr_seen_edge edge = {address_of(words[k].to), mpr_label_make(words[k].kind, words[k].place) | MPR_LABEL_WEAK};
            status = words[k].from == i ? sink->edges(sink, &edge, 1) : status;
        }
    }
    status = status == MPR_OK ? mpr_builder_freeze(builder, &g) : status;
    mpr_builder_free(builder);
    return g;
}

/* Does the k-th word of a node retain what it leads to? */
static bool retains(const mpr_graph *g, uint32_t node, size_t k) { return mpr_label_strong(g->label[mpr_graph_first(g, node) + k]); }

/* Of a way: words that look left behind, then steps. */
typedef struct cost {
    uint32_t behind, steps;
} cost;

static cost after(cost c, const word *w) { return (cost){c.behind + (w->kind == MPR_LABEL_DOUBTED), c.steps + 1}; }

static int compare(cost a, cost b) {
    return a.behind != b.behind ? (a.behind < b.behind ? -1 : 1) : (a.steps > b.steps) - (a.steps < b.steps);
}

/* Blocks all of different sizes, so that no place can be judged. */
static void best_ways(test *t, uint64_t seed) {
    dice d = {seed};
    uint32_t nodes = 2 + (uint32_t)dice_below(&d, MOST - 2);
    uint64_t sizes[MOST] = {0};
    word words[4 * MOST];
    size_t count = 1 + dice_below(&d, 4 * (uint64_t)nodes - 1), next[MOST] = {0};
    cost best[MOST] = {{0, 0}};
    test_alloc a;
    test_alloc_init(&a);
    for (uint32_t i = 1; i < nodes; i++) sizes[i] = 16 * (uint64_t)i, best[i] = (cost){UINT32_MAX, 0};
    for (size_t k = 0; k < count; k++) {
        bool root = dice_chance(&d, 10), exact = dice_chance(&d, 60);
        words[k] = (word){root ? 0 : (uint32_t)dice_below(&d, nodes), 1 + (uint32_t)dice_below(&d, nodes - 1),
                          exact ? MPR_LABEL_NATIVE : MPR_LABEL_DOUBTED, (uint32_t)dice_below(&d, 9) * 8};
    }
    for (uint32_t round = 0; round < nodes; round++)
        for (size_t k = 0; k < count; k++) {
            cost way = after(best[words[k].from], &words[k]);
            if (best[words[k].from].behind != UINT32_MAX && compare(way, best[words[k].to]) < 0) best[words[k].to] = way;
        }
    mpr_graph *g = make(&a.alloc, nodes, sizes, words, count);
    if (!CHECK(t, g != NULL && mpr_graph_check(g) == NULL)) return;
    for (size_t k = 0; k < count; k++) {
        bool way = best[words[k].from].behind != UINT32_MAX;
        bool right = way && compare(after(best[words[k].from], &words[k]), best[words[k].to]) == 0;
        bool known = best[words[k].to].behind != UINT32_MAX; /* what nothing leads to is lost, and retains what it may */
        bool found = retains(g, words[k].from, next[words[k].from]++);
        if (known) CHECK(t, found == right);
    }
    for (uint32_t i = 1; i < nodes; i++) CHECK(t, !(g->flags[i] & MPR_NODE_UNREACHABLE) == (best[i].behind != UINT32_MAX));
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

/* A database: its owner has its own address in a place where other blocks of the size have none. A page that a word which was left behind
 * leads to, too, leads back to the pager, as all pages do: that takes it from nobody. */
static void what_leads_back_takes_nothing(test *t) {
    enum { GROUP_NODE, OWNER, PAGER, TEXT, PAGES, ALIKE = PAGES + 20, NODES = ALIKE + 20 };
    uint64_t sizes[NODES] = {0, 176, 816, 112};
    word words[4 * NODES];
    size_t count = 0;
    test_alloc a;
    test_alloc_init(&a);
    words[count++] = (word){GROUP_NODE, OWNER, MPR_LABEL_NATIVE, 0};
    words[count++] = (word){GROUP_NODE, TEXT, MPR_LABEL_NATIVE, 8};
    words[count++] = (word){OWNER, PAGER, MPR_LABEL_NATIVE, 8};
    words[count++] = (word){OWNER, PAGES, MPR_LABEL_DOUBTED, 32};
    words[count++] = (word){TEXT, PAGES, MPR_LABEL_DOUBTED, 96};
    for (uint32_t i = PAGES; i < ALIKE; i++) {
        sizes[i] = 4384;
        words[count++] = (word){PAGER, i, MPR_LABEL_DOUBTED, 16 * i};
        words[count++] = (word){i, PAGER, MPR_LABEL_NATIVE, 4200};
    }
    for (uint32_t i = ALIKE; i < NODES; i++) {
        sizes[i] = 176; /* as the owner, and hung below something else */
        words[count++] = (word){GROUP_NODE, i, MPR_LABEL_NATIVE, 16 * i};
    }
    mpr_graph *g = make(&a.alloc, NODES, sizes, words, count);
    if (!CHECK(t, g != NULL && mpr_graph_check(g) == NULL)) return;
    CHECK(t, retains(g, OWNER, 0)); /* the pager */
    for (uint32_t i = PAGES; i < ALIKE; i++) CHECK(t, !retains(g, i, 0));
    for (uint32_t i = PAGES + 1; i < ALIKE; i++) CHECK(t, retains(g, PAGER, i - PAGES));
    CHECK(t, g->totals.lost_blocks == 0);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

void test_owners(test *t) {
    what_leads_back_takes_nothing(t);
    for (uint64_t seed = 1; seed <= (t->quick ? 200 : 3000); seed++) best_ways(t, seed);
}
