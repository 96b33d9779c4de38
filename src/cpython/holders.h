/* SPDX-License-Identifier: MIT
 * The references between tracked objects, backwards: who refers to what, of all of them or to some, at the moment when it was made.
 *
 * Used by src/binding. */
#ifndef CPY_HOLDERS_H
#define CPY_HOLDERS_H

#include "cpython/tracked.h"

#define CPY_HOLDERS_REGIONS 16 /* parts of 64 GiB of the address space where targets lie */

typedef struct cpy_holders_entry {
    uint32_t granule;     /* the target's address / 16, within its region */
    uint32_t holder : 28; /* index into objects */
    uint32_t region : 4;
} cpy_holders_entry;

typedef MPR_VEC(cpy_holders_entry) cpy_holders_entries;

typedef struct cpy_holders {
    mpr_alloc *alloc;
    cpy_objects objects; /* the holders; held until it is freed */
    cpy_objects targets; /* borrowed, only compared; sorted by address; empty for all */
    bool all;
    uint8_t *life; /* of each holder, when it was made for all: what is known of it */
    uint64_t regions[CPY_HOLDERS_REGIONS];
    uint32_t region_count;
    cpy_holders_entries entries;
    uint32_t *first; /* buckets + 1; bucket b is entries first[b] .. first[b + 1] - 1 */
    size_t buckets;  /* a power of two */
} cpy_holders;

/* Of references to the objects in the list `targets`, itself excluded, or to any if it is NULL. MPR_OK, MPR_ENOMEM, MPR_ELIMIT (more than
 * 2^28 objects, 2^32 references or CPY_HOLDERS_REGIONS). The caller frees `out` in any case. */
int cpy_holders_make(cpy_holders *out, mpr_alloc *alloc, const cpy_proofs *proofs, PyObject *targets);

/* Is the object one that it was made for? */
bool cpy_holders_covers(const cpy_holders *holders, const PyObject *target);

/* Those that referred to the target, each once, in the order of the collector's lists; without garbage when it was made for all. MPR_OK or
 * MPR_ENOMEM. */
int cpy_holders_find(cpy_holders *holders, const PyObject *target, cpy_objects *out);

/* Lets the objects go: their destructors may run. A zeroed one is allowed. */
void cpy_holders_free(cpy_holders *holders);

#endif
