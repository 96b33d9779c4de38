/* SPDX-License-Identifier: MIT
 * Layouts of C types that no header gives, one file for each library. To add a library: write library_NAME.c with its rows, ended by a row
 * without a name, declare them here and list them in library.c; the check of each row is its proof.
 *
 * Used by the layers kinds and above. */
#ifndef CPY_LIBRARY_H
#define CPY_LIBRARY_H

#include "cpython/kinds.h"

/* Words, ints and bytes of an object's body, numbered as with a head of two words (compat.h). */
#define WORD(object, n) (((PyObject **)(uintptr_t)CPY_BODY(object))[n])
#define SIZE_WORD(object, n) (((const size_t *)CPY_BODY(object))[n])
#define INT(object, n) (((const int *)CPY_BODY(object))[n])
#define BYTE(object, n) (CPY_BODY(object)[n])
#define WORD_PLACE(n, name) {(uint16_t)((n) == 0 ? 0 : CPY_WORD(n) * sizeof(PyObject *)), MPR_FIELD_##name}

/* A word of a block that is no object. */
#define BLOCK_WORD(block, n) (((PyObject **)(block))[n])
#define END {0, 0}

typedef struct cpy_library {
    cpy_kind kind;
    const char *module, *attribute; /* where a program that uses the type has it; no attribute: the sample is of it */
    const char *sample;             /* an expression, with T the type, that makes the object to check; NULL: nothing to prove */
    bool (*check)(PyObject *sample);
} cpy_library;

extern const cpy_library cpy_library_python[]; /* the standard library */
extern const cpy_library cpy_library_numpy[];
extern const cpy_library cpy_library_arrow[];  /* pyarrow, and columns of pandas */
extern const cpy_library cpy_library_pillow[];

/* The row of a C type of a library, found by its name, or NULL: not known, or its layout is not proved. `proved` is cpy_proofs.library. */
const cpy_kind *cpy_library_row(PyTypeObject *type, const signed char *proved);

/* Prove the layouts of those types whose modules are loaded and that were not tried yet, on objects made for it. Runs the interpreter:
 * before a walk, never in a forked child. */
void cpy_library_check(signed char *proved);

/* Has the type a row that its layout was not proved for? What its instances own is then not known. */
bool cpy_library_unproved(PyTypeObject *type, const signed char *proved);

/* The names of the types whose proof failed: how many. */
size_t cpy_library_failed(const signed char *proved, const char **names, size_t most);

#endif
