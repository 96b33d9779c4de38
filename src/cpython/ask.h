/* SPDX-License-Identifier: MIT
 * Questions that need no graph: one walk, one answer. */
#ifndef CPY_ASK_H
#define CPY_ASK_H

#include "cpython/walk.h"
#include "graph/tally.h"

/* Count every object of the heap, and add up their bytes if `sizes` says so. The caller frees the tally in any case. */
int cpy_ask_count(mpr_tally *tally, mpr_alloc *alloc, const cpy_proofs *proofs, bool sizes);

/* Count what is reachable from `count` objects over strong edges, without entering the `skipped` ones; with housekeeping only if asked. */
int cpy_ask_deep(mpr_tally *tally, mpr_alloc *alloc, const cpy_proofs *proofs, PyObject *const *objects, size_t count,
                 PyObject *const *skip, size_t skipped, bool housekeeping);

/* One reference to a wanted object: the holder's address (MPR_SYNTHETIC and above: a root, whose text is in `label`), and its words. */
typedef struct cpy_found {
    uint64_t holder;
    char label[120];
} cpy_found;

typedef struct cpy_findings {
    MPR_VEC(cpy_found) found;
    uint64_t strong; /* strong references found, instances' references to their class included */
} cpy_findings;

/* Every reference to one of `count` objects, in the heap and from the roots. The caller frees findings->found with alloc. */
int cpy_ask_referrers(cpy_findings *findings, mpr_alloc *alloc, const cpy_proofs *proofs, PyObject *const *objects, size_t count);

#endif
