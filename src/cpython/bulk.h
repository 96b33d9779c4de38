/* SPDX-License-Identifier: MIT
 * Bulk: large private buffers that refer to nothing, as of a numpy array or a bytearray.
 *
 * They say nothing of the heap, and the process that goes on may be writing to them: each page would be copied, and huge pages be broken
 * up, which makes the next fork longer. So a forked child gives them back, when it tells their owner; and at its start those that the
 * child before it has met, if they are still what they were. */
#ifndef CPY_BULK_H
#define CPY_BULK_H

#include "cpython/walk.h"

#define CPY_BULK_LEAST ((size_t)256 << 10) /* bytes */
#define CPY_BULK_MOST 1024

struct cpy_bulk {
    uint32_t count;
    struct cpy_bulk_row {
        PyObject *owner;
        PyTypeObject *type;
        const void *begin;
        size_t size;
    } rows[CPY_BULK_MOST];
};

/* Give back what is known, and know nothing. Only in a forked child. The bytes of it that were in memory. */
uint64_t cpy_bulk_forget_known(cpy_walk *walk);

/* Give back what the object in hand has, if anything, and know it. */
void cpy_bulk_forget(cpy_walk *walk);

#endif
