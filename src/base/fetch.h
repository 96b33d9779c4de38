/* SPDX-License-Identifier: MIT
 * Functions that only prefetch: GCC takes one for a function without effect and drops its calls, unless it is inlined before that. */
#ifndef MPR_BASE_FETCH_H
#define MPR_BASE_FETCH_H

#define MPR_FETCHER static inline __attribute__((always_inline)) void

#endif
