/* SPDX-License-Identifier: MIT
 * Python.h, and the public API's differences between versions as functions with one meaning. Versions are compared here and in layout.*
 * alone (make lint holds that). */
#ifndef CPY_COMPAT_H
#define CPY_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

/* The type's own namespace, borrowed; NULL if it has none. Static builtin types keep it in the interpreter since 3.12. */
PyObject *cpy_type_namespace(PyTypeObject *type);

/* What the reference count says, and whether it says anything. Immortal objects have none to speak of. */
bool cpy_is_immortal(PyObject *object);
uint64_t cpy_refcount(PyObject *object);

/* Allocated digits of an int, at least 1. */
size_t cpy_int_digits(PyObject *integer);

/* True when the str is interned. */
bool cpy_is_interned(PyObject *str);

/* Bytes of the str's buffers that are not in its own block (0 for a compact one without a cached UTF-8 form), and of its whole block. */
size_t cpy_str_bytes(PyObject *str);

#endif
