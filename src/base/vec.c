/* SPDX-License-Identifier: MIT
 * Growth of the typed arrays of base/vec.h. `items` points at the array's pointer, whatever its type: it is copied, never aliased. */
#include "base/vec.h"

#include <string.h>

#ifndef MPR_VEC_SMALLEST
#define MPR_VEC_SMALLEST 64 /* items; the C tests build with 1 */
#endif

int mpr_vec_grow(void *items, size_t *capacity, size_t count, size_t extra, size_t item, mpr_alloc *alloc) {
    size_t wanted;
    if (__builtin_add_overflow(count, extra, &wanted)) {
        return MPR_ENOMEM;
    }
    size_t grown = *capacity == 0 ? MPR_VEC_SMALLEST : *capacity <= SIZE_MAX / 2 ? *capacity * 2 : SIZE_MAX;
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
