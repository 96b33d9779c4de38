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
 * Besides: each block in use, for objects that the collector does not follow; what the heaps have in memory; and what threads count by
 * themselves.
 *
 * Nothing is written. The world must be stopped (pause.h). */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "cpython/layout.h"

#include <string.h>

#include "base/os/maps.h"

#ifdef Py_GIL_DISABLED

#include <internal/pycore_interp.h>
#include <internal/pycore_tstate.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_dict.h>
#include <internal/pycore_object.h>
#endif

#define MOST_BLOCKS (MI_SMALL_PAGE_SIZE / sizeof(void *)) /* of a page */

typedef struct visit {
    cpy_layout_visit *each; /* objects that are tracked, or else ... */
    mpr_block_each *block;  /* ... blocks, or else ... */
    cpy_heaps_total *total; /* ... what pages have of both */
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

static int visit_block(const visit *v, char *block, size_t size) {
    PyObject *object = (PyObject *)(uintptr_t)(block + v->offset);
    if (v->block != NULL) {
        v->block(v->context, &(mpr_block){(uint64_t)(uintptr_t)block, size, (const uint64_t *)block});
        return 0;
    }
    return cpy_layout_is_tracked(object) ? v->each(v->context, object) : 0;
}

/* So large a block may never have been touched: what of it is in memory is the kernel's to say. It is alone in its page. */
#define LARGE ((size_t)1 << 20)

static uint64_t resident_bytes(uintptr_t begin, size_t size) {
    return mpr_maps_resident_bytes(begin & ~(uintptr_t)4095, (begin + size) & ~(uintptr_t)4095);
}

/* The first slice at or behind one that is a page in use, or the segment's end. */
static const mi_slice_t *first_page(const mi_segment_t *segment, const mi_slice_t *slice) {
    const mi_slice_t *end = segment->slices + segment->slice_entries;
    while (slice < end && slice->slice_count > 0 && slice->xblock_size == 0) {
        slice += slice->slice_count;
    }
    return slice < end && slice->slice_count > 0 ? slice : end;
}

/* Blocks in use: what other threads gave back is not taken off yet. */
static size_t used_blocks(const mi_page_t *page) {
    size_t used = page->used;
    for (const mi_block_t *block = mi_page_thread_free(page); block != NULL && used > 0;
         block = mi_block_nextx(page, block, NULL)) {
        used--;
    }
    return used;
}

/* A segment is counted with its first page: all of it that is in memory. */
static void add_page(cpy_heaps_total *total, const mi_page_t *page) {
    const mi_segment_t *segment = _mi_ptr_segment(page);
    size_t size = page->xblock_size, used = used_blocks(page);
    if (first_page(segment, segment->slices + segment->slices->slice_count) == (const mi_slice_t *)page) {
        total->resident += resident_bytes((uintptr_t)segment, segment->segment_slices * MI_SEGMENT_SLICE_SIZE);
    }
    total->used += size < LARGE ? size * used : used > 0 ? resident_bytes((uintptr_t)blocks_of(page), size) : 0;
}

static int visit_page(const mi_page_t *page, const visit *v) {
    if (v->total != NULL) {
        add_page(v->total, page);
        return 0;
    }
    free_blocks unused;
    char *block = blocks_of(page);
    size_t size = page->xblock_size, count = page->capacity < MOST_BLOCKS ? page->capacity : MOST_BLOCKS;
    int status = 0;
    memset(&unused, 0, sizeof unused);
    note_free(&unused, page, page->free);
    note_free(&unused, page, page->local_free);
    note_free(&unused, page, mi_page_thread_free(page));
    for (size_t i = 0; status == 0 && i < count; i++, block += size) {
        if (!(unused.bits[i / 64] >> i % 64 & 1)) {
            status = visit_block(v, block, size);
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

/* The heaps from `first` to `last` of each thread, and then the pages that were of such heaps: `v` has what is done in each, by its number. */
static int visit_heaps(PyInterpreterState *interpreter, unsigned first, unsigned last, const visit *v) {
    int status = 0;
    for (PyThreadState *thread = PyInterpreterState_ThreadHead(interpreter); status == 0 && thread != NULL;
         thread = PyThreadState_Next(thread)) {
        const struct _mimalloc_thread_state *mimalloc = &((_PyThreadStateImpl *)thread)->mimalloc;
        for (unsigned heap = first; mimalloc->initialized && status == 0 && heap <= last; heap++) {
            status = visit_heap(&mimalloc->heaps[heap], &v[heap]);
        }
    }
    for (unsigned heap = first; status == 0 && heap <= last; heap++) {
        status = visit_abandoned(&interpreter->mimalloc.abandoned_pool, heap, &v[heap]);
    }
    return status;
}

int cpy_layout_each_in_heaps(cpy_layout_visit *each, void *context) {
    PyInterpreterState *interpreter = PyInterpreterState_Get();
    const size_t hooks = bytes_of_hooks(interpreter->sysdict), pre = 2 * sizeof(PyObject *);
    const visit v[_Py_MIMALLOC_HEAP_COUNT] = {
        [_Py_MIMALLOC_HEAP_GC] = {.each = each, .context = context, .offset = hooks},
        [_Py_MIMALLOC_HEAP_GC_PRE] = {.each = each, .context = context, .offset = hooks + pre},
    };
    return visit_heaps(interpreter, _Py_MIMALLOC_HEAP_GC, _Py_MIMALLOC_HEAP_GC_PRE, v);
}

void cpy_layout_each_block_in_heaps(mpr_block_each *each, void *context) {
    const visit blocks = {.block = each, .context = context};
    const visit v[_Py_MIMALLOC_HEAP_COUNT] = {
        [_Py_MIMALLOC_HEAP_OBJECT] = blocks, [_Py_MIMALLOC_HEAP_GC] = blocks, [_Py_MIMALLOC_HEAP_GC_PRE] = blocks};
    visit_heaps(PyInterpreterState_Get(), _Py_MIMALLOC_HEAP_OBJECT, _Py_MIMALLOC_HEAP_GC_PRE, v);
}

void cpy_layout_heaps_total(cpy_heaps_total *out) {
    const visit pages = {.total = out};
    const visit v[_Py_MIMALLOC_HEAP_COUNT] = {[_Py_MIMALLOC_HEAP_MEM] = pages,
                                              [_Py_MIMALLOC_HEAP_OBJECT] = pages,
                                              [_Py_MIMALLOC_HEAP_GC] = pages,
                                              [_Py_MIMALLOC_HEAP_GC_PRE] = pages};
    *out = (cpy_heaps_total){0, 0};
    visit_heaps(PyInterpreterState_Get(), _Py_MIMALLOC_HEAP_MEM, _Py_MIMALLOC_HEAP_GC_PRE, v);
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

void cpy_layout_each_block_in_heaps(mpr_block_each *each, void *context) { (void)each, (void)context; }

void cpy_layout_heaps_total(cpy_heaps_total *out) { *out = (cpy_heaps_total){0, 0}; }

#endif
