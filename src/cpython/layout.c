/* SPDX-License-Identifier: MIT
 * The interpreter's private layouts: where an object's block begins, code and types. Dicts and instances are in layout_dict.c, frames in
 * layout_frame.c, the interpreter, its threads and its collector in layout_interpreter.c. Facts by version; nothing is decided here about what
 * they mean. */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "cpython/layout.h"

#include <internal/pycore_gc.h>
#include <internal/pycore_interp.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_interp_structs.h>
#endif
#if PY_VERSION_HEX < 0x030B0000
#include <internal/pycore_code.h>
#endif
#include <string.h>

#include "base/os/maps.h"
#include "graph/label.h"

#define WORD(object, n) (((PyObject **)(object))[n])

#ifdef Py_GIL_DISABLED
#define LIST_ITEMS_AT sizeof(Py_ssize_t) /* of their block: _PyListArray of Objects/listobject.c */
_Static_assert(CPY_GC_TRACKED == _PyGC_BITS_TRACKED && CPY_GC_FROZEN == _PyGC_BITS_FROZEN &&
                   CPY_GC_DEFERRED == _PyGC_BITS_DEFERRED && CPY_GC_UNREACHABLE == _PyGC_BITS_UNREACHABLE,
               "the bits of ob_gc_bits have changed");
#else
#define LIST_ITEMS_AT ((size_t)0)
#endif

/* ---- blocks ---- */

size_t cpy_layout_preheader(PyTypeObject *type, bool is_gc) {
    size_t bytes = is_gc ? CPY_GC_HEAD_BYTES : 0;
#if PY_VERSION_HEX >= 0x030C0000
    bytes += type->tp_flags & (Py_TPFLAGS_MANAGED_DICT | Py_TPFLAGS_MANAGED_WEAKREF) ? 2 * sizeof(PyObject *) : 0;
#elif PY_VERSION_HEX >= 0x030B0000
    bytes += type->tp_flags & Py_TPFLAGS_MANAGED_DICT ? 2 * sizeof(PyObject *) : 0;
#else
    (void)type;
#endif
    return bytes;
}

/* Exported by every version, declared by none in a public header. Its key is where the block starts, which is in front of the object; the
 * module's own get_object_traceback() forgets the managed dict in 3.11. */
extern PyObject *_PyTraceMalloc_GetTraceback(unsigned int domain, uintptr_t pointer);

PyObject *cpy_allocation_traceback(PyObject *object) {
    size_t before = cpy_layout_preheader(Py_TYPE(object), PyObject_IS_GC(object));
    return _PyTraceMalloc_GetTraceback(0, (uintptr_t)object - before);
}

/* Python's module may never have been imported: `-X tracemalloc` starts it without. */
bool cpy_layout_traces_allocations(void) {
    PyObject *block = PyBytes_FromStringAndSize(NULL, 1000); /* from no list of free objects */
    PyObject *trace = block == NULL ? NULL : cpy_allocation_traceback(block);
    bool traces = trace != NULL && trace != Py_None;
    Py_XDECREF(trace);
    Py_XDECREF(block);
    PyErr_Clear();
    return traces;
}

bool cpy_layout_has_pools(void) {
#ifdef Py_GIL_DISABLED
    return false;
#else
    return true;
#endif
}

/* While sort() runs the list is empty, `allocated` is -1, and its items are in a buffer that only sort() knows. A list that lost its items one
 * by one keeps the block that PyMem_Realloc() gave for 0 bytes. */
size_t cpy_layout_list_bytes(const PyListObject *list, cpy_blocks *blocks) {
    const void *block = (const char *)list->ob_item - LIST_ITEMS_AT;
    if (list->ob_item == NULL) {
        return 0;
    }
    if (list->allocated == 0 && LIST_ITEMS_AT == 0) {
        cpy_uncounted_block(blocks, block);
    }
    return list->allocated < 0 ? 0 : cpy_block(blocks, block, LIST_ITEMS_AT + (size_t)list->allocated * sizeof(PyObject *));
}

void cpy_layout_prefetch(PyObject *object) {
    if (PyDict_CheckExact(object)) {
        const char *keys = (const char *)((PyDictObject *)object)->ma_keys;
        __builtin_prefetch(keys);
        __builtin_prefetch(keys + 64);
        __builtin_prefetch(((PyDictObject *)object)->ma_values);
    } else if (PyList_CheckExact(object)) {
        __builtin_prefetch(((PyListObject *)object)->ob_item);
    } else if (cpy_layout_has_managed_dict(Py_TYPE(object))) {
        __builtin_prefetch((const void *)((uintptr_t)WORD(object, CPY_MANAGED_DICT_WORD) & ~(uintptr_t)7));
    }
}

/* ---- code ---- */

void cpy_layout_code(PyCodeObject *code, cpy_owned emit, void *context) {
    emit(context, code->co_consts, MPR_FIELD_CO_CONSTS);
    emit(context, code->co_names, MPR_FIELD_CO_NAMES);
    emit(context, code->co_filename, MPR_FIELD_CO_FILENAME);
    emit(context, code->co_name, MPR_FIELD_CO_NAME);
    emit(context, code->co_linetable, MPR_FIELD_CO_LINETABLE);
#if PY_VERSION_HEX >= 0x030B0000
    emit(context, code->co_exceptiontable, MPR_FIELD_CO_EXCEPTIONTABLE);
    emit(context, code->co_localsplusnames, MPR_FIELD_CO_LOCALSPLUS);
    emit(context, code->co_localspluskinds, MPR_FIELD_CO_KINDS);
    emit(context, code->co_qualname, MPR_FIELD_CO_QUALNAME);
#if PY_VERSION_HEX >= 0x030C0000
    if (code->_co_cached != NULL) {
        emit(context, code->_co_cached->_co_code, MPR_FIELD_CO_CODE);
        emit(context, code->_co_cached->_co_cellvars, MPR_FIELD_CO_CELLVARS);
        emit(context, code->_co_cached->_co_freevars, MPR_FIELD_CO_FREEVARS);
        emit(context, code->_co_cached->_co_varnames, MPR_FIELD_CO_VARNAMES);
    }
#else
    emit(context, code->_co_code, MPR_FIELD_CO_CODE);
#endif
#else
    emit(context, code->co_code, MPR_FIELD_CO_CODE);
    emit(context, code->co_varnames, MPR_FIELD_CO_VARNAMES);
    emit(context, code->co_freevars, MPR_FIELD_CO_FREEVARS);
    emit(context, code->co_cellvars, MPR_FIELD_CO_CELLVARS);
#endif
}

#define CODE_REFERENCES 9 /* that each code object has, in every version */

typedef struct code_references {
    int pointers, others;
} code_references;

static void count_reference(void *context, PyObject *object, int field) {
    code_references *count = context;
    (void)field;
    count->pointers += cpy_is_pointer((uintptr_t)object);
    count->others += object != NULL && !cpy_is_pointer((uintptr_t)object);
}

static bool has_type(const PyObject *object, const PyTypeObject *type) {
    return mpr_maps_in_memory(object, sizeof *object) && Py_TYPE((PyObject *)(uintptr_t)object) == type;
}

bool cpy_layout_code_is_sound(PyCodeObject *code) {
    code_references count = {0, 0};
#if PY_VERSION_HEX >= 0x030C0000
    const void *cached = code->_co_cached;
    if (cached != NULL && (!cpy_is_pointer((uintptr_t)cached) || !mpr_maps_in_memory(cached, sizeof *code->_co_cached))) {
        return false;
    }
#endif
    cpy_layout_code(code, count_reference, &count);
    return count.pointers >= CODE_REFERENCES && count.others == 0 && has_type(code->co_consts, &PyTuple_Type) &&
           has_type(code->co_linetable, &PyBytes_Type);
}

/* The copies of the bytecode that threads of a free-threaded build specialize, each its own. The first is in the code object itself. */
static size_t copies_of_bytecode(PyCodeObject *code, cpy_blocks *blocks) {
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
    const _PyCodeArray *copies = code->co_tlbc;
    size_t units = (size_t)Py_SIZE(code), bytes = 0;
    if (copies == NULL) {
        return 0;
    }
    for (Py_ssize_t i = 1; i < copies->size; i++) {
        bytes += copies->entries[i] == NULL ? 0 : cpy_block(blocks, copies->entries[i], units * sizeof(uint16_t));
    }
    return bytes + cpy_block(blocks, copies, sizeof copies->size + (size_t)copies->size * sizeof *copies->entries);
#else
    (void)code, (void)blocks;
    return 0;
#endif
}

size_t cpy_layout_code_bytes(PyCodeObject *code, cpy_blocks *blocks) {
#if PY_VERSION_HEX >= 0x030C0000
    size_t cached = code->_co_cached != NULL ? cpy_block(blocks, code->_co_cached, sizeof *code->_co_cached) : 0;
    return cached + copies_of_bytecode(code, blocks);
#elif PY_VERSION_HEX >= 0x030B0000
    (void)code, (void)blocks;
    return 0;
#else
    size_t bytes = 0;
    if (code->co_cell2arg != NULL) {
        bytes += cpy_block(blocks, code->co_cell2arg, (size_t)PyTuple_GET_SIZE(code->co_cellvars) * sizeof *code->co_cell2arg);
    }
    if (code->co_opcache_map != NULL) {
        bytes += cpy_block(blocks, code->co_opcache_map, (size_t)PyBytes_GET_SIZE(code->co_code) / 2);
        bytes += cpy_block(blocks, code->co_opcache, code->co_opcache_size * sizeof *code->co_opcache);
    }
    return bytes;
#endif
}

/* ---- types ---- */

#if PY_VERSION_HEX >= 0x030C0000
/* A static builtin type keeps a number, from 1: its place in the interpreter. */
static PyObject *subclasses_of_static(PyTypeObject *type, size_t number) {
    struct types_state *types = &PyInterpreterState_Get()->types;
#if PY_VERSION_HEX >= 0x030D0000
    bool known = number <= sizeof types->builtins.initialized / sizeof *types->builtins.initialized &&
                 types->builtins.initialized[number - 1].type == type;
    return known ? types->builtins.initialized[number - 1].tp_subclasses : NULL;
#else
    bool known = number <= sizeof types->builtins / sizeof *types->builtins && types->builtins[number - 1].type == type;
    return known ? types->builtins[number - 1].tp_subclasses : NULL;
#endif
}
#endif

static PyObject *subclasses_of(PyTypeObject *type) {
#if PY_VERSION_HEX >= 0x030C0000
    size_t number = (size_t)type->tp_subclasses;
    if (number > 0 && number < 4096) {
        return subclasses_of_static(type, number);
    }
#endif
    return (PyObject *)type->tp_subclasses;
}

void cpy_layout_type(PyTypeObject *type, cpy_owned emit, void *context) {
    emit(context, cpy_type_namespace(type), MPR_FIELD_NAMESPACE);
    emit(context, (PyObject *)type->tp_base, MPR_FIELD_BASE);
    emit(context, type->tp_bases, MPR_FIELD_BASES);
    emit(context, type->tp_mro, MPR_FIELD_MRO);
    emit(context, type->tp_cache, MPR_FIELD_TYPE_CACHE);
    emit(context, subclasses_of(type), MPR_FIELD_SUBCLASSES);
    if (type->tp_flags & Py_TPFLAGS_HEAPTYPE) {
        PyHeapTypeObject *heap = (PyHeapTypeObject *)type;
        emit(context, heap->ht_name, MPR_FIELD_NAME);
        emit(context, heap->ht_qualname, MPR_FIELD_QUALNAME);
        emit(context, heap->ht_slots, MPR_FIELD_SLOTS);
        emit(context, heap->ht_module, MPR_FIELD_MODULE);
    }
}

size_t cpy_layout_type_bytes(PyTypeObject *type, cpy_blocks *blocks) {
    PyHeapTypeObject *heap = (PyHeapTypeObject *)type;
    cpy_table keys = {0};
    size_t bytes = cpy_layout_shared_keys(type, &keys) ? cpy_block(blocks, keys.block, keys.bytes) : 0;
    bytes += type->tp_doc != NULL ? cpy_block(blocks, type->tp_doc, strlen(type->tp_doc) + 1) : 0;
#if PY_VERSION_HEX >= 0x030B0000
    bytes += heap->_ht_tpname != NULL ? cpy_block(blocks, heap->_ht_tpname, strlen(heap->_ht_tpname) + 1) : 0;
#else
    (void)heap;
#endif
    return bytes;
}
