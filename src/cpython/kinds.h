/* SPDX-License-Identifier: MIT
 * Kinds: families of types, with what their instances own beyond their bodies (formulas) and what their references are called (data). The
 * rows for builtin types are in kinds.c, those for types of libraries in library*.c.
 *
 * Used by the layers kinds and above. */
#ifndef CPY_KINDS_H
#define CPY_KINDS_H

#include "cpython/emit.h"

/* Any function may be NULL. */
typedef struct cpy_kind {
    const char *name;    /* full name of the type, as tp_name has it */
    PyTypeObject *exact; /* or the type itself */
    /* Bytes of the object's block without pre-header, when it is not basicsize + items. */
    size_t (*body)(PyObject *object, PyTypeObject *type);
    /* Bytes of private blocks; each that can be located is given to `blocks`, unless that is NULL. */
    size_t (*owned)(PyObject *object, cpy_blocks *blocks);
    bool (*bounded)(PyObject *object);                   /* does it drop what is beyond a bound? */
    void (*edges)(cpy_emit *emit, PyObject *object);     /* emits what tp_traverse does not, or in better words */
    bool complete;       /* `edges` emits all: tp_traverse is not called for instances of exactly this type ... */
    bool complete_below; /* ... and of its subclasses */
    bool addresses;      /* the blocks of `owned` may have addresses of what C code gave out: they are looked through for these */
    bool own_pool;       /* the buffers are in a pool of the library: MPR_TYPE_OWN_POOL */
    bool partial;        /* `owned` counts what is certain; instances may own more, and stay marked (marks.c) */
    const char *ignored; /* tp_name of a class that tp_traverse visits on behalf of others, whose type columns have it */
    mpr_label loose;     /* label of a reference that is not in the body; a plain INDEX counts up */
    const struct cpy_place {
        uint16_t offset;
        uint16_t field; /* mpr_field */
    } *places;          /* names of words of the body, ended by {0, 0} */
} cpy_kind;

/* The row of the table of kinds for a type, never NULL; *exact says that the type itself is the row's. */
const cpy_kind *cpy_kind_of(PyTypeObject *type, const signed char *library, bool *exact);

/* The row that is of just this type, or NULL. */
const cpy_kind *cpy_kind_exact(PyTypeObject *type, const signed char *library);

/* What every kind of dict owns. */
size_t cpy_owned_dict(PyObject *object, cpy_blocks *blocks);

/* Nothing: the size of the body is all, and is known. */
size_t cpy_owned_nothing(PyObject *object, cpy_blocks *blocks);

#endif
