/* SPDX-License-Identifier: MIT
 * Where objects were made: while tracemalloc traces, a sample of the living objects and the lines that allocated them.
 *
 * tracemalloc has a lock, and answers with new objects. So it is asked by the process itself, with the GIL and before the fork, within a
 * budget of time that is part of the pause; never in a forked child.
 *
 * Used by src/binding. */
#ifndef CPY_ORIGINS_H
#define CPY_ORIGINS_H

#include "base/bytes.h"
#include "base/vec.h"
#include "cpython/proofs.h"
#include "graph/sink.h"

#define CPY_ORIGINS_FRAMES 8u /* of a traceback, that are kept: the innermost */

typedef struct cpy_origin {
    uint64_t address; /* of the object */
    uint32_t trace;   /* its traceback: index into traces */
} cpy_origin;

/* The lines of a traceback: frames[first] .. frames[first + count - 1], the innermost first. */
typedef struct cpy_trace {
    uint32_t first, count;
} cpy_trace;

typedef struct cpy_origins {
    mpr_alloc alloc;
    bool traces_allocations; /* was tracemalloc tracing, and asked? */
    uint64_t asked;          /* objects; of some of them it knew nothing */
    int64_t ns;              /* what all of it took */
    MPR_VEC(cpy_origin) objects; /* those that it knew */
    MPR_VEC(cpy_trace) traces;
    MPR_VEC(uint32_t) frames; /* numbers of lines, 0, 1, 2 ... */
    mpr_buffer lines;         /* "file:line", each followed by a newline */
    uint32_t line_count;
} cpy_origins;

/* Choose objects and ask tracemalloc for them, for at most `budget_ns` (0: not at all). Nothing is found while it does not trace, while a
 * collection runs, without the collector's lists, and outside of the main interpreter. With the GIL, in no forked child. Leaves nothing
 * behind in the interpreter, runs no code of the program, and sets no exception; without memory nothing is found. The caller frees
 * *out in any case. */
void cpy_origins_take(cpy_origins *out, const cpy_proofs *proofs, int64_t budget_ns);

/* The facts origins_... of docs/FORMAT.md, if tracemalloc was asked; sorts what was found. May be called in a child. A status. */
int cpy_origins_emit(cpy_origins *origins, mpr_alloc *alloc, mpr_sink *sink);

void cpy_origins_free(cpy_origins *origins); /* a zeroed one is allowed */

#endif
