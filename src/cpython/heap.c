/* SPDX-License-Identifier: MIT
 * See cpython/heap.h. */
#include "cpython/heap.h"

#include "base/status.h"
#include "cpython/pause.h"

/* ---- by public functions ---- */

int cpy_heap_begin(cpy_heap *heap, const cpy_proofs *proofs) {
    *heap = (cpy_heap){.has_lists = proofs->can[CPY_CAN_GC_LISTS]};
    if (heap->has_lists) {
        return MPR_OK;
    }
    PyObject *gc = PyImport_ImportModule("gc");
    heap->listed = gc == NULL ? NULL : PyObject_CallMethod(gc, "get_objects", NULL);
    Py_XDECREF(gc);
    if (heap->listed == NULL || !PyList_CheckExact(heap->listed)) {
        PyErr_Clear();
        Py_CLEAR(heap->listed);
        return MPR_ENOMEM;
    }
    return MPR_OK;
}

void cpy_heap_end(cpy_heap *heap) { Py_CLEAR(heap->listed); }

static int visit_listed(const cpy_heap *heap, cpy_heap_visit visit, void *context) {
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(heap->listed); i++) {
        result = visit(context, PyList_GET_ITEM(heap->listed, i), CPY_HEAP_PERMANENT - 1, false);
    }
    return result;
}

/* ---- by the collector's lists ---- */

/* A place on the lists, which moves from one end of the order of age towards the other. */
typedef struct end {
    cpy_gc_head *heads[CPY_GENERATIONS];
    int generation;
    bool is_young;
    cpy_gc_head *at; /* NULL: there is nothing more */
} end;

static cpy_gc_head *neighbour(const end *e, const cpy_gc_head *head) {
    return e->is_young ? cpy_gc_previous(head) : cpy_gc_next(head);
}

static void advance(end *e) {
    e->at = neighbour(e, e->at);
    while (e->at == e->heads[e->generation]) {
        e->generation += e->is_young ? 1 : -1;
        if (e->generation < 0 || e->generation == CPY_GENERATIONS) {
            e->at = NULL;
            return;
        }
        e->at = neighbour(e, e->heads[e->generation]);
    }
    __builtin_prefetch(e->at);
}

static end begin(bool is_young) {
    end e = {.is_young = is_young, .generation = is_young ? 0 : CPY_GENERATIONS - 1};
    cpy_layout_gc_heads(e.heads);
    e.at = e.heads[e.generation];
    advance(&e);
    return e;
}

static int visit_at(const end *e, cpy_heap_visit visit, void *context) {
    return visit(context, cpy_gc_object(e->at), e->generation, e->is_young);
}

static int visit_from_old(cpy_heap_visit visit, void *context) {
    int result = 0;
    for (end old = begin(false); result == 0 && old.at != NULL; advance(&old)) {
        result = visit_at(&old, visit, context);
    }
    return result;
}

/* They end where they meet: at one object, or when one has come to the object that the other visited last. */
static int visit_from_both(cpy_heap_visit visit, void *context) {
    end old = begin(false), young = begin(true);
    while (old.at != NULL) {
        int result = visit_at(&old, visit, context);
        if (result != 0 || old.at == young.at) {
            return result;
        }
        result = visit_at(&young, visit, context);
        advance(&old);
        if (result != 0 || old.at == young.at) {
            return result;
        }
        advance(&young);
    }
    return 0;
}

/* ---- in the allocator's heaps ---- */

typedef struct visit_of_heaps {
    cpy_heap_visit visit;
    void *context;
} visit_of_heaps;

/* There are no generations: an object's own bits say whether it is frozen. gc.get_objects() has first what is met last. */
static int visit_in_heaps(void *context, PyObject *object) {
    const visit_of_heaps *v = context;
    return object == cpy_pause_marker() ? 0 : v->visit(v->context, object, CPY_HEAP_PERMANENT - 1, true);
}

/* ---- by any of them ---- */

int cpy_heap_each(const cpy_heap *heap, cpy_heap_visit visit, void *context) {
    if (!heap->has_lists) {
        return visit_listed(heap, visit, context);
    }
    if (CPY_GC_HEAPS) {
        return cpy_layout_each_in_heaps(visit_in_heaps, &(visit_of_heaps){visit, context});
    }
    return cpy_layout_collecting() ? visit_from_old(visit, context) : visit_from_both(visit, context);
}

static int measure(void *out) {
    cpy_layout_heaps_total(out);
    return MPR_OK;
}

bool cpy_heap_measure(const cpy_proofs *proofs, cpy_heaps_total *out) {
    return CPY_GC_HEAPS && proofs->can[CPY_CAN_GC_LISTS] && cpy_pause_run(measure, out) == MPR_OK;
}

/* ---- proof ---- */

#ifdef Py_GIL_DISABLED

/* The order in which the interpreter visits its heaps must be ours: the first objects are compared, one by one. It leaves frozen ones out. */
typedef struct proof {
    PyObject *seen[20000];
    size_t count, compared;
    bool right;
} proof;

#define MOST (sizeof(((proof *)NULL)->seen) / sizeof(PyObject *))

static int note_tracked(void *context, PyObject *object) {
    proof *p = context;
    if (!cpy_layout_is_frozen(object)) {
        p->seen[p->count++] = object;
    }
    return p->count == MOST;
}

/* The first call, when the world has stopped, reads the heaps. */
static int compare(PyObject *object, void *context) {
    proof *p = context;
    if (p->compared == 0) {
        cpy_layout_each_in_heaps(note_tracked, p);
    }
    p->right = p->compared < p->count && p->seen[p->compared] == object;
    p->compared++;
    return p->right && p->compared < MOST;
}

/* Before it visits a heap the interpreter gives back blocks that other threads have freed, and so pages change their queues: what was read before has
 * another order. When it is asked again nothing is left to give back. */
#define ATTEMPTS 16

bool cpy_heap_prove(const PyObject *wanted) {
    proof *p = PyMem_Calloc(1, sizeof *p);
    bool right = false;
    (void)wanted;
    for (int i = 0; p != NULL && !right && i < ATTEMPTS; i++) {
        p->count = p->compared = 0;
        PyUnstable_GC_VisitObjects(compare, p);
        right = p->right && p->compared == p->count;
    }
    PyMem_Free(p);
    return right;
}

#else

static bool is_link(const cpy_gc_head *head) { return head != NULL && (uintptr_t)head % sizeof(void *) == 0; }

static bool list_is_sane(cpy_gc_head *head, const PyObject *wanted, bool *found) {
    const size_t most = (size_t)1 << 40;
    size_t count = 0;
    for (cpy_gc_head *at = cpy_gc_next(head); at != head; at = cpy_gc_next(at)) {
        if (!is_link(at) || ++count > most) {
            return false;
        }
        *found |= cpy_gc_object(at) == wanted;
    }
    return true;
}

bool cpy_heap_prove(const PyObject *wanted) {
    cpy_gc_head *heads[CPY_GENERATIONS];
    bool found = false;
    int count = cpy_layout_gc_heads(heads);
    for (int i = 0; i < count; i++) {
        cpy_gc_head *next = cpy_gc_next(heads[i]);
        if (!is_link(next) || cpy_gc_previous(next) != heads[i] || !list_is_sane(heads[i], wanted, &found)) {
            return false;
        }
    }
    return found;
}

#endif
