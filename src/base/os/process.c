/* SPDX-License-Identifier: MIT
 * The process, by /proc and clock_gettime. */
#define _GNU_SOURCE
#include "base/os/process.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

/* The second number of /proc/self/statm is the resident pages. */
static uint64_t second_number(const char *text) {
    uint64_t number = 0;
    while (*text != '\0' && *text != ' ') {
        text++;
    }
    for (text += *text == ' '; *text >= '0' && *text <= '9'; text++) {
        number = number * 10 + (uint64_t)(*text - '0');
    }
    return number;
}

uint64_t mpr_process_rss(void) {
    char text[128] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    return got <= 0 ? 0 : second_number(text) * (uint64_t)sysconf(_SC_PAGESIZE);
}

int64_t mpr_process_id(void) { return (int64_t)getpid(); }

static int64_t clock_ns(clockid_t clock) {
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t mpr_process_time_ns(void) { return clock_ns(CLOCK_REALTIME); }
int64_t mpr_process_monotonic_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
