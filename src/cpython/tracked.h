/* SPDX-License-Identifier: MIT
 * The heap as the collector sees it: the objects that it tracks, in the order of its lists, and what they refer to by tp_traverse. These are the
 * answers of gc.get_objects(), for many questions at the price of one; holders.h has those of gc.get_referrers().
 *
 * Used by src/binding. */
#ifndef CPY_TRACKED_H
#define CPY_TRACKED_H

#include "base/addrset.h"
#include "base/status.h"
#include "base/vec.h"
#include "cpython/heap.h"

#define CPY_TRACKED_AHEAD 16

typedef MPR_VEC(PyObject *) cpy_objects; /* borrowed: valid until Python runs */

/* Begin to fetch an object that comes later in a loop. */
static inline void cpy_tracked_fetch_ahead(const cpy_objects *objects, size_t i) {
    if (i + CPY_TRACKED_AHEAD < objects->count) {
        __builtin_prefetch(objects->items[i + CPY_TRACKED_AHEAD]);
    }
}

/* Every tracked object, in the order of gc.get_objects(), with frozen ones where that has them. The caller frees `out` in any case. This, and what
 * is done with what it gave, is work for one pause (pause.h). */
int cpy_tracked_gather(cpy_objects *out, mpr_alloc *alloc, const cpy_proofs *proofs);

typedef struct cpy_type_count {
    PyTypeObject *type;
    size_t count;
} cpy_type_count;

typedef MPR_VEC(cpy_type_count) cpy_type_counts;

/* How many objects there are of each type, in the order in which the types are first met. */
int cpy_tracked_count(const cpy_objects *objects, mpr_alloc *alloc, cpy_type_counts *out);

/* Everything to which one of the objects refers, but for those equal to `first` or `second`: a set of addresses. */
int cpy_tracked_targets(const cpy_objects *objects, const PyObject *first, const PyObject *second, mpr_addrset *targets);

#endif
