/* SPDX-License-Identifier: MIT
 * What is known about each class, found out once: its kind, and what each word of its instances is called. */
#include "cpython/types.h"

#include <string.h>
#include <structmember.h>

#include "cpython/library.h"
#include "cpython/str.h"

typedef MPR_VEC(mpr_seen_name) names; /* borrowed texts */

/* ---- names of places ---- */

static bool is_reference(const PyMemberDef *member) {
    return (member->type == T_OBJECT || member->type == T_OBJECT_EX) && member->offset > 0;
}

static void name_word(cpy_type *record, Py_ssize_t offset, mpr_label label) {
    if (offset > 0 && offset % (Py_ssize_t)sizeof(void *) == 0 && (size_t)offset / sizeof(void *) < record->words) {
        record->labels[(size_t)offset / sizeof(void *)] = label;
        if (record->members != NULL) {
            record->members[(size_t)offset / sizeof(void *)] = true;
        }
    }
}

static void name_words(cpy_type *record) {
    for (uint32_t word = 0; word < record->words; word++) {
        record->labels[word] = mpr_label_make(MPR_LABEL_OFFSET, word * sizeof(void *));
    }
    if (record->type->tp_dictoffset > 0) {
        name_word(record, record->type->tp_dictoffset, mpr_label_field(MPR_FIELD_DICT));
    }
    for (const struct cpy_place *place = record->kind->places; place != NULL && place->offset != 0; place++) {
        name_word(record, place->offset, mpr_label_field((mpr_field)place->field)); /* a module's dict is its namespace */
    }
}

/* __slots__ and the members of C types: name the places that no table has named. */
static int name_members(mpr_alloc *alloc, cpy_type *record, names *out) {
    for (PyTypeObject *type = record->type; type != NULL; type = type->tp_base) {
        for (const PyMemberDef *member = type->tp_members; member != NULL && member->name != NULL; member++) {
            size_t word = (size_t)member->offset / sizeof(void *);
            mpr_label label = mpr_label_make(MPR_LABEL_OFFSET, (uint64_t)member->offset);
            if (!is_reference(member) || word >= record->words || record->labels[word] != label) {
                continue;
            }
            name_word(record, member->offset, label);
            mpr_seen_name name = {.label = label, .text = member->name, .length = strlen(member->name)};
            if (mpr_vec_push(out, alloc, name) != MPR_OK) {
                return MPR_ENOMEM;
            }
        }
    }
    return MPR_OK;
}

const char *cpy_type_member_name(PyTypeObject *type, uint32_t offset) {
    for (; type != NULL; type = type->tp_base) {
        for (const PyMemberDef *member = type->tp_members; member != NULL && member->name != NULL; member++) {
            if (is_reference(member) && member->offset == (Py_ssize_t)offset) {
                return member->name;
            }
        }
    }
    return NULL;
}

/* Inline attributes are called by the class's shared keys. */
static int name_inline(mpr_alloc *alloc, const cpy_type *record, names *out) {
    cpy_table keys;
    if (!record->has_managed_dict || !cpy_layout_shared_keys(record->type, &keys)) {
        return MPR_OK;
    }
    for (Py_ssize_t i = 0; i < keys.count; i++) {
        PyObject *key = cpy_table_key(&keys, i);
        if (key == NULL || !PyUnicode_Check(key) || !PyUnicode_IS_COMPACT_ASCII(key)) {
            continue;
        }
        mpr_seen_name name = {.label = mpr_label_make(MPR_LABEL_INLINE, (uint64_t)i),
                              .text = (const char *)PyUnicode_1BYTE_DATA(key),
                              .length = (size_t)PyUnicode_GET_LENGTH(key)};
        if (mpr_vec_push(out, alloc, name) != MPR_OK) {
            return MPR_ENOMEM;
        }
    }
    return MPR_OK;
}

/* ---- the full name ---- */

/* The __module__ in a Python class's namespace, without a lookup. */
static PyObject *module_of(PyTypeObject *type) {
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (type->tp_dict != NULL && PyDict_Next(type->tp_dict, &at, &key, &value)) {
        if (PyUnicode_CheckExact(key) && PyUnicode_Check(value) && PyUnicode_IS_COMPACT_ASCII(key) &&
            PyUnicode_GET_LENGTH(key) == 10 && memcmp(PyUnicode_1BYTE_DATA(key), "__module__", 10) == 0) {
            return value;
        }
    }
    return NULL;
}

static size_t put_str(char *out, size_t size, PyObject *str) {
    return str == NULL || !PyUnicode_Check(str) ? 0 : cpy_str_utf8(out, size, str, PyUnicode_GET_LENGTH(str));
}

/* "module.Qualified.Name" for classes of Python, tp_name for those of C; builtins lose their prefix. */
static size_t full_name(PyTypeObject *type, char *out, size_t size) {
    size_t length = 0;
    if (cpy_is_python_class(type)) {
        length = put_str(out, size / 2, module_of(type));
        if (length > 0 && !(length == 8 && memcmp(out, "builtins", 8) == 0)) {
            out[length++] = '.';
        } else {
            length = 0;
        }
        size_t name = put_str(out + length, size - length, ((PyHeapTypeObject *)type)->ht_qualname);
        if (name > 0) {
            return length + name;
        }
    }
    const char *name = strncmp(type->tp_name, "builtins.", 9) == 0 ? type->tp_name + 9 : type->tp_name;
    size_t rest = strlen(name);
    rest = rest < size - length ? rest : size - length;
    memcpy(out + length, name, rest);
    return length + rest;
}

/* ---- records ---- */

static bool is_self(PyTypeObject *type) {
    PyObject *module = cpy_is_python_class(type) ? module_of(type) : NULL;
    if (module == NULL) {
        return strncmp(type->tp_name, "memprobe.", 9) == 0;
    }
    char name[16];
    size_t length = put_str(name, sizeof name, module);
    return length >= 8 && memcmp(name, "memprobe", 8) == 0 && (length == 8 || name[8] == '.');
}

static uint32_t flags_of(cpy_types *types, const cpy_type *record) {
    bool native = cpy_may_hold_native(types->proofs, record->type);
    types->native_types += native;
    return (record->is_heap ? MPR_TYPE_HEAP : 0) | (native ? MPR_TYPE_MAY_HOLD_NATIVE : 0) |
           (record->kind->own_pool ? MPR_TYPE_OWN_POOL : 0);
}

static int emit_record(cpy_types *types, cpy_type *record) {
    mpr_alloc *alloc = types->emit->alloc;
    mpr_sink *sink = types->emit->sink;
    char name[512];
    names named = {0};
    int status = name_members(alloc, record, &named);
    if (status == MPR_OK) {
        status = name_inline(alloc, record, &named);
    }
    mpr_seen_type seen = {.address = (uint64_t)(uintptr_t)record->type,
                          .name = name,
                          .name_length = full_name(record->type, name, sizeof name),
                          .basicsize = (uint32_t)record->type->tp_basicsize,
                          .itemsize = (uint32_t)record->type->tp_itemsize,
                          .flags = flags_of(types, record),
                          .names = (uint32_t)named.count,
                          .named = named.items};
    if (status == MPR_OK && sink->type != NULL) {
        status = sink->type(sink, &seen);
    }
    mpr_vec_free(&named, alloc);
    return status;
}

/* A C type that measures itself, and whose formula is not in the table of kinds. */
static bool measures_itself(const cpy_type *record) {
    if (record->kind->owned != NULL || record->kind->body != NULL) {
        return false;
    }
    for (PyTypeObject *type = record->type; type != NULL && type != &PyBaseObject_Type; type = type->tp_base) {
        for (const PyMethodDef *method = type->tp_methods; method != NULL && method->ml_name != NULL; method++) {
            if (strcmp(method->ml_name, "__sizeof__") == 0) {
                return true;
            }
        }
    }
    return false;
}

static bool any(const bool *items, size_t count) { return memchr(items, true, count) != NULL; }

/* What follows from the rest of the record: most objects are of a plain type, and need little. */
static void find_short_ways(mpr_alloc *alloc, cpy_type *record) {
    PyTypeObject *type = record->type;
    if (record->members != NULL && !any(record->members, record->words)) {
        mpr_alloc_free(alloc, record->members, record->words, sizeof *record->members);
        record->members = NULL;
    }
    record->asks_is_gc = record->is_gc && type->tp_is_gc != NULL;
    record->is_brief = !record->is_class && !record->is_module && !record->has_frame && !record->self;
    record->is_ordinary = record->is_brief && !record->is_str && record->kind->bounded == NULL;
    record->is_leaf = !record->is_gc && record->members == NULL && record->kind->edges == NULL && !record->has_managed_dict;
    record->preheader = cpy_layout_preheader(type, record->is_gc);
    record->fixed = record->asks_is_gc ? 0 : cpy_size_fixed(record);
}

static int fill_record(cpy_types *types, cpy_type *record, PyTypeObject *type) {
    bool exact;
    mpr_alloc *alloc = types->emit->alloc;
    record->type = type;
    record->kind = cpy_kind_of(type, types->proofs->library, &exact);
    record->is_gc = (type->tp_flags & Py_TPFLAGS_HAVE_GC) != 0;
    record->is_heap = (type->tp_flags & Py_TPFLAGS_HEAPTYPE) != 0;
    record->is_python = cpy_is_python_class(type);
    record->complete = record->kind->complete && (exact || record->kind->complete_below);
    record->may_refer = cpy_may_refer_to_native(type);
    record->unknown_buffers = measures_itself(record);
    record->self = is_self(type);
    record->is_class = PyType_FastSubclass(type, Py_TPFLAGS_TYPE_SUBCLASS);
    record->is_str = PyType_FastSubclass(type, Py_TPFLAGS_UNICODE_SUBCLASS);
    record->is_code = type == &PyCode_Type;
    record->is_module = PyType_IsSubtype(type, &PyModule_Type);
    record->has_frame = cpy_layout_has_frame(type);
    record->has_managed_dict = types->proofs->can[CPY_CAN_INLINE] && cpy_layout_has_managed_dict(type);
    record->words = type->tp_basicsize > 0 ? (uint32_t)((size_t)type->tp_basicsize / sizeof(void *)) : 0;
    record->labels = mpr_alloc_array(alloc, record->words, sizeof *record->labels);
    record->members = record->is_gc ? NULL : mpr_alloc_array(alloc, record->words, sizeof *record->members);
    if (record->labels == NULL || (record->members == NULL && !record->is_gc)) {
        return MPR_ENOMEM;
    }
    name_words(record);
    int status = emit_record(types, record);
    find_short_ways(alloc, record);
    return status;
}

static void free_record(mpr_alloc *alloc, cpy_type *record) {
    mpr_alloc_free(alloc, record->labels, record->words, sizeof *record->labels);
    mpr_alloc_free(alloc, record->members, record->words, sizeof *record->members);
    mpr_alloc_free(alloc, record, 1, sizeof *record);
}

/* ---- all of them ---- */

void cpy_types_begin(cpy_types *types, cpy_emit *emit, const cpy_proofs *proofs) {
    memset(types, 0, sizeof *types);
    types->emit = emit;
    types->proofs = proofs;
    types->by_address.alloc = emit->alloc;
}

void cpy_types_free(cpy_types *types) {
    mpr_alloc *alloc = types->emit->alloc;
    for (size_t i = 0; i < types->records.count; i++) {
        free_record(alloc, types->records.items[i]);
    }
    mpr_vec_free(&types->records, alloc);
    mpr_map_free(&types->by_address);
}

static uint64_t key_of(const PyTypeObject *type) { return mpr_map_mix((uintptr_t)type, 0); }

static int add_record(cpy_types *types, cpy_type *record) {
    int made, status = mpr_vec_reserve(&types->records, types->emit->alloc, 1);
    uint32_t *place = status == MPR_OK ? mpr_map_add(&types->by_address, key_of(record->type), &made) : NULL;
    if (place == NULL) {
        return MPR_ENOMEM;
    }
    *place = (uint32_t)types->records.count;
    types->records.items[types->records.count++] = record;
    return MPR_OK;
}

static cpy_type *make_record(cpy_types *types, PyTypeObject *type) {
    cpy_emit *emit = types->emit;
    cpy_type *record = mpr_alloc_array(emit->alloc, 1, sizeof *record);
    int status = record == NULL ? MPR_ENOMEM : fill_record(types, record, type);
    if (status == MPR_OK) {
        status = add_record(types, record);
    }
    if (status != MPR_OK) {
        if (record != NULL) {
            free_record(emit->alloc, record);
        }
        cpy_emit_check(emit, status);
        return NULL;
    }
    record->index = types->count++;
    if (!emit->skips_classes) {
        cpy_emit_follow(emit, (PyObject *)type);
    }
    return record;
}

cpy_type *cpy_type_find(cpy_types *types, PyTypeObject *type) {
    const uint32_t *known = mpr_map_find(&types->by_address, key_of(type));
    cpy_type *record = known != NULL ? types->records.items[*known] : make_record(types, type);
    types->recent[cpy_type_hash(type)] = record;
    return record;
}

void cpy_type_emit_name(cpy_types *types, const cpy_type *record) {
    char name[512];
    size_t length = full_name(record->type, name, sizeof name);
    cpy_emit_text(types->emit, name, length);
}

uint32_t cpy_type_synthetic(cpy_types *types, const char *name) {
    mpr_sink *sink = types->emit->sink;
    mpr_seen_type seen = {.name = name, .name_length = strlen(name)};
    if (types->emit->status == MPR_OK && sink->type != NULL) {
        types->emit->status = sink->type(sink, &seen);
    }
    return types->count++;
}
