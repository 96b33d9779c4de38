/* SPDX-License-Identifier: MIT
 * How much memory is left: on the machine, and in each control group that has a limit. It is looked at often, by a thread that may
 * neither wait for a lock nor allocate: files are opened once and read with pread(2). */
#ifndef MPR_BASE_OS_ROOM_H
#define MPR_BASE_OS_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/os/held.h"

#define MPR_ROOM_GROUPS 32

typedef struct mpr_room_group {
    mpr_held use, more;
    uint64_t limit; /* bytes */
    bool watched;
} mpr_room_group;

typedef struct mpr_room {
    mpr_room_group groups[MPR_ROOM_GROUPS];
    size_t count;
    mpr_held machine; /* /proc/meminfo */
} mpr_room;

/* The machine alone. */
void mpr_room_open(mpr_room *room);

/* A limit of a control group, too, by the files that tell its use (memory.current) and what that consists of (memory.stat). One
 * that cannot be opened, or is one too many, is left out. */
void mpr_room_add(mpr_room *room, const char *use, const char *more, uint64_t limit, bool watched);

/* From now on the machine and the groups that are watched. */
void mpr_room_drop_unwatched(mpr_room *room);

/* The least number of bytes that is left anywhere; file pages that the kernel would give up first count as left. UINT64_MAX when
 * nobody knows. Where more than `enough` is left it may be told less than there is, but not less than `enough`: that is found
 * sooner. */
uint64_t mpr_room_left(const mpr_room *room, uint64_t enough);

void mpr_room_close(mpr_room *room);

#endif
