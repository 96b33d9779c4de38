/* SPDX-License-Identifier: MIT
 * Temporary values of functions that run: what their frames have on the value stack.
 *
 * CPython 3.14 notes how deep a frame's stack is whenever other code may run. Before that the depth of a frame that calls C code, or waits for the GIL
 * within an expression, is in a register alone: a list that a comprehension is filling reads as held by C code. But what is on the stack is somewhere in
 * the room that the code object says the stack may take, beside words that are left over from before.
 *
 * So each frame whose depth is not known gets a second node, below its own (or below the thread, where an object has the frame), which is emitted when everything
 * else was: with a weak edge, TEMPORARY, to each object that was seen and whose address stands in that room. Freeze makes it a strong one if the object has a reference that nothing
 * else explains, and drops it otherwise. Words are compared, and never followed. A word that is left over can explain one reference of C
 * code's wrongly, to an object that was a temporary value of the same function.
 *
 * Used by the layers roots and above. */
#ifndef CPY_TEMPORARIES_H
#define CPY_TEMPORARIES_H

#include "cpython/roots.h"

/* Has the frame such a node? */
bool cpy_temporaries_hidden(const cpy_frame *frame);

/* Emit these nodes, at addresses from roots->hidden on, in the order of threads and of their frames, innermost first. */
void cpy_temporaries_emit(cpy_roots *roots);

#endif
