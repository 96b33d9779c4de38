/* SPDX-License-Identifier: MIT
 * Files by write(2) and mmap(2): no stdio and no malloc, so that a forked child of a threaded process may write. A file that
 * another process cuts while it is mapped ends the reader by SIGBUS: that is mmap's price, and snapshots appear whole, by rename.
 */
#define _GNU_SOURCE
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/status.h"

#define WRITE_MAX ((size_t)1 << 30) /* the kernel writes at most 2 GiB - 4 KiB at once */

int mpr_file_write(int fd, const void *data, size_t size) {
    const uint8_t *at = data;
    while (size > 0) {
        ssize_t done = write(fd, at, size < WRITE_MAX ? size : WRITE_MAX);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) {
            if (done == 0) errno = ENOSPC;
            return MPR_EIO;
        }
        at += done;
        size -= (size_t)done;
    }
    return MPR_OK;
}

int mpr_file_map(int fd, const uint8_t **data, size_t *size) {
    struct stat st;
    if (fstat(fd, &st) != 0) return MPR_EIO;
    if (!S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
        return MPR_EIO;
    }
    if (st.st_size == 0) {
        *data = NULL;
        *size = 0;
        return MPR_OK;
    }
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) return MPR_EIO;
    *data = map;
    *size = (size_t)st.st_size;
    return MPR_OK;
}

void mpr_file_unmap(const uint8_t *data, size_t size) {
    if (data) munmap((void *)(uintptr_t)data, size);
}

size_t mpr_file_read_text(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t got = fd < 0 ? 0 : 1;
    while (got > 0 && length < size - 1) { /* the kernel gives some of its files in parts */
        got = read(fd, text + length, size - 1 - length);
        length += got > 0 ? (size_t)got : 0;
    }
    text[length] = '\0';
    if (fd >= 0) {
        close(fd);
    }
    return length;
}

bool mpr_file_exists(const char *path) { return access(path, F_OK) == 0; }
bool mpr_file_may_write(const char *path) { return access(path, W_OK) == 0; }

int mpr_file_random(void *out, size_t size) {
    uint8_t *at = out;
    while (size > 0) {
        ssize_t done = syscall(SYS_getrandom, at, size, 0); /* the library's own may take a lock */
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return MPR_EIO;
        at += done;
        size -= (size_t)done;
    }
    return MPR_OK;
}
