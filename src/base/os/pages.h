/* SPDX-License-Identifier: MIT
 * Memory straight from the kernel, and the prefetch of bytes that may not be there. */
#ifndef MPR_BASE_OS_PAGES_H
#define MPR_BASE_OS_PAGES_H

#include <stddef.h>

/* mmap, mremap or munmap: see mpr_alloc.resize for the contract. Sizes are rounded up to whole pages. */
void *mpr_pages_resize(void *old, size_t old_size, size_t size);

/* Bytes of a block that memory stands behind: what was never touched takes none. */
size_t mpr_pages_resident(const void *block, size_t size);

/* Bytes that this process has from mpr_pages_resize. */
size_t mpr_pages_mapped(void);

#endif
