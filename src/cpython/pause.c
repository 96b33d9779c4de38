/* SPDX-License-Identifier: MIT
 * See cpython/pause.h. */
#include "cpython/pause.h"

#include "base/status.h"

#ifdef Py_GIL_DISABLED

typedef struct stop {
    cpy_pause_work *work;
    void *context;
    PyObject *marker; /* or NULL */
    int status;
    bool done;
} stop;

static PyObject *marker; /* of this pause: there is one at a time, for the world is stopped */

static int visit(PyObject *object, void *context) {
    stop *p = context;
    (void)object;
    if (!p->done) {
        p->done = true;
        marker = p->marker;
        p->status = p->work(p->context);
        marker = NULL;
    }
    return 0; /* no more objects */
}

/* Frozen objects are not visited: when all are (gc.freeze), one more is made, which no walk may meet. */
int cpy_pause_run(cpy_pause_work *work, void *context) {
    stop p = {.work = work, .context = context, .status = MPR_EUNSUPPORTED};
    PyUnstable_GC_VisitObjects(visit, &p);
    PyObject *more = p.done ? NULL : PyList_New(0);
    if (more != NULL) {
        p.marker = more;
        PyUnstable_GC_VisitObjects(visit, &p);
        Py_DECREF(more);
    }
    return p.status;
}

const PyObject *cpy_pause_marker(void) { return marker; }

bool cpy_pause_ends(void) { return true; }

#else

int cpy_pause_run(cpy_pause_work *work, void *context) { return work(context); }

const PyObject *cpy_pause_marker(void) { return NULL; }

bool cpy_pause_ends(void) { return false; }

#endif
