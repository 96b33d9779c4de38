/* SPDX-License-Identifier: MIT
 * What the operating system says of this process, and the time. */
#ifndef MPR_BASE_OS_PROCESS_H
#define MPR_BASE_OS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

uint64_t mpr_process_rss(void);         /* resident bytes, 0 if unknown */
uint64_t mpr_process_rss_in(const char *folder); /* the same of the process that /proc has in this folder */
uint64_t mpr_process_private(void);     /* bytes that it has written to and shares with nobody, 0 if unknown */

/* Bytes of glibc's malloc that are in use, heads among them; UINT64_MAX if unknown. It takes malloc's locks, and looks at each free
 * chunk: not for a forked child. */
uint64_t mpr_process_glibc_used(void);

/* What a malloc that took glibc's place (jemalloc) says that it has resident, and in use; UINT64_MAX without one. Not for a forked
 * child. */
void mpr_process_other_malloc(uint64_t *resident, uint64_t *used);

uint64_t mpr_process_break(void); /* the end of the memory that malloc gets by brk(2) */
uint64_t mpr_process_guard(void); /* the word that each thread's control block has against broken stacks; 0 if unknown */
int64_t mpr_process_id(void);

/* The process that forked this one, if this one has not begun a program of its own since, and that process is still there and may be
 * looked at; else 0. Files are opened and closed by low numbers: call it while no code of the program can run that may close them. */
int64_t mpr_process_forked_by(void);

bool mpr_process_is_first_thread(void); /* is this the thread that the process began with? */

/* Of a thread that called unshare(CLONE_NEWPID) a child would be the first process of its namespace, and when that ends nobody can
 * be forked into it any more. Until it has a process that namespace cannot be looked at. */
bool mpr_process_pid_namespace_blocks_fork(void);

void mpr_process_sleep_ms(int milliseconds); /* or less: a signal ends it */
int64_t mpr_process_time_ns(void); /* since 1970 */
int64_t mpr_process_monotonic_ns(void); /* for differences */

#endif
