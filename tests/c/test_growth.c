/* SPDX-License-Identifier: MIT
 * algo/ranks and algo/growth: ranks against a search from each root in turn; a heap beside itself has not grown; planted growth at its
 * holder; rows and what is not attributed add up, whatever the heaps. */
#include <stdlib.h>
#include <string.h>

#include "algo/growth.h"
#include "algo/steps.h"
#include "base/status.h"
#include "test.h"

/* ---- ranks ---- */

/* Give a rank to all that a node reaches and that has none. */
static void spread(const mpr_graph *g, uint32_t node, uint16_t rank, uint16_t *out) {
    uint32_t *stack = malloc((g->edges + g->nodes + 1) * sizeof *stack);
    size_t count = 0;
    stack[count++] = node;
    while (count > 0) {
        uint32_t at = stack[--count];
        if (out[at] != MPR_RANK_NONE || (g->flags[at] & MPR_NODE_OWN)) continue;
        out[at] = rank;
        for (uint64_t k = mpr_graph_first(g, at); k < mpr_graph_first(g, at + 1); k++)
            if (mpr_label_strong(g->label[k])) stack[count++] = g->target[k];
        if (mpr_steps_class(g, at) != MPR_NO_NODE) stack[count++] = mpr_steps_class(g, at);
    }
    free(stack);
}

/* Roots as they are listed, in turn; no strong edge leads to a later rank but from what contains roots. */
static void check_ranks(test *t, const mpr_graph *g, const mpr_ranks *ranks) {
    mpr_rank_roots roots = {0};
    uint16_t *expected = malloc(g->nodes * sizeof *expected), last = 0;
    memset(expected, 0xFF, g->nodes * sizeof *expected);
    CHECK(t, mpr_ranks_roots(g, &roots) == MPR_OK);
    for (size_t i = 0; i < roots.count; i++) { /* what contains roots is not followed */
        expected[roots.items[i].parent] = MPR_RANK_LASTING;
        CHECK(t, roots.items[i].rank >= last);
        last = roots.items[i].rank;
    }
    uint32_t threads = g->group[MPR_GROUP_THREADS];
    if (threads != MPR_NO_NODE) expected[threads] = MPR_RANK_LASTING;
    for (uint64_t k = threads == MPR_NO_NODE ? 1 : mpr_graph_first(g, threads);
         threads != MPR_NO_NODE && k < mpr_graph_first(g, threads + 1); k++)
        if (ranks->value[g->target[k]] == MPR_RANK_LASTING && (g->flags[g->target[k]] & MPR_NODE_SYNTHETIC))
            expected[g->target[k]] = MPR_RANK_LASTING;
    expected[g->group[MPR_GROUP_INTERNED]] = MPR_RANK_LASTING;
    for (size_t i = 0; i < roots.count; i++) spread(g, roots.items[i].node, roots.items[i].rank, expected);
    CHECK(t, memcmp(expected, ranks->value, g->nodes * sizeof *expected) == 0);
    CHECK(t, ranks->value[g->group[MPR_GROUP_C_REFERENCES]] == ranks->c_references && ranks->unreachable == ranks->c_references + 1);
    free(expected);
    mpr_vec_free(&roots, g->alloc);
}

/* The rank tree is the dominator tree of the edges that remain: a node is dominated when it is not reached without. */
static void check_tree(test *t, const mpr_graph *g, const mpr_ranks *ranks, const mpr_dominators *d) {
    uint8_t *seen = malloc(g->nodes);
    uint32_t *stack = malloc((g->edges + 2 * (size_t)g->nodes + 1) * sizeof *stack), root = g->group[MPR_GROUP_ROOT];
    for (uint32_t out = 0; out < g->nodes; out++) {
        size_t count = 0;
        memset(seen, 0, g->nodes);
        if (out != root) stack[count++] = root;
        while (count > 0) {
            uint32_t at = stack[--count];
            if (seen[at] || at == out || (g->flags[at] & MPR_NODE_OWN)) continue;
            seen[at] = 1;
            uint32_t class = mpr_steps_class(g, at);
            if (class != MPR_NO_NODE && ranks->value[class] >= ranks->value[at]) stack[count++] = class;
            for (uint64_t k = mpr_graph_first(g, at); k < mpr_graph_first(g, at + 1); k++)
                if (mpr_label_strong(g->label[k]) && ranks->value[g->target[k]] >= ranks->value[at]) stack[count++] = g->target[k];
        }
        for (uint32_t v = 0; v < g->nodes; v++)
            if (d->parent[v] == out) CHECK(t, !seen[v]);
    }
    free(stack);
    free(seen);
}

static void random_ranks(test *t, uint64_t seed) {
    heap_shape shape = {.nodes = 5 + (uint32_t)seed % 70, .types = 6, .edges = 1 + (unsigned)seed % 3, .wild = seed % 3 == 0, .native = seed % 5 == 1};
    test_alloc a;
    mpr_ranks ranks = {0};
    mpr_dominators d = {0};
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, seed, &shape);
    if (CHECK(t, g != NULL && mpr_ranks_find(g, &ranks) == MPR_OK && mpr_dominators_find(g, &ranks, NULL, NULL, &d) == MPR_OK)) {
        check_ranks(t, g, &ranks);
        check_tree(t, g, &ranks, &d);
    }
    mpr_dominators_free(&d);
    mpr_ranks_free(&ranks);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

/* ---- growth ---- */

typedef struct heaps {
    mpr_graph *graph[3];
    mpr_ranks ranks[3];
    mpr_dominators d[3];
    mpr_name_tree names[3];
    mpr_growth_heap heap[3];
    uint32_t *all; /* nodes of the newest: what is asked for */
} heaps;

static bool prepare(heaps *h, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (!h->graph[i] || mpr_ranks_find(h->graph[i], &h->ranks[i]) != MPR_OK) return false;
        if (mpr_dominators_find(h->graph[i], &h->ranks[i], NULL, NULL, &h->d[i]) != MPR_OK) return false;
        if (mpr_name_tree_begin(h->graph[i], false, &h->names[i]) != MPR_OK) return false;
        h->heap[i] = (mpr_growth_heap){.graph = h->graph[i], .ranks = &h->ranks[i], .dominators = &h->d[i], .names = &h->names[i]};
    }
    uint32_t nodes = h->graph[count - 1]->nodes;
    h->all = malloc(nodes * sizeof *h->all);
    for (uint32_t i = 0; i < nodes; i++) h->all[i] = i;
    h->heap[count - 1].asked = h->all;
    h->heap[count - 1].asked_count = nodes;
    return true;
}

static void forget(heaps *h, uint32_t count) {
    free(h->all);
    for (uint32_t i = count; i-- > 0;) {
        mpr_name_tree_free(&h->names[i]);
        mpr_dominators_free(&h->d[i]);
        mpr_ranks_free(&h->ranks[i]);
        mpr_graph_free(h->graph[i]);
    }
}

/* Each node stands in one row at most, and below its holder, which is of the newest heap where anything came. */
static void check_asked(test *t, const heaps *h, const mpr_growth *growth, uint32_t count) {
    const mpr_dominators *d = &h->d[count - 1];
    uint8_t *met = calloc(h->graph[count - 1]->nodes, 1);
    for (size_t i = 0; i < growth->rows.count; i++) {
        const mpr_growth_row *row = &growth->rows.items[i];
        CHECK(t, row->asked_count == 0 || (row->graph == count - 1 && row->kind != MPR_GROWTH_ITSELF));
        for (size_t k = row->asked; k < row->asked + row->asked_count; k++) {
            uint32_t node = growth->asked.items[k], at = node;
            CHECK(t, !met[node]);
            met[node] = 1;
            while (row->kind == MPR_GROWTH_HELD && !row->several && at != row->node && d->parent[at] != at && d->parent[at] != MPR_NO_NODE) at = d->parent[at];
            CHECK(t, row->kind != MPR_GROWTH_HELD || row->several || at == row->node || at == d->order[0]);
        }
    }
    free(met);
}

static void check_sum(test *t, const mpr_growth *growth, uint32_t count) {
    uint64_t sum = (uint64_t)growth->unattributed;
    for (size_t i = 0; i < growth->rows.count; i++) {
        const mpr_growth_row *row = &growth->rows.items[i];
        sum += (uint64_t)row->bytes[1];
        CHECK(t, row->bytes[1] >= MPR_GROWTH_FLOOR && (i == 0 || row->in_use >= row[-1].in_use));
        CHECK(t, i == 0 || row->in_use != row[-1].in_use || row->bytes[1] <= row[-1].bytes[1]);
    }
    CHECK(t, sum == growth->bytes[count - 1] - growth->bytes[0]);
}

/* Counted with native blocks rows add up to the growth of all that is reached. */
static void check_native(test *t, heaps *h, uint32_t count) {
    mpr_growth growth = {0};
    bool known = true;
    for (uint32_t i = 0; i < count; i++) {
        h->heap[i].native = true;
        known = known && h->d[i].native != NULL;
    }
    if (CHECK(t, mpr_growth_find(h->heap, count, NULL, NULL, &growth) == MPR_OK)) {
        for (uint32_t i = 0; i < count; i++) {
            uint64_t blocks = known ? h->d[i].native[h->d[i].order[0]] : 0;
            CHECK(t, growth.bytes[i] == h->d[i].retained[h->d[i].order[0]] + blocks);
        }
        check_sum(t, &growth, count);
    }
    mpr_growth_free(&growth);
}

static void random_heaps(test *t, uint64_t seed) {
    heap_shape shape = {.nodes = 5 + (uint32_t)seed % 150, .types = 6, .edges = 1 + (unsigned)seed % 3, .wild = seed % 4 == 0, .native = seed % 5 == 1};
    test_alloc a;
    heaps h = {0};
    mpr_growth growth = {0};
    uint32_t count = 2 + seed % 2;
    test_alloc_init(&a);
    for (uint32_t i = 0; i < count; i++) h.graph[i] = graph_make(&a.alloc, seed + i % (1 + seed % 3), &shape);
    if (CHECK(t, prepare(&h, count) && mpr_growth_find(h.heap, count, NULL, NULL, &growth) == MPR_OK)) {
        check_sum(t, &growth, count);
        check_asked(t, &h, &growth, count);
    }
    if (seed % 3 == 0) CHECK(t, growth.rows.count == 0 && growth.unattributed == 0); /* one heap, two or three times */
    mpr_growth_free(&growth);
    check_native(t, &h, count);
    forget(&h, count);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

/* The first growth is below the variable's list, by so many items, of which so many are new. */
static void planted(test *t, const program *p, uint32_t count, uint32_t variable, int64_t items, uint64_t new) {
    mpr_alloc a;
    heaps h = {0};
    mpr_growth growth = {0};
    mpr_alloc_pages(&a);
    for (uint32_t i = 0; i < count; i++) h.graph[i] = program_make(&a, &p[i]);
    bool made = CHECK(t, prepare(&h, count) && mpr_growth_find(h.heap, count, NULL, NULL, &growth) == MPR_OK);
    if (made) check_sum(t, &growth, count);
    if (made && variable == MPR_NO_NODE) CHECK(t, growth.rows.count == 0);
    if (made && variable != MPR_NO_NODE && CHECK(t, growth.rows.count > 0)) {
        const mpr_growth_row *first = growth.rows.items;
        CHECK(t, first->kind == MPR_GROWTH_HELD && first->count[1] == items && first->came[1] == new);
        CHECK(t, first->bytes[1] == items * (int64_t)(p->item_size + 8) && !first->in_use && !first->several);
        CHECK(t, first->graph == count - 1 && first->node == program_list(h.graph[count - 1], variable));
        CHECK(t, first->base_count == p[0].items[variable]);
        uint64_t of_type = 0;
        for (size_t i = first->asked; i < first->asked + first->asked_count; i++)
            of_type += h.graph[count - 1]->type[growth.asked.items[i]] == first->type;
        CHECK(t, of_type == new);
        check_asked(t, &h, &growth, count);
    }
    mpr_growth_free(&growth);
    forget(&h, count);
    CHECK(t, a.used == 0);
}

static void all_planted(test *t) {
    program p[3] = {{.variables = 2, .items = {100, 7}, .item_size = 480, .pid = 7},
                    {.variables = 2, .items = {150, 7}, .item_size = 480, .pid = 7},
                    {.variables = 2, .items = {160, 7}, .item_size = 480, .pid = 7}};
    planted(t, p, 2, 0, 50, 50);
    planted(t, p, 3, 0, 60, 60);
    p[1].replaced = 30; /* churn is no growth */
    planted(t, p, 2, 0, 50, 80);
    p[1].items[0] = 100;
    planted(t, p, 2, MPR_NO_NODE, 0, 0);
    p[1].items[0] = 150, p[2].items[0] = 100; /* came, and went again */
    planted(t, p, 3, MPR_NO_NODE, 0, 0);
    p[1].items[0] = 100, p[2].items[0] = 150; /* in the last span alone */
    p[1].replaced = 0;
    planted(t, p, 3, MPR_NO_NODE, 0, 0);
    planted(t, (program[]){{.variables = 2, .items = {100, 7}, .item_size = 8}, {.variables = 2, .items = {110, 7}, .item_size = 8}}, 2,
            MPR_NO_NODE, 0, 0); /* below the floor */
}

/* Where memprobe's own objects were, the program has its own now: they came, and what it had there before went. */
static void addresses_of_our_own(test *t, bool came) {
    program p[2] = {{.variables = 2, .items = {100, 7}, .item_size = 480, .pid = 7, .own = came},
                    {.variables = 2, .items = {100, 7}, .item_size = 480, .pid = 7, .own = !came}};
    mpr_alloc a;
    heaps h = {0};
    mpr_growth growth = {0};
    int64_t bytes = 56 + 100 * (480 + 8);
    mpr_alloc_pages(&a);
    for (uint32_t i = 0; i < 2; i++) h.graph[i] = program_make(&a, &p[i]);
    if (CHECK(t, prepare(&h, 2) && mpr_growth_find(h.heap, 2, NULL, NULL, &growth) == MPR_OK)) {
        check_sum(t, &growth, 2);
        CHECK(t, growth.rows.count == came && growth.unattributed == (came ? 0 : -bytes));
        if (came && growth.rows.count == 1) {
            const mpr_growth_row *row = growth.rows.items;
            CHECK(t, row->kind == MPR_GROWTH_VARIABLE && row->count[1] == 1 && row->bytes[1] == bytes);
        }
    }
    mpr_growth_free(&growth);
    forget(&h, 2);
    CHECK(t, a.used == 0);
}

static void is_one_process(test *t) {
    program p[2] = {{.variables = 1, .items = {1}, .item_size = 48, .pid = 7}, {.variables = 1, .items = {2}, .item_size = 48, .pid = 8}};
    mpr_alloc a;
    mpr_alloc_pages(&a);
    mpr_graph *g[3] = {program_make(&a, &p[0]), program_make(&a, &p[0]), program_make(&a, &p[1])};
    const mpr_graph *same[] = {g[0], g[1]}, *others[] = {g[0], g[2]};
    CHECK(t, mpr_growth_is_one_process(same, 2) && !mpr_growth_is_one_process(others, 2));
    for (int i = 0; i < 3; i++) mpr_graph_free(g[i]);
}

static int at_once(void *context, uint64_t done, uint64_t total) { return (void)context, (void)done, (void)total, 1; }

static void without_memory(test *t) {
    program p[3] = {{.variables = 3, .items = {1, 2, 3}, .item_size = 4800},
                    {.variables = 3, .items = {1, 7, 3}, .item_size = 4800},
                    {.variables = 3, .items = {1, 9, 3}, .item_size = 4800}};
    test_alloc a;
    heaps h = {0};
    test_alloc_init(&a);
    for (uint32_t i = 0; i < 3; i++) h.graph[i] = program_make(&a.alloc, &p[i]);
    bool tripped = CHECK(t, prepare(&h, 3));
    for (uint64_t nth = 1; tripped; nth++) {
        mpr_growth growth = {0};
        mpr_ranks ranks = {0};
        a.calls = 0;
        a.fail_at = nth;
        a.tripped = false;
        int status = mpr_ranks_find(h.graph[0], &ranks);
        if (status == MPR_OK) status = mpr_growth_find(h.heap, 3, NULL, NULL, &growth);
        CHECK(t, (status == MPR_ENOMEM) == a.tripped);
        mpr_growth_free(&growth);
        mpr_ranks_free(&ranks);
        tripped = a.tripped;
    }
    a.fail_at = 0;
    mpr_growth growth = {0};
    CHECK(t, mpr_growth_find(h.heap, 3, at_once, NULL, &growth) == MPR_ECANCELLED && growth.alloc == NULL);
    CHECK(t, mpr_growth_find(h.heap, 1, NULL, NULL, &growth) == MPR_ELIMIT);
    forget(&h, 3);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

void test_growth(test *t) {
    for (uint64_t seed = 1; seed <= (t->quick ? 5u : 1000u); seed++) random_ranks(t, seed);
    all_planted(t);
    addresses_of_our_own(t, true);
    addresses_of_our_own(t, false);
    is_one_process(t);
    for (uint64_t seed = 1; seed <= (t->quick ? 6u : 10000u); seed++) random_heaps(t, seed);
    without_memory(t);
}
