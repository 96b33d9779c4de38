/* SPDX-License-Identifier: MIT
 * A *tail* is the end of a path: a node, and by which edges it leads down to the one asked for. Each tail gives the paths by the other
 * holders of its node, and each holder, the one that names the node among them, makes a longer tail. Tails stand in a queue, so that paths
 * come in the order of how near to the node they part from the first. A node is the head of one tail at most. */
#include "algo/paths.h"

#include <stdlib.h>

#include "base/status.h"

typedef struct tail {
    uint64_t edge;  /* of `node`, to that of the tail below; MPR_NO_EDGE for the first */
    uint32_t node;
    uint32_t below; /* index of that tail; its own for the first */
} tail;

typedef struct candidate {
    uint64_t edge;
    uint32_t node;
    uint32_t class; /* what is better is less: typed, then by the group of its root */
    uint32_t depth; /* steps from the super-root */
} candidate;

typedef struct search {
    mpr_graph *g;
    mpr_name_tree *names;
    mpr_progress progress;
    void *context;
    unsigned limit;
    uint64_t *seen; /* a bit a node: it heads a tail */
    MPR_VEC(tail) tails;
    MPR_VEC(candidate) found;
    MPR_VEC(uint32_t) holders;
    mpr_paths *out;
} search;

static bool is_seen(const search *s, uint32_t node) { return s->seen[node >> 6] >> (node & 63) & 1; }

static int push_tail(search *s, uint32_t node, uint64_t edge, uint32_t below) {
    tail t = {.edge = edge, .node = node, .below = below};
    s->seen[node >> 6] |= UINT64_C(1) << (node & 63);
    return mpr_vec_push(&s->tails, s->g->alloc, t);
}

/* Write down the path that names `node`, and the tail `at` behind it: `edge` leads from the one to the other. */
static int keep_path(search *s, uint32_t node, uint64_t edge, uint32_t at) {
    mpr_paths *out = s->out;
    int status = mpr_name_tree_path(s->g, s->names, node, &out->step);
    for (;; at = s->tails.items[at].below) {
        if (status != MPR_OK) return status;
        const tail *t = &s->tails.items[at];
        out->step.items[out->step.count - 1].edge = edge;
        status = mpr_vec_push(&out->step, s->g->alloc, ((mpr_step){.node = t->node, .edge = MPR_NO_EDGE}));
        edge = t->edge;
        if (t->below == at) break;
    }
    out->count++;
    return status == MPR_OK ? mpr_vec_push(&out->first, s->g->alloc, out->step.count) : status;
}

/* ---- other holders ----------------------------------------------------------------------------------------------------- */

/* What holds the node of a tail but the one that names it. Groups of all static and interned objects say nothing. */
static int list_holders(search *s, uint32_t node) {
    const mpr_graph *g = s->g;
    const mpr_reverse *r = g->reverse;
    uint32_t last = MPR_NO_NODE, named = s->names->parent[node];
    s->holders.count = 0;
    for (uint64_t k = r->first[node]; k < r->first[node + 1] && s->holders.count < MPR_PATHS_HOLDERS; k++) {
        uint32_t holder = r->source[k];
        if (holder == last || holder == named || is_seen(s, holder) || (g->flags[holder] & MPR_NODE_OWN)) continue;
        last = holder;
        if (s->names->bars && s->names->bars->walls && s->names->bars->walls[holder]) continue;
        if (holder == g->group[MPR_GROUP_STATIC] || holder == g->group[MPR_GROUP_INTERNED]) continue;
        if (mpr_vec_push(&s->holders, g->alloc, holder) != MPR_OK) return MPR_ENOMEM;
    }
    return MPR_OK;
}

/* Modules and interpreter, then threads, then what only C holds, garbage last. */
static uint32_t class_of_root(const mpr_graph *g, uint32_t group) {
    static const mpr_group order[] = {MPR_GROUP_MODULES, MPR_GROUP_INTERPRETER, MPR_GROUP_STATIC, MPR_GROUP_THREADS,
                                      MPR_GROUP_C_REFERENCES};
    uint32_t class = 0;
    while (class < sizeof order / sizeof *order && g->group[order[class]] != group) class++;
    return class + 1;
}

/* Go up from a holder to the super-root: false when the path leads through the tail, which it cannot begin then. */
static bool measure(const search *s, candidate *c) {
    const uint32_t *parent = s->names->parent;
    uint32_t root = s->g->group[MPR_GROUP_ROOT], node = c->node;
    for (; parent[node] != root && node != root; node = parent[node], c->depth++)
        if (is_seen(s, node)) return false;
    c->class = class_of_root(s->g, node);
    return true;
}

static bool is_housekeeping(const search *s, uint32_t holder, uint64_t edge) {
    mpr_label label = s->g->label[edge];
    return mpr_label_housekeeping(label) && !mpr_name_tree_is_typed(s->g, s->names, holder, edge);
}

static int add_candidate(search *s, uint32_t holder, uint32_t node) {
    candidate c = {.node = holder, .edge = mpr_name_tree_edge_of(s->g, s->names, holder, node)};
    bool known = s->names->parent[holder] != MPR_NO_NODE && c.edge != MPR_NO_EDGE;
    if (!known || is_housekeeping(s, holder, c.edge) || !measure(s, &c)) return MPR_OK;
    if (mpr_name_tree_typed(s->names, holder) && mpr_name_tree_is_typed(s->g, s->names, holder, c.edge)) c.class = 0;
    return mpr_vec_push(&s->found, s->g->alloc, c);
}

static int by_merit(const void *left, const void *right) {
    const candidate *a = left, *b = right;
    if (a->class != b->class) return a->class < b->class ? -1 : 1;
    if (a->depth != b->depth) return a->depth < b->depth ? -1 : 1;
    return (a->node > b->node) - (a->node < b->node);
}

/* All candidates for the head of a tail, the best first. */
static int find_candidates(search *s, uint32_t node) {
    int status = list_holders(s, node);
    s->found.count = 0;
    if (status == MPR_OK) status = mpr_name_tree_reach(s->g, s->names, s->holders.items, s->holders.count, s->progress, s->context);
    for (size_t i = 0; i < s->holders.count && status == MPR_OK; i++) status = add_candidate(s, s->holders.items[i], node);
    if (s->found.count > 1) qsort(s->found.items, s->found.count, sizeof *s->found.items, by_merit);
    return status;
}

/* A module, a class and their namespaces have names of their own: who else refers to them is beside the point. */
static bool is_named(const search *s, uint32_t node) {
    const mpr_graph *g = s->g;
    uint32_t parent = s->names->parent[node];
    if (g->flags[node] & (MPR_NODE_SYNTHETIC | MPR_NODE_MODULE | MPR_NODE_TYPE)) return true;
    if (g->flags[parent] & (MPR_NODE_MODULE | MPR_NODE_TYPE)) {
        uint64_t edge = mpr_name_tree_edge(g, s->names, node);
        return edge != MPR_NO_EDGE && mpr_steps_is_namespace(g->label[edge]);
    }
    return (g->flags[parent] & MPR_NODE_SYNTHETIC) && parent == g->group[MPR_GROUP_MODULES];
}

static int extend(search *s, uint32_t at) {
    uint32_t node = s->tails.items[at].node, named = s->names->parent[node];
    if (at > 0 && is_named(s, node)) return MPR_OK;
    int status = find_candidates(s, node);
    for (size_t i = 0; i < s->found.count && status == MPR_OK && s->out->count < s->limit; i++)
        status = keep_path(s, s->found.items[i].node, s->found.items[i].edge, at);
    if (status == MPR_OK && named != node && !is_seen(s, named))
        status = push_tail(s, named, mpr_name_tree_edge(s->g, s->names, node), at);
    for (size_t i = 0; i < s->found.count && status == MPR_OK; i++)
        if (!is_seen(s, s->found.items[i].node)) status = push_tail(s, s->found.items[i].node, s->found.items[i].edge, at);
    return status;
}

/* ---- all of it --------------------------------------------------------------------------------------------------------- */

static int run(search *s, uint32_t node) {
    int status = mpr_vec_push(&s->out->first, s->g->alloc, 0);
    if (status == MPR_OK) status = mpr_name_tree_reach(s->g, s->names, &node, 1, s->progress, s->context);
    if (status != MPR_OK || s->names->parent[node] == MPR_NO_NODE) return status;
    status = mpr_name_tree_path(s->g, s->names, node, &s->out->step);
    if (status == MPR_OK) status = mpr_vec_push(&s->out->first, s->g->alloc, s->out->step.count);
    s->out->count = 1;
    if (status != MPR_OK || s->limit == 1) return status;
    s->seen = mpr_alloc_array(s->g->alloc, s->g->nodes / 64 + 1, sizeof *s->seen);
    if (!s->seen || mpr_graph_make_reverse(s->g) != MPR_OK) return MPR_ENOMEM;
    status = push_tail(s, node, MPR_NO_EDGE, 0);
    uint32_t at = 0;
    for (; at < s->tails.count && status == MPR_OK && s->out->count < s->limit; at++) status = extend(s, at);
    s->out->complete = at == s->tails.count;
    return status;
}

int mpr_paths_find(mpr_graph *g, mpr_name_tree *names, uint32_t node, unsigned limit, mpr_progress progress, void *context,
                   mpr_paths *out) {
    mpr_paths paths = {.alloc = g->alloc};
    search s = {.g = g, .names = names, .progress = progress, .context = context, .limit = limit, .out = &paths};
    int status = run(&s, node);
    mpr_alloc_free(g->alloc, s.seen, g->nodes / 64 + 1, sizeof *s.seen);
    mpr_vec_free(&s.tails, g->alloc);
    mpr_vec_free(&s.found, g->alloc);
    mpr_vec_free(&s.holders, g->alloc);
    if (status == MPR_OK)
        *out = paths;
    else
        mpr_paths_free(&paths);
    return status;
}

void mpr_paths_free(mpr_paths *paths) {
    if (!paths->alloc) return;
    mpr_vec_free(&paths->step, paths->alloc);
    mpr_vec_free(&paths->first, paths->alloc);
    *paths = (mpr_paths){0};
}
