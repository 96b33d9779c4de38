/* SPDX-License-Identifier: MIT
 * See cpython/bodies.h. */
#include "cpython/bodies.h"

#include "base/os/maps.h"
#include "base/os/process.h"
#include "base/status.h"
#include "cpython/hooks.h"

void cpy_bodies_end(cpy_bodies *bodies) { mpr_marking_free(&bodies->marking); }

int cpy_bodies_begin(cpy_bodies *bodies, cpy_emit *emit, const cpy_types *types, const mpr_account_more *more) {
    int64_t start = mpr_process_monotonic_ns();
    size_t hooks;
    *bodies = (cpy_bodies){.emit = emit, .types = types};
    int status = mpr_marking_begin(&bodies->marking, emit->alloc, more);
    cpy_hooks_find(&bodies->marking.before, &hooks);
    bodies->marking.nanoseconds = mpr_process_monotonic_ns() - start;
    return status;
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

static void search_int(cpy_bodies *bodies, PyObject *object) {
    uint64_t address = address_in(object), block = mpr_marking_find(&bodies->marking, address);
    if (block != 0 && mpr_marking_owns(block, address)) {
        mpr_marking_mark(&bodies->marking, address);
        cpy_emit_edge(bodies->emit, block, mpr_marking_label(block, address, sizeof(PyObject)));
    }
}

/* No tp_traverse and no formula tells to which objects an object refers: its words may. */
static bool is_opaque(const cpy_type *type) { return !type->is_gc && !type->complete; }

/* `doubted`: it may be left behind by what had the memory before. */
static void search_word(cpy_bodies *bodies, const cpy_type *type, uintptr_t word, size_t offset, bool doubted) {
    bool object = mpr_workset_has(&bodies->emit->work, word);
    uint64_t block = object ? word : mpr_marking_mark(&bodies->marking, word);
    if (block != 0 && (!object || is_opaque(type))) {
        mpr_label label = mpr_marking_label(block, word, offset);
        cpy_emit_edge(bodies->emit, block, doubted ? mpr_label_make(MPR_LABEL_DOUBTED, offset) | MPR_LABEL_WEAK : label);
    }
}

/* The words in [begin, end) of what is counted as `offset` bytes behind the beginning of an object. */
static void search_words(cpy_bodies *bodies, const cpy_type *type, const void *at, size_t begin, size_t end, size_t offset) {
    const uintptr_t *words = at;
    for (size_t i = begin / sizeof *words; i < end / sizeof *words; i++) {
        search_word(bodies, type, words[i], offset + i * sizeof *words, false);
    }
}

static void search_body(cpy_bodies *bodies, PyObject *object, const cpy_type *type, size_t bytes) {
    search_words(bodies, type, object, CPY_HEAD_WORDS * sizeof(uintptr_t), bytes, 0);
}

#define ROUNDING 16 /* less than this an allocator's block may have more than was asked for */

/* An object of a type that no formula knows may have more behind it than the type says, up to where its block ends, as what ffi.new() of cffi
 * gives has. What may not have been asked for is doubted. */
static void search_behind(cpy_bodies *bodies, PyObject *object, const cpy_type *type, size_t bytes) {
    mpr_blocks *blocks = &bodies->marking.blocks;
    bool says_all = type->kind->body != NULL || type->type->tp_itemsize != 0 || type->has_managed_dict;
    uint64_t address = (uint64_t)(uintptr_t)object, begin = says_all ? 0 : mpr_blocks_find(blocks, address);
    if (begin == 0 || address - begin > 2 * bodies->marking.before + 2 * sizeof(cpy_gc_head)) {
        return;
    }
    uint64_t end = begin + mpr_blocks_size(blocks, begin), doubted = mpr_blocks_doubted(blocks, begin);
    doubted = end - (address + bytes) < ROUNDING || mpr_blocks_is_slot(blocks, begin) ? 0 : doubted;
    for (uint64_t at = address + bytes; at + sizeof(uintptr_t) <= end; at += sizeof(uintptr_t)) {
        search_word(bodies, type, *(const uintptr_t *)(uintptr_t)at, at - address, at >= doubted);
    }
}

/* ---- the blocks of an object ---- */

typedef struct owning {
    cpy_blocks blocks; /* first */
    cpy_bodies *bodies;
    const cpy_type *type;
    size_t bytes; /* of the object, and of its blocks so far */
} owning;

/* A block that the size of an object has is no node; what it refers to, the object does. */
static void own_block(cpy_blocks *self, const void *address, size_t bytes, size_t leaf) {
    owning *o = (owning *)self;
    mpr_marking_exclude(&o->bodies->marking, (uint64_t)(uintptr_t)address);
    if (o->type->kind->addresses) {
        search_words(o->bodies, o->type, address, 0, bytes - leaf, o->bytes);
    }
    o->bytes += bytes;
}

static void own_blocks(cpy_bodies *bodies, PyObject *object, const cpy_type *type, size_t bytes) {
    owning o = {.blocks = {.add = own_block}, .bodies = bodies, .type = type, .bytes = bytes};
    cpy_blocks_of(bodies->types, object, type, &o.blocks);
}

void cpy_bodies_search(cpy_bodies *bodies, PyObject *object, const cpy_type *type) {
    size_t bytes = cpy_body_bytes(object, type);
    own_blocks(bodies, object, type, bytes);
    if (type->type == &PyLong_Type) {
        search_int(bodies, object);
    }
    if (type->may_refer) {
        search_body(bodies, object, type, bytes);
        search_behind(bodies, object, type, bytes);
    } else if (cpy_layout_is_dict(object)) { /* shared keys may outlive the class that they were of: then only dicts have them */
        search_word(bodies, type, (uintptr_t)cpy_layout_shared_keys_of(object), offsetof(PyDictObject, ma_keys), false);
    }
}

void cpy_bodies_search_unseen(cpy_bodies *bodies, PyObject *object, const cpy_type *type, size_t bytes, bool formula) {
    if (formula) {
        own_blocks(bodies, object, type, bytes);
    } else {
        search_body(bodies, object, type, bytes);
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

int cpy_bodies_finish(cpy_bodies *bodies, uint64_t *synthetic, uint32_t *type_count, const mpr_sharing *sharing,
                      const void *stack) {
    int64_t start = mpr_process_monotonic_ns();
    uint64_t here = (uint64_t)(uintptr_t)&start, end = (uint64_t)(uintptr_t)stack;
    mpr_marking *marking = &bodies->marking;
    const mpr_marking_walk to = {.sink = bodies->emit->sink,
                                 .types = type_count,
                                 .synthetic = synthetic,
                                 .objects = &bodies->emit->work.seen,
                                 .stack = {here - MPR_MARKING_STACK, end}};
    int status = sharing != NULL ? exclude_lists(&marking->roots, sharing) : MPR_OK;
    status = status == MPR_OK ? mpr_marking_finish(marking, &to) : status;
    marking->nanoseconds += mpr_process_monotonic_ns() - start;
    return status == MPR_OK ? emit_facts(bodies->emit->sink, marking) : status;
}
