/* SPDX-License-Identifier: MIT
 * The references between tracked objects, backwards.
 *
 * Each object is asked once, by its tp_traverse, to what it refers. What counts becomes an entry of eight bytes {target, holder}, and a
 * counting sort puts the entries into buckets by the target's address:
 *
 *   first   0 ──┐    3 ──┐     3        5 ─┐          bucket b: entries first[b] .. first[b + 1] - 1
 *   entries [a←7][b←7][a←9] [c←2][d←2]    ...         in a bucket in the order of the holders, as found
 *
 * Objects that lie together are in one bucket or in the next, so that questions about neighbours read the same lines of the cache. A target is
 * 32 bits of its address, within one of 16 regions of 64 GiB: an address is not a hash, and no entry is about another object.
 *
 * Made for all, it knows garbage, too, by the collector's own argument: what has no more references than tracked objects explain, and is
 * referred to by such alone, is unreachable. So nobody needs to collect first, which costs more than the index does. Whether an
 * object is alive is found when it is asked, backwards and depth first, and kept.
 *
 * Cost: one tp_traverse of everything; 8 bytes a reference that counts and 9 an object, twice as much while it is made. */
#include "cpython/holders.h"

#include <stdlib.h>
#include <string.h>

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
    if (*region == CPY_HOLDERS_REGIONS) {
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
        cpy_tracked_fetch_ahead(objects, i);
        if (i + CPY_TRACKED_AHEAD / 2 < objects->count) {
            cpy_layout_prefetch(objects->items[i + CPY_TRACKED_AHEAD / 2]);
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

/* ---- what is alive ---- */

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
        cpy_tracked_fetch_ahead(objects, i);
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
    MPR_VEC(uint32_t) met = {0};
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
            status = mpr_vec_push(&met, h->alloc, top->holder);
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
        h->life[met.items[i]] = UNKNOWN;
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
        cpy_tracked_fetch_ahead(&objects, i);
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
        cpy_tracked_fetch_ahead(&objects, i);
        Py_DECREF(objects.items[i]);
    }
    mpr_vec_free(&objects, h->alloc);
}
