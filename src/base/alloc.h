/* SPDX-License-Identifier: MIT
 * The one door for memory. The allocator is an argument and never a global, because a walk may run in a forked child of a
 * threaded process, where malloc may hang (law 3 of the design): there it is mpr_alloc_pages, which asks mmap alone.
 *
 * Invariant: `used` is the sum of the sizes of all live blocks; `peak` the largest value it had. */
#ifndef MPR_BASE_ALLOC_H
#define MPR_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

typedef struct mpr_alloc {
    /* Resize the block `old` of `old_size` bytes (NULL and 0: a new one) to `size` bytes (0: free it, returns NULL). New bytes are
     * zero. NULL for size > 0 means no memory, and the old block is untouched. */
    void *(*resize)(struct mpr_alloc *self, void *old, size_t old_size, size_t size);
    size_t used;
    size_t peak;
    void *context; /* the implementation's own */
} mpr_alloc;

/* Blocks straight from mmap: usable after fork in a threaded process. Large blocks grow by mremap, without a copy. */
void mpr_alloc_pages(mpr_alloc *out);

/* `count` zeroed items of `item` bytes, or NULL when memory or size_t is exhausted. count == 0 gives a valid one-item block. */
void *mpr_alloc_array(mpr_alloc *alloc, size_t count, size_t item);

/* Give back what mpr_alloc_array(alloc, count, item) returned; NULL is allowed. */
void mpr_alloc_free(mpr_alloc *alloc, void *block, size_t count, size_t item);

/* Resize the block of an array from `count` to `wanted` items; *block is replaced on success. MPR_OK or MPR_ENOMEM. */
int mpr_alloc_resize(mpr_alloc *alloc, void **block, size_t count, size_t wanted, size_t item);

#endif
