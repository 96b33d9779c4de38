/* SPDX-License-Identifier: MIT
 * A process's memory map, and reading memory of our own that may not be there. */
#ifndef MPR_BASE_OS_MAPS_H
#define MPR_BASE_OS_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/os/held.h"

/* For a function that reads what may be anybody's memory, on purpose: freed blocks and other people's redzones too. */
#define MPR_MAPS_ANY_MEMORY __attribute__((no_sanitize("address")))

#define MPR_MAPS_WINDOW 256 /* pages */

/* A mapping [begin, end). The sizes are 0 where only the map is read. */
typedef struct mpr_mapping {
    uint64_t begin, end;
    uint64_t inode;      /* of its file; 0 without one */
    bool read, write, execute, shared;
    const char *name;    /* of its file, or as "[heap]"; "" for none. Valid during the call */
    uint64_t resident, proportional, swapped, private_bytes, shared_bytes;
    uint64_t anonymous;  /* resident, of no file, or written to in a private mapping of one */
    uint64_t huge;       /* of hugetlbfs, in none of the others */
} mpr_mapping;

/* Called for each mapping, in the order of addresses. Other than MPR_OK ends the reading and is returned. */
typedef int mpr_maps_each(void *context, const mpr_mapping *mapping);

/* What is read: /proc/PID/maps; or smaps, with the sizes, which takes the kernel about a millisecond for each 80 MiB that are resident. Two
 * more are no maps: pagemap (mpr_maps_read_pages, mpr_maps_measure) and mem (mpr_maps_read_memory). */
typedef enum mpr_maps_detail { MPR_MAPS_PLAIN, MPR_MAPS_SIZES, MPR_MAPS_PAGES, MPR_MAPS_MEMORY } mpr_maps_detail;

/* pid 0 is this process. MPR_OK, MPR_EIO when it cannot be read, or what `each` returned. Memory is bounded, none is allocated. */
int mpr_maps_read(int64_t pid, mpr_maps_detail detail, mpr_maps_each *each, void *context);

/* The same in parts, for who may open and close a file only at some times. */
mpr_held mpr_maps_open(int64_t pid, mpr_maps_detail detail);
int mpr_maps_read_file(const mpr_held *file, mpr_maps_each *each, void *context);

/* What the kernel says of each page (Documentation/admin-guide/mm/pagemap.rst). */
#define MPR_MAPS_PRESENT (UINT64_C(1) << 63)
#define MPR_MAPS_SWAPPED (UINT64_C(1) << 62)
#define MPR_MAPS_OF_FILE (UINT64_C(1) << 61) /* or of shared memory */
#define MPR_MAPS_ALONE (UINT64_C(1) << 56)   /* in this process's page tables and no other's */

/* Of `pages` pages from `begin` on, of a file that was opened as MPR_MAPS_PAGES: of how many it says it. */
size_t mpr_maps_read_pages(const mpr_held *file, uint64_t begin, size_t pages, uint64_t *out);

/* What of [begin, end), page boundaries both, is resident, and swapped, in bytes, by such a file: three times as fast as smaps. False where the kernel does not
 * say it: since Linux 6.7 it does. */
bool mpr_maps_measure(const mpr_held *file, uint64_t begin, uint64_t end, uint64_t *resident, uint64_t *swapped);

/* Called for pages side by side. Other than MPR_OK ends it and is returned. */
typedef int mpr_maps_each_run(void *context, uint64_t begin, uint64_t end);

/* The pages of [begin, end), page boundaries both, that somebody wrote to: in memory or swapped, of no file and no shared memory. By such a file; without Linux 6.7
 * those that were only read are among them. MPR_EIO when it cannot be read. */
int mpr_maps_each_written(const mpr_held *file, uint64_t begin, uint64_t end, mpr_maps_each_run *each, void *context);

/* Of `size` bytes from `begin` on, of one that was opened as MPR_MAPS_MEMORY: how many were copied. Another process's are given to who may
 * trace it. */
size_t mpr_maps_read_memory(const mpr_held *file, uint64_t begin, size_t size, void *out);

/* Private, readable and writable memory of no file: where allocators have what they manage. */
bool mpr_maps_is_anonymous(const mpr_mapping *mapping);

/* Does the kernel say which pages are in memory? A strict profile of seccomp may forbid it: then none seems to be. */
bool mpr_maps_tell_resident(void);

/* resident[i] & 1 (i < pages <= MPR_MAPS_WINDOW): page i from `begin` is in memory. `begin` on a page boundary; what is not mapped is not in memory.
 * A page that was read and never written is the kernel's page of zeros: it is in memory and in no resident size. */
void mpr_maps_resident(uintptr_t begin, size_t pages, unsigned char resident[MPR_MAPS_WINDOW]);

/* The same without such pages, where mpr_maps_measure knows them. */
void mpr_maps_written(const mpr_held *file, uintptr_t begin, size_t pages, unsigned char resident[MPR_MAPS_WINDOW]);

/* Is all of it in memory? What is there may be read, as long as nobody unmaps it. */
bool mpr_maps_in_memory(const void *address, size_t size);

/* Bytes of [begin, end), page boundaries both, that are in memory. */
uint64_t mpr_maps_resident_bytes(uint64_t begin, uint64_t end);

/* The same without pages that were only read, as mpr_maps_written. */
uint64_t mpr_maps_written_bytes(const mpr_held *file, uint64_t begin, uint64_t end);

/* Copy `size` bytes, a multiple of 8, from each of `count` addresses, one behind the other, to `out`: how many were copied, up to the first that is
 * not mapped; MPR_EUNSUPPORTED where a process may not read its own memory so. Nothing faults, whatever other threads unmap. Where none can (`still`, a forked
 * child) it is a hundred times faster, and the addresses must be in memory. count <= MPR_MAPS_PEEK */
#define MPR_MAPS_PEEK 64
int mpr_maps_peek(bool still, const uint64_t *address, size_t count, size_t size, void *out);

#endif
