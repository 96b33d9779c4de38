/* SPDX-License-Identifier: MIT
 * The proof, at import, that this interpreter is laid out as it was compiled for: wheels built for X.Y.0 run on X.Y.9.
 *
 * Used by src/binding. */
#ifndef CPY_SELFCHECK_H
#define CPY_SELFCHECK_H

#include "cpython/proofs.h"

/* Fill *out. Runs the interpreter, on objects of its own. Reads MEMPROBE_FALLBACK. 0, or -1 with an exception (no memory). */
int cpy_selfcheck(cpy_proofs *out);

const char *cpy_capability_name(cpy_capability capability);

#endif
