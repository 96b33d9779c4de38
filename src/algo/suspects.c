/* SPDX-License-Identifier: MIT
 * From the top of the dominator tree down; only what is suspected is looked at closely. */
#include "algo/suspects.h"

#include <stdlib.h>
#include <string.h>

#include "algo/signature.h"
#include "base/status.h"

#define DEEPEST 1000u     /* steps down to an accumulation point, or up from a sample */
#define SAMPLES 10000u    /* members of a group whose routes are compared */
#define BUCKET_BITS 12u
#define NOBODY UINT64_MAX

typedef struct member {
    uint64_t key; /* of its group */
    uint32_t node;
} member;

typedef struct cluster {
    uint64_t key, bytes, count;
    uint32_t node, type;
    bool held_by_c;
} cluster;

typedef struct work {
    const mpr_graph *g;
    const mpr_dominators *d;
    const mpr_tree *tree;
    mpr_name_tree *names;
    mpr_suspects *out;
    mpr_suspects_options options;
    uint8_t *transparent; /* by node */
    uint8_t *namespace;   /* by node: the dict of an instance */
    MPR_VEC(uint32_t) wanted; /* nodes whose paths are needed */
    MPR_VEC(uint32_t) open;   /* transparent nodes at the top */
    MPR_VEC(member) members;  /* top nodes that are no single suspects */
    uint32_t *count;      /* by node: paths that lead through it */
    uint32_t *suspect;    /* by node: index of the suspect that keeps it + 1, as far as known; NULL when nothing is asked for */
} work;

/* ---- what is looked through ------------------------------------------------------------------------------------------- */

static bool is_root_group(const mpr_graph *g, uint32_t node) {
    for (uint32_t group = 0; group < MPR_GROUP_COUNT; group++)
        if (g->group[group] == node) return group != MPR_GROUP_UNREACHABLE;
    return false;
}

/* A module or class and its namespace. */
static void look_through(const mpr_graph *g, uint32_t node, uint8_t *out) {
    out[node] = 1;
    for (uint64_t k = mpr_graph_first(g, node); k < mpr_graph_first(g, node + 1); k++)
        if (mpr_steps_is_namespace(g->label[k])) out[g->target[k]] = 1;
}

/* sys.modules, and the namespaces that the interpreter itself holds. */
static void look_through_members(const mpr_graph *g, mpr_group group, uint8_t *out) {
    uint32_t node = g->group[group];
    if (node == MPR_NO_NODE) return;
    for (uint64_t k = mpr_graph_first(g, node); k < mpr_graph_first(g, node + 1); k++) {
        mpr_label label = g->label[k];
        if (mpr_steps_is_field(label, MPR_FIELD_MODULES) || mpr_steps_is_field(label, MPR_FIELD_SYSDICT) ||
            mpr_steps_is_field(label, MPR_FIELD_BUILTINS_DICT))
            out[g->target[k]] = 1;
    }
}

void mpr_suspects_transparent(const mpr_graph *g, uint8_t *out) {
    for (uint32_t i = 0; i < g->nodes; i++) {
        if (g->flags[i] & (MPR_NODE_MODULE | MPR_NODE_TYPE)) look_through(g, i, out);
        if ((g->flags[i] & MPR_NODE_SYNTHETIC) && is_root_group(g, i)) out[i] = 1;
    }
    look_through_members(g, MPR_GROUP_MODULES, out);
    look_through_members(g, MPR_GROUP_INTERPRETER, out);
}

/* Builtin types have no module in their names. */
static bool is_builtin(const mpr_graph *g, uint32_t type) {
    const mpr_type *t = &g->types[type];
    return memchr(g->strings + t->name, '.', t->name_length) == NULL;
}

/* ---- single suspects -------------------------------------------------------------------------------------------------- */

/* A native block is nothing that a program has a name for: what piles up there does so in its owner. */
static uint32_t biggest_child(const work *w, uint32_t node) {
    uint32_t best = MPR_NO_NODE;
    for (uint32_t k = w->tree->first[node]; k < w->tree->first[node + 1]; k++) {
        uint32_t child = w->tree->child[k];
        bool bigger = best == MPR_NO_NODE || w->d->retained[child] > w->d->retained[best];
        if (bigger && !(w->g->flags[child] & MPR_NODE_NATIVE)) best = child;
    }
    return best;
}

/* MPR_NO_NODE when it is too deep. */
static uint32_t find_point(const work *w, uint32_t node) {
    for (unsigned depth = 0; depth < DEEPEST; depth++) {
        uint32_t child = biggest_child(w, node);
        if (child == MPR_NO_NODE || (double)w->d->retained[child] < 0.7 * (double)w->d->retained[node]) return node;
        node = child;
    }
    return MPR_NO_NODE;
}

static int add_suspect(work *w, mpr_suspect s) {
    int status = mpr_vec_push(&w->wanted, w->g->alloc, s.point == MPR_NO_NODE ? s.node : s.point);
    return status == MPR_OK ? mpr_vec_push(&w->out->found, w->g->alloc, s) : status;
}

/* Are these children several findings, and not the many of one container? By names of attributes, or by types. */
static bool are_several(const work *w, uint32_t point) {
    const mpr_graph *g = w->g;
    uint32_t large = 0, first = MPR_NO_NODE;
    bool differ = false;
    for (uint32_t k = w->tree->first[point]; k < w->tree->first[point + 1]; k++) {
        uint32_t child = w->tree->child[k];
        if (w->d->retained[child] <= w->out->threshold || (g->flags[child] & MPR_NODE_NATIVE)) continue;
        large++;
        differ = differ || (first != MPR_NO_NODE && g->type[child] != g->type[first]);
        first = child;
    }
    return large > 1 && (differ || w->namespace[point] || !is_builtin(g, g->type[point]));
}

/* The node's point, or those of its large children where it has several: they are put in its place. */
static int add_single(work *w, uint32_t top) {
    MPR_VEC(uint32_t) pending = {0};
    int status = mpr_vec_push(&pending, w->g->alloc, top);
    while (status == MPR_OK && pending.count > 0) {
        uint32_t node = pending.items[--pending.count], point = find_point(w, node);
        uint64_t rest = w->d->retained[node];
        if (point != MPR_NO_NODE && are_several(w, point)) {
            for (uint32_t k = w->tree->first[point]; k < w->tree->first[point + 1] && status == MPR_OK; k++) {
                uint32_t child = w->tree->child[k];
                if (w->d->retained[child] <= w->out->threshold || (w->g->flags[child] & MPR_NODE_NATIVE)) continue;
                rest -= w->d->retained[child];
                status = mpr_vec_push(&pending, w->g->alloc, child);
            }
            if (rest <= w->out->threshold) continue;
        }
        mpr_suspect s = {
            .kind = MPR_SUSPECT_SINGLE, .node = node, .type = w->g->type[node], .point = point, .count = 1, .bytes = rest};
        if (status == MPR_OK) status = add_suspect(w, s);
    }
    mpr_vec_free(&pending, w->g->alloc);
    return status;
}

/* Native memory that no object keeps is no suspect: it is the balance's, or lost. */
static bool is_no_objects(const work *w, uint32_t node) {
    return (w->g->flags[node] & MPR_NODE_NATIVE) || node == w->g->group[MPR_GROUP_NATIVE] || node == w->g->group[MPR_GROUP_LOST];
}

static int take_top(work *w, uint32_t node) {
    if (is_no_objects(w, node)) return MPR_OK;
    if (w->transparent[node]) return mpr_vec_push(&w->open, w->g->alloc, node);
    if (node == w->g->group[MPR_GROUP_UNREACHABLE]) return MPR_OK;
    if (w->d->retained[node] > w->out->threshold) return add_single(w, node);
    member m = {.node = node};
    return mpr_vec_push(&w->members, w->g->alloc, m);
}

static int find_tops(work *w) {
    int status = take_top(w, w->g->group[MPR_GROUP_ROOT]);
    for (size_t i = 0; i < w->open.count && status == MPR_OK; i++) {
        uint32_t node = w->open.items[i];
        for (uint32_t k = w->tree->first[node]; k < w->tree->first[node + 1] && status == MPR_OK; k++)
            status = take_top(w, w->tree->child[k]);
    }
    return status;
}

/* ---- groups ----------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t a, uint64_t b) {
    uint64_t x = (a ^ b >> 29) * UINT64_C(0x9E3779B97F4A7C15) + b;
    x = (x ^ x >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return x ^ x >> 32;
}

/* The key of what its dominator holds, or NOBODY for what several hold. */
static uint64_t key_by_dominator(const work *w, uint32_t node) {
    const mpr_graph *g = w->g;
    uint32_t d = w->d->parent[node];
    if (g->flags[d] & MPR_NODE_SYNTHETIC) return d == g->group[MPR_GROUP_ROOT] ? NOBODY : d;
    for (uint64_t k = mpr_graph_first(g, d); k < mpr_graph_first(g, d + 1); k++)
        if (g->target[k] == node && mpr_label_strong(g->label[k]))
            return mix(d, mpr_signature_label(g, d, k, w->transparent[d] != 0));
    return NOBODY;
}

static void key_members(work *w) {
    const mpr_graph *g = w->g;
    for (size_t i = 0; i < w->members.count; i++) {
        member *m = &w->members.items[i];
        uint32_t type = g->type[m->node];
        uint32_t c = g->group[MPR_GROUP_C_REFERENCES];
        uint64_t way = 0;
        if (c != MPR_NO_NODE && w->d->parent[m->node] == c)
            way = c; /* as key_by_dominator says of builtin ones: of no other node */
        else if (is_builtin(g, type))
            way = key_by_dominator(w, m->node);
        m->key = way == NOBODY ? NOBODY : mix(way, type) >> 1;
    }
}

/* The type of the first holder, and its label, for each member that several hold. slot: by node, 0 or index + 1. */
static void key_shared(work *w, uint32_t *slot) {
    const mpr_graph *g = w->g;
    for (uint32_t holder = 0; holder < g->nodes; holder++) {
        if (g->flags[holder] & (MPR_NODE_SYNTHETIC | MPR_NODE_OWN)) continue;
        for (uint64_t k = mpr_graph_first(g, holder); k < mpr_graph_first(g, holder + 1); k++) {
            uint32_t at = slot[g->target[k]];
            if (at == 0 || !mpr_label_strong(g->label[k])) continue;
            member *m = &w->members.items[at - 1];
            slot[g->target[k]] = 0;
            m->key =
                mix(mix(g->type[m->node], g->type[holder]), mpr_signature_label(g, holder, k, w->transparent[holder] != 0)) >> 1;
        }
    }
}

/* Builtin objects that several hold are looked at more closely when they matter together. */
static int key_unknown(work *w) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < w->members.count; i++)
        if (w->members.items[i].key == NOBODY) bytes += w->d->retained[w->members.items[i].node];
    if (bytes <= w->out->threshold) return MPR_OK;
    uint32_t *slot = mpr_alloc_array(w->g->alloc, w->g->nodes, sizeof *slot);
    if (!slot) return MPR_ENOMEM;
    for (size_t i = 0; i < w->members.count; i++)
        if (w->members.items[i].key == NOBODY) slot[w->members.items[i].node] = (uint32_t)i + 1;
    key_shared(w, slot);
    mpr_alloc_free(w->g->alloc, slot, w->g->nodes, sizeof *slot);
    return MPR_OK;
}

/* Members sorted by the top bits of their keys first: all of one key end up in one run. */
static int by_key(const void *left, const void *right) {
    const member *a = left, *b = right;
    return a->key != b->key ? (a->key < b->key ? -1 : 1) : (a->node > b->node) - (a->node < b->node);
}

/* Bytes by bucket of keys: only members of heavy buckets are worth sorting. */
static int drop_light(work *w) {
    size_t buckets = (size_t)1 << BUCKET_BITS, kept = 0;
    uint64_t *bytes = mpr_alloc_array(w->g->alloc, buckets, sizeof *bytes);
    if (!bytes) return MPR_ENOMEM;
    for (size_t i = 0; i < w->members.count; i++)
        bytes[mix(w->members.items[i].key, 0) % buckets] += w->d->retained[w->members.items[i].node];
    for (size_t i = 0; i < w->members.count; i++)
        if (bytes[mix(w->members.items[i].key, 0) % buckets] > w->out->threshold) w->members.items[kept++] = w->members.items[i];
    w->members.count = kept;
    mpr_alloc_free(w->g->alloc, bytes, buckets, sizeof *bytes);
    return MPR_OK;
}

/* The run of members from `at` as a group. */
static cluster measure(const work *w, size_t at) {
    const member *m = &w->members.items[at];
    uint32_t c = w->g->group[MPR_GROUP_C_REFERENCES];
    cluster out = {.key = m->key, .node = m->node, .type = w->g->type[m->node]};
    out.held_by_c = c != MPR_NO_NODE && w->d->parent[m->node] == c;
    for (; at < w->members.count && w->members.items[at].key == out.key; at++, out.count++) {
        uint32_t node = w->members.items[at].node;
        out.bytes += w->d->retained[node];
        if (w->d->retained[node] > w->d->retained[out.node]) out.node = node;
    }
    return out;
}

/* Every so many-th of the members. */
static uint64_t stride(uint64_t count) { return (count + SAMPLES - 1) / SAMPLES; }

static int take_samples(work *w, size_t at, uint64_t count) {
    int status = MPR_OK;
    for (uint64_t i = 0; i < count && status == MPR_OK; i += stride(count)) {
        uint32_t node = w->members.items[at + i].node;
        status = mpr_vec_push(&w->wanted, w->g->alloc, node);
        if (status == MPR_OK) status = mpr_vec_push(&w->out->members, w->g->alloc, node);
    }
    return status;
}

static int add_group(work *w, size_t at, const cluster *found) {
    mpr_suspect s = {.kind = found->held_by_c ? MPR_SUSPECT_C_REFERENCES : MPR_SUSPECT_GROUP,
                     .node = found->node,
                     .type = found->type,
                     .point = MPR_NO_NODE,
                     .count = found->count,
                     .bytes = found->bytes,
                     .sample = w->out->members.count};
    int status = take_samples(w, at, found->count);
    s.samples = w->out->members.count - s.sample;
    for (uint64_t i = 0; i < found->count && w->suspect; i++)
        w->suspect[w->members.items[at + i].node] = (uint32_t)w->out->found.count + 1;
    return status == MPR_OK ? add_suspect(w, s) : status;
}

static int find_groups(work *w) {
    key_members(w);
    int status = key_unknown(w);
    if (status == MPR_OK) status = drop_light(w);
    if (status == MPR_OK && w->members.count > 1) qsort(w->members.items, w->members.count, sizeof *w->members.items, by_key);
    for (size_t at = 0; at < w->members.count && status == MPR_OK;) {
        cluster found = measure(w, at);
        if (found.bytes > w->out->threshold && found.key != NOBODY) status = add_group(w, at, &found);
        at += found.count;
    }
    return status;
}

/* ---- garbage ---------------------------------------------------------------------------------------------------------- */

uint32_t mpr_suspects_garbage_type(const mpr_graph *g, uint64_t *bytes) {
    uint32_t best = 0;
    for (uint32_t i = 0; i < g->nodes; i++)
        if ((g->flags[i] & MPR_NODE_UNREACHABLE) && mpr_graph_is_object(g, i)) bytes[g->type[i]] += mpr_graph_size(g, i);
    for (uint32_t type = 1; type < g->type_count; type++) {
        bool own = bytes[type] > 0 && !is_builtin(g, type), best_own = bytes[best] > 0 && !is_builtin(g, best);
        if (own != best_own ? own : bytes[type] > bytes[best]) best = type;
    }
    return best;
}

static int find_garbage(work *w) {
    const mpr_graph *g = w->g;
    if (g->totals.unreachable_bytes <= w->out->threshold / 10) return MPR_OK;
    uint64_t *bytes = mpr_alloc_array(g->alloc, g->type_count, sizeof *bytes);
    if (!bytes) return MPR_ENOMEM;
    mpr_suspect s = {.kind = MPR_SUSPECT_GARBAGE, .type = mpr_suspects_garbage_type(g, bytes), .point = MPR_NO_NODE};
    mpr_alloc_free(g->alloc, bytes, g->type_count, sizeof *bytes);
    while (s.node < g->nodes && (g->type[s.node] != s.type || !(g->flags[s.node] & MPR_NODE_UNREACHABLE))) s.node++;
    s.count = g->totals.unreachable_objects;
    s.bytes = g->totals.unreachable_bytes;
    return s.node < g->nodes ? add_suspect(w, s) : MPR_OK;
}

/* ---- points of groups ------------------------------------------------------------------------------------------------- */

/* One more path leads through each node above a sample, up to DEEPEST of them. */
static void count_path(work *w, uint32_t node) {
    const uint32_t *parent = w->names->parent;
    for (unsigned depth = 0; depth < DEEPEST && parent[node] != MPR_NO_NODE; depth++, node = parent[node]) {
        w->count[node]++;
        if (parent[node] == node) break;
    }
}

/* The last node that is on the paths to more than 8/10 of a group's samples: nodes on so many stand in one line, above any of the samples. */
static uint32_t common_point(work *w, const mpr_suspect *s) {
    const uint32_t *parent = w->names->parent;
    memset(w->count, 0, (size_t)w->g->nodes * sizeof *w->count);
    for (size_t i = 0; i < s->samples; i++) count_path(w, w->out->members.items[s->sample + i]);
    for (size_t i = 0; i < s->samples && i <= s->samples / 4; i++) { /* of so many, one is among those on whose paths it is */
        uint32_t node = w->out->members.items[s->sample + i];
        for (unsigned depth = 0; depth < DEEPEST && parent[node] != MPR_NO_NODE; depth++, node = parent[node]) {
            if ((uint64_t)w->count[node] * 10 > s->samples * 8)
                return w->transparent[node] || (w->g->flags[node] & MPR_NODE_SYNTHETIC) ? MPR_NO_NODE : node;
            if (parent[node] == node) break;
        }
    }
    return MPR_NO_NODE;
}

static int find_points(work *w) {
    if (w->out->found.count == 0) return MPR_OK;
    int status = mpr_name_tree_reach(w->g, w->names, w->wanted.items, w->wanted.count, w->options.progress, w->options.context);
    w->count = status == MPR_OK ? mpr_alloc_array(w->g->alloc, w->g->nodes, sizeof *w->count) : NULL;
    if (!w->count) return status == MPR_OK ? MPR_ENOMEM : status;
    for (size_t i = 0; i < w->out->found.count; i++) {
        mpr_suspect *s = &w->out->found.items[i];
        if (s->kind == MPR_SUSPECT_GROUP || s->kind == MPR_SUSPECT_C_REFERENCES) s->point = common_point(w, s);
    }
    return MPR_OK;
}

/* ---- what is asked for ------------------------------------------------------------------------------------------------ */

#define NO_SUSPECT UINT32_MAX

/* The index of the suspect of a node + 1, or NO_SUSPECT: that of the nearest above it which is known. What the way up says holds for all
 * on it. */
static uint32_t suspect_of(work *w, uint32_t node) {
    uint32_t at = node, found = NO_SUSPECT;
    for (; at != MPR_NO_NODE; at = w->d->parent[at]) {
        if (w->suspect[at] != 0) {
            found = w->suspect[at];
            break;
        }
        if (w->d->parent[at] == at) break;
    }
    for (; node != at && node != MPR_NO_NODE; node = w->d->parent[node]) w->suspect[node] = found;
    return found;
}

/* The members of groups are known; what other suspects are, is marked now. */
static void mark_suspects(work *w) {
    for (size_t i = 0; i < w->out->found.count; i++) {
        const mpr_suspect *s = &w->out->found.items[i];
        uint32_t node = s->kind == MPR_SUSPECT_GARBAGE  ? w->g->group[MPR_GROUP_UNREACHABLE]
                        : s->kind == MPR_SUSPECT_SINGLE ? (s->point == MPR_NO_NODE ? s->node : s->point)
                                                        : MPR_NO_NODE;
        if (node != MPR_NO_NODE) w->suspect[node] = (uint32_t)i + 1;
    }
}

static int find_asked(work *w) {
    if (!w->suspect) return MPR_OK;
    mark_suspects(w);
    int status = MPR_OK;
    for (size_t i = 0; i < w->out->found.count && status == MPR_OK; i++) {
        mpr_suspect *s = &w->out->found.items[i];
        s->asked = w->out->asked.count;
        for (size_t k = 0; k < w->options.asked_count && status == MPR_OK; k++)
            if (suspect_of(w, w->options.asked[k]) == i + 1)
                status = mpr_vec_push(&w->out->asked, w->g->alloc, w->options.asked[k]);
        s->asked_count = w->out->asked.count - s->asked;
    }
    return status;
}

/* ---- all of it -------------------------------------------------------------------------------------------------------- */

static int by_bytes(const void *left, const void *right) {
    const mpr_suspect *a = left, *b = right;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
    return a->kind != b->kind ? (int)a->kind - (int)b->kind : (a->node > b->node) - (a->node < b->node);
}

static void measure_whole(work *w) {
    const mpr_graph *g = w->g;
    static const mpr_group without[] = {MPR_GROUP_STATIC, MPR_GROUP_UNREACHABLE};
    w->out->whole = w->d->retained[g->group[MPR_GROUP_ROOT]];
    for (size_t i = 0; i < 2; i++)
        if (g->group[without[i]] != MPR_NO_NODE) w->out->whole -= w->d->retained[g->group[without[i]]];
    w->out->threshold = w->out->whole / 1000 * (w->options.permille ? w->options.permille : 100);
}

static int run(work *w) {
    size_t nodes = w->g->nodes;
    w->transparent = mpr_alloc_array(w->g->alloc, nodes, 1);
    w->namespace = mpr_alloc_array(w->g->alloc, nodes, 1);
    w->suspect = w->options.asked_count > 0 ? mpr_alloc_array(w->g->alloc, nodes, sizeof *w->suspect) : NULL;
    if (!w->transparent || !w->namespace || (w->options.asked_count > 0 && !w->suspect)) return MPR_ENOMEM;
    for (uint64_t k = 0; k < w->g->edges; k++)
        if (mpr_steps_is_namespace(w->g->label[k])) w->namespace[w->g->target[k]] = 1;
    measure_whole(w);
    mpr_suspects_transparent(w->g, w->transparent);
    int status = find_tops(w);
    if (status == MPR_OK) status = find_groups(w);
    if (status == MPR_OK) status = find_garbage(w);
    if (status == MPR_OK) status = find_points(w);
    if (status == MPR_OK) status = find_asked(w);
    if (status == MPR_OK && w->out->found.count > 1)
        qsort(w->out->found.items, w->out->found.count, sizeof *w->out->found.items, by_bytes);
    return status;
}

int mpr_suspects_find(const mpr_graph *g, const mpr_dominators *d, const mpr_tree *tree, mpr_name_tree *names,
                      const mpr_suspects_options *options, mpr_suspects *out) {
    mpr_suspects found = {.alloc = g->alloc};
    work w = {.g = g, .d = d, .tree = tree, .names = names, .out = &found};
    if (options) w.options = *options;
    int status = run(&w);
    mpr_alloc_free(g->alloc, w.transparent, g->nodes, 1);
    mpr_alloc_free(g->alloc, w.namespace, g->nodes, 1);
    mpr_alloc_free(g->alloc, w.suspect, g->nodes, sizeof *w.suspect);
    mpr_vec_free(&w.wanted, g->alloc);
    mpr_alloc_free(g->alloc, w.count, g->nodes, sizeof *w.count);
    mpr_vec_free(&w.open, g->alloc);
    mpr_vec_free(&w.members, g->alloc);
    if (status == MPR_OK)
        *out = found;
    else
        mpr_suspects_free(&found);
    return status;
}

void mpr_suspects_free(mpr_suspects *s) {
    if (!s->alloc) return;
    mpr_vec_free(&s->found, s->alloc);
    mpr_vec_free(&s->members, s->alloc);
    mpr_vec_free(&s->asked, s->alloc);
    *s = (mpr_suspects){0};
}

/* ---- what is below a node --------------------------------------------------------------------------------------------- */

int mpr_suspects_below(const mpr_graph *g, const mpr_tree *tree, const uint32_t *nodes, size_t count, mpr_group_total *out) {
    MPR_VEC(uint32_t) pending = {0};
    int status = mpr_vec_reserve(&pending, g->alloc, count);
    for (size_t i = 0; i < count && status == MPR_OK; i++) pending.items[pending.count++] = nodes[i];
    while (status == MPR_OK && pending.count > 0) {
        uint32_t at = pending.items[--pending.count];
        if (mpr_graph_is_object(g, at)) {
            out[g->type[at]].count++;
            out[g->type[at]].bytes += mpr_graph_size(g, at);
        }
        for (uint32_t k = tree->first[at]; k < tree->first[at + 1] && status == MPR_OK; k++)
            status = mpr_vec_push(&pending, g->alloc, tree->child[k]);
    }
    mpr_vec_free(&pending, g->alloc);
    return status;
}
