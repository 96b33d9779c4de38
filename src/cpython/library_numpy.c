/* SPDX-License-Identifier: MIT
 * numpy: arrays, and the strings of its StringDType. */
#include <string.h>

#include "cpython/library.h"
#include "graph/label.h"

/* numpy's array, whose head is numpy's stable binary interface:
 * { data, dimensions, shape, strides, base, descriptor, flags ... } */
enum { NUMPY_C_ORDER = 1, NUMPY_F_ORDER = 2, NUMPY_OWNS = 4 };

static size_t numpy_bytes(PyObject *object) {
    int dimensions = INT(object, 6);
    const Py_ssize_t *shape = (const Py_ssize_t *)WORD(object, 4), *strides = (const Py_ssize_t *)WORD(object, 5);
    size_t bytes = dimensions == 0 ? sizeof(double) : 0;
    for (int i = 0; i < dimensions; i++) {
        size_t span = (size_t)shape[i] * (size_t)(strides[i] < 0 ? -strides[i] : strides[i]);
        bytes = span > bytes ? span : bytes;
    }
    return bytes;
}

/* Give the data of an array that owns them. They refer to nothing, and are one piece, where they are numbers without gaps. What an array
 * without dimensions has is estimated: it is not located, unless it is a number. */
static void give_numpy_data(PyObject *object, size_t bytes, cpy_blocks *blocks) {
    bool without_gaps = (INT(object, 16) & (NUMPY_C_ORDER | NUMPY_F_ORDER)) != 0;
    char kind = BYTE(WORD(object, 7), 24);
    bool estimated = INT(object, 6) == 0 && strchr("biufcmM", kind) == NULL;
    if (without_gaps && !estimated && strchr("biufcmMSU", kind) != NULL) {
        cpy_leaf_block(blocks, WORD(object, 2), bytes);
    } else {
        cpy_block(blocks, estimated ? NULL : WORD(object, 2), bytes);
    }
}

/* Shape and strides are one block. */
static size_t owned_numpy(PyObject *object, cpy_blocks *blocks) {
    bool owns = (INT(object, 16) & NUMPY_OWNS) != 0;
    size_t dimensions = (size_t)INT(object, 6);
    bool together = (const Py_ssize_t *)WORD(object, 5) == (const Py_ssize_t *)WORD(object, 4) + dimensions;
    size_t shape = cpy_block(blocks, together ? WORD(object, 4) : NULL, dimensions * 2 * sizeof(Py_ssize_t));
    size_t data = owns ? numpy_bytes(object) : 0;
    if (blocks != NULL && owns) {
        give_numpy_data(object, data, blocks);
    }
    return shape + data;
}

static void edges_numpy(cpy_emit *emit, PyObject *object) {
    PyObject *base = WORD(object, 6), *descriptor = WORD(object, 7);
    cpy_emit_reference(emit, base, mpr_label_field(MPR_FIELD_NUMPY_BASE));
    cpy_emit_reference(emit, descriptor, mpr_label_field(MPR_FIELD_DTYPE));
    if (BYTE(descriptor, 24) == 'O' && (INT(object, 16) & NUMPY_OWNS) != 0) {
        cpy_emit_items(emit, (PyObject *const *)WORD(object, 2), (Py_ssize_t)(numpy_bytes(object) / sizeof(PyObject *)), false);
    }
}

static bool check_numpy(PyObject *array) {
    return INT(array, 6) == 2 && ((const Py_ssize_t *)WORD(array, 4))[0] == 7 && ((const Py_ssize_t *)WORD(array, 4))[1] == 3 &&
           numpy_bytes(array) == 7 * 3 * sizeof(double) && (INT(array, 16) & NUMPY_OWNS) != 0 && BYTE(WORD(array, 7), 24) == 'f';
}

/* The strings of a StringDType array are in an arena of its descriptor, whose last word refers to { three functions, arena { used, bytes,
 * memory }, lock }. A string that was replaced by a longer one has a block of malloc: the row is partial. */
#define STRINGS_WORD 17

static size_t owned_strings(PyObject *object, cpy_blocks *blocks) {
    const size_t *strings = (const size_t *)WORD(object, STRINGS_WORD);
    if (strings == NULL) {
        return 0;
    }
    size_t arena = strings[5] != 0 ? cpy_block(blocks, (const void *)strings[5], strings[4]) : 0;
    return cpy_block(blocks, strings, 7 * sizeof(size_t)) + arena;
}

/* The descriptor of an array of 100 strings of 200 bytes, each with its length before it. */
static bool check_strings(PyObject *descriptor) {
    bool has_word = (size_t)Py_TYPE(descriptor)->tp_basicsize == CPY_WORD(STRINGS_WORD + 1) * sizeof(size_t);
    const size_t *strings = has_word ? (const size_t *)WORD(descriptor, STRINGS_WORD) : NULL;
    bool follow = strings != NULL && (size_t)strings % sizeof(void *) == 0;
    return follow && strings[3] >= 20000 && strings[3] <= 20800 && strings[4] >= strings[3] && strings[4] < 2 * strings[3] &&
           strings[5] != 0;
}

/* ---- the table ---- */

const cpy_library cpy_library_numpy[] = {
    {{.name = "numpy.ndarray", .owned = owned_numpy, .edges = edges_numpy}, "numpy", "ndarray", "T((7, 3))", check_numpy},
    {{.name = "numpy.dtypes.StringDType", .owned = owned_strings, .partial = true},
     "numpy.dtypes",
     "StringDType",
     "__import__('sys').modules['numpy'].array(['x' * 200] * 100, dtype=T()).dtype",
     check_strings},
    {{.name = NULL}, NULL, NULL, NULL, NULL},
};
