/* SPDX-License-Identifier: MIT
 * Two passes: find them, so that it is known which references lead to one; then tell them. */
#include "cpython/unseen.h"

#include <string.h>

#include "base/os/process.h"
#include "base/status.h"
#include "cpython/bodies.h"
#include "cpython/capture.h"
#include "cpython/sound.h"
#include "native/pools.h"

#define RECENT 256u
#define HOOKED 16u   /* bytes that PYTHONMALLOC=debug puts before a block, ... */
#define HOOKS 24u    /* ... and in all */
#define FORBIDDEN 0xFDu
#define LOWEST_HEAP (UINT64_C(1) << 20) /* where no heap begins below, ... */
#define LOW_HEAP (UINT64_C(1) << 32)    /* ... and the end of one that is low */

typedef struct unseen {
    PyObject *object;
    size_t bytes; /* of its block */
} unseen;

typedef struct scan {
    cpy_walk *walk;
    MPR_VEC(unseen) found;
    MPR_VEC(uint64_t) gone; /* blocks of objects that are kept ready: they are no native blocks */
    mpr_addrset members; /* the same, by address */
    uint64_t rejected;
    uint64_t heap_end; /* of a heap of malloc's that begins at a low address, as behind a program without PIE; 0: it does not */
    size_t before, hooks; /* bytes of the debug hooks before an object's block, and in all */
    bool looks_for_gone;  /* in memory that objects have of their allocator */
    struct {
        uint64_t type;
        cpy_type *record; /* NULL: no class that is looked for */
    } recent[RECENT];
} scan;

/* ---- what a block has ---- */

static cpy_type *find_class(scan *s, uint64_t address) {
    if (!cpy_is_pointer(address) || !mpr_workset_has(&s->walk->work, address)) {
        return NULL;
    }
    PyObject *class = (PyObject *)(uintptr_t)address;
    if (!PyType_Check(class)) {
        return NULL;
    }
    cpy_type *record = cpy_type_of(s->walk, (PyTypeObject *)class);
    return record != NULL && cpy_sound_knows(record) ? record : NULL;
}

/* The record of the class at an address, or NULL when none that was seen is there. */
static cpy_type *class_at(scan *s, uint64_t address) {
    size_t place = (address >> 4) % RECENT;
    if (s->recent[place].type != address) {
        s->recent[place].type = address;
        s->recent[place].record = find_class(s, address);
    }
    return s->recent[place].record;
}

/* An allocator gives no more than a block's size needs; a block that was made smaller in place has up to a quarter left. */
static bool fits(uint64_t need, uint64_t room) { return need <= room && 4 * need + 64 > 3 * room; }

/* Is a count rather an address? Behind a program that is not position-independent malloc's heap begins at some ten million, and an array of
 * pointers to classes, as the state of a module, reads as an object of the second. */
static bool is_address(const scan *s, uint64_t count) { return count % 8 == 0 && count >= LOWEST_HEAP && count < s->heap_end; }

/* Of what begins there with its pre-header, or 0 when it is no object that is looked for. Only `words` are read. */
static size_t bytes_of_object(scan *s, const mpr_block *block, size_t offset) {
    const char *at = (const char *)block->words + s->before + offset;
    const PyObject *object = (const PyObject *)at;
    uint64_t count, type;
    memcpy(&count, at, sizeof count);
    memcpy(&type, at + offsetof(PyObject, ob_type), sizeof type);
    cpy_type *record = cpy_is_plausible_count(count) && !is_address(s, count) ? class_at(s, type) : NULL;
    if (record == NULL || record->preheader != offset) {
        return 0;
    }
    if (record->is_gc && ((const cpy_gc_head *)object)[-1].next != 0) {
        return 0; /* tracked, and so not unseen: it has gone, or another's bytes are in its place */
    }
    size_t room = block->size - s->hooks - offset;
    size_t bytes = cpy_sound_bytes(record, object, room);
    if (bytes == 0 || !fits(offset + bytes, block->size - s->hooks)) {
        s->rejected++;
        return 0;
    }
    return offset + bytes;
}

/* Floats that are kept ready have no class any more: each leads to the next. Only what is a block of their size, without a
 * reference, is followed; it is none when it was, so a cycle ends. */
static void exclude_free_floats(const scan *s) {
    mpr_marking *m = s->walk->marking;
    uint64_t at = cpy_layout_free_float();
    while (at != 0 && mpr_blocks_has(&m->blocks, at - s->before) &&
           mpr_blocks_size(&m->blocks, at - s->before) >= sizeof(PyFloatObject) + s->hooks) {
        const PyObject *object = (const PyObject *)(uintptr_t)at;
        if (cpy_refcount((PyObject *)object) != 0) {
            return;
        }
        mpr_marking_exclude(m, at - s->before);
        at = (uint64_t)(uintptr_t)Py_TYPE(object);
    }
}

/* Does an object that was seen, or was found before, begin in a block where one may? */
static bool is_seen(const scan *s, const mpr_block *block) {
    uint64_t granules = (block->size - s->hooks) / 16;
    unsigned places = granules >= 3 ? 7 : (1u << granules) - 1;
    return (mpr_addrset_three(&s->walk->work.seen, block->address + s->before) & places) != 0;
}

/* Since 3.14 one that is kept ready has the address of the next one, of the same class, in place of its count. */
static bool leads_to_next(const scan *s, uint64_t count, uint64_t type, uint64_t before) {
    uint64_t next;
    if (!CPY_FREE_LISTS_BY_COUNT || !mpr_blocks_has(&s->walk->marking->blocks, count - before)) {
        return false;
    }
    memcpy(&next, (const char *)(uintptr_t)count + offsetof(PyObject, ob_type), sizeof next);
    return next == type;
}

/* Is it an object that has gone, and is kept ready for the next one of its class? That is still in it, and the count is 0, or leads
 * to another such. Its references were given back, though their addresses are there: to what has the memory now. Classes of C that are
 * kept ready are static; a structure of C code that looks so would have to be of the class's size, too. */
static bool is_gone(const scan *s, const mpr_block *block, size_t offset) {
    const char *at = (const char *)block->words + s->before + offset;
    uint64_t count, type;
    memcpy(&count, at, sizeof count);
    memcpy(&type, at + offsetof(PyObject, ob_type), sizeof type);
    if (!mpr_image_has(&s->walk->image, type) || !cpy_is_pointer(type) || !mpr_workset_has(&s->walk->work, type)) {
        return false;
    }
    PyTypeObject *class = (PyTypeObject *)(uintptr_t)type;
    if (!PyType_Check((PyObject *)class) || (class->tp_flags & Py_TPFLAGS_HEAPTYPE) ||
        (count != 0 && !leads_to_next(s, count, type, s->before + offset))) {
        return false;
    }
    size_t bytes = offset + (size_t)class->tp_basicsize, room = block->size - s->hooks;
    return cpy_layout_preheader(class, PyType_IS_GC(class)) == offset &&
           (class->tp_itemsize == 0 ? fits(bytes, room) : bytes <= room);
}

static void look_at(void *context, const mpr_block *block) {
    scan *s = context;
    if (s->walk->status != MPR_OK || block->size < s->hooks + sizeof(PyObject) || is_seen(s, block)) {
        return;
    }
    for (size_t offset = 0; s->looks_for_gone && offset <= sizeof(cpy_gc_head); offset += sizeof(cpy_gc_head)) {
        if (s->hooks + offset + sizeof(PyObject) <= block->size && is_gone(s, block, offset)) {
            s->walk->status = mpr_vec_push(&s->gone, s->walk->alloc, block->address);
            return;
        }
    }
    for (size_t offset = 0; offset <= 2 * sizeof(cpy_gc_head); offset += sizeof(cpy_gc_head)) {
        size_t bytes = s->hooks + offset + sizeof(PyObject) <= block->size ? bytes_of_object(s, block, offset) : 0;
        if (bytes > 0) {
            unseen one = {(PyObject *)(uintptr_t)(block->address + s->before + offset), bytes};
            uint32_t handle;
            int marked = mpr_workset_skip(&s->walk->work, (uint64_t)(uintptr_t)one.object);
            marked = marked < 0 ? marked : mpr_addrset_add(&s->members, (uint64_t)(uintptr_t)one.object, &handle);
            if (marked < 0 || mpr_vec_push(&s->found, s->walk->alloc, one) != MPR_OK) {
                s->walk->status = MPR_ENOMEM;
            }
            return;
        }
    }
}

/* Where pymalloc's own memory comes from malloc, its block has the marks of both domains with PYTHONMALLOC=debug. */
static bool has_marks(const mpr_block *block, char domain) {
    const unsigned char *mark = (const unsigned char *)block->words + HOOKED - 8;
    bool marked = block->size > 2 * HOOKS && mark[0] == (unsigned char)domain;
    for (int i = 1; i < 8; i++) {
        marked = marked && mark[i] == FORBIDDEN;
    }
    return marked;
}

static void look_at_chunk(void *context, const mpr_block *block) {
    const scan *s = context;
    mpr_block inner = *block;
    if (s->hooks > 0 && has_marks(block, 'r')) {
        inner = (mpr_block){block->address + HOOKED, block->size - HOOKS, block->words + HOOKED / 8};
    }
    look_at(context, &inner);
}

/* A pool with an object that was seen stays as long as we have the interpreter's lock; it may have no block but those of such objects. */
static mpr_pools_wish choose(void *context, uint64_t base, uint32_t used) {
    const scan *s = context;
    uint32_t seen = mpr_addrset_count_16k(&s->walk->work.seen, base);
    return seen == used ? MPR_POOLS_SKIP : seen > 0 ? MPR_POOLS_LOOK_IN_PLACE : MPR_POOLS_LOOK;
}

/* ---- telling ---- */

/* What was seen has all its references without this one's, which is not trusted to be counted: of what is found here alone it is. */
static void tell_if_known(scan *s, PyObject *target, mpr_label label) {
    uint64_t address = (uint64_t)(uintptr_t)target;
    if (target != NULL && mpr_workset_has(&s->walk->work, address)) {
        cpy_walk_tell(s->walk, target, label | (mpr_addrset_contains(&s->members, address) ? 0 : MPR_LABEL_WEAK));
    }
}

/* The dict of interned strings has each for its own value, and owns none of them. */
static bool is_interned_dict(const cpy_walk *walk, PyObject *dict, const cpy_table *table) {
    for (Py_ssize_t i = 0; walk->interned == NULL && i < table->count; i++) {
        PyObject *key = cpy_table_key(table, i);
        if (key != NULL) {
            bool known = mpr_workset_has(&walk->work, (uint64_t)(uintptr_t)key);
            return known && key == cpy_table_value(table, i) && cpy_is_interned(key);
        }
    }
    return dict == walk->interned;
}

static void tell_field(void *context, PyObject *object, int field) {
    tell_if_known(context, object, mpr_label_field((mpr_field)field));
}

static void tell_references(scan *s, PyObject *object) {
    if (PyCode_Check(object)) {
        cpy_layout_code((PyCodeObject *)object, tell_field, s);
    } else if (PyTuple_CheckExact(object)) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(object); i++) {
            tell_if_known(s, PyTuple_GET_ITEM(object, i), mpr_label_make(MPR_LABEL_INDEX, (uint64_t)i));
        }
    } else if (PyByteArray_CheckExact(object)) {
        tell_if_known(s, cpy_bytearray_object(object), mpr_label_field(MPR_FIELD_BUFFER));
    } else if (PyDict_CheckExact(object)) {
        cpy_table table;
        cpy_layout_dict(object, &table);
        mpr_label weak = is_interned_dict(s->walk, object, &table) ? MPR_LABEL_WEAK | MPR_LABEL_HOUSEKEEPING : 0;
        for (Py_ssize_t i = 0; i < table.count; i++) {
            if (cpy_table_value(&table, i) != NULL) {
                tell_if_known(s, cpy_table_key(&table, i), mpr_label_make(MPR_LABEL_KEY, 0) | weak);
                tell_if_known(s, cpy_table_value(&table, i), mpr_label_make(MPR_LABEL_VALUE, 0) | weak);
            }
        }
    }
}

/* Of these the size is known, whatever is in them: they are sound. */
static bool has_formula(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    bool buffer = type == &PyByteArray_Type && cpy_bytearray_object(object) == NULL;
    return buffer || type == &PyUnicode_Type || type == &PyBytes_Type || type == &PyLong_Type || type == &PyFloat_Type ||
           type == &PyComplex_Type || type == &PyTuple_Type || type == &PyDict_Type;
}

/* Buffers that others have elsewhere are not counted: a formula would follow pointers. */
static size_t size_of(cpy_walk *walk, const unseen *one, const cpy_type *type, uint32_t *flags) {
    if (has_formula(one->object)) {
        return cpy_size_of(walk, one->object, type, type->is_gc, flags);
    }
    *flags |= type->fixed == 0 ? MPR_NODE_ESTIMATED : 0;
    return one->bytes;
}

/* Of a code object only a name that is known is read. */
static bool has_name(const cpy_walk *walk, PyObject *object) {
    return !PyCode_Check(object) || mpr_workset_has(&walk->work, (uint64_t)(uintptr_t)((PyCodeObject *)object)->co_name);
}

static void tell(scan *s, const unseen *one) {
    cpy_walk *walk = s->walk;
    PyObject *object = one->object;
    cpy_type *type = cpy_type_of(walk, Py_TYPE(object));
    if (type == NULL) {
        return;
    }
    uint32_t flags = cpy_is_immortal(object) ? MPR_NODE_IMMORTAL : 0;
    flags |= type->is_str && cpy_is_interned(object) ? MPR_NODE_INTERNED : 0;
    mpr_seen_node node = {.address = (uint64_t)(uintptr_t)object,
                          .size = size_of(walk, one, type, &flags),
                          .refcount = flags & MPR_NODE_IMMORTAL ? 0 : cpy_refcount(object),
                          .type = type->index};
    node.flags = flags;
    walk->object = object;
    walk->type = type;
    cpy_walk_tell_node(walk, &node);
    if (walk->sink->text != NULL && has_name(walk, object)) {
        cpy_text_tell(walk, flags);
    }
    if (walk->hashes) {
        cpy_text_tell_digest(walk);
    }
    tell_references(s, object);
    if (walk->marking != NULL) {
        cpy_bodies_search_unseen(walk, one->bytes - type->preheader, has_formula(object));
    }
    cpy_walk_flush(walk);
}

/* ---- all of it ---- */

/* With PYTHONMALLOC=debug each block lies between marks: its domain's letter and seven forbidden bytes before it. */
MPR_MAPS_ANY_MEMORY void cpy_unseen_hooks(size_t *before, size_t *all) {
    PyObject *modules = PyImport_GetModuleDict();
    const unsigned char *block = (const unsigned char *)modules - cpy_layout_preheader(Py_TYPE(modules), true);
    bool hooked = block[-8] == 'o';
    for (int i = 1; i < 8; i++) {
        hooked = hooked && block[-i] == FORBIDDEN;
    }
    *before = hooked ? HOOKED : 0;
    *all = hooked ? HOOKS : 0;
}

static bool is_only_interpreter(void) {
    PyInterpreterState *head = PyInterpreterState_Head();
    return head != NULL && PyInterpreterState_Next(head) == NULL;
}

int cpy_unseen_tell(cpy_walk *walk, const mpr_account_more *more) {
    scan s = {.walk = walk};
    int64_t start = mpr_process_monotonic_ns();
    if (walk->status != MPR_OK || !is_only_interpreter()) {
        return walk->status;
    }
    cpy_unseen_hooks(&s.before, &s.hooks);
    s.heap_end = mpr_process_break() < LOW_HEAP ? mpr_process_break() : 0;
    mpr_addrset_init(&s.members, walk->alloc);
    s.looks_for_gone = walk->marking != NULL;
    int status = mpr_pools_each_block(more != NULL, choose, look_at, &s);
    s.looks_for_gone = walk->marking != NULL && more->arenas.count == 0; /* else malloc gives them no memory */
    for (size_t i = 0; more != NULL && i < more->regions.region.count; i++) {
        mpr_chunks_each_block(&more->regions.region.items[i], look_at_chunk, &s);
    }
    for (size_t i = 0; i < s.found.count && walk->status == MPR_OK; i++) {
        tell(&s, &s.found.items[i]);
    }
    if (walk->status == MPR_OK && status != MPR_ENOMEM) {
        walk->status = mpr_sink_number(walk->sink, "unseen_objects", (int64_t)s.found.count);
    }
    if (walk->status == MPR_OK) {
        walk->status = mpr_sink_number(walk->sink, "unseen_rejected", (int64_t)s.rejected);
    }
    for (size_t i = 0; i < s.gone.count; i++) { /* now, for one is known by the next one */
        mpr_marking_exclude(walk->marking, s.gone.items[i]);
    }
    if (walk->marking != NULL) {
        exclude_free_floats(&s);
    }
    mpr_vec_free(&s.gone, walk->alloc);
    mpr_vec_free(&s.found, walk->alloc);
    mpr_addrset_free(&s.members);
    if (walk->status == MPR_OK) {
        walk->status = mpr_sink_number(walk->sink, "unseen_ns", mpr_process_monotonic_ns() - start);
    }
    return walk->status;
}
