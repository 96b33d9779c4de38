/* SPDX-License-Identifier: MIT
 * Waiting for a child, and ending it when nobody wants its snapshot any more, or when memory is short. */
#include "snapshot/job.h"

#define LOOK_MS 5 /* how often all that is watched is looked at */
#define LOOKS 10  /* of them, until the first thread asks whether it is interrupted */

/* What was seen. */
typedef enum sight { NOTHING, ENDED, CLIENT_GONE, SHORTAGE } sight;

static sight look(mpr_job *job, uint64_t *left) {
    int state = mpr_child_wait(&job->child, LOOK_MS, job->request->watch);
    *left = mpr_room_left(&job->headroom.room, job->headroom.reserve);
    return state == 1 ? ENDED : state == 2 ? CLIENT_GONE : *left < job->headroom.reserve ? SHORTAGE : NOTHING;
}

/* Look so many times, 0: until something is seen. Without the lock, which somebody may hold for long while memory goes: a child
 * that must not go on is gone when this returns. */
static sight watch(mpr_job *job, int looks, uint64_t *left) {
    const mpr_lock *lock = &job->host->lock;
    sight seen = NOTHING;
    lock->release(lock->context);
    for (int i = 0; seen == NOTHING && (looks == 0 || i < looks); i++) {
        seen = look(job, left);
    }
    if (seen == CLIENT_GONE || seen == SHORTAGE) {
        mpr_child_kill(&job->child);
    }
    lock->take(lock->context);
    return seen;
}

static void kill_child(mpr_job *job) {
    const mpr_lock *lock = &job->host->lock;
    lock->release(lock->context);
    mpr_child_kill(&job->child);
    lock->take(lock->context);
}

mpr_snapshot_ending mpr_job_wait(mpr_job *job, uint64_t *left) {
    int64_t pid = job->pid;
    int looks = mpr_process_is_first_thread() ? LOOKS : 0; /* signals are that thread's */
    for (;;) {
        switch (watch(job, looks, left)) {
        case ENDED:
            return MPR_SNAPSHOT_DONE;
        case CLIENT_GONE:
            return MPR_SNAPSHOT_CLIENT_GONE;
        case SHORTAGE:
            return MPR_SNAPSHOT_CHILD_ENDED;
        case NOTHING:
            break;
        }
        bool interrupted = job->host->interrupted(job->host->context);
        if (!mpr_job_is_of(pid)) {
            return MPR_SNAPSHOT_ABANDONED;
        }
        if (interrupted) {
            kill_child(job);
            return MPR_SNAPSHOT_INTERRUPTED;
        }
    }
}
