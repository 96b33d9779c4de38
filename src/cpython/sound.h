/* SPDX-License-Identifier: MIT
 * Is what lies in a block an object? Judged by its bytes alone, which may be anything: nothing outside of the block is read, but what was
 * found to be in memory before.
 *
 * Used by the layers types and above. */
#ifndef CPY_SOUND_H
#define CPY_SOUND_H

#include "cpython/types.h"

/* `bytes` of memory at `object`, or a copy of them, as an object of this class without its pre-header: the bytes that it asked for, or 0 when it is
 * no sound object. `record` is for no class with a GC head but tuple and dict. */
size_t cpy_sound_bytes(const cpy_type *record, const PyObject *object, size_t bytes);

/* Can objects of this class be judged? Those that the collector tracks from their beginning to their end need not be. */
bool cpy_sound_knows(const cpy_type *record);

#endif
