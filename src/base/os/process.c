/* SPDX-License-Identifier: MIT
 * The process, by /proc and clock_gettime. */
#define _GNU_SOURCE
#include "base/os/process.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A short file's text; empty when it cannot be read. */
static const char *read_short(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, text, size - 1);
    text[got < 0 ? 0 : got] = '\0';
    if (fd >= 0) {
        close(fd);
    }
    return text;
}

/* The second number of /proc/self/statm is the resident pages. */
uint64_t mpr_process_rss(void) {
    char text[128];
    const char *space = strchr(read_short("/proc/self/statm", text, sizeof text), ' ');
    return space == NULL ? 0 : strtoull(space, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t mpr_process_private(void) {
    static const char key[] = "Private_Dirty:";
    char text[4096];
    const char *line = strstr(read_short("/proc/self/smaps_rollup", text, sizeof text), key);
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
bool mpr_process_is_first_thread(void) { return syscall(SYS_gettid) == getpid(); }

static int64_t clock_ns(clockid_t clock) {
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t mpr_process_time_ns(void) { return clock_ns(CLOCK_REALTIME); }
int64_t mpr_process_monotonic_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
