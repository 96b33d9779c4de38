/* SPDX-License-Identifier: MIT
 * algo/survivors: on random heaps against the definition, slowly. */
#include <stdlib.h>
#include <string.h>

#include "algo/dominators.h"
#include "algo/ranks.h"
#include "algo/suspects.h"
#include "algo/survivors.h"
#include "base/status.h"
#include "test.h"

#define PIECE ((uint64_t)256)

static uint32_t top_of(const mpr_graph *g, const mpr_dominators *d, const uint8_t *transparent, uint32_t node) {
    if (!mpr_graph_is_object(g, node)) return MPR_NO_NODE;
    uint32_t parent = d->parent[node];
    if (parent == MPR_NO_NODE) return MPR_NO_NODE;
    while (!transparent[parent] && !(g->flags[parent] & MPR_NODE_SYNTHETIC)) {
        node = parent;
        parent = d->parent[node];
    }
    return node;
}

/* Every second piece from the lowest address on. */
static uint32_t cut(const mpr_graph *g, uint64_t *begin, uint32_t most) {
    uint64_t lowest = UINT64_MAX;
    for (uint32_t i = 0; i < g->nodes; i++)
        if (mpr_graph_is_object(g, i) && mpr_graph_address(g, i) < lowest) lowest = mpr_graph_address(g, i);
    for (uint32_t k = 0; k < most; k++) begin[k] = lowest + 2 * k * PIECE;
    return most;
}

static bool lies_in_at(uint64_t address, uint64_t begin) { return address >= begin && address - begin < PIECE; }
static bool lies_in(const mpr_graph *g, uint32_t node, uint64_t begin) { return lies_in_at(mpr_graph_address(g, node), begin); }

static bool is_noted(const mpr_graph *g, uint32_t node) {
    return (g->flags[node] & MPR_NODE_TRACKED) != 0 && (g->flags[node] & MPR_NODE_FROZEN) == 0;
}

/* Each distinct piece once. */
static uint32_t noted_of(const mpr_graph *g) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < g->nodes; i++) {
        bool again = !is_noted(g, i);
        for (uint32_t k = 0; k < i && !again; k++)
            again = is_noted(g, k) && (mpr_graph_address(g, k) - 16) / PIECE == (mpr_graph_address(g, i) - 16) / PIECE;
        count += !again;
    }
    return count;
}

static void check_row(test *t, const mpr_graph *g, const uint32_t *top, const uint64_t *begin, uint32_t count, const mpr_survivor *row) {
    uint64_t objects = 0, bytes = 0, of_type = 0;
    uint32_t pieces = 0, alone = 0;
    for (uint32_t k = 0; k < count; k++) {
        bool here = false, others = false;
        for (uint32_t i = 0; i < g->nodes; i++) {
            if (top[i] == MPR_NO_NODE || !lies_in(g, i, begin[k])) continue;
            others |= top[i] != row->node;
            if (top[i] != row->node) continue;
            here = true;
            objects++, bytes += mpr_graph_size(g, i), of_type += g->type[i] == row->type;
        }
        pieces += here, alone += here && !others;
    }
    CHECK(t, row->objects == objects && row->bytes == bytes && row->of_type == of_type && of_type > 0);
    CHECK(t, row->pieces == pieces && row->alone == alone && pieces > 0);
}

static void check_heap(test *t, const mpr_graph *g, const mpr_dominators *d, uint32_t most) {
    uint64_t *begin = calloc(most, sizeof *begin);
    uint32_t *top = calloc(g->nodes, sizeof *top), count = cut(g, begin, most), empty = 0, noted = 0, seen;
    uint8_t *transparent = calloc(g->nodes, 1);
    mpr_survivors found = {0};
    mpr_suspects_transparent(g, transparent);
    for (uint32_t i = 0; i < g->nodes; i++) top[i] = top_of(g, d, transparent, i);
    if (CHECK(t, mpr_survivors_find(g, d, begin, count, PIECE, &found) == MPR_OK)) {
        for (size_t i = 0; i < found.rows.count; i++) {
            check_row(t, g, top, begin, count, &found.rows.items[i]);
            CHECK(t, i == 0 || found.rows.items[i].pieces <= found.rows.items[i - 1].pieces);
        }
        for (uint32_t k = 0; k < count; k++) {
            bool any = false, head = false;
            for (uint32_t i = 0; i < g->nodes && !any; i++) any = top[i] != MPR_NO_NODE && lies_in(g, i, begin[k]);
            for (uint32_t i = 0; i < g->nodes; i++) head |= is_noted(g, i) && lies_in_at(mpr_graph_address(g, i) - 16, begin[k]);
            empty += !any, noted += head;
        }
        CHECK(t, found.empty == empty);
        CHECK(t, mpr_survivors_noted(g, begin, count, PIECE, &seen) == MPR_OK && seen == noted);
        CHECK(t, mpr_survivors_noted(g, NULL, 0, PIECE, &seen) == MPR_OK && seen == noted_of(g));
    }
    mpr_survivors_free(&found);
    free(begin), free(top), free(transparent);
}

static void random_heap(test *t, uint64_t seed) {
    heap_shape shape = {.nodes = 5 + (uint32_t)seed % 200, .types = 6, .edges = 1 + (unsigned)seed % 3, .builtin = seed % 2 == 0};
    mpr_alloc a;
    mpr_ranks ranks;
    mpr_dominators d;
    mpr_alloc_pages(&a);
    mpr_graph *g = graph_make(&a, seed, &shape);
    bool made = g != NULL && mpr_ranks_find(g, &ranks) == MPR_OK && mpr_dominators_find(g, &ranks, NULL, NULL, &d) == MPR_OK;
    if (!CHECK(t, made)) return;
    check_heap(t, g, &d, 1 + (uint32_t)seed % 40);
    mpr_dominators_free(&d);
    mpr_ranks_free(&ranks);
    mpr_graph_free(g);
    CHECK(t, a.used == 0);
}

static void without_memory(test *t) {
    const heap_shape shape = {.nodes = 60, .types = 6, .edges = 2};
    test_alloc a;
    mpr_dominators d;
    uint64_t begin[20];
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, 7, &shape);
    if (!CHECK(t, g != NULL && mpr_dominators_find(g, NULL, NULL, NULL, &d) == MPR_OK)) return;
    uint32_t count = cut(g, begin, 20);
    bool tripped = true;
    for (uint64_t nth = 1; tripped; nth++) {
        mpr_survivors found = {0};
        a.calls = 0, a.fail_at = nth, a.tripped = false;
        CHECK(t, (mpr_survivors_find(g, &d, begin, count, PIECE, &found) == MPR_ENOMEM) == a.tripped);
        mpr_survivors_free(&found);
        tripped = a.tripped;
    }
    a.fail_at = 0;
    mpr_dominators_free(&d);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

void test_survivors(test *t) {
    for (uint64_t seed = 0; seed < (t->quick ? 20 : 400); seed++) random_heap(t, seed);
    without_memory(t);
}
