/* SPDX-License-Identifier: MIT
 * A descriptor that we hold while the program runs on. It may close all that it has, and its next files have their numbers then: ours has a
 * high one, is known by what it is, and is used and closed only as long as it is that. memprobe/_native.py has it for Python.
 * It is what has its inode and its time of birth: a file system gives the number of a file that was removed to the next one. Files of
 * one inode are one to it, and so are eventfds, and pidfds before Linux 6.9. */
#ifndef MPR_BASE_OS_HELD_H
#define MPR_BASE_OS_HELD_H

#include <stdbool.h>
#include <stdint.h>

/* {0} is none. */
typedef struct mpr_held {
    int fd;
    uint64_t device, inode;
    int64_t born; /* ns since 1970, 0 where nobody knows */
} mpr_held;

/* Take `fd` over; it closes on exec then, and has a high number where there is one. None where it is -1. */
mpr_held mpr_held_take(int fd);

/* Open a file to read. None where that fails. */
mpr_held mpr_held_open(const char *path);

/* What `fd` is now, which stays with its owner. None where it is nothing. */
mpr_held mpr_held_look(int fd);

/* Its number if it is still what it was, else -1. */
int mpr_held_fd(const mpr_held *held);

/* Once, and only what is ours. */
void mpr_held_close(mpr_held *held);

#endif
