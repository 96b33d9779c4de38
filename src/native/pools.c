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
#define RESERVED_LEAST (UINT64_C(16) << 30)
#define FREE_LEAST 16u /* headers of free pools that prove an arena of which nothing is in use */

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
    arena->headers++;
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

/* What is done with each pool of a mapping; other than MPR_OK ends it. */
typedef int each_pool(void *context, const pool *header, uint64_t base);

static int look_at(void *context, const pool *header, uint64_t base, each_pool *each) {
    return is_pool(header, base) ? each(context, header, base) : MPR_OK;
}

MPR_MAPS_ANY_MEMORY static int look_in_place(void *context, uint64_t base, each_pool *each) {
    pool header = *(const pool *)(uintptr_t)base;
    return look_at(context, &header, base, each);
}

/* Up to MPR_MAPS_PEEK places where a pool may begin, and where memory may go. */
static int look_carefully(void *context, const uint64_t *place, size_t count, each_pool *each) {
    pool headers[MPR_MAPS_PEEK];
    int status = MPR_OK;
    for (size_t done = 0; status == MPR_OK && done < count;) {
        int got = mpr_maps_peek(false, place + done, count - done, sizeof *headers, headers);
        for (int i = 0; status == MPR_OK && i < got; i++) {
            status = look_at(context, &headers[i], place[done + (size_t)i], each);
        }
        done += (size_t)got + 1; /* one that is gone */
        status = got < 0 ? got : status;
    }
    return status;
}

bool mpr_pools_is_reserved(uint64_t size, uint64_t resident) { return size > 16 * resident + RESERVED_LEAST; }

/* `kept`: is the first page of what may be a pool? */
static int look_into(bool still, const mpr_mapping *m, uint64_t rss, bool (*kept)(void *context, uint64_t base), each_pool *each,
                     void *context) {
    unsigned char resident[MPR_MAPS_WINDOW];
    uint64_t place[MPR_MAPS_PEEK];
    int status = MPR_OK;
    if (!mpr_maps_is_anonymous(m) || mpr_pools_is_reserved(m->end - m->begin, rss)) {
        return MPR_OK;
    }
    for (uint64_t part = m->begin; part < m->end && status == MPR_OK; part += MPR_POOLS_ARENA) {
        uint64_t stop = m->end - part < MPR_POOLS_ARENA ? m->end : part + MPR_POOLS_ARENA;
        size_t count = 0;
        mpr_maps_resident(part, (stop - part) / PAGE_BYTES, resident);
        for (uint64_t at = (part + POOL_BYTES - 1) & ~(uint64_t)(POOL_BYTES - 1);
             status == MPR_OK && at + POOL_BYTES <= m->end && at < stop; at += POOL_BYTES) {
            if (!(resident[(at - part) / PAGE_BYTES] & 1)) {
                continue;
            }
            if (still || (kept != NULL && kept(context, at))) {
                status = look_in_place(context, at, each);
            } else {
                place[count++] = at;
            }
        }
        status = status == MPR_OK ? look_carefully(context, place, count, each) : status;
    }
    return status;
}

/* ---- counting ---- */

typedef struct counting {
    mpr_pools *out;
    mpr_alloc *alloc;
    uint64_t rss;
} counting;

static int count_one(void *context, const pool *p, uint64_t base) {
    const counting *c = context;
    if (note_arena(c->out, c->alloc, p, base) != MPR_OK) {
        return MPR_ENOMEM;
    }
    if (p->count > 0) {
        count_pool(c->out, p);
    }
    return MPR_OK;
}

int mpr_pools_add(mpr_pools *out, mpr_alloc *alloc, bool still, const mpr_mapping *m, uint64_t rss) {
    counting c = {out, alloc, rss};
    return look_into(still, m, rss, NULL, count_one, &c);
}

/* pymalloc keeps one arena of which nothing is in use: its headers are those of free pools. A few such headers may be anybody's bytes. */
static bool is_arena(const mpr_pools_arena *arena) { return arena->used > 0 || arena->headers >= FREE_LEAST; }

void mpr_pools_finish(mpr_pools *out) {
    size_t count = 0;
    for (size_t i = 0; i < out->arena.count; i++) {
        if (is_arena(&out->arena.items[i])) {
            out->arena.items[count++] = out->arena.items[i];
        }
    }
    out->arenas = out->arena.count = count;
    uint64_t room = out->arenas * POOLS_AN_ARENA;
    out->free_pools = room > out->pools ? room - out->pools : 0;
    out->free_bytes += out->free_pools * POOL_BYTES;
}

static int count_mapping(void *context, const mpr_mapping *mapping) {
    counting *c = context;
    return look_into(false, mapping, c->rss, NULL, count_one, c);
}

int mpr_pools_scan(mpr_pools *out, mpr_alloc *alloc) {
    counting c = {.out = out, .alloc = alloc, .rss = mpr_process_rss()};
    memset(out, 0, sizeof *out);
    int status = mpr_maps_read(0, MPR_MAPS_PLAIN, count_mapping, &c);
    mpr_pools_finish(out);
    return status;
}

void mpr_pools_free(mpr_pools *pools, mpr_alloc *alloc) { mpr_vec_free(&pools->arena, alloc); }

/* ---- blocks ---- */

MPR_MAPS_ANY_MEMORY uint64_t mpr_pools_block_size(uint64_t address) {
    return 16 * ((uint64_t)((const pool *)(uintptr_t)(address & ~(POOL_BYTES - 1)))->size_class + 1);
}

typedef struct visiting {
    bool still;
    uint64_t rss;
    const mpr_pools_client *client;
    uint64_t copy[POOL_BYTES / 8];
} visiting;

/* The free blocks of a pool, by number: each has the address of the next in its first word. How many, or -1 for what is no such list. */
static int find_free(const pool *p, const uint64_t *words, uint64_t base, uint64_t size, bool *is_free) {
    int count = 0;
    for (uint64_t at = p->free_block; at != 0; count++) {
        uint64_t offset = at - base, number = (offset - sizeof *p) / size;
        if (offset < sizeof *p || offset > POOL_BYTES - size || (offset - sizeof *p) % size != 0 || is_free[number]) {
            return -1;
        }
        is_free[number] = true;
        at = words[offset / 8];
    }
    return count;
}

static bool is_kept(const visiting *v, uint64_t base, uint32_t bytes) {
    return v->still || (v->client->kept != NULL && v->client->kept(v->client->context, base, bytes));
}

/* What is no pool may have been given back but for a page with an object. */
static bool is_page_kept(void *context, uint64_t base) { return is_kept(context, base, PAGE_BYTES); }

MPR_MAPS_ANY_MEMORY static int visit_pool(void *context, const pool *p, uint64_t base) {
    visiting *v = context;
    const mpr_pools_client *client = v->client;
    bool is_free[POOL_BYTES / 16] = {false};
    const uint64_t *words = (const uint64_t *)(uintptr_t)base;
    uint64_t size = 16 * ((uint64_t)p->size_class + 1);
    if (p->count == 0 || !client->wanted(client->context, base, p->count)) {
        return MPR_OK;
    }
    if (!is_kept(v, base, POOL_BYTES)) {
        if (mpr_maps_peek(false, &base, 1, POOL_BYTES, v->copy) != 1) {
            return MPR_OK;
        }
        words = v->copy;
    }
    uint64_t made = (p->next_offset - sizeof *p) / size; /* blocks behind these were never given out */
    int free_blocks = find_free(p, words, base, size, is_free);
    if (free_blocks < 0 || made - (uint64_t)free_blocks != p->count) {
        return MPR_OK;
    }
    for (uint64_t i = 0; i < made; i++) {
        uint64_t offset = sizeof *p + i * size;
        if (!is_free[i]) {
            client->each(client->context, &(mpr_block){.address = base + offset, .size = size, .words = words + offset / 8});
        }
    }
    return MPR_OK;
}

static int visit_mapping(void *context, const mpr_mapping *mapping) {
    const visiting *v = context;
    return look_into(v->still, mapping, v->rss, is_page_kept, visit_pool, context);
}

int mpr_pools_each_block(bool still, const mpr_pools_client *client) {
    visiting v = {.still = still, .rss = mpr_process_rss(), .client = client};
    return mpr_maps_read(0, MPR_MAPS_PLAIN, visit_mapping, &v);
}
