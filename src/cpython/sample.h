/* SPDX-License-Identifier: MIT
 * A sample of the living objects, such that a leak is among them whatever it is made of.
 *
 * Used by src/binding. */
#ifndef CPY_SAMPLE_H
#define CPY_SAMPLE_H

#include "cpython/tracked.h"

/* Choose objects, for at most `budget_ns` from `start` on (a monotonic time). They are borrowed. Allocates nothing of Python's where the
 * collector's lists are known, and changes nothing. MPR_OK or MPR_ENOMEM; the caller frees `out` in any case. */
int cpy_sample_choose(cpy_objects *out, mpr_alloc *alloc, const cpy_proofs *proofs, int64_t start, int64_t budget_ns);

#endif
