/* SPDX-License-Identifier: MIT
 * The allocator behind mpr_alloc_pages, and the checked arithmetic that every array goes through. */
#include "base/alloc.h"

#include "base/os/pages.h"
#include "base/status.h"

static void account(mpr_alloc *self, size_t old_size, size_t size) {
    self->used = self->used - old_size + size;
    if (self->used > self->peak) {
        self->peak = self->used;
    }
}

static void *pages_resize(mpr_alloc *self, void *old, size_t old_size, size_t size) {
    void *block = mpr_pages_resize(old, old_size, size);
    if (block != NULL || size == 0) {
        account(self, old_size, size);
    }
    return block;
}

void mpr_alloc_pages(mpr_alloc *out) { *out = (mpr_alloc){.resize = pages_resize}; }

static int bytes_of(size_t count, size_t item, size_t *bytes) {
    return __builtin_mul_overflow(count == 0 ? 1 : count, item, bytes) ? MPR_ENOMEM : MPR_OK;
}

void *mpr_alloc_array(mpr_alloc *alloc, size_t count, size_t item) {
    size_t bytes;
    return bytes_of(count, item, &bytes) == MPR_OK ? alloc->resize(alloc, NULL, 0, bytes) : NULL;
}

void mpr_alloc_free(mpr_alloc *alloc, void *block, size_t count, size_t item) {
    size_t bytes;
    if (block != NULL && bytes_of(count, item, &bytes) == MPR_OK) {
        alloc->resize(alloc, block, bytes, 0);
    }
}

int mpr_alloc_resize(mpr_alloc *alloc, void **block, size_t count, size_t wanted, size_t item) {
    size_t old_bytes, bytes;
    if (bytes_of(count, item, &old_bytes) != MPR_OK || bytes_of(wanted, item, &bytes) != MPR_OK) {
        return MPR_ENOMEM;
    }
    void *moved = alloc->resize(alloc, *block, *block == NULL ? 0 : old_bytes, bytes);
    if (moved == NULL) {
        return MPR_ENOMEM;
    }
    *block = moved;
    return MPR_OK;
}
