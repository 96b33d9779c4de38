/* SPDX-License-Identifier: MIT
 * Path signatures: what a node is, and by which labels and types the dominator tree leads to it, in 64 bits.
 *
 * Indices, addresses, numbers and the keys of data are masked, so that all sessions in one dict have one signature; names of modules,
 * classes, attributes and variables are not. Made of texts alone: signatures compare across processes and files. */
#ifndef MPR_ALGO_SIGNATURE_H
#define MPR_ALGO_SIGNATURE_H

#include "algo/dominators.h"

typedef struct mpr_signatures {
    mpr_alloc *alloc;
    uint32_t nodes;
    uint64_t *value; /* of each node; 0 for what the root does not reach */
} mpr_signatures;

/* With the ranks of a rank tree, what only runs at the moment names nothing that lasts; ranks may be NULL. One pass over the edges and one down the dominator tree; 8 bytes a node, and one more while it runs. MPR_OK, MPR_ENOMEM,
 * MPR_ECANCELLED. `progress` may be NULL. */
int mpr_signatures_find(const mpr_graph *g, const mpr_dominators *d, const mpr_ranks *ranks, mpr_progress progress, void *context,
                        mpr_signatures *out);
void mpr_signatures_free(mpr_signatures *s); /* a zeroed one is allowed */

/* The part of an edge in a signature: its label, masked. The keys of a dict are words if `names` says that it is a namespace. Never 0. */
uint64_t mpr_signature_label(const mpr_graph *g, uint32_t holder, uint64_t edge, bool names);

#endif
