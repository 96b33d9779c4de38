/* SPDX-License-Identifier: MIT
 * The process, by /proc and clock_gettime. */
#define _GNU_SOURCE
#include "base/os/process.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/os/file.h"

/* The second number of statm is the resident pages. */
uint64_t mpr_process_rss_in(const char *folder) {
    char path[512], text[128];
    snprintf(path, sizeof path, "%s/statm", folder);
    mpr_file_read_text(path, text, sizeof text);
    const char *space = strchr(text, ' ');
    return space == NULL ? 0 : strtoull(space, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t mpr_process_rss(void) { return mpr_process_rss_in("/proc/self"); }

uint64_t mpr_process_private(void) {
    static const char key[] = "Private_Dirty:";
    char text[4096];
    mpr_file_read_text("/proc/self/smaps_rollup", text, sizeof text);
    const char *line = strstr(text, key);
    return line == NULL ? 0 : strtoull(line + sizeof key - 1, NULL, 10) * 1024;
}

/* As in glibc's malloc.h, since 2.33. */
typedef struct mallinfo2_result {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
} mallinfo2_result;

uint64_t mpr_process_glibc_used(void) {
    mallinfo2_result (*ask)(void) = NULL;
    *(void **)&ask = dlsym(RTLD_DEFAULT, "mallinfo2");
    if (ask == NULL) {
        return UINT64_MAX;
    }
    mallinfo2_result info = ask();
    return info.uordblks + info.hblkhd;
}

typedef int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size);

static uint64_t ask_jemalloc(mallctl *ask, const char *name) {
    size_t value = 0, size = sizeof value;
    return ask(name, &value, &size, NULL, 0) == 0 ? value : UINT64_MAX;
}

/* Its statistics are of the moment when its epoch was last moved on (jemalloc's manual, "mallctl namespace"). */
void mpr_process_other_malloc(uint64_t *resident, uint64_t *used) {
    mallctl *ask = NULL;
    *(void **)&ask = dlsym(RTLD_DEFAULT, "mallctl");
    uint64_t epoch = 1;
    size_t size = sizeof epoch;
    bool told = ask != NULL && ask("epoch", &epoch, &size, &epoch, size) == 0;
    *resident = told ? ask_jemalloc(ask, "stats.resident") : UINT64_MAX;
    *used = told ? ask_jemalloc(ask, "stats.allocated") : UINT64_MAX;
}

uint64_t mpr_process_break(void) { return (uint64_t)(uintptr_t)sbrk(0); }

uint64_t mpr_process_guard(void) {
    uint64_t guard = 0;
#ifdef __x86_64__ /* where the ABI of stack protection has it */
    __asm__("mov %%fs:0x28, %0" : "=r"(guard));
#endif
    return guard;
}

int64_t mpr_process_id(void) { return (int64_t)getpid(); }

/* The kernel gives each program that begins an auxiliary vector, in which the addresses of its stack and of the vDSO are random; a fork has
 * its parent's. */
int64_t mpr_process_forked_by(void) {
    char mine[2048], theirs[sizeof mine], path[64];
    int64_t parent = (int64_t)getppid();
    snprintf(path, sizeof path, "/proc/%lld/auxv", (long long)parent);
    size_t size = mpr_file_read_text("/proc/self/auxv", mine, sizeof mine);
    bool same = size > 0 && mpr_file_read_text(path, theirs, sizeof theirs) == size && memcmp(mine, theirs, size) == 0;
    return same ? parent : 0;
}

bool mpr_process_is_first_thread(void) { return syscall(SYS_gettid) == getpid(); }

bool mpr_process_pid_namespace_blocks_fork(void) {
    static const char own[] = "/proc/thread-self/ns/pid", childrens[] = "/proc/thread-self/ns/pid_for_children";
    struct stat mine, theirs;
    if (lstat(childrens, &theirs) != 0 || stat(own, &mine) != 0) { /* not known to this kernel, or not to us */
        return false;
    }
    return stat(childrens, &theirs) != 0 || theirs.st_dev != mine.st_dev || theirs.st_ino != mine.st_ino;
}

void mpr_process_sleep_ms(int milliseconds) {
    struct timespec time = {.tv_sec = milliseconds / 1000, .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static int64_t clock_ns(clockid_t clock) {
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t mpr_process_time_ns(void) { return clock_ns(CLOCK_REALTIME); }
int64_t mpr_process_monotonic_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
