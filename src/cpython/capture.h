/* SPDX-License-Identifier: MIT
 * The whole heap of the current interpreter, emitted to a sink, with the facts about process and capture.
 *
 * Used by src/binding. */
#ifndef CPY_CAPTURE_H
#define CPY_CAPTURE_H

#include "cpython/origins.h"
#include "cpython/walk.h"
#include "native/account.h"
#include "native/sharing.h"

/* What is recorded of contents: all strings, not only names; hashes that say which are equal; or nothing, not even names. Whether native blocks are. And how long
 * tracemalloc may be asked where objects were made. */
typedef struct cpy_contents {
    bool values, hashes, nameless;
    bool native; /* native blocks, in a child */
    int64_t origins_ns;
} cpy_contents;

/* Facts that only the interpreter can tell, from before the walk. */
typedef struct cpy_facts {
    const char *python;
    int64_t traced, rss, time, pid;
    char fallbacks[512]; /* names, separated by spaces */
} cpy_facts;

/* What is captured, and how. */
typedef struct cpy_capture {
    const cpy_facts *facts;
    const cpy_proofs *proofs;
    cpy_contents contents;
    const char *mode; /* emitted as a fact */
    cpy_origins *origins; /* emitted as facts; or NULL */
    cpy_leaf_buffers
        *leaf_buffers; /* in a forked child, what the one before it discarded, and then what this one does; else NULL */
    /* Called when that was discarded and before the walk, with the bytes of it that were in memory; a status. Or NULL. */
    int (*prepared)(void *context, mpr_sink *sink, uint64_t discarded);
    void *context;
    const mpr_account_more *
        more; /* in a child, where its allocators have their memory, once `prepared` was called: for objects that only C holds (unseen.h),
                                     and native blocks (bodies.h); else NULL */
    mpr_sharing *sharing; /* in a child, of a process that was forked itself: copied.h; else NULL */
    bool paused; /* nobody else runs already, as in a child: else the walk makes a pause (pause.h) */
    int (*seen)(void *of); /* called when all was emitted, within the pause; a status. Or NULL */
    void *of;
    PyObject *argument; /* of the question that needs the capture: caller.h; or NULL */
    cpy_caller *caller; /* where to say who asked, or NULL */
} cpy_capture;

/* Gather the facts, and prove the layouts of libraries loaded since the last time. Runs the interpreter; sets no exception. */
void cpy_capture_prepare(cpy_facts *facts, cpy_proofs *proofs);

/* Does a walk need the interpreter (fallbacks do)? If not, it may happen in a forked child. */
bool cpy_capture_needs_interpreter(const cpy_proofs *proofs);

/* Walk everything: roots, then the heap. Facts (docs/FORMAT.md, "Facts"): python, pid, time_ns, mode, rss_bytes, traced_bytes,
 * fallbacks, what containers take in this version (cpy_layout_costs), and where objects were made. MPR_OK or a negative status. */
int cpy_capture_walk(mpr_sink *sink, mpr_alloc *alloc, const cpy_capture *what);

/* Walk what can be reached from one object, with housekeeping references if asked; no roots and no facts. Layouts of libraries are proved as by
 * cpy_walk_begin; of `what` only `seen` is looked at. MPR_OK or a negative status. */
int cpy_capture_reachable(mpr_sink *sink, mpr_alloc *alloc, cpy_proofs *proofs, PyObject *object, bool housekeeping,
                          const cpy_capture *what);

#endif
