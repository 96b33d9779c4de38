/* SPDX-License-Identifier: MIT
 * Discarding leaf buffers, and being sure of them. */
#include "cpython/leaf_buffers.h"

#include <string.h>

#include "base/os/child.h"
#include "base/os/maps.h"

#define PAGE ((uintptr_t)4096)

/* The largest leaf of those given. */
typedef struct largest {
    cpy_blocks blocks; /* first */
    const void *begin;
    size_t size;
} largest;

static void keep_largest(cpy_blocks *blocks, const void *address, size_t bytes, size_t leaf) {
    largest *l = (largest *)blocks;
    if (leaf > l->size) {
        l->begin = (const char *)address + bytes - leaf;
        l->size = leaf;
    }
}

/* The largest leaf buffer of the object; of size 0 where there is none. */
static largest largest_of(const cpy_types *types, const cpy_type *type, PyObject *object) {
    largest l = {.blocks = {.add = keep_largest, .only_leaves = true}};
    cpy_blocks_of(types, object, type, &l.blocks);
    return l;
}

/* Is the owner alive? Whoever frees a block writes a pointer to its first word, where the reference count was, or fills all of it. From 3.14
 * on the count is a part of that word. Only then may a formula follow what the object refers to. */
MPR_MAPS_ANY_MEMORY static bool is_still(cpy_types *types, const struct cpy_leaf_buffers_row *row) {
    unsigned char resident[256];
    uintptr_t begin = (uintptr_t)row->owner / PAGE * PAGE, end = (uintptr_t)row->owner + (uintptr_t)row->type->tp_basicsize;
    size_t pages = (end - begin + PAGE - 1) / PAGE;
    mpr_maps_resident(begin, pages, resident);
    for (size_t i = 0; i < pages; i++) {
        if (!(resident[i] & 1)) {
            return false;
        }
    }
    PyObject head;
    memcpy(&head, row->owner, sizeof head);
    if (head.ob_type != row->type || !cpy_is_plausible_head(&head)) {
        return false;
    }
    const cpy_type *type = cpy_type_of(types, row->type);
    if (type == NULL) {
        return false;
    }
    largest now = largest_of(types, type, row->owner);
    return now.begin == row->begin && now.size == row->size;
}

uint64_t cpy_leaf_buffers_discard_known(cpy_leaf_buffers *known, cpy_types *types) {
    uint64_t resident = 0;
    for (uint32_t i = 0; i < known->count; i++) {
        if (is_still(types, &known->rows[i])) {
            resident += mpr_child_discard(known->rows[i].begin, known->rows[i].size);
        }
    }
    known->count = 0;
    return resident;
}

/* An instance of a class that may go before it is looked at again is not kept in mind. */
void cpy_leaf_buffers_discard(cpy_leaf_buffers *known, const cpy_types *types, PyObject *owner, const cpy_type *type) {
    largest l = largest_of(types, type, owner);
    if (l.size < CPY_LEAF_BUFFERS_LEAST) {
        return;
    }
    mpr_child_discard(l.begin, l.size);
    if (known->count < CPY_LEAF_BUFFERS_MOST && !type->is_python) {
        known->rows[known->count++] =
            (struct cpy_leaf_buffers_row){.owner = owner, .type = type->type, .begin = l.begin, .size = l.size};
    }
}
