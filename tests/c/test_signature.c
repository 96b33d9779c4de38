/* SPDX-License-Identifier: MIT
 * algo/signature: one heap told in any order has the same signatures; what differs in words differs, what differs in numbers does not. */
#include <stdlib.h>
#include <string.h>

#include "algo/signature.h"
#include "base/status.h"
#include "test.h"

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The signatures of a graph, sorted: what can be compared with another's. NULL when something failed. */
static uint64_t *sorted_of(const mpr_graph *g) {
    mpr_dominators d = {0};
    mpr_signatures s = {0};
    uint64_t *out = NULL;
    if (mpr_dominators_find(g, NULL, NULL, NULL, &d) == MPR_OK && mpr_signatures_find(g, &d, NULL, NULL, NULL, &s) == MPR_OK) {
        out = malloc(g->nodes * sizeof *out);
        memcpy(out, s.value, g->nodes * sizeof *out);
        qsort(out, g->nodes, sizeof *out, by_value);
    }
    mpr_signatures_free(&s);
    mpr_dominators_free(&d);
    return out;
}

static int by_ends(const void *a, const void *b) {
    const arrow *x = a, *y = b;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    return (x->to > y->to) - (x->to < y->to);
}

/* The same arrows between nodes that stand elsewhere in memory. All are reached: of garbage, the first found counts as its head. */
static void renumbered(test *t, uint64_t seed) {
    enum { NODES = 30 };
    arrow arrows[3 * NODES];
    uint32_t place[NODES];
    dice d = {seed};
    test_alloc a;
    test_alloc_init(&a);
    size_t count = (size_t)dice_below(&d, 2 * NODES);
    for (size_t i = 0; i < count; i++) arrows[i] = (arrow){(uint32_t)dice_below(&d, NODES), (uint32_t)dice_below(&d, NODES)};
    for (uint32_t i = 1; i < NODES; i++) arrows[count++] = (arrow){(uint32_t)dice_below(&d, i), i};
    qsort(arrows, count, sizeof *arrows, by_ends);
    mpr_graph *g = graph_of(&a.alloc, NODES, arrows, count, 0);
    for (uint32_t i = 0; i < NODES; i++) place[i] = i;
    for (uint32_t i = NODES; i-- > 1;) {
        uint32_t k = (uint32_t)dice_below(&d, i + 1), other = place[i];
        place[i] = place[k];
        place[k] = other;
    }
    for (size_t i = 0; i < count; i++) arrows[i] = (arrow){place[arrows[i].from], place[arrows[i].to]};
    qsort(arrows, count, sizeof *arrows, by_ends);
    mpr_graph *h = graph_of(&a.alloc, NODES, arrows, count, place[0]);
    if (CHECK(t, g != NULL && h != NULL && g->nodes == h->nodes)) {
        uint64_t *x = sorted_of(g), *y = sorted_of(h);
        CHECK(t, x != NULL && y != NULL && memcmp(x, y, g->nodes * sizeof *x) == 0);
        free(x);
        free(y);
    }
    mpr_graph_free(g);
    mpr_graph_free(h);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

/* On heaps with everything in them: reached nodes have one, others none, and one heap has the same ones twice. */
static void on_a_heap(test *t, uint64_t seed) {
    heap_shape shape = {.nodes = 5 + (uint32_t)seed % 200, .types = 6, .edges = 1 + (unsigned)seed % 3, .wild = seed % 3 == 0, .native = seed % 5 == 1};
    test_alloc a;
    mpr_dominators d = {0};
    mpr_signatures s = {0};
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, seed, &shape);
    if (!CHECK(t, g != NULL && mpr_dominators_find(g, NULL, NULL, NULL, &d) == MPR_OK)) return;
    if (CHECK(t, mpr_signatures_find(g, &d, NULL, NULL, NULL, &s) == MPR_OK)) {
        for (uint32_t i = 0; i < g->nodes; i++) {
            bool reached = d.parent[i] != MPR_NO_NODE || i == g->group[MPR_GROUP_ROOT];
            if (reached) CHECK(t, s.value[i] != 0);
        }
    }
    mpr_signatures_free(&s);
    mpr_dominators_free(&d);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

static int at_once(void *context, uint64_t done, uint64_t total) { return (void)context, (void)done, (void)total, 1; }

static void without_memory(test *t) {
    heap_shape shape = {.nodes = 60, .types = 6, .edges = 2};
    test_alloc a;
    mpr_dominators d = {0};
    mpr_signatures s = {0};
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, 7, &shape);
    bool tripped = CHECK(t, g != NULL && mpr_dominators_find(g, NULL, NULL, NULL, &d) == MPR_OK);
    for (uint64_t nth = 1; tripped; nth++) {
        a.calls = 0;
        a.fail_at = nth;
        a.tripped = false;
        CHECK(t, (mpr_signatures_find(g, &d, NULL, NULL, NULL, &s) == MPR_ENOMEM) == a.tripped);
        mpr_signatures_free(&s);
        tripped = a.tripped;
    }
    a.fail_at = 0;
    CHECK(t, mpr_signatures_find(g, &d, NULL, at_once, NULL, &s) == MPR_ECANCELLED && s.alloc == NULL);
    mpr_dominators_free(&d);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

void test_signature(test *t) {
    for (uint64_t seed = 1; seed <= (t->quick ? 10u : 10000u); seed++) renumbered(t, seed);
    for (uint64_t seed = 1; seed <= (t->quick ? 5u : 300u); seed++) on_a_heap(t, seed);
    without_memory(t);
}
