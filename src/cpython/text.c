/* SPDX-License-Identifier: MIT
 * Texts: the contents of the few objects that serve as names. By default only keys of dicts and names of variables, and of those only
 * what the interpreter interned: not everything that it interned, for that includes constants of the program (a password in its settings) and
 * paths. With `values` every str, and bytes as Python writes them; long ones are cut. No codec of the interpreter is used: it would allocate.
 *
 * With `hashes` a keyed hash of what atoms contain, all of it, which says nothing but whether two are equal. */
#include "cpython/walk.h"

#include <stdio.h>

#include "graph/resolve.h"

#define LONGEST 200 /* characters */

static size_t put_utf8(char *out, Py_UCS4 c) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c >= 0xD800 && c < 0xE000) { /* a lone surrogate has no UTF-8 */
        out[0] = '?';
        return 1;
    }
    size_t length = c < 0x10000 ? 3 : 4;
    for (size_t i = length; i-- > 1; c >>= 6) {
        out[i] = (char)(0x80 | (c & 0x3F));
    }
    out[0] = (char)((length == 3 ? 0xE0 : 0xF0) | c);
    return length;
}

size_t cpy_text_put(char *out, size_t size, PyObject *str, Py_ssize_t most) {
    size_t length = 0;
    Py_ssize_t count = PyUnicode_GET_LENGTH(str);
    if (!cpy_str_is_ready(str)) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < count && i < most && length + 4 <= size; i++) {
        length += put_utf8(out + length, PyUnicode_READ_CHAR(str, i));
    }
    return length;
}

static void tell(cpy_walk *walk, const char *text, size_t length) {
    if (walk->status == MPR_OK) {
        walk->status = walk->sink->text(walk->sink, text, length);
    }
}

static void tell_str(cpy_walk *walk) {
    char text[LONGEST * 4 + 4];
    Py_ssize_t count = PyUnicode_GET_LENGTH(walk->object);
    if (PyUnicode_IS_COMPACT_ASCII(walk->object) && count <= LONGEST) {
        tell(walk, (const char *)PyUnicode_1BYTE_DATA(walk->object), (size_t)count);
        return;
    }
    size_t length = cpy_text_put(text, sizeof text - 4, walk->object, LONGEST);
    if (count > LONGEST) {
        length += put_utf8(text + length, 0x2026);
    }
    tell(walk, text, length);
}

static void tell_bytes(cpy_walk *walk) {
    static const char digits[] = "0123456789abcdef";
    char text[LONGEST * 4 + 8];
    const unsigned char *bytes = (const unsigned char *)PyBytes_AS_STRING(walk->object);
    size_t length = 0;
    text[length++] = 'b';
    text[length++] = '\'';
    for (Py_ssize_t i = 0; i < Py_SIZE(walk->object) && i < LONGEST; i++) {
        if (bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '\'' && bytes[i] != '\\') {
            text[length++] = (char)bytes[i];
        } else {
            text[length++] = '\\';
            text[length++] = 'x';
            text[length++] = digits[bytes[i] >> 4];
            text[length++] = digits[bytes[i] & 15];
        }
    }
    text[length++] = '\'';
    tell(walk, text, length);
}

/* A module, class, function or code object is called by its name: paths read better. */
static void tell_name_of(cpy_walk *walk, PyObject *name) {
    char text[LONGEST * 4];
    if (name != NULL && PyUnicode_Check(name)) {
        tell(walk, text, cpy_text_put(text, sizeof text, name, LONGEST));
    }
}

/* ---- what is a name ---- */

/* Names are few and lie apart: a table of blocks, a bit per 16 bytes, takes less than bits of whole pages. */
static uint64_t key_of_block(const void *object) { return mpr_map_mix((uint64_t)(uintptr_t)object >> 9, 0); }

static uint32_t bit_in_block(const void *object) { return UINT32_C(1) << ((uintptr_t)object >> 4 & 31); }

static void note(cpy_walk *walk, const void *object) {
    int made;
    uint32_t *bits = mpr_map_add(&walk->names, key_of_block(object), &made);
    if (bits == NULL) {
        walk->status = MPR_ENOMEM;
        return;
    }
    *bits = (made ? 0 : *bits) | bit_in_block(object);
}

static bool is_noted(const cpy_walk *walk, const void *object) {
    const uint32_t *bits = mpr_map_find(&walk->names, key_of_block(object));
    return bits != NULL && (*bits & bit_in_block(object)) != 0;
}

void cpy_text_note_name(cpy_walk *walk, PyObject *key) {
    const PyObject **noted = &walk->noted[((uintptr_t)key >> 4) % CPY_NOTED];
    if (!walk->withholds || *noted == key) {
        return;
    }
    *noted = key;
    if (PyUnicode_CheckExact(key) && cpy_is_interned(key)) {
        note(walk, key);
    }
}

void cpy_text_note_code(cpy_walk *walk, PyCodeObject *code) {
    if (walk->defers_code && code != NULL) {
        note(walk, code);
    }
}

/* ---- names ---- */

size_t cpy_text_code(PyCodeObject *code, char *out, size_t size) {
    size_t length = cpy_text_put(out, size / 2, code->co_name, 80);
    length += (size_t)snprintf(out + length, 8, " (");
    length += cpy_text_put(out + length, size - length - 24, code->co_filename, 400);
    return length + (size_t)snprintf(out + length, 24, ":%d)", code->co_firstlineno);
}

/* The name of a code object; with file and line where it runs or is suspended, for there it is what holds variables. */
static void tell_code(cpy_walk *walk) {
    char text[1024];
    PyCodeObject *code = (PyCodeObject *)walk->object;
    if (is_noted(walk, code)) {
        tell(walk, text, cpy_text_code(code, text, sizeof text));
    } else {
        tell_name_of(walk, code->co_name);
    }
}

/* A key that is a path or has words in it is content, interned or not. */
static bool reads_like_content(PyObject *str) {
    for (Py_ssize_t i = 0; i < PyUnicode_GET_LENGTH(str); i++) {
        Py_UCS4 c = PyUnicode_READ_CHAR(str, i);
        if (c <= ' ' || c == '/' || c == '\\' || c == '@') {
            return true;
        }
    }
    return false;
}

static bool is_name(const cpy_walk *walk, PyObject *str) { return is_noted(walk, str) && !reads_like_content(str); }

void cpy_text_tell(cpy_walk *walk, uint32_t flags) {
    PyObject *object = walk->object;
    if (walk->type->is_str) {
        if (walk->values || ((flags & MPR_NODE_INTERNED) && is_name(walk, object))) {
            tell_str(walk);
        }
    } else if (PyBytes_CheckExact(object) && walk->values) {
        tell_bytes(walk);
    } else if (flags & MPR_NODE_TYPE) {
        const cpy_type *itself = cpy_type_of(walk, (PyTypeObject *)object);
        if (itself != NULL) {
            cpy_type_tell_name(walk, itself);
        }
    } else if (flags & MPR_NODE_MODULE) {
        tell_name_of(walk, cpy_layout_module_name(object));
    } else if (PyFunction_Check(object)) {
        tell_name_of(walk, ((PyFunctionObject *)object)->func_qualname);
    } else if (PyCode_Check(object)) {
        tell_code(walk);
    }
}

/* ---- keys that are alive ---- */

static size_t put_int(PyObject *key, char *out, size_t size) {
    int overflow = 0;
    long long value = PyLong_AsLongLongAndOverflow(key, &overflow);
    int length = overflow != 0 ? 0 : snprintf(out, size, "%lld", value);
    return length < 0 ? 0 : (size_t)length;
}

static size_t put_str(PyObject *key, char *out, size_t size) {
    char text[LONGEST * 4 + 4];
    if (PyUnicode_GET_LENGTH(key) > LONGEST) {
        return 0;
    }
    return mpr_resolved_quote(text, cpy_text_put(text, sizeof text, key, LONGEST), out, size);
}

size_t cpy_text_key(PyObject *key, char *out, size_t size) {
    if (PyLong_CheckExact(key)) {
        return put_int(key, out, size);
    }
    if (PyUnicode_CheckExact(key)) {
        return put_str(key, out, size);
    }
    const char *word = key == Py_None ? "None" : key == Py_True ? "True" : key == Py_False ? "False" : "";
    return (size_t)snprintf(out, size, "%s", word);
}

/* ---- hashes ---- */

/* The type is part of the key: b"a" is not "a". */
static void tell_digest(cpy_walk *walk, uint64_t type, const void *data, size_t size) {
    uint64_t key[2] = {walk->key[0] ^ type, walk->key[1]};
    mpr_digest digest = mpr_siphash(key, data, size);
    if (walk->status == MPR_OK) {
        walk->status = walk->sink->digest(walk->sink, walk->nodes - 1, &digest);
    }
}

enum { DIGEST_BYTES = 8, DIGEST_INT = 16, DIGEST_NEGATIVE = 17, DIGEST_FLOAT = 18 }; /* a str: bytes a character, 1 to 4 */

void cpy_text_tell_digest(cpy_walk *walk) {
    PyObject *object = walk->object;
    if (PyUnicode_CheckExact(object)) {
        if (cpy_str_is_ready(object)) {
            uint64_t kind = (uint64_t)PyUnicode_KIND(object);
            tell_digest(walk, kind, PyUnicode_DATA(object), (size_t)PyUnicode_GET_LENGTH(object) * kind);
        }
    } else if (PyBytes_CheckExact(object)) {
        tell_digest(walk, DIGEST_BYTES, PyBytes_AS_STRING(object), (size_t)PyBytes_GET_SIZE(object));
    } else if (PyLong_CheckExact(object)) {
        bool negative;
        const digit *digits = cpy_int_value(object, &negative);
        tell_digest(walk, negative ? DIGEST_NEGATIVE : DIGEST_INT, digits, cpy_int_digits(object) * sizeof *digits);
    } else if (PyFloat_CheckExact(object)) {
        double value = PyFloat_AS_DOUBLE(object);
        tell_digest(walk, DIGEST_FLOAT, &value, sizeof value);
    }
}
