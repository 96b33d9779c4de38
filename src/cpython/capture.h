/* SPDX-License-Identifier: MIT
 * The whole heap of the current interpreter, told to a sink, with the facts about process and capture. */
#ifndef CPY_CAPTURE_H
#define CPY_CAPTURE_H

#include "cpython/walk.h"

/* What is told of contents: all strings, not only names; and hashes that say which are equal. */
typedef struct cpy_contents {
    bool values, hashes;
} cpy_contents;

/* Walk everything: roots, then the heap. Facts told (docs/FORMAT.md, "Facts"): python, pid, time_ns, mode, rss_bytes, traced_bytes,
 * allocated_blocks, fallbacks, pause_ns, and what containers take in this version (cpy_layout_costs). Runs the interpreter before the walk,
 * not during it. MPR_OK or a negative status. */
int cpy_capture(mpr_sink *sink, mpr_alloc *alloc, cpy_proofs *proofs, cpy_contents contents, const char *mode, int64_t *pause_ns);

#endif
