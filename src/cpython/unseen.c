/* SPDX-License-Identifier: MIT
 * Two passes: find them, so that it is known which references lead to one; then emit them. */
#include "cpython/unseen.h"

#include <string.h>

#include "base/os/process.h"
#include "base/status.h"
#include "cpython/hooks.h"
#include "cpython/sound.h"
#include "native/pools.h"

#define RECENT 256u
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
    if (!cpy_is_pointer(address) || !mpr_workset_has(&s->walk->emit.work, address)) {
        return NULL;
    }
    PyObject *class = (PyObject *)(uintptr_t)address;
    if (!PyType_Check(class)) {
        return NULL;
    }
    cpy_type *record = cpy_type_of(&s->walk->types, (PyTypeObject *)class);
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
    bool counted = CPY_GC_HEAPS ? cpy_is_plausible_head(object) : cpy_is_plausible_count(count) && !is_address(s, count);
    cpy_type *record = counted ? class_at(s, type) : NULL;
    if (record == NULL || record->preheader != offset) {
        return 0;
    }
    if (record->is_gc && cpy_layout_is_tracked(object)) {
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
    mpr_marking *m = &s->walk->bodies->marking;
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
    return (mpr_addrset_three(&s->walk->emit.work.seen, block->address + s->before) & places) != 0;
}

/* Since 3.14 one that is kept ready has the address of the next one, of the same class, in place of its count. */
static bool leads_to_next(const scan *s, uint64_t count, uint64_t type, uint64_t before) {
    uint64_t next;
    if (!CPY_FREE_LISTS_BY_COUNT || !mpr_blocks_has(&s->walk->bodies->marking.blocks, count - before)) {
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
    if (!mpr_image_has(&s->walk->image, type) || !cpy_is_pointer(type) || !mpr_workset_has(&s->walk->emit.work, type)) {
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
    if (s->walk->emit.status != MPR_OK || block->size < s->hooks + sizeof(PyObject) || is_seen(s, block)) {
        return;
    }
    for (size_t offset = 0; s->looks_for_gone && offset <= sizeof(cpy_gc_head); offset += sizeof(cpy_gc_head)) {
        if (s->hooks + offset + sizeof(PyObject) <= block->size && is_gone(s, block, offset)) {
            s->walk->emit.status = mpr_vec_push(&s->gone, s->walk->emit.alloc, block->address);
            return;
        }
    }
    for (size_t offset = 0; offset <= 2 * sizeof(cpy_gc_head); offset += sizeof(cpy_gc_head)) {
        size_t bytes = s->hooks + offset + sizeof(PyObject) <= block->size ? bytes_of_object(s, block, offset) : 0;
        if (bytes > 0) {
            unseen one = {(PyObject *)(uintptr_t)(block->address + s->before + offset), bytes};
            uint32_t handle;
            int marked = mpr_workset_skip(&s->walk->emit.work, (uint64_t)(uintptr_t)one.object);
            marked = marked < 0 ? marked : mpr_addrset_add(&s->members, (uint64_t)(uintptr_t)one.object, &handle);
            if (marked < 0 || mpr_vec_push(&s->found, s->walk->emit.alloc, one) != MPR_OK) {
                s->walk->emit.status = MPR_ENOMEM;
            }
            return;
        }
    }
}

/* Where pymalloc's own memory comes from malloc, its block has the marks of both domains. */
static void look_at_chunk(void *context, const mpr_block *block) {
    const scan *s = context;
    mpr_block inner = *block;
    if (s->hooks > 0 && cpy_hooks_has_marks(block, 'r')) {
        inner = (mpr_block){block->address + CPY_HOOKS_BEFORE, block->size - CPY_HOOKS_BYTES, block->words + CPY_HOOKS_BEFORE / 8};
    }
    look_at(context, &inner);
}

static uint32_t seen_in(const scan *s, uint64_t base, uint32_t bytes) {
    return mpr_addrset_count(&s->walk->emit.work.seen, base, bytes);
}

/* A page with an object that was seen stays as long as we have the interpreter's lock, and so does such a pool. */
static bool is_kept(void *context, uint64_t base, uint32_t bytes) { return seen_in(context, base, bytes) > 0; }

/* A pool may have no block but those of such objects. */
static bool is_wanted(void *context, uint64_t base, uint32_t used) { return seen_in(context, base, MPR_POOLS_POOL) != used; }

/* ---- emitting ---- */

/* What was seen has all its references without this one's, which is not trusted to be counted: of what is found here alone it is. */
static void emit_if_known(scan *s, PyObject *target, mpr_label label) {
    uint64_t address = (uint64_t)(uintptr_t)target;
    if (target != NULL && mpr_workset_has(&s->walk->emit.work, address)) {
        cpy_emit_reference(&s->walk->emit, target, label | (mpr_addrset_contains(&s->members, address) ? 0 : MPR_LABEL_WEAK));
    }
}

/* The dict of interned strings has each for its own value, and owns none of them. */
static bool is_interned_dict(const cpy_emit *emit, PyObject *dict, const cpy_table *table) {
    for (Py_ssize_t i = 0; emit->interned == NULL && i < table->count; i++) {
        PyObject *key = cpy_table_key(table, i);
        if (key != NULL) {
            bool known = mpr_workset_has(&emit->work, (uint64_t)(uintptr_t)key);
            return known && key == cpy_table_value(table, i) && cpy_is_interned(key);
        }
    }
    return dict == emit->interned;
}

static void emit_field(void *context, PyObject *object, int field) {
    emit_if_known(context, object, mpr_label_field((mpr_field)field));
}

static void emit_references(scan *s, PyObject *object) {
    if (PyCode_Check(object)) {
        cpy_layout_code((PyCodeObject *)object, emit_field, s);
    } else if (PyTuple_CheckExact(object)) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(object); i++) {
            emit_if_known(s, PyTuple_GET_ITEM(object, i), mpr_label_make(MPR_LABEL_INDEX, (uint64_t)i));
        }
    } else if (PyByteArray_CheckExact(object)) {
        emit_if_known(s, cpy_bytearray_object(object), mpr_label_field(MPR_FIELD_BUFFER));
    } else if (PyDict_CheckExact(object)) {
        cpy_table table;
        cpy_layout_dict(object, &table);
        mpr_label weak = is_interned_dict(&s->walk->emit, object, &table) ? MPR_LABEL_WEAK | MPR_LABEL_HOUSEKEEPING : 0;
        for (Py_ssize_t i = 0; i < table.count; i++) {
            if (cpy_table_value(&table, i) != NULL) {
                emit_if_known(s, cpy_table_key(&table, i), mpr_label_make(MPR_LABEL_KEY, 0) | weak);
                emit_if_known(s, cpy_table_value(&table, i), mpr_label_make(MPR_LABEL_VALUE, 0) | weak);
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
static size_t size_of(const cpy_types *types, const unseen *one, const cpy_type *type, uint32_t *flags) {
    if (has_formula(one->object)) {
        return cpy_size_of(types, one->object, type, type->is_gc, flags);
    }
    *flags |= type->fixed == 0 ? MPR_NODE_ESTIMATED : 0;
    return one->bytes;
}

/* Of a code object only a name that is known is read. */
static bool has_name(const cpy_emit *emit, PyObject *object) {
    return !PyCode_Check(object) || mpr_workset_has(&emit->work, (uint64_t)(uintptr_t)((PyCodeObject *)object)->co_name);
}

static void emit_one(scan *s, const unseen *one) {
    cpy_walk *walk = s->walk;
    cpy_emit *emit = &walk->emit;
    PyObject *object = one->object;
    const cpy_type *type = cpy_type_of(&walk->types, Py_TYPE(object));
    if (type == NULL) {
        return;
    }
    uint32_t flags = cpy_is_immortal(object) ? MPR_NODE_IMMORTAL : 0;
    flags |= type->is_str && cpy_is_interned(object) ? MPR_NODE_INTERNED : 0;
    mpr_seen_node node = {.address = (uint64_t)(uintptr_t)object,
                          .size = size_of(&walk->types, one, type, &flags),
                          .refcount = flags & MPR_NODE_IMMORTAL ? 0 : cpy_refcount(object),
                          .type = type->index};
    node.flags = flags;
    cpy_emit_node(emit, &node);
    if (emit->sink->text != NULL && has_name(emit, object)) {
        cpy_text_emit(&walk->text, &walk->types, object, type, flags);
    }
    if (walk->text.hashes) {
        cpy_text_emit_digest(&walk->text, emit, object);
    }
    emit_references(s, object);
    if (walk->bodies != NULL) {
        cpy_bodies_search_unseen(walk->bodies, object, type, one->bytes - type->preheader, has_formula(object));
    }
    cpy_emit_flush(emit);
}

/* ---- all of it ---- */

static bool is_only_interpreter(void) {
    PyInterpreterState *head = PyInterpreterState_Head();
    return head != NULL && PyInterpreterState_Next(head) == NULL;
}

/* Look at each block in use: of Python's allocator, and of malloc where its regions are known. In a free-threaded build malloc has no objects. MPR_OK
 * or MPR_ENOMEM. */
static int look_at_all(scan *s, const mpr_account_more *more) {
    bool native = s->walk->bodies != NULL;
    s->looks_for_gone = native;
    if (CPY_GC_HEAPS) { /* the world has stopped */
        cpy_layout_each_block_in_heaps(look_at, s);
        return MPR_OK;
    }
    const mpr_pools_client client = {.kept = is_kept, .wanted = is_wanted, .each = look_at, .context = s};
    int status = mpr_pools_each_block(more != NULL, &client);
    s->looks_for_gone = native && more->arenas.count == 0; /* else malloc gives them no memory */
    for (size_t i = 0; more != NULL && i < more->regions.region.count; i++) {
        mpr_chunks_each_block(&more->regions.region.items[i], look_at_chunk, s);
    }
    return status;
}

/* What is kept ready is no native block. When all were looked at, for one is known by the next one. */
static void exclude_gone(const scan *s) {
    for (size_t i = 0; i < s->gone.count; i++) {
        mpr_marking_exclude(&s->walk->bodies->marking, s->gone.items[i]);
    }
    if (s->walk->bodies != NULL) {
        exclude_free_floats(s);
    }
}

static int emit_facts(const scan *s, bool counted, int64_t start) {
    mpr_sink *sink = s->walk->emit.sink;
    int status = counted ? mpr_sink_number(sink, "unseen_objects", (int64_t)s->found.count) : MPR_OK;
    status = status == MPR_OK ? mpr_sink_number(sink, "unseen_rejected", (int64_t)s->rejected) : status;
    return status == MPR_OK ? mpr_sink_number(sink, "unseen_ns", mpr_process_monotonic_ns() - start) : status;
}

int cpy_unseen_emit(cpy_walk *walk, const mpr_account_more *more) {
    scan s = {.walk = walk};
    int64_t start = mpr_process_monotonic_ns();
    if (walk->emit.status != MPR_OK || !walk->emit.can[CPY_GC_HEAPS ? CPY_CAN_GC_LISTS : CPY_CAN_POOLS] || !is_only_interpreter()) {
        return walk->emit.status;
    }
    cpy_hooks_find(&s.before, &s.hooks);
    s.heap_end = mpr_process_break() < LOW_HEAP ? mpr_process_break() : 0;
    mpr_addrset_init(&s.members, walk->emit.alloc);
    int status = look_at_all(&s, more);
    for (size_t i = 0; i < s.found.count && walk->emit.status == MPR_OK; i++) {
        emit_one(&s, &s.found.items[i]);
    }
    exclude_gone(&s);
    if (walk->emit.status == MPR_OK) {
        walk->emit.status = emit_facts(&s, status != MPR_ENOMEM, start);
    }
    mpr_vec_free(&s.gone, walk->emit.alloc);
    mpr_vec_free(&s.found, walk->emit.alloc);
    mpr_addrset_free(&s.members);
    return walk->emit.status;
}
