/* SPDX-License-Identifier: MIT
 * The queue is the order of the result. What a phase does not follow, the next one finds by going through the whole queue again. */
#include "algo/routes.h"

#include "algo/steps.h"
#include "base/status.h"

#define REPORT_EVERY 65536u /* nodes */
#define LATER 3             /* levels by which threads and interpreter come after modules */

typedef struct work {
    const mpr_graph *g;
    const uint8_t *wanted;
    mpr_progress progress;
    void *context;
    uint64_t missing;
    bool all; /* follow housekeeping edges and classes, too */
    mpr_routes r;
} work;

static void meet(work *w, uint32_t node, uint32_t parent) {
    if (node == MPR_NO_NODE || w->r.parent[node] != MPR_NO_NODE || (w->g->flags[node] & MPR_NODE_OWN)) return;
    w->r.parent[node] = parent;
    w->r.order[w->r.count++] = node;
    if (w->wanted[node]) w->missing--;
}

static void meet_group(work *w, mpr_group group) { meet(w, w->g->group[group], w->g->group[MPR_GROUP_ROOT]); }

/* The namespace of a module or class is no housekeeping here: that is where names are. */
static bool follows(const work *w, uint32_t node, mpr_label label) {
    static const uint32_t namespace = (uint32_t)MPR_LABEL_FIELD << 28 | MPR_FIELD_NAMESPACE;
    if (mpr_steps_follow(label, w->all)) return true;
    return mpr_label_strong(label) && (label & ~MPR_LABEL_HOUSEKEEPING) == namespace &&
           (w->g->flags[node] & (MPR_NODE_MODULE | MPR_NODE_TYPE));
}

static void leave(work *w, uint32_t node) {
    const mpr_graph *g = w->g;
    if (node == g->group[MPR_GROUP_ROOT]) return;
    for (uint64_t k = mpr_graph_first(g, node); k < mpr_graph_first(g, node + 1); k++)
        if (follows(w, node, g->label[k])) meet(w, g->target[k], node);
    if (w->all) meet(w, mpr_steps_class(g, node), node);
}

static int report(const work *w, uint32_t done) {
    if (done % REPORT_EVERY != 0 || !w->progress || w->progress(w->context, done, w->g->nodes) == 0) return MPR_OK;
    return MPR_ECANCELLED;
}

/* Leave all nodes from `at` on. At the end of level LATER the other groups that programs name come in. */
static int run(work *w, uint32_t at) {
    uint32_t end = w->r.count;
    int status = MPR_OK;
    for (unsigned level = 1; status == MPR_OK && w->missing > 0; level++) {
        for (; at < end && w->missing > 0 && (status = report(w, at)) == MPR_OK; at++) leave(w, w->r.order[at]);
        if (level == LATER) {
            meet_group(w, MPR_GROUP_THREADS);
            meet_group(w, MPR_GROUP_INTERPRETER);
        }
        if (at == w->r.count && level >= LATER) break;
        end = w->r.count;
    }
    return status;
}

static void count_wanted(work *w) {
    for (uint32_t i = 0; i < w->g->nodes; i++) {
        w->r.parent[i] = MPR_NO_NODE;
        w->missing += w->wanted[i] != 0;
    }
}

static int search(work *w) {
    count_wanted(w);
    meet(w, w->g->group[MPR_GROUP_ROOT], w->g->group[MPR_GROUP_ROOT]);
    meet_group(w, MPR_GROUP_MODULES);
    int status = run(w, 0);
    w->all = true;
    if (status == MPR_OK && w->missing > 0) status = run(w, 0);
    for (uint32_t group = MPR_GROUP_STATIC; group < MPR_GROUP_COUNT; group++) {
        uint32_t from = w->r.count;
        if (status != MPR_OK || w->missing == 0) break;
        meet_group(w, (mpr_group)(MPR_GROUP_COUNT - 1 - (group - MPR_GROUP_STATIC)));
        status = run(w, from);
    }
    return status;
}

int mpr_routes_find(const mpr_graph *g, const uint8_t *wanted, mpr_progress progress, void *context, mpr_routes *out) {
    work w = {.g = g, .wanted = wanted, .progress = progress, .context = context};
    w.r = (mpr_routes){.alloc = g->alloc, .nodes = g->nodes};
    w.r.parent = mpr_alloc_array(g->alloc, g->nodes, sizeof *w.r.parent);
    w.r.order = mpr_alloc_array(g->alloc, g->nodes, sizeof *w.r.order);
    int status = w.r.parent && w.r.order ? search(&w) : MPR_ENOMEM;
    if (status == MPR_OK)
        *out = w.r;
    else
        mpr_routes_free(&w.r);
    return status;
}

void mpr_routes_free(mpr_routes *routes) {
    if (!routes->alloc) return;
    mpr_alloc_free(routes->alloc, routes->parent, routes->nodes, sizeof *routes->parent);
    mpr_alloc_free(routes->alloc, routes->order, routes->nodes, sizeof *routes->order);
    *routes = (mpr_routes){0};
}

uint64_t mpr_routes_edge(const mpr_graph *g, const mpr_routes *routes, uint32_t node) {
    uint32_t holder = routes->parent[node];
    uint64_t found = MPR_NO_EDGE;
    if (holder == node) return found;
    for (uint64_t k = mpr_graph_first(g, holder); k < mpr_graph_first(g, holder + 1); k++) {
        if (g->target[k] != node || !mpr_label_strong(g->label[k])) continue;
        if (!mpr_label_housekeeping(g->label[k])) return k;
        if (found == MPR_NO_EDGE) found = k;
    }
    return found;
}
