/* SPDX-License-Identifier: MIT
 * Layouts of dicts, and of what instances have outside their bodies: facts by version (layout.h). */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "cpython/layout.h"

#if PY_VERSION_HEX >= 0x030B0000
#include <internal/pycore_dict.h>
#endif
#include <string.h>

#include "base/os/maps.h"

#define WORD(object, n) (((PyObject **)(object))[n])

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
#ifdef Py_GIL_DISABLED /* elsewhere 16, 16 and 0, which are not emitted */
        {"cost_object_head", sizeof(PyObject)},
        {"cost_gc_head", CPY_GC_HEAD_BYTES},
        {"cost_list_head", sizeof(Py_ssize_t)},
#endif
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
    out->dict = WORD(object, CPY_MANAGED_DICT_WORD);
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
    uintptr_t word = (uintptr_t)WORD(object, CPY_MANAGED_DICT_WORD);
    const PyDictValues *values = word & 1 ? (const PyDictValues *)(word + 1) : NULL;
    out->dict = word & 1 ? NULL : (PyObject *)word;
#else
    const PyDictValues *values = (const PyDictValues *)WORD(object, -4);
    out->dict = WORD(object, CPY_MANAGED_DICT_WORD);
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
