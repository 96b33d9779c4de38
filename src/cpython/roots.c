/* SPDX-License-Identifier: MIT
 * The roots that a walk can see, told as synthetic nodes: modules, the interpreter's own references, and threads with their frames. */
#include "cpython/roots.h"

#include <frameobject.h>
#include <stdio.h>
#include <string.h>

#include "cpython/temporaries.h"
#include "graph/label.h"

static void tell_node(cpy_walk *walk, uint64_t address, uint32_t type, uint32_t flags, const char *text, size_t length) {
    mpr_seen_node node = {.address = address, .type = type, .flags = MPR_NODE_SYNTHETIC | flags};
    cpy_walk_tell_node(walk, &node);
    if (walk->status == MPR_OK && walk->sink->text != NULL) {
        walk->status = walk->sink->text(walk->sink, text, length);
    }
}

static void tell_group(cpy_walk *walk, mpr_group group) {
    const char *text = mpr_group_text(group);
    tell_node(walk, MPR_SYNTHETIC + 16 * (uint64_t)group, walk->root_type, 0, text, strlen(text));
}

/* An edge from a synthetic node to another, which is told by itself: not marked for the walk. */
static void tell_child(cpy_walk *walk, uint64_t address) {
    mpr_seen_edge edge = {.target = address, .label = mpr_label_make(MPR_LABEL_CHILD, 0)};
    cpy_walk_flush(walk);
    if (walk->status == MPR_OK && walk->sink->edges != NULL) {
        walk->status = walk->sink->edges(walk->sink, &edge, 1);
    }
}

static void tell_field(void *context, PyObject *object, int field) {
    cpy_walk_tell(context, object, mpr_label_field((mpr_field)field));
}

/* Fields of the interpreter move between micro releases: one that leads to no object of the collector's lists is not one. */
static void tell_if_known(void *context, PyObject *object, int field) {
    cpy_walk *walk = context;
    if (object != NULL && mpr_workset_has(&walk->work, (uint64_t)(uintptr_t)object)) {
        cpy_walk_tell(walk, object, mpr_label_field((mpr_field)field));
    }
}

/* Other places of the cache have None. */
static void tell_if_str(void *context, PyObject *object, int field) {
    if (object != NULL && PyUnicode_CheckExact(object)) {
        cpy_walk_tell(context, object, mpr_label_field((mpr_field)field));
    }
}

/* ---- frames ---- */

void cpy_roots_emit_frame(cpy_walk *walk, const cpy_frame *frame, uint64_t address) {
    char text[1024];
    size_t length = cpy_text_code(frame->code, text, sizeof text);
    tell_node(walk, address, walk->frame_type, cpy_walk_is_own(walk, frame->globals) ? MPR_NODE_OWN_WALL : 0, text, length);
}

static void tell_frame(cpy_walk *walk, const cpy_frame *frame, const void *at, uint64_t address) {
    cpy_roots_emit_frame(walk, frame, address);
    cpy_edges_frame(walk, frame, false);
    cpy_walk_emit_argument(walk, at);
    if (at == walk->caller.frame) {
        walk->caller.node = address;
    }
    cpy_walk_flush(walk);
}

/* A thread's frames, innermost first. A generator's frame is told by the generator, which the thread only borrows. The node of a hidden stack
 * stands below that of its frame, or behind the object that has the frame. `hidden` is the address of the first of them. */
static void tell_children(cpy_walk *walk, PyThreadState *thread, uint64_t first, uint64_t hidden) {
    cpy_frame frame;
    for (void *at = cpy_layout_top_frame(thread); at != NULL; at = frame.previous) {
        cpy_layout_frame(at, &frame);
        if (frame.owner == CPY_FRAME_OF_THREAD) {
            tell_child(walk, first);
            first += 16;
        } else if (frame.owner == CPY_FRAME_OF_GENERATOR) {
            cpy_walk_tell(walk, frame.generator, mpr_label_make(MPR_LABEL_CHILD, 0) | MPR_LABEL_WEAK);
        } else if (frame.owner == CPY_FRAME_OF_OBJECT) { /* running: its caller in C owns it */
            cpy_walk_tell(walk, frame.object, mpr_label_make(MPR_LABEL_CHILD, 0));
        }
        if (cpy_temporaries_hidden(&frame)) {
            if (frame.owner != CPY_FRAME_OF_THREAD) {
                tell_child(walk, hidden);
            }
            hidden += 16;
        }
    }
}

static void tell_frames(cpy_walk *walk, PyThreadState *thread, uint64_t *hidden) {
    cpy_frame frame;
    for (void *at = cpy_layout_top_frame(thread); at != NULL; at = frame.previous) {
        cpy_layout_frame(at, &frame);
        bool hides = cpy_temporaries_hidden(&frame);
        if (frame.owner == CPY_FRAME_OF_THREAD) {
            tell_frame(walk, &frame, at, walk->synthetic);
            walk->synthetic += 16;
            if (hides) {
                tell_child(walk, *hidden);
            }
        }
        *hidden += hides ? 16 : 0;
    }
}

/* ---- frames by the public way: taken before the walk as (thread id, name, locals, globals) ---- */

/* Until 3.12 a function's frame makes a dict of its variables when it is asked, and keeps it: references of ours. They go again, unless the
 * program has that dict, too. */
static void forget_made_dict(PyObject *locals, const PyCodeObject *code) {
    if (PyDict_CheckExact(locals) && (code->co_flags & CO_OPTIMIZED) && Py_REFCNT(locals) == 2) {
        PyDict_Clear(locals);
    }
}

static PyObject *listed_frame(PyThreadState *thread, PyFrameObject *frame) {
    PyCodeObject *code = PyFrame_GetCode(frame);
    PyObject *locals = cpy_frame_locals(frame), *copy = NULL, *text = NULL, *result = NULL;
    PyObject *globals = locals == NULL ? NULL : cpy_frame_globals(frame);
    if (globals != NULL) {
        copy = PyDict_New();
        if (copy != NULL && (locals == globals || PyDict_Update(copy, locals) == 0)) { /* a module's variables are its globals */
            forget_made_dict(locals, code);
            text = PyUnicode_FromFormat("%U (%U:%d)", code->co_name, code->co_filename, code->co_firstlineno);
        }
        result = text == NULL ? NULL : Py_BuildValue("(KOOO)", (unsigned long long)thread->id, text, copy, globals);
    }
    Py_XDECREF(locals);
    Py_XDECREF(globals);
    Py_XDECREF(copy);
    Py_XDECREF(text);
    Py_DECREF(code);
    return result;
}

static int list_thread(PyThreadState *thread, PyObject *out) {
    PyFrameObject *frame = PyThreadState_GetFrame(thread);
    while (frame != NULL) {
        PyObject *listed = listed_frame(thread, frame);
        int failed = listed == NULL || PyList_Append(out, listed) < 0;
        Py_XDECREF(listed);
        PyFrameObject *back = failed ? NULL : PyFrame_GetBack(frame);
        Py_DECREF(frame);
        if (failed) {
            return -1;
        }
        frame = back;
    }
    return 0;
}

PyObject *cpy_roots_list_frames(void) {
    PyObject *out = PyList_New(0);
    PyThreadState *thread = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    for (; out != NULL && thread != NULL; thread = PyThreadState_Next(thread)) {
        if (list_thread(thread, out) < 0) {
            Py_CLEAR(out);
        }
    }
    return out;
}

static void tell_listed_frame(cpy_walk *walk, PyObject *listed) {
    char text[512];
    PyObject *locals = PyTuple_GET_ITEM(listed, CPY_LISTED_LOCALS), *name, *value;
    bool own = cpy_walk_is_own(walk, PyTuple_GET_ITEM(listed, CPY_LISTED_GLOBALS));
    Py_ssize_t at = 0;
    size_t length = cpy_text_put(text, sizeof text, PyTuple_GET_ITEM(listed, 1), 120);
    tell_node(walk, walk->synthetic, walk->frame_type, own ? MPR_NODE_OWN_WALL : 0, text, length);
    walk->synthetic += 16;
    while (PyDict_Next(locals, &at, &name, &value)) {
        cpy_walk_tell(walk, name, mpr_label_make(MPR_LABEL_NAME, 0) | MPR_LABEL_WEAK);
        cpy_walk_tell(walk, value, mpr_label_make(MPR_LABEL_LOCAL, 0));
    }
    if (own) {
        cpy_walk_emit_argument(walk, NULL);
    }
    cpy_walk_flush(walk);
}

static bool is_of_thread(PyObject *listed, PyThreadState *thread) {
    return PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(listed, 0)) == thread->id;
}

static void tell_listed(cpy_walk *walk, PyThreadState *thread, uint64_t first, bool children) {
    for (Py_ssize_t i = 0; walk->frames != NULL && i < PyList_GET_SIZE(walk->frames); i++) {
        PyObject *listed = PyList_GET_ITEM(walk->frames, i);
        if (!is_of_thread(listed, thread)) {
            continue;
        }
        if (children) {
            tell_child(walk, first);
            first += 16;
        } else {
            tell_listed_frame(walk, listed);
        }
    }
}

/* ---- threads ---- */

static void tell_thread(cpy_walk *walk, PyThreadState *thread, uint64_t address, uint64_t *hidden) {
    char text[64];
    int length = snprintf(text, sizeof text, "thread %llu (%lu)", (unsigned long long)thread->id, thread->thread_id);
    tell_node(walk, address, walk->thread_type, 0, text, (size_t)length);
    cpy_layout_thread(thread, tell_field, walk);
    if (walk->can[CPY_CAN_FRAMES]) {
        tell_children(walk, thread, walk->synthetic, *hidden);
        cpy_walk_flush(walk);
        tell_frames(walk, thread, hidden);
    } else {
        tell_listed(walk, thread, walk->synthetic, true);
        cpy_walk_flush(walk);
        tell_listed(walk, thread, 0, false);
    }
}

/* Frames that have a node of their own. */
static uint64_t count_frames(const cpy_walk *walk, PyThreadState *thread) {
    uint64_t count = 0;
    for (; thread != NULL && walk->can[CPY_CAN_FRAMES]; thread = PyThreadState_Next(thread)) {
        cpy_frame frame;
        for (void *at = cpy_layout_top_frame(thread); at != NULL; at = frame.previous) {
            cpy_layout_frame(at, &frame);
            count += frame.owner == CPY_FRAME_OF_THREAD;
        }
    }
    return count;
}

static void tell_threads(cpy_walk *walk) {
    PyThreadState *head = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    uint64_t first = walk->synthetic;
    tell_group(walk, MPR_GROUP_THREADS);
    for (PyThreadState *thread = head; thread != NULL; thread = PyThreadState_Next(thread)) {
        tell_child(walk, walk->synthetic);
        walk->synthetic += 16;
    }
    uint64_t hidden = walk->temporaries = walk->synthetic + 16 * count_frames(walk, head);
    for (PyThreadState *thread = head; thread != NULL; thread = PyThreadState_Next(thread)) {
        tell_thread(walk, thread, first, &hidden);
        first += 16;
    }
}

int cpy_walk_seed_roots(cpy_walk *walk) {
    int status = cpy_type_synthetic(walk, "<root>", &walk->root_type);
    status = status != MPR_OK ? status : cpy_type_synthetic(walk, "<thread>", &walk->thread_type);
    status = status != MPR_OK ? status : cpy_type_synthetic(walk, "<frame>", &walk->frame_type);
    walk->status = status;
    tell_group(walk, MPR_GROUP_MODULES);
    cpy_walk_tell(walk, PyImport_GetModuleDict(), mpr_label_field(MPR_FIELD_MODULES));
    cpy_walk_flush(walk);
    tell_group(walk, MPR_GROUP_INTERPRETER);
    if (walk->can[CPY_CAN_INTERPRETER]) {
        cpy_layout_interpreter(tell_if_known, walk);
    }
    if (walk->can[CPY_CAN_INTERPRETER] && walk->interned != NULL && PyDict_CheckExact(walk->interned)) {
        cpy_walk_tell(walk, walk->interned, mpr_label_field(MPR_FIELD_INTERNED_STRINGS));
    }
    if (walk->can[CPY_CAN_ATTRIBUTE_CACHE]) {
        cpy_layout_attribute_cache(tell_if_str, walk);
    }
    if (walk->can[CPY_CAN_SINGLETONS]) {
        cpy_layout_singletons(tell_field, walk);
    }
    cpy_walk_flush(walk);
    tell_threads(walk);
    return walk->status;
}
