/* SPDX-License-Identifier: MIT
 * The characters of a str as UTF-8. No codec of the interpreter is used: it would allocate.
 *
 * Used by the layers facts and above. */
#ifndef CPY_STR_H
#define CPY_STR_H

#include "cpython/compat.h"

#define CPY_STR_WIDEST 4 /* bytes of a character */

/* One character, at most CPY_STR_WIDEST bytes: the length written. */
size_t cpy_str_put(char *out, Py_UCS4 c);

/* At most `most` characters of a str, at most `size` bytes: the length written. Allocates nothing. */
size_t cpy_str_utf8(char *out, size_t size, PyObject *str, Py_ssize_t most);

#endif
