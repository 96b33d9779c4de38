/* SPDX-License-Identifier: MIT
 * Finding pools. Reading is confined to pages that are in memory, so that space which is only reserved (a sanitizer's shadow has terabytes)
 * is neither touched nor walked, and goes through the kernel, for another thread may unmap what is not pymalloc's. */
#include "native/pools.h"

#include <string.h>

#include "base/os/process.h"
#include "base/status.h"

#define POOL_BYTES MPR_POOLS_POOL
#define PAGE_BYTES 4096
#define POOLS_AN_ARENA (MPR_POOLS_ARENA / POOL_BYTES)
#define MOST_ARENAS 65536

/* The same in every version from 3.10 on. */
typedef struct pool {
    uint32_t count, padding;
    uint64_t free_block;
    uint64_t next, previous;
    uint32_t arena, size_class, next_offset, last_offset;
} pool;

/* A header at `base`. count == 0: all its blocks were given back. */
static bool is_pool(const pool *p, uint64_t base) {
    if (p->size_class >= MPR_POOLS_CLASSES || p->arena >= MOST_ARENAS) {
        return false;
    }
    uint32_t size = 16 * (p->size_class + 1);
    bool offsets = p->last_offset == POOL_BYTES - size && p->next_offset >= sizeof *p && p->next_offset <= POOL_BYTES &&
                   (p->next_offset - sizeof *p) % size == 0;
    bool links = p->next % 8 == 0 && p->previous % 8 == 0;
    bool inside = p->free_block == 0 || (p->free_block > base && p->free_block < base + POOL_BYTES && p->free_block % 16 == 0);
    return offsets && links && inside && p->count <= (POOL_BYTES - sizeof *p) / size;
}

static int note_arena(mpr_pools *out, mpr_alloc *alloc, const pool *p, uint64_t base) {
    while (out->arena.count <= p->arena) {
        if (mpr_vec_push(&out->arena, alloc, (mpr_pools_arena){0}) != MPR_OK) {
            return MPR_ENOMEM;
        }
    }
    mpr_pools_arena *arena = &out->arena.items[p->arena];
    arena->begin = arena->begin == 0 || base < arena->begin ? base : arena->begin;
    if (p->count > 0 && arena->used == 0) {
        out->arenas++;
    }
    arena->used += p->count * 16 * ((uint64_t)p->size_class + 1);
    return MPR_OK;
}

static void count_pool(mpr_pools *out, const pool *p) {
    uint64_t size = 16 * ((uint64_t)p->size_class + 1), blocks = (POOL_BYTES - sizeof *p) / size;
    out->pools++;
    out->used_blocks += p->count;
    out->used_bytes += p->count * size;
    out->free_bytes += (blocks - p->count) * size;
    out->lost_bytes += POOL_BYTES - blocks * size;
    out->classes[p->size_class].pools++;
    out->classes[p->size_class].used += p->count;
    out->classes[p->size_class].free += blocks - p->count;
}

/* Up to MPR_MAPS_PEEK places where a pool may begin. */
static int look_at(mpr_pools *out, mpr_alloc *alloc, bool still, const uint64_t *place, size_t count) {
    pool headers[MPR_MAPS_PEEK];
    for (size_t done = 0; done < count;) {
        int got = mpr_maps_peek(still, place + done, count - done, sizeof *headers, headers);
        if (got < 0) {
            return got;
        }
        for (int i = 0; i < got; i++) {
            if (!is_pool(&headers[i], place[done + (size_t)i])) {
                continue;
            }
            if (note_arena(out, alloc, &headers[i], place[done + (size_t)i]) != MPR_OK) {
                return MPR_ENOMEM;
            }
            if (headers[i].count > 0) {
                count_pool(out, &headers[i]);
            }
        }
        done += (size_t)got + 1; /* one that is gone */
    }
    return MPR_OK;
}

int mpr_pools_add(mpr_pools *out, mpr_alloc *alloc, bool still, const mpr_mapping *m, uint64_t rss) {
    unsigned char resident[MPR_MAPS_WINDOW];
    uint64_t place[MPR_MAPS_PEEK];
    int status = MPR_OK;
    if (!mpr_maps_is_anonymous(m) || m->end - m->begin > 16 * rss + MPR_POOLS_ARENA) {
        return MPR_OK; /* reserved, not used: no arena is so thinly filled */
    }
    for (uint64_t part = m->begin; part < m->end && status == MPR_OK; part += MPR_POOLS_ARENA) {
        uint64_t stop = m->end - part < MPR_POOLS_ARENA ? m->end : part + MPR_POOLS_ARENA;
        size_t count = 0;
        mpr_maps_resident(part, (stop - part) / PAGE_BYTES, resident);
        for (uint64_t at = (part + POOL_BYTES - 1) & ~(uint64_t)(POOL_BYTES - 1); at + POOL_BYTES <= m->end && at < stop;
             at += POOL_BYTES) {
            if (resident[(at - part) / PAGE_BYTES] & 1) {
                place[count++] = at;
            }
        }
        status = look_at(out, alloc, still, place, count);
    }
    return status;
}

void mpr_pools_finish(mpr_pools *out) {
    uint64_t room = out->arenas * POOLS_AN_ARENA;
    out->free_pools = room > out->pools ? room - out->pools : 0;
    out->free_bytes += out->free_pools * POOL_BYTES;
}

/* ---- this process ---- */

typedef struct scan {
    mpr_pools *out;
    mpr_alloc *alloc;
    uint64_t rss;
} scan;

static int scan_mapping(void *context, const mpr_mapping *mapping) {
    scan *s = context;
    return mpr_pools_add(s->out, s->alloc, false, mapping, s->rss);
}

int mpr_pools_scan(mpr_pools *out, mpr_alloc *alloc) {
    scan s = {.out = out, .alloc = alloc, .rss = mpr_process_rss()};
    memset(out, 0, sizeof *out);
    int status = mpr_maps_read(0, MPR_MAPS_PLAIN, scan_mapping, &s);
    mpr_pools_finish(out);
    return status;
}

void mpr_pools_free(mpr_pools *pools, mpr_alloc *alloc) { mpr_vec_free(&pools->arena, alloc); }
