/* SPDX-License-Identifier: MIT
 * Values that are there more than once: a hash table of digests. A tuple's digest is made here, of those of its items. */
#include <string.h>

#include "algo/waste_parts.h"
#include "base/status.h"

/* All objects of one value. */
typedef struct value {
    mpr_digest digest;
    uint64_t count, bytes, largest;
    uint32_t node; /* the largest */
} value;

/* One of them. */
typedef struct member {
    uint32_t node, value;
} member;

typedef struct values {
    waste_work *w;
    uint32_t *slots; /* value + 1; a power of two, at most half full */
    size_t slot_count;
    MPR_VEC(value) all;
    MPR_VEC(member) members;
} values;

static bool same(const mpr_digest *a, const mpr_digest *b) { return a->word[0] == b->word[0] && a->word[1] == b->word[1]; }

static size_t find_slot(const values *v, const mpr_digest *digest) {
    size_t at = (size_t)digest->word[0] & (v->slot_count - 1);
    while (v->slots[at] && !same(&v->all.items[v->slots[at] - 1].digest, digest)) at = (at + 1) & (v->slot_count - 1);
    return at;
}

static int grow_slots(values *v) {
    size_t wanted = v->slot_count ? 2 * v->slot_count : 4096;
    uint32_t *slots = mpr_alloc_array(v->w->g->alloc, wanted, sizeof *slots);
    if (!slots) return MPR_ENOMEM;
    mpr_alloc_free(v->w->g->alloc, v->slots, v->slot_count, sizeof *v->slots);
    v->slots = slots;
    v->slot_count = wanted;
    for (size_t i = 0; i < v->all.count; i++) v->slots[find_slot(v, &v->all.items[i].digest)] = (uint32_t)i + 1;
    return MPR_OK;
}

static int take_value(values *v, uint32_t node, const mpr_digest *digest) {
    if (2 * (v->all.count + 1) > v->slot_count && grow_slots(v) != MPR_OK) return MPR_ENOMEM;
    size_t at = find_slot(v, digest);
    if (v->slots[at] == 0) {
        value made = {.digest = *digest, .node = node};
        if (mpr_vec_push(&v->all, v->w->g->alloc, made) != MPR_OK) return MPR_ENOMEM;
        v->slots[at] = (uint32_t)v->all.count;
    }
    member one = {.node = node, .value = v->slots[at] - 1};
    if (mpr_vec_push(&v->members, v->w->g->alloc, one) != MPR_OK) return MPR_ENOMEM;
    value *found = &v->all.items[one.value];
    uint64_t size = mpr_graph_size(v->w->g, node);
    found->count++;
    found->bytes += size;
    if (size > found->largest) {
        found->largest = size;
        found->node = node;
    }
    return waste_tick(v->w, 1);
}

/* What a tuple's item is: its digest, or an object that there is one of, by its number. False for anything else. */
static bool digest_item(const waste_work *w, uint32_t item, mpr_digest *out) {
    if (w->slot[item] != 0) {
        *out = w->g->hashed[w->slot[item] - 1].digest;
        return true;
    }
    *out = (mpr_digest){{item, 0}};
    return (w->g->flags[item] & (MPR_NODE_IMMORTAL | MPR_NODE_STATIC)) != 0 && waste_what_of(w, item) == WHAT_OTHER &&
           item < w->g->seen && mpr_graph_first(w->g, item) == mpr_graph_first(w->g, item + 1);
}

/* The digests one after the other, each hashed with what came before as the key; the length comes first. */
static bool digest_tuple(const waste_work *w, uint32_t tuple, mpr_digest *out) {
    const mpr_graph *g = w->g;
    uint64_t first = mpr_graph_first(g, tuple), end = mpr_graph_first(g, tuple + 1);
    *out = (mpr_digest){{end - first, WHAT_TUPLE}};
    for (uint64_t k = first; k < end; k++) {
        mpr_digest item;
        if (!digest_item(w, g->target[k], &item)) return false;
        *out = mpr_siphash(out->word, &item, sizeof item);
    }
    return end > first;
}

static int take_hashed(values *v) {
    const mpr_graph *g = v->w->g;
    int status = MPR_OK;
    for (size_t i = 0; i < g->hashed_count && status == MPR_OK; i++) {
        uint32_t node = g->hashed[i].node;
        waste_what what = waste_what_of(v->w, node);
        v->w->slot[node] = (uint32_t)i + 1;
        bool wanted = (what == WHAT_STR || what == WHAT_BYTES) && waste_counts(g, node);
        status = wanted ? take_value(v, node, &g->hashed[i].digest) : waste_tick(v->w, 1);
    }
    return status;
}

static int take_tuples(values *v) {
    const mpr_graph *g = v->w->g;
    int status = MPR_OK;
    for (uint32_t i = 0; i < g->nodes && status == MPR_OK; i++) {
        mpr_digest digest;
        bool wanted = waste_what_of(v->w, i) == WHAT_TUPLE && waste_counts(g, i) && digest_tuple(v->w, i, &digest);
        status = wanted ? take_value(v, i, &digest) : waste_tick(v->w, 1);
    }
    return status;
}

static int tell_values(values *v) {
    int status = MPR_OK;
    for (size_t i = 0; i < v->all.count && status == MPR_OK; i++) {
        const value *one = &v->all.items[i];
        mpr_waste_row row = {.kind = MPR_WASTE_DUPLICATE,
                             .type = v->w->g->type[one->node],
                             .node = one->node,
                             .owner = MPR_NO_TYPE,
                             .holder = MPR_NO_NODE,
                             .edge = MPR_NO_EDGE,
                             .of = MPR_NO_NODE,
                             .count = one->count,
                             .bytes = one->bytes - one->largest};
        status = row.bytes > 0 ? waste_add(v->w, &row) : MPR_OK;
        if (status == MPR_OK) status = waste_tick(v->w, 1);
    }
    return status;
}

/* All but the one of each value that may stay. */
static int tell_copies(values *v) {
    int status = MPR_OK;
    memset(v->w->slot, 0, (size_t)v->w->g->nodes * sizeof *v->w->slot);
    for (size_t i = 0; i < v->members.count && status == MPR_OK; i++) {
        const member *m = &v->members.items[i];
        uint64_t size = mpr_graph_size(v->w->g, m->node);
        if (m->node != v->all.items[m->value].node && size > 0)
            status = waste_note(v->w, MPR_WASTE_COPIES, m->node, MPR_NO_NODE, size);
        if (status == MPR_OK) status = waste_tick(v->w, 1);
    }
    return status == MPR_OK ? waste_tell_noted(v->w) : status;
}

int waste_find_duplicates(waste_work *w) {
    values v = {.w = w};
    if (w->g->hashed_count == 0) return MPR_OK;
    memset(w->slot, 0, (size_t)w->g->nodes * sizeof *w->slot);
    int status = take_hashed(&v);
    if (status == MPR_OK) status = take_tuples(&v);
    if (status == MPR_OK) status = tell_values(&v);
    if (status == MPR_OK) status = tell_copies(&v);
    mpr_alloc_free(w->g->alloc, v.slots, v.slot_count, sizeof *v.slots);
    mpr_vec_free(&v.all, w->g->alloc);
    mpr_vec_free(&v.members, w->g->alloc);
    return status;
}
