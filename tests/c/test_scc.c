/* SPDX-License-Identifier: MIT
 * algo/scc against a matrix of distances (Floyd and Warshall): two nodes are in one component when each reaches the other, and a component's
 * shortest cycle is the smallest distance of a member to itself. */
#include <stdlib.h>
#include <string.h>

#include "algo/scc.h"
#include "base/status.h"
#include "test.h"

#define SMALL 160 /* nodes of a graph that the matrix can do */
#define FAR 100000u

static bool in_play(const mpr_graph *g, const mpr_scc_options *o, uint32_t v) {
    bool block = o->opaque && (g->flags[v] & MPR_NODE_NATIVE) && !(g->flags[v] & (MPR_NODE_OWN | MPR_NODE_SYNTHETIC));
    return (block || mpr_graph_is_object(g, v)) && !(o->skip && o->skip[v]);
}

static bool is_opaque(const mpr_graph *g, uint64_t edge) {
    mpr_label_kind kind = mpr_label_kind_of(g->label[edge]);
    bool found = kind == MPR_LABEL_NATIVE || kind == MPR_LABEL_DOUBTED;
    return found && mpr_graph_is_object(g, g->target[edge]) && mpr_graph_residual(g, g->target[edge]) > 0;
}

static bool followed(const mpr_graph *g, const mpr_scc_options *o, uint64_t edge) {
    mpr_label label = g->label[edge];
    bool plain = mpr_label_strong(label) && (o->housekeeping || !mpr_label_housekeeping(label));
    return plain || (o->opaque && is_opaque(g, edge));
}

static void connect(const mpr_graph *g, const mpr_scc_options *o, uint32_t *distance, uint32_t from, uint32_t to) {
    if (to != MPR_NO_NODE && in_play(g, o, from) && in_play(g, o, to)) distance[from * g->nodes + to] = 1;
}

static uint32_t *distances(const mpr_graph *g, const mpr_scc_options *o) {
    uint32_t n = g->nodes, *distance = malloc((size_t)n * n * sizeof *distance);
    for (uint32_t i = 0; i < n * n; i++) distance[i] = FAR;
    for (uint32_t i = 0; i < n; i++) {
        const mpr_type *type = &g->types[g->type[i]];
        for (uint64_t k = mpr_graph_first(g, i); k < mpr_graph_first(g, i + 1); k++)
            if (followed(g, o, k)) connect(g, o, distance, i, g->target[k]);
        if (o->housekeeping && (type->flags & MPR_TYPE_HEAP)) connect(g, o, distance, i, type->node);
    }
    for (uint32_t m = 0; m < n; m++)
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t j = 0; j < n; j++) {
                uint32_t over = distance[i * n + m] + distance[m * n + j];
                if (over < distance[i * n + j]) distance[i * n + j] = over;
            }
    return distance;
}

static void same_components(test *t, const mpr_graph *g, const mpr_scc *scc, const uint32_t *distance) {
    uint32_t n = g->nodes, members = 0;
    for (uint32_t i = 0; i < n; i++) {
        CHECK(t, (scc->component[i] != MPR_NO_NODE) == (distance[i * n + i] < FAR));
        members += scc->component[i] != MPR_NO_NODE;
        for (uint32_t j = 0; j < n; j++) {
            bool together = distance[i * n + j] < FAR && distance[j * n + i] < FAR;
            if (i != j) CHECK(t, together == (scc->component[i] != MPR_NO_NODE && scc->component[i] == scc->component[j]));
            if (distance[i * n + j] < FAR && scc->component[i] != MPR_NO_NODE && scc->component[j] != MPR_NO_NODE)
                CHECK(t, scc->component[i] >= scc->component[j]);
        }
    }
    CHECK(t, scc->first[0] == 0 && scc->first[scc->count] == members);
    for (uint32_t c = 0; c < scc->count; c++)
        for (uint32_t k = scc->first[c]; k < scc->first[c + 1]; k++) {
            CHECK(t, scc->component[scc->member[k]] == c && scc->place[scc->member[k]] == k);
            CHECK(t, k == scc->first[c] || scc->member[k - 1] < scc->member[k]);
        }
}

/* A step's edge leads from its node to the next. */
static bool leads(const mpr_graph *g, const mpr_scc_options *o, const mpr_cycle_step *step, uint32_t next) {
    if (step->edge == MPR_NO_EDGE) return o->housekeeping && g->types[g->type[step->node]].node == next;
    return mpr_graph_first(g, step->node) <= step->edge && step->edge < mpr_graph_first(g, step->node + 1) &&
           g->target[step->edge] == next && followed(g, o, step->edge);
}

/* The length of the shortest cycle of a component that an opaque reference closes: FAR for none. */
static uint32_t shortest_opaque(const mpr_graph *g, const mpr_scc *scc, const uint32_t *distance, uint32_t c) {
    uint32_t best = FAR;
    for (uint32_t m = scc->first[c]; m < scc->first[c + 1]; m++) {
        uint32_t v = scc->member[m];
        for (uint64_t k = mpr_graph_first(g, v); k < mpr_graph_first(g, v + 1); k++) {
            uint32_t to = g->target[k];
            if (scc->component[to] != c || !is_opaque(g, k)) continue;
            uint32_t length = to == v ? 1 : distance[to * g->nodes + v] + 1;
            best = length < best ? length : best;
        }
    }
    return best;
}

static uint32_t shortest(const mpr_graph *g, const mpr_scc *scc, const mpr_scc_options *o, const uint32_t *distance, uint32_t c) {
    uint32_t best = FAR;
    for (uint32_t k = scc->first[c]; k < scc->first[c + 1]; k++) {
        uint32_t own = distance[scc->member[k] * g->nodes + scc->member[k]];
        best = own < best ? own : best;
    }
    return o->opaque ? shortest_opaque(g, scc, distance, c) : best;
}

static void cycles_are_shortest(test *t, const mpr_graph *g, const mpr_scc *scc, const mpr_scc_options *o,
                                const uint32_t *distance) {
    mpr_cycles cycles = {0};
    if (!CHECK(t, mpr_scc_cycles(g, scc, o, 0, scc->count, 0, &cycles) == MPR_OK)) return;
    for (uint32_t c = 0; c < scc->count; c++) {
        size_t first = cycles.first[c], length = cycles.first[c + 1] - first;
        uint32_t best = shortest(g, scc, o, distance, c);
        CHECK(t, length == (best == FAR ? 0 : best) && (best < FAR || o->opaque));
        CHECK(t, !o->opaque || length == 0 || is_opaque(g, cycles.step[first + length - 1].edge));
        for (size_t i = 0; i < length; i++) {
            const mpr_cycle_step *step = &cycles.step[first + i];
            CHECK(t, scc->component[step->node] == c && !step->stopped);
            CHECK(t, leads(g, o, step, cycles.step[first + (i + 1) % length].node));
        }
    }
    mpr_cycles_free(&cycles);
}

static uint64_t opaque_rows; /* of all graphs */

/* What is reached from root groups, and by C code's references but for those that opaque ones of the same component explain. */
static void find_alive(const mpr_graph *g, const mpr_scc *scc, bool *alive) {
    for (uint32_t group = MPR_GROUP_ROOT + 1; group < MPR_GROUP_COUNT; group++)
        if (g->group[group] != MPR_NO_NODE && group != MPR_GROUP_UNREACHABLE && group != MPR_GROUP_LOST)
            alive[g->group[group]] = group != MPR_GROUP_C_REFERENCES;
    for (uint32_t v = 0; v < g->seen; v++) {
        int64_t left = mpr_graph_residual(g, v);
        for (uint32_t from = 0; from < g->seen; from++)
            for (uint64_t k = mpr_graph_first(g, from); k < mpr_graph_first(g, from + 1); k++)
                left -= g->target[k] == v && is_opaque(g, k) && scc->component[v] != MPR_NO_NODE && scc->component[from] == scc->component[v];
        alive[v] = alive[v] || (mpr_graph_residual(g, v) > 0 && left > 0);
    }
    for (bool more = true; more;) {
        more = false;
        for (uint32_t v = 0; v < g->nodes; v++) {
            const mpr_type *type = &g->types[g->type[v]];
            bool has_class = alive[v] && (type->flags & MPR_TYPE_HEAP) && type->node != MPR_NO_NODE && !(g->flags[v] & MPR_NODE_SYNTHETIC);
            if (has_class && !alive[type->node]) alive[type->node] = more = true;
            for (uint64_t k = mpr_graph_first(g, v); alive[v] && k < mpr_graph_first(g, v + 1); k++)
                if (mpr_label_strong(g->label[k]) && !alive[g->target[k]]) alive[g->target[k]] = more = true;
        }
    }
}

static void garbage_is_right(test *t, const mpr_graph *g, const mpr_scc *scc, const mpr_cycle_row *rows, uint32_t count) {
    bool alive[SMALL] = {false};
    find_alive(g, scc, alive);
    for (uint32_t i = 0; i < count; i++) CHECK(t, rows[i].garbage == !alive[scc->member[scc->first[rows[i].component]]]);
}

/* Rows stand for all components that have a cycle, most bytes first; and cycles are the same when the arrays of the graph's size are gone. */
static void rows_add_up(test *t, const mpr_graph *g, mpr_scc *scc, const mpr_scc_options *o) {
    mpr_cycle_row *rows;
    mpr_cycles before = {0}, after = {0};
    uint32_t count, components = 0;
    uint64_t bytes = 0;
    if (!CHECK(t, mpr_scc_rows(g, scc, o, false, &rows, &count) == MPR_OK)) return;
    for (uint32_t i = 0; i < count; i++) {
        components += rows[i].count;
        bytes += rows[i].bytes;
        CHECK(t, rows[i].component < scc->count && (i == 0 || rows[i - 1].bytes >= rows[i].bytes));
    }
    if (o->opaque) garbage_is_right(t, g, scc, rows, count), opaque_rows += count;
    mpr_alloc_free(g->alloc, rows, scc->count, sizeof *rows);
    CHECK(t, mpr_scc_cycles(g, scc, o, 0, scc->count, 0, &before) == MPR_OK);
    uint32_t with_cycle = 0;
    for (uint32_t c = 0; c < scc->count; c++) {
        bool has = before.first[c + 1] > before.first[c];
        with_cycle += has;
        for (uint32_t k = scc->first[c]; has && k < scc->first[c + 1]; k++) bytes -= mpr_graph_size(g, scc->member[k]);
    }
    CHECK(t, components == with_cycle && (o->opaque || with_cycle == scc->count) && bytes == 0);
    mpr_scc_trim(scc);
    CHECK(t, mpr_scc_cycles(g, scc, o, 0, scc->count, 0, &after) == MPR_OK && before.first[scc->count] == after.first[scc->count]);
    for (size_t k = 0; k < before.first[scc->count]; k++)
        CHECK(t, before.step[k].node == after.step[k].node && before.step[k].edge == after.step[k].edge);
    mpr_cycles_free(&before);
    mpr_cycles_free(&after);
}

static void against_matrix(test *t, uint64_t seed) {
    heap_shape shape = {.nodes = 5 + (uint32_t)seed % 60, .types = 6, .edges = 1 + (unsigned)seed % 2, .wild = seed % 3 == 0, .native = seed % 3 == 1};
    bool opaque = seed % 6 < 3;
    if (opaque) shape.edges += 2;
    test_alloc a;
    dice d = {seed};
    mpr_scc scc = {0};
    uint8_t skip[SMALL];
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, seed, &shape);
    if (!CHECK(t, g != NULL && g->nodes <= SMALL)) return;
    for (uint32_t i = 0; i < SMALL; i++) skip[i] = dice_chance(&d, 10);
    mpr_scc_options options = {.housekeeping = seed % 2, .opaque = opaque, .skip = seed % 5 == 0 ? skip : NULL};
    uint32_t *distance = distances(g, &options);
    if (CHECK(t, mpr_scc_find(g, &options, &scc) == MPR_OK)) {
        same_components(t, g, &scc, distance);
        cycles_are_shortest(t, g, &scc, &options, distance);
        rows_add_up(t, g, &scc, &options);
    }
    mpr_scc_free(&scc);
    free(distance);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

static void random_arrows(test *t, uint64_t seed) {
    test_alloc a;
    mpr_scc scc = {0};
    mpr_scc_options options = {0};
    test_alloc_init(&a);
    mpr_graph *g = graph_random(&a.alloc, seed, 20);
    if (CHECK(t, g != NULL && mpr_scc_find(g, &options, &scc) == MPR_OK)) {
        uint32_t *distance = distances(g, &options);
        same_components(t, g, &scc, distance);
        cycles_are_shortest(t, g, &scc, &options, distance);
        rows_add_up(t, g, &scc, &options);
        free(distance);
    }
    mpr_scc_free(&scc);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

/* A ring as long as the chain that leads to it, and a bipartite knot: depth and many edges. */
static void worst_cases(test *t, uint32_t n) {
    mpr_alloc a;
    mpr_scc scc = {0};
    mpr_cycles cycles = {0};
    arrow *arrows = malloc((size_t)2 * n * sizeof *arrows);
    mpr_alloc_pages(&a);
    for (uint32_t i = 0; i < 2 * n; i++) arrows[i] = (arrow){i, i + 1 < 2 * n ? i + 1 : n};
    mpr_graph *g = graph_of(&a, 2 * n, arrows, (size_t)2 * n, 0);
    if (CHECK(t, g != NULL && mpr_scc_find(g, NULL, &scc) == MPR_OK)) {
        CHECK(t, scc.count == 1 && scc.first[1] == n && scc.member[0] == n);
        CHECK(t, mpr_scc_cycles(g, &scc, NULL, 0, 1, 3 * n, &cycles) == MPR_OK && cycles.first[1] == n && cycles.step[0].stopped);
    }
    mpr_cycles_free(&cycles);
    mpr_scc_free(&scc);
    mpr_graph_free(g);
    free(arrows);
    CHECK(t, a.used == 0);
}

static void knot(test *t, uint32_t side) {
    mpr_alloc a;
    mpr_scc scc = {0};
    mpr_cycles cycles = {0};
    size_t count = 0;
    arrow *arrows = malloc((size_t)2 * side * side * sizeof *arrows);
    mpr_alloc_pages(&a);
    for (uint32_t i = 0; i < 2 * side; i++)
        for (uint32_t k = 0; k < side; k++) arrows[count++] = (arrow){i, (i < side ? side : 0) + k};
    mpr_graph *g = graph_of(&a, 2 * side, arrows, count, 0);
    if (CHECK(t, g != NULL && mpr_scc_find(g, NULL, &scc) == MPR_OK)) {
        CHECK(t, scc.count == 1 && scc.first[1] == 2 * side);
        CHECK(t, mpr_scc_cycles(g, &scc, NULL, 0, 1, 0, &cycles) == MPR_OK && cycles.first[1] == 2);
    }
    mpr_cycles_free(&cycles);
    mpr_scc_free(&scc);
    mpr_graph_free(g);
    free(arrows);
}

static int at_once(void *context, uint64_t done, uint64_t total) { return (void)context, (void)done, (void)total, 1; }

static void without_memory(test *t) {
    heap_shape shape = {.nodes = 60, .types = 6, .edges = 2, .native = true};
    mpr_scc_options opaque = {.opaque = true};
    test_alloc a;
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, 7, &shape);
    bool tripped = g != NULL;
    for (uint64_t nth = 1; tripped; nth++) {
        mpr_scc scc = {0};
        mpr_cycles cycles = {0};
        a.calls = 0;
        a.fail_at = nth;
        a.tripped = false;
        int status = mpr_scc_find(g, &opaque, &scc);
        if (status == MPR_OK) status = mpr_scc_cycles(g, &scc, &opaque, 0, scc.count, 0, &cycles);
        mpr_cycle_row *rows = NULL;
        uint32_t count;
        if (status == MPR_OK) status = mpr_scc_rows(g, &scc, &opaque, false, &rows, &count);
        if (status == MPR_OK) mpr_alloc_free(g->alloc, rows, scc.count, sizeof *rows);
        CHECK(t, (status == MPR_ENOMEM) == a.tripped);
        mpr_cycles_free(&cycles);
        mpr_scc_free(&scc);
        tripped = a.tripped;
    }
    a.fail_at = 0;
    mpr_scc_options options = {.progress = at_once};
    mpr_scc scc = {0};
    CHECK(t, g != NULL && mpr_scc_find(g, &options, &scc) == MPR_ECANCELLED && scc.alloc == NULL);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

void test_scc(test *t) {
    for (uint64_t seed = 1; seed <= (t->quick ? 5u : 400u); seed++) against_matrix(t, seed);
    CHECK(t, t->quick || opaque_rows > 20);
    for (uint64_t seed = 1; seed <= (t->quick ? 10u : 10000u); seed++) random_arrows(t, seed);
    worst_cases(t, t->quick ? 1000 : 300000);
    knot(t, t->quick ? 20 : 300);
    without_memory(t);
}
