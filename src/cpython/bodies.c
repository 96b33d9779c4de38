/* SPDX-License-Identifier: MIT
 * See cpython/bodies.h. */
#include "cpython/bodies.h"

#include "base/os/maps.h"
#include "base/os/process.h"
#include "base/status.h"
#include "cpython/kinds.h"
#include "cpython/unseen.h"

/* Builtin types whose instances refer to objects alone, or to nothing. What they own besides is counted in their sizes. */
bool cpy_bodies_may_refer(PyTypeObject *type) {
    const PyTypeObject *const closed[] = {&PyBaseObject_Type, &PyLong_Type,      &PyUnicode_Type, &PyBytes_Type,
                                          &PyByteArray_Type,  &PyList_Type,      &PyTuple_Type,   &PyDict_Type,
                                          &PySet_Type,        &PyFrozenSet_Type, &PyFloat_Type,   &PyBool_Type,
                                          &PyFunction_Type,   &PyMethod_Type,    &PyCell_Type,    &PyComplex_Type};
    while (type->tp_base != NULL && cpy_is_python_class(type)) {
        type = type->tp_base;
    }
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
        if (closed[i] == type) {
            return false;
        }
    }
    return true;
}

void cpy_bodies_end(cpy_walk *walk) {
    if (walk->marking != NULL) {
        mpr_marking_free(walk->marking);
        walk->marking = NULL;
    }
}

int cpy_bodies_begin(cpy_walk *walk, mpr_marking *marking, const mpr_account_more *more) {
    int64_t start = mpr_process_monotonic_ns();
    walk->marking = marking;
    size_t hooks;
    int status = mpr_marking_begin(marking, walk->alloc, more);
    cpy_unseen_hooks(&marking->before, &hooks);
    marking->nanoseconds = mpr_process_monotonic_ns() - start;
    if (status == MPR_EUNSUPPORTED || status == MPR_ELIMIT) { /* nothing was emitted yet: the answer is that they are not known */
        cpy_bodies_end(walk);
        return MPR_OK;
    }
    return status;
}

typedef struct excluding {
    cpy_blocks blocks; /* first */
    mpr_marking *marking;
} excluding;

static void exclude(cpy_blocks *self, const void *address, size_t bytes, size_t leaf) {
    (void)bytes, (void)leaf;
    mpr_marking_exclude(((excluding *)self)->marking, (uint64_t)(uintptr_t)address);
}

static void exclude_owned(cpy_walk *walk) {
    excluding e = {.blocks = {.add = exclude}, .marking = walk->marking};
    cpy_blocks_of(walk, walk->object, walk->type, &e.blocks);
}

/* A program may have the address of a block as an int, as functions of ctypes and cffi return it. 0: it is too small or too large for one. */
static uint64_t address_in(PyObject *integer) {
    size_t digits = cpy_int_digits(integer);
    bool negative;
    const digit *value = cpy_int_value(integer, &negative);
    uint64_t address = 0;
    for (size_t i = digits; i > 0 && digits <= 3; i--) {
        address = address << PyLong_SHIFT | value[i - 1];
    }
    return negative ? 0 : address;
}

static void search_int(cpy_walk *walk) {
    uint64_t address = address_in(walk->object), block = mpr_marking_find(walk->marking, address);
    if (block != 0 && mpr_marking_owns(block, address)) {
        mpr_marking_mark(walk->marking, address);
        cpy_walk_emit_edge(walk, block, mpr_marking_label(block, address, sizeof(PyObject)));
    }
}

/* No tp_traverse and no formula tells to which objects an object refers: its words may. */
static bool is_opaque(const cpy_type *type) { return !type->is_gc && !type->complete; }

static void search_word(cpy_walk *walk, uintptr_t word, size_t offset) {
    bool object = mpr_workset_has(&walk->work, word);
    uint64_t block = object ? word : mpr_marking_mark(walk->marking, word);
    if (block != 0 && (!object || is_opaque(walk->type))) {
        cpy_walk_emit_edge(walk, block, mpr_marking_label(block, word, offset));
    }
}

static void search_words(cpy_walk *walk, size_t bytes) {
    const uintptr_t *words = (const uintptr_t *)walk->object;
    for (size_t i = 2; i < bytes / sizeof *words; i++) {
        search_word(walk, words[i], i * sizeof *words);
    }
}

void cpy_bodies_search(cpy_walk *walk) {
    exclude_owned(walk);
    if (walk->type->type == &PyLong_Type) {
        search_int(walk);
    }
    if (walk->type->may_refer) {
        search_words(walk, cpy_body_bytes(walk->object, walk->type));
    } else if (cpy_layout_is_dict(
                   walk->object)) { /* shared keys may outlive the class that they were of: then only dicts have them */
        search_word(walk, (uintptr_t)cpy_layout_shared_keys_of(walk->object), offsetof(PyDictObject, ma_keys));
    }
}

void cpy_bodies_search_unseen(cpy_walk *walk, size_t bytes, bool formula) {
    if (formula) {
        exclude_owned(walk);
    } else {
        search_words(walk, bytes);
    }
}

static int emit_facts(mpr_sink *sink, const mpr_marking *m) {
    const struct {
        const char *key;
        uint64_t number;
    } facts[] = {{"native_blocks", m->totals.blocks},
                 {"native_bytes", m->totals.bytes},
                 {"native_lost", m->totals.lost},
                 {"native_lost_bytes", m->totals.lost_bytes},
                 {"native_estimated_bytes", m->totals.estimated_bytes},
                 {"native_cached_bytes", m->in_use.cached_bytes},
                 {"native_ns", (uint64_t)m->nanoseconds}};
    int status = MPR_OK;
    for (size_t i = 0; status == MPR_OK && i < sizeof facts / sizeof *facts; i++) {
        status = mpr_sink_number(sink, facts[i].key, (int64_t)facts[i].number);
    }
    const mpr_seen_info images = {.key = "native_images", .text = (const char *)m->images.data, .length = m->images.size};
    return status == MPR_OK && m->images.size > 0 ? sink->info(sink, &images) : status;
}

/* Lists of ours that have addresses of pages in them: each lies within some block. */
static int exclude_lists(mpr_roots *roots, const mpr_sharing *sharing) {
    const mpr_sharing_runs *const lists[] = {&sharing->own, &sharing->made, &sharing->kept, &sharing->written};
    int status = MPR_OK;
    for (size_t i = 0; status == MPR_OK && i < sizeof lists / sizeof *lists; i++) {
        uint64_t begin = (uint64_t)(uintptr_t)lists[i]->items;
        status = mpr_roots_add_hole(roots, begin, begin + lists[i]->count * sizeof *lists[i]->items);
    }
    return status;
}

int cpy_bodies_finish(cpy_walk *walk, const mpr_sharing *sharing, const void *stack) {
    int64_t start = mpr_process_monotonic_ns();
    uint64_t here = (uint64_t)(uintptr_t)&start, end = (uint64_t)(uintptr_t)stack;
    walk->synthetic = walk->temporaries > walk->synthetic ? walk->temporaries : walk->synthetic; /* the last ones given */
    const mpr_marking_walk to = {.sink = walk->sink,
                                 .types = &walk->type_count,
                                 .synthetic = &walk->synthetic,
                                 .objects = &walk->work.seen,
                                 .stack = {here - MPR_MARKING_STACK, end}};
    int status = sharing != NULL ? exclude_lists(&walk->marking->roots, sharing) : MPR_OK;
    status = status == MPR_OK ? mpr_marking_finish(walk->marking, &to) : status;
    walk->marking->nanoseconds += mpr_process_monotonic_ns() - start;
    return status == MPR_OK ? emit_facts(walk->sink, walk->marking) : status;
}
