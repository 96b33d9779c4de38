/* SPDX-License-Identifier: MIT
 * Why pages of a forked process were copied (native/sharing.h): what CPython writes into objects that a program only reads is the reference count, and
 * what the collector notes in the head of those that it tracks.
 *
 * Used by src/binding. */
#ifndef CPY_COPIED_H
#define CPY_COPIED_H

#include "cpython/emit.h"
#include "native/sharing.h"

/* In a child, when everything else has been emitted. MPR_OK or a negative status. */
int cpy_copied_emit(cpy_emit *emit, mpr_sharing *sharing);

#endif
