/* SPDX-License-Identifier: MIT
 * One judge a family of types; a class without one is judged by its size alone. */
#include "cpython/sound.h"

#include <string.h>

/* Bytes of a body with so many items of so many bytes, or 0 when they are more than the block has. */
static size_t with_items(size_t body, Py_ssize_t count, size_t item, size_t most) {
    return count < 0 || (size_t)count > most / (item > 0 ? item : 1) ? 0 : body + (size_t)count * item;
}

/* Characters end with a zero of their width, and ASCII has no eighth bit. */
static size_t sound_str(const PyObject *object, size_t bytes) {
    const PyASCIIObject *str = (const PyASCIIObject *)object;
    if (bytes < sizeof *str || str->length < 0) {
        return 0;
    }
    size_t kind = str->state.kind, length = (size_t)str->length;
    if (!str->state.compact) { /* of a subclass, or a legacy one: who knows whether the characters are there */
        return 0;
    }
    bool ascii = str->state.ascii;
    if ((kind != 1 && kind != 2 && kind != 4) || (ascii && kind != 1)) {
        return 0;
    }
    size_t head = ascii ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject);
    size_t need = with_items(head, (Py_ssize_t)length + 1, kind, bytes);
    if (need == 0 || need > bytes) {
        return 0;
    }
    const unsigned char *data = (const unsigned char *)object + head;
    for (size_t i = 0; i < kind; i++) {
        if (data[length * kind + i] != 0) {
            return 0;
        }
    }
    for (size_t i = 0; ascii && i < length && i < 64; i++) {
        if (data[i] & 0x80) {
            return 0;
        }
    }
    return need;
}

static size_t sound_bytes(const PyObject *object, size_t bytes) {
    const PyBytesObject *b = (const PyBytesObject *)object;
    if (bytes < sizeof *b) {
        return 0;
    }
    size_t need = with_items(sizeof *b, Py_SIZE(b), 1, bytes); /* with the zero at its end */
    need = need < sizeof *b ? 0 : need;
    return need > 0 && need <= bytes && b->ob_sval[Py_SIZE(b)] == 0 ? need : 0;
}

static size_t sound_int(const PyObject *object, size_t bytes) {
    PyObject *integer = (PyObject *)(uintptr_t)object;
    bool negative;
    if (bytes < sizeof(PyLongObject)) {
        return 0;
    }
    size_t digits = cpy_int_digits(integer);
    const digit *value = cpy_int_value(integer, &negative);
    size_t need = with_items((size_t)PyLong_Type.tp_basicsize, (Py_ssize_t)digits, sizeof *value, bytes);
    if (need == 0 || need > bytes) {
        return 0;
    }
    for (size_t i = 0; i < digits; i++) {
        if (value[i] & ~(digit)PyLong_MASK) {
            return 0;
        }
    }
    return digits > 1 && value[digits - 1] == 0 ? 0 : need;
}

static size_t sound_tuple(const PyObject *object, size_t bytes) {
    const PyTupleObject *tuple = (const PyTupleObject *)object;
    size_t body = (size_t)PyTuple_Type.tp_basicsize;
    if (bytes < body || Py_SIZE(tuple) < 1) {
        return 0;
    }
    size_t need = with_items(body, Py_SIZE(tuple), sizeof(PyObject *), bytes);
    if (need == 0 || need > bytes) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < Py_SIZE(tuple); i++) {
        if (!cpy_is_pointer((uintptr_t)tuple->ob_item[i])) {
            return 0;
        }
    }
    return need;
}

static size_t sound_dict(const PyObject *object, size_t bytes) {
    return bytes >= sizeof(PyDictObject) && cpy_layout_dict_is_sound(object) ? sizeof(PyDictObject) : 0;
}

/* By its size; the buffers of a bytearray, an array, a numpy array are elsewhere. */
static size_t sound_other(const cpy_type *record, const PyObject *object, size_t bytes) {
    size_t body = (size_t)record->type->tp_basicsize, item = (size_t)record->type->tp_itemsize;
    if (bytes < body || item == 0) {
        return bytes < body ? 0 : body;
    }
    return with_items(body, Py_SIZE(object), item, bytes);
}

static size_t sound_code(const cpy_type *record, const PyObject *object, size_t bytes) {
    size_t need = sound_other(record, object, bytes);
    PyCodeObject *code = (PyCodeObject *)(uintptr_t)object;
    return need > 0 && need <= bytes && cpy_layout_code_is_sound(code) ? need : 0;
}

bool cpy_sound_knows(const cpy_type *record) {
    PyTypeObject *type = record->type;
    bool whole = record->is_class || record->is_module || record->has_frame || record->self;
    return !whole && (!record->is_gc || type == &PyTuple_Type || type == &PyDict_Type || record->is_code);
}

size_t cpy_sound_bytes(const cpy_type *record, const PyObject *object, size_t bytes) {
    PyTypeObject *type = record->type;
    if (record->is_str) {
        return sound_str(object, bytes);
    }
    if (record->is_code) {
        return sound_code(record, object, bytes);
    }
    return type == &PyBytes_Type   ? sound_bytes(object, bytes)
           : type == &PyLong_Type  ? sound_int(object, bytes)
           : type == &PyTuple_Type ? sound_tuple(object, bytes)
           : type == &PyDict_Type  ? sound_dict(object, bytes)
                                   : sound_other(record, object, bytes);
}
