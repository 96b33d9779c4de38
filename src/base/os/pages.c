/* SPDX-License-Identifier: MIT
 * Memory from mmap alone, so that it works in a forked child of a threaded process. */
#define _GNU_SOURCE
#include "base/os/pages.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/os/maps.h"

#define HUGE_FROM ((size_t)4 << 20)

static size_t mapped; /* by all threads */

static size_t whole_pages(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return size > SIZE_MAX - page ? 0 : (size + page - 1) / page * page;
}

/* Arrays that are jumped about in: fewer faults, and fewer misses of the page tables. */
static void *advised(void *block, size_t old_size, size_t size) {
    if (block == MAP_FAILED) {
        return NULL;
    }
    __atomic_fetch_add(&mapped, size - old_size, __ATOMIC_RELAXED);
    if (size >= HUGE_FROM) {
        madvise(block, size, MADV_HUGEPAGE);
    }
    return block;
}

static void *fresh(size_t size) {
    return advised(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 0, size);
}

void *mpr_pages_resize(void *old, size_t old_size, size_t size) {
    size_t old_whole = whole_pages(old_size), whole = whole_pages(size);
    if (size == 0) {
        if (old != NULL) {
            munmap(old, old_whole);
            __atomic_fetch_sub(&mapped, old_whole, __ATOMIC_RELAXED);
        }
        return NULL;
    }
    if (whole == 0) {
        return NULL;
    }
    if (old == NULL) {
        return fresh(whole);
    }
    if (size < old_size) { /* what is cut off must read as zero when the block grows again */
        memset((char *)old + size, 0, (old_size < whole ? old_size : whole) - size);
    }
    if (whole == old_whole) {
        return old;
    }
    return advised(mremap(old, old_whole, whole, MREMAP_MAYMOVE), old_whole, whole);
}

size_t mpr_pages_resident(const void *block, size_t size) {
    return mpr_maps_resident_bytes((uintptr_t)block, (uintptr_t)block + whole_pages(size));
}

size_t mpr_pages_mapped(void) { return __atomic_load_n(&mapped, __ATOMIC_RELAXED); }
