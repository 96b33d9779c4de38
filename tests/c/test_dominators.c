/* SPDX-License-Identifier: MIT
 * algo/dominators against the definition: d dominates v when v is not reached once d is taken away. */
#include <stdlib.h>
#include <string.h>

#include "algo/dominators.h"
#include "algo/retained.h"
#include "base/status.h"
#include "test.h"

/* What the root reaches when `without` is taken away (MPR_NO_NODE: nothing is). */
static void reach(const mpr_graph *g, uint32_t without, uint8_t *reached) {
    uint32_t root = g->group[MPR_GROUP_ROOT];
    memset(reached, 0, g->nodes);
    reached[root] = root != without;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < g->nodes; i++) {
            const mpr_type *type = &g->types[g->type[i]];
            uint32_t class = (type->flags & MPR_TYPE_HEAP) && !(g->flags[i] & MPR_NODE_SYNTHETIC) ? type->node : MPR_NO_NODE;
            if (!reached[i]) continue;
            for (uint64_t k = mpr_graph_first(g, i); k <= mpr_graph_first(g, i + 1); k++) {
                bool last = k == mpr_graph_first(g, i + 1);
                uint32_t to = last ? class : mpr_label_strong(g->label[k]) ? g->target[k] : MPR_NO_NODE;
                if (to == MPR_NO_NODE || to == without || reached[to] || (g->flags[to] & MPR_NODE_OWN)) continue;
                reached[to] = changed = true;
            }
        }
    }
}

/* d's row of the matrix: what d dominates, itself included. */
static uint8_t *matrix_of(const mpr_graph *g) {
    uint32_t n = g->nodes;
    uint8_t *all = malloc(n), *dominates = malloc((size_t)n * n);
    reach(g, MPR_NO_NODE, all);
    for (uint32_t d = 0; d < n; d++) {
        uint8_t *row = dominates + (size_t)d * n;
        reach(g, d, row);
        for (uint32_t v = 0; v < n; v++) row[v] = all[v] && all[d] && !row[v];
    }
    free(all);
    return dominates;
}

static void compare(test *t, const mpr_graph *g, const mpr_dominators *found, const uint8_t *dominates) {
    uint32_t n = g->nodes, root = g->group[MPR_GROUP_ROOT];
    for (uint32_t v = 0; v < n; v++) {
        uint64_t retained = 0;
        for (uint32_t u = 0; u < n; u++)
            if (dominates[(size_t)v * n + u] && mpr_graph_is_object(g, u)) retained += mpr_graph_size(g, u);
        CHECK(t, found->retained[v] == retained);
        uint32_t parent = found->parent[v];
        bool reached = dominates[(size_t)v * n + v] != 0;
        CHECK(t, (parent != MPR_NO_NODE) == (reached && v != root));
        if (parent == MPR_NO_NODE) continue;
        CHECK(t, parent != v && dominates[(size_t)parent * n + v]);
        for (uint32_t d = 0; d < n; d++) /* whatever else dominates v dominates its parent */
            if (d != v && dominates[(size_t)d * n + v]) CHECK(t, dominates[(size_t)d * n + parent]);
    }
}

static void order_is_right(test *t, const mpr_graph *g, const mpr_dominators *found) {
    uint8_t *met = calloc(g->nodes, 1);
    CHECK(t, found->reached > 0 && found->order[0] == g->group[MPR_GROUP_ROOT]);
    for (uint32_t i = 0; i < found->reached; i++) {
        uint32_t v = found->order[i];
        CHECK(t, !met[v] && (i == 0 || met[found->parent[v]]));
        met[v] = 1;
    }
    free(met);
}

/* Freeze takes what only the class of a static type's instance leads to for reached; it is not retained by anyone. */
static uint64_t unreached_bytes(const mpr_graph *g, const uint8_t *dominates) {
    uint64_t bytes = 0;
    for (uint32_t v = 0; v < g->nodes; v++)
        if (mpr_graph_is_object(g, v) && !dominates[(size_t)v * g->nodes + v]) bytes += mpr_graph_size(g, v);
    return bytes;
}

/* True when a node above v in the tree is an object of v's type. */
static bool has_like_above(const mpr_graph *g, const mpr_dominators *found, uint32_t v) {
    for (uint32_t u = found->parent[v]; u != MPR_NO_NODE; u = found->parent[u])
        if (g->type[u] == g->type[v] && mpr_graph_is_object(g, u)) return true;
    return false;
}

static void types_retain(test *t, const mpr_graph *g, const mpr_dominators *found) {
    mpr_tree tree = {0};
    uint64_t *by_type = calloc(g->type_count, sizeof *by_type);
    if (!CHECK(t, mpr_tree_make(found, &tree) == MPR_OK)) return;
    CHECK(t, mpr_retained_by_type(g, found, &tree, NULL, NULL, by_type) == MPR_OK);
    for (uint32_t v = 0; v < g->nodes; v++) {
        for (uint32_t k = tree.first[v]; k < tree.first[v + 1]; k++) CHECK(t, found->parent[tree.child[k]] == v);
        if (mpr_graph_is_object(g, v) && !has_like_above(g, found, v)) by_type[g->type[v]] -= found->retained[v];
    }
    CHECK(t, tree.first[0] == 0 && tree.first[g->nodes] == found->reached - 1);
    for (size_t i = 0; i < g->type_count; i++) CHECK(t, by_type[i] == 0);
    mpr_tree_free(&tree);
    free(by_type);
}

static void against_definition(test *t, uint64_t seed) {
    heap_shape shape = {.nodes = 5 + (uint32_t)seed % 70, .types = 6, .edges = 1 + (unsigned)seed % 3, .wild = seed % 3 == 0, .native = seed % 5 == 1};
    test_alloc a;
    mpr_dominators found = {0};
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, seed, &shape);
    if (!CHECK(t, g != NULL)) return;
    if (CHECK(t, mpr_dominators_find(g, NULL, NULL, NULL, &found) == MPR_OK)) {
        uint8_t *dominates = matrix_of(g);
        compare(t, g, &found, dominates);
        order_is_right(t, g, &found);
        types_retain(t, g, &found);
        CHECK(t, found.retained[g->group[MPR_GROUP_ROOT]] + unreached_bytes(g, dominates) == g->totals.bytes);
        free(dominates);
    }
    mpr_dominators_free(&found);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

/* More joins and loops, and fewer nodes that the groups hold directly, than a made-up heap has. */
static void random_arrows(test *t, uint64_t seed) {
    test_alloc a;
    mpr_dominators found = {0};
    test_alloc_init(&a);
    mpr_graph *g = graph_random(&a.alloc, seed, 40);
    if (CHECK(t, g != NULL && mpr_dominators_find(g, NULL, NULL, NULL, &found) == MPR_OK)) {
        uint8_t *dominates = matrix_of(g);
        compare(t, g, &found, dominates);
        order_is_right(t, g, &found);
        types_retain(t, g, &found);
        free(dominates);
    }
    mpr_dominators_free(&found);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

/* A chain with an arrow back from every node to its start, and one forward over each node: long paths to compress. */
static void worst_case(test *t, uint32_t n) {
    mpr_alloc a;
    mpr_dominators found = {0};
    size_t count = 0;
    arrow *arrows = malloc((size_t)3 * n * sizeof *arrows);
    mpr_alloc_pages(&a);
    for (uint32_t i = 0; i < n; i++) {
        if (i + 1 < n) arrows[count++] = (arrow){i, i + 1};
        if (i + 2 < n && i % 2 == 0) arrows[count++] = (arrow){i, i + 2};
        arrows[count++] = (arrow){i, 0};
    }
    mpr_graph *g = graph_of(&a, n, arrows, count, 0);
    if (CHECK(t, g != NULL && mpr_dominators_find(g, NULL, NULL, NULL, &found) == MPR_OK)) {
        CHECK(t, found.retained[0] == g->totals.bytes && found.reached == g->nodes);
        for (uint32_t i = 1; i < n; i += 1 + n / 1000) CHECK(t, found.parent[i] == (i % 2 ? i - 1 : i - 2));
    }
    mpr_dominators_free(&found);
    mpr_graph_free(g);
    free(arrows);
}

static int at_once(void *context, uint64_t done, uint64_t total) { return (void)context, (void)done, (void)total, 1; }

static void without_memory(test *t) {
    heap_shape shape = {.nodes = 60, .types = 6, .edges = 2};
    test_alloc a;
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, 7, &shape);
    bool tripped = g != NULL;
    for (uint64_t nth = 1; tripped; nth++) {
        mpr_dominators found = {0};
        a.calls = 0;
        a.fail_at = nth;
        a.tripped = false;
        mpr_tree tree = {0};
        uint64_t by_type[16];
        int status = mpr_dominators_find(g, NULL, NULL, NULL, &found);
        if (status == MPR_OK) status = mpr_tree_make(&found, &tree);
        if (status == MPR_OK) status = mpr_retained_by_type(g, &found, &tree, NULL, NULL, by_type);
        CHECK(t, (status == MPR_ENOMEM) == a.tripped);
        mpr_tree_free(&tree);
        mpr_dominators_free(&found);
        tripped = a.tripped;
    }
    a.fail_at = 0;
    mpr_dominators found = {0};
    CHECK(t, g != NULL && mpr_dominators_find(g, NULL, at_once, NULL, &found) == MPR_ECANCELLED && found.alloc == NULL);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

void test_dominators(test *t) {
    for (uint64_t seed = 1; seed <= (t->quick ? 5u : 300u); seed++) against_definition(t, seed);
    for (uint64_t seed = 1; seed <= (t->quick ? 10u : 10000u); seed++) random_arrows(t, seed);
    worst_case(t, t->quick ? 1000 : 1000000);
    without_memory(t);
}
