/* SPDX-License-Identifier: MIT
 * Writes the corpus: snapshots of made-up heaps of several kinds and sizes, into the directory given. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/os/file.h"
#include "base/status.h"
#include "test.h"

static int save(const char *directory, unsigned number, const heap_shape *shape) {
    char path[512];
    mpr_alloc alloc;
    size_t size = 0;
    mpr_alloc_pages(&alloc);
    snprintf(path, sizeof path, "%s/heap-%02u.snap", directory, number);
    uint8_t *file = snapshot_make(&alloc, number + 1, shape, &size);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int status = file && fd >= 0 ? mpr_file_write(fd, file, size) : MPR_EIO;
    if (fd >= 0) close(fd);
    mpr_alloc_free(&alloc, file, size, 1);
    return status;
}

int main(int argc, char **argv) {
    static const heap_shape shapes[] = {
        {.nodes = 1, .types = 1, .edges = 1},   {.nodes = 5, .types = 2, .edges = 2},
        {.nodes = 40, .types = 5, .edges = 3},  {.nodes = 40, .types = 5, .edges = 3, .wild = true, .hashed = true},
        {.nodes = 90, .types = 16, .edges = 3, .hashed = true, .builtin = true},
        {.nodes = 30, .types = 16, .edges = 2, .wild = true, .hashed = true, .builtin = true},
        {.nodes = 60, .types = 4, .edges = 20}, {.nodes = 120, .types = 3, .edges = 2, .wild = true, .long_lists = true},
        {.nodes = 60, .types = 8, .edges = 3, .native = true},
        {.nodes = 90, .types = 9, .edges = 4, .native = true, .wild = true, .hashed = true},
    };
    if (argc != 2) {
        fprintf(stderr, "usage: corpus DIRECTORY\n");
        return 2;
    }
    for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (save(argv[1], i, &shapes[i]) != MPR_OK) {
            perror(argv[1]);
            return 1;
        }
    return 0;
}
