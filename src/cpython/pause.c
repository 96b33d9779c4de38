/* SPDX-License-Identifier: MIT
 * See cpython/pause.h. */
#include "cpython/pause.h"

#include "base/status.h"

#ifdef Py_GIL_DISABLED

typedef struct stop {
    cpy_pause_work *work;
    void *context;
    int status;
    bool done;
} stop;

static int visit(PyObject *object, void *context) {
    stop *p = context;
    (void)object;
    if (!p->done) {
        p->done = true;
        p->status = p->work(p->context);
    }
    return 0; /* no more objects */
}

/* There is always an object that is tracked: this module is one. */
int cpy_pause_run(cpy_pause_work *work, void *context) {
    stop p = {.work = work, .context = context, .status = MPR_EUNSUPPORTED};
    PyUnstable_GC_VisitObjects(visit, &p);
    return p.status;
}

bool cpy_pause_ends(void) { return true; }

#else

int cpy_pause_run(cpy_pause_work *work, void *context) { return work(context); }

bool cpy_pause_ends(void) { return false; }

#endif
