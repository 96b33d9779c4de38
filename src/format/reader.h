/* SPDX-License-Identifier: MIT
 * Reads a snapshot file (docs/FORMAT.md) and tells a sink what it holds. It trusts no byte: sizes first, then monotonic offsets, then
 * contents, each with its own message. A file that was cut is read up to the last whole block, and the report says so. */
#ifndef MPR_FORMAT_READER_H
#define MPR_FORMAT_READER_H

#include <stdbool.h>

#include "base/alloc.h"
#include "base/progress.h"
#include "graph/sink.h"

typedef struct mpr_read_report {
    bool cut;            /* the footer is missing: the writer did not finish, or the file was cut */
    uint64_t nodes, edges, blocks;
    uint64_t offset;     /* where reading ended: of the error, or of the cut */
    const char *message; /* static; why it failed or was cut, else NULL */
} mpr_read_report;

/* Read all of data. MPR_OK (also for a cut file with at least a header), MPR_EFORMAT, MPR_EVERSION, MPR_ECANCELLED, or what the sink said.
 * *report is always filled. `progress` may be NULL; it is called after every section, in bytes. */
int mpr_read(const uint8_t *data, size_t size, mpr_sink *sink, mpr_alloc *alloc, mpr_progress progress, void *context,
             mpr_read_report *report);

#endif
