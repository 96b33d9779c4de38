/* SPDX-License-Identifier: MIT
 * Why pages of a forked process were copied (native/sharing.h): what CPython writes into objects that a program only reads is the reference count, and
 * what the collector notes in the head of those that it tracks. */
#ifndef CPY_COPIED_H
#define CPY_COPIED_H

#include "cpython/walk.h"
#include "native/sharing.h"

/* In a child, when everything else has been emitted. MPR_OK or the walk's status. */
int cpy_copied_emit(cpy_walk *walk, mpr_sharing *sharing);

#endif
