/* SPDX-License-Identifier: MIT
 * A snapshot under way, as the files of this layer share it. */
#ifndef MPR_SNAPSHOT_JOB_H
#define MPR_SNAPSHOT_JOB_H

#include "base/os/child.h"
#include "base/os/process.h"
#include "snapshot/snapshot.h"

/* On no stack: a process that the application forks meanwhile closes its descriptors, and does not have the stacks of other
 * threads. */
typedef struct mpr_job {
    const mpr_snapshot_request *request; /* on its thread's stack, and so is the host */
    const mpr_snapshot_host *host;
    mpr_alloc alloc; /* of what it needs */
    mpr_headroom headroom;
    mpr_account account; /* what is known of it; a child finds out more, in its own copy of this */
    mpr_account_more more;
    mpr_sharing sharing; /* with the process that forked this one */
    void *notes;
    int64_t pid;     /* of the process */
    int64_t start;   /* when it began to stand still */
    mpr_child child; /* under way, or none */
    struct mpr_job *next;
} mpr_job;

/* What comes of the work, of a child through memory that it shares with its parent. */
typedef struct mpr_job_report {
    mpr_snapshot_cost cost;
    int status, error;
    bool done; /* a child that was ended has not set it */
    unsigned char notes[];
} mpr_job_report;

/* Is this still the process that began it? The host's code may have forked, and the job be discarded in the new one. */
static inline bool mpr_job_is_of(int64_t pid) { return mpr_process_id() == pid; }

/* ---- stream.c ---- */

/* The work: account, walk, cost, all to the descriptor. In a child it may change the job, which is its own copy. */
void mpr_job_stream(mpr_job *job, mpr_job_report *out, bool forked);

/* ---- watchdog.c ---- */

/* Wait for the child, without the lock: DONE when it has ended by itself, however; else why it had to be ended, and `left` bytes of
 * memory. The child is gone then. ABANDONED: there may be no job any more. */
mpr_snapshot_ending mpr_job_wait(mpr_job *job, uint64_t *left);

#endif
