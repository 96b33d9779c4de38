/* SPDX-License-Identifier: MIT
 * Rows of the table of kinds that stand in files of their own. */
#ifndef CPY_KINDS_H
#define CPY_KINDS_H

#include "cpython/walk.h"

#define CPY_LIBRARY_MAX 64

/* The row of a C type of the standard library or of numpy, found by its name, or NULL: not known, or its layout is not proved. */
const cpy_kind *cpy_library_row(PyTypeObject *type, const signed char *proved);

/* Prove the layouts of those types whose modules are loaded and that were not tried yet, on objects made for it. Runs the interpreter:
 * before a walk, never in a forked child. proved has CPY_LIBRARY_MAX entries: 0 not tried, 1 proved, -1 not as remembered. */
void cpy_library_check(signed char *proved);

/* Has the type a row that its layout was not proved for? What its instances own is then not known. */
bool cpy_library_unproved(PyTypeObject *type, const signed char *proved);

/* The names of the types whose proof failed: how many. */
size_t cpy_library_failed(const signed char *proved, const char **names, size_t most);

/* The row that is of just this type, or NULL. */
const cpy_kind *cpy_kind_exact(PyTypeObject *type, const signed char *library);

/* May instances hold memory of C code that is not in their sizes? Of the type alone: marks.c says how it is decided. */
bool cpy_may_hold_native(const cpy_walk *walk, PyTypeObject *type);

/* What every kind of dict owns and tells. */
size_t cpy_owned_dict(PyObject *object, cpy_blocks *blocks);
void cpy_edges_any_dict(cpy_walk *walk, PyObject *object);

#endif
