/* SPDX-License-Identifier: MIT
 * How large an object is: what its kind's formulas and its class say (types.h). */
#include "cpython/types.h"

/* basicsize and items; PyType_GenericAlloc, which makes instances of Python's classes, adds an item as a sentinel. */
static size_t body_of(PyObject *object, const cpy_type *type) {
    PyTypeObject *t = type->type;
    size_t bytes = (size_t)t->tp_basicsize;
    if (t->tp_itemsize != 0) {
        Py_ssize_t items = Py_SIZE(object);
        bytes += (size_t)(items < 0 ? -items : items) * (size_t)t->tp_itemsize;
        bytes += type->is_python || PyType_Check(object) ? (size_t)t->tp_itemsize : 0;
    }
    return (bytes + sizeof(void *) - 1) / sizeof(void *) * sizeof(void *);
}

size_t cpy_body_bytes(PyObject *object, const cpy_type *type) {
    return type->kind->body != NULL ? type->kind->body(object, type->type) : body_of(object, type);
}

size_t cpy_size_fixed(const cpy_type *type) {
    const cpy_kind *kind = type->kind;
    bool buffers = (kind->owned != NULL && kind->owned != cpy_owned_nothing) || type->unknown_buffers || type->has_managed_dict;
    return buffers || kind->body != NULL || type->type->tp_itemsize != 0 ? 0 : type->preheader + body_of(NULL, type);
}

/* May what the kind says of private blocks be believed? It reads a dict's table. */
static bool has_formula(const cpy_types *types, const cpy_kind *kind) {
    return kind->owned != NULL && (types->proofs->can[CPY_CAN_DICT] || kind->owned != cpy_owned_dict);
}

size_t cpy_size_of(const cpy_types *types, PyObject *object, const cpy_type *type, bool is_gc, uint32_t *flags) {
    const cpy_kind *kind = type->kind;
    size_t bytes = type->asks_is_gc ? cpy_layout_preheader(type->type, is_gc) : type->preheader;
    bytes += cpy_body_bytes(object, type);
    if (has_formula(types, kind)) {
        bytes += kind->owned(object, NULL);
    } else if (kind->owned != NULL || type->unknown_buffers) {
        *flags |= MPR_NODE_ESTIMATED;
    }
    if (type->has_managed_dict) {
        cpy_instance instance;
        cpy_layout_instance(object, &instance);
        bytes += instance.bytes;
    }
    return bytes;
}

void cpy_blocks_of(const cpy_types *types, PyObject *object, const cpy_type *type, cpy_blocks *blocks) {
    if (has_formula(types, type->kind)) {
        type->kind->owned(object, blocks);
    }
    if (type->has_managed_dict) {
        cpy_instance instance;
        cpy_layout_instance(object, &instance);
        cpy_block(blocks, instance.block, instance.bytes);
    }
}
