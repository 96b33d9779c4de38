/* SPDX-License-Identifier: MIT
 * Files as the core needs them: whole writes on a descriptor, and a file's bytes to read. write(2), mmap(2) and
 * getrandom(2) only. */
#ifndef MPR_BASE_OS_FILE_H
#define MPR_BASE_OS_FILE_H

#include <stddef.h>
#include <stdint.h>

/* Write all of it, through short writes and EINTR. MPR_OK or MPR_EIO with errno. */
int mpr_file_write(int fd, const void *data, size_t size);

/* Map a file to read: *data is NULL for an empty one. MPR_OK or MPR_EIO. */
int mpr_file_map(int fd, const uint8_t **data, size_t *size);
void mpr_file_unmap(const uint8_t *data, size_t size);

/* Fill out with bytes that nobody can guess. MPR_OK or MPR_EIO. */
int mpr_file_random(void *out, size_t size);

#endif
