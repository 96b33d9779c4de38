/* SPDX-License-Identifier: MIT
 * Identity by fstat(2) and statx(2), high numbers by F_DUPFD_CLOEXEC. */
#define _GNU_SOURCE
#include "base/os/held.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define HIGH 500

static int64_t born(int fd) {
#ifdef STATX_BTIME
    struct statx more;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &more) == 0 && (more.stx_mask & STATX_BTIME) != 0) {
        return (int64_t)more.stx_btime.tv_sec * 1000000000 + more.stx_btime.tv_nsec;
    }
#endif
    (void)fd;
    return 0;
}

mpr_held mpr_held_look(int fd) {
    struct stat found;
    return fstat(fd, &found) != 0 ? (mpr_held){0} : (mpr_held){fd, found.st_dev, found.st_ino, born(fd)};
}

/* Where fewer descriptors than that are allowed, the upper half of them. */
static int high_number(void) {
    struct rlimit most;
    return getrlimit(RLIMIT_NOFILE, &most) == 0 && most.rlim_cur / 2 < HIGH ? (int)(most.rlim_cur / 2) : HIGH;
}

mpr_held mpr_held_take(int fd) {
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, high_number());
    if (high < 0) {
        return mpr_held_look(fd);
    }
    close(fd);
    return mpr_held_look(high);
}

mpr_held mpr_held_open(const char *path) { return mpr_held_take(open(path, O_RDONLY | O_CLOEXEC)); }

int mpr_held_fd(const mpr_held *held) {
    mpr_held now = held->inode == 0 ? *held : mpr_held_look(held->fd);
    bool same = now.inode != 0 && now.inode == held->inode && now.device == held->device;
    bool other = now.born != 0 && held->born != 0 && now.born != held->born;
    return same && !other ? held->fd : -1;
}

void mpr_held_close(mpr_held *held) {
    int fd = mpr_held_fd(held);
    *held = (mpr_held){0};
    if (fd >= 0) {
        close(fd);
    }
}
