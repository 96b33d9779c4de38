/* SPDX-License-Identifier: MIT
 * See cpython/tracked.h. A chain of list links is a chain of cache misses, which cpy_heap_each follows from both ends; what comes after is a loop
 * over an array, which can be fetched ahead. */
#include "cpython/tracked.h"

#include <string.h>

#include "base/map.h"

/* ---- all of them ---- */

typedef struct gathering {
    cpy_objects *young, old; /* from each end */
    size_t counts[CPY_HEAP_PERMANENT]; /* of each generation */
    mpr_alloc *alloc;
} gathering;

static int gather(void *context, PyObject *object, int generation, bool from_young) {
    gathering *g = context;
    if (generation == CPY_HEAP_PERMANENT) {
        return MPR_OK;
    }
    if (cpy_is_being_made(object)) {
        return MPR_OK;
    }
    g->counts[generation]++;
    cpy_objects *end = from_young ? g->young : &g->old;
    return mpr_vec_push(end, g->alloc, object);
}

static void reverse(PyObject **items, size_t count) {
    for (size_t i = 0; i < count / 2; i++) {
        PyObject *other = items[count - 1 - i];
        items[count - 1 - i] = items[i];
        items[i] = other;
    }
}

/* What came from the young end, and behind it what came from the old end, backwards, is the youngest first. gc.get_objects() has the generations in
 * that order, and the oldest of each first. */
static int put_in_order(gathering *g) {
    cpy_objects *out = g->young;
    if (mpr_vec_reserve(out, g->alloc, g->old.count) != MPR_OK) {
        return MPR_ENOMEM;
    }
    for (size_t i = g->old.count; i-- > 0;) {
        out->items[out->count++] = g->old.items[i];
    }
    PyObject **first = out->items;
    for (int generation = 0; generation < CPY_HEAP_PERMANENT; generation++) {
        reverse(first, g->counts[generation]);
        first += g->counts[generation];
    }
    return MPR_OK;
}

int cpy_tracked_gather(cpy_objects *out, mpr_alloc *alloc, const cpy_proofs *proofs) {
    cpy_heap heap;
    gathering g = {.young = out, .alloc = alloc};
    memset(out, 0, sizeof *out);
    int status = cpy_heap_begin(&heap, proofs);
    if (status == MPR_OK) {
        status = cpy_heap_each(&heap, gather, &g);
    }
    if (status == MPR_OK) {
        status = put_in_order(&g);
    }
    mpr_vec_free(&g.old, alloc);
    cpy_heap_end(&heap); /* the list may go: it was not alone in holding them */
    return status;
}

/* ---- by type ---- */

int cpy_tracked_count(const cpy_objects *objects, mpr_alloc *alloc, cpy_type_counts *out) {
    mpr_map rows = {.alloc = alloc}; /* by type: index into *out */
    int status = MPR_OK, made = 0;
    memset(out, 0, sizeof *out);
    for (size_t i = 0; status == MPR_OK && i < objects->count; i++) {
        cpy_tracked_fetch_ahead(objects, i);
        PyTypeObject *type = Py_TYPE(objects->items[i]);
        uint32_t *row = mpr_map_add(&rows, mpr_map_mix((uintptr_t)type, 0), &made);
        if (row != NULL && made) {
            *row = (uint32_t)out->count;
            status = mpr_vec_push(out, alloc, ((cpy_type_count){.type = type}));
        }
        status = row == NULL ? MPR_ENOMEM : status;
        if (status == MPR_OK) {
            out->items[*row].count++;
        }
    }
    mpr_map_free(&rows);
    return status;
}

/* ---- what they refer to ---- */

static int add_target(PyObject *target, void *context) {
    uint32_t handle;
    int added = target == NULL ? 0 : mpr_addrset_add(context, (uint64_t)(uintptr_t)target, &handle);
    return added < 0 ? added : 0;
}

int cpy_tracked_targets(const cpy_objects *objects, const PyObject *first, const PyObject *second, mpr_addrset *targets) {
    int status = MPR_OK;
    for (size_t i = 0; status == MPR_OK && i < objects->count; i++) {
        PyObject *object = objects->items[i];
        cpy_tracked_fetch_ahead(objects, i);
        if (object != first && object != second) {
            status = Py_TYPE(object)->tp_traverse(object, add_target, targets);
        }
    }
    return status;
}
