/* SPDX-License-Identifier: MIT
 * Waste: memory that a program could do without while it keeps the same data.
 *
 *   duplicate  str, bytes, or tuples of such, of numbers and of immortal objects, that contain the same: all but the largest. Needs hashes
 *   sparse     a list, dict or set whose buffer takes over 64 bytes more than a fresh one of its length would
 *   empty      a list, dict or set that has no buffer, because nothing is in it: all of it
 *   boxed      a list of 1,000 or more items of which 9/10 are numbers of one type: it and the numbers that it alone holds, less an array
 *   slots      1,000 or more instances of a class, 99/100 with the same attributes: less what they would take with __slots__
 *   unshared   instances whose own dict has a table of its own, where the class has one for all: less what an instance with it takes
 *
 * Copies, and sparse, empty and boxed containers, are told together when one kind of owner holds them by one attribute. What a fresh container takes
 * is computed of facts that the capture tells (docs/FORMAT.md, cost_...); without them only duplicates and boxed numbers are found.
 * Garbage and memprobe's own objects are left out. */
#ifndef MPR_ALGO_WASTE_H
#define MPR_ALGO_WASTE_H

#include "base/progress.h"
#include "base/vec.h"
#include "graph/graph.h"

typedef enum mpr_waste_kind {
    MPR_WASTE_DUPLICATE, /* a row a value */
    MPR_WASTE_COPIES,    /* the same objects, but for one of each value, by who holds them */
    MPR_WASTE_SPARSE,
    MPR_WASTE_EMPTY,
    MPR_WASTE_BOXED,
    MPR_WASTE_SLOTS,
    MPR_WASTE_UNSHARED,
    MPR_WASTE_KINDS
} mpr_waste_kind;

typedef struct mpr_waste_row {
    mpr_waste_kind kind;
    uint32_t type;    /* of the objects: of the values, the containers, or the class of the instances */
    uint32_t node;    /* the one that wastes most; of a value, the largest; an instance */
    uint32_t owner;   /* type of the object whose attribute holds them, or of what holds them; MPR_NO_TYPE when it is not known */
    uint32_t holder;  /* of `node`; MPR_NO_NODE */
    uint64_t edge;    /* of the holder; MPR_NO_EDGE */
    uint32_t of; /* boxed: type of the numbers. unshared: node of a name that the class's table does not have. Else MPR_NO_NODE */
    uint32_t slots; /* slots: how many attributes there would be */
    bool weakrefs; /* slots: instances are weakly referenced, and "__weakref__" must be a slot, too */
    uint64_t count; /* objects */
    uint64_t bytes; /* that would be saved */
} mpr_waste_row;

typedef struct mpr_waste {
    mpr_alloc *alloc;
    bool has_hashes, has_costs; /* what the heap was told: without hashes no duplicates ... */
    uint64_t count[MPR_WASTE_KINDS], bytes[MPR_WASTE_KINDS]; /* of all rows that were found: of a duplicate, the objects too many */
    MPR_VEC(mpr_waste_row) rows; /* most bytes first */
} mpr_waste;

typedef struct mpr_waste_options {
    size_t limit; /* rows of MPR_WASTE_DUPLICATE that are kept, of which there may be millions; 0: 100 */
    mpr_progress progress;
    void *context;
} mpr_waste_options;

/* options may be NULL. MPR_OK, MPR_ENOMEM, MPR_ECANCELLED. A few passes over nodes and edges; 12 bytes a node while it runs, and with hashes about
 * 100 for each duplicate. */
int mpr_waste_find(const mpr_graph *g, const mpr_waste_options *options, mpr_waste *out);
void mpr_waste_free(mpr_waste *waste); /* a zeroed one is allowed */

#endif
