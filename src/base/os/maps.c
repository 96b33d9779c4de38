/* SPDX-License-Identifier: MIT
 * /proc/self/maps, read in pieces: "begin-end rwxp offset dev inode path". */
#define _GNU_SOURCE
#include "base/os/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/status.h"

static bool is_anonymous(const char *line, char **rest) {
    if (strncmp(*rest, " rw-p", 5) != 0) {
        return false;
    }
    const char *path = strchr(*rest, '/');
    const char *special = strchr(line, '[');
    bool own = special == NULL || strncmp(special, "[heap]", 6) == 0 || strncmp(special, "[anon", 5) == 0;
    return path == NULL && own;
}

static int take_line(const char *line, mpr_maps_each each, void *context) {
    char *rest;
    uintptr_t begin = strtoull(line, &rest, 16);
    if (*rest != '-') {
        return MPR_OK;
    }
    uintptr_t end = strtoull(rest + 1, &rest, 16);
    return end > begin && is_anonymous(line, &rest) ? each(context, begin, end) : MPR_OK;
}

/* Give whole lines out of the buffer; what is left of the last one moves to the front. */
static int take_lines(char *buffer, size_t *filled, mpr_maps_each each, void *context) {
    char *line = buffer, *end;
    int status = MPR_OK;
    while (status == MPR_OK && (end = memchr(line, '\n', *filled - (size_t)(line - buffer))) != NULL) {
        *end = '\0';
        status = take_line(line, each, context);
        line = end + 1;
    }
    *filled -= (size_t)(line - buffer);
    memmove(buffer, line, *filled);
    return status;
}

int mpr_maps_anonymous(mpr_maps_each each, void *context) {
    char buffer[8192];
    size_t filled = 0;
    int status = MPR_OK, fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return MPR_EIO;
    }
    while (status == MPR_OK) {
        if (filled == sizeof buffer) { /* a path longer than any: not a mapping of ours */
            filled = 0;
        }
        ssize_t got = read(fd, buffer + filled, sizeof buffer - filled);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            status = got < 0 ? MPR_EIO : MPR_OK;
            break;
        }
        filled += (size_t)got;
        status = take_lines(buffer, &filled, each, context);
    }
    close(fd);
    return status;
}

void mpr_maps_resident(uintptr_t begin, size_t pages, unsigned char resident[256]) {
    if (mincore((void *)begin, pages * (size_t)sysconf(_SC_PAGESIZE), resident) != 0) {
        memset(resident, 0, 256);
    }
}
