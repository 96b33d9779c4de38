/* SPDX-License-Identifier: MIT
 * Reachability by a work list. A node is marked when it is put on the list, so it stands there once, and the list never has more
 * than one entry a node. The list is used as a stack: the order in which nodes are met is nobody's business here, and the last node
 * found is the one whose columns are still in the cache. */
#include "algo/reach.h"

#include "base/vec.h"

typedef MPR_VEC(uint32_t) worklist;

typedef struct walk {
    const mpr_graph *g;
    const uint8_t *walls; /* or NULL */
    bool housekeeping;
    uint8_t *seen;
    worklist todo;
    uint64_t objects, bytes;
} walk;

/* Mark a node and put it on the list, unless it is marked already or behind a wall. */
static inline int enter(walk *w, uint32_t node) {
    if (w->seen[node] || (w->walls && w->walls[node])) return MPR_OK;
    if (mpr_vec_push(&w->todo, w->g->alloc, node) != MPR_OK) return MPR_ENOMEM;
    w->seen[node] = 1;
    return MPR_OK;
}

static void count_node(walk *w, uint32_t node) {
    if (!mpr_graph_is_object(w->g, node)) return;
    w->objects++;
    w->bytes += w->g->flags[node] & MPR_NODE_BIG ? mpr_graph_size(w->g, node) : w->g->size[node];
}

static inline bool follows(const walk *w, mpr_label label) {
    return mpr_label_strong(label) && (w->housekeeping || !mpr_label_housekeeping(label));
}

static int enter_class(walk *w, uint32_t node) {
    uint32_t type = w->g->type[node];
    if (type >= w->g->type_count || w->g->types[type].node == MPR_NO_NODE) return MPR_OK;
    return enter(w, w->g->types[type].node);
}

static int expand(walk *w, uint32_t node) {
    const mpr_graph *g = w->g;
    uint64_t end = mpr_graph_first(g, node + 1);
    for (uint64_t k = mpr_graph_first(g, node); k < end; k++)
        if (follows(w, g->label[k]) && enter(w, g->target[k]) != MPR_OK) return MPR_ENOMEM;
    return w->housekeeping ? enter_class(w, node) : MPR_OK;
}

static int run(walk *w, const uint32_t *starts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int status = enter(w, starts[i]);
        while (status == MPR_OK && w->todo.count > 0) {
            uint32_t node = w->todo.items[--w->todo.count];
            count_node(w, node);
            status = expand(w, node);
        }
        if (status != MPR_OK) return status;
    }
    return MPR_OK;
}

int mpr_reach(const mpr_graph *g, const uint32_t *starts, size_t count, const mpr_reach_options *options, uint8_t *out,
              uint64_t *objects, uint64_t *bytes) {
    walk w = {.g = g, .seen = out};
    if (options) {
        w.walls = options->walls;
        w.housekeeping = options->housekeeping;
    }
    int status = run(&w, starts, count);
    mpr_vec_free(&w.todo, g->alloc);
    if (status != MPR_OK) return status;
    if (objects) *objects = w.objects;
    if (bytes) *bytes = w.bytes;
    return MPR_OK;
}
