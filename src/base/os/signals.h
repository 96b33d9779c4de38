/* SPDX-License-Identifier: MIT
 * A signal that writes to an eventfd and does no more: it works while the main thread is in C code, and harms nobody. And writing to a file
 * without the signals that a limit of its size brings. */
#ifndef MPR_BASE_OS_SIGNALS_H
#define MPR_BASE_OS_SIGNALS_H

#include <stdbool.h>

/* From now on signal `number` adds 1 to the eventfd `fd`. MPR_OK or MPR_EIO with errno, EBUSY when the program has a handler for it. */
int mpr_signal_to_fd(int number, int fd);

/* No more. If the handler is still ours, what the signal did before is put back, or with `restore` false it does nothing, for what it did
 * before may be to end the process. MPR_OK or MPR_EIO with errno. */
int mpr_signal_to_nobody(int number, bool restore);

/* A file that would become larger than the process may make one is an error of write(2) and no more, until `end`. For this thread. */
typedef struct mpr_signal_calm {
    bool blocked; /* before */
} mpr_signal_calm;
void mpr_signal_calm_begin(mpr_signal_calm *calm);
void mpr_signal_calm_end(const mpr_signal_calm *calm);

#endif
