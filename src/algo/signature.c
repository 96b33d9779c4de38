/* SPDX-License-Identifier: MIT
 * Signatures go down with the dominators' order: a node gives its own, with the label of the edge, to each node that it dominates and refers
 * to. What its dominator does not refer to directly (several holders share it) takes the type and label of one of its holders instead: the one
 * with the smallest hash, which is the same in whatever order they are met.
 *
 * Modules, classes, their namespaces and what these hold are anchors: called by their names, whoever else holds them at the moment. Otherwise
 * a frame that runs in a module while the snapshot is taken would move all that the module holds. */
#include "algo/signature.h"

#include <string.h>

#include "base/status.h"

#define REPORT_EVERY 65536u /* nodes */
#define SHARED 0x5348u      /* in place of the label */
#define ANCHOR 0x414Eu      /* in place of the way from the root */
#define ANCHORS (MPR_NODE_MODULE | MPR_NODE_TYPE)

static uint64_t mix(uint64_t a, uint64_t b) { /* splitmix64's finish */
    uint64_t x = a + UINT64_C(0x9E3779B97F4A7C15) * (b | 1) + b;
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    x ^= x >> 31;
    return x ? x : 1;
}

static int is_digit(char c) { return c >= '0' && c <= '9'; }
static int goes_on(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == 'x'; }

/* FNV-1a of a text in which each number, hexadecimal ones too, counts as one '#'. */
static uint64_t hash_masked(const char *text, size_t length) {
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (is_digit(c)) {
            while (i + 1 < length && goes_on(text[i + 1])) i++;
            c = '#';
        }
        hash = (hash ^ (unsigned char)c) * UINT64_C(0x100000001B3);
    }
    return hash;
}

static uint64_t hash_words(const char *text) { return hash_masked(text, strlen(text)); }

/* A node's text, else its type's name. */
static uint64_t hash_name(const mpr_graph *g, uint32_t node) {
    size_t length;
    const char *text = mpr_graph_text(g, node, &length);
    const mpr_type *type = &g->types[g->type[node]];
    return text ? hash_masked(text, length) : hash_masked(g->strings + type->name, type->name_length);
}

static uint64_t hash_place(const mpr_graph *g, uint32_t holder, mpr_label label) {
    const mpr_named *named = mpr_graph_named(g, g->type[holder], label);
    return named ? hash_masked(g->strings + named->text, named->length) : 0;
}

/* What the preceding edge refers to is the name. A damaged heap may have none. */
static uint64_t hash_previous(const mpr_graph *g, uint32_t holder, uint64_t edge) {
    return edge > mpr_graph_first(g, holder) ? hash_name(g, g->target[edge - 1]) : 0;
}

uint64_t mpr_signature_label(const mpr_graph *g, uint32_t holder, uint64_t edge, bool names) {
    mpr_label label = g->label[edge];
    mpr_label_kind kind = mpr_label_kind_of(label);
    uint64_t words = 0;
    switch (kind) {
    case MPR_LABEL_OFFSET:
    case MPR_LABEL_INLINE:
        words = hash_place(g, holder, label);
        kind = words ? MPR_LABEL_ATTR : kind; /* an attribute is one wherever the instance keeps it */
        break;
    case MPR_LABEL_FIELD:
        words = hash_words(mpr_label_field_text(mpr_label_payload(label)));
        break;
    case MPR_LABEL_VALUE:
        words = names ? hash_previous(g, holder, edge) : 0; /* other keys are data */
        break;
    case MPR_LABEL_ATTR:
    case MPR_LABEL_LOCAL:
    case MPR_LABEL_CELL:
        words = hash_previous(g, holder, edge);
        break;
    default:
        break;
    }
    return mix(words, (uint64_t)kind + 1);
}

/* ---- all nodes -------------------------------------------------------------------------------------------------------- */

typedef struct work {
    const mpr_graph *g;
    const mpr_dominators *d;
    mpr_progress progress;
    void *context;
    uint64_t *type;   /* hash of each type's name */
    uint64_t *value;  /* before a node's turn: what its dominator gave, or 0 */
    uint64_t *shared; /* smallest hash of a holder that is not the dominator, or 0 */
    uint64_t *names;  /* a bit a node: the dict of a module, class or instance, whose keys are names */
    uint64_t *anchors; /* a bit a node: a module, class or namespace of one; its value is final */
    uint64_t *named;  /* a bit a node: held by a namespace of those; `shared` has by which, and the label */
} work;

static bool has_bit(const uint64_t *bits, uint32_t node) { return bits[node >> 6] >> (node & 63) & 1; }
static void set_bit(uint64_t *bits, uint32_t node) { bits[node >> 6] |= UINT64_C(1) << (node & 63); }

static void mark_namespaces(const work *w) {
    const mpr_graph *g = w->g;
    for (uint64_t k = 0; k < g->edges; k++) {
        mpr_label label = g->label[k];
        uint32_t field = mpr_label_payload(label);
        if (mpr_label_kind_of(label) == MPR_LABEL_FIELD && (field == MPR_FIELD_NAMESPACE || field == MPR_FIELD_DICT))
            set_bit(w->names, g->target[k]);
    }
}

static uint64_t hash_label(const work *w, uint32_t holder, uint64_t edge) {
    return mpr_signature_label(w->g, holder, edge, has_bit(w->names, holder));
}

/* What a node itself says: its type, and its name where it has one for all processes. */
static uint64_t hash_self(const work *w, uint32_t node) {
    uint64_t self = w->type[w->g->type[node]];
    return w->g->flags[node] & (MPR_NODE_SYNTHETIC | MPR_NODE_MODULE | MPR_NODE_TYPE) ? mix(self, hash_name(w->g, node)) : self;
}

/* ---- anchors */

static void anchor(const work *w, uint32_t node, uint64_t value) {
    w->value[node] = value;
    set_bit(w->anchors, node);
}

/* A module or class, and its namespace. */
static void anchor_names(const work *w, uint32_t node) {
    const mpr_graph *g = w->g;
    uint64_t value = mix(hash_self(w, node), ANCHOR);
    anchor(w, node, value);
    for (uint64_t k = mpr_graph_first(g, node); k < mpr_graph_first(g, node + 1); k++) {
        uint32_t target = g->target[k], field = mpr_label_payload(g->label[k]);
        bool is_namespace = mpr_label_kind_of(g->label[k]) == MPR_LABEL_FIELD &&
                            (field == MPR_FIELD_NAMESPACE || field == MPR_FIELD_DICT) && !(g->flags[target] & ANCHORS);
        uint64_t its = mix(value, field + 1);
        if (is_namespace && (!has_bit(w->anchors, target) || its < w->value[target])) anchor(w, target, its);
    }
}

/* What a namespace holds is called after the one that gives the smallest hash. */
static void name_variables(const work *w, uint32_t holder) {
    const mpr_graph *g = w->g;
    for (uint64_t k = mpr_graph_first(g, holder); k < mpr_graph_first(g, holder + 1); k++) {
        uint32_t target = g->target[k];
        if (has_bit(w->anchors, target) || mpr_label_kind_of(g->label[k]) != MPR_LABEL_VALUE || !mpr_label_strong(g->label[k]))
            continue;
        uint64_t hash = mix(w->value[holder], hash_label(w, holder, k));
        if (!has_bit(w->named, target) || hash < w->shared[target]) w->shared[target] = hash;
        set_bit(w->named, target);
    }
}

static void find_anchors(const work *w) {
    for (uint32_t i = 0; i < w->g->nodes; i++)
        if ((w->g->flags[i] & ANCHORS) && !(w->g->flags[i] & MPR_NODE_OWN)) anchor_names(w, i);
    for (uint32_t i = 0; i < w->g->nodes; i++)
        if (has_bit(w->anchors, i) && !(w->g->flags[i] & ANCHORS)) name_variables(w, i);
}

static void note_shared(const work *w, uint32_t holder, uint64_t edge) {
    uint32_t target = w->g->target[edge];
    uint64_t hash = mix(w->type[w->g->type[holder]], hash_label(w, holder, edge));
    if (w->shared[target] == 0 || hash < w->shared[target]) w->shared[target] = hash;
}

static void note_holders(const work *w, uint32_t node) {
    const mpr_graph *g = w->g;
    if (g->flags[node] & (MPR_NODE_SYNTHETIC | MPR_NODE_OWN)) return;
    for (uint64_t k = mpr_graph_first(g, node); k < mpr_graph_first(g, node + 1); k++)
        if (mpr_label_strong(g->label[k]) && w->value[g->target[k]] == 0 && !has_bit(w->named, g->target[k]))
            note_shared(w, node, k);
}

/* Give each node that this one dominates and refers to the label of the first such edge. */
static void give(const work *w, uint32_t node) {
    const mpr_graph *g = w->g;
    for (uint64_t k = mpr_graph_first(g, node); k < mpr_graph_first(g, node + 1); k++) {
        uint32_t target = g->target[k];
        if (w->d->parent[target] == node && w->value[target] == 0 && mpr_label_strong(g->label[k]))
            w->value[target] = hash_label(w, node, k);
    }
}

static int report(const work *w, uint32_t done) {
    if (done % REPORT_EVERY != 0 || !w->progress || w->progress(w->context, done, w->d->reached) == 0) return MPR_OK;
    return MPR_ECANCELLED;
}

static int run(work *w) {
    const mpr_dominators *d = w->d;
    int status = MPR_OK;
    mark_namespaces(w);
    for (size_t i = 0; i < w->g->type_count; i++)
        w->type[i] = hash_masked(w->g->strings + w->g->types[i].name, w->g->types[i].name_length);
    find_anchors(w);
    for (uint32_t i = 0; i < d->reached && (status = report(w, i)) == MPR_OK; i++) give(w, d->order[i]);
    for (uint32_t i = 0; i < w->g->nodes && status == MPR_OK; i++, status = report(w, i)) note_holders(w, i);
    for (uint32_t i = 0; i < d->reached && status == MPR_OK; i++) {
        uint32_t node = d->order[i];
        uint64_t way = w->value[node] ? w->value[node] : mix(w->shared[node], SHARED);
        if (has_bit(w->anchors, node)) continue;
        if (has_bit(w->named, node))
            way = w->shared[node];
        else if (i > 0)
            way = mix(w->value[d->parent[node]], way);
        w->value[node] = mix(way, hash_self(w, node));
    }
    return status;
}

int mpr_signatures_find(const mpr_graph *g, const mpr_dominators *d, mpr_progress progress, void *context, mpr_signatures *out) {
    work w = {.g = g, .d = d, .progress = progress, .context = context};
    w.type = mpr_alloc_array(g->alloc, g->type_count, sizeof *w.type);
    w.value = mpr_alloc_array(g->alloc, g->nodes, sizeof *w.value);
    w.shared = mpr_alloc_array(g->alloc, g->nodes, sizeof *w.shared);
    w.names = mpr_alloc_array(g->alloc, (size_t)g->nodes / 64 + 1, sizeof *w.names);
    w.anchors = mpr_alloc_array(g->alloc, (size_t)g->nodes / 64 + 1, sizeof *w.anchors);
    w.named = mpr_alloc_array(g->alloc, (size_t)g->nodes / 64 + 1, sizeof *w.named);
    int status = w.type && w.value && w.shared && w.names && w.anchors && w.named ? run(&w) : MPR_ENOMEM;
    mpr_alloc_free(g->alloc, w.type, g->type_count, sizeof *w.type);
    mpr_alloc_free(g->alloc, w.shared, g->nodes, sizeof *w.shared);
    mpr_alloc_free(g->alloc, w.names, (size_t)g->nodes / 64 + 1, sizeof *w.names);
    mpr_alloc_free(g->alloc, w.anchors, (size_t)g->nodes / 64 + 1, sizeof *w.anchors);
    mpr_alloc_free(g->alloc, w.named, (size_t)g->nodes / 64 + 1, sizeof *w.named);
    if (status == MPR_OK)
        *out = (mpr_signatures){.alloc = g->alloc, .nodes = g->nodes, .value = w.value};
    else
        mpr_alloc_free(g->alloc, w.value, g->nodes, sizeof *w.value);
    return status;
}

void mpr_signatures_free(mpr_signatures *s) {
    if (!s->alloc) return;
    mpr_alloc_free(s->alloc, s->value, s->nodes, sizeof *s->value);
    *s = (mpr_signatures){0};
}
