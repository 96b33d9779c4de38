/* SPDX-License-Identifier: MIT
 * Work on the heap while no other thread of the interpreter runs Python.
 *
 * With the GIL that is so as long as it is held, and the work is just called. In a free-threaded build all other threads are stopped by PyUnstable_GC_VisitObjects, the one
 * public function that stops them: the work runs inside its first callback, which then ends the visit. Threads are stopped where they may be
 * switched, so that objects are consistent, as they are for the collector.
 *
 * The work must not run Python, make or free an object, or take memory by PyMem_* or PyObject_*: there the allocator's pages are being
 * visited, and the runtime's lock on its list of threads is held. It may take references (Py_INCREF), must not give any back, and may become a
 * child process, if the child never returns from it. One pause must not be begun within another.
 *
 * Used by the layers proofs and above. */
#ifndef CPY_PAUSE_H
#define CPY_PAUSE_H

#include "cpython/compat.h"

typedef int cpy_pause_work(void *context);

/* Call the work once, with all other threads stopped: what it returns. */
int cpy_pause_run(cpy_pause_work *work, void *context);

/* The object that the pause was made with, which is no object of the program; or NULL, mostly. */
const PyObject *cpy_pause_marker(void);

/* Do other threads run between two pauses? If so, what a walk has seen may be gone when its pause is over, unless a reference was taken. */
bool cpy_pause_ends(void);

#endif
