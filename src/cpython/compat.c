/* SPDX-License-Identifier: MIT
 * The public API's differences between versions. */
#include "cpython/compat.h"

#include <frameobject.h>

PyObject *cpy_type_namespace(PyTypeObject *type) {
#if PY_VERSION_HEX >= 0x030C0000
    if (type->tp_dict == NULL) {
        PyObject *dict = PyType_GetDict(type); /* a new reference: the interpreter keeps its own */
        Py_XDECREF(dict);
        return dict;
    }
#endif
    return type->tp_dict;
}

/* type() lets tp_name point into the class's own name; a class made from a spec, or a static one, has its name elsewhere. */
bool cpy_is_python_class(PyTypeObject *type) {
    if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE)) {
        return false;
    }
    PyObject *name = ((PyHeapTypeObject *)type)->ht_name;
    if (name == NULL || !PyUnicode_Check(name)) {
        return false;
    }
    return type->tp_name == (PyUnicode_IS_COMPACT_ASCII(name) ? (const char *)PyUnicode_1BYTE_DATA(name)
                                                              : ((const PyCompactUnicodeObject *)name)->utf8);
}

PyObject *cpy_frame_locals(PyFrameObject *frame) {
#if PY_VERSION_HEX >= 0x030B0000
    return PyFrame_GetLocals(frame);
#else
    return PyObject_GetAttrString((PyObject *)frame, "f_locals");
#endif
}

PyObject *cpy_frame_globals(PyFrameObject *frame) {
#if PY_VERSION_HEX >= 0x030B0000
    return PyFrame_GetGlobals(frame);
#else
    return PyObject_GetAttrString((PyObject *)frame, "f_globals");
#endif
}

bool cpy_is_being_made(PyObject *object) {
    bool whole = true;
    for (Py_ssize_t i = PyTuple_Check(object) ? PyTuple_GET_SIZE(object) : 0; whole && i > 0; i--) {
        whole = PyTuple_GET_ITEM(object, i - 1) != NULL;
    }
    return !whole;
}

size_t cpy_int_digits(PyObject *integer) {
#if PY_VERSION_HEX >= 0x030C0000
    size_t digits = ((PyLongObject *)integer)->long_value.lv_tag >> 3;
#else
    Py_ssize_t size = Py_SIZE(integer);
    size_t digits = (size_t)(size < 0 ? -size : size);
#endif
    return digits == 0 ? 1 : digits;
}

const digit *cpy_int_value(PyObject *integer, bool *negative) {
#if PY_VERSION_HEX >= 0x030C0000
    *negative = (((PyLongObject *)integer)->long_value.lv_tag & 3) == 2;
    return ((PyLongObject *)integer)->long_value.ob_digit;
#else
    *negative = Py_SIZE(integer) < 0;
    return ((PyLongObject *)integer)->ob_digit;
#endif
}

bool cpy_is_interned(PyObject *str) { return PyUnicode_Check(str) && PyUnicode_CHECK_INTERNED(str) != 0; }

size_t cpy_bytearray_bytes(PyObject *bytearray, cpy_blocks *blocks) {
    size_t allocated = (size_t)((PyByteArrayObject *)bytearray)->ob_alloc;
#if PY_VERSION_HEX >= 0x030F0000
    size_t bytes = allocated == 0 ? 0 : (size_t)PyBytes_Type.tp_basicsize + allocated; /* with the zero at the end */
    if (blocks == NULL || bytes == 0) {
        return bytes;
    }
    PyObject *buffer = cpy_bytearray_object(bytearray);
    bool alone = !cpy_is_immortal(buffer) && cpy_refcount(buffer) == 1;
    return cpy_block_with_leaf(blocks, alone ? buffer : NULL, bytes, bytes - offsetof(PyBytesObject, ob_sval));
#else
    return cpy_leaf_block(blocks, ((PyByteArrayObject *)bytearray)->ob_bytes, allocated);
#endif
}

PyObject *cpy_bytearray_object(PyObject *bytearray) {
#if PY_VERSION_HEX >= 0x030F0000
    return ((PyByteArrayObject *)bytearray)->ob_bytes_object;
#else
    (void)bytearray;
    return NULL;
#endif
}

bool cpy_str_is_ready(PyObject *str) {
#if PY_VERSION_HEX < 0x030C0000
    return PyUnicode_IS_READY(str);
#else
    (void)str;
    return true;
#endif
}

size_t cpy_str_body_bytes(PyObject *str) {
    const PyASCIIObject *ascii = (const PyASCIIObject *)str;
    size_t length = (size_t)ascii->length;
    if (!ascii->state.compact) {
        return sizeof(PyUnicodeObject);
    }
    return ascii->state.ascii ? sizeof(PyASCIIObject) + length + 1
                              : sizeof(PyCompactUnicodeObject) + (length + 1) * ascii->state.kind;
}

size_t cpy_str_buffer_bytes(PyObject *str, cpy_blocks *blocks) {
    const PyASCIIObject *ascii = (const PyASCIIObject *)str;
    const PyCompactUnicodeObject *compact = (const PyCompactUnicodeObject *)str;
    if (ascii->state.compact && ascii->state.ascii) {
        return 0;
    }
    const void *data = ascii->state.compact ? NULL : ((const PyUnicodeObject *)str)->data.any;
    size_t kind = ascii->state.kind, bytes = 0;
    if (data != NULL) {
        bytes += cpy_block(blocks, data, ((size_t)ascii->length + 1) * (kind == 0 ? 4 : kind));
    }
    if (compact->utf8 != NULL && (const void *)compact->utf8 != data && !ascii->state.ascii) {
        bytes += cpy_block(blocks, compact->utf8, (size_t)compact->utf8_length + 1);
    }
    return bytes;
}
