/* SPDX-License-Identifier: MIT
 * Finding pools. Reading is confined to pages that are in memory, so that space which is only reserved (a sanitizer's shadow has terabytes)
 * is neither touched nor walked. */
#include "cpython/pymalloc.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/os/maps.h"
#include "base/os/process.h"
#include "base/status.h"

#define POOL_BYTES 16384
#define PAGE_BYTES 4096
#define POOLS_AN_ARENA (CPY_ARENA_BYTES / POOL_BYTES)
#define MOST_ARENAS 65536

/* The same in every version from 3.9 on. */
typedef struct pool {
    uint32_t count, padding;
    uintptr_t free_block;
    struct pool *next, *previous;
    uint32_t arena, size_class, next_offset, last_offset;
} pool;

typedef struct scan {
    cpy_pymalloc *out;
    uint64_t rss;
    uint64_t seen[MOST_ARENAS / 64]; /* arenas, by index */
} scan;

MPR_MAPS_ANY_MEMORY static bool is_pool(const pool *p) {
    uintptr_t base = (uintptr_t)p, free_block = p->free_block;
    if (p->size_class >= CPY_SIZE_CLASSES || p->arena >= MOST_ARENAS || p->count == 0) {
        return false;
    }
    uint32_t size = 16 * (p->size_class + 1);
    bool offsets = p->last_offset == POOL_BYTES - size && p->next_offset >= sizeof *p && p->next_offset <= POOL_BYTES &&
                   (p->next_offset - sizeof *p) % size == 0;
    bool links = (uintptr_t)p->next % 8 == 0 && (uintptr_t)p->previous % 8 == 0;
    bool inside = free_block == 0 || (free_block > base && free_block < base + POOL_BYTES && free_block % 16 == 0);
    return offsets && links && inside && p->count <= (POOL_BYTES - sizeof *p) / size;
}

MPR_MAPS_ANY_MEMORY static void add_pool(scan *s, const pool *p) {
    uint64_t size = 16 * ((uint64_t)p->size_class + 1), blocks = (POOL_BYTES - sizeof *p) / size;
    cpy_pymalloc *out = s->out;
    if (!(s->seen[p->arena / 64] >> (p->arena % 64) & 1)) {
        s->seen[p->arena / 64] |= UINT64_C(1) << (p->arena % 64);
        out->arenas++;
    }
    out->pools++;
    out->used_blocks += p->count;
    out->used_bytes += p->count * size;
    out->free_bytes += (blocks - p->count) * size;
    out->lost_bytes += POOL_BYTES - blocks * size;
    out->classes[p->size_class].pools++;
    out->classes[p->size_class].used += p->count;
    out->classes[p->size_class].free += blocks - p->count;
}

MPR_MAPS_ANY_MEMORY static int scan_mapping(void *context, uintptr_t begin, uintptr_t end) {
    scan *s = context;
    unsigned char resident[256];
    if (end - begin > 16 * s->rss + CPY_ARENA_BYTES) {
        return MPR_OK; /* reserved, not used: no arena is so thinly filled */
    }
    for (uintptr_t chunk = begin; chunk < end; chunk += CPY_ARENA_BYTES) {
        uintptr_t stop = end - chunk < CPY_ARENA_BYTES ? end : chunk + CPY_ARENA_BYTES;
        mpr_maps_resident(chunk, (stop - chunk) / PAGE_BYTES, resident);
        for (uintptr_t at = (chunk + POOL_BYTES - 1) & ~(uintptr_t)(POOL_BYTES - 1); at + POOL_BYTES <= end && at < stop;
             at += POOL_BYTES) {
            if ((resident[(at - chunk) / PAGE_BYTES] & 1) && is_pool((const pool *)at)) {
                add_pool(s, (const pool *)at);
            }
        }
    }
    return MPR_OK;
}

int cpy_pymalloc_scan(cpy_pymalloc *out) {
    scan s = {.out = out, .rss = mpr_process_rss()};
    memset(out, 0, sizeof *out);
    int status = mpr_maps_anonymous(scan_mapping, &s);
    uint64_t room = out->arenas * POOLS_AN_ARENA;
    out->free_pools = room > out->pools ? room - out->pools : 0;
    out->free_bytes += out->free_pools * POOL_BYTES;
    return status;
}
