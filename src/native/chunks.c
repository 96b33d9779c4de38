/* SPDX-License-Identifier: MIT
 * Regions are recognised by what their first page begins with, which the caller reads; their chunks are read directly. */
#include "native/chunks.h"

#include <stddef.h>

#include "base/os/maps.h"
#include "base/status.h"

#define HEAD UINT64_C(16)
#define FREE_HEAD UINT64_C(48) /* and what malloc notes in the first bytes of a chunk that is free */
#define PAGE UINT64_C(4096)
#define IN_USE 1u /* the chunk before */
#define MAPPED 2u
#define MAPPED_LEAST (UINT64_C(128) << 10) /* bytes: the least M_MMAP_THRESHOLD that malloc chooses by itself */

typedef struct chunk {
    uint64_t previous_size; /* belongs to the chunk before, while that is in use */
    uint64_t size;          /* and flags */
} chunk;

/* ---- residency: a window of pages that moves along a region ---- */

typedef struct window {
    uint64_t begin, end; /* pages that were looked at; none at first */
    uint64_t limit;      /* end of the region */
    const mpr_held *file;
    unsigned char resident[MPR_MAPS_WINDOW];
} window;

/* Bytes of the whole pages within [begin, end) that are not in memory. begin does not decrease from call to call. */
static uint64_t absent(window *w, uint64_t begin, uint64_t end) {
    uint64_t bytes = 0;
    for (uint64_t page = (begin + PAGE - 1) & ~(PAGE - 1); page + PAGE <= end; page += PAGE) {
        if (page >= w->end) {
            size_t pages = (size_t)((w->limit - page) / PAGE);
            pages = pages < MPR_MAPS_WINDOW ? pages : MPR_MAPS_WINDOW;
            w->begin = page, w->end = page + pages * PAGE;
            mpr_maps_written(w->file, page, pages, w->resident);
        }
        bytes += w->resident[(page - w->begin) / PAGE] & 1 ? 0 : PAGE;
    }
    return bytes;
}

/* Bytes of the whole pages within [begin, end). */
static uint64_t whole_pages(uint64_t begin, uint64_t end) {
    uint64_t first = (begin + PAGE - 1) & ~(PAGE - 1), last = end & ~(PAGE - 1);
    return last > first ? last - first : 0;
}

/* ---- chunks that follow each other ---- */

/* What is known while a region is walked: it is kept when the region's chunks have led to its end. */
typedef struct walk {
    mpr_chunks found;
    window w;
    mpr_chunks_piece piece; /* that was reached; begin 0: none */
    bool main_arena;
} walk;

static void end_piece(walk *k) {
    mpr_chunks_regions *r = &k->found.regions;
    const mpr_chunks_piece *piece = &k->piece;
    bool sparse = piece->free >= MPR_CHUNKS_PIECE / 4 && 3 * piece->used < piece->free;
    if (r->alloc != NULL && sparse && mpr_vec_push(&r->sparse, r->alloc, *piece) != MPR_OK) {
        r->incomplete = true;
    }
}

/* A chunk of [at, next), whose content that may not be in memory begins at `from`: share it among the pieces that it lies in. Returns the bytes of it that
 * are not in memory. */
static uint64_t fill_pieces(walk *k, uint64_t at, uint64_t from, uint64_t next, bool used) {
    uint64_t all_gone = 0;
    while (at < next) {
        uint64_t begin = at & ~(MPR_CHUNKS_PIECE - 1), end = begin + MPR_CHUNKS_PIECE < next ? begin + MPR_CHUNKS_PIECE : next;
        uint64_t gone = next >= from + PAGE && end > from ? absent(&k->w, at > from ? at : from, end) : 0;
        if (begin != k->piece.begin) {
            end_piece(k);
            k->piece = (mpr_chunks_piece){.begin = begin};
        }
        *(used ? &k->piece.used : &k->piece.free) += end - at - (used ? 0 : gone);
        all_gone += gone;
        at = end;
    }
    return all_gone;
}

static void add_used(walk *k, uint64_t at, uint64_t next) {
    uint64_t gone = fill_pieces(k, at, at + FREE_HEAD, next, true);
    k->found.used++;
    k->found.used_bytes += next - at;
    k->found.used_resident += next - at - gone;
}

static void add_free(walk *k, uint64_t at, uint64_t next, bool top) {
    uint64_t gone = fill_pieces(k, at, at + FREE_HEAD, next, false), size = next - at;
    mpr_chunks *out = &k->found;
    out->free++;
    out->free_bytes += size;
    out->free_resident += size - gone;
    out->others_free += k->main_arena ? 0 : size - gone;
    out->returnable += top && !k->main_arena ? 0 : whole_pages(at + FREE_HEAD, next) - gone;
    if (top) {
        out->top_bytes += size;
    } else if (size > out->largest) {
        out->largest = size;
    }
}

/* The two small chunks that close a heap which another one of its arena follows; nothing is behind them. */
static bool is_fence(uint64_t at, uint64_t end) { return end - at <= 4 * HEAD; }

/* The end of the chunk at `at`, or 0 when there is none. */
MPR_MAPS_ANY_MEMORY static uint64_t walk_chunk(walk *k, uint64_t at, uint64_t end) {
    uint64_t size = ((const chunk *)(uintptr_t)at)->size & ~UINT64_C(7), next = at + size;
    if (size < 2 * HEAD && is_fence(at, end)) {
        add_used(k, at, end);
        return end;
    }
    if (size < 2 * HEAD || size % HEAD != 0 || size > end - at) {
        return 0;
    }
    bool top = next == end;
    if (!top && (next + HEAD > end || (((const chunk *)(uintptr_t)next)->size & IN_USE))) {
        add_used(k, at, next);
    } else {
        add_free(k, at, next, top);
    }
    return next;
}

bool mpr_chunks_walk(mpr_chunks *out, uint64_t begin, uint64_t end, bool main_arena) {
    walk k = {.found = *out, .w = {.limit = end, .file = &out->pages}, .main_arena = main_arena};
    size_t sparse_before = out->regions.sparse.count;
    uint64_t at = begin;
    if (begin % HEAD != 0 || end < begin + 2 * HEAD) {
        return false;
    }
    while (at != 0 && at + HEAD <= end) {
        at = walk_chunk(&k, at, end);
    }
    if (at != end) {
        out->regions.sparse = k.found.regions.sparse; /* which may have moved: what was added is taken back */
        out->regions.sparse.count = sparse_before;
        return false;
    }
    end_piece(&k);
    k.found.arenas += main_arena;
    *out = k.found;
    mpr_chunks_note(out, (mpr_chunks_region){begin, end, main_arena ? MPR_CHUNKS_MAIN : MPR_CHUNKS_OTHER});
    return true;
}

void mpr_chunks_note(mpr_chunks *out, mpr_chunks_region region) {
    mpr_chunks_regions *r = &out->regions;
    if (r->alloc != NULL && mpr_vec_push(&r->region, r->alloc, region) != MPR_OK) {
        r->incomplete = true;
    }
}

void mpr_chunks_regions_free(mpr_chunks_regions *regions) {
    if (regions->alloc != NULL) {
        mpr_vec_free(&regions->region, regions->alloc);
        mpr_vec_free(&regions->sparse, regions->alloc);
    }
}

/* The size that is in a mapping's head is the mapping's, or from glibc 2.43 on less by the head. */
static uint64_t mapped_size(uint64_t size) { return (size + HEAD) % PAGE == 0 ? size + HEAD : size; }

MPR_MAPS_ANY_MEMORY uint64_t mpr_chunks_block_bytes(uint64_t address) {
    uint64_t word = ((const chunk *)(uintptr_t)(address - HEAD))->size, size = word & ~UINT64_C(7);
    return word & MAPPED ? mapped_size(size) : size;
}

MPR_MAPS_ANY_MEMORY uint64_t mpr_chunks_block_size(uint64_t address) {
    bool mapped = (((const chunk *)(uintptr_t)(address - HEAD))->size & MAPPED) != 0;
    return mpr_chunks_block_bytes(address) - (mapped ? HEAD : 8); /* the first word of the next one's head, too */
}

static void give(uint64_t at, mpr_block_each *each, void *context) {
    uint64_t address = at + HEAD;
    each(context,
         &(mpr_block){.address = address, .size = mpr_chunks_block_size(address), .words = (const uint64_t *)(uintptr_t)address});
}

MPR_MAPS_ANY_MEMORY uint64_t mpr_chunks_each_block(const mpr_chunks_region *region, mpr_block_each *each, void *context) {
    uint64_t end = region->end;
    if (region->kind == MPR_CHUNKS_MAPPED) {
        give(region->begin, each, context);
        return 0;
    }
    for (uint64_t at = region->begin; at + HEAD < end;) {
        uint64_t size = ((const chunk *)(uintptr_t)at)->size & ~UINT64_C(7), next = at + size;
        if (size < 2 * HEAD || size % HEAD != 0 || size >= end - at) { /* a fence, the top, or damage since the region was walked */
            return next == end ? at : 0;
        }
        if (next + HEAD > end || (((const chunk *)(uintptr_t)next)->size & IN_USE)) {
            give(at, each, context);
        }
        at = next;
    }
    return 0;
}

/* ---- other arenas ---- */

typedef struct heap_info {
    uint64_t arena, previous, size, writable;
} heap_info;

#define STATE_FROM UINT64_C(1536) /* bytes that malloc_state has at least, ... */
#define STATE_TO UINT64_C(4096) /* ... and at most */

uint64_t mpr_chunks_heap_end(uint64_t begin, const mpr_chunks_head *head) {
    heap_info info = {head->word[0], head->word[1], head->word[2], head->word[3]};
    uint64_t offset = info.arena % MPR_CHUNKS_HEAP;
    bool sizes = info.size >= PAGE && info.size % PAGE == 0 && info.size <= info.writable && info.writable <= MPR_CHUNKS_HEAP;
    bool first = info.arena - offset == begin && info.previous == 0;
    bool later = info.arena - offset != begin && info.previous != 0 && info.previous % MPR_CHUNKS_HEAP == 0;
    bool placed = begin % MPR_CHUNKS_HEAP == 0 && offset >= sizeof info && offset <= 2 * sizeof info;
    return placed && sizes && (first || later) ? begin + info.size : 0;
}

/* Where the chunks begin is not told: behind heap_info, or behind malloc_state, whose size differs between releases. So each place is tried at
 * which a first chunk may begin; one whose chunks lead to the end of the heap is it. */
MPR_MAPS_ANY_MEMORY bool mpr_chunks_walk_heap(mpr_chunks *out, uint64_t begin, uint64_t end) {
    const heap_info *info = (const heap_info *)(uintptr_t)begin;
    bool first = info->arena - info->arena % MPR_CHUNKS_HEAP == begin;
    uint64_t from = first ? info->arena + STATE_FROM : begin + sizeof *info, to = first ? info->arena + STATE_TO : begin + 4 * HEAD;
    for (uint64_t at = (from + HEAD - 1) & ~(HEAD - 1); at < to && at + 2 * HEAD < end; at += HEAD) {
        uint64_t size = ((const chunk *)(uintptr_t)at)->size;
        if ((size & (IN_USE | MAPPED)) == IN_USE && mpr_chunks_walk(out, at, end, false)) {
            out->arenas += first;
            return true;
        }
    }
    return false;
}

/* ---- mmapped chunks ---- */

uint64_t mpr_chunks_mapped_end(uint64_t begin, uint64_t limit, const mpr_chunks_head *head) {
    chunk c = {head->word[0], head->word[1]};
    uint64_t mapped = mapped_size(c.size & ~UINT64_C(7));
    bool fits = mapped >= MAPPED_LEAST && mapped % PAGE == 0 && begin % PAGE == 0 && mapped <= limit - begin;
    return fits && (c.size & 7) == MAPPED && c.previous_size == 0 ? begin + mapped : 0;
}
