/* SPDX-License-Identifier: MIT
 * What a jemalloc (5.x) has that is compiled into a library, as into polars', which exports nothing of it.
 *
 * jemalloc cuts memory into extents and finds them by address in a radix tree of two levels, of 18 bits of a page's number each. The root,
 * an array of 2 MiB, is zeroed data of the library; a leaf's words lead to what describes an extent, which has the extent's address:
 *
 *   root[address >> 30]  ->  leaf[(address >> 12) & (2^18 - 1)]  ->  {bits, address, size}
 *
 * So a tree proves itself: a word in zeroed data leads to a leaf when what the leaf's words lead to are extents of just the pages whose numbers the
 * places of these words say. Extents in use and free ones are in the tree, and which of their pages are in memory the kernel knows. The
 * tree and the descriptions lie in blocks of their own, which begin with their size.
 *
 * A leaf's word has the class of sizes of an extent in use, and whether it is a slab: cut into slots of that size. Another one is one
 * block of at most that size, which may begin somewhere in the first page. A class is believed where it fits the extent.
 *
 * Everything is read through the kernel, nothing of jemalloc is called and no lock taken. Source of the layout: jemalloc's rtree.h, edata.h, base.h, 5.0 to
 * 5.3.1 (x86-64, 4 KiB pages). */
#ifndef MPR_NATIVE_JEMALLOC_H
#define MPR_NATIVE_JEMALLOC_H

#include <stdbool.h>

#include "base/alloc.h"
#include "base/vec.h"
#include "native/chunks.h"
#include "native/slots.h"

typedef struct mpr_jemalloc_span { /* extents side by side: [begin, end), page boundaries */
    uint64_t begin, end;
} mpr_jemalloc_span;

typedef struct mpr_jemalloc {
    MPR_VEC(mpr_jemalloc_span) span; /* when finished: by address, none over another */
    mpr_slots *slots; /* to add what is in use to, or NULL */
} mpr_jemalloc;

/* Add the extents of the trees whose roots are in an image's zeroed data [begin, end), page boundaries. MPR_OK, MPR_ENOMEM. */
int mpr_jemalloc_add(mpr_jemalloc *out, mpr_alloc *alloc, uint64_t begin, uint64_t end);

/* When all have been added. */
void mpr_jemalloc_finish(mpr_jemalloc *all);

/* Is a block what a thread keeps ready: addresses of slots that were freed, between two words that stand nowhere else (cache_bin.h, 5.3)? */
bool mpr_jemalloc_is_cache(const uint64_t *words, size_t count);

/* The end of a block of jemalloc's own that begins at `begin`, before `limit`, or 0 when there is none. */
uint64_t mpr_jemalloc_block_end(uint64_t begin, uint64_t limit, const mpr_chunks_head *head);

#endif
