/* SPDX-License-Identifier: MIT
 * Roots that a walk can see. The entry point is cpy_walk_seed_roots in walk.h. */
#ifndef CPY_ROOTS_H
#define CPY_ROOTS_H

#include "cpython/walk.h"

/* The public way to frames, before the walk: a list of (thread number, description, locals), a new reference, or NULL with an exception. */
PyObject *cpy_roots_list_frames(void);

#endif
