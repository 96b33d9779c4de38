/* SPDX-License-Identifier: MIT
 * One pass, with a table from type and size to row. */
#include "algo/native.h"

#include "base/map.h"

static bool was_lost(const mpr_graph *older, uint64_t address, uint64_t size) {
    const uint32_t flags = MPR_NODE_NATIVE | MPR_NODE_UNREACHABLE;
    uint32_t node;
    return older && mpr_graph_find(older, address, &node) && (older->flags[node] & flags) == flags &&
           mpr_graph_size(older, node) == size;
}

static int add(const mpr_graph *g, const mpr_graph *older, uint32_t node, mpr_map *rows, mpr_native_rows *out) {
    int made;
    uint64_t size = mpr_graph_size(g, node);
    uint32_t *place = mpr_map_add(rows, mpr_map_mix(g->type[node], size), &made);
    if (!place) return MPR_ENOMEM;
    if (made) {
        *place = (uint32_t)out->count;
        mpr_native_row new = {.type = g->type[node], .node = node, .size = size};
        if (mpr_vec_push(out, g->alloc, new) != MPR_OK) return MPR_ENOMEM;
    }
    mpr_native_row *row = &out->items[*place];
    row->count++;
    row->before += was_lost(older, mpr_graph_address(g, node), size);
    return MPR_OK;
}

static bool has_more(const mpr_native_row *a, const mpr_native_row *b) {
    uint64_t x = a->size * a->count, y = b->size * b->count;
    return x != y ? x > y : a->node < b->node;
}

int mpr_native_by_kind(const mpr_graph *g, const mpr_graph *older, bool lost, mpr_native_rows *out) {
    mpr_map rows = {.alloc = g->alloc};
    int status = MPR_OK;
    for (uint32_t node = 0; status == MPR_OK && node < g->seen; node++) {
        uint32_t flags = g->flags[node];
        bool wanted = (flags & (MPR_NODE_NATIVE | MPR_NODE_OWN)) == MPR_NODE_NATIVE && (!lost || (flags & MPR_NODE_UNREACHABLE));
        if (wanted) status = add(g, older, node, &rows, out);
    }
    mpr_map_free(&rows);
    mpr_vec_sort(out, has_more);
    return status;
}
