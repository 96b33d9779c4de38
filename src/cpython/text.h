/* SPDX-License-Identifier: MIT
 * Texts: the contents of the few objects that serve as names, and hashes that say which atoms are equal.
 *
 * Used by the layers edges and above. */
#ifndef CPY_TEXT_H
#define CPY_TEXT_H

#include "cpython/types.h"

/* What is recorded of contents. */
typedef struct cpy_text {
    bool values; /* the contents of all strings, not only of names */
    bool hashes; /* of contents, by `key` */
    uint64_t key[2];
} cpy_text;

/* Emit the text of the last node, which is of this object, if the object serves as a name (or values are asked for). */
void cpy_text_emit(const cpy_text *text, cpy_types *types, PyObject *object, const cpy_type *type, uint32_t flags);

/* Emit the hash of what the object of the last node contains, if it is a str, bytes, int or float. */
void cpy_text_emit_digest(const cpy_text *text, cpy_emit *emit, PyObject *object);

/* "function (file:line)", into out: the length written. */
size_t cpy_text_code(PyCodeObject *code, char *out, size_t size);

/* A key as Python writes it, of a type that can be read without running code (int, str, bool, None): the length written, 0 for others. */
size_t cpy_text_key(PyObject *key, char *out, size_t size);

#endif
