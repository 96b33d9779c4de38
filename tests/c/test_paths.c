/* SPDX-License-Identifier: MIT
 * algo/name_tree, algo/paths and algo/names: on random heaps each path is one, the first is the name's, and they differ where they end; what
 * is asked before changes no name. Names of made paths by the letter. */
#include <stdlib.h>
#include <string.h>

#include "algo/dominators.h"
#include "algo/names.h"
#include "algo/paths.h"
#include "base/status.h"
#include "test.h"

static bool is_thread(const mpr_graph *g, uint32_t node) { return g->flags[node] & MPR_NODE_SYNTHETIC; }

/* From the super-root to the node over strong edges, without a node twice. */
static bool sound(const mpr_graph *g, const mpr_step *step, size_t length, uint32_t node) {
    if (length == 0 || step[0].node != g->group[MPR_GROUP_ROOT] || step[length - 1].node != node) return false;
    for (size_t i = 0; i < length; i++) {
        uint64_t k = step[i].edge;
        for (size_t j = 0; j < i; j++)
            if (step[j].node == step[i].node) return false;
        if (g->flags[step[i].node] & MPR_NODE_OWN) return false;
        if (i + 1 == length) return k == MPR_NO_EDGE;
        bool is_class = k == MPR_NO_EDGE && mpr_steps_class(g, step[i].node) == step[i + 1].node;
        if (is_class || (k == MPR_NO_EDGE && is_thread(g, step[i].node))) continue;
        if (k < mpr_graph_first(g, step[i].node) || k >= mpr_graph_first(g, step[i].node + 1)) return false;
        if (g->target[k] != step[i + 1].node || !mpr_label_strong(g->label[k])) return false;
    }
    return true;
}

static bool same_steps(const mpr_paths *p, size_t a, size_t b) {
    size_t first = p->first.items[a], other = p->first.items[b], length = p->first.items[a + 1] - first;
    if (length != p->first.items[b + 1] - other) return false;
    for (size_t i = 0; i < length; i++)
        if (p->step.items[first + i].node != p->step.items[other + i].node) return false;
    return true;
}

static void check_paths(test *t, const mpr_graph *g, const mpr_paths *p, uint32_t node, const mpr_name_tree *names) {
    mpr_steps named = {0};
    mpr_name text = {0};
    CHECK(t, mpr_name_tree_path(g, names, node, &named) == MPR_OK);
    CHECK(t, named.count == p->first.items[1] && named.items[named.count - 1].node == node);
    for (size_t i = 0; i < p->count; i++) {
        size_t first = p->first.items[i], length = p->first.items[i + 1] - first;
        CHECK(t, sound(g, p->step.items + first, length, node));
        for (size_t j = 0; j < i; j++) CHECK(t, !same_steps(p, j, i));
        CHECK(t, mpr_names_join(g, p->step.items + first, length, NULL, &text) == MPR_OK);
        CHECK(t, !text.evaluable || (text.module > 0 && text.module <= text.text.count));
    }
    mpr_vec_free(&text.text, g->alloc);
    mpr_vec_free(&named, g->alloc);
}

/* All nodes that the dominators reach have a name, and it is the same whoever was asked before. */
static void against_reach(test *t, mpr_graph *g, uint64_t seed) {
    mpr_dominators d = {0};
    mpr_name_tree names = {0}, once = {0};
    dice roll = {seed};
    if (!CHECK(t, mpr_dominators_find(g, NULL, NULL, NULL, &d) == MPR_OK && mpr_name_tree_begin(g, false, &names) == MPR_OK)) return;
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t node = (uint32_t)dice_below(&roll, g->nodes);
        mpr_paths p = {0};
        if (!CHECK(t, mpr_paths_find(g, &names, node, 1 + i % 5, NULL, NULL, &p) == MPR_OK)) continue;
        CHECK(t, p.count <= 1 + i % 5);
        if (p.count > 0) check_paths(t, g, &p, node, &names);
        CHECK(t, mpr_name_tree_begin(g, false, &once) == MPR_OK && mpr_name_tree_reach(g, &once, &node, 1, NULL, NULL) == MPR_OK);
        CHECK(t, once.parent[node] == names.parent[node]);
        mpr_name_tree_free(&once);
        mpr_paths_free(&p);
    }
    for (uint32_t node = 0; node < g->nodes; node++) {
        CHECK(t, mpr_name_tree_reach(g, &names, &node, 1, NULL, NULL) == MPR_OK);
        bool is_container = node == g->group[MPR_GROUP_ROOT] || is_thread(g, node);
        CHECK(t, is_container || (names.parent[node] != MPR_NO_NODE) == (d.parent[node] != MPR_NO_NODE));
    }
    mpr_name_tree_free(&names);
    mpr_dominators_free(&d);
}

static void random_heap(test *t, uint64_t seed) {
    heap_shape shape = {.nodes = 5 + (uint32_t)seed % 90, .types = 6, .edges = 1 + (unsigned)seed % 3, .wild = seed % 3 == 0, .native = seed % 5 == 1};
    test_alloc a;
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, seed, &shape);
    if (CHECK(t, g != NULL)) against_reach(t, g, seed);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

static void random_arrows(test *t, uint64_t seed) {
    test_alloc a;
    test_alloc_init(&a);
    mpr_graph *g = graph_random(&a.alloc, seed, 40);
    if (CHECK(t, g != NULL)) against_reach(t, g, seed);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

/* 0 -> 1 -> 3 and 0 -> 2 -> 3: both are found, a third one is not invented, and that is said. */
static void diamond(test *t) {
    static const arrow arrows[] = {{0, 1}, {0, 2}, {1, 3}, {2, 3}};
    mpr_alloc a;
    mpr_paths p = {0};
    mpr_name_tree names = {0};
    mpr_alloc_pages(&a);
    mpr_graph *g = graph_of(&a, 4, arrows, 4, 0);
    if (CHECK(t, g != NULL && mpr_name_tree_begin(g, false, &names) == MPR_OK)) {
        CHECK(t, mpr_paths_find(g, &names, 3, 5, NULL, NULL, &p) == MPR_OK && p.count == 2 && p.complete);
        CHECK(t, p.step.items[3].node == 1 && p.step.items[p.first.items[1] + 3].node == 2);
        CHECK(t, p.step.items[1].node == g->group[MPR_GROUP_MODULES] && p.step.items[2].node == 0);
    }
    mpr_paths_free(&p);
    mpr_name_tree_free(&names);
    mpr_graph_free(g);
    CHECK(t, a.used == 0);
}

static void named(test *t, mpr_graph *g, uint32_t node, const char *expected, bool evaluable) {
    mpr_name_tree names = {0};
    mpr_steps steps = {0};
    mpr_name name = {0};
    bool found = CHECK(t, mpr_name_tree_begin(g, false, &names) == MPR_OK) &&
                 CHECK(t, mpr_name_tree_reach(g, &names, &node, 1, NULL, NULL) == MPR_OK && names.parent[node] != MPR_NO_NODE);
    if (found && CHECK(t, mpr_name_tree_path(g, &names, node, &steps) == MPR_OK)) {
        CHECK(t, mpr_names_join(g, steps.items, steps.count, NULL, &name) == MPR_OK && name.evaluable == evaluable);
        CHECK(t, name.text.count == strlen(expected) && memcmp(name.text.items, expected, name.text.count) == 0);
    }
    mpr_vec_free(&name.text, g->alloc);
    mpr_vec_free(&steps, g->alloc);
    mpr_name_tree_free(&names);
}

/* A program's variable can be typed; what only C holds begins with that. */
static void program_names(test *t) {
    program p = {.variables = 2, .items = {3, 5}, .lost = 1, .item_size = 48};
    mpr_alloc a;
    mpr_alloc_pages(&a);
    mpr_graph *g = program_make(&a, &p);
    if (!CHECK(t, g != NULL)) return;
    named(t, g, program_list(g, 1), "app.b_list", true);
    uint32_t second = g->target[mpr_graph_first(g, program_list(g, 1)) + 1];
    named(t, g, second, "app.b_list[1]", true);
    for (size_t i = 0; i < g->residuals; i++) named(t, g, g->residual[i].node, "held by C code: app.Item", false);
    mpr_graph_free(g);
    CHECK(t, a.used == 0);
}

/* A chain folds, and so does one of two steps in turn. */
static void folds(test *t) {
    arrow arrows[2000];
    mpr_alloc a;
    size_t count = 0;
    mpr_alloc_pages(&a);
    for (uint32_t i = 0; i + 1 < 1000; i++) arrows[count++] = (arrow){i, i + 1};
    mpr_graph *g = graph_of(&a, 1000, arrows, count, 0);
    if (CHECK(t, g != NULL)) named(t, g, 999, "sys.modules[0] ×999", false);
    mpr_graph_free(g);
    count = 0;
    for (uint32_t i = 0; i + 1 < 1000; i++) { /* [0][1] in turn: a second arrow to a leaf comes first at odd nodes */
        if (i % 2 == 1) arrows[count++] = (arrow){i, 1000};
        arrows[count++] = (arrow){i, i + 1};
    }
    g = graph_of(&a, 1001, arrows, count, 0);
    if (CHECK(t, g != NULL)) named(t, g, 998, "sys.modules([0][1]) ×499", false);
    mpr_graph_free(g);
    CHECK(t, a.used == 0);
}

static int at_once(void *context, uint64_t done, uint64_t total) { return (void)context, (void)done, (void)total, 1; }

/* A search that was stopped goes on. */
static void stopped(test *t) {
    enum { MANY = 200000 };
    arrow *arrows = malloc(MANY * sizeof *arrows);
    mpr_alloc a;
    mpr_name_tree names = {0};
    uint32_t last = MANY - 1;
    mpr_alloc_pages(&a);
    for (uint32_t i = 0; i + 1 < MANY; i++) arrows[i] = (arrow){i, i + 1};
    mpr_graph *g = graph_of(&a, MANY, arrows, MANY - 1, 0);
    if (CHECK(t, g != NULL && mpr_name_tree_begin(g, false, &names) == MPR_OK)) {
        CHECK(t, mpr_name_tree_reach(g, &names, &last, 1, at_once, NULL) == MPR_ECANCELLED && names.parent[last] == MPR_NO_NODE);
        CHECK(t, mpr_name_tree_reach(g, &names, &last, 1, NULL, NULL) == MPR_OK && names.parent[last] == last - 1);
    }
    mpr_name_tree_free(&names);
    mpr_graph_free(g);
    free(arrows);
}

static void without_memory(test *t) {
    heap_shape shape = {.nodes = 60, .types = 6, .edges = 2};
    test_alloc a;
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, 7, &shape);
    bool tripped = g != NULL;
    for (uint64_t nth = 1; tripped; nth++) {
        mpr_paths p = {0};
        mpr_name_tree names = {0};
        mpr_name name = {0};
        a.calls = 0;
        a.fail_at = nth;
        a.tripped = false;
        int status = mpr_name_tree_begin(g, false, &names);
        if (status == MPR_OK) status = mpr_paths_find(g, &names, 20, 3, NULL, NULL, &p);
        if (status == MPR_OK && p.count > 0) status = mpr_names_join(g, p.step.items, p.first.items[1], NULL, &name);
        CHECK(t, (status == MPR_ENOMEM) == a.tripped);
        mpr_vec_free(&name.text, g->alloc);
        mpr_paths_free(&p);
        mpr_name_tree_free(&names);
        tripped = a.tripped;
    }
    a.fail_at = 0;
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

void test_paths(test *t) {
    for (uint64_t seed = 1; seed <= (t->quick ? 5u : 2000u); seed++) random_heap(t, seed);
    for (uint64_t seed = 1; seed <= (t->quick ? 10u : 5000u); seed++) random_arrows(t, seed);
    diamond(t);
    program_names(t);
    folds(t);
    if (!t->quick) stopped(t);
    without_memory(t);
}
