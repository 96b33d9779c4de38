/* SPDX-License-Identifier: MIT
 * Questions that need no graph: one walk, one answer.
 *
 * Used by src/binding. */
#ifndef CPY_ASK_H
#define CPY_ASK_H

#include "cpython/walk.h"
#include "graph/resolve.h"
#include "graph/tally.h"

/* Count every object of the heap, and add up their bytes if `sizes` says so. The caller frees the tally in any case. */
int cpy_ask_count(mpr_tally *tally, mpr_alloc *alloc, cpy_proofs *proofs, bool sizes);

/* Count what is reachable from `count` objects over strong edges, without entering the `skipped` ones; with housekeeping only if asked. */
int cpy_ask_deep(mpr_tally *tally, mpr_alloc *alloc, cpy_proofs *proofs, PyObject *const *objects, size_t count,
                 PyObject *const *skip, size_t skipped, bool housekeeping);

/* A private block of an object. */
typedef struct cpy_owned_block {
    const void *address;
    size_t bytes;
} cpy_owned_block;

typedef MPR_VEC(cpy_owned_block) cpy_owned_blocks;

/* List the private blocks of one object (cpy_blocks_of). The caller frees the list in any case. MPR_OK or a negative status. */
int cpy_ask_blocks(cpy_owned_blocks *out, mpr_alloc *alloc, cpy_proofs *proofs, PyObject *object);

/* One reference to a wanted object. Its texts lie in findings->texts. */
typedef struct cpy_found {
    uint64_t holder;     /* MPR_SYNTHETIC and above: a root, thread or frame */
    mpr_resolved label;
    bool has_name,
        has_type; /* the label's: they begin at `name` and `type` in the texts, for the classes may be gone when these are read */
    size_t name, type;
    size_t root, root_length; /* what a holder that is no object is called */
    bool callers; /* a variable of the frame that asked */
} cpy_found;

typedef struct cpy_findings {
    MPR_VEC(cpy_found) found; /* those that are the program's, an instance's reference to its class included */
    MPR_VEC(char) texts;
    uint64_t own; /* references that memprobe has, and the call that asked */
} cpy_findings;

/* They have a reference to each holder that is an object, which was taken in the pause of the walk: it may be gone after it. */
void cpy_findings_free(cpy_findings *findings, mpr_alloc *alloc);

/* What is asked for: references to any of these objects. */
typedef struct cpy_question {
    PyObject *const *objects;
    size_t count;
    PyObject *
        argument; /* what the function of this module was called with: the object, or a tuple of the objects, which is memprobe's own */
} cpy_question;

/* Every reference to one of the objects, in the heap and from the roots. The caller frees the findings with alloc in any case. */
int cpy_ask_referrers(cpy_findings *findings, mpr_alloc *alloc, cpy_proofs *proofs, const cpy_question *question);

#endif
