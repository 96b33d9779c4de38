/* SPDX-License-Identifier: MIT
 * snapshot/headroom and base/os/room, with control groups of both versions that are made up in a folder. */
#define _GNU_SOURCE 1
#include "snapshot/headroom.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os/process.h"
#include "base/status.h"
#include "test.h"

#define MIB ((uint64_t)1 << 20)

/* A folder with `process` and `cgroups` in it. */
typedef struct tree {
    char root[64], process[80], cgroups[80];
    mpr_headroom_places places;
} tree;

static void shell(test *t, const char *command, const tree *of) {
    char line[256];
    snprintf(line, sizeof line, "cd %s && %s", of->root, command);
    CHECK(t, system(line) == 0);
}

/* Write a file below the tree's root, and the folders that lead there. */
static void put(test *t, const tree *of, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", of->root, name);
    for (char *slash = path + strlen(of->root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    if (CHECK(t, file != NULL)) {
        fputs(text, file);
        fclose(file);
    }
}

static void put_number(test *t, const tree *of, const char *name, uint64_t number) {
    char text[32];
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)number);
    put(t, of, name, text);
}

static void plant(test *t, tree *out) {
    strcpy(out->root, "/tmp/memprobe-test-XXXXXX");
    CHECK(t, mkdtemp(out->root) != NULL);
    snprintf(out->process, sizeof out->process, "%s/process", out->root);
    snprintf(out->cgroups, sizeof out->cgroups, "%s/cgroups", out->root);
    out->places = (mpr_headroom_places){out->process, out->cgroups};
    put(t, out, "process/oom_score_adj", "0\n");
}

static void fell(test *t, tree *old) { shell(t, "rm -rf process cgroups use more && rmdir \"$PWD\"", old); }

/* A process of 100 MiB in these groups. */
static void put_process(test *t, const tree *of, const char *groups) {
    char text[64];
    snprintf(text, sizeof text, "40000 %ld 500 1 0 300 0\n", (long)(100 * MIB) / sysconf(_SC_PAGESIZE));
    put(t, of, "process/statm", text);
    put(t, of, "process/cgroup", groups);
}

/* ---- room ---- */

static uint64_t left_in(const char *use, const char *more, uint64_t limit, uint64_t other_limit) {
    mpr_room room;
    mpr_room_open(&room);
    mpr_room_add(&room, use, more, limit, true);
    mpr_room_add(&room, use, more, other_limit, false);
    uint64_t left = mpr_room_left(&room, UINT64_MAX);
    mpr_room_close(&room);
    return left;
}

static void least_of_machine_and_groups(test *t) {
    tree of;
    char use[80], more[80];
    mpr_room room;
    plant(t, &of);
    snprintf(use, sizeof use, "%s/use", of.root), snprintf(more, sizeof more, "%s/more", of.root);
    mpr_room_open(&room);
    uint64_t machine = mpr_room_left(&room, UINT64_MAX);
    mpr_room_close(&room);
    CHECK(t, machine > MIB && machine <= (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
    CHECK(t, left_in(use, more, 1000, UINT64_MAX) > 1000); /* not there */
    put(t, &of, "use", "600\n");
    CHECK(t, left_in(use, more, 1000, UINT64_MAX) == 400);
    put(t, &of, "more", "inactive_file 50\ntotal_inactive_file 250\n"); /* version 1 */
    CHECK(t, left_in(use, more, 1000, UINT64_MAX) == 650);
    put(t, &of, "more", "inactive_file 5000\n"); /* more than is used: it has changed in between */
    CHECK(t, left_in(use, more, 1000, UINT64_MAX) == 1000);
    put(t, &of, "use", "5400\n");
    CHECK(t, left_in(use, more, 1000, 500) == 100);
    CHECK(t, left_in(use, more, 500, 1000) == 100);
    fell(t, &of);
}

static void fewer_are_watched(test *t) {
    tree of;
    char use[80];
    mpr_room room;
    plant(t, &of);
    put(t, &of, "use", "100\n");
    snprintf(use, sizeof use, "%s/use", of.root);
    mpr_room_open(&room);
    for (uint64_t i = 0; i < MPR_ROOM_GROUPS + 3; i++) {
        mpr_room_add(&room, use, "/nowhere", 1000 - i, i % 2 == 0);
    }
    CHECK(t, room.count == MPR_ROOM_GROUPS && mpr_room_left(&room, UINT64_MAX) == 900 - (MPR_ROOM_GROUPS - 1));
    int closed = room.groups[1].use.fd;
    mpr_room_drop_unwatched(&room);
    CHECK(t, room.count == MPR_ROOM_GROUPS / 2 && mpr_room_left(&room, UINT64_MAX) == 900 - (MPR_ROOM_GROUPS - 2));
    CHECK(t, fcntl(closed, F_GETFD) < 0);
    mpr_room_close(&room);
    fell(t, &of);
}

/* ---- limits ---- */

/* The limits that are found, in order, each marked by what it is: "4000 6000w". */
static const char *limits(test *t, const tree *of, const char *groups, char out[256]) {
    mpr_room room;
    put(t, of, "process/cgroup", groups);
    out[0] = '\0';
    CHECK(t, mpr_headroom_find(&room, &of->places) == MPR_OK);
    for (size_t i = 0; i < room.count; i++) {
        size_t length = strlen(out);
        snprintf(out + length, 256 - length, "%s%llu%s", i > 0 ? " " : "", (unsigned long long)room.groups[i].limit,
                 room.groups[i].watched ? "w" : "");
    }
    mpr_room_close(&room);
    return out;
}

static void which_limits_the_kernel_would_not_see_to(test *t) {
    static const char *const files[][2] = {
        {"all/pod/main/memory.max", "4000\n"},
        {"all/pod/main/memory.high", "max\n"},
        {"all/pod/main/memory.oom.group", "0\n"},
        {"all/pod/main/memory.current", "1\n"},
        {"all/pod/memory.max", "6000\n"},
        {"all/pod/memory.high", "5000\n"},
        {"all/pod/memory.oom.group", "1\n"},
        {"all/pod/memory.current", "1\n"},
        {"all/memory.max", "max\n"},
        {"all/memory.high", "9000\n"},
        {"all/memory.oom.group", "0\n"},
        {"all/memory.current", "1\n"},
        {"other/memory.high", "9000\n"},
        {"other/memory.current", "1\n"},
        {"memory.max", "9500\n"},
        {"memory.current", "1\n"},
        {"memory/memory.limit_in_bytes", "9223372036854771712\n"}, /* none */
        {"memory/memory.usage_in_bytes", "7\n"},
        {"memory/docker/memory.limit_in_bytes", "700\n"},
        {"memory/docker/memory.usage_in_bytes", "5\n"},
    };
    tree of;
    char found[256];
    plant(t, &of);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[128];
        snprintf(name, sizeof name, "cgroups/%s", files[i][0]);
        put(t, &of, name, files[i][1]);
    }
    CHECK(t, strcmp(limits(t, &of, "0::/all/pod/main\n", found), "4000 6000w 5000w 9000w 9500w") == 0);
    CHECK(t, strcmp(limits(t, &of, "0::/other", found), "9000w 9500") == 0); /* without the end of the line */
    CHECK(t, strcmp(limits(t, &of, "0::/", found), "9500") == 0);
    CHECK(t, strcmp(limits(t, &of, "4:cpu,memory:/docker\n0::/nowhere/at/all\n", found), "700 9500") == 0);
    CHECK(t, strcmp(limits(t, &of, "5:name=memory:/docker\n3:cpu:/docker\nnonsense\n2:more:\n", found), "") == 0);
    CHECK(t, strcmp(limits(t, &of, "", found), "") == 0);
    shell(t, "rm process/oom_score_adj", &of); /* nobody can say then that it can be missed */
    CHECK(t, strcmp(limits(t, &of, "4:memory:/docker\n", found), "700w") == 0);
    fell(t, &of);
}

static bool cgroup_is(const tree *of, uint64_t used, uint64_t limit) {
    uint64_t found_used, found_limit;
    return mpr_headroom_cgroup(&of->places, &found_used, &found_limit) == MPR_OK && found_used == used && found_limit == limit;
}

static void use_of_the_least_limit(test *t) {
    tree of;
    plant(t, &of);
    CHECK(t, cgroup_is(&of, MPR_HEADROOM_UNKNOWN, MPR_HEADROOM_UNKNOWN));
    put_process(t, &of, "3:memory:/a/b\n0::/c\n");
    put(t, &of, "cgroups/memory/memory.usage_in_bytes", "90\n");
    CHECK(t, cgroup_is(&of, 90, MPR_HEADROOM_UNKNOWN));
    put(t, &of, "cgroups/memory/a/b/memory.usage_in_bytes", "10\n");
    put(t, &of, "cgroups/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
    CHECK(t, cgroup_is(&of, 10, MPR_HEADROOM_UNKNOWN)); /* its own */
    put(t, &of, "cgroups/memory/a/memory.usage_in_bytes", "30\n");
    put(t, &of, "cgroups/memory/a/memory.limit_in_bytes", "700\n");
    CHECK(t, cgroup_is(&of, 30, 700));
    put(t, &of, "cgroups/memory/a/b/memory.limit_in_bytes", "700\n");
    CHECK(t, cgroup_is(&of, 30, 700)); /* the outer one has less left */
    put(t, &of, "cgroups/c/memory.current", "50\n");
    put(t, &of, "cgroups/c/memory.max", "max\n");
    put(t, &of, "cgroups/c/memory.high", "600\n");
    CHECK(t, cgroup_is(&of, 50, 600));
    shell(t, "rm cgroups/c/memory.current", &of);
    CHECK(t, cgroup_is(&of, MPR_HEADROOM_UNKNOWN, 600));
    fell(t, &of);
}

/* ---- policy ---- */

/* Are these the sentences, where so many bytes of a GiB are left to the process of 100 MiB? */
static bool says(test *t, const tree *of, uint64_t left, const char *no_snapshot, const char *no_fork) {
    mpr_headroom headroom;
    put_number(t, of, "cgroups/service/memory.current", 1024 * MIB - left);
    if (!CHECK(t, mpr_headroom_open(&headroom, &of->places) == MPR_OK)) return false;
    CHECK(t, headroom.reserve == 36 * MIB);
    bool same = strcmp(headroom.snapshot_shortage, no_snapshot) == 0 && strcmp(headroom.fork_shortage, no_fork) == 0;
    mpr_headroom_close(&headroom);
    return same;
}

static void what_may_be_needed(test *t) {
    tree of;
    plant(t, &of);
    put_process(t, &of, "0::/service\n");
    put_number(t, &of, "cgroups/service/memory.max", 1024 * MIB);
    put(t, &of, "cgroups/service/memory.stat", "anon 5\ninactive_file 0\n");
    /* 14 MiB for tables and 14 for copies */
    CHECK(t, says(t, &of, 28 * MIB, "", ""));
    CHECK(t, says(t, &of, 28 * MIB - 1, "", "a fork may need 28 MiB and only 27 MiB are free"));
    CHECK(t, says(t, &of, 14 * MIB, "", "a fork may need 28 MiB and only 14 MiB are free"));
    CHECK(t, says(t, &of, 5 * MIB, "a snapshot may need 14 MiB and only 5 MiB are free",
                  "a fork may need 28 MiB and only 5 MiB are free"));
    put(t, &of, "cgroups/service/memory.stat", "inactive_file 1048576000\n"); /* pages of files, which the kernel gives up first */
    CHECK(t, says(t, &of, 5 * MIB, "", ""));
    put(t, &of, "cgroups/service/memory.stat", "anon 5\n");
    put(t, &of, "cgroups/service/memory.oom.group", "1\n"); /* it is watched: the reserve of 36, too */
    CHECK(t, says(t, &of, 64 * MIB, "", ""));
    CHECK(t, says(t, &of, 64 * MIB - 1, "", "a fork may need 64 MiB and only 63 MiB are free"));
    CHECK(t, says(t, &of, 13 * MIB, "a snapshot may need 14 MiB and only 13 MiB are free",
                  "a fork may need 64 MiB and only 13 MiB are free"));
    fell(t, &of);
}

/* Nothing is left open but what is watched, and that until it is closed. */
static void few_descriptors(test *t) {
    tree of;
    mpr_headroom headroom;
    plant(t, &of);
    put_process(t, &of, "0::/service\n");
    put_number(t, &of, "cgroups/service/memory.current", 1);
    put_number(t, &of, "cgroups/service/memory.max", 1024 * MIB);
    int lowest = open("/dev/null", O_RDONLY);
    CHECK(t, mpr_headroom_open(&headroom, &of.places) == MPR_OK && headroom.room.count == 0);
    int machine = headroom.room.machine.fd, now = open("/dev/null", O_RDONLY);
    CHECK(t, machine > now && now == lowest + 1);
    mpr_headroom_close(&headroom);
    CHECK(t, fcntl(machine, F_GETFD) < 0);
    close(now), close(lowest);
    fell(t, &of);
}

static void of_this_process(test *t) {
    const mpr_headroom_places here = {MPR_HEADROOM_PROCESS, MPR_HEADROOM_CGROUPS};
    mpr_headroom headroom;
    CHECK(t, mpr_process_rss() > MIB && mpr_process_rss_in("/nowhere") == 0);
    CHECK(t, !mpr_process_pid_namespace_blocks_fork());
    CHECK(t, mpr_headroom_open(&headroom, &here) == MPR_OK && headroom.reserve > 16 * MIB && headroom.snapshot_shortage[0] == '\0');
    mpr_headroom_close(&headroom);
}

void test_headroom(test *t) {
    least_of_machine_and_groups(t);
    fewer_are_watched(t);
    which_limits_the_kernel_would_not_see_to(t);
    use_of_the_least_limit(t);
    what_may_be_needed(t);
    few_descriptors(t);
    of_this_process(t);
}
