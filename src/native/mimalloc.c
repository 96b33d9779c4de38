/* SPDX-License-Identifier: MIT
 * Each word of an arena's own tables that is the arena's address may be that of a record. */
#include "native/mimalloc.h"

#include <stdbool.h>

#include "base/os/maps.h"
#include "base/status.h"

#define PAGE UINT64_C(4096)
#define WORDS (PAGE / 8)
#define SLICE (UINT64_C(64) << 10)  /* bytes; arenas begin at multiples of it, ... */
#define LEAST (UINT64_C(32) << 20)  /* ... and have at least these */
#define ARENA_SLICES 5              /* words of mi_arena_t */
#define ARENA_OWN_SLICES 6
#define RECORD_ARENA 11             /* word of mi_page_t */

/* mi_page_t, as far as its arena and slices. */
typedef struct record {
    uint64_t thread, free;
    uint16_t used, capacity, reserved, flags;
    uint64_t local_free, thread_free, size, offset, heap[3], other, arena;
    uint32_t slice, slices;
} record;

uint64_t mpr_mimalloc_end(uint64_t begin, uint64_t limit, const mpr_chunks_head *head) {
    uint64_t size = head->word[1];
    bool sized = size >= LEAST && size % SLICE == 0 && size <= limit - begin;
    return sized && begin % SLICE == 0 && head->word[0] == begin ? begin + size : 0;
}

/* Add the blocks of the page whose record lies there, if it proves that it is one. */
static int add_page(mpr_slots *slots, uint64_t at, uint64_t begin, uint64_t own, uint64_t end) {
    record r;
    if (mpr_maps_peek(true, &at, 1, sizeof r, &r) != 1) {
        return MPR_OK;
    }
    uint64_t from = begin + r.slice * SLICE, to = from + r.slices * SLICE, first = at + 8 * (r.offset & UINT32_MAX);
    bool sound = r.arena == begin && from >= begin + own && r.slices > 0 && to <= end && r.used > 0 && r.used <= r.capacity &&
                 r.capacity <= r.reserved && first >= from && first < to && r.size > 0 && r.reserved <= (to - first) / r.size;
    return sound ? mpr_slots_add(slots, first, r.size, r.capacity) : MPR_OK;
}

/* The records whose arena's word is in a page of the arena's own tables. */
static int add_pages_of(mpr_slots *slots, uint64_t page, uint64_t begin, uint64_t own, uint64_t end) {
    uint64_t words[WORDS];
    int status = MPR_OK;
    if (mpr_maps_peek(true, &page, 1, sizeof words, words) != 1) {
        return MPR_OK;
    }
    for (size_t i = 0; status == MPR_OK && i < WORDS; i++) {
        uint64_t at = page + 8 * i - 8 * RECORD_ARENA;
        if (words[i] == begin && at >= begin && at + sizeof(record) <= begin + own &&
            mpr_maps_in_memory((const void *)(uintptr_t)at, sizeof(record))) {
            status = add_page(slots, at, begin, own, end);
        }
    }
    return status;
}

int mpr_mimalloc_add(mpr_slots *slots, uint64_t begin, uint64_t end) {
    unsigned char resident[MPR_MAPS_WINDOW];
    uint64_t head[ARENA_OWN_SLICES + 1] = {0};
    int status = MPR_OK;
    if (slots->alloc == NULL || mpr_maps_peek(true, &begin, 1, sizeof head, head) != 1) {
        return MPR_OK;
    }
    uint64_t own = head[ARENA_OWN_SLICES] * SLICE;
    if (head[ARENA_SLICES] != (end - begin) / SLICE || head[ARENA_OWN_SLICES] >= head[ARENA_SLICES]) {
        return MPR_OK;
    }
    for (uint64_t at = begin; status == MPR_OK && at < begin + own; at += MPR_MAPS_WINDOW * PAGE) {
        uint64_t left = (begin + own - at) / PAGE;
        size_t pages = left < MPR_MAPS_WINDOW ? (size_t)left : MPR_MAPS_WINDOW;
        mpr_maps_resident(at, pages, resident);
        for (size_t i = 0; status == MPR_OK && i < pages; i++) {
            status = resident[i] & 1 ? add_pages_of(slots, at + i * PAGE, begin, own, end) : MPR_OK;
        }
    }
    return status;
}
