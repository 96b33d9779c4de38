/* SPDX-License-Identifier: MIT
 * See cpython/str.h. */
#include "cpython/str.h"

size_t cpy_str_put(char *out, Py_UCS4 c) {
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

size_t cpy_str_utf8(char *out, size_t size, PyObject *str, Py_ssize_t most) {
    size_t length = 0;
    Py_ssize_t count = PyUnicode_GET_LENGTH(str);
    if (!cpy_str_is_ready(str)) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < count && i < most && length + 4 <= size; i++) {
        length += cpy_str_put(out + length, PyUnicode_READ_CHAR(str, i));
    }
    return length;
}
