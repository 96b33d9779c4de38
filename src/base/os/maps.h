/* SPDX-License-Identifier: MIT
 * The process's own memory map. */
#ifndef MPR_BASE_OS_MAPS_H
#define MPR_BASE_OS_MAPS_H

#include <stddef.h>
#include <stdint.h>

/* For a function that reads what may be anybody's memory, on purpose: freed blocks and other people's redzones too. */
#define MPR_MAPS_ANY_MEMORY __attribute__((no_sanitize("address")))

/* Called for each private, readable and writable mapping of no file: [begin, end). Other than 0 ends the reading and is returned. */
typedef int (*mpr_maps_each)(void *context, uintptr_t begin, uintptr_t end);

/* MPR_OK, MPR_EIO when the map cannot be read, or what `each` returned. Memory is bounded. */
int mpr_maps_anonymous(mpr_maps_each each, void *context);

/* resident[i] & 1 (i < pages <= 256): page i from `begin` is in memory. `begin` on a page boundary. */
void mpr_maps_resident(uintptr_t begin, size_t pages, unsigned char resident[256]);

#endif
