/* SPDX-License-Identifier: MIT
 * Signatures go down with the dominators' order: a node gives its own, with the label of the edge, to each node that it dominates and refers
 * to. What its dominator does not refer to directly (several holders share it) takes the type and label of one of its holders instead: the one
 * with the smallest hash, which is the same in whatever order they are met. So one pass over the edges, along memory, tells what every node is
 * called by, and one in the dominators' order puts the names together.
 *
 * Modules, classes, their namespaces and what these hold are anchors: called by their names, whoever else holds them at the moment. Otherwise
 * a frame that runs in a module while the snapshot is taken would move all that the module holds. */
#include "algo/signature.h"

#include <string.h>

#include "algo/steps.h"
#include "base/fetch.h"
#include "base/map.h"
#include "base/status.h"

#define REPORT_EVERY 65536u /* nodes */
#define AHEAD 40            /* nodes, or edges */
#define SEVERAL 0x5348u     /* beside the hash of one of several holders */
#define ANCHOR 0x414Eu      /* in place of the way from the root */
#define ANCHORS (MPR_NODE_MODULE | MPR_NODE_TYPE)

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

static uint64_t hash_named(const mpr_graph *g, const mpr_named *named) {
    return hash_masked(g->strings + named->text, named->length);
}

/* `place` has the hashes of the graph's named places, or is NULL. */
static uint64_t hash_place(const mpr_graph *g, const uint64_t *place, uint32_t holder, mpr_label label) {
    const mpr_named *named = mpr_graph_named(g, g->type[holder], label);
    if (!named) return 0;
    return place ? place[named - g->named] : hash_named(g, named);
}

/* What the preceding edge refers to is the name. A damaged heap may have none. */
static uint64_t hash_previous(const mpr_graph *g, uint32_t holder, uint64_t edge) {
    return edge > mpr_graph_first(g, holder) ? hash_name(g, g->target[edge - 1]) : 0;
}

static uint64_t hash_label(const mpr_graph *g, const uint64_t *place, uint32_t holder, uint64_t edge, bool names) {
    mpr_label label = g->label[edge];
    mpr_label_kind kind = mpr_label_kind_of(label);
    uint64_t words = 0;
    switch (kind) {
    case MPR_LABEL_OFFSET:
    case MPR_LABEL_INLINE:
        words = hash_place(g, place, holder, label);
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
    return mpr_map_mix(words, (uint64_t)kind + 1);
}

uint64_t mpr_signature_label(const mpr_graph *g, uint32_t holder, uint64_t edge, bool names) {
    return hash_label(g, NULL, holder, edge, names);
}

/* ---- all nodes -------------------------------------------------------------------------------------------------------- */

/* Who says what a node is called: a later one is heard rather than an earlier one. */
enum speaker {
    NOBODY,
    SHARED,     /* of the holders that are not its dominator, the one with the smallest hash */
    DOMINATOR,  /* by the label of its edge */
    NAMESPACE,  /* of those that hold it, the one with the smallest hash */
    OWN_NAME,   /* a module, class or namespace of one: its value is final */
    SPEAKER = 7,
    NAMES = 8,  /* and beside it: the dict of a module, class or instance, whose keys are names */
    NAMED = 16  /* has a name for all processes */
};

typedef struct work {
    const mpr_graph *g;
    const mpr_dominators *d;
    const mpr_ranks *ranks; /* or NULL */
    mpr_progress progress;
    void *context;
    uint64_t *type;  /* hash of each type's name */
    uint64_t *place; /* hash of each named place's text */
    uint8_t *state;  /* of each node: a speaker, NAMES, NAMED */
    uint64_t *value; /* before a node's turn: what the speaker says */
} work;

static inline enum speaker speaker_of(const work *w, uint32_t node) { return w->state[node] & SPEAKER; }

static inline void say(const work *w, uint32_t node, enum speaker speaker, uint64_t value) {
    w->state[node] = (uint8_t)((w->state[node] & ~SPEAKER) | speaker);
    w->value[node] = value;
}

static inline void say_smallest(const work *w, uint32_t node, enum speaker speaker, uint64_t value) {
    if (speaker_of(w, node) < speaker || value < w->value[node]) say(w, node, speaker, value);
}

static void mark_names(const work *w) {
    const mpr_graph *g = w->g;
    for (uint64_t k = 0; k < g->edges; k++)
        if (mpr_steps_is_namespace(g->label[k])) w->state[g->target[k]] |= NAMES;
    for (uint32_t i = 0; i < g->nodes; i++)
        if (g->flags[i] & (MPR_NODE_SYNTHETIC | ANCHORS)) w->state[i] |= NAMED;
}

static uint64_t label_of(const work *w, uint32_t holder, uint64_t edge) {
    return hash_label(w->g, w->place, holder, edge, w->state[holder] & NAMES);
}

/* What a node itself says: its type, and its name where it has one for all processes. */
static uint64_t hash_self(const work *w, uint32_t node) {
    uint64_t self = w->type[w->g->type[node]];
    return w->state[node] & NAMED ? mpr_map_mix(self, hash_name(w->g, node)) : self;
}

static bool is_reached(const work *w, uint32_t node) { return w->d->parent[node] != MPR_NO_NODE; }

/* ---- anchors */

/* A module or class, and its namespace. */
static void anchor_names(const work *w, uint32_t node) {
    const mpr_graph *g = w->g;
    uint64_t value = mpr_map_mix(hash_self(w, node), ANCHOR);
    say(w, node, OWN_NAME, value);
    for (uint64_t k = mpr_graph_first(g, node); k < mpr_graph_first(g, node + 1); k++)
        if (mpr_steps_is_namespace(g->label[k]) && !(g->flags[g->target[k]] & ANCHORS))
            say_smallest(w, g->target[k], OWN_NAME, mpr_map_mix(value, NAMESPACE));
}

/* What a namespace holds is called after the one that gives the smallest hash. */
static void name_variables(const work *w, uint32_t holder) {
    const mpr_graph *g = w->g;
    for (uint64_t k = mpr_graph_first(g, holder); k < mpr_graph_first(g, holder + 1); k++) {
        uint32_t target = g->target[k];
        bool variable = mpr_label_kind_of(g->label[k]) == MPR_LABEL_VALUE && mpr_label_strong(g->label[k]);
        if (variable && is_reached(w, target) && speaker_of(w, target) <= NAMESPACE)
            say_smallest(w, target, NAMESPACE, mpr_map_mix(w->value[holder], label_of(w, holder, k)));
    }
}

static void find_anchors(const work *w) {
    for (uint32_t i = 0; i < w->g->nodes; i++)
        if ((w->g->flags[i] & ANCHORS) && !(w->g->flags[i] & MPR_NODE_OWN)) anchor_names(w, i);
    for (uint32_t i = 0; i < w->g->nodes; i++)
        if (speaker_of(w, i) == OWN_NAME && !(w->g->flags[i] & ANCHORS)) name_variables(w, i);
}

/* ---- the others */

static bool is_of_later_rank(const work *w, uint32_t holder, uint32_t target) {
    return w->ranks && w->ranks->value[holder] > w->ranks->value[target];
}

/* A holder's reference: of its dominator's the first is heard. */
static inline void take_edge(const work *w, uint32_t holder, uint64_t edge, bool shares) {
    uint32_t target = w->g->target[edge];
    if (speaker_of(w, target) > SHARED || !mpr_label_strong(w->g->label[edge])) return;
    if (w->d->parent[target] == holder)
        say(w, target, DOMINATOR, label_of(w, holder, edge));
    else if (shares && is_reached(w, target) && !is_of_later_rank(w, holder, target))
        say_smallest(w, target, SHARED, mpr_map_mix(w->type[w->g->type[holder]], label_of(w, holder, edge)));
}

static void take_edges(const work *w, uint32_t node) {
    const mpr_graph *g = w->g;
    bool shares = !(g->flags[node] & (MPR_NODE_SYNTHETIC | MPR_NODE_OWN));
    for (uint64_t k = mpr_graph_first(g, node); k < mpr_graph_first(g, node + 1); k++) {
        uint32_t ahead = g->target[k + AHEAD < g->edges ? k + AHEAD : k];
        __builtin_prefetch(&w->state[ahead], 1);
        __builtin_prefetch(&w->value[ahead], 1);
        __builtin_prefetch(&w->d->parent[ahead]);
        take_edge(w, node, k, shares);
    }
}

/* Put a node's signature together: that of its dominator has been. */
static inline void finish(const work *w, uint32_t node) {
    enum speaker speaker = speaker_of(w, node);
    uint32_t parent = w->d->parent[node];
    if (speaker == OWN_NAME) return;
    uint64_t way = speaker <= SHARED ? mpr_map_mix(w->value[node], SEVERAL) : w->value[node];
    if (speaker != NAMESPACE && parent != MPR_NO_NODE) way = mpr_map_mix(w->value[parent], way);
    w->value[node] = mpr_map_mix(way, hash_self(w, node));
}

MPR_FETCHER fetch(const work *w, uint32_t node) {
    __builtin_prefetch(&w->state[node]);
    __builtin_prefetch(&w->value[node], 1);
    __builtin_prefetch(&w->d->parent[node]);
    __builtin_prefetch(&w->g->type[node]);
}

static int report(const work *w, uint32_t done) {
    if (done % REPORT_EVERY != 0 || !w->progress || w->progress(w->context, done, w->d->reached) == 0) return MPR_OK;
    return MPR_ECANCELLED;
}

static int run(work *w) {
    const mpr_dominators *d = w->d;
    int status = MPR_OK;
    mark_names(w);
    for (size_t i = 0; i < w->g->type_count; i++)
        w->type[i] = hash_masked(w->g->strings + w->g->types[i].name, w->g->types[i].name_length);
    for (size_t i = 0; i < w->g->named_count; i++) w->place[i] = hash_named(w->g, &w->g->named[i]);
    find_anchors(w);
    for (uint32_t i = 0; i < w->g->nodes && (status = report(w, i)) == MPR_OK; i++) take_edges(w, i);
    for (uint32_t i = 0; i < d->reached && status == MPR_OK; i++, status = report(w, i)) {
        fetch(w, d->order[i + AHEAD < d->reached ? i + AHEAD : i]);
        finish(w, d->order[i]);
    }
    return status;
}

int mpr_signatures_find(const mpr_graph *g, const mpr_dominators *d, const mpr_ranks *ranks, mpr_progress progress, void *context,
                        mpr_signatures *out) {
    work w = {.g = g, .d = d, .ranks = ranks, .progress = progress, .context = context};
    w.type = mpr_alloc_array(g->alloc, g->type_count, sizeof *w.type);
    w.place = mpr_alloc_array(g->alloc, g->named_count, sizeof *w.place);
    w.state = mpr_alloc_array(g->alloc, g->nodes, sizeof *w.state);
    w.value = mpr_alloc_array(g->alloc, g->nodes, sizeof *w.value);
    int status = w.type && w.place && w.state && w.value ? run(&w) : MPR_ENOMEM;
    mpr_alloc_free(g->alloc, w.type, g->type_count, sizeof *w.type);
    mpr_alloc_free(g->alloc, w.place, g->named_count, sizeof *w.place);
    mpr_alloc_free(g->alloc, w.state, g->nodes, sizeof *w.state);
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
