/* SPDX-License-Identifier: MIT
 * Semi-NCA (Georgiadis, "Linear-time algorithms for dominators and related problems", 2005), without recursion:
 *
 *   1. search    depth first from the super-root. Nodes get numbers in preorder; every edge is looked at once, and since the number of
 *                its target is at hand then, an edge to a node already met is kept as a pair of numbers;
 *   2. group     the pairs by target, by counting: the predecessors of each node. (Tree edges stay out: they are the parent.)
 *   3. semi      backwards: semi(v) = the smallest number from which v is reached over nodes of larger numbers than v. The smallest value on
 *                the path up the tree is found by path compression over the nodes done so far;
 *   4. dominate  forwards: from the parent, up the dominators found so far, to the first that is not larger than semi(v);
 *   5. retain    backwards: each node's bytes are added to its dominator's.
 *
 * All arrays of steps 2 to 5 are by preorder number, so that they run along memory. */
#include "algo/dominators.h"

#include "algo/steps.h"
#include "base/fetch.h"
#include "base/status.h"
#include "base/vec.h"

#define REPORT_EVERY 65536u /* nodes */

#define AHEAD 8              /* edges of the search */
#define FURTHER 16           /* items of a pass along an array */
#define BARRED UINT32_MAX    /* the number of memprobe's own objects */

typedef struct pair {
    uint32_t target, source; /* numbers */
} pair;

typedef struct frame {
    uint64_t next; /* edge to follow next; behind the last, steps beyond */
    uint32_t node;
} frame;

typedef struct work {
    const mpr_graph *g;
    const mpr_ranks *ranks; /* NULL: all edges count */
    mpr_alloc *alloc;
    mpr_progress progress;
    void *context;
    uint32_t count;   /* nodes met */
    uint32_t *number; /* of each node: its number + 1; 0: not met; BARRED; in the search only */
    uint64_t *leaf;   /* a bit a node: it refers to nothing; in the search only */
    uint32_t *order;  /* node of each number */
    uint32_t *parent; /* in the tree, by number; later the ancestor over which paths are compressed */
    uint32_t *class;  /* of each type's instances */
    MPR_VEC(frame) path;
    MPR_VEC(pair) pairs;
    uint64_t *first;  /* predecessors of number i: source[first[i]] up to first[i + 1] */
    uint32_t *source;
    uint32_t *low;    /* smallest semi on the compressed path */
    uint32_t *ancestor;
    uint32_t *semi;   /* later the dominator */
    uint32_t *stack;
} work;

/* ---- 1. search -------------------------------------------------------------------------------------------------------- */

static int report(const work *w, uint64_t step, uint64_t done) {
    uint64_t total = 3 * (uint64_t)w->g->nodes;
    if (!w->progress || w->progress(w->context, step * w->g->nodes + done, total) == 0) return MPR_OK;
    return MPR_ECANCELLED;
}

static void find_classes(work *w) {
    for (size_t i = 0; i < w->g->type_count; i++)
        w->class[i] = w->g->types[i].flags & MPR_TYPE_HEAP ? w->g->types[i].node : MPR_NO_NODE;
}

static inline uint32_t class_of(const work *w, uint32_t node) {
    return w->g->flags[node] & MPR_NODE_SYNTHETIC ? MPR_NO_NODE : w->class[w->g->type[node]];
}

static void meet(work *w, uint32_t node, uint32_t parent) {
    w->order[w->count] = node;
    w->parent[w->count] = parent;
    w->number[node] = ++w->count;
}

static inline bool is_leaf(const work *w, uint32_t node) { return w->leaf[node >> 6] >> (node & 63) & 1; }

/* One pass along memory for what the search would have to jump for at every node. */
static void prepare(work *w) {
    const mpr_graph *g = w->g;
    for (uint32_t node = 0; node < g->nodes; node++) {
        bool leaf = mpr_graph_first(g, node) == mpr_graph_first(g, node + 1) && class_of(w, node) == MPR_NO_NODE;
        w->leaf[node >> 6] |= (uint64_t)leaf << (node & 63);
        if (g->flags[node] & MPR_NODE_OWN) w->number[node] = BARRED;
    }
}

/* Take one reference: 1 when its target is new and has references of its own. */
static inline int take(work *w, uint32_t own, uint32_t target) {
    uint32_t number = w->number[target];
    if (number == 0) {
        meet(w, target, own);
        return !is_leaf(w, target);
    }
    if (number - 1 == own || number - 1 == 0 || number == BARRED) return 0;
    return mpr_vec_push(&w->pairs, w->alloc, ((pair){number - 1, own})) == MPR_OK ? 0 : MPR_ENOMEM;
}

/* A reference is some steps ahead: its number will be asked for, and where its references begin. */
MPR_FETCHER fetch_far(const work *w, uint32_t target) {
    __builtin_prefetch(&w->number[target]);
    if (!is_leaf(w, target)) __builtin_prefetch(&w->g->first_low[target]);
}

/* It is next: its references may be. */
MPR_FETCHER fetch_near(const work *w, uint32_t target) {
    if (is_leaf(w, target)) return;
    uint64_t first = mpr_graph_first(w->g, target);
    __builtin_prefetch(&w->g->target[first]);
    __builtin_prefetch(&w->g->label[first]);
}

/* A step beyond the edges of a node: first its class; of a thread then what it keeps. Else MPR_NO_NODE. */
static uint32_t step_beyond(const work *w, uint32_t node, uint64_t nth) {
    if (nth == 0) return class_of(w, node);
    const mpr_rank_root *root = &w->ranks->living.items[nth - 1];
    return root->parent == node ? root->node : MPR_NO_NODE;
}

/* How many steps there are beyond. */
static uint64_t steps_beyond(const work *w, uint32_t node) {
    return 1 + (w->ranks && (w->g->flags[node] & MPR_NODE_SYNTHETIC) ? w->ranks->living.count : 0);
}

/* Follow a node's references up to one that leads to a new node: 1 and *found; 0 when they are through; or negative. */
static int advance(work *w, frame *f, uint32_t *found) {
    const mpr_graph *g = w->g;
    uint64_t end = mpr_graph_first(g, f->node + 1), last = end + steps_beyond(w, f->node);
    uint32_t own = w->number[f->node] - 1;
    uint16_t rank = w->ranks ? w->ranks->value[f->node] : MPR_RANK_LASTING;
    while (f->next < last) {
        uint64_t k = f->next++;
        if (k + AHEAD < end) fetch_far(w, g->target[k + AHEAD]);
        if (k + 2 < end) fetch_near(w, g->target[k + 2]);
        uint32_t target = k < end ? g->target[k] : step_beyond(w, f->node, k - end);
        if (k < end ? !mpr_label_strong(g->label[k]) : target == MPR_NO_NODE) continue;
        if (rank != MPR_RANK_LASTING && w->ranks->value[target] < rank) continue;
        int status = take(w, own, target);
        if (status != 0) {
            *found = target;
            return status;
        }
    }
    return 0;
}

/* Open a node; what its first targets need is fetched together rather than one after the other. */
static int enter(work *w, uint32_t node) {
    frame f = {.next = mpr_graph_first(w->g, node), .node = node};
    uint64_t end = mpr_graph_first(w->g, node + 1);
    for (uint64_t k = f.next; k < end && k < f.next + AHEAD; k++) fetch_far(w, w->g->target[k]);
    return mpr_vec_push(&w->path, w->alloc, f);
}

static int search(work *w) {
    uint32_t root = w->g->group[MPR_GROUP_ROOT], next = 0, steps = 0;
    find_classes(w);
    prepare(w);
    meet(w, root, 0);
    int status = enter(w, root);
    while (status == MPR_OK && w->path.count > 0) {
        if (++steps % REPORT_EVERY == 0 && (status = report(w, 0, w->count)) != MPR_OK) break;
        int found = advance(w, &w->path.items[w->path.count - 1], &next);
        if (found == 0)
            w->path.count--;
        else
            status = found > 0 ? enter(w, next) : found;
    }
    return status;
}

/* ---- 2. group --------------------------------------------------------------------------------------------------------- */

/* first[i + 1] counts, then begins, then ends the predecessors of i; the pairs go. */
static int group(work *w) {
    w->first = mpr_alloc_array(w->alloc, (size_t)w->count + 2, sizeof *w->first);
    w->source = mpr_alloc_array(w->alloc, w->pairs.count, sizeof *w->source);
    if (!w->first || !w->source) return MPR_ENOMEM;
    const pair *pairs = w->pairs.items;
    size_t count = w->pairs.count;
    for (size_t i = 0; i < count; i++) {
        __builtin_prefetch(&w->first[pairs[i + FURTHER < count ? i + FURTHER : i].target + 2], 1);
        w->first[pairs[i].target + 2]++;
    }
    for (uint32_t i = 2; i < w->count + 2; i++) w->first[i] += w->first[i - 1];
    for (size_t i = 0; i < count; i++) {
        __builtin_prefetch(&w->first[pairs[i + 2 * FURTHER < count ? i + 2 * FURTHER : i].target + 1], 1);
        __builtin_prefetch(&w->source[w->first[pairs[i + FURTHER < count ? i + FURTHER : i].target + 1]], 1);
        w->source[w->first[pairs[i].target + 1]++] = pairs[i].source;
    }
    return MPR_OK;
}

/* ---- 3. semi ---------------------------------------------------------------------------------------------------------- */

/* Nodes above `last` are linked to their parents. The smallest semi on the tree path from v up to the first node that is not. */
static uint32_t smallest(work *w, uint32_t v, uint32_t last) {
    uint32_t depth = 0, top = v;
    if (v <= last) return v;
    for (; w->ancestor[top] > last; top = w->ancestor[top]) w->stack[depth++] = top;
    while (depth > 0) {
        uint32_t below = w->stack[--depth];
        if (w->low[top] < w->low[below]) w->low[below] = w->low[top];
        w->ancestor[below] = w->ancestor[top];
        top = below;
    }
    return w->low[v];
}

/* The groups are taken last first: a source that stands before this one comes after it. */
MPR_FETCHER fetch_path(const work *w, uint32_t source) {
    __builtin_prefetch(&w->ancestor[source], 1);
    __builtin_prefetch(&w->low[source], 1);
}

static int find_semis(work *w) {
    for (uint32_t v = 0; v < w->count; v++) w->ancestor[v] = w->parent[v];
    for (uint32_t v = w->count; v-- > 1;) {
        uint32_t semi = w->parent[v];
        if (v % REPORT_EVERY == 0 && report(w, 1, w->count - v) != MPR_OK) return MPR_ECANCELLED;
        for (uint64_t k = w->first[v]; k < w->first[v + 1]; k++) {
            if (k >= FURTHER) fetch_path(w, w->source[k - FURTHER]);
            uint32_t value = smallest(w, w->source[k], v);
            if (value < semi) semi = value;
        }
        w->semi[v] = w->low[v] = semi;
    }
    return MPR_OK;
}

/* ---- 4. and 5. -------------------------------------------------------------------------------------------------------- */

static void dominate(work *w) {
    uint32_t *dominator = w->semi; /* that of v is read before it is replaced */
    for (uint32_t v = 1; v < w->count; v++) {
        uint32_t d = w->parent[v];
        while (d > w->semi[v]) d = dominator[d];
        dominator[v] = d;
    }
}

static void name_dominators(const work *w, uint32_t *parent) {
    for (uint32_t node = 0; node < w->g->nodes; node++) parent[node] = MPR_NO_NODE;
    for (uint32_t v = 1; v < w->count; v++) {
        uint32_t ahead = v + FURTHER < w->count ? v + FURTHER : v;
        __builtin_prefetch(&parent[w->order[ahead]], 1);
        __builtin_prefetch(&w->order[w->semi[ahead]]);
        parent[w->order[v]] = w->order[w->semi[v]];
    }
}

/* First each its own bytes, along memory; then from below. Of the nodes that have `with` of the flags that make no object. */
static void retain(const work *w, const uint32_t *parent, uint32_t with, uint64_t *retained) {
    const uint32_t no_object = MPR_NODE_SYNTHETIC | MPR_NODE_NATIVE | MPR_NODE_OWN;
    const mpr_graph *g = w->g;
    for (uint32_t node = 0; node < g->nodes; node++)
        if (parent[node] != MPR_NO_NODE && (g->flags[node] & no_object) == with) retained[node] = mpr_graph_size(g, node);
    for (uint32_t v = w->count; v-- > 1;) {
        uint32_t ahead = v > FURTHER ? v - FURTHER : v;
        __builtin_prefetch(&retained[w->order[ahead]]);
        __builtin_prefetch(&retained[w->order[w->semi[ahead]]], 1);
        retained[w->order[w->semi[v]]] += retained[w->order[v]];
    }
}

/* ---- all of it -------------------------------------------------------------------------------------------------------- */

static uint32_t *numbers(const work *w, size_t count) { return mpr_alloc_array(w->alloc, count, sizeof(uint32_t)); }

static void drop(const work *w, uint32_t **array, size_t count) {
    mpr_alloc_free(w->alloc, *array, count, sizeof **array);
    *array = NULL;
}

static int run_search(work *w) {
    size_t nodes = w->g->nodes;
    w->number = numbers(w, nodes);
    w->parent = numbers(w, nodes);
    w->class = numbers(w, w->g->type_count);
    w->leaf = mpr_alloc_array(w->alloc, nodes / 64 + 1, sizeof *w->leaf);
    int status = w->number && w->parent && w->class && w->leaf ? search(w) : MPR_ENOMEM;
    drop(w, &w->number, nodes);
    mpr_alloc_free(w->alloc, w->leaf, nodes / 64 + 1, sizeof *w->leaf);
    drop(w, &w->class, w->g->type_count);
    mpr_vec_free(&w->path, w->alloc);
    return status;
}

static int run_tree(work *w) {
    int status = group(w);
    uint64_t pairs = w->pairs.count;
    mpr_vec_free(&w->pairs, w->alloc);
    w->ancestor = numbers(w, w->count);
    w->low = numbers(w, w->count);
    w->stack = numbers(w, w->count);
    if (status == MPR_OK) status = w->ancestor && w->low && w->stack && w->semi ? find_semis(w) : MPR_ENOMEM;
    mpr_alloc_free(w->alloc, w->first, (size_t)w->count + 2, sizeof *w->first);
    mpr_alloc_free(w->alloc, w->source, pairs, sizeof *w->source);
    drop(w, &w->ancestor, w->count);
    drop(w, &w->low, w->count);
    drop(w, &w->stack, w->count);
    return status;
}

static int run_result(work *w, mpr_dominators *out) {
    dominate(w);
    out->reached = w->count;
    out->parent = numbers(w, w->g->nodes);
    out->retained = mpr_alloc_array(w->alloc, w->g->nodes, sizeof *out->retained);
    if (!out->parent || !out->retained) return MPR_ENOMEM;
    name_dominators(w, out->parent);
    retain(w, out->parent, 0, out->retained);
    if (w->g->totals.native_blocks > 0) {
        out->native = mpr_alloc_array(w->alloc, w->g->nodes, sizeof *out->native);
        if (!out->native) return MPR_ENOMEM;
        retain(w, out->parent, MPR_NODE_NATIVE, out->native);
    }
    return report(w, 3, 0);
}

int mpr_dominators_find(const mpr_graph *g, const mpr_ranks *ranks, mpr_progress progress, void *context, mpr_dominators *out) {
    mpr_dominators d = {.alloc = g->alloc, .nodes = g->nodes};
    work w = {.g = g, .ranks = ranks, .alloc = g->alloc, .progress = progress, .context = context};
    w.order = d.order = numbers(&w, g->nodes);
    int status = d.order ? run_search(&w) : MPR_ENOMEM;
    if (status == MPR_OK) {
        w.semi = numbers(&w, w.count);
        status = run_tree(&w);
    }
    if (status == MPR_OK) status = run_result(&w, &d);
    mpr_vec_free(&w.pairs, g->alloc);
    drop(&w, &w.parent, g->nodes);
    drop(&w, &w.semi, w.count);
    if (status == MPR_OK)
        *out = d;
    else
        mpr_dominators_free(&d);
    return status;
}

void mpr_dominators_free(mpr_dominators *d) {
    if (!d->alloc) return;
    mpr_alloc_free(d->alloc, d->parent, d->nodes, sizeof *d->parent);
    mpr_alloc_free(d->alloc, d->order, d->nodes, sizeof *d->order);
    mpr_alloc_free(d->alloc, d->retained, d->nodes, sizeof *d->retained);
    mpr_alloc_free(d->alloc, d->native, d->nodes, sizeof *d->native);
    *d = (mpr_dominators){0};
}
