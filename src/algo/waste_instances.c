/* SPDX-License-Identifier: MIT
 * Instances by class: what they take, and whether they agree on their attributes (Boyer and Moore's majority vote finds the set that may be
 * that of nearly all, a second pass counts who has it). */
#include <string.h>

#include "algo/waste_parts.h"
#include "base/status.h"

#define SLOTS_LEAST 1000u

typedef struct class_total {
    uint64_t count, bytes; /* instances, with their own namespaces */
    uint64_t common;       /* hash of the names that most have, if so many have the same */
    uint64_t votes, agree;
    uint32_t names;        /* how many names those are */
    uint32_t node;         /* an instance that has them */
    uint64_t unshared, unshared_bytes, least; /* with tables of their own; the least that another instance takes */
    uint64_t own_tables;   /* bytes of those tables */
    uint32_t odd, odd_node; /* a name that the class's table does not have, of most; and an instance with it */
    uint64_t odd_votes;
} class_total;

typedef struct attributes {
    uint64_t hash;  /* of the names, in any order */
    uint32_t count, odd; /* odd: a key that the class's table does not have, or MPR_NO_NODE */
} attributes;

typedef struct census {
    waste_work *w;
    class_total *total;   /* by type */
    uint64_t *name_hash;  /* of each named place of the types */
} census;

static uint64_t hash_text(const char *text, size_t length) { /* FNV-1a, finished so that sums differ */
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001B3);
    return (hash ^ hash >> 29) * UINT64_C(0x9E3779B97F4A7C15);
}

static uint64_t hash_key(const mpr_graph *g, uint32_t key) {
    size_t length;
    const char *text = mpr_graph_text(g, key, &length);
    return text ? hash_text(text, length) : key;
}

/* The hash of what the type calls inline value i: names stand in their order, one after the other, unless one is missing. */
static uint64_t hash_inline(const census *c, uint32_t type, mpr_label label) {
    const mpr_graph *g = c->w->g;
    const mpr_type *t = &g->types[type];
    mpr_label plain = label & ~(MPR_LABEL_WEAK | MPR_LABEL_HOUSEKEEPING);
    uint32_t behind = t->named_count, i = mpr_label_payload(label);
    if (i < behind && g->named[t->named + i].label == plain) return c->name_hash[t->named + i];
    const mpr_named *named = mpr_graph_named(g, type, plain);
    return named ? c->name_hash[named - g->named] : plain;
}

/* An instance of a class that a program made. */
static bool is_instance(const mpr_graph *g, uint32_t node) {
    return (g->types[g->type[node]].flags & MPR_TYPE_HEAP) && waste_counts(g, node) &&
           !(g->flags[node] & (MPR_NODE_TYPE | MPR_NODE_MODULE));
}

/* Its namespace, if it is a dict of its own; MPR_NO_NODE. */
static uint32_t namespace_of(const waste_work *w, uint32_t node) {
    const mpr_graph *g = w->g;
    for (uint64_t k = mpr_graph_first(g, node); k < mpr_graph_first(g, node + 1); k++)
        if (g->label[k] == mpr_label_field(MPR_FIELD_DICT)) return w->owner[g->target[k]] == node + 1 ? g->target[k] : MPR_NO_NODE;
    return MPR_NO_NODE;
}

/* A dict with a table of its own owns its keys. */
static bool is_unshared(const mpr_graph *g, uint32_t namespace) {
    uint64_t first = mpr_graph_first(g, namespace);
    return first < mpr_graph_first(g, namespace + 1) && mpr_label_kind_of(g->label[first]) == MPR_LABEL_KEY &&
           mpr_label_strong(g->label[first]);
}

static bool class_has_key(const mpr_graph *g, uint32_t class, uint32_t key) {
    if (class == MPR_NO_NODE) return false;
    for (uint64_t k = mpr_graph_first(g, class); k < mpr_graph_first(g, class + 1); k++)
        if (g->target[k] == key && mpr_label_kind_of(g->label[k]) == MPR_LABEL_FIELD &&
            mpr_label_payload(g->label[k]) == MPR_FIELD_CACHED_KEY)
            return true;
    return false;
}

static void read_inline(const census *c, uint32_t node, attributes *out) {
    const mpr_graph *g = c->w->g;
    for (uint64_t k = mpr_graph_first(g, node); k < mpr_graph_first(g, node + 1); k++)
        if (mpr_label_kind_of(g->label[k]) == MPR_LABEL_INLINE) {
            out->hash += hash_inline(c, g->type[node], g->label[k]);
            out->count++;
        }
}

static void read_namespace(const census *c, uint32_t node, uint32_t namespace, bool unshared, attributes *out) {
    const mpr_graph *g = c->w->g;
    uint64_t first = mpr_graph_first(g, namespace);
    for (uint64_t k = first + 1; k < mpr_graph_first(g, namespace + 1); k++) {
        if (mpr_label_kind_of(g->label[k]) != MPR_LABEL_VALUE) continue;
        uint32_t key = g->target[k - 1];
        out->hash += hash_key(g, key);
        out->count++;
        if (unshared && out->odd == MPR_NO_NODE && !class_has_key(g, g->types[g->type[node]].node, key)) out->odd = key;
    }
}

static attributes attributes_of(const census *c, uint32_t node, uint32_t namespace, bool unshared) {
    attributes out = {.odd = MPR_NO_NODE};
    read_inline(c, node, &out);
    if (namespace != MPR_NO_NODE) read_namespace(c, node, namespace, unshared, &out);
    return out;
}

static void vote(class_total *t, uint32_t node, const attributes *a) {
    if (t->votes == 0) {
        t->common = a->hash;
        t->names = a->count;
        t->node = node;
    }
    if (t->common == a->hash)
        t->votes++;
    else
        t->votes--;
}

static void count_unshared(class_total *t, uint32_t node, uint64_t bytes, uint64_t table, const attributes *a) {
    t->unshared++;
    t->unshared_bytes += bytes;
    t->own_tables += table > (uint64_t)a->count * WASTE_WORD ? table - (uint64_t)a->count * WASTE_WORD : 0;
    if (t->odd_votes == 0) {
        t->odd = a->odd;
        t->odd_node = node;
    }
    if (t->odd == a->odd)
        t->odd_votes++;
    else
        t->odd_votes--;
}

static void count_instance(census *c, uint32_t node) {
    const mpr_graph *g = c->w->g;
    class_total *t = &c->total[g->type[node]];
    uint32_t namespace = namespace_of(c->w, node);
    bool unshared = namespace != MPR_NO_NODE && is_unshared(g, namespace);
    attributes a = attributes_of(c, node, namespace, unshared);
    uint64_t own = namespace == MPR_NO_NODE ? 0 : mpr_graph_size(g, namespace), bytes = mpr_graph_size(g, node) + own;
    t->count++;
    t->bytes += bytes;
    vote(t, node, &a);
    if (unshared) {
        uint64_t head = (uint64_t)c->w->costs.gc_head + g->types[g->type[namespace]].basicsize;
        count_unshared(t, node, bytes, own > head ? own - head : 0, &a);
    } else if (t->least == 0 || bytes < t->least) {
        t->least = bytes;
    }
}

static void count_agreement(census *c, uint32_t node) {
    class_total *t = &c->total[c->w->g->type[node]];
    if (t->count >= SLOTS_LEAST) t->agree += attributes_of(c, node, namespace_of(c->w, node), false).hash == t->common;
}

static int for_instances(census *c, void (*take)(census *, uint32_t)) {
    const mpr_graph *g = c->w->g;
    int status = MPR_OK;
    for (uint32_t i = 0; i < g->nodes && status == MPR_OK; i++) {
        if (is_instance(g, i)) take(c, i);
        status = waste_tick(c->w, 1 + mpr_graph_first(g, i + 1) - mpr_graph_first(g, i));
    }
    return status;
}

/* ---- rows -------------------------------------------------------------------------------------------------------------- */

/* Slots that the class has already. */
static uint32_t slots_of(const mpr_graph *g, const mpr_type *type) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < type->named_count; i++)
        count += mpr_label_kind_of(g->named[type->named + i].label) == MPR_LABEL_OFFSET;
    return count;
}

/* Bytes of an instance with __slots__, or 0 for a class whose layout comes from C. */
static uint64_t with_slots(const waste_work *w, uint32_t type, uint32_t names) {
    const mpr_type *t = &w->g->types[type];
    uint64_t slots = slots_of(w->g, t), plain = (uint64_t)w->costs.instance;
    if (t->itemsize != 0 || t->basicsize != plain + WASTE_WORD * slots) return 0;
    uint64_t bytes = (uint64_t)w->costs.object_head + WASTE_WORD * (slots + names);
    return bytes + (slots + names > 0 ? (uint64_t)w->costs.gc_head : 0) + (w->weak[type] ? (uint64_t)w->costs.weakref : 0);
}

static mpr_waste_row row_of(mpr_waste_kind kind, uint32_t type, uint32_t node) {
    return (mpr_waste_row){.kind = kind,
                           .type = type,
                           .node = node,
                           .owner = MPR_NO_TYPE,
                           .holder = MPR_NO_NODE,
                           .edge = MPR_NO_EDGE,
                           .of = MPR_NO_NODE};
}

static int tell_slots(waste_work *w, uint32_t type, const class_total *t) {
    uint64_t each = with_slots(w, type, t->names);
    mpr_waste_row row = row_of(MPR_WASTE_SLOTS, type, t->node);
    if (t->count < SLOTS_LEAST || t->agree * 100 < t->count * 99 || each == 0 || t->bytes <= each * t->count) return MPR_OK;
    row.slots = t->names;
    row.weakrefs = w->weak[type] != 0;
    row.count = t->count;
    row.bytes = t->bytes - each * t->count;
    return waste_add(w, &row);
}

/* Where no instance shares, its values are counted as a table of pointers. */
static int tell_unshared(waste_work *w, uint32_t type, const class_total *t) {
    mpr_waste_row row = row_of(MPR_WASTE_UNSHARED, type, t->odd_node);
    uint64_t shared = t->least * t->unshared;
    row.of = t->odd;
    row.count = t->unshared;
    row.bytes = t->least == 0 ? t->own_tables : t->unshared_bytes > shared ? t->unshared_bytes - shared : 0;
    return row.count > 0 && row.bytes > 0 ? waste_add(w, &row) : MPR_OK;
}

static int run(census *c) {
    const mpr_graph *g = c->w->g;
    for (size_t i = 0; i < g->named_count; i++) c->name_hash[i] = hash_text(g->strings + g->named[i].text, g->named[i].length);
    int status = for_instances(c, count_instance);
    if (status == MPR_OK) status = for_instances(c, count_agreement);
    for (uint32_t type = 0; type < g->type_count && status == MPR_OK; type++) {
        status = tell_slots(c->w, type, &c->total[type]);
        if (status == MPR_OK) status = tell_unshared(c->w, type, &c->total[type]);
    }
    return status;
}

int waste_find_instances(waste_work *w) {
    const mpr_graph *g = w->g;
    census c = {.w = w};
    if (!w->out->has_costs) return MPR_OK;
    c.total = mpr_alloc_array(g->alloc, g->type_count, sizeof *c.total);
    c.name_hash = mpr_alloc_array(g->alloc, g->named_count, sizeof *c.name_hash);
    int status = c.total && c.name_hash ? run(&c) : MPR_ENOMEM;
    mpr_alloc_free(g->alloc, c.total, g->type_count, sizeof *c.total);
    mpr_alloc_free(g->alloc, c.name_hash, g->named_count, sizeof *c.name_hash);
    return status;
}
