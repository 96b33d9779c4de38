/* SPDX-License-Identifier: MIT
 * The roots in their order, then a sweep (graph/sweep.h) from those of each rank over what is not reached yet. */
#include "algo/ranks.h"

#include <string.h>

#include "algo/steps.h"
#include "base/status.h"
#include "graph/resolve.h"
#include "graph/sweep.h"

/* ---- the roots ---- */

typedef struct listing {
    const mpr_graph *g;
    mpr_rank_roots *out;
    uint16_t rank;
    int status;
} listing;

static void add(listing *l, uint32_t node, uint32_t parent, uint16_t rank, int kind) {
    if (l->status != MPR_OK || (l->g->flags[node] & MPR_NODE_OWN)) return;
    mpr_rank_root root = {.node = node, .parent = parent, .rank = rank, .kind = kind};
    l->status = mpr_vec_push(l->out, l->g->alloc, root);
}

static void add_group(listing *l, mpr_group group, uint16_t rank, int kind) {
    const uint32_t *node = l->g->group;
    if (node[group] != MPR_NO_NODE) add(l, node[group], node[MPR_GROUP_ROOT], rank, kind);
}

static void next_rank(listing *l) { l->rank += l->rank < MPR_RANK_LAST_FRAME; }

/* What a thread has for as long as it lives. A context is distinguished, for its variables have names that programmers know. */
static bool is_context(mpr_label label) { return mpr_steps_is_field(label, MPR_FIELD_THREAD_CONTEXT); }

static bool lasts(mpr_label label) { return mpr_steps_is_field(label, MPR_FIELD_THREAD_DICT) || is_context(label); }

static bool is_frame(mpr_label label) { return mpr_label_kind_of(label) == MPR_LABEL_CHILD && mpr_label_strong(label); }

/* Does a frame run asyncio's loop? A frame that is an object (3.10) has the text of its code. */
static bool runs_loop(const mpr_graph *g, uint32_t frame) {
    static const char file[] = "asyncio/base_events.py:";
    size_t length = 0;
    const char *text = mpr_graph_text(g, frame, &length);
    for (uint64_t k = mpr_graph_first(g, frame); text == NULL && k < mpr_graph_first(g, frame + 1); k++)
        if (mpr_steps_is_field(g->label[k], MPR_FIELD_F_CODE)) text = mpr_graph_text(g, g->target[k], &length);
    for (size_t i = 0; text != NULL && i + sizeof file - 1 <= length; i++)
        if (memcmp(text + i, file, sizeof file - 1) == 0) return true;
    return false;
}

/* The loop is `self`, and the callback that it runs now, a task's step mostly, is `handle`: in its queue a moment ago. */
static void add_loop(listing *l, uint32_t frame, uint32_t thread) {
    const mpr_graph *g = l->g;
    if (!runs_loop(g, frame)) return;
    for (uint64_t k = mpr_graph_first(g, frame); k < mpr_graph_first(g, frame + 1); k++) {
        mpr_resolved r;
        if (mpr_label_kind_of(g->label[k]) != MPR_LABEL_LOCAL || !mpr_label_strong(g->label[k])) continue;
        mpr_graph_resolve(g, frame, k, &r);
        bool is_self = r.length == 4 && memcmp(r.name, "self", 4) == 0;
        if (is_self || (r.length == 6 && memcmp(r.name, "handle", 6) == 0))
            add(l, g->target[k], thread, MPR_RANK_LASTING, MPR_ROOT_LIVING);
    }
}

static void add_contexts_of_thread(listing *l, uint32_t thread) {
    const mpr_graph *g = l->g;
    for (uint64_t k = mpr_graph_first(g, thread); k < mpr_graph_first(g, thread + 1); k++)
        if (is_context(g->label[k])) add(l, g->target[k], thread, MPR_RANK_LASTING, MPR_ROOT_NAMED);
}

static void add_lasting_of_thread(listing *l, uint32_t thread) {
    const mpr_graph *g = l->g;
    for (uint64_t k = mpr_graph_first(g, thread); k < mpr_graph_first(g, thread + 1); k++) {
        if (lasts(g->label[k]) && !is_context(g->label[k])) add(l, g->target[k], thread, MPR_RANK_LASTING, MPR_ROOT_LIVING);
        if (is_frame(g->label[k])) add_loop(l, g->target[k], thread);
    }
}

/* Frames stand in a thread innermost first. */
static void add_frames_of_thread(listing *l, uint32_t thread) {
    const mpr_graph *g = l->g;
    for (uint64_t k = mpr_graph_first(g, thread + 1); k-- > mpr_graph_first(g, thread);)
        if (is_frame(g->label[k])) {
            next_rank(l);
            add(l, g->target[k], thread, l->rank, MPR_ROOT_MOMENTARY);
        }
    next_rank(l);
    for (uint64_t k = mpr_graph_first(g, thread); k < mpr_graph_first(g, thread + 1); k++)
        if (mpr_label_strong(g->label[k]) && !is_frame(g->label[k]) && !lasts(g->label[k]))
            add(l, g->target[k], thread, l->rank, MPR_ROOT_MOMENTARY);
}

/* A file may say that anything is a thread. */
static bool is_thread(const mpr_graph *g, uint32_t node) {
    for (uint32_t group = 0; group < MPR_GROUP_COUNT; group++)
        if (g->group[group] == node) return false;
    return g->flags[node] & MPR_NODE_SYNTHETIC;
}

static void each_thread(listing *l, void (*add_of)(listing *l, uint32_t thread)) {
    const mpr_graph *g = l->g;
    uint32_t threads = g->group[MPR_GROUP_THREADS];
    if (threads == MPR_NO_NODE) return;
    for (uint64_t k = mpr_graph_first(g, threads); k < mpr_graph_first(g, threads + 1); k++)
        if (is_thread(g, g->target[k])) add_of(l, g->target[k]);
}

/* What stands among the threads and is none. */
static void add_others(listing *l) {
    const mpr_graph *g = l->g;
    uint32_t threads = g->group[MPR_GROUP_THREADS];
    if (threads == MPR_NO_NODE) return;
    for (uint64_t k = mpr_graph_first(g, threads); k < mpr_graph_first(g, threads + 1); k++)
        if (!is_thread(g, g->target[k]) && mpr_label_strong(g->label[k]))
            add(l, g->target[k], threads, l->rank, MPR_ROOT_MOMENTARY);
}

int mpr_ranks_roots(const mpr_graph *g, mpr_rank_roots *out) {
    listing l = {.g = g, .out = out};
    add_group(&l, MPR_GROUP_MODULES, MPR_RANK_LASTING, MPR_ROOT_NAMED);
    add_group(&l, MPR_GROUP_INTERPRETER, MPR_RANK_LASTING, MPR_ROOT_NAMED);
    each_thread(&l, add_contexts_of_thread);
    each_thread(&l, add_lasting_of_thread);
    add_group(&l, MPR_GROUP_STATIC, MPR_RANK_LASTING, MPR_ROOT_STATIC);
    add_group(&l, MPR_GROUP_NATIVE, MPR_RANK_LASTING, MPR_ROOT_STATIC);
    each_thread(&l, add_frames_of_thread);
    next_rank(&l);
    add_others(&l);
    add_group(&l, MPR_GROUP_C_REFERENCES, l.rank + 1, MPR_ROOT_MOMENTARY);
    add_group(&l, MPR_GROUP_UNREACHABLE, l.rank + 2, MPR_ROOT_MOMENTARY);
    add_group(&l, MPR_GROUP_LOST, l.rank + 2, MPR_ROOT_MOMENTARY);
    return l.status;
}

/* ---- the sweeps ---- */

typedef struct marking {
    uint16_t *value;
    uint16_t rank;
} marking;

static void mark(void *context, uint32_t node) {
    const marking *m = context;
    m->value[node] = m->rank;
}

/* The nodes that lead to roots of several ranks are lasting and are not followed. */
static void mark_containers(const mpr_graph *g, mpr_sweep *sweep, uint16_t *value) {
    static const mpr_group groups[] = {MPR_GROUP_ROOT, MPR_GROUP_THREADS, MPR_GROUP_INTERNED};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        uint32_t node = g->group[groups[i]];
        if (node != MPR_NO_NODE) sweep->reached[node] = 1, value[node] = MPR_RANK_LASTING;
    }
    uint32_t threads = g->group[MPR_GROUP_THREADS];
    for (uint64_t k = threads == MPR_NO_NODE ? 0 : mpr_graph_first(g, threads);
         threads != MPR_NO_NODE && k < mpr_graph_first(g, threads + 1); k++)
        if (is_thread(g, g->target[k])) sweep->reached[g->target[k]] = 1, value[g->target[k]] = MPR_RANK_LASTING;
}

static void run_sweeps(const mpr_graph *g, const mpr_rank_roots *roots, mpr_sweep *sweep, uint16_t *value) {
    marking m = {.value = value};
    mark_containers(g, sweep, value);
    for (size_t i = 0; i < roots->count;) {
        m.rank = roots->items[i].rank;
        for (; i < roots->count && roots->items[i].rank == m.rank; i++) mpr_sweep_enter(sweep, roots->items[i].node);
        mpr_sweep_run(sweep, g, mark, &m);
    }
}

static int find(const mpr_graph *g, const mpr_rank_roots *roots, mpr_ranks *out) {
    mpr_sweep sweep;
    int status = mpr_sweep_begin(&sweep, g);
    sweep.mark = 1;
    sweep.housekeeping = true;
    sweep.reached = mpr_alloc_array(g->alloc, g->nodes, 1);
    out->value = mpr_alloc_array(g->alloc, g->nodes, sizeof *out->value);
    if (status == MPR_OK && sweep.reached && out->value) {
        memset(out->value, 0xFF, (size_t)g->nodes * sizeof *out->value);
        for (uint32_t i = 0; i < g->nodes; i++) sweep.reached[i] = (g->flags[i] & MPR_NODE_OWN) != 0;
        run_sweeps(g, roots, &sweep, out->value);
    } else {
        status = MPR_ENOMEM;
    }
    mpr_alloc_free(g->alloc, sweep.reached, g->nodes, 1);
    mpr_sweep_end(&sweep);
    return status;
}

int mpr_ranks_find(const mpr_graph *g, mpr_ranks *out) {
    mpr_ranks ranks = {.alloc = g->alloc, .nodes = g->nodes};
    mpr_rank_roots roots = {0};
    int status = mpr_ranks_roots(g, &roots);
    if (status == MPR_OK) status = find(g, &roots, &ranks);
    for (size_t i = 0; i < roots.count; i++) {
        if (roots.items[i].node == g->group[MPR_GROUP_C_REFERENCES]) ranks.c_references = roots.items[i].rank;
        if (roots.items[i].node == g->group[MPR_GROUP_UNREACHABLE]) ranks.unreachable = roots.items[i].rank;
        if (status == MPR_OK && (roots.items[i].kind == MPR_ROOT_LIVING || roots.items[i].kind == MPR_ROOT_NAMED))
            status = mpr_vec_push(&ranks.living, g->alloc, roots.items[i]);
    }
    mpr_vec_free(&roots, g->alloc);
    if (status == MPR_OK)
        *out = ranks;
    else
        mpr_ranks_free(&ranks);
    return status;
}

void mpr_ranks_free(mpr_ranks *ranks) {
    if (!ranks->alloc) return;
    mpr_alloc_free(ranks->alloc, ranks->value, ranks->nodes, sizeof *ranks->value);
    mpr_vec_free(&ranks->living, ranks->alloc);
    *ranks = (mpr_ranks){0};
}
