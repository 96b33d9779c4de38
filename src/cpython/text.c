/* SPDX-License-Identifier: MIT
 * Texts: the contents of the few objects that serve as names. By default only keys of dicts and names of variables, and of those only
 * what the interpreter interned: not everything that it interned, for that includes constants of the program (a password in its settings) and
 * paths. With `values` every str, and bytes as Python writes them; long ones are cut. No codec of the interpreter is used: it would allocate.
 *
 * With `hashes` a keyed hash of what atoms contain, all of it, which says nothing but whether two are equal. */
#include "cpython/text.h"

#include <stdio.h>

#include "cpython/str.h"
#include "graph/resolve.h"

#define LONGEST 200 /* characters */

static void emit_str(cpy_emit *emit, PyObject *str) {
    char text[LONGEST * 4 + 4];
    Py_ssize_t count = PyUnicode_GET_LENGTH(str);
    if (PyUnicode_IS_COMPACT_ASCII(str) && count <= LONGEST) {
        cpy_emit_text(emit, (const char *)PyUnicode_1BYTE_DATA(str), (size_t)count);
        return;
    }
    size_t length = cpy_str_utf8(text, sizeof text - 4, str, LONGEST);
    if (count > LONGEST) {
        length += cpy_str_put(text + length, 0x2026);
    }
    cpy_emit_text(emit, text, length);
}

static void emit_bytes(cpy_emit *emit, PyObject *object) {
    static const char digits[] = "0123456789abcdef";
    char text[LONGEST * 4 + 8];
    const unsigned char *bytes = (const unsigned char *)PyBytes_AS_STRING(object);
    size_t length = 0;
    text[length++] = 'b';
    text[length++] = '\'';
    for (Py_ssize_t i = 0; i < Py_SIZE(object) && i < LONGEST; i++) {
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
    cpy_emit_text(emit, text, length);
}

/* A module, class, function or code object is called by its name: paths read better. */
static void emit_name_of(cpy_emit *emit, PyObject *name) {
    char text[LONGEST * 4];
    if (name != NULL && PyUnicode_Check(name)) {
        cpy_emit_text(emit, text, cpy_str_utf8(text, sizeof text, name, LONGEST));
    }
}

/* ---- names ---- */

size_t cpy_text_code(PyCodeObject *code, char *out, size_t size) {
    size_t length = cpy_str_utf8(out, size / 2, code->co_name, 80);
    length += (size_t)snprintf(out + length, 8, " (");
    length += cpy_str_utf8(out + length, size - length - 24, code->co_filename, 400);
    return length + (size_t)snprintf(out + length, 24, ":%d)", code->co_firstlineno);
}

/* The name of a code object; with file and line where it runs or is suspended, for there it is what holds variables. */
static void emit_code(cpy_emit *emit, PyCodeObject *code) {
    char text[1024];
    if (cpy_names_has(&emit->names, code)) {
        cpy_emit_text(emit, text, cpy_text_code(code, text, sizeof text));
    } else {
        emit_name_of(emit, code->co_name);
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

static bool is_name(const cpy_emit *emit, PyObject *str) { return cpy_names_has(&emit->names, str) && !reads_like_content(str); }

void cpy_text_emit(const cpy_text *text, cpy_types *types, PyObject *object, const cpy_type *type, uint32_t flags) {
    cpy_emit *emit = types->emit;
    if (type->is_str) {
        if (text->values || ((flags & MPR_NODE_INTERNED) && is_name(emit, object))) {
            emit_str(emit, object);
        }
    } else if (PyBytes_CheckExact(object) && text->values) {
        emit_bytes(emit, object);
    } else if (flags & MPR_NODE_TYPE) {
        const cpy_type *itself = cpy_type_of(types, (PyTypeObject *)object);
        if (itself != NULL) {
            cpy_type_emit_name(types, itself);
        }
    } else if (flags & MPR_NODE_MODULE) {
        emit_name_of(emit, cpy_layout_module_name(object));
    } else if (PyFunction_Check(object)) {
        emit_name_of(emit, ((PyFunctionObject *)object)->func_qualname);
    } else if (PyCode_Check(object)) {
        emit_code(emit, (PyCodeObject *)object);
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
    return mpr_resolved_quote(text, cpy_str_utf8(text, sizeof text, key, LONGEST), out, size);
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
static void emit_digest(const cpy_text *text, cpy_emit *emit, uint64_t type, const void *data, size_t size) {
    uint64_t key[2] = {text->key[0] ^ type, text->key[1]};
    mpr_digest digest = mpr_siphash(key, data, size);
    if (emit->status == MPR_OK) {
        emit->status = emit->sink->digest(emit->sink, emit->nodes - 1, &digest);
    }
}

enum { DIGEST_BYTES = 8, DIGEST_INT = 16, DIGEST_NEGATIVE = 17, DIGEST_FLOAT = 18 }; /* a str: bytes a character, 1 to 4 */

void cpy_text_emit_digest(const cpy_text *text, cpy_emit *emit, PyObject *object) {
    if (PyUnicode_CheckExact(object)) {
        if (cpy_str_is_ready(object)) {
            uint64_t kind = (uint64_t)PyUnicode_KIND(object);
            emit_digest(text, emit, kind, PyUnicode_DATA(object), (size_t)PyUnicode_GET_LENGTH(object) * kind);
        }
    } else if (PyBytes_CheckExact(object)) {
        emit_digest(text, emit, DIGEST_BYTES, PyBytes_AS_STRING(object), (size_t)PyBytes_GET_SIZE(object));
    } else if (PyLong_CheckExact(object)) {
        bool negative;
        const digit *digits = cpy_int_value(object, &negative);
        emit_digest(text, emit, negative ? DIGEST_NEGATIVE : DIGEST_INT, digits, cpy_int_digits(object) * sizeof *digits);
    } else if (PyFloat_CheckExact(object)) {
        double value = PyFloat_AS_DOUBLE(object);
        emit_digest(text, emit, DIGEST_FLOAT, &value, sizeof value);
    }
}
