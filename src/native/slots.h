/* SPDX-License-Identifier: MIT
 * Memory that allocators which libraries bring (jemalloc, mimalloc) have cut into slots of one size, or given out whole. Their own
 * tables say how it is cut. Which slots are given out is not asked: freed ones are kept ready in caches of threads, which nothing
 * tells apart. So a slot is a block if an object, another block that is none of the lost, or a library's data refers to it; its size is what
 * the slot has room for, and none is ever lost. */
#ifndef MPR_NATIVE_SLOTS_H
#define MPR_NATIVE_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"

#define MPR_SLOTS_UNIT 16u /* bytes: where blocks begin at multiples of. Smaller slots are not known */

typedef struct mpr_slots_run {
    uint64_t begin, end, slot; /* (end - begin) / slot of them side by side */
} mpr_slots_run;

typedef struct mpr_slots {
    mpr_alloc *alloc; /* NULL: nobody wants them, and none is added */
    MPR_VEC(mpr_slots_run) run; /* when finished: by address, none over another */
} mpr_slots;

/* Add slots side by side from `begin` on: none where they are no multiples of the unit, or have no address of a process. MPR_OK or
 * MPR_ENOMEM. */
int mpr_slots_add(mpr_slots *slots, uint64_t begin, uint64_t slot, uint64_t count);

/* When all have been added, and before one is found. A run that lies over another is damage, and left out. */
void mpr_slots_finish(mpr_slots *slots);

/* The run that has an address, or NULL. */
const mpr_slots_run *mpr_slots_find(const mpr_slots *slots, uint64_t address);

void mpr_slots_free(mpr_slots *slots);

#endif
