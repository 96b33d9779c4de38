/* SPDX-License-Identifier: MIT
 * The work list of a walk over memory: a set of addresses in which each member is pending until it is taken. The bitmap *is* the list, so
 * there is no stack, no depth and no worst case in memory: two bits per 16 bytes of heap.
 *
 * Pages with something pending stand in a queue. A page is swept from its lowest pending address to its highest; what is marked
 * behind the sweep sends the page to the back of the queue. A chain that runs backwards inside a page stays cheap because a summary
 * (one bit per word) leads straight to the words that matter. Addresses come out almost in order, which caches like. */
#ifndef MPR_BASE_WORKSET_H
#define MPR_BASE_WORKSET_H

#include "base/addrset.h"
#include "base/vec.h"

#define MPR_PAGE_BLOCKS (MPR_PAGE_WORDS / 64)

typedef struct mpr_workset {
    mpr_addrset seen;
    MPR_VEC(uint64_t) pending; /* MPR_PAGE_WORDS a page of `seen`: bits by handle, as there */
    MPR_VEC(uint64_t) summary; /* MPR_PAGE_BLOCKS a page: which words of `pending` are not zero */
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

/* Take the next pending addresses, at most `most` of them. Returns how many: 0 when nothing is pending. */
size_t mpr_workset_take(mpr_workset *w, uint64_t *addresses, size_t most);

bool mpr_workset_has(const mpr_workset *w, uint64_t address);

#endif
