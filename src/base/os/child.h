/* SPDX-License-Identifier: MIT
 * A child process that is a copy of this one at one moment, for work that only reads memory and writes to one descriptor.
 *
 * It is made by the clone system call itself, without an exit signal: no at-fork handler runs, the application's SIGCHLD handler and its
 * waitpid(-1) never see it. It has no other thread, so locks of malloc and stdio may be held for ever: its work must take memory from
 * mpr_alloc_pages and write by write(2). All signals stay blocked in it but a time limit's; its other descriptors are closed, so that
 * a connection that the parent closes is closed; it yields to everybody (nice), is the first to be killed for memory, leaves no core
 * file, and dies with the thread that made it. While the kernel makes it that thread is as urgent as it may be, for everybody waits for it. */
#ifndef MPR_BASE_OS_CHILD_H
#define MPR_BASE_OS_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/os/held.h"

typedef struct mpr_child {
    void *shared;      /* memory that both see, zero at the start; valid until mpr_child_end */
    size_t size;       /* of it, in bytes */
    int64_t pid;
    int64_t started;   /* ns, monotonic: when the parent went on */
    int64_t fork_ns;   /* what the system call took */
    mpr_held handle;   /* a pidfd; none where the kernel has none */
    int exit_status;   /* as of waitpid; valid when it has ended */
    bool ended;
} mpr_child;

/* What the child does; it exits with code 0 when this returns. */
typedef void mpr_child_work(void *shared, void *context);

/* Start a child that keeps the descriptor `keep` and ends itself after `seconds`. MPR_OK; MPR_EIO with errno (then there is no child). */
int mpr_child_start(mpr_child *child, size_t shared_size, int keep, unsigned seconds, mpr_child_work *work, void *context);

/* In a child's work: what is in a block is not needed any more. Its pages are the parent's alone then, who may write to them without a
 * copy being made; of those at the ends, which it may share with other blocks, nothing is lost. In any other process nothing happens. The bytes that
 * were in memory, and are no longer. */
uint64_t mpr_child_discard(const void *block, size_t size);

/* Wait a while for its end: 1 it has ended and is reaped, 0 not yet, 2 nobody is at the other side of the socket `watch` any more (-1: none). */
int mpr_child_wait(mpr_child *child, int milliseconds, int watch);

/* The signal that ended it; 0: it exited, or somebody else has reaped it. When it has ended. */
int mpr_child_signal(const mpr_child *child);

/* Kill it if it still runs, and reap it. A large one takes a while to go: the caller holds no lock that others wait for. */
void mpr_child_kill(mpr_child *child);

/* Give back what this process has of one that has ended, or is not its own; nothing of {0}. */
void mpr_child_end(mpr_child *child);

#endif
