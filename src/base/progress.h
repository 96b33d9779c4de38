/* SPDX-License-Identifier: MIT
 * How long work reports and is stopped: the callback is called a few times a tenth of a second with what is done and the whole, in units
 * of the caller's choice; a return value other than 0 ends the work with MPR_ECANCELLED. NULL means that nobody is interested. */
#ifndef MPR_BASE_PROGRESS_H
#define MPR_BASE_PROGRESS_H

#include <stdint.h>

typedef int (*mpr_progress)(void *context, uint64_t done, uint64_t total);

#endif
