/* SPDX-License-Identifier: MIT
 * The heap as the collector sees it: the objects that it tracks, in the order of its lists, and who of them refers to what by tp_traverse.
 * These are the answers of gc.get_objects() and gc.get_referrers(), for many questions at the price of one. */
#ifndef CPY_TRACKED_H
#define CPY_TRACKED_H

#include "cpython/walk.h"

typedef MPR_VEC(PyObject *) cpy_objects; /* borrowed: valid until Python runs */

/* Every tracked object, in the order of gc.get_objects(); frozen ones left out. The caller frees `out` in any case. */
int cpy_tracked_gather(cpy_objects *out, mpr_alloc *alloc, const cpy_proofs *proofs);

typedef struct cpy_type_count {
    PyTypeObject *type;
    size_t count;
} cpy_type_count;

typedef MPR_VEC(cpy_type_count) cpy_type_counts;

/* How many objects there are of each type, in the order in which the types are first met. */
int cpy_tracked_count(const cpy_objects *objects, mpr_alloc *alloc, cpy_type_counts *out);

/* Everything that one of the objects refers to, but those equal to `left` or `out`: a set of addresses. */
int cpy_tracked_targets(const cpy_objects *objects, const PyObject *left, const PyObject *out, mpr_addrset *targets);

/* Who refers to what, of all tracked objects or to some of them, at the moment when it was made; the holders are held until it is
 * freed. Entries lie in buckets by address of the target, in the order of the holders.
 *
 * Made for all, it knows garbage, too, by the collector's own argument: what has no more references than tracked objects explain, and is
 * referred to by such alone, is unreachable. So nobody needs to collect first, which costs more than the index does.
 *
 * Cost: one tp_traverse of everything; 8 bytes a reference that counts and 9 an object, twice as much while it is made. */
#define CPY_REGIONS 16 /* parts of 64 GiB of the address space where targets lie */

typedef struct cpy_holders_entry {
    uint32_t granule;     /* the target's address / 16, within its region */
    uint32_t holder : 28; /* index into objects */
    uint32_t region : 4;
} cpy_holders_entry;

typedef MPR_VEC(cpy_holders_entry) cpy_holders_entries;

typedef struct cpy_holders {
    mpr_alloc *alloc;
    cpy_objects objects;   /* the holders */
    cpy_objects targets;   /* borrowed, only compared; sorted by address; empty for all */
    bool all;
    uint8_t *life;         /* of each holder, when it was made for all: what is known of it */
    uint64_t regions[CPY_REGIONS];
    uint32_t region_count;
    cpy_holders_entries entries;
    uint32_t *first; /* buckets + 1; bucket b is entries first[b] .. first[b + 1] - 1 */
    size_t buckets;  /* a power of two */
} cpy_holders;

/* Of references to the objects in the list `targets`, itself left out, or to any if it is NULL. MPR_OK, MPR_ENOMEM, MPR_ELIMIT (more than
 * 2^28 objects, 2^32 references or CPY_REGIONS). The caller frees `out` in any case. */
int cpy_holders_make(cpy_holders *out, mpr_alloc *alloc, const cpy_proofs *proofs, PyObject *targets);

/* Is the object one that it was made for? */
bool cpy_holders_covers(const cpy_holders *holders, const PyObject *target);

/* Those that referred to the target, each once, in the order of the collector's lists; garbage left out when it was made for all. MPR_OK or
 * MPR_ENOMEM. */
int cpy_holders_find(cpy_holders *holders, const PyObject *target, cpy_objects *out);

/* Lets the objects go: their destructors may run. A zeroed one is allowed. */
void cpy_holders_free(cpy_holders *holders);

#endif
