/* SPDX-License-Identifier: MIT
 * Roots that a walk can see. The entry point is cpy_walk_seed_roots in walk.h. */
#ifndef CPY_ROOTS_H
#define CPY_ROOTS_H

#include "cpython/walk.h"

/* Frames by public functions, before the walk: a list of (thread number, description, copy of the locals, globals), a new reference, or NULL
 * with an exception. */
#define CPY_LISTED_LOCALS 2
#define CPY_LISTED_GLOBALS 3
PyObject *cpy_roots_list_frames(void);

/* Emit the node of a frame, without edges. */
void cpy_roots_emit_frame(cpy_walk *walk, const cpy_frame *frame, uint64_t address);

#endif
