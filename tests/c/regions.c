/* SPDX-License-Identifier: MIT
 * See regions.h. Layouts: glibc's malloc/malloc.c and arena.c, 2.32 to 2.41. */
#define _GNU_SOURCE 1
#include "regions.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)
#define STATE_END 2240  /* bytes from the heap's beginning to its first chunk */
#define CACHE_SIZE 656  /* bytes of the chunk of a thread's cache: 64 counts of 2 bytes, 64 heads of lists */
#define CACHE_LISTS 64

static uint64_t *words_at(uint64_t address) { return (uint64_t *)(uintptr_t)address; }

uint64_t *region_size(const region *r, size_t chunk) { return words_at(r->begin + r->chunks[chunk].at + 8); }

uint64_t region_block(const region *r, size_t chunk) { return r->begin + r->chunks[chunk].at + REGION_HEAD; }

uint64_t *region_words(const region *r, size_t chunk) { return words_at(region_block(r, chunk)); }

/* ---- the memory ---- */

/* A page of a file whose name is one of the C library, as its data are mapped. */
static uint64_t *map_library(void) {
    int file = memfd_create("/libc.so.6", 0);
    bool made = file >= 0 && ftruncate(file, PAGE) == 0;
    void *page = made ? mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0) : MAP_FAILED;
    if (file >= 0) close(file);
    return page == MAP_FAILED ? NULL : page;
}

/* Nothing is in the bins: each leads to itself. */
static void empty_state(region *r) {
    uint64_t top = (uint64_t)(uintptr_t)&r->state[REGION_TOP];
    memset(r->state, 0, REGION_STATE * sizeof *r->state);
    for (size_t i = 0; i < 126; i++) r->state[REGION_TOP + 2 + 2 * i] = r->state[REGION_TOP + 3 + 2 * i] = top + 16 * i;
}

/* Where nothing was mapped before in this process: what an earlier region left behind, on the stack or in a library's data, leads to none of the next. A
 * hint, which a tool that has memory there may refuse. */
static void *unused_place(void) {
    static uint64_t next = UINT64_C(0x200000000000);
    next += 4 * MPR_CHUNKS_HEAP;
    return (void *)(uintptr_t)next;
}

bool region_new(region *r, uint64_t bytes, bool other) {
    *r = (region){.other = other, .chunks = calloc(REGION_CHUNKS, sizeof *r->chunks), .library = other ? NULL : map_library()};
    r->reserved = mmap(unused_place(), 2 * MPR_CHUNKS_HEAP, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (r->reserved == MAP_FAILED || r->chunks == NULL || (!other && r->library == NULL)) return false;
    r->base = ((uint64_t)(uintptr_t)r->reserved + MPR_CHUNKS_HEAP - 1) & ~(MPR_CHUNKS_HEAP - 1);
    uint64_t from = other ? r->base : r->base + (UINT64_C(1) << 20);
    r->begin = other ? r->base + STATE_END : from;
    r->end = (r->begin + bytes + PAGE - 1) & ~(PAGE - 1);
    if (mprotect((void *)(uintptr_t)from, r->end - from, PROT_READ | PROT_WRITE) != 0) return false;
    r->state = other ? words_at(r->base + 32 + 8) : r->library + 64;
    if (other) {
        uint64_t info[] = {r->base + 32, 0, r->end - r->base, r->end - r->base};
        memcpy(words_at(r->base), info, sizeof info);
    }
    region_lay(r, NULL, 0);
    return true;
}

void region_free(region *r) {
    if (r->library != NULL) munmap(r->library, PAGE);
    if (r->reserved != MAP_FAILED) munmap(r->reserved, 2 * MPR_CHUNKS_HEAP);
    free(r->chunks);
}

/* ---- chunks ---- */

static void add_chunk(region *r, uint64_t *at, uint64_t size, bool used) {
    bool before = r->count == 0 || r->chunks[r->count - 1].used;
    r->chunks[r->count] = (region_chunk){.at = *at, .size = size, .used = used};
    *region_size(r, r->count) = size | before | (r->other ? 4 : 0);
    r->used += used;
    r->used_bytes += used ? size : 0;
    r->count++;
    *at += size;
}

static void add_top(region *r, uint64_t at) {
    bool before = r->count == 0 || r->chunks[r->count - 1].used;
    words_at(r->begin + at)[1] = (r->end - r->begin - at) | before | (r->other ? 4 : 0);
    r->state[REGION_TOP] = r->begin + at;
}

static void clear(region *r) {
    uint64_t page = (r->begin + PAGE - 1) & ~(PAGE - 1);
    memset(words_at(r->begin), 0, page - r->begin);
    madvise(words_at(page), r->end - page, MADV_DONTNEED);
    r->count = 0;
    r->cache = r->used = r->used_bytes = r->ready = r->ready_bytes = 0;
    empty_state(r);
}

void region_lay(region *r, const uint64_t *sizes, size_t count) {
    uint64_t at = 0;
    clear(r);
    for (size_t i = 0; i < count; i++) add_chunk(r, &at, sizes[i], true);
    add_top(r, at);
}

/* ---- what malloc keeps ready ---- */

/* Put a chunk first in a list: the link is masked by its own address. */
static void keep_ready(region *r, size_t chunk, uint64_t *head, bool leads_to_head) {
    uint64_t block = region_block(r, chunk);
    *region_words(r, chunk) = *head ^ block >> 12;
    *head = leads_to_head ? block - REGION_HEAD : block;
    r->chunks[chunk].ready = true;
    r->ready++;
    r->ready_bytes += r->chunks[chunk].size - 8;
}

/* Every seventh chunk in use goes to the cache, every eleventh to a fast bin, if it is small enough. */
static void fill_lists(region *r) {
    for (size_t i = 0; i < r->count; i++) {
        uint64_t list = (r->chunks[i].size - 32) / 16, *heads = words_at(r->begin + r->cache + REGION_HEAD + 2 * CACHE_LISTS);
        if (!r->chunks[i].used || r->chunks[i].at == r->cache) continue;
        if (i % 7 == 0 && list < CACHE_LISTS) keep_ready(r, i, &heads[list], false);
        else if (i % 11 == 0 && list < REGION_FAST) keep_ready(r, i, &r->state[1 + list], true);
    }
}

static uint64_t random_size(dice *d) {
    if (dice_chance(d, 1)) return 16 * (2 + dice_below(d, 8000));
    return 16 * (2 + dice_below(d, dice_chance(d, 60) ? 10 : 60));
}

void region_fill(region *r, dice *d, size_t count) {
    uint64_t at = 0;
    clear(r);
    while (r->count < count) {
        bool used = r->count < 8 || !r->chunks[r->count - 1].used || dice_chance(d, 75), cache = r->count == 5;
        uint64_t size = cache ? CACHE_SIZE : random_size(d);
        if (r->begin + at + size + 4 * REGION_HEAD > r->end) break;
        r->cache = cache ? at : r->cache;
        add_chunk(r, &at, size, used);
    }
    add_top(r, at);
    fill_lists(r);
}
