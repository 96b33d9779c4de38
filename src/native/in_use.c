/* SPDX-License-Identifier: MIT
 * See native/in_use.h. All chunks are added first; then the lists are followed, and what is on them is taken out. */
#include "native/in_use.h"

#include <string.h>

#include "base/os/maps.h"
#include "base/status.h"

#define HEAD UINT64_C(16)
#define MASKED_BY(place) ((place) >> 12)
#define FAST_BINS 10
#define BINS 126
#define BINS_EMPTY_LEAST 60 /* that prove an arena: each leads to itself */
#define LIST_MOST 65536     /* chunks in a thread's list, or it is none */

typedef struct finding {
    mpr_blocks *blocks;
    mpr_in_use *out;
    MPR_VEC(uint64_t) caches; /* blocks that have the size of a thread's cache */
    uint64_t top; /* of the main arena */
    int status;
} finding;

/* ---- lists of freed chunks ---- */

static bool is_block(const finding *f, uint64_t block, uint64_t size) {
    return mpr_blocks_has(f->blocks, block) && (size == 0 || mpr_chunks_block_size(block) == size);
}

/* The block that a link leads to, which stands in the first word of a block: masked or plain, to a block or (`to_head`) to the
 * head before one. 0 at the end, and for what is no link. */
MPR_MAPS_ANY_MEMORY static uint64_t next_of(const finding *f, uint64_t block, uint64_t size, bool to_head) {
    uint64_t word = *(const uint64_t *)(uintptr_t)block, plain[] = {word ^ MASKED_BY(block), word};
    for (int i = 0; i < 2; i++) {
        uint64_t next = plain[i] != 0 && to_head ? plain[i] + HEAD : plain[i];
        if (next == 0 || is_block(f, next, size)) {
            return next;
        }
    }
    return 0;
}

/* Take out the chunks of a list. They are taken out one by one, so it ends even where it is a cycle. */
static void remove_list(finding *f, uint64_t block, uint64_t size, bool to_heads) {
    for (uint64_t i = 0; block != 0 && is_block(f, block, size) && (to_heads || i < LIST_MOST); i++) {
        uint64_t next = next_of(f, block, size, to_heads);
        f->out->cached++;
        f->out->cached_bytes += mpr_chunks_block_size(block);
        mpr_blocks_remove(f->blocks, block);
        block = next;
    }
}

/* ---- caches of threads ---- */

/* By what a program could use of a block of its size: where the heads of the lists begin, and how many there are. 0: no cache
 * has it. */
static uint64_t heads_of_cache(uint64_t size, uint64_t *count) {
    *count = size == 760 ? 76 : 64;
    return size == 760 ? 152 : size == 648 ? 128 : size == 584 ? 64 : 0;
}

/* The size of what list number i has; 0: of several sizes. */
static uint64_t size_in_list(uint64_t i) { return i < 64 ? 24 + 16 * i : 0; }

MPR_MAPS_ANY_MEMORY static void remove_cache(finding *f, uint64_t cache) {
    uint64_t count, offset = heads_of_cache(mpr_chunks_block_size(cache), &count), some = 0;
    const uint64_t *heads = (const uint64_t *)(uintptr_t)(cache + offset);
    for (uint64_t i = 0; i < count; i++) {
        if (heads[i] != 0 && !is_block(f, heads[i], size_in_list(i))) {
            return;
        }
        some += heads[i] != 0;
    }
    for (uint64_t i = 0; some > 0 && i < count; i++) {
        remove_list(f, heads[i], size_in_list(i), false);
    }
}

/* ---- arenas ---- */

/* Does an arena have its top at this place? Its bins begin two words behind. The two words before these, top and the remainder of
 * the last split, read as a bin themselves: two words before the top is a fast bin of a size that none has. */
MPR_MAPS_ANY_MEMORY static bool is_arena(const uint64_t *top) {
    uint64_t place = (uint64_t)(uintptr_t)top;
    int empty = 0;
    if (*top == 0 || *top % HEAD != 0) {
        return false;
    }
    for (uint64_t i = 0; i < BINS; i++) {
        const uint64_t *bin = top + 2 + 2 * i;
        bool leads_to_itself = bin[0] == place + 16 * i && bin[1] == bin[0];
        bool leads_to_chunks = bin[0] % HEAD == 0 && bin[0] != 0 && bin[1] % HEAD == 0 && bin[1] != 0;
        if (!leads_to_itself && !leads_to_chunks) {
            return false;
        }
        empty += leads_to_itself;
    }
    return empty >= BINS_EMPTY_LEAST;
}

MPR_MAPS_ANY_MEMORY static void remove_fast_bins(finding *f, const uint64_t *top) {
    for (uint64_t i = 0; i < FAST_BINS; i++) {
        uint64_t first = top[(int64_t)i - FAST_BINS];
        remove_list(f, first == 0 ? 0 : first + HEAD, 24 + 16 * i, true);
    }
}

/* The data of the C library: its main arena is there. */
MPR_MAPS_ANY_MEMORY static int search_library(void *context, const mpr_mapping *m) {
    finding *f = context;
    const char *slash = strrchr(m->name, '/');
    bool library = slash != NULL && (strncmp(slash, "/libc.so", 8) == 0 || strncmp(slash, "/libc-2", 7) == 0);
    if (!library || !m->write || m->shared) {
        return MPR_OK;
    }
    const uint64_t *begin = (const uint64_t *)(uintptr_t)m->begin, *end = (const uint64_t *)(uintptr_t)m->end;
    for (const uint64_t *at = begin + FAST_BINS; at + 2 + 2 * BINS <= end; at++) {
        if (*at == f->top && is_arena(at)) {
            remove_fast_bins(f, at);
            f->out->main_arena = (uint64_t)(uintptr_t)(at - FAST_BINS);
            return MPR_OK;
        }
    }
    return MPR_OK;
}

/* An arena that is not the main one begins its first heap: { arena, heap before it .. }; its top is in the first words of
 * malloc_state. */
MPR_MAPS_ANY_MEMORY static void search_heap(finding *f, uint64_t region) {
    uint64_t heap = region & ~(MPR_CHUNKS_HEAP - 1), arena = ((const uint64_t *)(uintptr_t)heap)[0];
    if (arena <= heap || arena >= region || arena % 8 != 0) { /* a later heap of its arena */
        return;
    }
    for (uint64_t at = arena + 8 * FAST_BINS; at < arena + 8 * FAST_BINS + 64 && at + 8 * (2 + 2 * BINS) <= region; at += 8) {
        if (is_arena((const uint64_t *)(uintptr_t)at)) {
            remove_fast_bins(f, (const uint64_t *)(uintptr_t)at);
            return;
        }
    }
}

/* ---- all of it ---- */

static void add_block(void *context, const mpr_block *block) {
    finding *f = context;
    uint64_t count;
    int status = mpr_blocks_add_chunk(f->blocks, block->address, block->size);
    if (status == MPR_OK && heads_of_cache(block->size, &count) != 0) {
        status = mpr_vec_push(&f->caches, f->blocks->begins.alloc, block->address);
    }
    f->status = f->status == MPR_OK ? status : f->status;
}

int mpr_in_use_add(mpr_blocks *blocks, const mpr_chunks_regions *regions, mpr_in_use *out) {
    finding f = {.blocks = blocks, .out = out};
    *out = (mpr_in_use){0};
    for (size_t i = 0; f.status == MPR_OK && i < regions->region.count; i++) {
        const mpr_chunks_region *region = &regions->region.items[i];
        uint64_t top = mpr_chunks_each_block(region, add_block, &f);
        f.top = top != 0 && region->kind == MPR_CHUNKS_MAIN ? top : f.top;
    }
    mpr_blocks_sort(blocks);
    for (size_t i = 0; f.status == MPR_OK && i < f.caches.count; i++) {
        remove_cache(&f, f.caches.items[i]);
    }
    for (size_t i = 0; f.status == MPR_OK && i < regions->region.count; i++) {
        if (regions->region.items[i].kind == MPR_CHUNKS_OTHER) {
            search_heap(&f, regions->region.items[i].begin);
        }
    }
    if (f.status == MPR_OK && f.top != 0) {
        mpr_maps_read(0, MPR_MAPS_PLAIN, search_library, &f);
    }
    mpr_vec_free(&f.caches, blocks->begins.alloc);
    return f.status;
}
