/* SPDX-License-Identifier: MIT
 * The stacks of threads, as they lie in anonymous memory: the native one, of which nobody but its end tells that it is one, and from 3.11 on that of
 * Python's frames. */
#ifndef MPR_NATIVE_STACKS_H
#define MPR_NATIVE_STACKS_H

#include <stdbool.h>
#include <stdint.h>

#include "native/chunks.h"

/* The end of the thread's control block that lies in a page, if one does, else 0 (also where it is not known how to tell: x86-64 with glibc
 * alone). It is the end of the thread's stack but for a few pages. */
uint64_t mpr_stacks_control_block_end(bool still, uint64_t page);

/* The lowest of the pages that are in memory and lie side by side up to `page`, not below `lowest`. */
uint64_t mpr_stacks_lowest(uint64_t page, uint64_t lowest);

/* The end of a chunk of Python frames (_PyStackChunk, from the allocator of arenas) that begins at `begin`, before `end`, or 0: it begins
 * with where the one before it lies, its size, a power of two, and how much of it is in use, in words. */
uint64_t mpr_stacks_frames_end(uint64_t begin, uint64_t end, const mpr_chunks_head *head);

#endif
