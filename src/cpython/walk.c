/* SPDX-License-Identifier: MIT
 * The loop: take an object, emit its node, its text and its edges. */
#include "cpython/walk.h"

#include <string.h>

#include "cpython/library.h"

/* ---- one object ---- */

static uint32_t flags_of(cpy_walk *walk, PyObject *object, const cpy_type *type, bool is_gc, bool is_static) {
    uint32_t flags = cpy_is_immortal(object) ? MPR_NODE_IMMORTAL : 0;
    flags |= (is_static ? MPR_NODE_STATIC : 0) | (type->self ? MPR_NODE_OWN_WALL : 0);
    if (is_gc && cpy_layout_is_tracked(object)) {
        flags |= MPR_NODE_TRACKED;
        bool noted = walk->frozen.members != 0 && mpr_addrset_contains(&walk->frozen, (uint64_t)(uintptr_t)object);
        flags |= noted || cpy_layout_is_frozen(object) ? MPR_NODE_FROZEN : 0;
    }
    if (type->is_ordinary) {
        return flags;
    }
    if (type->is_class) {
        const cpy_type *itself = cpy_type_of(&walk->types, (PyTypeObject *)object);
        flags |= MPR_NODE_TYPE | (itself != NULL && itself->self ? MPR_NODE_OWN_WALL : 0);
    } else if (type->is_module) {
        flags |= MPR_NODE_MODULE | (cpy_self_has(&walk->self, object) ? MPR_NODE_OWN_WALL : 0);
    } else if (type->is_str && cpy_is_interned(object)) {
        flags |= MPR_NODE_INTERNED;
    } else if (type->has_frame && walk->emit.can[CPY_CAN_FRAMES] && cpy_self_has_frame(&walk->self, object)) {
        flags |= MPR_NODE_OWN_WALL;
    } else if (type->kind->bounded != NULL && type->kind->bounded(object)) {
        flags |= MPR_NODE_BOUNDED;
    }
    return flags;
}

/* The references to an object but the one that memprobe's own list has. */
static uint64_t count_of(const cpy_walk *walk, PyObject *object) {
    bool listed = walk->listed.members != 0 && mpr_addrset_contains(&walk->listed, (uint64_t)(uintptr_t)object);
    return cpy_refcount(object) - listed;
}

/* All that is to be said of an object but its edges. */
static void emit_itself(cpy_walk *walk, PyObject *object, const cpy_type *type) {
    cpy_emit *emit = &walk->emit;
    bool is_static = mpr_image_has(&walk->image, (uint64_t)(uintptr_t)object);
    bool is_gc = type->asks_is_gc ? PyObject_IS_GC(object) : type->is_gc;
    uint32_t flags = flags_of(walk, object, type, is_gc, is_static);
    mpr_seen_node node = {.address = (uint64_t)(uintptr_t)object,
                          .size = is_static          ? 0
                                  : type->fixed != 0 ? type->fixed
                                                     : cpy_size_of(&walk->types, object, type, is_gc, &flags),
                          .refcount = flags & MPR_NODE_IMMORTAL ? 0 : count_of(walk, object),
                          .type = type->index,
                          .flags = flags};
    /* constants that were compiled into the image (3.11) own nothing */
    emit->unowned = is_static && (PyTuple_CheckExact(object) || PyCode_Check(object)) ? MPR_LABEL_WEAK : 0;
    cpy_emit_node(emit, &node);
    if (emit->sink->text != NULL) {
        cpy_text_emit(&walk->text, &walk->types, object, type, flags);
    }
    if (walk->text.hashes) {
        cpy_text_emit_digest(&walk->text, emit, object);
    }
    if (walk->leaf_buffers != NULL && node.size >= CPY_LEAF_BUFFERS_LEAST) {
        cpy_leaf_buffers_discard(walk->leaf_buffers, &walk->types, object, type);
    }
}

/* Strings and code come last: only then is it known which of them serve as names. */
static bool is_deferred(const cpy_walk *walk, PyObject *object, const cpy_type *type) {
    const cpy_names *names = &walk->emit.names;
    return (names->strings && type->is_str && cpy_is_interned(object)) || (names->code && type->is_code);
}

static void take(cpy_walk *walk, PyObject *object) {
    cpy_emit *emit = &walk->emit;
    cpy_type *type = cpy_type_of(&walk->types, Py_TYPE(object));
    if (type == NULL) {
        return;
    }
    if (is_deferred(walk, object, type)) {
        cpy_emit_check(emit, mpr_workset_put_off(&emit->work, (uint64_t)(uintptr_t)object));
        return;
    }
    if (emit->sink->brief && type->is_brief) {
        cpy_emit_node(emit, &(mpr_seen_node){.address = (uint64_t)(uintptr_t)object, .type = type->index});
    } else {
        emit_itself(walk, object, type);
    }
    if (!type->is_leaf) {
        cpy_edges_emit(emit, object, type);
        cpy_argument_emit(&walk->argument, emit, object); /* 3.10: a frame is an object */
    }
    if (walk->bodies != NULL && !mpr_image_has(&walk->image, (uint64_t)(uintptr_t)object)) {
        cpy_bodies_search(walk->bodies, object, type);
    }
    cpy_emit_flush(emit);
    emit->unowned = 0;
}

/* Emit the next object of the work list; false when nothing is pending. They are taken some at a time, so that what the next few point to
 * can be fetched meanwhile. */
static bool step(cpy_walk *walk) {
    if (walk->emit.status != MPR_OK) {
        return false;
    }
    if (walk->next == walk->taken_count) {
        walk->next = 0;
        walk->taken_count = mpr_workset_take(&walk->emit.work, walk->taken, CPY_WALK_TAKEN);
        if (walk->taken_count == 0) {
            return false;
        }
    }
    if (walk->next + CPY_WALK_AHEAD < walk->taken_count) {
        cpy_layout_prefetch((PyObject *)(uintptr_t)walk->taken[walk->next + CPY_WALK_AHEAD]);
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
    walk->emit.names.code = false;
    mpr_workset_resume(&walk->emit.work);
    run(walk);
    walk->emit.names.strings = false;
    mpr_workset_resume(&walk->emit.work);
    run(walk);
    return walk->emit.status;
}

/* ---- seeds ---- */

static void note(cpy_walk *walk, mpr_addrset *set, const PyObject *object) {
    uint32_t handle;
    cpy_emit_check(&walk->emit, mpr_addrset_add(set, (uint64_t)(uintptr_t)object, &handle));
}

/* Between two of them an object that was found before is emitted: the cache misses of both are under way at once. But not before it is known which
 * are frozen, or in memprobe's list, for that is emitted with them. */
static int seed(void *context, PyObject *object, int generation, bool from_young) {
    cpy_walk *walk = context;
    if (generation == CPY_HEAP_PERMANENT) {
        note(walk, &walk->frozen, object);
    } else if (walk->heap.listed != NULL) {
        note(walk, &walk->listed, object);
    } else if (!from_young) {
        walk->may_emit = true;
    }
    if (walk->may_emit) {
        step(walk);
    }
    cpy_emit_follow(&walk->emit, object);
    return walk->emit.status;
}

int cpy_walk_whole(cpy_walk *walk) {
    int status = cpy_heap_each(&walk->heap, seed, walk);
    if (status == MPR_OK) {
        status = cpy_roots_emit(&walk->roots);
    }
    return status == MPR_OK ? cpy_walk_run(walk) : status;
}

int cpy_walk_seed_object(cpy_walk *walk, PyObject *object) {
    cpy_emit_follow(&walk->emit, object);
    return walk->emit.status;
}

int cpy_walk_exclude(cpy_walk *walk, PyObject *object) {
    cpy_emit_exclude(&walk->emit, object);
    return walk->emit.status;
}

/* ---- before and after ---- */

int cpy_walk_begin(cpy_walk *walk, mpr_alloc *alloc, mpr_sink *sink, cpy_proofs *proofs) {
    cpy_library_check(proofs->library);
    return cpy_walk_begin_prepared(walk, alloc, sink, proofs);
}

int cpy_walk_begin_prepared(cpy_walk *walk, mpr_alloc *alloc, mpr_sink *sink, const cpy_proofs *proofs) {
    memset(walk, 0, sizeof *walk);
    cpy_emit_begin(&walk->emit, alloc, sink, proofs);
    cpy_types_begin(&walk->types, &walk->emit, proofs);
    mpr_addrset_init(&walk->frozen, alloc);
    mpr_addrset_init(&walk->listed, alloc);
    int status = mpr_image_read(&walk->image, alloc);
    walk->roots = (cpy_roots){
        .emit = &walk->emit, .types = &walk->types, .self = &walk->self, .caller = &walk->caller, .argument = &walk->argument};
    if (status == MPR_OK) {
        status = cpy_roots_begin(&walk->roots); /* first: the list of objects would hold the dicts that the frames made */
    }
    if (status == MPR_OK) {
        status = cpy_heap_begin(&walk->heap, proofs);
    }
    walk->emit.status = status;
    return status;
}

int cpy_walk_enter(cpy_walk *walk) {
    walk->emit.status = cpy_self_find(&walk->self, walk->emit.alloc);
    if (walk->emit.status == MPR_OK) {
        cpy_caller_find(&walk->caller, walk->types.proofs, &walk->self);
    }
    return walk->emit.status;
}

void cpy_walk_end(cpy_walk *walk) {
    mpr_alloc *alloc = walk->emit.alloc;
    cpy_types_free(&walk->types);
    cpy_emit_free(&walk->emit);
    cpy_roots_end(&walk->roots);
    cpy_heap_end(&walk->heap);
    mpr_addrset_free(&walk->frozen);
    mpr_addrset_free(&walk->listed);
    mpr_image_free(&walk->image, alloc);
    cpy_self_free(&walk->self, alloc);
}
