/* SPDX-License-Identifier: MIT
 * Breadth first from the node to its holders, their holders ... up to the super-root. Each entry of the queue is a path from its node down to
 * the one asked for, by the chain of entries that led to it; a node may stand in the queue `limit` times, so that the paths found differ in more
 * than their beginning.
 *
 * The reverse index has holders but no labels: the edge is looked for among the holder's own, and the search for one strong edge
 * ends at the first. A holder that has stood in the queue often enough is not looked at again. */
#include "algo/paths.h"

#include "algo/steps.h"
#include "base/status.h"
#include "base/vec.h"

#define REPORT_EVERY 16384u /* queue entries */

typedef struct entry {
    uint64_t edge;  /* of this node, to that of the entry before */
    uint32_t node;
    uint32_t below; /* index of the entry before; its own for the first */
} entry;

typedef struct search {
    mpr_graph *g;
    mpr_paths_options options;
    unsigned limit;
    uint8_t *times; /* in the queue, by node */
    MPR_VEC(entry) queue;
    MPR_VEC(mpr_path_step) steps;
    MPR_VEC(size_t) firsts;
} search;

static bool follows(const search *s, mpr_label label) { return mpr_steps_follow(label, !s->options.skip_housekeeping); }

/* The holder's first edge to target that is followed: 1 and *edge, or 0. */
static int find_edge(const search *s, uint32_t holder, uint32_t target, uint64_t *edge) {
    const mpr_graph *g = s->g;
    uint64_t end = mpr_graph_first(g, holder + 1);
    for (uint64_t k = mpr_graph_first(g, holder); k < end; k++)
        if (g->target[k] == target && follows(s, g->label[k]) &&
            !(s->options.barred && s->options.barred(s->options.bars, holder, k))) {
            *edge = k;
            return 1;
        }
    return 0;
}

/* True when the node is on the path of entry `at`: only one that has stood in the queue can be, which most have not. */
static bool on_path(const search *s, uint32_t at, uint32_t node) {
    if (s->times[node] == 0) return false;
    for (;; at = s->queue.items[at].below) {
        if (s->queue.items[at].node == node) return true;
        if (s->queue.items[at].below == at) return false;
    }
}

static bool closed(const search *s, uint32_t node) {
    return (s->g->flags[node] & MPR_NODE_OWN) || (s->options.walls && s->options.walls[node]) || s->times[node] >= s->limit;
}

/* Write down the path of entry `at`. */
static int keep_path(search *s, uint32_t at) {
    mpr_alloc *alloc = s->g->alloc;
    for (;; at = s->queue.items[at].below) {
        const entry *e = &s->queue.items[at];
        mpr_path_step step = {.edge = e->edge, .node = e->node};
        if (mpr_vec_push(&s->steps, alloc, step) != MPR_OK) return MPR_ENOMEM;
        if (e->below == at) return mpr_vec_push(&s->firsts, alloc, s->steps.count);
    }
}

/* Queue a holder of entry `at`; the super-root completes a path and is not queued again. */
static int take_holder(search *s, uint32_t at, uint32_t holder) {
    entry e = {.node = holder, .below = at};
    if (closed(s, holder) || on_path(s, at, holder) || !find_edge(s, holder, s->queue.items[at].node, &e.edge)) return MPR_OK;
    if (s->queue.count >= UINT32_MAX) return MPR_ELIMIT;
    if (mpr_vec_push(&s->queue, s->g->alloc, e) != MPR_OK) return MPR_ENOMEM;
    if (holder == s->g->group[MPR_GROUP_ROOT]) return keep_path(s, (uint32_t)s->queue.count - 1);
    s->times[holder]++;
    return MPR_OK;
}

/* All holders of an entry's node, each once (they ascend, with repetitions). */
static int expand(search *s, uint32_t at) {
    const mpr_reverse *reverse = s->g->reverse;
    uint32_t node = s->queue.items[at].node, last = MPR_NO_NODE;
    int status = MPR_OK;
    for (uint64_t k = reverse->first[node]; k < reverse->first[node + 1] && s->firsts.count <= s->limit && status == MPR_OK; k++) {
        if (reverse->source[k] == last) continue;
        last = reverse->source[k];
        status = take_holder(s, at, last);
    }
    return status;
}

static int report(const search *s, uint32_t done) {
    if (done % REPORT_EVERY != 0 || !s->options.progress) return MPR_OK;
    return s->options.progress(s->options.context, done, s->g->nodes) == 0 ? MPR_OK : MPR_ECANCELLED;
}

static int run(search *s, uint32_t node) {
    entry start = {.edge = MPR_NO_EDGE, .node = node, .below = 0};
    uint32_t root = s->g->group[MPR_GROUP_ROOT];
    s->times = mpr_alloc_array(s->g->alloc, s->g->nodes, 1);
    if (!s->times || mpr_vec_push(&s->firsts, s->g->alloc, 0) != MPR_OK) return MPR_ENOMEM;
    int status = mpr_vec_push(&s->queue, s->g->alloc, start);
    s->times[node] = (uint8_t)s->limit; /* it is on every path already */
    if (status == MPR_OK && node == root) return keep_path(s, 0);
    for (uint32_t at = 0; status == MPR_OK && at < s->queue.count && s->firsts.count <= s->limit; at++) {
        status = report(s, at);
        if (status == MPR_OK && s->queue.items[at].node != root) status = expand(s, at);
    }
    return status;
}

/* Hand the vectors over, cut to size. */
static int make_result(search *s, mpr_paths *out) {
    mpr_alloc *alloc = s->g->alloc;
    mpr_paths paths = {.alloc = alloc, .count = s->firsts.count - 1};
    paths.first = mpr_alloc_array(alloc, s->firsts.count, sizeof *paths.first);
    paths.step = mpr_alloc_array(alloc, s->steps.count, sizeof *paths.step);
    if (!paths.first || !paths.step) {
        mpr_alloc_free(alloc, paths.first, s->firsts.count, sizeof *paths.first);
        mpr_alloc_free(alloc, paths.step, s->steps.count, sizeof *paths.step);
        return MPR_ENOMEM;
    }
    for (size_t i = 0; i < s->firsts.count; i++) paths.first[i] = s->firsts.items[i];
    for (size_t i = 0; i < s->steps.count; i++) paths.step[i] = s->steps.items[i];
    *out = paths;
    return MPR_OK;
}

int mpr_paths_find(mpr_graph *g, uint32_t node, unsigned limit, const mpr_paths_options *options, mpr_paths *out) {
    search s = {.g = g, .limit = limit < 255 ? limit : 255};
    if (options) s.options = *options;
    int status = mpr_graph_make_reverse(g);
    if (status == MPR_OK) status = run(&s, node);
    if (status == MPR_OK) status = make_result(&s, out);
    mpr_alloc_free(g->alloc, s.times, g->nodes, 1);
    mpr_vec_free(&s.queue, g->alloc);
    mpr_vec_free(&s.steps, g->alloc);
    mpr_vec_free(&s.firsts, g->alloc);
    return status;
}

void mpr_paths_free(mpr_paths *paths) {
    if (!paths->alloc) return;
    mpr_alloc_free(paths->alloc, paths->step, paths->first[paths->count], sizeof *paths->step);
    mpr_alloc_free(paths->alloc, paths->first, paths->count + 1, sizeof *paths->first);
    *paths = (mpr_paths){0};
}
