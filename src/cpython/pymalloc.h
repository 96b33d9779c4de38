/* SPDX-License-Identifier: MIT
 * CPython's allocator for small blocks, measured by looking at its pools: arenas of 1 MiB, pools of 16 KiB, blocks of one size a pool. */
#ifndef CPY_PYMALLOC_H
#define CPY_PYMALLOC_H

#include <stdint.h>

#define CPY_SIZE_CLASSES 32
#define CPY_ARENA_BYTES (UINT64_C(1) << 20)

typedef struct cpy_pymalloc {
    uint64_t arenas, pools, free_pools;
    uint64_t used_blocks, used_bytes, free_bytes; /* free_bytes: free blocks in used pools, and free pools */
    uint64_t lost_bytes;                          /* pool headers, and what is too small for one more block */
    struct {
        uint64_t pools, used, free; /* blocks of 16 * (i + 1) bytes */
    } classes[CPY_SIZE_CLASSES];
} cpy_pymalloc;

/* Look at every private mapping. Needs no private symbol: a pool is known by its header, whose fields must agree with each other. The GIL
 * must be held. MPR_OK or MPR_EIO. With PYTHONMALLOC=malloc everything is 0. */
int cpy_pymalloc_scan(cpy_pymalloc *out);

#endif
