/* SPDX-License-Identifier: MIT
 * What the collector tracks, and its references backwards. A chain of list links is a chain of cache misses, so lists are followed from
 * both ends; what comes after is a loop over an array, which can be fetched ahead. */
#include "cpython/tracked.h"

#include <stdlib.h>
#include <string.h>

#define AHEAD 16

static inline void fetch_ahead(const cpy_objects *objects, size_t i) {
    if (i + AHEAD < objects->count) {
        __builtin_prefetch(objects->items[i + AHEAD]);
    }
}

/* ---- all of them ---- */

static int append_backward(cpy_objects *out, mpr_alloc *alloc, const cpy_objects *back) {
    if (mpr_vec_reserve(out, alloc, back->count) != MPR_OK) {
        return MPR_ENOMEM;
    }
    for (size_t i = back->count; i-- > 0;) {
        out->items[out->count++] = back->items[i];
    }
    return MPR_OK;
}

/* During a collection the links back are in other use: then `both` is false. */
static int gather_list(cpy_objects *out, mpr_alloc *alloc, cpy_gc_head *head, bool both) {
    cpy_objects back = {0};
    cpy_gc_head *front = cpy_gc_next(head), *last = both ? cpy_gc_previous(head) : head;
    int status = MPR_OK;
    while (status == MPR_OK && front != head) {
        status = mpr_vec_push(out, alloc, cpy_gc_object(front));
        if (front == last) {
            break;
        }
        if (both && status == MPR_OK) {
            status = mpr_vec_push(&back, alloc, cpy_gc_object(last));
        }
        front = cpy_gc_next(front);
        if (both && front == last) {
            break;
        }
        if (both) {
            last = cpy_gc_previous(last);
            __builtin_prefetch(last);
        }
        __builtin_prefetch(front);
    }
    status = status == MPR_OK ? append_backward(out, alloc, &back) : status;
    mpr_vec_free(&back, alloc);
    return status;
}

/* The public way. The list may go: it was not alone in holding them. */
static int gather_public(cpy_objects *out, mpr_alloc *alloc) {
    PyObject *gc = PyDict_GetItemString(PyImport_GetModuleDict(), "gc"); /* who asks has imported it; to import makes objects */
    PyObject *list = gc == NULL ? NULL : PyObject_CallMethod(gc, "get_objects", NULL);
    int status = list != NULL && PyList_CheckExact(list) ? MPR_OK : MPR_ENOMEM;
    for (Py_ssize_t i = 0; status == MPR_OK && i < PyList_GET_SIZE(list); i++) {
        status = mpr_vec_push(out, alloc, PyList_GET_ITEM(list, i));
    }
    Py_XDECREF(list);
    PyErr_Clear();
    return status;
}

int cpy_tracked_gather(cpy_objects *out, mpr_alloc *alloc, const cpy_proofs *proofs) {
    memset(out, 0, sizeof *out);
    if (!proofs->can[CPY_CAN_GC_LISTS]) {
        return gather_public(out, alloc);
    }
    cpy_gc_head *heads[CPY_GENERATIONS];
    int status = MPR_OK, count = cpy_layout_gc_heads(heads);
    bool both = !cpy_layout_collecting();
    for (int i = 0; status == MPR_OK && i < count - 1; i++) { /* the last is the permanent one */
        status = gather_list(out, alloc, heads[i], both);
    }
    return status;
}

/* ---- by type ---- */

typedef struct type_table {
    mpr_alloc *alloc;
    uint32_t *slots; /* open addressing: index + 1, or 0 */
    size_t size;     /* a power of two, at least twice the types */
} type_table;

static size_t hash_type(const PyTypeObject *type) { return (size_t)(((uintptr_t)type >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 32); }

/* The slot of a type: it holds the type, or is where it belongs. */
static uint32_t *find_slot(const type_table *t, const cpy_type_counts *counts, const PyTypeObject *type) {
    size_t at = hash_type(type) & (t->size - 1);
    while (t->slots[at] != 0 && counts->items[t->slots[at] - 1].type != type) {
        at = (at + 1) & (t->size - 1);
    }
    return &t->slots[at];
}

static int grow_table(type_table *t, const cpy_type_counts *counts) {
    size_t size = t->size == 0 ? 1024 : 2 * t->size;
    uint32_t *slots = mpr_alloc_array(t->alloc, size, sizeof *slots);
    if (slots == NULL) {
        return MPR_ENOMEM;
    }
    mpr_alloc_free(t->alloc, t->slots, t->size, sizeof *t->slots);
    *t = (type_table){.alloc = t->alloc, .slots = slots, .size = size};
    for (size_t i = 0; i < counts->count; i++) {
        *find_slot(t, counts, counts->items[i].type) = (uint32_t)i + 1;
    }
    return MPR_OK;
}

static int count_type(type_table *t, cpy_type_counts *counts, PyTypeObject *type) {
    if (2 * counts->count >= t->size && grow_table(t, counts) != MPR_OK) {
        return MPR_ENOMEM;
    }
    uint32_t *slot = find_slot(t, counts, type);
    if (*slot == 0) {
        if (mpr_vec_push(counts, t->alloc, ((cpy_type_count){.type = type})) != MPR_OK) {
            return MPR_ENOMEM;
        }
        *slot = (uint32_t)counts->count;
    }
    counts->items[*slot - 1].count++;
    return MPR_OK;
}

int cpy_tracked_count(const cpy_objects *objects, mpr_alloc *alloc, cpy_type_counts *out) {
    type_table table = {.alloc = alloc};
    int status = MPR_OK;
    memset(out, 0, sizeof *out);
    for (size_t i = 0; status == MPR_OK && i < objects->count; i++) {
        fetch_ahead(objects, i);
        status = count_type(&table, out, Py_TYPE(objects->items[i]));
    }
    mpr_alloc_free(alloc, table.slots, table.size, sizeof *table.slots);
    return status;
}

/* ---- what they refer to ---- */

static int add_target(PyObject *target, void *context) {
    uint32_t handle;
    int added = target == NULL ? 0 : mpr_addrset_add(context, (uint64_t)(uintptr_t)target, &handle);
    return added < 0 ? added : 0;
}

int cpy_tracked_targets(const cpy_objects *objects, const PyObject *left, const PyObject *out, mpr_addrset *targets) {
    int status = MPR_OK;
    for (size_t i = 0; status == MPR_OK && i < objects->count; i++) {
        PyObject *object = objects->items[i];
        fetch_ahead(objects, i);
        if (object != left && object != out) {
            status = Py_TYPE(object)->tp_traverse(object, add_target, targets);
        }
    }
    return status;
}

/* ---- who refers to them ---- */

#define SIEVE 65536 /* bits by low bits of the granule: nearly all references that do not count end here */

typedef struct collector {
    cpy_holders_entries found;
    mpr_alloc *alloc;
    cpy_holders *holders;
    uint32_t holder;
    bool any; /* the holder in hand has an entry */
    uint64_t sieve[SIEVE / 64];
} collector;

static uint32_t granule_of(const PyObject *object) { return (uint32_t)((uintptr_t)object >> 4); }

/* Objects that lie together are in one bucket or in the next. */
static size_t bucket_of(const cpy_holders *h, uint32_t granule) { return granule >> 2 & (h->buckets - 1); }

/* Index of the region of an address, or region_count. */
static uint32_t region_of(const cpy_holders *h, const PyObject *object) {
    uint32_t i = 0;
    while (i < h->region_count && h->regions[i] != (uintptr_t)object >> 36) {
        i++;
    }
    return i;
}

static int make_region(cpy_holders *h, const PyObject *object, uint32_t *region) {
    *region = region_of(h, object);
    if (*region == CPY_REGIONS) {
        return MPR_ELIMIT;
    }
    if (*region == h->region_count) {
        h->regions[h->region_count++] = (uintptr_t)object >> 36;
    }
    return MPR_OK;
}

static int by_address(const void *left, const void *right) {
    uintptr_t a = (uintptr_t)*(PyObject *const *)left, b = (uintptr_t)*(PyObject *const *)right;
    return (a > b) - (a < b);
}

bool cpy_holders_covers(const cpy_holders *h, const PyObject *target) {
    return h->all || (h->targets.count > 0 &&
                      bsearch(&target, h->targets.items, h->targets.count, sizeof *h->targets.items, by_address) != NULL);
}

static int collect(PyObject *target, void *context) {
    collector *c = context;
    uint32_t granule = granule_of(target);
    if (target == NULL || !(c->sieve[granule % SIEVE / 64] >> granule % 64 & 1) || !cpy_holders_covers(c->holders, target)) {
        return 0;
    }
    cpy_holders_entry entry = {.granule = granule, .holder = c->holder};
    uint32_t region;
    int status = make_region(c->holders, target, &region);
    entry.region = region;
    c->any = true;
    return status != MPR_OK ? status : mpr_vec_push(&c->found, c->alloc, entry);
}

/* Ask every object; those that refer to something wanted are kept in `objects` and numbered. */
static int collect_all(cpy_objects *objects, collector *c, const PyObject *besides) {
    size_t kept = 0;
    int status = MPR_OK;
    for (size_t i = 0; status == MPR_OK && i < objects->count; i++) {
        PyObject *object = objects->items[i];
        fetch_ahead(objects, i);
        if (i + AHEAD / 2 < objects->count) {
            cpy_layout_prefetch(objects->items[i + AHEAD / 2]);
        }
        if (object == besides) {
            continue;
        }
        c->holder = (uint32_t)kept;
        c->any = false;
        status = Py_TYPE(object)->tp_traverse(object, collect, c);
        if (c->any) {
            objects->items[kept++] = object;
        }
    }
    objects->count = kept;
    return status;
}

static int choose_targets(cpy_holders *h, collector *c, PyObject *targets) {
    h->all = targets == NULL;
    if (h->all) {
        memset(c->sieve, 0xff, sizeof c->sieve);
        return MPR_OK;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(targets); i++) {
        PyObject *target = PyList_GET_ITEM(targets, i);
        uint32_t granule = granule_of(target);
        c->sieve[granule % SIEVE / 64] |= UINT64_C(1) << granule % 64;
        if (mpr_vec_push(&h->targets, h->alloc, target) != MPR_OK) {
            return MPR_ENOMEM;
        }
    }
    if (h->targets.count > 1) {
        qsort(h->targets.items, h->targets.count, sizeof *h->targets.items, by_address);
    }
    return MPR_OK;
}

/* Counting sort: count, add up, and place from the last to the first, which leaves first[] where each bucket begins. */
static int sort_entries(cpy_holders *h, const cpy_holders_entries *found) {
    for (h->buckets = 1; 4 * h->buckets < found->count; h->buckets *= 2) {
    }
    h->first = mpr_alloc_array(h->alloc, h->buckets + 1, sizeof *h->first);
    if (h->first == NULL || mpr_vec_reserve(&h->entries, h->alloc, found->count) != MPR_OK) {
        return MPR_ENOMEM;
    }
    h->entries.count = found->count;
    for (size_t k = 0; k < found->count; k++) {
        h->first[bucket_of(h, found->items[k].granule)]++;
    }
    for (size_t b = 1; b <= h->buckets; b++) {
        h->first[b] += h->first[b - 1];
    }
    for (size_t k = found->count; k-- > 0;) {
        h->entries.items[--h->first[bucket_of(h, found->items[k].granule)]] = found->items[k];
    }
    return MPR_OK;
}

/* Is the entry about this object? */
static bool is_about(const cpy_holders_entry *entry, uint32_t granule, uint32_t region) {
    return entry->granule == granule && entry->region == region;
}

/* ---- life ---- */

enum { UNKNOWN, ALIVE, GARBAGE };

/* Those with more references than were found are alive: something that is not tracked holds them. */
static int find_external(cpy_holders *h, const cpy_objects *objects) {
    h->life = mpr_alloc_array(h->alloc, objects->count, 1);
    if (h->life == NULL) {
        return MPR_ENOMEM;
    }
    for (size_t i = 0; i < objects->count; i++) {
        PyObject *object = objects->items[i];
        uint32_t granule = granule_of(object), region = region_of(h, object);
        size_t bucket = bucket_of(h, granule);
        uint64_t found = 0;
        fetch_ahead(objects, i);
        for (size_t k = h->first[bucket]; k < h->first[bucket + 1]; k++) {
            found += is_about(&h->entries.items[k], granule, region);
        }
        h->life[i] = cpy_is_immortal(object) || cpy_refcount(object) > found ? ALIVE : UNKNOWN;
    }
    return MPR_OK;
}

typedef struct look {
    uint32_t holder, granule, region;
    size_t at, end; /* entries still to be looked at */
} look;

typedef MPR_VEC(look) looks;

static look look_at(const cpy_holders *h, uint32_t holder) {
    const PyObject *object = h->objects.items[holder];
    uint32_t granule = granule_of(object);
    size_t bucket = bucket_of(h, granule);
    return (look){
        .holder = holder, .granule = granule, .region = region_of(h, object), .at = h->first[bucket], .end = h->first[bucket + 1]};
}

/* Go backwards, depth first, until something is alive: then the whole way from there is. What is met without that is garbage, all of it;
 * it is taken for garbage meanwhile, and what was left behind on the way becomes unknown again. */
static int is_alive(cpy_holders *h, uint32_t holder, bool *alive) {
    looks way = {0};
    cpy_objects met = {0};
    int status = MPR_OK;
    *alive = h->life[holder] == ALIVE;
    if (h->life[holder] == UNKNOWN) {
        h->life[holder] = GARBAGE;
        status = mpr_vec_push(&way, h->alloc, look_at(h, holder));
    }
    while (status == MPR_OK && way.count > 0 && !*alive) {
        look *top = &way.items[way.count - 1];
        if (top->at == top->end) {
            way.count--;
            status = mpr_vec_push(&met, h->alloc, (PyObject *)(uintptr_t)top->holder);
            continue;
        }
        const cpy_holders_entry *entry = &h->entries.items[top->at++];
        if (!is_about(entry, top->granule, top->region)) {
            continue;
        }
        *alive = h->life[entry->holder] == ALIVE;
        if (h->life[entry->holder] == UNKNOWN) {
            h->life[entry->holder] = GARBAGE;
            status = mpr_vec_push(&way, h->alloc, look_at(h, entry->holder));
        }
    }
    bool sure = status == MPR_OK;
    for (size_t i = 0; i < way.count; i++) {
        h->life[way.items[i].holder] = sure ? ALIVE : UNKNOWN;
    }
    for (size_t i = 0; i < met.count && (*alive || !sure); i++) {
        h->life[(uintptr_t)met.items[i]] = UNKNOWN;
    }
    mpr_vec_free(&way, h->alloc);
    mpr_vec_free(&met, h->alloc);
    return status;
}

/* ---- making and asking ---- */

static int index_holders(cpy_holders *h, cpy_objects *objects, collector *c, PyObject *targets) {
    int status = objects->count >> 28 != 0 ? MPR_ELIMIT : choose_targets(h, c, targets);
    if (status == MPR_OK) {
        status = collect_all(objects, c, targets);
    }
    if (status == MPR_OK) {
        status = c->found.count > UINT32_MAX ? MPR_ELIMIT : sort_entries(h, &c->found);
    }
    return status == MPR_OK && h->all ? find_external(h, objects) : status;
}

int cpy_holders_make(cpy_holders *h, mpr_alloc *alloc, const cpy_proofs *proofs, PyObject *targets) {
    memset(h, 0, sizeof *h);
    h->alloc = alloc;
    cpy_objects objects;
    collector c = {.alloc = alloc, .holders = h};
    int status = cpy_tracked_gather(&objects, alloc, proofs);
    if (status == MPR_OK) {
        status = index_holders(h, &objects, &c, targets);
    }
    mpr_vec_free(&c.found, alloc);
    if (status != MPR_OK) {
        mpr_alloc_free(alloc, h->life, objects.count, 1);
        h->life = NULL;
        mpr_vec_free(&objects, alloc);
        return status;
    }
    for (size_t i = 0; i < objects.count; i++) {
        fetch_ahead(&objects, i);
        Py_INCREF(objects.items[i]);
    }
    h->objects = objects;
    return MPR_OK;
}

int cpy_holders_find(cpy_holders *h, const PyObject *target, cpy_objects *out) {
    uint32_t granule = granule_of(target), region = region_of(h, target), last = UINT32_MAX;
    size_t bucket = bucket_of(h, granule);
    int status = MPR_OK;
    for (size_t k = h->first[bucket]; status == MPR_OK && k < h->first[bucket + 1]; k++) {
        const cpy_holders_entry *entry = &h->entries.items[k];
        bool alive = true;
        if (!is_about(entry, granule, region) || entry->holder == last) {
            continue;
        }
        last = entry->holder;
        status = h->all ? is_alive(h, last, &alive) : MPR_OK;
        if (status == MPR_OK && alive) {
            status = mpr_vec_push(out, h->alloc, h->objects.items[last]);
        }
    }
    return status;
}

void cpy_holders_free(cpy_holders *h) {
    if (h->alloc == NULL) {
        return;
    }
    mpr_alloc_free(h->alloc, h->first, h->buckets + 1, sizeof *h->first);
    mpr_vec_free(&h->entries, h->alloc);
    mpr_vec_free(&h->targets, h->alloc);
    cpy_objects objects = h->objects;
    mpr_alloc_free(h->alloc, h->life, objects.count, 1);
    h->objects = (cpy_objects){0};
    for (size_t i = 0; i < objects.count; i++) {
        fetch_ahead(&objects, i);
        Py_DECREF(objects.items[i]);
    }
    mpr_vec_free(&objects, h->alloc);
}
