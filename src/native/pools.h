/* SPDX-License-Identifier: MIT
 * CPython's allocator for small blocks (pymalloc), measured by looking at its pools: arenas of 1 MiB, pools of 16 KiB, blocks of one size a
 * pool. Needs no private symbol: a pool is known by its header, whose fields must agree with each other. With PYTHONMALLOC=malloc, and on a
 * free-threaded build, there are none. */
#ifndef MPR_NATIVE_POOLS_H
#define MPR_NATIVE_POOLS_H

#include "base/alloc.h"
#include "base/os/maps.h"
#include "base/vec.h"
#include "native/block.h"

#define MPR_POOLS_CLASSES 32
#define MPR_POOLS_ARENA (UINT64_C(1) << 20) /* bytes */
#define MPR_POOLS_POOL (UINT64_C(16) << 10) /* bytes, and what pools begin at multiples of */

typedef struct mpr_pools_arena {
    uint64_t begin;   /* of its first pool that is known; 0: no pool of this arena was seen */
    uint64_t used;    /* bytes in blocks in use */
    uint64_t headers; /* pools that are known, free ones among them */
} mpr_pools_arena;

typedef struct mpr_pools {
    uint64_t arenas, pools, free_pools;
    uint64_t used_blocks, used_bytes, free_bytes; /* free_bytes: free blocks in used pools, and free pools */
    uint64_t lost_bytes;                          /* pool headers, and what is too small for one more block */
    struct {
        uint64_t pools, used, free; /* blocks of 16 * (i + 1) bytes */
    } classes[MPR_POOLS_CLASSES];
    MPR_VEC(mpr_pools_arena) arena; /* by pymalloc's own number of it; when finished, the arenas alone */
} mpr_pools;

/* Is so large a mapping only reserved, as by a sanitizer, or an allocator that reserves all it may ever need? It has more than 16 times `resident`, the
 * bytes of the process that are, and more than the stacks of 2000 threads, which may lie in one mapping (glibc 2.42 and newer). */
bool mpr_pools_is_reserved(uint64_t size, uint64_t resident);

/* Look at one mapping, when it is anonymous, and add what is there. What is only reserved is not looked at. Unless the process stands `still` it may vanish meanwhile. MPR_OK, MPR_ENOMEM, MPR_EUNSUPPORTED when the kernel does not let us. */
int mpr_pools_add(mpr_pools *pools, mpr_alloc *alloc, bool still, const mpr_mapping *mapping, uint64_t resident);

/* When all mappings have been added: which arenas there are, and pools that are free, which nothing but the arenas' size tells. */
void mpr_pools_finish(mpr_pools *pools);

/* Who wants blocks. Memory that is `kept` from being given back, `bytes` from an address on, is read where it is, and not copied first: a page, and a pool.
 * NULL: none is. Of a pool with `used` blocks in use, is it `wanted`? */
typedef struct mpr_pools_client {
    bool (*kept)(void *context, uint64_t base, uint32_t bytes);
    bool (*wanted)(void *context, uint64_t base, uint32_t used);
    mpr_block_each *each;
    void *context;
} mpr_pools_client;

/* Each block in use of all pools that are wanted, those of a pool in their order. A pool whose free blocks do not agree with its header is left out. Where
 * the process stands `still`, all are kept. MPR_OK, MPR_EIO, MPR_EUNSUPPORTED. */
int mpr_pools_each_block(bool still, const mpr_pools_client *client);

/* The size of the block at an address that is in use, in bytes: by the head of its pool, read in place. */
uint64_t mpr_pools_block_size(uint64_t address);

/* The whole of it, for this process. MPR_OK, MPR_ENOMEM, MPR_EIO, MPR_EUNSUPPORTED. */
int mpr_pools_scan(mpr_pools *out, mpr_alloc *alloc);

void mpr_pools_free(mpr_pools *pools, mpr_alloc *alloc);

#endif
