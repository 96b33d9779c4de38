/* SPDX-License-Identifier: MIT
 * algo/suspects: planted leaks in a made-up program, and on random heaps the rules, word by word. */
#include <stdlib.h>
#include <string.h>

#include "algo/suspects.h"
#include "base/status.h"
#include "test.h"

typedef struct answer {
    mpr_dominators d;
    mpr_tree tree;
    mpr_name_tree names;
    mpr_suspects found;
} answer;

/* With all nodes asked for. */
static int find(const mpr_graph *g, const answer *a, mpr_name_tree *names, mpr_suspects *out) {
    uint32_t *all = malloc(g->nodes * sizeof *all);
    for (uint32_t i = 0; i < g->nodes; i++) all[i] = i;
    mpr_suspects_options options = {.asked = all, .asked_count = g->nodes};
    int status = mpr_suspects_find(g, &a->d, &a->tree, names, &options, out);
    free(all);
    return status;
}

static bool ask(const mpr_graph *g, answer *out) {
    memset(out, 0, sizeof *out);
    return mpr_dominators_find(g, NULL, NULL, NULL, &out->d) == MPR_OK && mpr_tree_make(&out->d, &out->tree) == MPR_OK &&
           mpr_name_tree_begin(g, false, &out->names) == MPR_OK && find(g, out, &out->names, &out->found) == MPR_OK;
}

/* Each node is of one suspect at most, and of a single one just what is below its point and not below another's. */
static void check_asked(test *t, const mpr_graph *g, const answer *a) {
    uint32_t *owner = calloc(g->nodes, sizeof *owner), *at_point = calloc(g->nodes, sizeof *at_point);
    bool groups = false;
    for (size_t i = 0; i < a->found.found.count; i++) {
        const mpr_suspect *s = &a->found.found.items[i];
        groups = groups || s->kind == MPR_SUSPECT_GROUP || s->kind == MPR_SUSPECT_C_REFERENCES;
        if (s->kind == MPR_SUSPECT_SINGLE) at_point[s->point == MPR_NO_NODE ? s->node : s->point] = (uint32_t)i + 1;
        if (s->kind == MPR_SUSPECT_GARBAGE) at_point[g->group[MPR_GROUP_UNREACHABLE]] = (uint32_t)i + 1;
        for (size_t k = s->asked; k < s->asked + s->asked_count; k++) {
            CHECK(t, owner[a->found.asked.items[k]] == 0);
            owner[a->found.asked.items[k]] = (uint32_t)i + 1;
        }
    }
    for (uint32_t node = 0; node < g->nodes && !groups; node++) {
        uint32_t at = node;
        while (at != MPR_NO_NODE && at_point[at] == 0) at = a->d.parent[at] == at ? MPR_NO_NODE : a->d.parent[at];
        CHECK(t, owner[node] == (at == MPR_NO_NODE ? 0 : at_point[at]));
    }
    free(owner);
    free(at_point);
}

static void forget(answer *a) {
    mpr_suspects_free(&a->found);
    mpr_name_tree_free(&a->names);
    mpr_tree_free(&a->tree);
    mpr_dominators_free(&a->d);
}

/* What C code holds is a group of its own, whatever the ids of the root groups are: they come first where no object was emitted before them. */
static void c_beside_the_interpreter(test *t) {
    enum { MANY = 100 };
    mpr_alloc a;
    answer got;
    mpr_builder *b = NULL;
    mpr_graph *g = NULL;
    mpr_seen_edge edges[MANY];
    mpr_alloc_pages(&a);
    if (!CHECK(t, mpr_builder_new(&b, &a) == MPR_OK)) return;
    mpr_sink *sink = mpr_builder_sink(b);
    CHECK(t, sink->type(sink, &(mpr_seen_type){.name = "str", .name_length = 3}) == MPR_OK);
    for (uint32_t i = 0; i < MANY; i++) edges[i] = (mpr_seen_edge){16 + 16 * (uint64_t)i, mpr_label_field(MPR_FIELD_CONSTANT)};
    for (mpr_group group = MPR_GROUP_MODULES; group <= MPR_GROUP_INTERPRETER; group++) {
        const mpr_seen_node node = {.address = MPR_SYNTHETIC + 16 * (uint64_t)group, .flags = MPR_NODE_SYNTHETIC};
        CHECK(t, sink->node(sink, &node) == MPR_OK && sink->edges(sink, edges, group == MPR_GROUP_INTERPRETER ? MANY : 1) == MPR_OK);
    }
    for (uint32_t i = 0; i < 2 * MANY; i++) /* the second half by C alone */
        CHECK(t, sink->node(sink, &(mpr_seen_node){.address = 16 + 16 * (uint64_t)i, .size = 64, .refcount = i == 0 ? 2 : 1}) == MPR_OK);
    if (CHECK(t, mpr_builder_freeze(b, &g) == MPR_OK && ask(g, &got))) {
        uint64_t held = 0;
        for (size_t i = 0; i < got.found.found.count; i++)
            held += got.found.found.items[i].kind == MPR_SUSPECT_C_REFERENCES ? got.found.found.items[i].count : 0;
        CHECK(t, held == MANY && got.found.found.count == 2);
        forget(&got);
    }
    mpr_builder_free(b);
    mpr_graph_free(g);
    CHECK(t, a.used == 0);
}

/* ---- planted leaks ---- */

static void planted(test *t, const program *p, mpr_suspect_kind kind, uint32_t variable, uint64_t count) {
    mpr_alloc a;
    answer got;
    mpr_alloc_pages(&a);
    mpr_graph *g = program_make(&a, p);
    if (!CHECK(t, g != NULL && mpr_graph_check(g) == NULL)) return;
    if (CHECK(t, ask(g, &got) && got.found.found.count > 0)) {
        const mpr_suspect *first = got.found.found.items;
        CHECK(t, first->kind == kind && first->count == count);
        CHECK(t, variable == MPR_NO_NODE || first->point == program_list(g, variable));
        CHECK(t, first->asked_count >= (kind == MPR_SUSPECT_SINGLE ? p->items[variable] : count));
        check_asked(t, g, &got);
    }
    forget(&got);
    mpr_graph_free(g);
    CHECK(t, a.used == 0);
}

static void all_planted(test *t) {
    planted(t, &(program){.variables = 3, .items = {5, 900, 7}, .item_size = 48}, MPR_SUSPECT_SINGLE, 1, 1);
    planted(t, &(program){.variables = 3, .items = {900, 5, 7}, .item_size = 480}, MPR_SUSPECT_SINGLE, 0, 1);
    planted(t, &(program){.variables = 2, .items = {20000, 0}, .item_size = 480, .shared = true}, MPR_SUSPECT_GROUP, 0, 20000);
    planted(t, &(program){.variables = 2, .items = {5, 6}, .lost = 500, .item_size = 64}, MPR_SUSPECT_C_REFERENCES, MPR_NO_NODE,
            500);
}

/* ---- on random heaps: the rules once more, slowly ---- */

static bool is_top(const mpr_graph *g, const answer *a, const uint8_t *transparent, uint32_t node) {
    if (transparent[node] || node == g->group[MPR_GROUP_UNREACHABLE] || a->d.parent[node] == MPR_NO_NODE) return false;
    for (uint32_t d = a->d.parent[node]; d != MPR_NO_NODE; d = a->d.parent[d])
        if (!transparent[d]) return false;
    return true;
}

/* Bytes of the single suspects at or below a node. */
static uint64_t single_bytes(const answer *a, uint32_t top) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < a->found.found.count; i++) {
        uint32_t at = a->found.found.items[i].kind == MPR_SUSPECT_SINGLE ? a->found.found.items[i].node : MPR_NO_NODE;
        while (at != MPR_NO_NODE && at != top) at = a->d.parent[at];
        if (at == top) bytes += a->found.found.items[i].bytes;
    }
    return bytes;
}

/* What the other top nodes of each type retain: all types of made-up heaps have a module. */
static void check_groups(test *t, const mpr_graph *g, const answer *a, const uint8_t *top) {
    for (uint32_t type = 0; type < g->type_count; type++)
        for (int by_c = 0; by_c < 2; by_c++) {
            uint64_t bytes = 0, told = 0;
            if (memchr(g->strings + g->types[type].name, '.', g->types[type].name_length) == NULL) continue;
            for (uint32_t i = 0; i < g->nodes; i++)
                if (top[i] && g->type[i] == type && (a->d.parent[i] == g->group[MPR_GROUP_C_REFERENCES]) == by_c &&
                    a->d.retained[i] <= a->found.threshold)
                    bytes += a->d.retained[i];
            for (size_t i = 0; i < a->found.found.count; i++) {
                const mpr_suspect *s = &a->found.found.items[i];
                if (s->type == type && s->kind == (by_c ? MPR_SUSPECT_C_REFERENCES : MPR_SUSPECT_GROUP)) told += s->bytes;
            }
            CHECK(t, told == (bytes > a->found.threshold ? bytes : 0));
        }
}

static void against_the_rules(test *t, uint64_t seed) {
    heap_shape shape = {.nodes = 5 + (uint32_t)seed % (seed < 1000 ? 300 : 60), .types = 6, .edges = 1 + (unsigned)seed % 3};
    test_alloc a;
    answer got;
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, seed, &shape);
    if (!CHECK(t, g != NULL && ask(g, &got))) return;
    uint8_t *transparent = calloc(g->nodes, 1), *top = calloc(g->nodes, 1);
    mpr_suspects_transparent(g, transparent);
    for (uint32_t i = 0; i < g->nodes; i++) {
        top[i] = is_top(g, &got, transparent, i);
        uint64_t bytes = top[i] ? single_bytes(&got, i) : 0;
        bool large = top[i] && got.d.retained[i] > got.found.threshold;
        CHECK(t, large ? bytes > got.found.threshold && bytes <= got.d.retained[i] : bytes == 0);
    }
    check_groups(t, g, &got, top);
    check_asked(t, g, &got);
    for (size_t i = 0; i < got.found.found.count; i++) {
        CHECK(t, i == 0 || got.found.found.items[i].bytes <= got.found.found.items[i - 1].bytes);
    }
    free(transparent);
    free(top);
    forget(&got);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

/* What is below a node is what it retains. */
static void below(test *t, uint64_t seed) {
    heap_shape shape = {.nodes = 100, .types = 6, .edges = 2};
    mpr_alloc a;
    answer got;
    mpr_alloc_pages(&a);
    mpr_graph *g = graph_make(&a, seed, &shape);
    if (!CHECK(t, g != NULL && ask(g, &got))) return;
    for (uint32_t node = 0; node < g->nodes; node++) {
        mpr_group_total total[16] = {{0}};
        uint64_t bytes = 0;
        if (got.d.retained[node] == 0) continue;
        CHECK(t, g->type_count <= 16 && mpr_suspects_below(g, &got.tree, &node, 1, total) == MPR_OK);
        for (size_t i = 0; i < g->type_count; i++) bytes += total[i].bytes;
        CHECK(t, bytes == got.d.retained[node]);
    }
    forget(&got);
    mpr_graph_free(g);
    CHECK(t, a.used == 0);
}

static int at_once(void *context, uint64_t done, uint64_t total) { return (void)context, (void)done, (void)total, 1; }

/* With names that are not looked for yet. */
static int ask_again(const mpr_graph *g, const answer *got, mpr_suspects *out) {
    mpr_name_tree names = {0};
    int status = mpr_name_tree_begin(g, false, &names);
    if (status == MPR_OK) status = find(g, got, &names, out);
    mpr_name_tree_free(&names);
    return status;
}

static void without_memory(test *t) {
    program p = {.variables = 2, .items = {300, 0}, .item_size = 480, .shared = true};
    test_alloc a;
    answer got;
    test_alloc_init(&a);
    mpr_graph *g = program_make(&a.alloc, &p);
    bool tripped = CHECK(t, g != NULL && ask(g, &got));
    for (uint64_t nth = 1; tripped; nth++) {
        mpr_suspects again = {0};
        a.calls = 0;
        a.fail_at = nth;
        a.tripped = false;
        CHECK(t, (ask_again(g, &got, &again) == MPR_ENOMEM) == a.tripped);
        mpr_suspects_free(&again);
        tripped = a.tripped;
    }
    a.fail_at = 0;
    mpr_suspects again = {0};
    mpr_suspects_options options = {.progress = at_once};
    mpr_name_tree_free(&got.names);
    CHECK(t, mpr_name_tree_begin(g, false, &got.names) == MPR_OK && mpr_suspects_find(g, &got.d, &got.tree, &got.names, &options, &again) == MPR_ECANCELLED && again.alloc == NULL);
    forget(&got);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

void test_suspects(test *t) {
    c_beside_the_interpreter(t);
    all_planted(t);
    for (uint64_t seed = 1; seed <= (t->quick ? 10u : 10000u); seed++) against_the_rules(t, seed);
    for (uint64_t seed = 1; seed <= (t->quick ? 2u : 50u); seed++) below(t, seed);
    without_memory(t);
}
