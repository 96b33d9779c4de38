/* SPDX-License-Identifier: MIT
 * Leaf buffers: large private blocks that refer to nothing, as of a numpy array or a bytearray.
 *
 * They say nothing of the heap, and the process that goes on may be writing to them: each page would be copied, and huge pages be broken
 * up, which makes the next fork longer. So a forked child discards them, when it emits their owner; and at its start those that the
 * child before it has met, if they are still what they were.
 *
 * Used by the layers edges and above. */
#ifndef CPY_LEAF_BUFFERS_H
#define CPY_LEAF_BUFFERS_H

#include "cpython/types.h"

#define CPY_LEAF_BUFFERS_LEAST ((size_t)256 << 10) /* bytes */
#define CPY_LEAF_BUFFERS_MOST 1024

typedef struct cpy_leaf_buffers {
    uint32_t count;
    struct cpy_leaf_buffers_row {
        PyObject *owner;
        PyTypeObject *type;
        const void *begin;
        size_t size;
    } rows[CPY_LEAF_BUFFERS_MOST];
} cpy_leaf_buffers;

/* Discard those that are known, and know none. Only in a forked child. The bytes of them that were in memory. */
uint64_t cpy_leaf_buffers_discard_known(cpy_leaf_buffers *known, cpy_types *types);

/* Discard the largest one of an object, if it has any, and know it. */
void cpy_leaf_buffers_discard(cpy_leaf_buffers *known, const cpy_types *types, PyObject *owner, const cpy_type *type);

#endif
