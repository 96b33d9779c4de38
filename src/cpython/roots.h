/* SPDX-License-Identifier: MIT
 * The roots that a walk can see, emitted as synthetic nodes: modules, the interpreter's own references, and threads with their frames.
 *
 * Used by the layers roots and above. */
#ifndef CPY_ROOTS_H
#define CPY_ROOTS_H

#include "cpython/caller.h"
#include "cpython/text.h"

typedef struct cpy_roots {
    cpy_emit *emit;
    cpy_types *types;
    const cpy_self *self;
    cpy_caller *caller;
    cpy_argument *argument;
    PyObject *
        frames; /* running frames, where their private layout is not known: (thread number, description, copy of the locals, globals) */
    uint64_t synthetic; /* address of the next synthetic node */
    uint64_t hidden; /* address of the next node of a hidden stack (temporaries.h) */
    uint32_t root_type, thread_type, frame_type;
} cpy_roots;

/* Where the layout of frames is not known, lists them by public functions: before the walk, never in a forked child. The five pointers
 * are set. MPR_OK or a negative status; ended in any case. */
int cpy_roots_begin(cpy_roots *roots);
void cpy_roots_end(cpy_roots *roots);

/* Emit the groups, threads and frames. When the collector's objects have been seen: no private field of the interpreter is believed that
 * does not lead to one of those. MPR_OK or the first failure. */
int cpy_roots_emit(cpy_roots *roots);

/* Emit the node of a frame, without edges. */
void cpy_roots_emit_frame(cpy_roots *roots, const cpy_frame *frame, uint64_t address);

#endif
