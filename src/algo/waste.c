/* SPDX-License-Identifier: MIT
 * Containers: one pass finds those that waste, one finds who holds them, and they are told by holder. Values are in waste_values.c, instances in
 * waste_instances.c. */
#include "algo/waste.h"

#include <stdlib.h>

#include "algo/signature.h"
#include "algo/steps.h"
#include "algo/waste_parts.h"
#include "base/status.h"

#define REPORT_EVERY 65536u /* steps */
#define LIMIT 100u
#define SPARSE_LEAST 64u    /* bytes */
#define BOXED_LEAST 1000u   /* items */
#define ARRAY_BYTES 80u     /* of an empty array */
#define INT64_BYTES 16u     /* an int of at most so many bytes behind its head has at most 60 bits */

int waste_tick(waste_work *w, uint64_t steps) {
    w->done += steps;
    if (w->done - w->reported < REPORT_EVERY || !w->options.progress) return MPR_OK;
    w->reported = w->done;
    uint64_t total = 8 * (w->g->nodes + w->g->edges);
    return w->options.progress(w->options.context, w->done < total ? w->done : total, total) == 0 ? MPR_OK : MPR_ECANCELLED;
}

int waste_add(waste_work *w, const mpr_waste_row *row) {
    w->out->count[row->kind] += row->kind == MPR_WASTE_DUPLICATE ? row->count - 1 : row->count;
    w->out->bytes[row->kind] += row->bytes;
    return mpr_vec_push(&w->out->rows, w->g->alloc, *row);
}

/* ---- what is known before ---------------------------------------------------------------------------------------------- */

static void know_types(waste_work *w) {
    static const struct {
        const char *name;
        waste_what what;
    } known[] = {{"list", WHAT_LIST},   {"dict", WHAT_DICT}, {"set", WHAT_SET},     {"str", WHAT_STR},        {"bytes", WHAT_BYTES},
                 {"tuple", WHAT_TUPLE}, {"int", WHAT_INT},   {"float", WHAT_FLOAT}, {"complex", WHAT_COMPLEX}};
    for (size_t i = 0; i < w->g->type_count; i++) {
        const mpr_type *t = &w->g->types[i];
        for (size_t k = 0; k < sizeof known / sizeof *known && !(t->flags & MPR_TYPE_HEAP); k++)
            if (mpr_graph_is_called(w->g, t, known[k].name)) w->what[i] = (uint8_t)known[k].what;
    }
}

/* Only a free-threaded build says these: elsewhere they are the same in every version. */
static void know_heads(waste_work *w) {
    const struct {
        const char *key;
        int64_t *cost, usual;
    } rows[] = {{"cost_object_head", &w->costs.object_head, 2 * WASTE_WORD},
                {"cost_gc_head", &w->costs.gc_head, 2 * WASTE_WORD},
                {"cost_list_head", &w->costs.list_head, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const mpr_info *info = mpr_graph_info(w->g, rows[i].key);
        bool known = info && !info->is_text && info->number >= 0 && info->number <= 1024;
        *rows[i].cost = known ? info->number : rows[i].usual;
    }
}

/* A fact is believed when it is a size that such a part may have. */
static bool know_costs(waste_work *w) {
    waste_costs *c = &w->costs;
    const struct {
        const char *key;
        int64_t *cost;
    } rows[] = {{"cost_dict_head", &c->dict_head}, {"cost_dict_entry", &c->dict_entry}, {"cost_dict_str_entry", &c->dict_str_entry},
                {"cost_set_entry", &c->set_entry}, {"cost_instance", &c->instance},     {"cost_weakref", &c->weakref}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const mpr_info *info = mpr_graph_info(w->g, rows[i].key);
        if (!info || info->is_text || info->number <= 0 || info->number > 1024) return false;
        *rows[i].cost = info->number;
    }
    return true;
}

/* Whose namespace each dict is, and which classes have instances that are weakly referenced. */
static int know_owners(waste_work *w) {
    const mpr_graph *g = w->g;
    int status = MPR_OK;
    for (uint32_t i = 0; i < g->nodes && status == MPR_OK; i++) {
        uint64_t first = mpr_graph_first(g, i), end = mpr_graph_first(g, i + 1);
        for (uint64_t k = first; k < end; k++) {
            uint32_t target = g->target[k];
            if (mpr_steps_is_field(g->label[k], MPR_FIELD_REFERENT)) w->weak[g->type[target]] = 1;
            if (mpr_steps_is_namespace(g->label[k]) && w->owner[target] == 0 && waste_what_of(w, target) == WHAT_DICT)
                w->owner[target] = i + 1;
        }
        status = waste_tick(w, 1 + end - first);
    }
    return status;
}

/* ---- containers -------------------------------------------------------------------------------------------------------- */

int waste_note(waste_work *w, mpr_waste_kind kind, uint32_t node, uint32_t of, uint64_t bytes) {
    waste_found made = {.kind = kind, .node = node, .of = of, .next = w->slot[node], .holder = MPR_NO_NODE, .bytes = bytes};
    made.edge = MPR_NO_EDGE;
    if (mpr_vec_push(&w->found, w->g->alloc, made) != MPR_OK) return MPR_ENOMEM;
    w->slot[node] = (uint32_t)w->found.count;
    return MPR_OK;
}

/* The least table of a dict that takes n entries: indices of 1, 2, 4 or 8 bytes, and entries for two thirds of them. */
static uint64_t fresh_table(const waste_work *w, uint64_t n, bool all_str) {
    uint64_t size = 8;
    while (size * 2 / 3 < n) size *= 2;
    uint64_t index = size < 256 ? 1 : size < 65536 ? 2 : size >> 32 == 0 ? 4 : 8;
    uint64_t entry = (uint64_t)(all_str ? w->costs.dict_str_entry : w->costs.dict_entry);
    return n == 0 ? 0 : (uint64_t)w->costs.dict_head + size * index + size * 2 / 3 * entry;
}

/* A copy of a set has more than twice as many places as elements, or the eight that are in every set. */
static uint64_t fresh_set(const waste_work *w, uint64_t n) {
    uint64_t size = 8;
    while (size <= 2 * n) size *= 2;
    return n < 5 ? 0 : size * (uint64_t)w->costs.set_entry;
}

/* A dict's entries, and whether all keys are plain str; false for one whose table is not its own, or that owns nothing. */
static bool count_entries(const waste_work *w, uint32_t node, uint64_t *entries, bool *all_str) {
    const mpr_graph *g = w->g;
    *entries = 0;
    *all_str = true;
    for (uint64_t k = mpr_graph_first(g, node); k < mpr_graph_first(g, node + 1); k++) {
        if (!mpr_label_strong(g->label[k])) return false;
        if (mpr_label_kind_of(g->label[k]) != MPR_LABEL_KEY) continue;
        ++*entries;
        *all_str = *all_str && waste_what_of(w, g->target[k]) == WHAT_STR;
    }
    return *entries > 0 || w->owner[node] == 0;
}

/* Bytes that a fresh one would take, and how many are in it; false when that cannot be said. */
static bool measure_fresh(const waste_work *w, uint32_t node, uint64_t *fresh, uint64_t *entries) {
    const mpr_graph *g = w->g;
    bool all_str;
    *fresh = (uint64_t)w->costs.gc_head + g->types[g->type[node]].basicsize;
    *entries = mpr_graph_first(g, node + 1) - mpr_graph_first(g, node);
    switch (waste_what_of(w, node)) {
    case WHAT_LIST:
        *fresh += *entries > 0 ? (uint64_t)w->costs.list_head + WASTE_WORD * *entries : 0;
        return true;
    case WHAT_SET:
        *fresh += fresh_set(w, *entries);
        return true;
    case WHAT_DICT:
        if (!count_entries(w, node, entries, &all_str)) return false;
        *fresh += fresh_table(w, *entries, all_str);
        return true;
    default:
        return false;
    }
}

static int take_container(waste_work *w, uint32_t node) {
    uint64_t fresh, entries, size = mpr_graph_size(w->g, node);
    if (!w->out->has_costs || !measure_fresh(w, node, &fresh, &entries)) return MPR_OK;
    if (entries == 0 && size == fresh) return waste_note(w, MPR_WASTE_EMPTY, node, MPR_NO_NODE, size);
    return size > fresh + SPARSE_LEAST ? waste_note(w, MPR_WASTE_SPARSE, node, MPR_NO_NODE, size - fresh) : MPR_OK;
}

/* ---- numbers in lists -------------------------------------------------------------------------------------------------- */

/* Is it a number that an array takes? Large ints are not. */
static bool fits(const waste_work *w, uint32_t node) {
    waste_what what = waste_what_of(w, node);
    return what == WHAT_FLOAT || what == WHAT_COMPLEX ||
           (what == WHAT_INT && mpr_graph_size(w->g, node) <= (uint64_t)w->costs.object_head + INT64_BYTES);
}

/* The type that 9/10 of the items of a long list have, if it is one of numbers; else MPR_NO_TYPE. */
static uint32_t type_of_numbers(const waste_work *w, uint32_t list) {
    const mpr_graph *g = w->g;
    uint64_t first = mpr_graph_first(g, list), end = mpr_graph_first(g, list + 1), count[WHAT_COMPLEX + 1] = {0};
    uint32_t type[WHAT_COMPLEX + 1];
    if (waste_what_of(w, list) != WHAT_LIST || end - first < BOXED_LEAST) return MPR_NO_TYPE;
    for (uint64_t k = first; k < end; k++) {
        if (!fits(w, g->target[k])) continue;
        waste_what what = waste_what_of(w, g->target[k]);
        count[what]++;
        type[what] = g->type[g->target[k]];
    }
    for (unsigned what = WHAT_INT; what <= WHAT_COMPLEX; what++)
        if (count[what] * 10 >= (end - first) * 9) return type[what];
    return MPR_NO_TYPE;
}

static int count_references(waste_work *w) {
    const mpr_graph *g = w->g;
    int status = MPR_OK;
    if (w->refs) return MPR_OK;
    w->refs = mpr_alloc_array(g->alloc, g->nodes, sizeof *w->refs);
    if (!w->refs) return MPR_ENOMEM;
    for (uint64_t k = 0; k < g->edges && status == MPR_OK; k++) {
        w->refs[g->target[k]] += (uint32_t)mpr_label_strong(g->label[k]);
        status = waste_tick(w, 1);
    }
    return status;
}

/* Numbers of this type that nothing but the list holds. Their counts come to 0 while its references are taken off. */
static uint64_t sole_numbers(waste_work *w, uint32_t list, uint32_t type) {
    const mpr_graph *g = w->g;
    uint64_t bytes = 0, first = mpr_graph_first(g, list), end = mpr_graph_first(g, list + 1);
    for (uint64_t k = first; k < end; k++) {
        uint32_t item = g->target[k];
        bool last = --w->refs[item] == 0;
        if (last && g->type[item] == type && !(g->flags[item] & (MPR_NODE_RESIDUAL | MPR_NODE_IMMORTAL)) && fits(w, item))
            bytes += mpr_graph_size(g, item);
    }
    for (uint64_t k = first; k < end; k++) w->refs[g->target[k]]++;
    return bytes;
}

static int take_numbers(waste_work *w, uint32_t node) {
    uint32_t type = type_of_numbers(w, node);
    if (type == MPR_NO_TYPE) return MPR_OK;
    int status = count_references(w);
    if (status != MPR_OK) return status;
    uint64_t items = mpr_graph_first(w->g, node + 1) - mpr_graph_first(w->g, node);
    uint64_t array = ARRAY_BYTES + items * (w->what[type] == WHAT_COMPLEX ? 16 : 8);
    uint64_t today = mpr_graph_size(w->g, node) + sole_numbers(w, node, type);
    return today > array ? waste_note(w, MPR_WASTE_BOXED, node, type, today - array) : MPR_OK;
}

static int find_containers(waste_work *w) {
    int status = MPR_OK;
    for (uint32_t i = 0; i < w->g->nodes && status == MPR_OK; i++) {
        if (!waste_counts(w->g, i)) continue;
        status = take_container(w, i);
        if (status == MPR_OK) status = take_numbers(w, i);
        if (status == MPR_OK) status = waste_tick(w, 1 + mpr_graph_first(w->g, i + 1) - mpr_graph_first(w->g, i));
    }
    return status;
}

/* ---- who holds them ---------------------------------------------------------------------------------------------------- */

/* An attribute says most, any object more than a frame. */
static int quality_of(const waste_work *w, uint32_t holder, mpr_label label) {
    mpr_label_kind kind = mpr_label_kind_of(label);
    if (w->g->flags[holder] & MPR_NODE_SYNTHETIC) return 1;
    bool attribute = kind == MPR_LABEL_INLINE || kind == MPR_LABEL_OFFSET || (kind == MPR_LABEL_VALUE && w->owner[holder] != 0);
    return attribute ? 3 : 2;
}

static void offer(waste_work *w, uint32_t holder, uint64_t edge) {
    int quality = quality_of(w, holder, w->g->label[edge]);
    for (uint32_t at = w->slot[w->g->target[edge]]; at != 0; at = w->found.items[at - 1].next) {
        waste_found *f = &w->found.items[at - 1];
        if (f->quality >= quality) continue;
        f->quality = quality;
        f->holder = holder;
        f->edge = edge;
    }
}

static int find_holders(waste_work *w) {
    const mpr_graph *g = w->g;
    int status = MPR_OK;
    for (uint32_t i = 0; i < g->nodes && status == MPR_OK; i++) {
        uint64_t first = mpr_graph_first(g, i), end = mpr_graph_first(g, i + 1);
        for (uint64_t k = first; k < end && !(g->flags[i] & (MPR_NODE_OWN | MPR_NODE_UNREACHABLE)); k++)
            if (w->slot[g->target[k]] != 0 && mpr_label_strong(g->label[k])) offer(w, i, k);
        status = waste_tick(w, 1 + end - first);
    }
    return status;
}

/* ---- rows -------------------------------------------------------------------------------------------------------------- */

typedef struct keyed {
    uint64_t key;
    uint32_t place; /* in `found` */
} keyed;

static uint64_t mix(uint64_t a, uint64_t b) {
    uint64_t x = (a ^ b) * UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ x >> 32) * UINT64_C(0xD6E8FEB86659FD93) + b;
    return x ^ x >> 32;
}

/* The object whose attribute the holder's entry is: the holder itself, unless it is a namespace. */
static uint32_t owner_of(const waste_work *w, uint32_t holder) {
    return holder == MPR_NO_NODE || w->owner[holder] == 0 ? holder : w->owner[holder] - 1;
}

static uint64_t key_of(const waste_work *w, const waste_found *f) {
    const mpr_graph *g = w->g;
    uint64_t key = mix(mix((uint64_t)f->kind + 1, g->type[f->node]), f->of);
    if (f->holder == MPR_NO_NODE) return key;
    uint32_t owner = owner_of(w, f->holder);
    bool one = (g->flags[owner] & (MPR_NODE_MODULE | MPR_NODE_TYPE | MPR_NODE_SYNTHETIC)) != 0; /* has a name of its own */
    key = mix(mix(key, g->type[owner]), one ? owner : MPR_NO_NODE);
    return mix(key, mpr_signature_label(g, f->holder, f->edge, owner != f->holder));
}

static int by_key(const void *left, const void *right) {
    const keyed *a = left, *b = right;
    return a->key != b->key ? (a->key < b->key ? -1 : 1) : (a->place > b->place) - (a->place < b->place);
}

/* The run of findings with one key as a row; returns where the next begins. */
static size_t gather(const waste_work *w, const keyed *order, size_t at, mpr_waste_row *row) {
    const mpr_graph *g = w->g;
    uint64_t most = 0;
    *row = (mpr_waste_row){.bytes = 0};
    for (uint64_t key = order[at].key; at < w->found.count && order[at].key == key; at++) {
        const waste_found *f = &w->found.items[order[at].place];
        row->count++;
        row->bytes += f->bytes;
        if (f->bytes <= most) continue;
        most = f->bytes;
        uint32_t owner = owner_of(w, f->holder);
        row->kind = f->kind;
        row->type = g->type[f->node];
        row->of = f->of;
        row->node = f->node;
        row->holder = f->holder;
        row->edge = f->edge;
        row->owner = owner == MPR_NO_NODE ? MPR_NO_TYPE : g->type[owner];
    }
    return at;
}

static int tell_found(waste_work *w) {
    size_t count = w->found.count;
    keyed *order = mpr_alloc_array(w->g->alloc, count, sizeof *order);
    int status = order ? MPR_OK : MPR_ENOMEM;
    for (uint32_t i = 0; i < count && order; i++) order[i] = (keyed){key_of(w, &w->found.items[i]), i};
    if (order && count > 1) qsort(order, count, sizeof *order, by_key);
    for (size_t at = 0; at < count && status == MPR_OK;) {
        mpr_waste_row row;
        at = gather(w, order, at, &row);
        status = waste_add(w, &row);
        if (status == MPR_OK) status = waste_tick(w, row.count);
    }
    mpr_alloc_free(w->g->alloc, order, count, sizeof *order);
    return status;
}

int waste_tell_noted(waste_work *w) {
    int status = w->found.count > 0 ? find_holders(w) : MPR_OK;
    if (status == MPR_OK) status = tell_found(w);
    for (size_t i = 0; i < w->found.count; i++) w->slot[w->found.items[i].node] = 0;
    w->found.count = 0;
    return status;
}

static int by_bytes(const void *left, const void *right) {
    const mpr_waste_row *a = left, *b = right;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
    return a->kind != b->kind ? (int)a->kind - (int)b->kind : (a->node > b->node) - (a->node < b->node);
}

/* Most bytes first, and no more values than are wanted. */
static void sort_rows(waste_work *w) {
    size_t kept = 0, values = 0, limit = w->options.limit ? w->options.limit : LIMIT;
    mpr_waste *out = w->out;
    if (out->rows.count > 1) qsort(out->rows.items, out->rows.count, sizeof *out->rows.items, by_bytes);
    for (size_t i = 0; i < out->rows.count; i++)
        if (out->rows.items[i].kind != MPR_WASTE_DUPLICATE || values++ < limit) out->rows.items[kept++] = out->rows.items[i];
    out->rows.count = kept;
}

/* ---- all of it --------------------------------------------------------------------------------------------------------- */

static int run(waste_work *w) {
    const mpr_graph *g = w->g;
    w->what = mpr_alloc_array(g->alloc, g->type_count, 1);
    w->weak = mpr_alloc_array(g->alloc, g->type_count, 1);
    w->owner = mpr_alloc_array(g->alloc, g->nodes, sizeof *w->owner);
    w->slot = mpr_alloc_array(g->alloc, g->nodes, sizeof *w->slot);
    if (!w->what || !w->weak || !w->owner || !w->slot) return MPR_ENOMEM;
    know_types(w);
    w->out->has_hashes = g->hashed_count > 0;
    know_heads(w);
    w->out->has_costs = know_costs(w);
    int status = know_owners(w);
    if (status == MPR_OK) status = find_containers(w);
    if (status == MPR_OK) status = waste_tell_noted(w);
    if (status == MPR_OK) status = waste_find_instances(w);
    if (status == MPR_OK) status = waste_find_duplicates(w);
    if (status == MPR_OK) sort_rows(w);
    return status;
}

int mpr_waste_find(const mpr_graph *g, const mpr_waste_options *options, mpr_waste *out) {
    mpr_waste made = {.alloc = g->alloc};
    waste_work w = {.g = g, .out = &made};
    if (options) w.options = *options;
    int status = run(&w);
    mpr_alloc_free(g->alloc, w.what, g->type_count, 1);
    mpr_alloc_free(g->alloc, w.weak, g->type_count, 1);
    mpr_alloc_free(g->alloc, w.owner, g->nodes, sizeof *w.owner);
    mpr_alloc_free(g->alloc, w.slot, g->nodes, sizeof *w.slot);
    mpr_alloc_free(g->alloc, w.refs, g->nodes, sizeof *w.refs);
    mpr_vec_free(&w.found, g->alloc);
    if (status == MPR_OK)
        *out = made;
    else
        mpr_waste_free(&made);
    return status;
}

void mpr_waste_free(mpr_waste *waste) {
    if (!waste->alloc) return;
    mpr_vec_free(&waste->rows, waste->alloc);
    *waste = (mpr_waste){0};
}
