/* SPDX-License-Identifier: MIT
 * pyarrow: buffers, arrays, chunked arrays and tables, and so the default str column of pandas, which is one of these.
 *
 * A Python object refers to C++ objects by shared pointers, { object, control block { .., uses, .. } }, and these to others:
 *
 *   Table ──▶ ChunkedArray ──▶ Array ──▶ ArrayData ──▶ Buffer ──▶ memory of a pool
 *
 * Any of them may be shared, and there is no owner: each use has its share of the buffer's capacity. So the shares of all objects add up to
 * what the pool gave, or to less when C++ has uses, too; nothing is counted twice. Buffers of children and dictionaries, the C++ objects
 * themselves (some hundred bytes), and what is no pool's are not counted: the rows are partial. What a Python object refers to does not
 * change while it lives. */
#include "cpython/library.h"

#define SHARED_WORD 4 /* of the Python object: weak references, Cython's table, the shared pointer, its object again */
#define MOST 65536    /* elements of a vector, or it is none */

typedef struct shared {
    const size_t *object;
    const size_t *control; /* { virtual table, uses (32 bits), weak uses + 1 (32 bits) } */
} shared;

/* The virtual table of buffers that own memory of a pool: of the library that is loaded, and so of the whole process. Found by the proof. */
static size_t pool_buffers;

static size_t uses(const shared *pointer) { return (uint32_t)pointer->control[1]; }

static const shared *of_python(PyObject *object) { return (const shared *)&SIZE_WORD(object, SHARED_WORD); }

/* The shared pointers of a std::vector { begin, end, .. }, or NULL. */
static const shared *elements(const size_t *vector, size_t *count) {
    *count = (vector[1] - vector[0]) / sizeof(shared);
    return vector[0] != 0 && vector[1] >= vector[0] && *count <= MOST ? (const shared *)vector[0] : NULL;
}

/* ---- shares ---- */

/* Each says the bytes of one use of what is pointed to, and gives the buffers to `blocks`, each with its part of them: the bytes by `users`,
 * the uses of all that was followed to get there. */

/* A buffer: { table, flags, memory, size, capacity .. } */
static size_t share_of_buffer(const shared *buffer, cpy_blocks *blocks, size_t users) {
    bool counts = buffer->object != NULL && buffer->control != NULL && uses(buffer) > 0 && buffer->object[0] == pool_buffers;
    size_t bytes = counts ? buffer->object[4] / uses(buffer) : 0;
    if (blocks != NULL && counts) {
        cpy_block(blocks, (const void *)buffer->object[2], bytes / users);
    }
    return bytes;
}

/* { type (shared), length, nulls, offset, buffers (vector) .. } */
static size_t share_of_data(const shared *data, cpy_blocks *blocks, size_t users) {
    size_t count, sum = 0;
    if (data->object == NULL || data->control == NULL || uses(data) == 0) {
        return 0;
    }
    const shared *buffers = elements(&data->object[5], &count);
    for (size_t i = 0; buffers != NULL && i < count; i++) {
        sum += share_of_buffer(&buffers[i], blocks, users * uses(data));
    }
    return sum / uses(data);
}

/* { table, data (shared) .. } */
static size_t share_of_array(const shared *array, cpy_blocks *blocks, size_t users) {
    bool counts = array->object != NULL && array->control != NULL && uses(array) > 0;
    return counts ? share_of_data((const shared *)&array->object[1], blocks, users * uses(array)) / uses(array) : 0;
}

/* { arrays (vector) .. } */
static size_t share_of_chunked(const shared *chunked, cpy_blocks *blocks, size_t users) {
    size_t count, sum = 0;
    if (chunked->object == NULL || chunked->control == NULL || uses(chunked) == 0) {
        return 0;
    }
    const shared *arrays = elements(chunked->object, &count);
    for (size_t i = 0; arrays != NULL && i < count; i++) {
        sum += share_of_array(&arrays[i], blocks, users * uses(chunked));
    }
    return sum / uses(chunked);
}

/* { table, schema (shared), rows, chunked arrays (vector) .. } */
static size_t share_of_table(const shared *table, cpy_blocks *blocks, size_t users) {
    size_t count, sum = 0;
    if (table->object == NULL || table->control == NULL || uses(table) == 0) {
        return 0;
    }
    const shared *columns = elements(&table->object[4], &count);
    for (size_t i = 0; columns != NULL && i < count; i++) {
        sum += share_of_chunked(&columns[i], blocks, users * uses(table));
    }
    return sum / uses(table);
}

static size_t owned_buffer(PyObject *object, cpy_blocks *blocks) { return share_of_buffer(of_python(object), blocks, 1); }
static size_t owned_array(PyObject *object, cpy_blocks *blocks) { return share_of_array(of_python(object), blocks, 1); }
static size_t owned_chunked(PyObject *object, cpy_blocks *blocks) { return share_of_chunked(of_python(object), blocks, 1); }
static size_t owned_table(PyObject *object, cpy_blocks *blocks) { return share_of_table(of_python(object), blocks, 1); }

/* ---- proofs: on objects that nothing else uses, with one buffer of 1,000 bytes ---- */

/* Is it a shared pointer, and the only use of its object? To be asked before it is followed. */
static bool is_only_use(const shared *pointer) {
    return cpy_is_pointer((size_t)pointer->object) && cpy_is_pointer((size_t)pointer->control) &&
           pointer->control[1] == (UINT64_C(1) << 32 | 1) && cpy_is_pointer(pointer->control[0]);
}

static bool is_of_python(PyObject *object) { return is_only_use(of_python(object)); }

static const shared *only_element(const size_t *vector, size_t wanted) {
    size_t count;
    bool right = cpy_is_pointer(vector[0]) && cpy_is_pointer(vector[1]);
    const shared *items = right ? elements(vector, &count) : NULL;
    return items != NULL && count == wanted && is_only_use(&items[wanted - 1]) ? &items[wanted - 1] : NULL;
}

static bool proves_buffer(const shared *buffer) {
    const size_t *words = buffer->object;
    return cpy_is_pointer(words[0]) && cpy_is_pointer(words[2]) && words[3] == 1000 && words[4] == 1024 &&
           (pool_buffers == 0 || pool_buffers == words[0]);
}

static bool proves_array(const shared *array) {
    const shared *data = (const shared *)&array->object[1], *buffer;
    bool right = is_only_use(data) && data->object[2] == 1000 && data->object[4] == 0;
    buffer = right ? only_element(&data->object[5], 2) : NULL; /* the first is for nulls, of which there are none */
    return buffer != NULL && proves_buffer(buffer);
}

static bool proves_chunked(const shared *chunked) {
    const shared *array = only_element(chunked->object, 1);
    return array != NULL && chunked->object[5] == 1000 && proves_array(array);
}

static bool check_buffer(PyObject *buffer) {
    bool right = is_of_python(buffer) && proves_buffer(of_python(buffer));
    pool_buffers = right ? of_python(buffer)->object[0] : 0;
    return right;
}

static bool check_array(PyObject *array) {
    return pool_buffers != 0 && is_of_python(array) && SIZE_WORD(array, 6) == SIZE_WORD(array, 4) && proves_array(of_python(array));
}

static bool check_chunked(PyObject *chunked) {
    return pool_buffers != 0 && is_of_python(chunked) && SIZE_WORD(chunked, 6) == SIZE_WORD(chunked, 4) &&
           proves_chunked(of_python(chunked));
}

static bool check_table(PyObject *table) {
    bool right = pool_buffers != 0 && is_of_python(table) && SIZE_WORD(table, 6) == SIZE_WORD(table, 4);
    const size_t *words = right ? of_python(table)->object : NULL;
    const shared *column = right && words[3] == 1000 ? only_element(&words[4], 1) : NULL;
    return column != NULL && proves_chunked(column);
}

/* ---- the table ---- */

/* Nothing here asks pyarrow to convert: it would import pandas. */
#define WITH_L(expression) "(lambda L: " expression ")(__import__('sys').modules['pyarrow.lib'])"
#define AN_ARRAY "L.Array.from_buffers(L.uint8(), 1000, [None, L.allocate_buffer(1000)])"

const cpy_library cpy_library_arrow[] = {
    {{.name = "pyarrow.lib.Buffer", .owned = owned_buffer, .partial = true, .own_pool = true},
     "pyarrow.lib",
     "Buffer",
     WITH_L("L.allocate_buffer(1000)"),
     check_buffer},
    {{.name = "pyarrow.lib.Array", .owned = owned_array, .partial = true, .own_pool = true},
     "pyarrow.lib",
     "Array",
     WITH_L(AN_ARRAY),
     check_array},
    {{.name = "pyarrow.lib.ChunkedArray", .owned = owned_chunked, .partial = true, .own_pool = true},
     "pyarrow.lib",
     "ChunkedArray",
     WITH_L("L.chunked_array([" AN_ARRAY "])"),
     check_chunked},
    {{.name = "pyarrow.lib.Table", .owned = owned_table, .partial = true, .own_pool = true},
     "pyarrow.lib",
     "Table",
     WITH_L("T.from_arrays([" AN_ARRAY "], ['a'])"),
     check_table},
    {{.name = NULL}, NULL, NULL, NULL, NULL},
};
