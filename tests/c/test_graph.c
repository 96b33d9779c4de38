/* SPDX-License-Identifier: MIT
 * The builder and freeze: every invariant after every freeze, calls out of order, every allocation refused in turn, and a graph that is told
 * to a new builder again. */
#include "base/status.h"
#include "graph/graph.h"
#include "graph/resolve.h"
#include "test.h"

static void frozen_is_sound(test *t, uint64_t seed, const heap_shape *shape) {
    test_alloc a;
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, seed, shape);
    if (CHECK(t, g != NULL)) {
        const char *wrong = mpr_graph_check(g);
        CHECK(t, wrong == NULL);
        CHECK(t, g->seen == shape->nodes + 4 + shape->native && g->nodes > g->seen);
        uint32_t blocks = 0, own = 0, lost = 0;
        for (uint32_t i = 0; i < g->seen; i++) {
            bool native = (g->flags[i] & MPR_NODE_NATIVE) != 0;
            blocks += native, own += native && (g->flags[i] & MPR_NODE_OWN);
            lost += native && (g->flags[i] & MPR_NODE_UNREACHABLE);
        }
        CHECK(t, g->totals.objects + g->totals.own_objects == shape->nodes - blocks);
        CHECK(t, g->totals.native_blocks == blocks - own && g->totals.lost_blocks == lost);
    }
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.alloc.used == 0 && a.wrong == 0);
}

static void told_again(test *t, uint64_t seed, const heap_shape *shape) {
    test_alloc a;
    mpr_builder *builder = NULL;
    mpr_graph *again = NULL;
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, seed, shape);
    if (!CHECK(t, g != NULL && mpr_builder_new(&builder, &a.alloc) == MPR_OK)) return;
    CHECK(t, mpr_graph_tell(g, mpr_builder_sink(builder)) == MPR_OK);
    if (CHECK(t, mpr_builder_freeze(builder, &again) == MPR_OK)) {
        CHECK(t, mpr_graph_check(again) == NULL);
        CHECK(t, graph_difference(g, again) == NULL);
    }
    mpr_builder_free(builder);
    mpr_graph_free(again);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

static void reverse_is_right(test *t, uint64_t seed, const heap_shape *shape) {
    test_alloc a;
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, seed, shape);
    if (!CHECK(t, g != NULL && mpr_graph_make_reverse(g) == MPR_OK)) return;
    uint64_t *seen = mpr_alloc_array(&a.alloc, g->nodes, sizeof *seen);
    CHECK(t, g->reverse->first[0] == 0 && g->reverse->first[g->nodes] == g->edges);
    for (uint32_t i = 0; i < g->nodes; i++)
        for (uint64_t k = mpr_graph_first(g, i); k < mpr_graph_first(g, i + 1); k++) {
            uint32_t target = g->target[k];
            uint64_t at = g->reverse->first[target] + seen[target]++;
            CHECK(t, at < g->reverse->first[target + 1] && g->reverse->source[at] == i);
        }
    mpr_alloc_free(&a.alloc, seen, g->nodes, sizeof *seen);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

/* Refuse the nth allocation: an error and no leak, whatever n is. Returns whether it was reached. */
static bool without_memory(test *t, uint64_t nth, bool sticky, const heap_shape *shape) {
    test_alloc a;
    test_alloc_init(&a);
    a.fail_at = nth;
    a.sticky = sticky;
    mpr_graph *g = graph_make(&a.alloc, 5, shape);
    CHECK(t, g != NULL || a.tripped);
    if (g) {
        int status = mpr_graph_make_reverse(g);
        CHECK(t, status == MPR_OK || (status == MPR_ENOMEM && a.tripped));
        CHECK(t, mpr_graph_check(g) == NULL);
    }
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.alloc.used == 0 && a.wrong == 0);
    return a.tripped;
}

static void every_allocation(test *t) {
    heap_shape shape = {.nodes = 60, .types = 4, .edges = 3};
    for (uint64_t nth = 1; without_memory(t, nth, false, &shape); nth++) without_memory(t, nth, true, &shape);
}

static void out_of_order(test *t) {
    test_alloc a;
    mpr_builder *b = NULL;
    test_alloc_init(&a);
    if (!CHECK(t, mpr_builder_new(&b, &a.alloc) == MPR_OK)) return;
    mpr_sink *sink = mpr_builder_sink(b);
    mpr_seen_edge edge = {.target = 16, .label = mpr_label_make(MPR_LABEL_INDEX, 0)}, wrong = {.target = 16, .label = UINT32_MAX};
    mpr_seen_node node = {.address = 32, .size = 16};
    mpr_seen_type type = {.name = "t", .name_length = 1};
    CHECK(t, sink->edges(sink, &edge, 1) == MPR_EFORMAT && sink->text(sink, "x", 1) == MPR_EFORMAT);
    CHECK(t, sink->node(sink, &node) == MPR_EFORMAT);
    CHECK(t, sink->type(sink, &type) == MPR_OK && sink->node(sink, &node) == MPR_OK);
    CHECK(t, sink->node(sink, &node) == MPR_EFORMAT);
    CHECK(t, sink->edges(sink, &wrong, 1) == MPR_EFORMAT);
    CHECK(t, sink->text(sink, "x", 1) == MPR_OK && sink->text(sink, "x", 1) == MPR_EFORMAT);
    mpr_builder_free(b);
    CHECK(t, a.live == 0);
}

static void empty_heap(test *t) {
    test_alloc a;
    mpr_builder *b = NULL;
    mpr_graph *g = NULL;
    test_alloc_init(&a);
    CHECK(t, mpr_builder_new(&b, &a.alloc) == MPR_OK && mpr_builder_freeze(b, &g) == MPR_OK);
    CHECK(t, g != NULL && mpr_graph_check(g) == NULL && g->totals.objects == 0);
    mpr_builder_free(b);
    mpr_graph_free(g);
    CHECK(t, a.live == 0);
}

/* What a frame refers to without counting it is retained by the frame when nothing else does, and not by a frame that is garbage itself. */
static void retains_what_frames_borrow(test *t) {
    enum { FRAME = 16, NAME = 32, FUNCTION = 48, GENERATOR = 64, CODE = 80, LIST = 96, LOST = 112, ONLY_ITS = 128 };
    const mpr_label weak = MPR_LABEL_WEAK, child = mpr_label_make(MPR_LABEL_CHILD, 0), name = mpr_label_make(MPR_LABEL_NAME, 0) | weak;
    const mpr_label local = mpr_label_make(MPR_LABEL_LOCAL, 0) | weak, code = mpr_label_field(MPR_FIELD_F_CODE) | weak;
    const struct {
        uint64_t address;
        mpr_seen_edge edges[5];
    } nodes[] = {
        {MPR_SYNTHETIC + 16 * MPR_GROUP_THREADS, {{FRAME, child}}},
        {FRAME, {{NAME, name}, {FUNCTION, local}, {LIST, mpr_label_make(MPR_LABEL_STACK, 0) | weak}, {LIST, mpr_label_make(MPR_LABEL_STACK, 1)}}},
        {FUNCTION, {{GENERATOR, mpr_label_field(MPR_FIELD_DICT)}}},
        {GENERATOR, {{CODE, code}}},
        {LOST, {{LOST, mpr_label_make(MPR_LABEL_INDEX, 0)}, {ONLY_ITS, code}, {LIST, mpr_label_field(MPR_FIELD_REFERENT)}}},
        {NAME, {{0}}}, {CODE, {{0}}}, {LIST, {{0}}}, {ONLY_ITS, {{0}}},
    };
    test_alloc a;
    mpr_builder *b = NULL;
    mpr_graph *g = NULL;
    test_alloc_init(&a);
    if (!CHECK(t, mpr_builder_new(&b, &a.alloc) == MPR_OK)) return;
    mpr_sink *sink = mpr_builder_sink(b);
    CHECK(t, sink->type(sink, &(mpr_seen_type){.name = "t", .name_length = 1}) == MPR_OK);
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        uint64_t at = nodes[i].address, count = 0;
        mpr_seen_node node = {.address = at, .size = 16, .flags = at >= MPR_SYNTHETIC || at == FRAME ? MPR_NODE_SYNTHETIC : MPR_NODE_TRACKED};
        node.refcount = at == GENERATOR || at == LIST || at == LOST || at == NAME;
        while (count < 5 && nodes[i].edges[count].target != 0) count++;
        CHECK(t, sink->node(sink, &node) == MPR_OK && (count == 0 || sink->edges(sink, nodes[i].edges, count) == MPR_OK));
    }
    if (CHECK(t, mpr_builder_freeze(b, &g) == MPR_OK)) {
        CHECK(t, mpr_graph_check(g) == NULL && g->totals.residual_negative == 0 && g->totals.residual_positive == 1);
        uint32_t frame = 1;
        uint64_t first = mpr_graph_first(g, frame);
        CHECK(t, g->label[first + 1] == (local & ~weak) && mpr_label_strong(g->label[first + 3]) && !mpr_label_strong(g->label[first + 2]));
        for (uint32_t i = 0; i < g->seen; i++) {
            uint64_t at = mpr_graph_address(g, i);
            CHECK(t, !(g->flags[i] & MPR_NODE_UNREACHABLE) == (at != LOST && at != ONLY_ITS));
        }
    }
    mpr_builder_free(b);
    mpr_graph_free(g);
    CHECK(t, a.live == 0);
}

/* An edge TEMPORARY stays, and is counted, where it explains a reference that nothing else does; no other's name is borrowed by what stands
 * behind one that goes. */
static void settles_temporaries(test *t) {
    const mpr_label temporary = mpr_label_field(MPR_FIELD_TEMPORARY), index = mpr_label_make(MPR_LABEL_INDEX, 0);
    const mpr_seen_edge edges[] = {{16, index}, {16, temporary}, {16, temporary}, {48, temporary}, {48, mpr_label_make(MPR_LABEL_VALUE, 0)},
                                   {32, temporary}, {(uint64_t)1 << 40, temporary}};
    test_alloc a;
    mpr_builder *b = NULL;
    mpr_graph *g = NULL;
    test_alloc_init(&a);
    if (!CHECK(t, mpr_builder_new(&b, &a.alloc) == MPR_OK)) return;
    mpr_sink *sink = mpr_builder_sink(b);
    mpr_seen_type type = {.name = "t", .name_length = 1};
    CHECK(t, sink->type(sink, &type) == MPR_OK);
    for (uint32_t i = 0; i < 70000; i++) { /* more than one block of offsets */
        mpr_seen_node node = {.address = 16 + 16 * (uint64_t)i, .size = 16, .refcount = i == 0 ? 2 : 1};
        CHECK(t, sink->node(sink, &node) == MPR_OK);
        if (i == 5 || i == 69000)
            CHECK(t, sink->edges(sink, edges, sizeof edges / sizeof *edges) == MPR_OK);
        else if (i > 2)
            CHECK(t, sink->edges(sink, &(mpr_seen_edge){16 + 16 * (uint64_t)i, index}, 1) == MPR_OK);
    }
    CHECK(t, mpr_builder_freeze(b, &g) == MPR_OK && mpr_graph_check(g) == NULL);
    uint64_t first = mpr_graph_first(g, 5), end = mpr_graph_first(g, 6);
    /* both references to 0 are those by an index of 5 and 69000, so that nothing is left for the temporaries */
    CHECK(t, end - first == 3 && g->target[first] == 0 && g->label[first] == index);
    CHECK(t, g->target[first + 1] == 2 && g->label[first + 1] == mpr_label_field(MPR_FIELD_NONE));
    CHECK(t, g->target[first + 2] == 1 && g->label[first + 2] == (temporary & ~MPR_LABEL_WEAK));
    CHECK(t, mpr_graph_first(g, 69001) - mpr_graph_first(g, 69000) == 2); /* what 1 had left is explained already */
    CHECK(t, mpr_graph_residual(g, 0) == 0 && mpr_graph_residual(g, 1) == 0 && mpr_graph_residual(g, 2) == -1);
    CHECK(t, mpr_graph_first(g, 70000) == 69995 + 3 + 2 && g->totals.dangling == 2);
    mpr_builder_free(b);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

/* Labels of every kind fit any buffer and end with a NUL. */
static void describes(test *t) {
    heap_shape shape = {.nodes = 200, .types = 5, .edges = 4, .wild = true};
    test_alloc a;
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, 9, &shape);
    if (!CHECK(t, g != NULL)) return;
    char out[80];
    for (uint32_t i = 0; i < g->nodes; i++)
        for (uint64_t k = mpr_graph_first(g, i); k < mpr_graph_first(g, i + 1); k++)
            for (size_t size = 1; size <= sizeof out; size += 13) {
                mpr_resolved r;
                mpr_graph_resolve(g, i, k, &r);
                size_t length = mpr_resolved_text(&r, out, size);
                CHECK(t, length < size && out[length] == '\0');
            }
    mpr_graph_free(g);
}

void test_graph(test *t) {
    uint64_t rounds = t->quick ? 2 : 40;
    for (uint64_t seed = 1; seed <= rounds; seed++) {
        heap_shape small = {.nodes = 1 + (uint32_t)seed * 9, .types = 1 + (uint32_t)seed % 7, .edges = 1 + (unsigned)seed % 5};
        heap_shape wild = {.nodes = 300, .types = 9, .edges = 4, .wild = true, .long_lists = seed % 8 == 0, .native = seed % 2 == 1};
        frozen_is_sound(t, seed, &small);
        frozen_is_sound(t, seed, &wild);
        told_again(t, seed, &small);
        told_again(t, seed, &wild);
        reverse_is_right(t, seed, &wild);
    }
    heap_shape large = {.nodes = 140000, .types = 20, .edges = 2, .wild = true};
    if (!t->quick) told_again(t, 1, &large);
    every_allocation(t);
    out_of_order(t);
    empty_heap(t);
    retains_what_frames_borrow(t);
    settles_temporaries(t);
    describes(t);
}
