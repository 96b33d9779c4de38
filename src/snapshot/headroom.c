/* SPDX-License-Identifier: MIT
 * Headroom, by the process's statm, cgroup and oom_score_adj, and the files memory.* of its control groups. */
#include "snapshot/headroom.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "base/status.h"

#define MIB ((uint64_t)1 << 20)
#define UNLIMITED ((uint64_t)1 << 60) /* version 1 has a number where version 2 says `max` */
#define PATH_MOST 4096                /* the kernel's */

const mpr_headroom_places mpr_headroom_here = {MPR_HEADROOM_PROCESS, MPR_HEADROOM_CGROUPS};

/* ---- folders of control groups ---- */

/* What is looked for, with room for names of files; too large for the stack of a thread. */
typedef struct search {
    const mpr_headroom_places *places;
    void (*each)(struct search *s); /* called for each folder, from the process's own group's to the root's */
    char groups[16 * PATH_MOST];    /* the text of /proc/self/cgroup: a line for each hierarchy */
    char folder[2 * PATH_MOST];     /* in hand */
    char path[2 * PATH_MOST + 64];  /* of a file in it */
    char use[2 * PATH_MOST + 64];   /* of the file that tells its use */
    bool watched;                   /* what happens at a limit that is met from here on would not end the child alone */
    mpr_room *room;
    uint64_t used, limit, own_use; /* of mpr_headroom_cgroup */
} search;

static const char *path_of(search *s, const char *name) {
    snprintf(s->path, sizeof s->path, "%s/%s", s->folder, name);
    return s->path;
}

/* The number in a file of the folder in hand, or MPR_HEADROOM_UNKNOWN: for `max`, and where there is no such file. */
static uint64_t number_in(search *s, const char *name) {
    char text[32];
    mpr_file_read_text(path_of(s, name), text, sizeof text);
    return text[0] >= '0' && text[0] <= '9' ? strtoull(text, NULL, 10) : MPR_HEADROOM_UNKNOWN;
}

static const char *file_of_use(search *s) {
    return mpr_file_exists(path_of(s, "memory.current")) ? "memory.current" : "memory.usage_in_bytes";
}

/* Is a word in a list with commas? */
static bool has_word(const char *list, const char *word) {
    size_t length = strlen(word);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

/* The folder of a group's path below `root`, and then each above it. */
static void climb(search *s, const char *root, const char *path) {
    size_t floor = (size_t)snprintf(s->folder, PATH_MOST, "%s%s", s->places->cgroups, root);
    if (floor >= PATH_MOST) {
        return;
    }
    snprintf(s->folder + floor, PATH_MOST, "%s", strcmp(path, "/") == 0 ? "" : path);
    for (;;) {
        s->each(s);
        char *last = strrchr(s->folder + floor, '/');
        if (last == NULL) {
            return;
        }
        *last = '\0';
    }
}

/* Each line is "number:controllers:path", without controllers in version 2. */
static void search_folders(search *s) {
    char *rest = s->groups, *line;
    snprintf(s->path, sizeof s->path, "%s/cgroup", s->places->process);
    mpr_file_read_text(s->path, s->groups, sizeof s->groups);
    while (*(line = rest) != '\0') {
        rest += strcspn(rest, "\n");
        if (*rest != '\0') {
            *rest++ = '\0';
        }
        char *controllers = strchr(line, ':'), *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (path == NULL) {
            continue;
        }
        *controllers++ = '\0', *path++ = '\0';
        if (*controllers == '\0' || has_word(controllers, "memory")) {
            climb(s, *controllers == '\0' ? "" : "/memory", path);
        }
    }
}

static search *search_new(mpr_alloc *alloc, const mpr_headroom_places *places, void (*each)(search *s)) {
    mpr_alloc_pages(alloc);
    search *s = mpr_alloc_array(alloc, 1, sizeof *s);
    if (s != NULL) {
        s->places = places, s->each = each;
    }
    return s;
}

/* ---- limits ---- */

/* At memory.high the kernel slows all of a group down until they stand. */
static const struct limit_file {
    const char *name;
    bool slows;
} limit_files[] = {{"memory.max", false}, {"memory.limit_in_bytes", false}, {"memory.high", true}};
#define LIMIT_FILES (sizeof limit_files / sizeof *limit_files)

/* At its limit the kernel ends the process of a group that says it can be missed, as the child does where it may, unless the group
 * is to be ended as a whole. */
static void add_limits(search *s) {
    s->watched = s->watched || number_in(s, "memory.oom.group") == 1;
    for (size_t i = 0; i < LIMIT_FILES; i++) {
        uint64_t limit = number_in(s, limit_files[i].name);
        if (limit < UNLIMITED) {
            strcpy(s->use, path_of(s, file_of_use(s)));
            mpr_room_add(s->room, s->use, path_of(s, "memory.stat"), limit, s->watched || limit_files[i].slows);
        }
    }
}

int mpr_headroom_find(mpr_room *room, const mpr_headroom_places *places) {
    mpr_alloc alloc;
    search *s = search_new(&alloc, places, add_limits);
    if (s == NULL) {
        return MPR_ENOMEM;
    }
    mpr_room_open(room);
    s->room = room;
    snprintf(s->path, sizeof s->path, "%s/oom_score_adj", places->process);
    s->watched = !mpr_file_may_write(s->path); /* as in a process that gave up root's rights: its child cannot say it either */
    search_folders(s);
    mpr_alloc_free(&alloc, s, 1, sizeof *s);
    return MPR_OK;
}

/* Of equal limits the outer one is nearer, for its group's use is at least the inner one's. */
static void take_least_limit(search *s) {
    uint64_t used = number_in(s, file_of_use(s));
    s->own_use = s->own_use == MPR_HEADROOM_UNKNOWN ? used : s->own_use;
    for (size_t i = 0; i < LIMIT_FILES; i++) {
        uint64_t limit = number_in(s, limit_files[i].name);
        if (limit < UNLIMITED && limit <= s->limit) {
            s->limit = limit, s->used = used;
        }
    }
}

int mpr_headroom_cgroup(const mpr_headroom_places *places, uint64_t *used, uint64_t *limit) {
    mpr_alloc alloc;
    search *s = search_new(&alloc, places, take_least_limit);
    if (s == NULL) {
        return MPR_ENOMEM;
    }
    s->used = s->limit = s->own_use = MPR_HEADROOM_UNKNOWN;
    search_folders(s);
    *used = s->limit == MPR_HEADROOM_UNKNOWN ? s->own_use : s->used;
    *limit = s->limit;
    mpr_alloc_free(&alloc, s, 1, sizeof *s);
    return MPR_OK;
}

/* ---- policy ---- */

/* Say in `out` that there is too little, or nothing when there is enough. */
static void say_shortage(char *out, size_t size, const char *what, uint64_t left, uint64_t need) {
    if (left < need) {
        snprintf(out, size, "%s may need %llu MiB and only %llu MiB are free", what, (unsigned long long)(need / MIB),
                 (unsigned long long)(left / MIB));
    }
}

/* Tables and buffers take 2 % of what is resident and 12 MiB. Copies of a tenth of all pages are a lot for the second or so that a
 * child lives; what comes of more is said in the header. */
int mpr_headroom_open(mpr_headroom *out, const mpr_headroom_places *places) {
    uint64_t resident = mpr_process_rss_in(places->process);
    uint64_t tables = resident / 50 + 12 * MIB, copies = resident / 10 + 4 * MIB;
    *out = (mpr_headroom){.reserve = resident / 5 + 16 * MIB};
    int status = mpr_headroom_find(&out->room, places);
    if (status != MPR_OK) {
        return status;
    }
    uint64_t left = mpr_room_left(&out->room, UINT64_MAX);
    mpr_room_drop_unwatched(&out->room);
    uint64_t left_watched = mpr_room_left(&out->room, UINT64_MAX);
    say_shortage(out->snapshot_shortage, sizeof out->snapshot_shortage, "a snapshot", left, tables);
    say_shortage(out->fork_shortage, sizeof out->fork_shortage, "a fork", left_watched, tables + copies + out->reserve);
    if (out->fork_shortage[0] == '\0') {
        say_shortage(out->fork_shortage, sizeof out->fork_shortage, "a fork", left, tables + copies);
    }
    return MPR_OK;
}

void mpr_headroom_close(mpr_headroom *headroom) { mpr_room_close(&headroom->room); }
