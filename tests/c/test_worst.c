/* SPDX-License-Identifier: MIT
 * Every analysis on graphs of the worst shapes, with answers that are known: a chain of five million, rings that share a node, all to all,
 * loops inside loops, references to oneself, and what nothing reaches. Nothing may be recursive, quadratic or lost. */
#include <stdlib.h>

#include "algo/diff.h"
#include "algo/growth.h"
#include "algo/names.h"
#include "algo/paths.h"
#include "algo/reach.h"
#include "algo/scc.h"
#include "algo/suspects.h"
#include "algo/waste.h"
#include "base/status.h"
#include "test.h"

typedef struct answers {
    uint32_t cyclic, components; /* nodes in cycles, and how many components */
    uint32_t reached;            /* objects that the first leads to, itself included */
    uint32_t far;                /* steps from the super-root to the last node */
    uint32_t deep;               /* dominators above the last node */
} answers;

static void cycles_of(test *t, const mpr_graph *g, const answers *known) {
    mpr_scc scc = {0};
    mpr_cycles cycles = {0};
    if (!CHECK(t, mpr_scc_find(g, NULL, &scc) == MPR_OK)) return;
    CHECK(t, scc.count == known->components && scc.first[scc.count] == known->cyclic);
    CHECK(t, mpr_scc_cycles(g, &scc, NULL, 0, scc.count, 1 << 20, &cycles) == MPR_OK);
    mpr_cycles_free(&cycles);
    mpr_scc_free(&scc);
}

static void paths_to(test *t, mpr_graph *g, uint32_t last, const answers *known) {
    mpr_paths paths = {0};
    mpr_name_tree names = {0};
    mpr_name name = {0};
    uint64_t objects = 0, bytes = 0;
    uint32_t first = 0;
    uint8_t *marks = calloc(g->nodes, 1);
    CHECK(t, mpr_reach(g, &first, 1, false, marks, &objects, &bytes) == MPR_OK && objects == known->reached);
    CHECK(t, mpr_name_tree_begin(g, false, &names) == MPR_OK && mpr_paths_find(g, &names, last, 3, NULL, NULL, &paths) == MPR_OK);
    CHECK(t, paths.count > 0 && paths.first.items[1] == known->far + 1);
    CHECK(t, mpr_names_join(g, paths.step.items, paths.first.items[1], NULL, &name) == MPR_OK);
    CHECK(t, name.text.count > 0 && (known->far < 100 || name.text.count < (size_t)12 * known->far));
    mpr_vec_free(&name.text, g->alloc);
    free(marks);
    mpr_name_tree_free(&names);
    mpr_paths_free(&paths);
}

static void growth_of(test *t, const mpr_graph *g, const mpr_dominators *d) {
    mpr_ranks ranks = {0};
    mpr_growth growth = {0};
    mpr_name_tree tree = {0};
    if (!CHECK(t, mpr_ranks_find(g, &ranks) == MPR_OK && mpr_name_tree_begin(g, false, &tree) == MPR_OK)) return;
    mpr_growth_heap heap = {.graph = g, .ranks = &ranks, .dominators = d, .names = &tree, .native = true};
        mpr_growth_heap heaps[] = {heap, heap, heap};
    CHECK(t, mpr_growth_find(heaps, 3, NULL, NULL, &growth) == MPR_OK && growth.rows.count == 0 && growth.unattributed == 0);
    mpr_growth_free(&growth);
    mpr_name_tree_free(&tree);
    mpr_ranks_free(&ranks);
}

static void tree_of(test *t, const mpr_graph *g, uint32_t last, const answers *known) {
    mpr_dominators d = {0};
    mpr_tree tree = {0};
    mpr_name_tree names = {0};
    mpr_suspects suspects = {0};
    mpr_diff diff = {0};
    uint32_t deep = 0;
    if (!CHECK(t, mpr_dominators_find(g, NULL, NULL, NULL, &d) == MPR_OK && mpr_tree_make(&d, &tree) == MPR_OK)) return;
    for (uint32_t at = d.parent[last]; at != MPR_NO_NODE; at = d.parent[at]) deep++;
    CHECK(t, deep == known->deep && d.retained[g->group[MPR_GROUP_ROOT]] == g->totals.bytes);
    const mpr_graph *graphs[] = {g, g};
    const mpr_dominators *dominators[] = {&d, &d};
    CHECK(t, mpr_name_tree_begin(g, false, &names) == MPR_OK);
    CHECK(t, mpr_suspects_find(g, &d, &tree, &names, NULL, &suspects) == MPR_OK && suspects.found.count > 0);
    growth_of(t, g, &d);
    CHECK(t, mpr_diff_make(graphs, dominators, 2, NULL, NULL, &diff) == MPR_OK && diff.growth.count == 0);
    mpr_diff_free(&diff);
    mpr_suspects_free(&suspects);
    mpr_name_tree_free(&names);
    mpr_tree_free(&tree);
    mpr_dominators_free(&d);
}

/* Node 0 is held by sys.modules, which the super-root holds. */
static void ask_all(test *t, uint32_t nodes, const arrow *arrows, size_t count, uint32_t last, const answers *known) {
    mpr_alloc a;
    mpr_waste waste = {0};
    mpr_alloc_pages(&a);
    mpr_graph *g = graph_of(&a, nodes, arrows, count, 0);
    if (CHECK(t, g != NULL)) {
        cycles_of(t, g, known);
        tree_of(t, g, last, known);
        paths_to(t, g, last, known);
        CHECK(t, mpr_waste_find(g, NULL, &waste) == MPR_OK && waste.rows.count == 0);
    }
    mpr_waste_free(&waste);
    mpr_graph_free(g);
    CHECK(t, a.used == 0);
}

static void chain(test *t, uint32_t n) {
    arrow *arrows = malloc((size_t)n * sizeof *arrows);
    for (uint32_t i = 0; i + 1 < n; i++) arrows[i] = (arrow){i, i + 1};
    ask_all(t, n, arrows, n - 1, n - 1, &(answers){.reached = n, .far = n + 1, .deep = n + 1});
    free(arrows);
}

/* The same backwards in memory: each node is met before the one that leads to it. */
static void chain_backwards(test *t, uint32_t n) {
    arrow *arrows = malloc((size_t)n * sizeof *arrows);
    arrows[0] = (arrow){0, n - 1};
    for (uint32_t i = 2; i < n; i++) arrows[i - 1] = (arrow){i, i - 1};
    ask_all(t, n, arrows, n - 1, 1, &(answers){.reached = n, .far = n + 1, .deep = n + 1});
    free(arrows);
}

/* Each node refers to the next and back to the one before and to itself: loops inside loops. */
static void loops(test *t, uint32_t n) {
    arrow *arrows = malloc((size_t)3 * n * sizeof *arrows);
    size_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0) arrows[count++] = (arrow){i, i - 1};
        arrows[count++] = (arrow){i, i};
        if (i + 1 < n) arrows[count++] = (arrow){i, i + 1};
    }
    ask_all(t, n, arrows, count, n - 1, &(answers){.cyclic = n, .components = 1, .reached = n, .far = n + 1, .deep = n + 1});
    free(arrows);
}

/* One side refers to all of the other; node 0 refers to the first side. */
static void bipartite(test *t, uint32_t side) {
    uint32_t n = 1 + 2 * side;
    arrow *arrows = malloc((size_t)(side + 1) * side * sizeof *arrows);
    size_t count = 0;
    for (uint32_t i = 0; i < side; i++) arrows[count++] = (arrow){0, 1 + i};
    for (uint32_t i = 0; i < side; i++)
        for (uint32_t k = 0; k < side; k++) arrows[count++] = (arrow){1 + i, 1 + side + k};
    ask_all(t, n, arrows, count, n - 1, &(answers){.reached = n, .far = 4, .deep = 3});
    free(arrows);
}

/* Pairs that hold each other, beside one that is held: garbage. */
static void unreached(test *t, uint32_t pairs) {
    arrow *arrows = malloc((size_t)2 * pairs * sizeof *arrows);
    mpr_alloc a;
    mpr_dominators d = {0};
    for (uint32_t i = 0; i < pairs; i++) {
        arrows[2 * i] = (arrow){1 + 2 * i, 2 + 2 * i};
        arrows[2 * i + 1] = (arrow){2 + 2 * i, 1 + 2 * i};
    }
    mpr_alloc_pages(&a);
    mpr_graph *g = graph_of(&a, 1 + 2 * pairs, arrows, (size_t)2 * pairs, 0);
    if (CHECK(t, g != NULL && mpr_dominators_find(g, NULL, NULL, NULL, &d) == MPR_OK)) {
        CHECK(t, g->totals.unreachable_objects == 2 * pairs);
        CHECK(t, d.retained[g->group[MPR_GROUP_UNREACHABLE]] == g->totals.unreachable_bytes);
        cycles_of(t, g, &(answers){.cyclic = 2 * pairs, .components = pairs});
    }
    mpr_dominators_free(&d);
    mpr_graph_free(g);
    free(arrows);
}

/* Blocks of which each is known by an address inside of it alone, and the last leads to as many by their own. */
static void blocks_behind_blocks(test *t, uint32_t n) {
    test_alloc a;
    mpr_builder *builder = NULL;
    mpr_graph *g = NULL;
    test_alloc_init(&a);
    int status = mpr_builder_new(&builder, &a.alloc);
    mpr_sink *sink = mpr_builder_sink(builder);
    mpr_seen_type type = {.name = "<native>", .name_length = 8, .flags = MPR_TYPE_NATIVE};
    const uint64_t group = MPR_SYNTHETIC + 16 * MPR_GROUP_NATIVE, base = UINT64_C(0x10000);
    status = status == MPR_OK ? sink->type(sink, &type) : status;
    for (uint32_t i = 0; status == MPR_OK && i <= 2 * n; i++) {
        mpr_seen_node node = {.address = i == 0 ? group : base + 64 * (uint64_t)i, .size = 48, .flags = i == 0 ? MPR_NODE_SYNTHETIC : MPR_NODE_NATIVE};
        mpr_label_kind kind = i == 0 ? MPR_LABEL_CHILD : i < n ? MPR_LABEL_DOUBTED : MPR_LABEL_NATIVE;
        mpr_seen_edge edge = {base + 64 * ((uint64_t)i + 1), mpr_label_make(kind, 0) | (i > 0 ? MPR_LABEL_WEAK : 0)};
        status = sink->node(sink, &node);
        if (status == MPR_OK && i < 2 * n) status = sink->edges(sink, &edge, 1);
    }
    if (CHECK(t, status == MPR_OK && mpr_builder_freeze(builder, &g) == MPR_OK)) {
        CHECK(t, mpr_graph_check(g) == NULL && g->totals.native_blocks == 2 * n && g->totals.lost_blocks == 0);
    }
    mpr_graph_free(g);
    mpr_builder_free(builder);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

void test_worst(test *t) {
    blocks_behind_blocks(t, t->quick ? 20000 : 2000000);
    chain(t, t->quick ? 1000 : 5000000);
    chain_backwards(t, t->quick ? 1000 : 1000000);
    loops(t, t->quick ? 1000 : 300000);
    bipartite(t, t->quick ? 20 : 1000);
    unreached(t, t->quick ? 20 : 200000);
}
