/* SPDX-License-Identifier: MIT
 * The sink that streams a snapshot file (docs/FORMAT.md) to a descriptor, in one pass and bounded memory: one block's columns
 * (at most 65,536 nodes or 262,144 edges; a node with more edges is continued in the next block), whatever the heap's size.
 *
 * Usable in a forked child: memory from the allocator given, output by write(2). */
#ifndef MPR_FORMAT_WRITER_H
#define MPR_FORMAT_WRITER_H

#include "base/alloc.h"
#include "graph/sink.h"

typedef struct mpr_writer mpr_writer;

/* A writer on an open descriptor, positioned where the file begins; the descriptor stays the caller's. The header is written at once. */
int mpr_writer_new(mpr_writer **out, mpr_alloc *alloc, int fd);

mpr_sink *mpr_writer_sink(mpr_writer *writer);

/* Write what is buffered, the process section and the footer. MPR_OK or the first failure of any write. No fsync. */
int mpr_writer_finish(mpr_writer *writer);

uint64_t mpr_writer_bytes(const mpr_writer *writer);   /* written so far */
uint64_t mpr_writer_nodes(const mpr_writer *writer);
uint64_t mpr_writer_edges(const mpr_writer *writer);
size_t mpr_writer_resident(const mpr_writer *writer);  /* bytes of memory behind it, when they come from mpr_alloc_pages */
void mpr_writer_free(mpr_writer *writer); /* NULL is allowed */

#endif
