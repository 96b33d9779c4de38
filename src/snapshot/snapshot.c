/* SPDX-License-Identifier: MIT
 * A snapshot from the request to the result: whether there may be a child, the child, or the work without one. */
#include "snapshot/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/os/maps.h"
#include "base/os/process.h"
#include "base/os/signals.h"
#include "base/status.h"
#include "snapshot/job.h"

/* ---- snapshots under way ---- */

static void job_free(mpr_job *job) {
    mpr_alloc alloc;
    mpr_alloc_pages(&alloc);
    mpr_child_end(&job->child);
    mpr_headroom_close(&job->headroom);
    mpr_alloc_free(&alloc, job, 1, sizeof *job);
}

/* Add one, or NULL when there is no memory. */
static mpr_job *job_new(mpr_snapshots *all, const mpr_snapshot_request *request, const mpr_snapshot_host *host) {
    mpr_alloc alloc;
    mpr_alloc_pages(&alloc);
    mpr_job *job = mpr_alloc_array(&alloc, 1, sizeof *job);
    if (job == NULL) {
        return NULL;
    }
    *job = (mpr_job){.request = request, .host = host, .pid = mpr_process_id(), .next = all->under_way};
    mpr_alloc_pages(&job->alloc);
    job->more.alloc = job->sharing.alloc = &job->alloc;
    if (mpr_headroom_open(&job->headroom, &request->places) != MPR_OK) {
        mpr_alloc_free(&alloc, job, 1, sizeof *job);
        return NULL;
    }
    all->under_way = job;
    return job;
}

/* In a process that was forked meanwhile it may have been discarded. */
static void job_end(mpr_snapshots *all, mpr_job *job) {
    mpr_job **place = &all->under_way;
    while (*place != NULL && *place != job) {
        place = &(*place)->next;
    }
    if (*place == job) {
        *place = job->next;
        mpr_account_more_free(&job->more);
        mpr_sharing_free(&job->sharing);
        job_free(job);
    }
}

/* What a thread that is not there was about to change is left alone: its allocations. */
void mpr_snapshots_discard(mpr_snapshots *all) {
    while (all->under_way != NULL) {
        mpr_job *job = all->under_way;
        all->under_way = job->next;
        job_free(job);
    }
}

/* ---- notes ---- */

static int make_notes(mpr_snapshots *all, size_t size) {
    mpr_alloc alloc;
    mpr_alloc_pages(&alloc);
    if (all->notes == NULL) {
        all->notes = mpr_alloc_array(&alloc, 1, size);
        all->notes_size = size;
    }
    return all->notes == NULL ? MPR_ENOMEM : MPR_OK;
}

/* If the child was not done, the next one begins anew. */
static void keep_notes(mpr_snapshots *all, const mpr_job_report *report) {
    if (report->done) {
        memcpy(all->notes, report->notes, all->notes_size);
    } else {
        memset(all->notes, 0, all->notes_size);
    }
}

void mpr_snapshots_free(mpr_snapshots *all) {
    mpr_alloc alloc;
    mpr_alloc_pages(&alloc);
    mpr_alloc_free(&alloc, all->notes, 1, all->notes_size);
    *all = (mpr_snapshots){0};
}

/* ---- the work ---- */

static void work_in_child(void *shared, void *context) {
    mpr_job_report *report = shared;
    mpr_job *job = context;
    mpr_job_stream(job, report, true);
    memcpy(report->notes, job->notes, job->host->notes_size);
    report->done = true;
}

static void take_report(const mpr_job_report *report, mpr_snapshot_result *out) {
    out->cost = report->cost;
    out->status = report->status;
    out->error = report->error;
}

typedef struct starting {
    mpr_job *job;
    int error;
} starting;

/* The child does not return from here. */
static int start_child(void *context) {
    starting *s = context;
    mpr_job *job = s->job;
    size_t size = sizeof(mpr_job_report) + job->host->notes_size;
    int status = mpr_child_start(&job->child, size, job->request->file.fd, job->request->seconds, work_in_child, job);
    s->error = errno;
    return status;
}

/* False when there could be no child; errno says why. */
static bool stream_forked(mpr_snapshots *all, mpr_job *job, mpr_snapshot_result *out) {
    mpr_child *child = &job->child;
    starting s = {.job = job};
    __builtin_unwind_init(); /* what callers have in registers, perhaps the only reference to a native block, is on the stack now */
    if (job->host->pause(start_child, &s) != MPR_OK) {
        errno = s.error;
        return false;
    }
    all->children++;
    mpr_job_report *report = child->shared;
    report->cost.fork_ns = child->fork_ns;
    __atomic_store_n(&report->cost.pause_ns, child->started - job->start, __ATOMIC_RELEASE);
    out->forked = true;
    out->ending = mpr_job_wait(job, &out->left);
    if (out->ending == MPR_SNAPSHOT_ABANDONED) {
        return true;
    }
    if (out->ending == MPR_SNAPSHOT_DONE && !report->done) {
        out->ending = MPR_SNAPSHOT_CHILD_DIED;
        out->signal = mpr_child_signal(child);
    }
    take_report(report, out);
    keep_notes(all, report);
    return true;
}

static void stream_here(mpr_job *job, mpr_snapshot_result *out) {
    mpr_job_report report = {0};
    mpr_signal_calm calm;
    mpr_signal_calm_begin(&calm);
    mpr_job_stream(job, &report, false);
    mpr_signal_calm_end(&calm);
    take_report(&report, out);
}

/* ---- one snapshot ---- */

void mpr_snapshot_account(mpr_account *out, mpr_account_more *more, mpr_sharing *sharing, const mpr_headroom_places *places,
                          const mpr_lock *lock) {
    mpr_alloc alloc;
    bool whole = sharing == NULL;
    mpr_alloc_pages(&alloc);
    mpr_held smaps = mpr_maps_open(0, MPR_MAPS_SIZES); /* opened and closed with the lock held: base/os/held.h */
    mpr_held pages = whole ? mpr_maps_open(0, MPR_MAPS_PAGES) : (mpr_held){0};
    mpr_sharing_files files = whole ? (mpr_sharing_files){0} : mpr_sharing_open();
    uint64_t used = MPR_ACCOUNT_UNKNOWN, limit = MPR_ACCOUNT_UNKNOWN; /* what headroom does not know is the same number */
    mpr_headroom_cgroup(places, &used, &limit);
    lock->release(lock->context);
    mpr_account_begin(out, !whole, &smaps);
    out->value[MPR_ACCOUNT_CGROUP_USED] = used;
    out->value[MPR_ACCOUNT_CGROUP_LIMIT] = limit;
    if (whole) {
        mpr_account_finish(out, &alloc, &pages, false, more); /* else what is known is less */
    } else {
        mpr_sharing_begin(sharing, &files);
    }
    lock->take(lock->context);
    mpr_held_close(&smaps);
    mpr_held_close(&pages);
    mpr_sharing_close(&files);
}

/* May there be a child? If one is asked for and may not be, `reason` says why. */
static bool may_fork(const mpr_job *job, char *reason, size_t size) {
    const char *why = job->request->no_fork;
    if (job->headroom.fork_shortage[0] != '\0') {
        why = job->headroom.fork_shortage;
    } else if (mpr_process_pid_namespace_blocks_fork()) {
        why = "children of this thread are in a pid namespace of their own";
    }
    if (job->request->fork && why != NULL) {
        snprintf(reason, size, "%s", why);
    }
    return job->request->fork && why == NULL;
}

/* The program may have closed the descriptor, and have one of its own by that number. Nothing of it runs between this and the first
 * write. */
static bool file_is_ours(const mpr_job *job, mpr_snapshot_result *out) {
    if (mpr_held_fd(&job->request->file) >= 0) {
        return true;
    }
    out->status = MPR_EIO;
    out->error = EBADF;
    return false;
}

/* With memory for it. */
static void take(mpr_snapshots *all, mpr_job *job, mpr_snapshot_result *out) {
    bool fork = may_fork(job, out->reason, sizeof out->reason);
    if (fork && make_notes(all, job->host->notes_size) != MPR_OK) {
        out->status = MPR_ENOMEM;
        return;
    }
    job->notes = all->notes;
    /* Before this process stands still; without a fork nobody can look at it later. */
    uint64_t children = all->children;
    mpr_snapshot_account(&job->account, &job->more, fork ? &job->sharing : NULL, &job->request->places, &job->host->lock);
    if (all->children != children || job->next != NULL) { /* a child of ours shares everything */
        job->sharing.parent = 0;
    }
    job->start = mpr_process_monotonic_ns();
    int64_t pid = job->pid;
    job->host->prepare(job->host->context);
    if (!mpr_job_is_of(pid)) {
        out->ending = MPR_SNAPSHOT_ABANDONED;
        return;
    }
    if (!file_is_ours(job, out)) {
        return;
    }
    if (fork && stream_forked(all, job, out)) {
        return;
    }
    if (fork) {
        snprintf(out->reason, sizeof out->reason, "the fork failed: %s", strerror(errno));
    }
    stream_here(job, out);
}

void mpr_snapshot_take(mpr_snapshots *all, const mpr_snapshot_request *request, const mpr_snapshot_host *host,
                       mpr_snapshot_result *out) {
    *out = (mpr_snapshot_result){.ending = MPR_SNAPSHOT_DONE};
    mpr_job *job = job_new(all, request, host);
    if (job == NULL) {
        out->status = MPR_ENOMEM;
    } else if (job->headroom.snapshot_shortage[0] != '\0') {
        out->ending = MPR_SNAPSHOT_SHORTAGE;
        snprintf(out->reason, sizeof out->reason, "%s: there is none", job->headroom.snapshot_shortage);
    } else {
        take(all, job, out);
    }
    if (job != NULL) {
        job_end(all, job);
    }
}
