/* SPDX-License-Identifier: MIT
 * algo/paths against distances from the super-root, found forwards: the first path is as short as that, every path is one, and they differ. */
#include <stdlib.h>
#include <string.h>

#include "algo/paths.h"
#include "base/status.h"
#include "test.h"

#define FAR UINT32_MAX

static bool open_to(const mpr_graph *g, const mpr_paths_options *o, uint32_t v, uint32_t wanted) {
    return v == wanted || (!(g->flags[v] & MPR_NODE_OWN) && !(o->walls && o->walls[v]));
}

/* Some edges, for options that bar them. */
static bool is_fifth(const void *bars, uint32_t holder, uint64_t edge) {
    (void)bars;
    return (edge + holder) % 5 == 0;
}

static bool is_barred(const mpr_paths_options *o, uint32_t holder, uint64_t edge) {
    return o->barred != NULL && o->barred(o->bars, holder, edge);
}

/* Distances from the root towards `wanted`, by relaxing until nothing changes. */
static void measure(const mpr_graph *g, const mpr_paths_options *o, uint32_t wanted, uint32_t *distance) {
    uint32_t root = g->group[MPR_GROUP_ROOT];
    for (uint32_t i = 0; i < g->nodes; i++) distance[i] = FAR;
    distance[root] = o->walls && o->walls[root] ? FAR : 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < g->nodes; i++)
            for (uint64_t k = mpr_graph_first(g, i); k < mpr_graph_first(g, i + 1) && distance[i] != FAR; k++) {
                uint32_t to = g->target[k];
                bool follow = mpr_label_strong(g->label[k]) && !(o->skip_housekeeping && mpr_label_housekeeping(g->label[k]));
                follow = follow && !is_barred(o, i, k);
                if (!follow || !open_to(g, o, to, wanted) || distance[to] <= distance[i] + 1 || i == wanted) continue;
                distance[to] = distance[i] + 1;
                changed = true;
            }
    }
}

static bool sound(const mpr_graph *g, const mpr_paths_options *o, const mpr_path_step *step, size_t length, uint32_t node) {
    if (length == 0 || step[0].node != g->group[MPR_GROUP_ROOT] || step[length - 1].node != node) return false;
    for (size_t i = 0; i < length; i++) {
        uint64_t k = step[i].edge;
        for (size_t j = 0; j < i; j++)
            if (step[j].node == step[i].node) return false;
        if (i + 1 == length) return k == MPR_NO_EDGE;
        if (k < mpr_graph_first(g, step[i].node) || k >= mpr_graph_first(g, step[i].node + 1) || g->target[k] != step[i + 1].node ||
            !mpr_label_strong(g->label[k]) || (o->skip_housekeeping && mpr_label_housekeeping(g->label[k])) ||
            !open_to(g, o, step[i].node, node) || is_barred(o, step[i].node, k))
            return false;
    }
    return true;
}

static bool same_path(const mpr_paths *p, size_t a, size_t b) {
    size_t length = p->first[a + 1] - p->first[a];
    if (length != p->first[b + 1] - p->first[b]) return false;
    for (size_t i = 0; i < length; i++)
        if (p->step[p->first[a] + i].node != p->step[p->first[b] + i].node) return false;
    return true;
}

static void paths_to(test *t, mpr_graph *g, const mpr_paths_options *o, uint32_t node, unsigned limit, uint32_t *distance) {
    mpr_paths paths = {0};
    measure(g, o, node, distance);
    if (!CHECK(t, mpr_paths_find(g, node, limit, o, &paths) == MPR_OK)) return;
    CHECK(t, paths.count <= limit && (paths.count > 0) == (distance[node] != FAR));
    for (size_t i = 0; i < paths.count; i++) {
        size_t length = paths.first[i + 1] - paths.first[i];
        CHECK(t, sound(g, o, paths.step + paths.first[i], length, node));
        CHECK(t, i > 0 ? length >= paths.first[i] - paths.first[i - 1] : length == (size_t)distance[node] + 1);
        for (size_t j = 0; j < i; j++) CHECK(t, !same_path(&paths, j, i));
    }
    mpr_paths_free(&paths);
}

static void against_distances(test *t, uint64_t seed) {
    heap_shape shape = {.nodes = 5 + (uint32_t)seed % 90, .types = 6, .edges = 1 + (unsigned)seed % 3, .wild = seed % 3 == 0};
    test_alloc a;
    dice d = {seed};
    uint8_t walls[256];
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, seed, &shape);
    if (!CHECK(t, g != NULL && g->nodes <= sizeof walls)) return;
    uint32_t *distance = malloc(g->nodes * sizeof *distance);
    for (size_t i = 0; i < sizeof walls; i++) walls[i] = dice_chance(&d, 8);
    walls[g->group[MPR_GROUP_C_REFERENCES]] = dice_chance(&d, 50);
    for (unsigned i = 0; i < 12; i++) {
        mpr_paths_options options = {.walls = i % 3 == 0 ? walls : NULL, .skip_housekeeping = i % 4 == 0, .barred = i % 2 ? is_fifth : NULL};
        uint32_t node = (uint32_t)dice_below(&d, g->nodes);
        if (!walls[node] && !(g->flags[node] & MPR_NODE_OWN)) paths_to(t, g, &options, node, 1 + i % 5, distance);
    }
    free(distance);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

static void random_arrows(test *t, uint64_t seed) {
    test_alloc a;
    uint32_t distance[80];
    mpr_paths_options options = {0};
    test_alloc_init(&a);
    mpr_graph *g = graph_random(&a.alloc, seed, 40);
    if (CHECK(t, g != NULL && g->nodes <= 80))
        for (uint32_t node = 0; node < g->seen; node += 1 + (uint32_t)(seed % 7))
            paths_to(t, g, &options, node, 1 + (unsigned)seed % 6, distance);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

/* 0 -> 1 -> 3 and 0 -> 2 -> 3: both ways are found, and a third one is not invented. */
static void diamond(test *t) {
    static const arrow arrows[] = {{0, 1}, {0, 2}, {1, 3}, {2, 3}};
    mpr_alloc a;
    mpr_paths paths = {0};
    mpr_alloc_pages(&a);
    mpr_graph *g = graph_of(&a, 4, arrows, 4, 0);
    if (CHECK(t, g != NULL && mpr_paths_find(g, 3, 5, NULL, &paths) == MPR_OK)) {
        CHECK(t, paths.count == 2 && paths.step[3].node == 1 && paths.step[paths.first[1] + 3].node == 2);
        CHECK(t, paths.step[1].node == g->group[MPR_GROUP_MODULES] && paths.step[2].node == 0);
    }
    mpr_paths_free(&paths);
    mpr_graph_free(g);
    CHECK(t, a.used == 0);
}

static int at_once(void *context, uint64_t done, uint64_t total) { return (void)context, (void)done, (void)total, 1; }

static void without_memory(test *t) {
    heap_shape shape = {.nodes = 60, .types = 6, .edges = 2};
    test_alloc a;
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, 7, &shape);
    bool tripped = g != NULL;
    for (uint64_t nth = 1; tripped; nth++) {
        mpr_paths paths = {0};
        a.calls = 0;
        a.fail_at = nth;
        a.tripped = false;
        CHECK(t, (mpr_paths_find(g, 20, 3, NULL, &paths) == MPR_ENOMEM) == a.tripped);
        mpr_paths_free(&paths);
        tripped = a.tripped;
    }
    a.fail_at = 0;
    mpr_paths_options options = {.progress = at_once};
    mpr_paths paths = {0};
    CHECK(t, g != NULL && mpr_paths_find(g, 20, 3, &options, &paths) == MPR_ECANCELLED && paths.alloc == NULL);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

void test_paths(test *t) {
    for (uint64_t seed = 1; seed <= (t->quick ? 5u : 300u); seed++) against_distances(t, seed);
    for (uint64_t seed = 1; seed <= (t->quick ? 10u : 10000u); seed++) random_arrows(t, seed);
    diamond(t);
    without_memory(t);
}
