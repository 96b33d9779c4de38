/* SPDX-License-Identifier: MIT
 * Headroom: the memory that a snapshot may need, and whether it is there.
 *
 * A snapshot needs tables and buffers of its own. A forked child has, besides, a copy of each page that the process writes to while
 * the child lives: how many, nobody knows before. Memory may be short on the machine, or in a control group (version 1 or 2) that
 * has a limit.
 *
 * A child that is ended gives its pages back after a while, and whoever takes memory in that while may be ended as well, unless it
 * was the kernel that chose the child, for then the others wait. So a limit is left to the kernel where it will choose the child,
 * and where it will not the limit is watched: we end the child ourselves, long before.
 *
 * Files are read here by low numbers, in one call each: call these while no code of the program can run that may close them. */
#ifndef MPR_SNAPSHOT_HEADROOM_H
#define MPR_SNAPSHOT_HEADROOM_H

#include <stdint.h>

#include "base/os/room.h"

#define MPR_HEADROOM_UNKNOWN UINT64_MAX

/* Where the kernel says it. */
typedef struct mpr_headroom_places {
    const char *process; /* MPR_HEADROOM_PROCESS */
    const char *cgroups; /* MPR_HEADROOM_CGROUPS */
} mpr_headroom_places;

#define MPR_HEADROOM_PROCESS "/proc/self"
#define MPR_HEADROOM_CGROUPS "/sys/fs/cgroup"

extern const mpr_headroom_places mpr_headroom_here; /* both */

typedef struct mpr_headroom {
    mpr_room room; /* the machine and the watched groups */
    /* Bytes: when fewer are left in that room the child must end, for the process may write so much until it has gone. */
    uint64_t reserve;
    char snapshot_shortage[96]; /* why any snapshot would be a risk, as a sentence; empty: it would not */
    char fork_shortage[96];     /* and why one by a fork */
} mpr_headroom;

/* Look at how much memory there is, and open what says it. MPR_OK or MPR_ENOMEM. */
int mpr_headroom_open(mpr_headroom *out, const mpr_headroom_places *places);
void mpr_headroom_close(mpr_headroom *headroom);

/* The machine, and all limits of the control groups that the process is in; watched are those at which the kernel would not end the
 * child alone. MPR_OK; MPR_ENOMEM, then nothing is open. */
int mpr_headroom_find(mpr_room *room, const mpr_headroom_places *places);

/* Use and limit, in bytes, of the control group with the least limit; without a limit, the use of the process's own group. What is
 * not known is MPR_HEADROOM_UNKNOWN. MPR_OK or MPR_ENOMEM. */
int mpr_headroom_cgroup(const mpr_headroom_places *places, uint64_t *used, uint64_t *limit);

#endif
