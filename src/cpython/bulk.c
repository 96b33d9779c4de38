/* SPDX-License-Identifier: MIT
 * Giving bulk back, and being sure of it. */
#include "cpython/bulk.h"

#include "base/os/child.h"
#include "base/os/maps.h"

#define PAGE ((uintptr_t)4096)

static const void *bulk_of(const cpy_type *type, PyObject *object, size_t *size) {
    *size = 0;
    return type->kind->bulk == NULL ? NULL : type->kind->bulk(object, size);
}

/* Is the owner alive? Whoever frees a block writes to its first word, the reference count, or fills all of it. */
MPR_MAPS_ANY_MEMORY static bool is_still(cpy_walk *walk, const struct cpy_bulk_row *row) {
    unsigned char resident[256];
    uintptr_t begin = (uintptr_t)row->owner / PAGE * PAGE, end = (uintptr_t)row->owner + (uintptr_t)row->type->tp_basicsize;
    size_t pages = (end - begin + PAGE - 1) / PAGE, size;
    mpr_maps_resident(begin, pages, resident);
    for (size_t i = 0; i < pages; i++) {
        if (!(resident[i] & 1)) {
            return false;
        }
    }
    if (Py_TYPE(row->owner) != row->type || cpy_refcount(row->owner) == 0 || cpy_refcount(row->owner) > UINT32_MAX) {
        return false;
    }
    const cpy_type *type = cpy_type_of(walk, row->type);
    return type != NULL && bulk_of(type, row->owner, &size) == row->begin && size == row->size;
}

uint64_t cpy_bulk_forget_known(cpy_walk *walk) {
    cpy_bulk *known = walk->bulk;
    uint64_t resident = 0;
    for (uint32_t i = 0; i < known->count; i++) {
        if (is_still(walk, &known->rows[i])) {
            resident += mpr_child_forget(known->rows[i].begin, known->rows[i].size);
        }
    }
    known->count = 0;
    return resident;
}

/* An instance of a class that may go before it is looked at again is not kept in mind. */
void cpy_bulk_forget(cpy_walk *walk) {
    struct cpy_bulk_row row = {.owner = walk->object, .type = walk->type->type};
    row.begin = bulk_of(walk->type, row.owner, &row.size);
    if (row.begin == NULL || row.size < CPY_BULK_LEAST) {
        return;
    }
    mpr_child_forget(row.begin, row.size);
    if (walk->bulk->count < CPY_BULK_MOST && !walk->type->is_python) {
        walk->bulk->rows[walk->bulk->count++] = row;
    }
}
