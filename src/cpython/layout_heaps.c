/* SPDX-License-Identifier: MIT
 * The objects that the collector of a free-threaded build follows: in the heaps of its allocator.
 *
 * Such a build has no lists. The collector's objects are in mimalloc heaps of their own, two a thread: one for objects with a
 * pre-header, which begin two words behind their block's beginning, and one for the others. Its interpreter visits these heaps to collect,
 * and does not export the function that does; the structures are in its headers. So they are read here in the same order:
 *
 *   thread ──▶ heap ──▶ queue of pages for each size ──▶ page: blocks of one size, some of them on its lists of free blocks
 *   pool of what threads left that have ended ──▶ segment ──▶ its pages, each with the number of the heap that it was of
 *
 * Nothing is written. The world must be stopped (pause.h). */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "cpython/layout.h"

#include <string.h>

#ifdef Py_GIL_DISABLED

#include <internal/pycore_interp.h>
#include <internal/pycore_tstate.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_dict.h>
#include <internal/pycore_object.h>
#endif

#define MOST_BLOCKS (MI_SMALL_PAGE_SIZE / sizeof(void *)) /* of a page */

typedef struct visit {
    cpy_layout_visit *each;
    void *context;
    size_t offset; /* of an object in its block */
} visit;

/* ---- pages ---- */

/* Where its blocks begin: small ones some blocks behind the page's beginning, so that not all pages begin alike for the cache. */
static char *blocks_of(const mi_page_t *page) {
    mi_segment_t *segment = _mi_ptr_segment(page);
    size_t size = page->xblock_size, offset = size < sizeof(void *) || size > 512 ? 0 : size <= 64 ? 3 * size : size;
    return (char *)segment + (size_t)((const mi_slice_t *)page - segment->slices) * MI_SEGMENT_SLICE_SIZE + offset;
}

typedef struct free_blocks {
    uint64_t bits[MOST_BLOCKS / 64];
} free_blocks;

static void note_free(free_blocks *out, const mi_page_t *page, const mi_block_t *block) {
    const char *first = blocks_of(page);
    for (; block != NULL; block = mi_block_nextx(page, block, NULL)) {
        size_t i = (size_t)((const char *)block - first) / page->xblock_size;
        if (i >= MOST_BLOCKS) {
            return;
        }
        out->bits[i / 64] |= UINT64_C(1) << i % 64;
    }
}

static int visit_page(const mi_page_t *page, const visit *v) {
    free_blocks unused;
    const char *block = blocks_of(page);
    size_t size = page->xblock_size, count = page->capacity < MOST_BLOCKS ? page->capacity : MOST_BLOCKS;
    int status = 0;
    memset(&unused, 0, sizeof unused);
    note_free(&unused, page, page->free);
    note_free(&unused, page, page->local_free);
    note_free(&unused, page, mi_page_thread_free(page));
    for (size_t i = 0; status == 0 && i < count; i++, block += size) {
        PyObject *object = (PyObject *)(uintptr_t)(block + v->offset);
        if (!(unused.bits[i / 64] >> i % 64 & 1) && cpy_layout_is_tracked(object)) {
            status = v->each(v->context, object);
        }
    }
    return status;
}

/* ---- heaps ---- */

static int visit_heap(const mi_heap_t *heap, const visit *v) {
    int status = 0;
    for (size_t queue = 0; queue <= MI_BIN_FULL; queue++) {
        for (const mi_page_t *page = heap->pages[queue].first; status == 0 && page != NULL; page = page->next) {
            status = visit_page(page, v);
        }
    }
    return status;
}

/* The pages of a segment that were of the heap with this number. */
static int visit_segment(const mi_segment_t *segment, unsigned heap, const visit *v) {
    const mi_slice_t *end = segment->slices + segment->slice_entries;
    int status = 0;
    const mi_slice_t *slice = segment->slices + segment->slices->slice_count; /* the first is the segment's own */
    for (; status == 0 && slice < end && slice->slice_count > 0; slice += slice->slice_count) {
        if (slice->xblock_size > 0 && slice->tag == heap) {
            status = visit_page(slice, v);
        }
    }
    return status;
}

static int visit_segments(const mi_segment_t *segment, unsigned heap, const visit *v) {
    int status = 0;
    for (; status == 0 && segment != NULL; segment = segment->abandoned_next) {
        status = visit_segment(segment, heap, v);
    }
    return status;
}

static int visit_abandoned(const mi_abandoned_pool_t *pool, unsigned heap, const visit *v) {
    const mi_segment_t *first = (const mi_segment_t *)(pool->abandoned & ~(uintptr_t)MI_SEGMENT_MASK);
    int status = visit_segments(first, heap, v);
    return status == 0 ? visit_segments(pool->abandoned_visited, heap, v) : status;
}

/* ---- all of them ---- */

/* An object without a pre-header lies at the beginning of its block, or behind two words of the debug hooks. */
static size_t bytes_of_hooks(const PyObject *object) {
    const mi_segment_t *segment = _mi_ptr_segment(object);
    const mi_slice_t *slice = &segment->slices[((uintptr_t)object - (uintptr_t)segment) / MI_SEGMENT_SLICE_SIZE];
    const mi_page_t *page = (const mi_page_t *)((const char *)slice - slice->slice_offset);
    return ((uintptr_t)object - (uintptr_t)blocks_of(page)) % page->xblock_size;
}

int cpy_layout_each_in_heaps(cpy_layout_visit *each, void *context) {
    PyInterpreterState *interpreter = PyInterpreterState_Get();
    const size_t hooks = bytes_of_hooks(interpreter->sysdict), pre = 2 * sizeof(PyObject *);
    visit plain = {each, context, hooks}, with_pre = {each, context, hooks + pre};
    int status = 0;
    for (PyThreadState *thread = PyInterpreterState_ThreadHead(interpreter); status == 0 && thread != NULL;
         thread = PyThreadState_Next(thread)) {
        const struct _mimalloc_thread_state *mimalloc = &((_PyThreadStateImpl *)thread)->mimalloc;
        if (mimalloc->initialized) {
            status = visit_heap(&mimalloc->heaps[_Py_MIMALLOC_HEAP_GC], &plain);
            status = status == 0 ? visit_heap(&mimalloc->heaps[_Py_MIMALLOC_HEAP_GC_PRE], &with_pre) : status;
        }
    }
    const mi_abandoned_pool_t *pool = &interpreter->mimalloc.abandoned_pool;
    status = status == 0 ? visit_abandoned(pool, _Py_MIMALLOC_HEAP_GC, &plain) : status;
    return status == 0 ? visit_abandoned(pool, _Py_MIMALLOC_HEAP_GC_PRE, &with_pre) : status;
}

/* ---- counts ---- */

#if PY_VERSION_HEX < 0x030E0000

int64_t cpy_deferred_count(PyObject *object) {
    (void)object;
    return 1;
}

#else

/* The number of an object in each thread's own counts; 0: it is in none. */
static Py_ssize_t number_of(PyObject *object) {
    if (PyType_Check(object)) {
        PyTypeObject *type = (PyTypeObject *)object;
        return type->tp_flags & Py_TPFLAGS_HEAPTYPE ? ((PyHeapTypeObject *)type)->unique_id : 0;
    }
    if (PyCode_Check(object)) {
        return ((PyCodeObject *)object)->_co_unique_id;
    }
    return PyDict_Check(object) ? _PyDict_UniqueId((PyDictObject *)object) : 0;
}

int64_t cpy_deferred_count(PyObject *object) {
    int64_t beyond = _Py_REF_DEFERRED;
    Py_ssize_t number = number_of(object);
    PyThreadState *thread = number > 0 ? PyInterpreterState_ThreadHead(PyInterpreterState_Get()) : NULL;
    for (; thread != NULL; thread = PyThreadState_Next(thread)) {
        const _PyThreadStateImpl *counts = (const _PyThreadStateImpl *)thread;
        beyond -= number <= counts->refcounts.size ? counts->refcounts.values[number - 1] : 0;
    }
    return beyond;
}

#endif

#else

int cpy_layout_each_in_heaps(cpy_layout_visit *each, void *context) {
    (void)each, (void)context;
    return 0;
}

#endif
