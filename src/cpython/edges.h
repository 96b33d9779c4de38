/* SPDX-License-Identifier: MIT
 * The references of one object, each exactly once, each with the best name that can be proved.
 *
 * Used by the layers edges and above. */
#ifndef CPY_EDGES_H
#define CPY_EDGES_H

#include "cpython/types.h"

/* Emit all references of an object. */
void cpy_edges_emit(cpy_emit *emit, PyObject *object, const cpy_type *type);

/* Emit those of a frame: its variables, and unless `locals_only` its value stack and the frame's own. */
void cpy_edges_emit_frame(cpy_emit *emit, const cpy_frame *frame, bool locals_only);

#endif
