/* SPDX-License-Identifier: MIT
 * Identity by fstat(2), high numbers by F_DUPFD_CLOEXEC. */
#define _GNU_SOURCE
#include "base/os/held.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define HIGH 500 /* as memprobe/_native.py has it */

mpr_held mpr_held_look(int fd) {
    struct stat found;
    return fstat(fd, &found) != 0 ? (mpr_held){0} : (mpr_held){.fd = fd, .device = found.st_dev, .inode = found.st_ino};
}

mpr_held mpr_held_take(int fd) {
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HIGH);
    if (high < 0) {
        return mpr_held_look(fd);
    }
    close(fd);
    return mpr_held_look(high);
}

mpr_held mpr_held_open(const char *path) { return mpr_held_take(open(path, O_RDONLY | O_CLOEXEC)); }

int mpr_held_fd(const mpr_held *held) {
    mpr_held now = held->inode == 0 ? *held : mpr_held_look(held->fd);
    return now.inode != 0 && now.inode == held->inode && now.device == held->device ? held->fd : -1;
}

void mpr_held_close(mpr_held *held) {
    int fd = mpr_held_fd(held);
    *held = (mpr_held){0};
    if (fd >= 0) {
        close(fd);
    }
}
