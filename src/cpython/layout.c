/* SPDX-License-Identifier: MIT
 * The interpreter's private layouts: dicts, instances, the collector, code, types, interpreter and threads. Frames are in
 * layout_frame.c. Facts by version; nothing is decided here about what they mean. */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "cpython/layout.h"

#include <internal/pycore_gc.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_runtime.h>
#if PY_VERSION_HEX >= 0x030B0000
#include <internal/pycore_dict.h>
#include <internal/pycore_moduleobject.h>
#else
#include <internal/pycore_code.h>
#endif
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_interp_structs.h>
#endif
#include <string.h>

#include "base/os/maps.h"
#include "graph/label.h"

#define WORD(object, n) (((PyObject **)(object))[n])

/* ---- blocks ---- */

size_t cpy_layout_preheader(PyTypeObject *type, bool is_gc) {
    size_t bytes = is_gc ? sizeof(cpy_gc_head) : 0;
#if PY_VERSION_HEX >= 0x030C0000
    bytes += type->tp_flags & (Py_TPFLAGS_MANAGED_DICT | Py_TPFLAGS_MANAGED_WEAKREF) ? 2 * sizeof(PyObject *) : 0;
#elif PY_VERSION_HEX >= 0x030B0000
    bytes += type->tp_flags & Py_TPFLAGS_MANAGED_DICT ? 2 * sizeof(PyObject *) : 0;
#else
    (void)type;
#endif
    return bytes;
}

/* ---- the collector ---- */

static struct _gc_runtime_state *collector(void) {
    PyInterpreterState *interpreter = PyInterpreterState_Get();
#if PY_VERSION_HEX >= 0x030D0000
    return (struct _gc_runtime_state *)((char *)interpreter + _PyRuntime.debug_offsets.interpreter_state.gc);
#else
    return &interpreter->gc;
#endif
}

int cpy_layout_gc_heads(cpy_gc_head *heads[CPY_GENERATIONS]) {
    struct _gc_runtime_state *gc = collector();
#if PY_VERSION_HEX >= 0x030E0000 && PY_VERSION_HEX < 0x030E0500
    struct gc_generation *first = &gc->young;
#else
    struct gc_generation *first = gc->generations;
#endif
    for (int i = 0; i < 3; i++) {
        heads[i] = (cpy_gc_head *)&first[i].head;
    }
    heads[3] = (cpy_gc_head *)&gc->permanent_generation.head;
    return CPY_GENERATIONS;
}

bool cpy_layout_collecting(void) { return collector()->collecting != 0; }

/* ---- dicts ---- */

#if PY_VERSION_HEX < 0x030B0000
/* 3.10 keeps these in Objects/dict-common.h, which is not installed. */
struct _dictkeysobject {
    Py_ssize_t dk_refcnt, dk_size;
    void *dk_lookup;
    Py_ssize_t dk_usable, dk_nentries;
    char dk_indices[];
};
typedef struct keys_entry {
    Py_hash_t hash;
    PyObject *key, *value;
} keys_entry;
#endif

const cpy_cost *cpy_layout_costs(void) {
    static const cpy_cost costs[] = {
        {"cost_dict_head", sizeof(struct _dictkeysobject)},
#if PY_VERSION_HEX >= 0x030B0000
        {"cost_dict_entry", sizeof(PyDictKeyEntry)},
        {"cost_dict_str_entry", sizeof(PyDictUnicodeEntry)}, /* all keys are exact str */
#else
        {"cost_dict_entry", sizeof(keys_entry)},
        {"cost_dict_str_entry", sizeof(keys_entry)},
#endif
        {"cost_set_entry", sizeof(setentry)},
#if PY_VERSION_HEX >= 0x030C0000
        {"cost_instance", sizeof(PyObject)}, /* basicsize of a class that has neither slots nor a base with a layout */
        {"cost_weakref", 2 * sizeof(PyObject *)}, /* what an instance takes more for __slots__ with "__weakref__" */
#elif PY_VERSION_HEX >= 0x030B0000
        {"cost_instance", sizeof(PyObject) + sizeof(PyObject *)},
        {"cost_weakref", sizeof(PyObject *)},
#else
        {"cost_instance", sizeof(PyObject) + 2 * sizeof(PyObject *)},
        {"cost_weakref", sizeof(PyObject *)},
#endif
        {NULL, 0}};
    return costs;
}

static size_t usable_fraction(size_t size) { return (size << 1) / 3; }

static size_t keys_capacity(const struct _dictkeysobject *keys) {
#if PY_VERSION_HEX >= 0x030B0000
    return (size_t)1 << keys->dk_log2_size;
#else
    return (size_t)keys->dk_size;
#endif
}

/* The table's shape: entries and their stride, and its whole block; 0 bytes for the static empty one. */
static void read_keys(const struct _dictkeysobject *keys, cpy_table *out) {
    size_t capacity = keys_capacity(keys), index_bytes;
#if PY_VERSION_HEX >= 0x030B0000
    index_bytes = (size_t)1 << keys->dk_log2_index_bytes;
    bool general = keys->dk_kind == DICT_KEYS_GENERAL;
    out->stride = general ? sizeof(PyDictKeyEntry) : sizeof(PyDictUnicodeEntry);
    out->key_at = general ? offsetof(PyDictKeyEntry, me_key) : offsetof(PyDictUnicodeEntry, me_key);
    out->value_at = general ? offsetof(PyDictKeyEntry, me_value) : offsetof(PyDictUnicodeEntry, me_value);
#else
    index_bytes = capacity * (capacity <= 0xff ? 1 : capacity <= 0xffff ? 2 : capacity <= 0xffffffff ? 4 : 8);
    out->stride = sizeof(keys_entry);
    out->key_at = offsetof(keys_entry, key);
    out->value_at = offsetof(keys_entry, value);
#endif
    out->entries = keys->dk_indices + index_bytes;
    out->count = keys->dk_nentries;
    out->block = keys;
    out->bytes = capacity == 1 ? 0 : sizeof *keys + index_bytes + usable_fraction(capacity) * out->stride;
}

bool cpy_layout_is_dict(PyObject *object) {
#if PY_VERSION_HEX >= 0x030F0000
    return PyAnyDict_Check(object);
#else
    return PyDict_Check(object);
#endif
}

#if PY_VERSION_HEX >= 0x030D0000
/* Room for n values, behind an instance or in a block of its own: four bytes in a word, n pointers, and the order of their keys. */
static size_t values_bytes(size_t n) {
    size_t order = (n + sizeof(PyObject *) - 1) / sizeof(PyObject *) * sizeof(PyObject *);
    return order + (n + 1) * sizeof(PyObject *);
}
#elif PY_VERSION_HEX >= 0x030B0000
/* The block of separately allocated values: a prefix of round_up(n + 2, 8) bytes, whose last byte says its length, and n pointers. What n
 * was when it was allocated is known to 7: shared keys shrink. */
static size_t values_bytes(const PyDictValues *values, Py_ssize_t now) {
    size_t prefix = ((const uint8_t *)values)[-1], n = (size_t)now;
    size_t most = prefix - 2, least = prefix < 9 ? 1 : prefix - 9;
    n = n < least ? least : n > most ? most : n;
    return prefix + n * sizeof(PyObject *);
}

/* Where that block begins. */
static const void *values_block(const PyDictValues *values) { return (const uint8_t *)values - ((const uint8_t *)values)[-1]; }
#endif

static const void *own_values_block(const PyDictObject *dict) {
#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030D0000
    return values_block(dict->ma_values);
#else
    return dict->ma_values;
#endif
}

/* 0 for values that lie behind an instance, and are its own. */
static size_t own_values_bytes(PyDictObject *dict, const struct _dictkeysobject *keys) {
#if PY_VERSION_HEX >= 0x030D0000
    (void)keys;
    return dict->ma_values->embedded ? 0 : values_bytes(dict->ma_values->capacity);
#elif PY_VERSION_HEX >= 0x030B0000
    return values_bytes(dict->ma_values, keys->dk_usable + keys->dk_nentries);
#else
    (void)dict;
    return usable_fraction((size_t)keys->dk_size) * sizeof(PyObject *);
#endif
}

void cpy_layout_dict(PyObject *object, cpy_table *out) {
    PyDictObject *dict = (PyDictObject *)object;
    read_keys(dict->ma_keys, out);
    out->values = NULL;
    if (dict->ma_values != NULL) {
#if PY_VERSION_HEX >= 0x030B0000
        out->values = dict->ma_values->values;
#else
        out->values = dict->ma_values;
#endif
        out->block = own_values_block(dict);
        out->bytes = own_values_bytes(dict, dict->ma_keys);
    }
}

static bool keys_are_sound(const struct _dictkeysobject *keys) {
#if PY_VERSION_HEX >= 0x030B0000
    bool shape = keys->dk_log2_size >= 3 && keys->dk_log2_size < 40 && keys->dk_kind <= DICT_KEYS_UNICODE &&
                 keys->dk_log2_index_bytes >= keys->dk_log2_size && keys->dk_log2_index_bytes <= keys->dk_log2_size + 3;
#else
    bool shape = keys->dk_size >= 8 && keys->dk_size < (Py_ssize_t)1 << 40 && (keys->dk_size & (keys->dk_size - 1)) == 0;
#endif
    Py_ssize_t most = shape ? (Py_ssize_t)usable_fraction(keys_capacity(keys)) : 0;
    return keys->dk_refcnt == 1 && keys->dk_usable >= 0 && keys->dk_nentries >= 0 && keys->dk_nentries <= most &&
           keys->dk_usable <= most - keys->dk_nentries;
}

bool cpy_layout_dict_is_sound(const PyObject *object) {
    const PyDictObject *dict = (const PyDictObject *)object;
    const struct _dictkeysobject *keys = dict->ma_keys;
    if (dict->ma_values != NULL || (uintptr_t)keys % sizeof(void *) != 0 || !mpr_maps_in_memory(keys, sizeof *keys) ||
        !keys_are_sound(keys) || dict->ma_used < 0 || dict->ma_used > keys->dk_nentries) {
        return false;
    }
    cpy_table table;
    read_keys(keys, &table);
    return mpr_maps_in_memory(keys, table.bytes);
}

bool cpy_layout_shared_keys(PyTypeObject *type, cpy_table *out) {
    struct _dictkeysobject *keys = type->tp_flags & Py_TPFLAGS_HEAPTYPE ? ((PyHeapTypeObject *)type)->ht_cached_keys : NULL;
    if (keys == NULL) {
        return false;
    }
    out->values = NULL;
    read_keys(keys, out);
    return true;
}

const void *cpy_layout_shared_keys_of(PyObject *dict) {
    return ((PyDictObject *)dict)->ma_values == NULL ? NULL : ((PyDictObject *)dict)->ma_keys;
}

/* ---- instances ---- */

bool cpy_layout_has_managed_dict(PyTypeObject *type) {
#if PY_VERSION_HEX >= 0x030B0000
    return (type->tp_flags & Py_TPFLAGS_MANAGED_DICT) != 0;
#else
    (void)type;
    return false;
#endif
}

#if PY_VERSION_HEX >= 0x030D0000

/* How many values the block of an instance has room for. The block is sized by the room in the class's shared keys. Then, if more than
 * one key is still free, the instance takes one from them, and `capacity` is the room that is left. So the block holds `capacity`
 * values, and one more if this instance took a key: it did if later ones took more, or if more than one is free now. If neither holds,
 * it may have been the last that took one, or one of any number that came later and took none. It is counted as one of these: for one
 * instance of a class that is one value too few. */
static size_t allocated_values(const PyDictValues *values, const struct _dictkeysobject *keys) {
    Py_ssize_t now = keys->dk_nentries + keys->dk_usable, then = values->capacity;
    bool took = now < then || (now == then && keys->dk_usable > 1);
    return values->capacity + (size_t)took;
}

static void read_instance(PyObject *object, const struct _dictkeysobject *keys, cpy_instance *out) {
    out->dict = WORD(object, -3);
    if (!(Py_TYPE(object)->tp_flags & Py_TPFLAGS_INLINE_VALUES) || keys == NULL) {
        return;
    }
    const PyDictValues *values = (const PyDictValues *)((const char *)object + Py_TYPE(object)->tp_basicsize);
    out->bytes = values_bytes(allocated_values(values, keys));
    if (!values->valid) { /* a dict took them over, and the room stays */
        return;
    }
    out->count = keys->dk_nentries < values->capacity ? keys->dk_nentries : values->capacity;
    if (out->dict == NULL) {
        out->values = values->values;
    } else {
        out->shadow = values->values;
    }
}

#elif PY_VERSION_HEX >= 0x030B0000

static void read_instance(PyObject *object, const struct _dictkeysobject *keys, cpy_instance *out) {
#if PY_VERSION_HEX >= 0x030C0000
    uintptr_t word = (uintptr_t)WORD(object, -3);
    const PyDictValues *values = word & 1 ? (const PyDictValues *)(word + 1) : NULL;
    out->dict = word & 1 ? NULL : (PyObject *)word;
#else
    const PyDictValues *values = (const PyDictValues *)WORD(object, -4);
    out->dict = WORD(object, -3);
#endif
    if (values != NULL && keys != NULL) {
        out->values = values->values;
        out->count = keys->dk_nentries;
        out->bytes = values_bytes(values, keys->dk_usable + keys->dk_nentries);
        out->block = values_block(values);
    }
}

#else

static void read_instance(PyObject *object, const struct _dictkeysobject *keys, cpy_instance *out) {
    (void)object, (void)keys, (void)out;
}

#endif

void cpy_layout_instance(PyObject *object, cpy_instance *out) {
    PyTypeObject *type = Py_TYPE(object);
    memset(out, 0, sizeof *out);
    if (cpy_layout_has_managed_dict(type)) {
        bool heap = (type->tp_flags & Py_TPFLAGS_HEAPTYPE) != 0;
        read_instance(object, heap ? ((PyHeapTypeObject *)type)->ht_cached_keys : NULL, out);
    }
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

void cpy_layout_prefetch(PyObject *object) {
    if (PyDict_CheckExact(object)) {
        const char *keys = (const char *)((PyDictObject *)object)->ma_keys;
        __builtin_prefetch(keys);
        __builtin_prefetch(keys + 64);
        __builtin_prefetch(((PyDictObject *)object)->ma_values);
    } else if (PyList_CheckExact(object)) {
        __builtin_prefetch(((PyListObject *)object)->ob_item);
    } else if (cpy_layout_has_managed_dict(Py_TYPE(object))) {
        __builtin_prefetch((const void *)((uintptr_t)WORD(object, -3) & ~(uintptr_t)7));
    }
}

/* ---- code ---- */

void cpy_layout_code(PyCodeObject *code, cpy_owned tell, void *context) {
    tell(context, code->co_consts, MPR_FIELD_CO_CONSTS);
    tell(context, code->co_names, MPR_FIELD_CO_NAMES);
    tell(context, code->co_filename, MPR_FIELD_CO_FILENAME);
    tell(context, code->co_name, MPR_FIELD_CO_NAME);
    tell(context, code->co_linetable, MPR_FIELD_CO_LINETABLE);
#if PY_VERSION_HEX >= 0x030B0000
    tell(context, code->co_exceptiontable, MPR_FIELD_CO_EXCEPTIONTABLE);
    tell(context, code->co_localsplusnames, MPR_FIELD_CO_LOCALSPLUS);
    tell(context, code->co_localspluskinds, MPR_FIELD_CO_KINDS);
    tell(context, code->co_qualname, MPR_FIELD_CO_QUALNAME);
#if PY_VERSION_HEX >= 0x030C0000
    if (code->_co_cached != NULL) {
        tell(context, code->_co_cached->_co_code, MPR_FIELD_CO_CODE);
        tell(context, code->_co_cached->_co_cellvars, MPR_FIELD_CO_CELLVARS);
        tell(context, code->_co_cached->_co_freevars, MPR_FIELD_CO_FREEVARS);
        tell(context, code->_co_cached->_co_varnames, MPR_FIELD_CO_VARNAMES);
    }
#else
    tell(context, code->_co_code, MPR_FIELD_CO_CODE);
#endif
#else
    tell(context, code->co_code, MPR_FIELD_CO_CODE);
    tell(context, code->co_varnames, MPR_FIELD_CO_VARNAMES);
    tell(context, code->co_freevars, MPR_FIELD_CO_FREEVARS);
    tell(context, code->co_cellvars, MPR_FIELD_CO_CELLVARS);
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

size_t cpy_layout_code_bytes(PyCodeObject *code, cpy_blocks *blocks) {
#if PY_VERSION_HEX >= 0x030C0000
    return code->_co_cached != NULL ? cpy_block(blocks, code->_co_cached, sizeof *code->_co_cached) : 0;
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

void cpy_layout_type(PyTypeObject *type, cpy_owned tell, void *context) {
    tell(context, cpy_type_namespace(type), MPR_FIELD_NAMESPACE);
    tell(context, (PyObject *)type->tp_base, MPR_FIELD_BASE);
    tell(context, type->tp_bases, MPR_FIELD_BASES);
    tell(context, type->tp_mro, MPR_FIELD_MRO);
    tell(context, type->tp_cache, MPR_FIELD_TYPE_CACHE);
    tell(context, subclasses_of(type), MPR_FIELD_SUBCLASSES);
    if (type->tp_flags & Py_TPFLAGS_HEAPTYPE) {
        PyHeapTypeObject *heap = (PyHeapTypeObject *)type;
        tell(context, heap->ht_name, MPR_FIELD_NAME);
        tell(context, heap->ht_qualname, MPR_FIELD_QUALNAME);
        tell(context, heap->ht_slots, MPR_FIELD_SLOTS);
        tell(context, heap->ht_module, MPR_FIELD_MODULE);
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

/* ---- the interpreter and its threads ---- */

PyObject *cpy_layout_interned(void) {
#if PY_VERSION_HEX >= 0x030C0000
    return PyInterpreterState_Get()->cached_objects.interned_strings;
#else
    return NULL; /* a variable of Objects/unicodeobject.c */
#endif
}

uint64_t cpy_layout_free_float(void) {
#if PY_VERSION_HEX >= 0x030E0000
    return 0;
#elif PY_VERSION_HEX >= 0x030D0000
    return (uint64_t)(uintptr_t)PyInterpreterState_Get()->object_state.freelists.floats.items;
#else
    return (uint64_t)(uintptr_t)PyInterpreterState_Get()->float_state.free_list;
#endif
}

void cpy_layout_attribute_cache(cpy_owned tell, void *context) {
#if PY_VERSION_HEX >= 0x030C0000
    const struct type_cache *cache = &PyInterpreterState_Get()->types.type_cache;
#else
    const struct type_cache *cache = &PyInterpreterState_Get()->type_cache;
#endif
    for (size_t i = 0; i < sizeof cache->hashtable / sizeof *cache->hashtable; i++) {
        tell(context, cache->hashtable[i].name, MPR_FIELD_ATTRIBUTE_CACHE);
    }
}

PyObject *cpy_layout_accumulated(PyObject *stringio) {
#if PY_VERSION_HEX >= 0x030E0000
    PyObject **writer = (PyObject **)WORD(stringio, 7); /* a block of its own, which begins with the str */
    return writer == NULL ? NULL : *writer;
#elif PY_VERSION_HEX >= 0x030C0000
    return WORD(stringio, 7);
#else
    return WORD(stringio, 8); /* a list of strs */
#endif
}

PyObject *cpy_layout_module_name(PyObject *module) {
#if PY_VERSION_HEX >= 0x030B0000
    return ((PyModuleObject *)module)->md_name;
#else
    return WORD(module, 6);
#endif
}

/* Types and singletons of the syntax tree: the struct ends with nothing but references. */
static void tell_ast(struct ast_state *ast, cpy_owned tell, void *context) {
    PyObject **end = (PyObject **)(ast + 1);
    for (PyObject **at = &ast->AST_type; at < end; at++) {
        tell(context, *at, MPR_FIELD_INTERP_STATE);
    }
}

void cpy_layout_interpreter(cpy_owned tell, void *context) {
    PyInterpreterState *interpreter = PyInterpreterState_Get();
    struct _gc_runtime_state *gc = collector();
    tell(context, interpreter->sysdict, MPR_FIELD_SYSDICT);
    tell(context, interpreter->builtins, MPR_FIELD_BUILTINS_DICT);
    tell(context, interpreter->dict, MPR_FIELD_INTERP_DICT);
    tell(context, interpreter->builtins_copy, MPR_FIELD_INTERP_STATE);
    tell(context, interpreter->before_forkers, MPR_FIELD_INTERP_STATE);
    tell(context, interpreter->after_forkers_parent, MPR_FIELD_INTERP_STATE);
    tell(context, interpreter->after_forkers_child, MPR_FIELD_INTERP_STATE);
    tell(context, interpreter->audit_hooks, MPR_FIELD_INTERP_STATE);
    tell_ast(&interpreter->ast, tell, context);
    tell(context, gc->garbage, MPR_FIELD_GARBAGE);
    tell(context, gc->callbacks, MPR_FIELD_CALLBACKS);
#if PY_VERSION_HEX >= 0x030E0000
    tell(context, interpreter->atexit.callbacks, MPR_FIELD_ATEXIT); /* before 3.14 no list */
#endif
#if PY_VERSION_HEX >= 0x030D0000
    tell(context, interpreter->codecs.search_path, MPR_FIELD_INTERP_STATE);
    tell(context, interpreter->codecs.search_cache, MPR_FIELD_INTERP_STATE);
    tell(context, interpreter->codecs.error_registry, MPR_FIELD_INTERP_STATE);
#else
    tell(context, interpreter->codec_search_path, MPR_FIELD_INTERP_STATE);
    tell(context, interpreter->codec_search_cache, MPR_FIELD_INTERP_STATE);
    tell(context, interpreter->codec_error_registry, MPR_FIELD_INTERP_STATE);
#endif
#if PY_VERSION_HEX >= 0x030C0000
    tell(context, interpreter->sysdict_copy, MPR_FIELD_INTERP_STATE);
    tell(context, interpreter->imports.modules_by_index, MPR_FIELD_INTERP_STATE);
    tell(context, interpreter->imports.importlib, MPR_FIELD_INTERP_STATE);
    tell(context, interpreter->imports.import_func, MPR_FIELD_INTERP_STATE);
    struct _Py_interp_cached_objects *cached = &interpreter->cached_objects; /* objreduce is borrowed */
    tell(context, (PyObject *)cached->generic_type, MPR_FIELD_INTERP_STATE);
    tell(context, (PyObject *)cached->typevar_type, MPR_FIELD_INTERP_STATE);
    tell(context, (PyObject *)cached->typevartuple_type, MPR_FIELD_INTERP_STATE);
    tell(context, (PyObject *)cached->paramspec_type, MPR_FIELD_INTERP_STATE);
    tell(context, (PyObject *)cached->paramspecargs_type, MPR_FIELD_INTERP_STATE);
    tell(context, (PyObject *)cached->paramspeckwargs_type, MPR_FIELD_INTERP_STATE);
#else
    tell(context, interpreter->modules_by_index, MPR_FIELD_INTERP_STATE);
    tell(context, interpreter->importlib, MPR_FIELD_INTERP_STATE);
    tell(context, interpreter->import_func, MPR_FIELD_INTERP_STATE);
#endif
}

void cpy_layout_singletons(cpy_owned tell, void *context) {
#if PY_VERSION_HEX < 0x030B0000
    PyInterpreterState *interpreter = PyInterpreterState_Get();
    for (size_t i = 0; i < sizeof interpreter->small_ints / sizeof *interpreter->small_ints; i++) {
        tell(context, (PyObject *)interpreter->small_ints[i], MPR_FIELD_INTERP_STATE);
    }
    tell(context, interpreter->bytes.empty_string, MPR_FIELD_INTERP_STATE);
    tell(context, interpreter->unicode.empty_string, MPR_FIELD_INTERP_STATE);
    for (size_t i = 0; i < 256; i++) {
        tell(context, (PyObject *)interpreter->bytes.characters[i], MPR_FIELD_INTERP_STATE);
        tell(context, interpreter->unicode.latin1[i], MPR_FIELD_INTERP_STATE);
    }
#else
    (void)tell, (void)context;
#endif
}

void cpy_layout_thread(PyThreadState *thread, cpy_owned tell, void *context) {
    tell(context, thread->dict, MPR_FIELD_THREAD_DICT);
    tell(context, thread->context, MPR_FIELD_THREAD_CONTEXT);
    tell(context, thread->c_profileobj, MPR_FIELD_THREAD_PROFILE);
    tell(context, thread->c_traceobj, MPR_FIELD_THREAD_TRACE);
    tell(context, thread->async_exc, MPR_FIELD_THREAD_EXC);
    tell(context, thread->async_gen_firstiter, MPR_FIELD_ASYNC_HOOK);
    tell(context, thread->async_gen_finalizer, MPR_FIELD_ASYNC_HOOK);
    tell(context, thread->exc_state.exc_value, MPR_FIELD_EXC_STATE);
#if PY_VERSION_HEX < 0x030B0000
    tell(context, thread->exc_state.exc_type, MPR_FIELD_EXC_STATE);
    tell(context, thread->exc_state.exc_traceback, MPR_FIELD_EXC_STATE);
#endif
#if PY_VERSION_HEX >= 0x030C0000
    tell(context, thread->current_exception, MPR_FIELD_THREAD_EXC);
#else
    tell(context, thread->curexc_type, MPR_FIELD_THREAD_EXC);
    tell(context, thread->curexc_value, MPR_FIELD_THREAD_EXC);
    tell(context, thread->curexc_traceback, MPR_FIELD_THREAD_EXC);
#endif
#if PY_VERSION_HEX >= 0x030D0000
    tell(context, thread->threading_local_key, MPR_FIELD_THREAD_DICT);
    tell(context, thread->threading_local_sentinel, MPR_FIELD_THREAD_DICT);
#endif
}
