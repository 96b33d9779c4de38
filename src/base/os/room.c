/* SPDX-License-Identifier: MIT
 * Room, by sysinfo(2), /proc/meminfo and the files of control groups. */
#define _GNU_SOURCE
#include "base/os/room.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

/* The number after `key` in a file; false when it is not there. */
static bool read_number(const mpr_held *file, const char *key, uint64_t *number) {
    char text[4096];
    int fd = mpr_held_fd(file);
    ssize_t got = fd < 0 ? 0 : pread(fd, text, sizeof text - 1, 0);
    text[got < 0 ? 0 : got] = '\0';
    const char *at = got <= 0 ? NULL : strstr(text, key);
    if (at != NULL) {
        *number = strtoull(at + strlen(key), NULL, 10);
    }
    return at != NULL;
}

void mpr_room_open(mpr_room *room) { *room = (mpr_room){.machine = mpr_held_open("/proc/meminfo")}; }

void mpr_room_add(mpr_room *room, const char *use, const char *more, uint64_t limit, bool watched) {
    if (room->count == MPR_ROOM_GROUPS) {
        return;
    }
    mpr_room_group group = {.use = mpr_held_open(use), .limit = limit, .watched = watched};
    if (group.use.inode != 0) {
        group.more = mpr_held_open(more);
        room->groups[room->count++] = group;
    }
}

static void close_group(mpr_room_group *group) {
    mpr_held_close(&group->use);
    mpr_held_close(&group->more);
}

void mpr_room_drop_unwatched(mpr_room *room) {
    size_t kept = 0;
    for (size_t i = 0; i < room->count; i++) {
        if (room->groups[i].watched) {
            room->groups[kept++] = room->groups[i];
        } else {
            close_group(&room->groups[i]);
        }
    }
    room->count = kept;
}

/* Free pages are cheap to ask for; what could be made free is not. */
static uint64_t left_on_machine(const mpr_room *room, uint64_t enough) {
    struct sysinfo facts;
    if (sysinfo(&facts) == 0 && (uint64_t)facts.freeram * facts.mem_unit > enough) {
        return (uint64_t)facts.freeram * facts.mem_unit;
    }
    uint64_t kib;
    return read_number(&room->machine, "MemAvailable:", &kib) ? kib * 1024 : UINT64_MAX;
}

static uint64_t below(uint64_t limit, uint64_t used) { return used < limit ? limit - used : 0; }

static uint64_t left_in_group(const mpr_room_group *group, uint64_t enough) {
    uint64_t used, files;
    if (!read_number(&group->use, "", &used)) {
        return UINT64_MAX;
    }
    if (below(group->limit, used) >= enough) {
        return below(group->limit, used);
    }
    /* version 1 has two numbers: of the group alone, and with the groups below, as it counts use */
    if (!read_number(&group->more, "total_inactive_file ", &files) && !read_number(&group->more, "inactive_file ", &files)) {
        files = 0;
    }
    return below(group->limit, files < used ? used - files : 0);
}

uint64_t mpr_room_left(const mpr_room *room, uint64_t enough) {
    uint64_t least = left_on_machine(room, enough);
    for (size_t i = 0; i < room->count; i++) {
        uint64_t left = left_in_group(&room->groups[i], enough);
        least = left < least ? left : least;
    }
    return least;
}

void mpr_room_close(mpr_room *room) {
    for (size_t i = 0; i < room->count; i++) {
        close_group(&room->groups[i]);
    }
    mpr_held_close(&room->machine);
}
