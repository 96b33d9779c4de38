/* SPDX-License-Identifier: MIT
 * The loop: take an object, tell its node, its text and its edges. */
#include "cpython/walk.h"

#include <string.h>

#include "cpython/bodies.h"
#include "cpython/kinds.h"
#include "cpython/leaf_buffers.h"
#include "cpython/roots.h"

/* ---- one object ---- */

bool cpy_walk_is_own(const cpy_walk *walk, const PyObject *object) {
    for (size_t i = 0; i < walk->own.count; i++) {
        if (walk->own.items[i] == object) {
            return true;
        }
    }
    return false;
}

/* A frame of memprobe's that is an object: every frame in 3.10. */
static bool is_own_frame(const cpy_walk *walk, const cpy_type *type, PyObject *object) {
    void *at = type->has_frame && walk->can[CPY_CAN_FRAMES] ? cpy_layout_inner_frame(object) : NULL;
    cpy_frame frame;
    if (at == NULL) {
        return false;
    }
    cpy_layout_frame(at, &frame);
    return cpy_walk_is_own(walk, frame.globals);
}

static uint32_t flags_of(cpy_walk *walk, PyObject *object, const cpy_type *type, bool is_gc, bool is_static) {
    uint32_t flags = cpy_is_immortal(object) ? MPR_NODE_IMMORTAL : 0;
    flags |= (is_static ? MPR_NODE_STATIC : 0) | (type->own ? MPR_NODE_OWN_WALL : 0);
    if (is_gc && ((const cpy_gc_head *)object)[-1].next != 0) {
        flags |= MPR_NODE_TRACKED;
        if (walk->frozen.members != 0 && mpr_addrset_contains(&walk->frozen, (uint64_t)(uintptr_t)object)) {
            flags |= MPR_NODE_FROZEN;
        }
    }
    if (type->is_ordinary) {
        return flags;
    }
    if (type->is_class) {
        const cpy_type *itself = cpy_type_of(walk, (PyTypeObject *)object);
        flags |= MPR_NODE_TYPE | (itself != NULL && itself->own ? MPR_NODE_OWN_WALL : 0);
    } else if (type->is_module) {
        flags |= MPR_NODE_MODULE | (cpy_walk_is_own(walk, object) ? MPR_NODE_OWN_WALL : 0);
    } else if (type->is_str && cpy_is_interned(object)) {
        flags |= MPR_NODE_INTERNED;
    } else if (is_own_frame(walk, type, object)) {
        flags |= MPR_NODE_OWN_WALL;
    } else if (type->kind->bounded != NULL && type->kind->bounded(object)) {
        flags |= MPR_NODE_BOUNDED;
    }
    return flags;
}

/* All that is to be said of the object in hand but its edges. */
static void tell_itself(cpy_walk *walk) {
    PyObject *object = walk->object;
    cpy_type *type = walk->type;
    bool is_static = mpr_image_has(&walk->image, (uint64_t)(uintptr_t)object);
    bool is_gc = type->asks_is_gc ? PyObject_IS_GC(object) : type->is_gc;
    uint32_t flags = flags_of(walk, object, type, is_gc, is_static);
    mpr_seen_node node = {.address = (uint64_t)(uintptr_t)object,
                          .size = is_static          ? 0
                                  : type->fixed != 0 ? type->fixed
                                                     : cpy_size_of(walk, object, type, is_gc, &flags),
                          .refcount = flags & MPR_NODE_IMMORTAL ? 0 : cpy_refcount(object),
                          .type = type->index,
                          .flags = flags};
    /* constants that were compiled into the image (3.11) own nothing */
    walk->unowned = is_static && (PyTuple_CheckExact(object) || PyCode_Check(object)) ? MPR_LABEL_WEAK : 0;
    cpy_walk_tell_node(walk, &node);
    if (walk->sink->text != NULL) {
        cpy_text_tell(walk, flags);
    }
    if (walk->hashes) {
        cpy_text_tell_digest(walk);
    }
    if (walk->leaf_buffers != NULL && node.size >= CPY_LEAF_BUFFERS_LEAST) {
        cpy_leaf_buffers_discard(walk);
    }
}

static void take(cpy_walk *walk, PyObject *object) {
    cpy_type *type = cpy_type_of(walk, Py_TYPE(object));
    if (type == NULL) {
        return;
    }
    if ((walk->withholds && type->is_str && cpy_is_interned(object)) || (walk->defers_code && type->is_code)) {
        int status = mpr_workset_put_off(&walk->work, (uint64_t)(uintptr_t)object);
        walk->status = status == MPR_OK ? walk->status : status;
        return;
    }
    walk->object = object;
    walk->type = type;
    if (walk->sink->brief && type->is_brief) {
        cpy_walk_tell_node(walk, &(mpr_seen_node){.address = (uint64_t)(uintptr_t)object, .type = type->index});
    } else {
        tell_itself(walk);
    }
    if (!type->is_leaf) {
        cpy_edges_tell(walk);
        cpy_walk_emit_argument(walk, object); /* 3.10: a frame is an object */
    }
    if (walk->marking != NULL && !mpr_image_has(&walk->image, (uint64_t)(uintptr_t)object)) {
        cpy_bodies_search(walk);
    }
    cpy_walk_flush(walk);
    walk->unowned = 0;
}

/* Tell the next object of the work list; false when nothing is pending. They are taken some at a time, so that what the next few point to
 * can be fetched meanwhile. */
static bool step(cpy_walk *walk) {
    if (walk->status != MPR_OK) {
        return false;
    }
    if (walk->next == walk->taken_count) {
        walk->next = 0;
        walk->taken_count = mpr_workset_take(&walk->work, walk->taken, CPY_TAKEN);
        if (walk->taken_count == 0) {
            return false;
        }
    }
    if (walk->next + CPY_AHEAD < walk->taken_count) {
        cpy_layout_prefetch((PyObject *)(uintptr_t)walk->taken[walk->next + CPY_AHEAD]);
    }
    take(walk, (PyObject *)(uintptr_t)walk->taken[walk->next++]);
    return true;
}

static void run(cpy_walk *walk) {
    while (step(walk)) {
    }
}

int cpy_walk_run(cpy_walk *walk) {
    run(walk);
    walk->defers_code = false;
    mpr_workset_resume(&walk->work);
    run(walk);
    walk->withholds = false;
    mpr_workset_resume(&walk->work);
    run(walk);
    return walk->status;
}

/* ---- seeds ---- */

static int mark(cpy_walk *walk, const void *object) {
    int marked = mpr_workset_mark(&walk->work, (uint64_t)(uintptr_t)object);
    return marked < 0 ? marked : MPR_OK;
}

static int note_frozen(cpy_walk *walk, const void *object) {
    uint32_t handle;
    int added = mpr_addrset_add(&walk->frozen, (uint64_t)(uintptr_t)object, &handle);
    return added < 0 ? added : MPR_OK;
}

/* Follow one list from both ends at once: two chains of cache misses overlap, where one would wait for each; and while both are under
 * way, tell two objects that were found before. */
static int seed_both_ends(cpy_walk *walk, cpy_gc_head *head) {
    cpy_gc_head *front = cpy_gc_next(head), *back = cpy_gc_previous(head);
    while (front != head) {
        __builtin_prefetch(front);
        __builtin_prefetch(back);
        step(walk);
        step(walk);
        int status = mark(walk, cpy_gc_object(front));
        if (status != MPR_OK || front == back) {
            return status;
        }
        status = mark(walk, cpy_gc_object(back));
        if (status != MPR_OK || cpy_gc_next(front) == back) {
            return status;
        }
        front = cpy_gc_next(front);
        back = cpy_gc_previous(back);
    }
    return MPR_OK;
}

static int seed_list(cpy_walk *walk, cpy_gc_head *head, bool frozen) {
    for (cpy_gc_head *at = cpy_gc_next(head); at != head; at = cpy_gc_next(at)) {
        int status = mark(walk, cpy_gc_object(at));
        if (status == MPR_OK && frozen) {
            status = note_frozen(walk, cpy_gc_object(at));
        }
        if (status != MPR_OK) {
            return status;
        }
    }
    return MPR_OK;
}

/* The public way: a list of the tracked objects, made before the walk. */
static int seed_objects(cpy_walk *walk) {
    int status = MPR_OK;
    for (Py_ssize_t i = 0; status == MPR_OK && i < PyList_GET_SIZE(walk->listed); i++) {
        status = mark(walk, PyList_GET_ITEM(walk->listed, i));
    }
    return status;
}

static int seed_heap(cpy_walk *walk) {
    if (!walk->can[CPY_CAN_GC_LISTS]) {
        return seed_objects(walk);
    }
    cpy_gc_head *heads[CPY_GENERATIONS];
    int count = cpy_layout_gc_heads(heads), status = MPR_OK;
    bool collecting = cpy_layout_collecting();
    for (int i = count - 1; status == MPR_OK && i >= 0; i--) { /* the permanent list first: its objects are told as frozen */
        bool frozen = i == count - 1;
        status = frozen || collecting ? seed_list(walk, heads[i], frozen) : seed_both_ends(walk, heads[i]);
    }
    return status != MPR_OK ? status : walk->status;
}

int cpy_walk_whole(cpy_walk *walk) {
    int status = seed_heap(walk);
    if (status == MPR_OK) {
        status = cpy_walk_seed_roots(walk);
    }
    return status == MPR_OK ? cpy_walk_run(walk) : status;
}

int cpy_walk_seed_object(cpy_walk *walk, PyObject *object) { return mark(walk, object); }

int cpy_walk_exclude(cpy_walk *walk, PyObject *object) {
    int marked = mpr_workset_skip(&walk->work, (uint64_t)(uintptr_t)object);
    return marked < 0 ? marked : MPR_OK;
}

/* ---- before and after ---- */

/* The namespaces of memprobe's modules. Reads sys.modules without a lookup that could run code. */
static int find_own(cpy_walk *walk) {
    PyObject *modules = PyImport_GetModuleDict(), *name, *module;
    Py_ssize_t at = 0;
    while (modules != NULL && PyDict_Check(modules) && PyDict_Next(modules, &at, &name, &module)) {
        if (!PyUnicode_Check(name) || !PyUnicode_IS_COMPACT_ASCII(name) || !PyModule_Check(module)) {
            continue;
        }
        const char *text = (const char *)PyUnicode_1BYTE_DATA(name);
        bool own = strncmp(text, "memprobe", 8) == 0 && (text[8] == '\0' || text[8] == '.');
        if (own && (mpr_vec_push(&walk->own, walk->alloc, module) != MPR_OK ||
                    mpr_vec_push(&walk->own, walk->alloc, PyModule_GetDict(module)) != MPR_OK)) {
            return MPR_ENOMEM;
        }
    }
    return MPR_OK;
}

static int list_objects(cpy_walk *walk) {
    PyObject *gc = PyImport_ImportModule("gc");
    walk->listed = gc == NULL ? NULL : PyObject_CallMethod(gc, "get_objects", NULL);
    Py_XDECREF(gc);
    if (walk->listed == NULL || !PyList_CheckExact(walk->listed)) {
        PyErr_Clear();
        Py_CLEAR(walk->listed);
        return MPR_ENOMEM;
    }
    return MPR_OK;
}

/* The copies of locals that the frames were listed with refer to what the locals refer to: they are no objects of the program. */
static int list_frames(cpy_walk *walk) {
    int status = MPR_OK;
    walk->frames = cpy_roots_list_frames();
    PyErr_Clear();
    for (Py_ssize_t i = 0; walk->frames != NULL && status == MPR_OK && i < PyList_GET_SIZE(walk->frames); i++) {
        PyObject *listed = PyList_GET_ITEM(walk->frames, i);
        status = cpy_walk_exclude(walk, PyTuple_GET_ITEM(listed, CPY_LISTED_LOCALS));
        status = status == MPR_OK ? cpy_walk_exclude(walk, listed) : status;
    }
    return status == MPR_OK && walk->frames != NULL ? cpy_walk_exclude(walk, walk->frames) : status;
}

/* Its node, if it is a frame on a thread's stack, is known when that is emitted (roots.c). */
static void find_caller(cpy_walk *walk) {
    cpy_frame frame;
    void *at = walk->can[CPY_CAN_FRAMES] ? cpy_layout_top_frame(PyThreadState_Get()) : NULL;
    for (; at != NULL; at = frame.previous) {
        cpy_layout_frame(at, &frame);
        if (frame.globals != NULL && !cpy_walk_is_own(walk, frame.globals)) {
            bool is_object = (void *)frame.object == at; /* 3.10 */
            PyObject *node = is_object || frame.owner == CPY_FRAME_OF_OBJECT ? frame.object : frame.generator;
            walk->caller = (cpy_caller){.frame = at,
                                        .node = (uint64_t)(uintptr_t)node,
                                        .locals = frame.code->co_flags & CO_OPTIMIZED ? NULL : frame.locals};
            return;
        }
    }
}

void cpy_walk_set_argument(cpy_walk *walk, PyObject *argument) {
    walk->argument = argument;
    walk->argument_frame = walk->can[CPY_CAN_FRAMES] ? cpy_layout_top_frame(PyThreadState_Get()) : NULL;
    walk->argument_references = cpy_layout_hidden_references(walk->argument_frame, argument);
}

void cpy_walk_emit_argument(cpy_walk *walk, const void *frame) {
    if (frame != walk->argument_frame) {
        return;
    }
    for (; walk->argument_references > 0; walk->argument_references--) {
        cpy_walk_tell(walk, walk->argument, mpr_label_make(MPR_LABEL_STACK, walk->argument_references - 1));
    }
}

int cpy_walk_begin(cpy_walk *walk, mpr_alloc *alloc, mpr_sink *sink, cpy_proofs *proofs) {
    cpy_library_check(proofs->library);
    return cpy_walk_begin_prepared(walk, alloc, sink, proofs);
}

int cpy_walk_begin_prepared(cpy_walk *walk, mpr_alloc *alloc, mpr_sink *sink, const cpy_proofs *proofs) {
    memset(walk, 0, sizeof *walk);
    walk->alloc = alloc;
    walk->sink = sink;
    walk->can = proofs->can;
    walk->library = proofs->library;
    walk->instance_dealloc = proofs->instance_dealloc;
    walk->record_dealloc = proofs->record_dealloc;
    walk->synthetic = MPR_SYNTHETIC + 16 * MPR_GROUP_COUNT;
    mpr_workset_init(&walk->work, alloc);
    mpr_addrset_init(&walk->frozen, alloc);
    walk->names.alloc = alloc;
    walk->defers_code = sink->text != NULL && !sink->brief;
    walk->withholds = sink->text != NULL && !sink->brief;
    walk->interned = cpy_layout_interned();
    int status = mpr_image_read(&walk->image, alloc);
    if (status == MPR_OK) {
        status = find_own(walk);
    }
    if (status == MPR_OK && !walk->can[CPY_CAN_FRAMES]) {
        status = list_frames(walk); /* first: the list of objects would hold the dicts that the frames made */
    }
    if (status == MPR_OK && !walk->can[CPY_CAN_GC_LISTS]) {
        status = list_objects(walk);
    }
    if (status == MPR_OK) {
        find_caller(walk);
    }
    walk->status = status;
    return status;
}

void cpy_walk_end(cpy_walk *walk) {
    cpy_types_free(walk);
    mpr_workset_free(&walk->work);
    mpr_addrset_free(&walk->frozen);
    mpr_map_free(&walk->names);
    mpr_image_free(&walk->image, walk->alloc);
    mpr_vec_free(&walk->own, walk->alloc);
    Py_CLEAR(walk->listed);
    Py_CLEAR(walk->frames);
}
