/* SPDX-License-Identifier: MIT
 * Objects that the walk has not seen, though they are in use: only C code holds them, and the collector does not track them. A reference
 * that C forgot to give back to a str, an int, a tuple of them leaves one behind.
 *
 * The blocks that are in use tell: each that no seen object has is looked at where an object may begin in it. What begins with a
 * reference count and a class that was seen, untracked, in a block of the size that such an object asks for, and what is sound inside,
 * is one. It is emitted like others, but nothing of it is trusted: its own tp_traverse is never called, and its references are followed by
 * the walk's own formulas and only to what was seen or is one of them. What was free, and what only looks like an object (a freed one, an
 * entry of a free list, an array of pointers), must be rejected: cpython/sound.h.
 *
 * Where there are several interpreters in the process, nothing is looked for: all of another one's objects are unseen.
 *
 * Used by src/binding. */
#ifndef CPY_UNSEEN_H
#define CPY_UNSEEN_H

#include "cpython/walk.h"
#include "native/account.h"

/* When everything else has been emitted. `more` has the regions of malloc's memory, where the process stands still and they are known, else NULL: then only
 * pymalloc's pools are looked at. Facts (docs/FORMAT.md): unseen_objects, unseen_rejected. MPR_OK or the walk's status. */
int cpy_unseen_emit(cpy_walk *walk, const mpr_account_more *more);

#endif
