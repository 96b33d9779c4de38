/* SPDX-License-Identifier: MIT
 * A snapshot of a heap to a descriptor: streamed by a forked child, which holds the heap as it was while this process goes on, or
 * by this process itself, which stands still meanwhile.
 *
 *   headroom -> account -> prepare -> fork --> child: what only it can count -> walk -> writer -> the descriptor
 *                                       `----> watchdog, until the child has ended or must end
 *
 * How to walk is known to the caller, the host. Of the interpreter this layer knows that it has a lock, without which other threads
 * of the program run. Everything is called with the lock held, which is released only while the account is taken and while a child
 * is waited for.
 *
 * Between `prepare` and the fork nothing of the program runs; in the child nothing takes a lock, and memory comes from the
 * kernel. */
#ifndef MPR_SNAPSHOT_SNAPSHOT_H
#define MPR_SNAPSHOT_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/os/held.h"
#include "graph/sink.h"
#include "native/account.h"
#include "native/sharing.h"
#include "snapshot/headroom.h"

/* ---- what the host brings ---- */

/* The lock of the interpreter. */
typedef struct mpr_lock {
    void *context;
    void (*release)(void *context);
    void (*take)(void *context);
} mpr_lock;

/* What a walk works with. */
typedef struct mpr_snapshot_tools {
    mpr_sink *sink;
    mpr_alloc *alloc;
    bool forked; /* it is in a child */
    /* Of a child: what the walk of the last child that was done left there, zeros at first, and what this one leaves; else NULL. */
    void *notes;
    /* To be called once, before the first object: emits the account as facts. `discarded`: bytes that were in memory and which the
     * walk has discarded, of this child's copy. A status. */
    int (*emit_account)(void *context, mpr_sink *sink, uint64_t discarded);
    void *context; /* of emit_account */
    const mpr_account_more *more; /* of a child: where its allocators have their memory, from emit_account on; else NULL */
    mpr_sharing *sharing; /* of a child: to be finished with the walk; else NULL */
} mpr_snapshot_tools;

typedef struct mpr_snapshot_host {
    mpr_lock lock;
    void *context; /* of the rest */
    size_t notes_size; /* bytes, the same for all of one mpr_snapshots */
    int (*pause)(int (*work)(void *of),
                 void *of); /* call `work` while no other thread changes the heap: what it returns. A child may be made in it */
    void (*prepare)(void *context); /* gather what only the interpreter knows, before the walk */
    int (*walk)(void *context, const mpr_snapshot_tools *tools); /* emit the heap; a status */
    bool (*interrupted)(void *context); /* asked by the process's first thread now and then: must the snapshot end? */
} mpr_snapshot_host;

/* ---- the snapshots of an interpreter ---- */

/* It belongs to the lock: those under way, and what the last child left for the next one. {0} is valid, and has none. */
typedef struct mpr_snapshots {
    struct mpr_job *under_way;
    uint64_t children; /* how many there have been */
    void *notes; /* NULL until a child is wanted */
    size_t notes_size;
} mpr_snapshots;

/* In a process that was forked while other threads' snapshots were under way, whose stacks are gone: close what they had open. */
void mpr_snapshots_discard(mpr_snapshots *all);

/* None is under way. */
void mpr_snapshots_free(mpr_snapshots *all);

/* ---- one snapshot ---- */

typedef struct mpr_snapshot_request {
    mpr_held file; /* it stays its owner's */
    bool fork; /* if it can be */
    const char *no_fork; /* why the host's walk must not be in a child, or NULL */
    unsigned seconds; /* that a child may take */
    int watch; /* a socket: when nobody is at its other end any more nobody wants the snapshot; or -1 */
    mpr_headroom_places places;
} mpr_snapshot_request;

/* How it ended. */
typedef enum mpr_snapshot_ending {
    MPR_SNAPSHOT_DONE, /* as `status` says */
    MPR_SNAPSHOT_SHORTAGE, /* not begun, for lack of memory: `reason` */
    MPR_SNAPSHOT_INTERRUPTED, /* the host said so */
    MPR_SNAPSHOT_CLIENT_GONE,
    MPR_SNAPSHOT_CHILD_ENDED, /* by us, for only `left` bytes of memory were left */
    MPR_SNAPSHOT_CHILD_DIED, /* by `signal`; 0: it exited */
    MPR_SNAPSHOT_ABANDONED, /* this is a process that the host's code forked meanwhile: the snapshot is its parent's */
} mpr_snapshot_ending;

typedef struct mpr_snapshot_cost {
    uint64_t objects, edges, bytes;
    uint64_t memory; /* bytes, at most, of the walk, the writer and the account */
    int64_t pause_ns, duration_ns;
    int64_t fork_ns, cow_bytes; /* of a forked one */
} mpr_snapshot_cost;

typedef struct mpr_snapshot_result {
    mpr_snapshot_ending ending;
    int status, error; /* of DONE: MPR_OK or why not, and errno for MPR_EIO */
    bool forked;
    mpr_snapshot_cost cost;
    char reason[160]; /* why it was not forked, as a sentence; empty: it was, or was not asked for */
    uint64_t left;
    int signal;
} mpr_snapshot_result;

/* Write the heap to the file: by a child where that is asked for and may be, else by this process. Nothing is written when the
 * descriptor is not what it was: MPR_EIO with EBADF. Whatever child there was is gone when this returns, unless it is another
 * process's. */
void mpr_snapshot_take(mpr_snapshots *all, const mpr_snapshot_request *request, const mpr_snapshot_host *host,
                       mpr_snapshot_result *out);

/* The account of this process's memory, mostly without the lock: what is known of it, or with `sharing` (else NULL) what a forked child
 * cannot find out later. `more` may be NULL. */
void mpr_snapshot_account(mpr_account *out, mpr_account_more *more, mpr_sharing *sharing, const mpr_headroom_places *places,
                          const mpr_lock *lock);

#endif
