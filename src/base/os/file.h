/* SPDX-License-Identifier: MIT
 * Files as the core needs them: whole writes on a descriptor, a file's bytes to read, and the short files in which the kernel says
 * something. System calls only. */
#ifndef MPR_BASE_OS_FILE_H
#define MPR_BASE_OS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Write all of it, through short writes and EINTR. MPR_OK or MPR_EIO with errno. */
int mpr_file_write(int fd, const void *data, size_t size);

/* Map a file to read: *data is NULL for an empty one. MPR_OK or MPR_EIO. */
int mpr_file_map(int fd, const uint8_t **data, size_t *size);
void mpr_file_unmap(const uint8_t *data, size_t size);

/* The text of a short file, cut at `size` - 1 bytes and ended by a NUL: its length, 0 when it cannot be read. The file is opened
 * and closed here, by a low number: call it while no code of the program can run that may close it. */
size_t mpr_file_read_text(const char *path, char *text, size_t size);

bool mpr_file_exists(const char *path);
bool mpr_file_may_write(const char *path); /* may this process write to it? */

/* Fill out with bytes that nobody can guess. MPR_OK or MPR_EIO. */
int mpr_file_random(void *out, size_t size);

#endif
