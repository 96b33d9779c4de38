/* SPDX-License-Identifier: MIT
 * Who asked the question that a walk is for, and what the question itself holds: so that neither is taken for the program's.
 *
 * Used by the layers roots and above. */
#ifndef CPY_CALLER_H
#define CPY_CALLER_H

#include "cpython/edges.h"
#include "cpython/self.h"

/* The innermost frame of this thread that is not memprobe's. All 0 where frames are not to be had. */
typedef struct cpy_caller {
    void *frame;
    uint64_t node;    /* of the frame, or of the generator or frame object that it is in */
    PyObject *locals; /* the namespace of a frame whose variables stand in one: a module's or a class's; else NULL */
} cpy_caller;

/* The node of a frame on a thread's stack is known when it is emitted (roots.c). */
void cpy_caller_find(cpy_caller *caller, const cpy_proofs *proofs, const cpy_self *self);

/* The object that a function of memprobe was called with. Until 3.13 the value stacks of the frames that called it own references to it
 * that the frames do not show: the innermost frame emits them, so that they are not taken for references of C code. */
typedef struct cpy_argument {
    PyObject *object;
    unsigned references; /* to it, which were not emitted yet */
    void *frame;         /* that emits them; NULL where frames are not to be had: then the first listed one of memprobe's */
} cpy_argument;

void cpy_argument_set(cpy_argument *argument, const cpy_proofs *proofs, PyObject *object);

/* Emit these references, if `frame` is the one that has them. */
void cpy_argument_emit(cpy_argument *argument, cpy_emit *emit, const void *frame);

#endif
