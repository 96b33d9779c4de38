/* SPDX-License-Identifier: MIT
 * Which native blocks objects refer to (native/marking.h): the words of an object's body that are no references to objects are
 * looked at, of each class whose instances may have others. The blocks that are counted in an object's size are excluded: they
 * are no nodes. Only where the process stands still.
 *
 * Used by the layers edges and above. */
#ifndef CPY_BODIES_H
#define CPY_BODIES_H

#include "cpython/types.h"
#include "native/marking.h"
#include "native/sharing.h"

typedef struct cpy_bodies {
    cpy_emit *emit;
    const cpy_types *types;
    mpr_marking marking;
} cpy_bodies;

/* Before the walk, if this process may look at its own memory through the kernel: else MPR_EUNSUPPORTED, or MPR_ELIMIT where it is too much.
 * MPR_OK or a negative status; end it in any case. */
int cpy_bodies_begin(cpy_bodies *bodies, cpy_emit *emit, const cpy_types *types, const mpr_account_more *more);

/* An object whose references have all been emitted: its blocks are excluded, and edges to others emitted. */
void cpy_bodies_search(cpy_bodies *bodies, PyObject *object, const cpy_type *type);

/* The same of an object that only C code holds (cpython/unseen.h), of so many bytes: only of those whose size is known by a formula
 * are blocks excluded, a formula of others would follow pointers that nobody vouches for. To look at words follows none. */
void cpy_bodies_search_unseen(cpy_bodies *bodies, PyObject *object, const cpy_type *type, size_t bytes, bool formula);

/* When all objects have been emitted: the blocks, and facts of them (docs/FORMAT.md). `synthetic`: address of the next synthetic node;
 * `type_count`: how many types were emitted; `stack`: the stack of this thread ends here, as far as it is the walk's; `sharing` may be
 * NULL. MPR_OK or a negative status. */
int cpy_bodies_finish(cpy_bodies *bodies, uint64_t *synthetic, uint32_t *type_count, const mpr_sharing *sharing, const void *stack);

void cpy_bodies_end(cpy_bodies *bodies);

#endif
