/* SPDX-License-Identifier: MIT
 * A signal that writes to an eventfd and does no more: it works while the main thread is in C code, and harms nobody. */
#ifndef MPR_BASE_OS_SIGNALS_H
#define MPR_BASE_OS_SIGNALS_H

/* From now on signal `number` adds 1 to the eventfd `fd`; -1: what it did before memprobe is put back. MPR_OK or MPR_EIO with errno. */
int mpr_signal_to_fd(int number, int fd);

#endif
