/* SPDX-License-Identifier: MIT
 * algo/reach and algo/groups against slow twins: reachability by repeating "what a reached node refers to is reached" until nothing changes. */
#include <string.h>

#include "algo/groups.h"
#include "algo/reach.h"
#include "base/status.h"
#include "test.h"

static bool relax(const mpr_graph *g, bool housekeeping, const uint8_t *walls, uint8_t *reached) {
    bool changed = false;
    for (uint32_t i = 0; i < g->nodes; i++) {
        if (!reached[i]) continue;
        for (uint64_t k = mpr_graph_first(g, i); k < mpr_graph_first(g, i + 1); k++) {
            uint32_t to = g->target[k];
            bool follow = mpr_label_strong(g->label[k]) && (housekeeping || !mpr_label_housekeeping(g->label[k]));
            if (follow && !reached[to] && !walls[to]) changed = (reached[to] = 1);
        }
        const mpr_type *type = &g->types[g->type[i]];
        bool owns = (type->flags & MPR_TYPE_HEAP) && !(g->flags[i] & MPR_NODE_SYNTHETIC); /* of other types nobody does */
        uint32_t class = owns ? type->node : MPR_NO_NODE;
        if (housekeeping && class != MPR_NO_NODE && !reached[class] && !walls[class]) changed = (reached[class] = 1);
    }
    return changed;
}

static void reach_once(test *t, mpr_graph *g, dice *d) {
    uint8_t *fast = mpr_alloc_array(g->alloc, g->nodes, 1), *slow = mpr_alloc_array(g->alloc, g->nodes, 1);
    uint8_t *walls = mpr_alloc_array(g->alloc, g->nodes, 1);
    uint32_t starts[3];
    bool housekeeping = dice_chance(d, 50), walled = dice_chance(d, 50);
    uint64_t objects = 0, bytes = 0, slow_objects = 0, slow_bytes = 0;
    for (uint32_t i = 0; i < g->nodes; i++) fast[i] = walls[i] = walled && dice_chance(d, 10);
    for (unsigned i = 0; i < 3; i++) {
        starts[i] = (uint32_t)dice_below(d, g->nodes);
        slow[starts[i]] = !walls[starts[i]];
    }
    CHECK(t, mpr_reach(g, starts, 3, housekeeping, fast, &objects, &bytes) == MPR_OK);
    while (relax(g, housekeeping, walls, slow)) continue;
    for (uint32_t i = 0; i < g->nodes; i++) CHECK(t, fast[i] == (slow[i] || walls[i]));
    for (uint32_t i = 0; i < g->nodes; i++)
        if (slow[i] && mpr_graph_is_object(g, i)) {
            slow_objects++;
            slow_bytes += mpr_graph_size(g, i);
        }
    CHECK(t, objects == slow_objects && bytes == slow_bytes);
    CHECK(t, mpr_reach(g, starts, 3, housekeeping, fast, &objects, NULL) == MPR_OK && objects == 0);
    mpr_alloc_free(g->alloc, fast, g->nodes, 1);
    mpr_alloc_free(g->alloc, slow, g->nodes, 1);
    mpr_alloc_free(g->alloc, walls, g->nodes, 1);
}

static void totals(test *t, const mpr_graph *g) {
    mpr_group_total *by_type = mpr_alloc_array(g->alloc, g->type_count, sizeof *by_type);
    uint64_t count = 0, bytes = 0;
    mpr_groups_by_type(g, by_type);
    for (size_t i = 0; i < g->type_count; i++) {
        count += by_type[i].count;
        bytes += by_type[i].bytes;
    }
    CHECK(t, count == g->totals.objects && bytes == g->totals.bytes);
    mpr_alloc_free(g->alloc, by_type, g->type_count, sizeof *by_type);
}

static void without_memory(test *t, mpr_graph *g, test_alloc *a) {
    uint8_t *out = mpr_alloc_array(g->alloc, g->nodes, 1);
    uint32_t start = g->group[MPR_GROUP_ROOT];
    int status = MPR_ENOMEM;
    for (uint64_t nth = 1; status != MPR_OK; nth++) {
        memset(out, 0, g->nodes);
        a->calls = 0;
        a->fail_at = nth;
        a->tripped = false;
        status = mpr_reach(g, &start, 1, false, out, NULL, NULL);
        CHECK(t, (status == MPR_ENOMEM) == a->tripped);
    }
    a->fail_at = 0;
    mpr_alloc_free(g->alloc, out, g->nodes, 1);
}

void test_algo(test *t) {
    for (uint64_t seed = 1; seed <= (t->quick ? 2u : 60u); seed++) {
        heap_shape shape = {.nodes = 20 + (uint32_t)seed * 5, .types = 5, .edges = 1 + (unsigned)seed % 3, .wild = seed % 2 == 0, .native = seed % 5 == 1};
        test_alloc a;
        dice d = {seed};
        test_alloc_init(&a);
        mpr_graph *g = graph_make(&a.alloc, seed, &shape);
        if (!CHECK(t, g != NULL)) return;
        for (unsigned i = 0; i < 10; i++) reach_once(t, g, &d);
        totals(t, g);
        without_memory(t, g, &a);
        mpr_graph_free(g);
        CHECK(t, a.live == 0 && a.wrong == 0);
    }
}
