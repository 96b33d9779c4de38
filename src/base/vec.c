/* SPDX-License-Identifier: MIT
 * Growth of the typed arrays of base/vec.h. `items` points at the array's pointer, whatever its type: it is copied, never aliased. */
#include "base/vec.h"

#include <string.h>

/* Smaller arrays have no room to spare: the C tests with sanitizers set it, so that whoever points into an array that grows is found out. */
#ifndef MPR_VEC_TIGHT
#define MPR_VEC_TIGHT 1 /* bytes */
#endif

#define SMALLEST 64 /* items */
#define LARGE ((size_t)1 << 20) /* bytes */

/* A large one grows by a quarter, by remapping, without a copy: what is not used of it counts as taken. */
static size_t next_capacity(size_t capacity, size_t item) {
    if (capacity == 0) {
        return MPR_VEC_TIGHT > 1 ? 1 : SMALLEST;
    }
    size_t more = capacity * item < MPR_VEC_TIGHT ? 1 : capacity < LARGE / item ? capacity : capacity / 4;
    return capacity <= SIZE_MAX - more ? capacity + more : SIZE_MAX;
}

int mpr_vec_grow(void *items, size_t *capacity, size_t count, size_t extra, size_t item, mpr_alloc *alloc) {
    size_t wanted;
    if (__builtin_add_overflow(count, extra, &wanted)) {
        return MPR_ENOMEM;
    }
    size_t grown = next_capacity(*capacity, item);
    void *block;
    memcpy(&block, items, sizeof block);
    size_t next = grown > wanted ? grown : wanted;
    if (mpr_alloc_resize(alloc, &block, *capacity, next, item) != MPR_OK) {
        return MPR_ENOMEM;
    }
    memcpy(items, &block, sizeof block);
    *capacity = next;
    return MPR_OK;
}

void mpr_vec_shrink(void *items, size_t *capacity, size_t count, size_t item, mpr_alloc *alloc) {
    void *block;
    memcpy(&block, items, sizeof block);
    if (block == NULL || count == *capacity || count == 0) {
        return;
    }
    if (mpr_alloc_resize(alloc, &block, *capacity, count, item) == MPR_OK) {
        memcpy(items, &block, sizeof block);
        *capacity = count;
    }
}
