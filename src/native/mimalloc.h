/* SPDX-License-Identifier: MIT
 * What a mimalloc (version 3) has that is compiled into a library, as into pyarrow's.
 *
 * Its arenas are mappings that begin with an mi_arena_t, which says where it lies, how large it is, and into how many slices of 64 KiB it is
 * cut; the first ones have the arena's own tables. One of these has a record for each slice: that of the first slice of a page
 * (of memory for blocks of one size) says how large they are and where the first one lies.
 *
 *   mi_arena_t   { base, size, .., slices, slices of its own, .. }
 *   mi_page_t    { thread, free, used | capacity | reserved (16 bits each), local free, thread free, block size,
 *                  how far behind it the blocks lie (in words), .., arena, slice | slices << 32, .. }
 *
 * A record proves itself: it says of which arena and slices it is, and its blocks lie in these. Everything is read, nothing of
 * mimalloc is called and no lock taken. Source of the layout: mimalloc's types.h and arena.c, 3.1 to 3.2; records of another
 * layout prove nothing, and their slots are not known. */
#ifndef MPR_NATIVE_MIMALLOC_H
#define MPR_NATIVE_MIMALLOC_H

#include "native/chunks.h"
#include "native/slots.h"

/* The end of an arena that begins at `begin`, before `limit`, or 0 when there is none. */
uint64_t mpr_mimalloc_end(uint64_t begin, uint64_t limit, const mpr_chunks_head *head);

/* Add the blocks of the pages of an arena. Where the process stands still. MPR_OK or MPR_ENOMEM. */
int mpr_mimalloc_add(mpr_slots *slots, uint64_t begin, uint64_t end);

#endif
