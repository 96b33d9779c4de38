/* SPDX-License-Identifier: MIT
 * What the self-check (selfcheck.h) proved about this interpreter. A file that reads a private layout asks here first.
 *
 * Used by the layers proofs and above. */
#ifndef CPY_PROOFS_H
#define CPY_PROOFS_H

#include "cpython/layout.h"

#define CPY_LIBRARY_MAX 64 /* rows of all libraries together */

typedef struct cpy_proofs {
    bool can[CPY_CAPABILITY_COUNT];
    signed char library[CPY_LIBRARY_MAX]; /* of each row (library.h): 0 not tried, 1 proved, -1 not as remembered */
    destructor instance_dealloc,
        record_dealloc; /* of every class of Python, of every struct sequence: they free references alone */
} cpy_proofs;

#endif
