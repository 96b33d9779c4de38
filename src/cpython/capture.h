/* SPDX-License-Identifier: MIT
 * The whole heap of the current interpreter, told to a sink, with the facts about process and capture. */
#ifndef CPY_CAPTURE_H
#define CPY_CAPTURE_H

#include "cpython/walk.h"

/* Walk everything: roots, then the heap. Facts told (docs/FORMAT.md, "Process"): python, pid, time_ns, mode, rss_bytes, traced_bytes,
 * allocated_blocks, fallbacks, pause_ns. Runs the interpreter before the walk, not during it. MPR_OK or a negative status. */
int cpy_capture(mpr_sink *sink, mpr_alloc *alloc, cpy_proofs *proofs, bool values, const char *mode, int64_t *pause_ns);

#endif
