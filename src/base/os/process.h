/* SPDX-License-Identifier: MIT
 * What the operating system says of this process, and the time. */
#ifndef MPR_BASE_OS_PROCESS_H
#define MPR_BASE_OS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

uint64_t mpr_process_rss(void);         /* resident bytes, 0 if unknown */
uint64_t mpr_process_private(void);     /* bytes that it has written to and shares with nobody, 0 if unknown */

/* What malloc itself says of its memory, in bytes; UINT64_MAX for what it does not say. It takes malloc's locks: not for a forked child. */
typedef struct mpr_process_malloc {
    uint64_t glibc_used; /* of glibc's, heads among it */
    uint64_t other_used, resident; /* of one that took its place: jemalloc */
} mpr_process_malloc;
mpr_process_malloc mpr_process_ask_malloc(void);

uint64_t mpr_process_break(void); /* the end of the memory that malloc gets by brk(2) */
uint64_t mpr_process_guard(void); /* the word that each thread's control block has against broken stacks; 0 if unknown */
int64_t mpr_process_id(void);
bool mpr_process_is_first_thread(void); /* is this the thread that the process began with? */
int64_t mpr_process_time_ns(void); /* since 1970 */
int64_t mpr_process_monotonic_ns(void); /* for differences */

#endif
