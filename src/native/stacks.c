/* SPDX-License-Identifier: MIT
 * A stack is recognised by its end: the control block of the thread. */
#include "native/stacks.h"

#include "base/os/maps.h"
#include "base/os/process.h"

#define PAGE UINT64_C(4096)
#define CONTROL_BLOCK 2304                /* bytes */
#define FRAMES_LEAST (UINT64_C(16) << 10) /* bytes of Python frames that a thread gets at a time */

/* A thread's control block begins with its own address, has it once more, and the guard word that all threads share (glibc, x86-64). Its offset in a
 * page, or the page's size for none. */
static size_t find_control_block(const uint64_t *words, size_t count, uint64_t page, uint64_t guard) {
    for (size_t k = 0; k + 6 <= count; k += 2) {
        if (words[k] == page + 8 * k && words[k + 2] == words[k] && words[k + 5] == guard) {
            return 8 * k;
        }
    }
    return 8 * count;
}

uint64_t mpr_stacks_control_block_end(bool still, uint64_t page) {
    uint64_t words[PAGE / 8], guard = mpr_process_guard();
    if (guard == 0 || mpr_maps_peek(still, &page, 1, sizeof words, words) != 1) {
        return 0;
    }
    size_t offset = find_control_block(words, sizeof words / sizeof *words, page, guard);
    return offset == sizeof words ? 0 : page + offset + CONTROL_BLOCK;
}

uint64_t mpr_stacks_lowest(uint64_t page, uint64_t lowest) {
    unsigned char resident[MPR_MAPS_WINDOW];
    while (page > lowest) {
        uint64_t pages = (page - lowest) / PAGE < MPR_MAPS_WINDOW ? (page - lowest) / PAGE : MPR_MAPS_WINDOW;
        mpr_maps_resident(page - pages * PAGE, pages, resident);
        for (; pages > 0 && (resident[pages - 1] & 1); pages--) {
            page -= PAGE;
        }
        if (pages > 0) {
            break;
        }
    }
    return page;
}

uint64_t mpr_stacks_frames_end(uint64_t begin, uint64_t end, const mpr_chunks_head *head) {
    uint64_t previous = head->word[0], size = head->word[1], top = head->word[2];
    bool sized = size >= FRAMES_LEAST && (size & (size - 1)) == 0 && size <= end - begin;
    return sized && previous % PAGE == 0 && previous != begin && top <= size / 8 ? begin + size : 0;
}
