/* SPDX-License-Identifier: MIT
 * What a forked process shares with the one that forked it, and what has been copied since.
 *
 * A fork shares all anonymous memory; who writes to a page first, gets a copy of it. The kernel says which pages are in this process's page tables
 * alone (pagemap). Where the parent has a page at the same address, too, one of the two has copied it; what it has none of was made
 * since. Where the parent's memory may be read, the two copies tell why: a page that only counts references and has the collector's notes differs in
 * nothing, for both are changed back, or in these alone.
 *
 * Pages are looked at before memprobe's own fork, which makes all of them shared, and compared by its child. Cost: 8 bytes are read for each page,
 * and by the child each copied page, of both. */
#ifndef MPR_NATIVE_SHARING_H
#define MPR_NATIVE_SHARING_H

#include <stdbool.h>

#include "base/alloc.h"
#include "base/os/held.h"
#include "base/vec.h"
#include "graph/sink.h"

/* Pages side by side. */
typedef struct mpr_sharing_run {
    uint64_t begin, pages;
} mpr_sharing_run;

typedef MPR_VEC(mpr_sharing_run) mpr_sharing_runs;

typedef struct mpr_sharing {
    mpr_alloc *alloc;
    int64_t parent;        /* 0: nothing is known */
    mpr_sharing_runs own;  /* in memory, and in this process's page tables alone; ascending, as the others */
    mpr_sharing_runs made; /* of these, the parent has nothing there */
    bool compared;         /* the parent's memory could be read */
    mpr_sharing_runs kept; /* the parent has others there; not known to differ in what is not a note */
    mpr_sharing_runs written; /* likewise; known to differ */
} mpr_sharing;

/* What is read, opened and closed with the lock of the interpreter held: base/os/held.h. */
typedef struct mpr_sharing_files {
    int64_t parent;
    uint64_t resident; /* bytes of this process */
    mpr_held maps, pages;
} mpr_sharing_files;

mpr_sharing_files mpr_sharing_open(void);
void mpr_sharing_close(mpr_sharing_files *files);

/* Find `own`. Needs no lock. `sharing` has an allocator. Without memory nothing is known. */
void mpr_sharing_begin(mpr_sharing *sharing, const mpr_sharing_files *files);

/* Is the word at an address one that the interpreter changes in objects that a program only reads? */
typedef bool mpr_sharing_is_note(void *context, uint64_t address);

/* In a child: find `made`, `kept` and `written`, and emit what is known, as facts (docs/FORMAT.md). A status. */
int mpr_sharing_finish(mpr_sharing *sharing, mpr_sharing_is_note *is_note, void *context, mpr_sink *sink);

void mpr_sharing_free(mpr_sharing *sharing); /* a zeroed one is allowed */

#endif
