/* SPDX-License-Identifier: MIT
 * The work list of a walk over memory: a set of addresses in which each member is pending until it is taken. The bitmap *is* the list, so
 * there is no stack, no depth and no worst case in memory: two bits per 16 bytes of heap. Members that are put off are
 * kept as a list of their handles, while that is short, so that a few of them on every page cost no third bit everywhere.
 *
 * Pages with something pending stand in a queue. A page is swept from its lowest pending address to its highest; what is marked
 * behind the sweep sends the page to the back of the queue. A chain that runs backwards inside a page stays cheap because a summary
 * (one bit per word) leads straight to the words that matter. Addresses come out almost in order, which caches like. */
#ifndef MPR_BASE_WORKSET_H
#define MPR_BASE_WORKSET_H

#include "base/addrset.h"
#include "base/vec.h"

#define MPR_PAGE_BLOCKS (MPR_PAGE_WORDS / 64)
#define MPR_WORKSET_FEW 512 /* members a page that are put off: as a list they take a quarter of the page's bits */

typedef struct mpr_workset {
    mpr_addrset seen;
    MPR_VEC(uint64_t) pending; /* MPR_PAGE_WORDS a page of `seen`: bits by handle, as there */
    MPR_VEC(uint64_t) summary; /* MPR_PAGE_BLOCKS a page: which words of `pending` are not zero */
    MPR_VEC(uint32_t) later;      /* handles of what was put off; when they are many, the rest is ... */
    MPR_VEC(uint64_t) later_bits; /* ... here, as in `pending`, up to the last page of which there is something */
    MPR_VEC(bool) queued;      /* a page: it stands in the queue */
    uint32_t *queue;           /* ring of page indices */
    uint32_t capacity;         /* of the ring, at least as many as there are pages: a page stands in it once */
    uint32_t head, waiting;
    uint32_t current;      /* page being swept; valid when sweeping */
    uint32_t word;         /* where the sweep is */
    uint64_t left;         /* bits of that word that were taken out and not yet given */
    bool sweeping;
} mpr_workset;

void mpr_workset_init(mpr_workset *w, mpr_alloc *alloc);
void mpr_workset_free(mpr_workset *w);

/* The rare part of mpr_workset_mark: put a page in the queue. MPR_OK or MPR_ENOMEM. */
int mpr_workset_enqueue(mpr_workset *w, uint32_t page);

/* Make it a member, and pending if it was not one. 1 new, 0 known, negative: MPR_ENOMEM, MPR_ELIMIT. */
static inline int mpr_workset_mark(mpr_workset *w, uint64_t address) {
    uint32_t handle = 0;
    int added = mpr_addrset_add(&w->seen, address, &handle);
    if (added <= 0) {
        return added;
    }
    uint32_t page = handle >> 16;
    if ((page >= w->queued.count || !w->queued.items[page]) && mpr_workset_enqueue(w, page) != MPR_OK) {
        return MPR_ENOMEM;
    }
    w->pending.items[handle >> 6] |= UINT64_C(1) << (handle & 63);
    w->summary.items[handle >> 12] |= UINT64_C(1) << (handle >> 6 & 63);
    return 1;
}

/* Make it a member without ever giving it. As above. */
int mpr_workset_skip(mpr_workset *w, uint64_t address);

/* Put off what was given: it is given again after mpr_workset_resume. MPR_OK or MPR_ENOMEM. */
int mpr_workset_put_off(mpr_workset *w, uint64_t address);

/* What was put off is pending from now on. */
void mpr_workset_resume(mpr_workset *w);

/* Take the next pending addresses, at most `most` of them. Returns how many: 0 when nothing is pending. */
size_t mpr_workset_take(mpr_workset *w, uint64_t *addresses, size_t most);

bool mpr_workset_has(const mpr_workset *w, uint64_t address);

#endif
