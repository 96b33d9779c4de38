/* SPDX-License-Identifier: MIT
 * Which native blocks objects refer to (native/marking.h): the words of an object's body that are no references to objects are
 * looked at, of each class whose instances may have others. The blocks that are counted in an object's size are excluded: they
 * are no nodes. Only where the process stands still. */
#ifndef CPY_BODIES_H
#define CPY_BODIES_H

#include "cpython/walk.h"
#include "native/marking.h"
#include "native/sharing.h"

/* Before the walk: walk->marking is *marking from now on, if this process may look at its own memory through the kernel. MPR_OK
 * or MPR_ENOMEM; end it in any case. */
int cpy_bodies_begin(cpy_walk *walk, mpr_marking *marking, const mpr_account_more *more);

/* The object in hand, whose references have all been emitted: its blocks are excluded, and edges to others emitted. */
void cpy_bodies_search(cpy_walk *walk);

/* The same of an object that only C code holds (cpython/unseen.h), of so many bytes: only of those whose size is known by a formula
 * are blocks excluded, a formula of others would follow pointers that nobody vouches for. To look at words follows none. */
void cpy_bodies_search_unseen(cpy_walk *walk, size_t bytes, bool formula);

/* When all objects have been emitted: the blocks, and facts of them (docs/FORMAT.md). `stack`: the stack of this thread ends
 * here, as far as it is the walk's; `sharing` may be NULL. MPR_OK or a negative status. */
int cpy_bodies_finish(cpy_walk *walk, const mpr_sharing *sharing, const void *stack);

void cpy_bodies_end(cpy_walk *walk);

/* May instances of a class refer to native blocks beyond those that are counted in their size? */
bool cpy_bodies_may_refer(PyTypeObject *type);

#endif
