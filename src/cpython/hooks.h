/* SPDX-License-Identifier: MIT
 * What PYTHONMALLOC=debug puts around each block of Python's allocators: before it its size, its domain's letter and forbidden bytes.
 *
 * Used by the layers proofs and above. */
#ifndef CPY_HOOKS_H
#define CPY_HOOKS_H

#include "cpython/layout.h"
#include "native/block.h"

#define CPY_HOOKS_BEFORE 16u /* bytes before a block, ... */
#define CPY_HOOKS_BYTES 24u  /* ... and in all */

/* Bytes before each block of objects, and in all: 0 without PYTHONMALLOC=debug, and what is like it. */
void cpy_hooks_find(size_t *before, size_t *all);

/* Is this a block with the marks of a domain ('o': objects, 'r': raw memory)? */
bool cpy_hooks_has_marks(const mpr_block *block, char domain);

#endif
