/* SPDX-License-Identifier: MIT
 * Strongly connected components after Pearce ("A space-efficient algorithm for finding strongly connected components", 2016), made iterative:
 * one number a node does the work of Tarjan's two.
 *
 *   rank[v]  0: not met. While v is open: the smallest number that v is known to reach, at first its own. UINT32_MAX: done, in
 *            no cycle with anything that is still open; never smaller than an open node's, so finished nodes need no test of their own.
 *
 * A node whose rank was never lowered when its edges are through is the root of a component: itself and what waits above it with
 * a rank not smaller. Any other node waits.
 *
 * What refers only to nodes that are done is in no cycle, and done itself. A few passes along memory find most of a heap of Python so (numbers,
 * strings, what holds only these) before the search begins to jump. One bit a node says that it is done, for most edges lead to such nodes,
 * and all bits fit a cache where all ranks do not.
 *
 * The array of ranks becomes the array of components at the end. A path of any depth costs 16 bytes a node of it, and no recursion. */
#include "algo/scc.h"

#include <stdlib.h>

#include "algo/reach.h"
#include "algo/steps.h"
#include "base/map.h"
#include "base/status.h"
#include "base/vec.h"
#include "graph/resolve.h"

#define DONE UINT32_MAX
#define REPORT_EVERY 65536u /* nodes */
#define TRIMS 4             /* passes */
#define LOOKS 256u

/* ---- the search ------------------------------------------------------------------------------------------------------- */

/* A node whose edges are not through. */
typedef struct frame {
    uint64_t next;  /* its edge to follow next; the last one + 1 is the class */
    uint32_t node;
    bool lowered; /* it reaches an open node above it: no root of a component */
    bool self;    /* it refers to itself */
} frame;

typedef struct search {
    const mpr_graph *g;
    mpr_alloc *alloc;
    mpr_scc_options options;
    uint32_t *rank;
    uint64_t *done; /* a bit a node: its rank is DONE */
    uint32_t number, finished;
    MPR_VEC(frame) path;
    MPR_VEC(uint32_t) waiting;
    MPR_VEC(uint32_t) members;
    MPR_VEC(uint32_t) firsts;
} search;

static bool left_out(const search *s, uint32_t node) {
    uint32_t flags = s->g->flags[node] & (MPR_NODE_SYNTHETIC | MPR_NODE_NATIVE | MPR_NODE_OWN);
    bool member = flags == 0 || (s->options.opaque && flags == MPR_NODE_NATIVE);
    return !member || (s->options.skip && s->options.skip[node]);
}

static inline bool follow(const mpr_graph *g, uint64_t edge, const mpr_scc_options *options) {
    return mpr_steps_follow(g->label[edge], options->housekeeping) || (options->opaque && mpr_scc_is_opaque(g, edge));
}

static int report(const search *s, uint32_t done) {
    if (!s->options.progress || s->options.progress(s->options.context, done, s->g->nodes) == 0) return MPR_OK;
    return MPR_ECANCELLED;
}

static inline bool is_done(const search *s, uint32_t v) { return s->done[v >> 6] >> (v & 63) & 1; }

static inline void finish(search *s, uint32_t v) {
    s->done[v >> 6] |= UINT64_C(1) << (v & 63);
    s->rank[v] = DONE;
}

/* True when nothing that v refers to is open to it. */
static bool is_dead_end(const search *s, uint32_t v) {
    const mpr_graph *g = s->g;
    uint64_t end = mpr_graph_first(g, v + 1);
    for (uint64_t k = mpr_graph_first(g, v); k < end; k++)
        if (!is_done(s, g->target[k]) && follow(g, k, &s->options)) return false;
    if (!s->options.housekeeping) return true;
    uint32_t class = mpr_steps_class(g, v);
    return class == MPR_NO_NODE || is_done(s, class);
}

/* Along memory, finish what can be in no cycle: what is left out and what leads to finished nodes alone, again as long as it pays. */
static int trim(search *s) {
    uint32_t nodes = s->g->nodes, found = nodes;
    for (unsigned pass = 0; pass < TRIMS && found >= nodes / 16; pass++) {
        found = 0;
        for (uint32_t v = 0; v < nodes; v++) {
            if (is_done(s, v) || !(left_out(s, v) || is_dead_end(s, v))) continue;
            finish(s, v);
            found++;
        }
        if (report(s, 0) != MPR_OK) return MPR_ECANCELLED;
    }
    return MPR_OK;
}

static int open_node(search *s, uint32_t v) {
    frame f = {.next = mpr_graph_first(s->g, v), .node = v};
    if (mpr_vec_push(&s->path, s->alloc, f) != MPR_OK) return MPR_ENOMEM;
    s->rank[v] = ++s->number;
    return MPR_OK;
}

/* The next node that v refers to, or MPR_NO_NODE after the last. */
static inline uint32_t next_target(const search *s, frame *f, uint64_t end) {
    const mpr_graph *g = s->g;
    while (f->next < end) {
        uint64_t k = f->next++;
        if (follow(g, k, &s->options)) return g->target[k];
    }
    if (f->next++ > end || !s->options.housekeeping) return MPR_NO_NODE;
    return mpr_steps_class(g, f->node);
}

/* Follow the top node's edges to one that is not met: 1 and *found; 0 when they are through. */
static int advance(search *s, frame *f, uint32_t *found) {
    uint64_t end = mpr_graph_first(s->g, f->node + 1);
    uint32_t low = s->rank[f->node];
    for (uint32_t w; (w = next_target(s, f, end)) != MPR_NO_NODE;) {
        if (is_done(s, w)) continue;
        uint32_t rank = s->rank[w];
        if (rank == 0) {
            s->rank[f->node] = low;
            *found = w;
            return 1;
        }
        if (rank < low) {
            low = rank;
            f->lowered = true;
        }
        f->self = f->self || w == f->node;
    }
    s->rank[f->node] = low;
    return 0;
}

/* v is the root of a component: with all that wait above it. */
static int close_component(search *s, uint32_t v, bool self) {
    uint32_t own = s->rank[v], size = 1;
    size_t first = s->members.count;
    if (mpr_vec_push(&s->members, s->alloc, v) != MPR_OK) return MPR_ENOMEM;
    finish(s, v);
    while (s->waiting.count > 0 && s->rank[s->waiting.items[s->waiting.count - 1]] >= own) {
        uint32_t w = s->waiting.items[--s->waiting.count];
        if (mpr_vec_push(&s->members, s->alloc, w) != MPR_OK) return MPR_ENOMEM;
        finish(s, w);
        size++;
    }
    s->number -= size;
    s->finished += size;
    if (size > 1 || self) return mpr_vec_push(&s->firsts, s->alloc, (uint32_t)first);
    s->members.count = first;
    return MPR_OK;
}

/* The top node's edges are through: it is a root or waits for one, and its rank goes to the node that led to it. */
static int close_node(search *s) {
    frame f = s->path.items[--s->path.count];
    uint32_t low = s->rank[f.node];
    bool waits = f.lowered;
    int status = waits ? mpr_vec_push(&s->waiting, s->alloc, f.node) : close_component(s, f.node, f.self);
    if (!waits) return status;
    frame *above = &s->path.items[s->path.count - 1];
    if (low < s->rank[above->node]) {
        s->rank[above->node] = low;
        above->lowered = true;
    }
    return status;
}

static int search_from(search *s, uint32_t start) {
    uint32_t next = 0, steps = 0;
    int status = open_node(s, start);
    while (status == MPR_OK && s->path.count > 0) {
        if (++steps % REPORT_EVERY == 0 && (status = report(s, start)) != MPR_OK) break;
        if (advance(s, &s->path.items[s->path.count - 1], &next))
            status = open_node(s, next);
        else
            status = close_node(s);
    }
    return status;
}

static int search_all(search *s) {
    int status = trim(s);
    for (uint32_t v = 0; v < s->g->nodes && status == MPR_OK; v++) {
        if (v % REPORT_EVERY == 0) status = report(s, v);
        if (status == MPR_OK && s->rank[v] == 0) status = search_from(s, v);
    }
    return status == MPR_OK ? mpr_vec_push(&s->firsts, s->alloc, (uint32_t)s->members.count) : status;
}

/* ---- the result ------------------------------------------------------------------------------------------------------- */

/* Number the components; then lay the members out again, by one pass over all nodes, so that they ascend. */
static void lay_out(mpr_scc *scc) {
    for (uint32_t c = 0; c < scc->count; c++)
        for (uint32_t k = scc->first[c]; k < scc->first[c + 1]; k++) scc->component[scc->member[k]] = c;
    for (uint32_t v = 0; v < scc->nodes; v++) {
        if (scc->component[v] == MPR_NO_NODE) continue;
        uint32_t k = scc->first[scc->component[v]]++;
        scc->member[k] = v;
        scc->place[v] = k;
    }
    for (uint32_t c = scc->count; c > 0; c--) scc->first[c] = scc->first[c - 1];
    scc->first[0] = 0;
}

static int make_result(search *s, mpr_scc *out) {
    mpr_scc scc = {.alloc = s->alloc, .nodes = s->g->nodes, .count = (uint32_t)s->firsts.count - 1};
    scc.first = mpr_alloc_array(s->alloc, s->firsts.count, sizeof *scc.first);
    scc.member = mpr_alloc_array(s->alloc, s->members.count, sizeof *scc.member);
    scc.place = mpr_alloc_array(s->alloc, scc.nodes, sizeof *scc.place);
    if (!scc.first || !scc.member || !scc.place) {
        mpr_alloc_free(s->alloc, scc.first, s->firsts.count, sizeof *scc.first);
        mpr_alloc_free(s->alloc, scc.member, s->members.count, sizeof *scc.member);
        mpr_alloc_free(s->alloc, scc.place, scc.nodes, sizeof *scc.place);
        return MPR_ENOMEM;
    }
    for (size_t i = 0; i < s->firsts.count; i++) scc.first[i] = s->firsts.items[i];
    for (size_t i = 0; i < s->members.count; i++) scc.member[i] = s->members.items[i];
    scc.component = s->rank;
    s->rank = NULL;
    lay_out(&scc);
    *out = scc;
    return MPR_OK;
}

static bool closes_before(const mpr_scc_closing *a, const mpr_scc_closing *b) {
    return a->component != b->component ? a->component < b->component : a->target < b->target;
}

/* The opaque references within components. */
static int find_closing(const mpr_graph *g, mpr_scc *scc) {
    for (uint32_t v = 0; v < g->seen; v++) {
        uint32_t component = scc->component[v];
        for (uint64_t k = mpr_graph_first(g, v); component != MPR_NO_NODE && k < mpr_graph_first(g, v + 1); k++) {
            if (scc->component[g->target[k]] != component || !mpr_scc_is_opaque(g, k)) continue;
            if (mpr_vec_push(&scc->closing, scc->alloc, ((mpr_scc_closing){component, g->target[k]})) != MPR_OK) return MPR_ENOMEM;
        }
    }
    mpr_vec_sort(&scc->closing, closes_before);
    return MPR_OK;
}

int mpr_scc_find(const mpr_graph *g, const mpr_scc_options *options, mpr_scc *out) {
    search s = {.g = g, .alloc = g->alloc};
    if (options) s.options = *options;
    s.rank = mpr_alloc_array(g->alloc, g->nodes, sizeof *s.rank);
    s.done = mpr_alloc_array(g->alloc, (size_t)g->nodes / 64 + 1, sizeof *s.done);
    int status = s.rank && s.done ? search_all(&s) : MPR_ENOMEM;
    if (status == MPR_OK) status = make_result(&s, out);
    if (status == MPR_OK && s.options.opaque && (status = find_closing(g, out)) != MPR_OK) mpr_scc_free(out);
    mpr_alloc_free(g->alloc, s.rank, g->nodes, sizeof *s.rank);
    mpr_alloc_free(g->alloc, s.done, (size_t)g->nodes / 64 + 1, sizeof *s.done);
    mpr_vec_free(&s.path, g->alloc);
    mpr_vec_free(&s.waiting, g->alloc);
    mpr_vec_free(&s.members, g->alloc);
    mpr_vec_free(&s.firsts, g->alloc);
    return status;
}

void mpr_scc_trim(mpr_scc *scc) {
    mpr_alloc_free(scc->alloc, scc->component, scc->nodes, sizeof *scc->component);
    mpr_alloc_free(scc->alloc, scc->place, scc->nodes, sizeof *scc->place);
    scc->component = scc->place = NULL;
}

void mpr_scc_free(mpr_scc *scc) {
    if (!scc->alloc) return;
    uint32_t members = scc->first[scc->count];
    mpr_scc_trim(scc);
    mpr_alloc_free(scc->alloc, scc->first, (size_t)scc->count + 1, sizeof *scc->first);
    mpr_alloc_free(scc->alloc, scc->member, members, sizeof *scc->member);
    mpr_vec_free(&scc->closing, scc->alloc);
    *scc = (mpr_scc){0};
}

/* ---- shortest cycles -------------------------------------------------------------------------------------------------- */

/* How a member was met, in the search from one start. */
typedef struct met {
    uint64_t edge; /* by this edge */
    uint32_t from; /* of this member */
    uint32_t when; /* in the search of this number */
} met;

typedef MPR_VEC(mpr_cycle_step) steps;

/* What steps by a label from objects of a type look like, as a hash: 0 is not known. */
typedef struct look {
    uint64_t hash;
    uint32_t type;
    mpr_label label;
} look;

typedef struct hunt {
    const mpr_graph *g;
    const mpr_scc *scc;
    mpr_scc_options options;
    uint32_t component, first, size; /* being searched; its members are numbered from 0 here */
    uint32_t room;                   /* members of the largest component */
    met *met;                        /* of each member */
    uint32_t *queue;                 /* of members */
    uint32_t search;                 /* number of the search from one start */
    uint64_t budget;                 /* edges left, once there is a cycle; UINT64_MAX: no limit */
    bool stopped;
    uint32_t best; /* length of the shortest cycle so far, or UINT32_MAX */
    steps found;   /* all cycles; that of this component from `base` */
    size_t base;
    look *looks; /* LOOKS of them, for rows */
    uint8_t *alive; /* for rows, with `opaque`: a byte a node, of what is not garbage */
} hunt;

/* Keep the cycle that ends with member `last` and its `edge` to the start, instead of a longer one. */
static int keep_cycle(hunt *h, uint32_t last, uint64_t edge, uint32_t length) {
    h->found.count = h->base;
    if (mpr_vec_reserve(&h->found, h->g->alloc, length) != MPR_OK) return MPR_ENOMEM;
    h->best = length;
    h->found.count += length;
    for (size_t i = h->found.count; i-- > h->base;) {
        h->found.items[i] = (mpr_cycle_step){.node = h->scc->member[h->first + last], .edge = edge};
        edge = h->met[last].edge;
        last = h->met[last].from;
    }
    return MPR_OK;
}

/* The number of a node among the members being searched: 1 and *number, or 0. */
static int find_member(const hunt *h, uint32_t node, uint32_t *number) {
    const mpr_scc *scc = h->scc;
    if (scc->component) {
        *number = scc->place[node] - h->first;
        return scc->component[node] == h->component;
    }
    uint32_t low = 0, high = h->size;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (scc->member[h->first + middle] < node)
            low = middle + 1;
        else
            high = middle;
    }
    *number = low;
    return low < h->size && scc->member[h->first + low] == node;
}

/* One step of member `at`: 1 when it closes the cycle; a member not met in this search is queued. */
static int step(hunt *h, uint32_t start, uint32_t at, uint32_t target, uint64_t edge, uint32_t *tail) {
    uint32_t to;
    if (target == MPR_NO_NODE || !find_member(h, target, &to)) return 0;
    bool closes = to == start && (!h->options.opaque || (edge != MPR_NO_EDGE && mpr_scc_is_opaque(h->g, edge)));
    if (to == start && !closes) return 0;
    if (!closes && h->met[to].when == h->search) return 0;
    h->met[to] = (met){edge, at, h->search};
    if (!closes) h->queue[(*tail)++] = to;
    return closes;
}

/* Charge the edges of a node to the budget; false when it is spent. */
static bool charge(hunt *h, uint64_t edges) {
    if (h->best == UINT32_MAX || h->budget == UINT64_MAX) return true;
    h->stopped = h->budget < edges;
    h->budget -= h->stopped ? 0 : edges;
    return !h->stopped;
}

/* All steps of a member: 1 when one closes the cycle. */
static int expand(hunt *h, uint32_t start, uint32_t at, uint32_t *tail) {
    const mpr_graph *g = h->g;
    uint32_t node = h->scc->member[h->first + at];
    uint64_t first = mpr_graph_first(g, node), end = mpr_graph_first(g, node + 1);
    if (!charge(h, end - first + 1)) return 0;
    for (uint64_t k = first; k < end; k++)
        if (follow(g, k, &h->options) && step(h, start, at, g->target[k], k, tail)) return 1;
    return h->options.housekeeping && step(h, start, at, mpr_steps_class(g, node), MPR_NO_EDGE, tail);
}

/* The shortest cycle through one member, if it is shorter than the best: breadth first, level by level. */
static int search_cycle(hunt *h, uint32_t start) {
    uint32_t head = 0, tail = 1;
    h->queue[0] = start;
    h->search++;
    for (uint32_t length = 1; length < h->best && head < tail && !h->stopped; length++)
        for (uint32_t level = tail; head < level && !h->stopped; head++)
            if (expand(h, start, h->queue[head], &tail)) return keep_cycle(h, h->met[start].from, h->met[start].edge, length);
    return MPR_OK;
}

/* Where the opaque references of a component begin that lead to a node or behind it. */
static size_t first_closing(const mpr_scc *scc, uint32_t component, uint32_t target) {
    const mpr_scc_closing wanted = {component, target};
    size_t low = 0, high = scc->closing.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (closes_before(&scc->closing.items[middle], &wanted))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The shortest of those that an opaque reference closes: from what that leads to. */
static int search_opaque(hunt *h) {
    const mpr_scc *scc = h->scc;
    size_t end = first_closing(scc, h->component + 1, 0);
    uint32_t start, last = MPR_NO_NODE;
    int status = MPR_OK;
    for (size_t i = first_closing(scc, h->component, 0); status == MPR_OK && i < end && !h->stopped; i++) {
        if (scc->closing.items[i].target == last || !find_member(h, scc->closing.items[i].target, &start)) continue;
        last = scc->closing.items[i].target;
        status = search_cycle(h, start);
    }
    return status;
}

/* The shortest of all members' shortest. */
static int search_component(hunt *h, uint32_t component, uint64_t budget) {
    int status = MPR_OK;
    h->component = component;
    h->first = h->scc->first[component];
    h->size = h->scc->first[component + 1] - h->first;
    h->best = UINT32_MAX;
    h->budget = budget ? budget : UINT64_MAX;
    h->stopped = false;
    h->base = h->found.count;
    if (h->options.opaque) status = search_opaque(h);
    for (uint32_t start = 0; !h->options.opaque && start < h->size && h->best > 1 && !h->stopped && status == MPR_OK; start++) {
        status = search_cycle(h, start);
        if (h->search % 64 == 0 && h->options.progress &&
            h->options.progress(h->options.context, h->first + start, h->scc->first[h->scc->count]))
            status = MPR_ECANCELLED;
    }
    for (size_t i = h->base; i < h->found.count; i++) h->found.items[i].stopped = h->stopped;
    return status;
}

static int run_hunt(hunt *h, uint32_t from, uint64_t budget, mpr_cycles *out) {
    mpr_alloc *alloc = h->g->alloc;
    int status = MPR_OK;
    h->met = mpr_alloc_array(alloc, h->room, sizeof *h->met);
    h->queue = mpr_alloc_array(alloc, h->room, sizeof *h->queue);
    if (!h->met || !h->queue || !out->first) status = MPR_ENOMEM;
    for (uint32_t c = 0; c < out->count && status == MPR_OK; c++) {
        status = search_component(h, from + c, budget);
        out->first[c + 1] = h->found.count;
    }
    mpr_alloc_free(alloc, h->met, h->room, sizeof *h->met);
    mpr_alloc_free(alloc, h->queue, h->room, sizeof *h->queue);
    return status;
}

/* Members of the largest of some components. */
static uint32_t largest(const mpr_scc *scc, uint32_t from, uint32_t count) {
    uint32_t most = 0;
    for (uint32_t c = from; c < from + count; c++)
        if (scc->first[c + 1] - scc->first[c] > most) most = scc->first[c + 1] - scc->first[c];
    return most;
}

int mpr_scc_cycles(const mpr_graph *g, const mpr_scc *scc, const mpr_scc_options *options, uint32_t from, uint32_t count,
                   uint64_t budget, mpr_cycles *out) {
    mpr_cycles cycles = {.alloc = g->alloc, .count = count};
    hunt h = {.g = g, .scc = scc};
    if (options) h.options = *options;
    h.room = largest(scc, from, count);
    cycles.first = mpr_alloc_array(g->alloc, (size_t)count + 1, sizeof *cycles.first);
    int status = run_hunt(&h, from, budget, &cycles);
    if (status == MPR_OK && h.found.count > 0) { /* cut to size, which mpr_cycles_free relies on */
        void *block = h.found.items;
        status = mpr_alloc_resize(g->alloc, &block, h.found.capacity, h.found.count, sizeof *h.found.items);
        if (status == MPR_OK) cycles.step = block;
    }
    if (status == MPR_OK) {
        *out = cycles;
        return MPR_OK;
    }
    mpr_vec_free(&h.found, g->alloc);
    mpr_alloc_free(g->alloc, cycles.first, (size_t)count + 1, sizeof *cycles.first);
    return status;
}

void mpr_cycles_free(mpr_cycles *cycles) {
    if (!cycles->alloc) return;
    mpr_alloc_free(cycles->alloc, cycles->step, cycles->first[cycles->count], sizeof *cycles->step);
    mpr_alloc_free(cycles->alloc, cycles->first, (size_t)cycles->count + 1, sizeof *cycles->first);
    *cycles = (mpr_cycles){0};
}

/* ---- rows: components that look alike ---------------------------------------------------------------------------------- */

static uint64_t hash_text(const char *text, size_t length) {
    uint64_t hash = length;
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001B3);
    return hash;
}

/* Is it the reference of an instance, class or module to its namespace? A key there is the name of an attribute. */
static bool to_namespace(const mpr_graph *g, const mpr_cycle_step *step) {
    return step->edge != MPR_NO_EDGE && mpr_steps_is_namespace(g->label[step->edge]);
}

/* What a step looks like: the type by its name, and the label without an index, or a key that is data. */
static uint64_t hash_look(const mpr_graph *g, const mpr_cycle_step *step, bool in_namespace) {
    mpr_resolved label;
    const mpr_type *type = &g->types[g->type[step->node]];
    uint64_t hash = hash_text(g->strings + type->name, type->name_length);
    if (step->edge == MPR_NO_EDGE) return mpr_map_mix(hash, MPR_FIELD_CLASS);
    mpr_graph_resolve(g, step->node, step->edge, &label);
    hash = mpr_map_mix(hash, label.kind);
    bool is_data = (label.kind == MPR_LABEL_VALUE && !in_namespace) || label.kind == MPR_LABEL_KEY;
    if (label.name != NULL && !is_data) return mpr_map_mix(hash, hash_text(label.name, label.length));
    return label.kind == MPR_LABEL_OFFSET ? mpr_map_mix(hash, label.number) : hash;
}

/* The same; of labels that say all themselves the hash is kept, for most steps look like some others. */
static uint64_t hash_step(hunt *h, const mpr_cycle_step *step, bool in_namespace) {
    mpr_label label = step->edge == MPR_NO_EDGE ? mpr_label_make(MPR_LABEL_VALUE, 0) : h->g->label[step->edge];
    if (mpr_label_named_by_previous(label) || mpr_label_kind_of(label) == MPR_LABEL_KEY) return hash_look(h->g, step, in_namespace);
    look *known = &h->looks[(label ^ h->g->type[step->node] * 31) % LOOKS];
    if (known->hash == 0 || known->label != label || known->type != h->g->type[step->node])
        *known = (look){.label = label, .type = h->g->type[step->node], .hash = hash_look(h->g, step, in_namespace)};
    return known->hash;
}

/* What a cycle looks like, wherever it begins: a sum over neighbouring steps. */
static uint64_t hash_cycle(hunt *h, const mpr_cycle_step *step, size_t count) {
    uint64_t sum = count;
    bool inside = to_namespace(h->g, &step[count - 1]);
    uint64_t first = hash_step(h, &step[0], inside), last = first;
    for (size_t i = 1; i < count; i++) {
        uint64_t hash = hash_step(h, &step[i], to_namespace(h->g, &step[i - 1]));
        sum += mpr_map_mix(last, hash);
        last = hash;
    }
    return sum + mpr_map_mix(last, first);
}

static int by_row_bytes(const void *left, const void *right) {
    const mpr_cycle_row *a = left, *b = right;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
    return (a->component > b->component) - (a->component < b->component);
}

/* Nobody refers to it, but for itself. */
static bool is_garbage(const hunt *h, uint32_t component) {
    uint32_t member = h->scc->member[h->scc->first[component]];
    return h->alive ? h->alive[member] == 0 : (h->g->flags[member] & MPR_NODE_UNREACHABLE) != 0;
}

/* Is an object held by C code for no other reason than opaque references of its own component? */
static bool is_explained(const mpr_graph *g, const mpr_scc *scc, uint32_t node) {
    uint32_t component = scc->component[node];
    if (component == MPR_NO_NODE) return false;
    size_t found = first_closing(scc, component, node + 1) - first_closing(scc, component, node);
    return (int64_t)found >= mpr_graph_residual(g, node);
}

/* Mark what is reached from roots that are not explained so: the rest is garbage, or an opaque cycle that nothing else keeps. */
static int find_alive(const mpr_graph *g, const mpr_scc *scc, uint8_t *alive) {
    MPR_VEC(uint32_t) starts = {0};
    int status = MPR_OK;
    for (uint32_t group = MPR_GROUP_ROOT + 1; status == MPR_OK && group < MPR_GROUP_COUNT; group++) {
        bool leaves = group == MPR_GROUP_C_REFERENCES || group == MPR_GROUP_UNREACHABLE || group == MPR_GROUP_LOST;
        if (!leaves && g->group[group] != MPR_NO_NODE) status = mpr_vec_push(&starts, g->alloc, g->group[group]);
    }
    uint32_t held = g->group[MPR_GROUP_C_REFERENCES];
    uint64_t end = held == MPR_NO_NODE ? 0 : mpr_graph_first(g, held + 1);
    for (uint64_t k = held == MPR_NO_NODE ? 0 : mpr_graph_first(g, held); status == MPR_OK && k < end; k++)
        if (!is_explained(g, scc, g->target[k])) status = mpr_vec_push(&starts, g->alloc, g->target[k]);
    if (status == MPR_OK) status = mpr_reach(g, starts.items, starts.count, true, alive, NULL, NULL);
    mpr_vec_free(&starts, g->alloc);
    return status;
}

/* The shape and the bytes of a component: its row, were it alone. */
static int measure(hunt *h, uint32_t component, mpr_cycle_row *row, uint64_t *shape) {
    const mpr_scc *scc = h->scc;
    uint32_t first = scc->first[component], end = scc->first[component + 1];
    h->found.count = 0;
    int status = search_component(h, component, 8 * (uint64_t)(end - first) + 64);
    if (status != MPR_OK) return status;
    *row = (mpr_cycle_row){.component = component, .count = h->found.count > 0};
    if (row->count == 0) return MPR_OK; /* no opaque reference closes one */
    row->garbage = is_garbage(h, component);
    for (uint32_t k = first; k < end; k++) row->bytes += mpr_graph_size(h->g, scc->member[k]);
    *shape = mpr_map_mix(hash_cycle(h, h->found.items, h->found.count), row->garbage);
    return MPR_OK;
}

/* Those of one shape become one row, with the first of them. */
static int merge(mpr_map *by_shape, uint64_t shape, const mpr_cycle_row *one, mpr_cycle_row *rows, uint32_t *count) {
    int made;
    uint32_t *row = mpr_map_add(by_shape, shape, &made);
    if (row == NULL) return MPR_ENOMEM;
    if (made) {
        *row = *count;
        rows[(*count)++] = *one;
    } else {
        rows[*row].count++;
        rows[*row].bytes += one->bytes;
    }
    return MPR_OK;
}

static int measure_all(hunt *h, bool garbage, mpr_cycle_row *rows, uint32_t *count) {
    const mpr_scc *scc = h->scc;
    mpr_map by_shape = {.alloc = h->g->alloc};
    int status = MPR_OK;
    *count = 0;
    for (uint32_t c = 0; c < scc->count && status == MPR_OK; c++) {
        mpr_cycle_row one;
        uint64_t shape;
        if (garbage && !is_garbage(h, c)) continue;
        status = measure(h, c, &one, &shape);
        if (status == MPR_OK && one.count > 0) status = merge(&by_shape, shape, &one, rows, count);
    }
    mpr_map_free(&by_shape);
    return status;
}

int mpr_scc_rows(const mpr_graph *g, const mpr_scc *scc, const mpr_scc_options *options, bool garbage, mpr_cycle_row **out,
                 uint32_t *count) {
    hunt h = {.g = g, .scc = scc};
    if (options) h.options = *options;
    h.room = largest(scc, 0, scc->count);
    mpr_cycle_row *rows = mpr_alloc_array(g->alloc, scc->count, sizeof *rows);
    h.looks = mpr_alloc_array(g->alloc, LOOKS, sizeof *h.looks);
    h.met = mpr_alloc_array(g->alloc, h.room, sizeof *h.met);
    h.queue = mpr_alloc_array(g->alloc, h.room, sizeof *h.queue);
    if (h.options.opaque) h.alive = mpr_alloc_array(g->alloc, g->nodes, 1);
    int status = rows && h.looks && h.met && h.queue && (h.alive || !h.options.opaque) ? MPR_OK : MPR_ENOMEM;
    if (status == MPR_OK && h.alive) status = find_alive(g, scc, h.alive);
    if (status == MPR_OK) status = measure_all(&h, garbage, rows, count);
    if (status == MPR_OK) {
        if (*count > 1) qsort(rows, *count, sizeof *rows, by_row_bytes);
        *out = rows;
    } else {
        mpr_alloc_free(g->alloc, rows, scc->count, sizeof *rows);
    }
    mpr_alloc_free(g->alloc, h.alive, g->nodes, 1);
    mpr_alloc_free(g->alloc, h.looks, LOOKS, sizeof *h.looks);
    mpr_alloc_free(g->alloc, h.met, h.room, sizeof *h.met);
    mpr_alloc_free(g->alloc, h.queue, h.room, sizeof *h.queue);
    mpr_vec_free(&h.found, g->alloc);
    return status;
}
