/* SPDX-License-Identifier: MIT
 * See cpython/roots.h. */
#include "cpython/roots.h"

#include <frameobject.h>
#include <stdio.h>
#include <string.h>

#include "cpython/str.h"
#include "cpython/temporaries.h"
#include "graph/label.h"

#define LISTED_LOCALS 2 /* places in what is listed of a frame */
#define LISTED_GLOBALS 3

static void emit_node(cpy_roots *roots, uint64_t address, uint32_t type, uint32_t flags, const char *text, size_t length) {
    mpr_seen_node node = {.address = address, .type = type, .flags = MPR_NODE_SYNTHETIC | flags};
    cpy_emit_flush(roots->emit); /* edges of the node before */
    cpy_emit_node(roots->emit, &node);
    cpy_emit_text(roots->emit, text, length);
}

static void emit_group(cpy_roots *roots, mpr_group group) {
    const char *text = mpr_group_text(group);
    emit_node(roots, MPR_SYNTHETIC + 16 * (uint64_t)group, roots->root_type, 0, text, strlen(text));
}

/* An edge from a synthetic node to another, which is emitted by itself. */
static void emit_child(cpy_roots *roots, uint64_t address) {
    cpy_emit_edge(roots->emit, address, mpr_label_make(MPR_LABEL_CHILD, 0));
}

/* Fields of the interpreter move between micro releases: one that leads to no object of the collector's lists is not one. */
static void emit_if_known(void *context, PyObject *object, int field) {
    const cpy_emit *emit = context;
    if (object != NULL && mpr_workset_has(&emit->work, (uint64_t)(uintptr_t)object)) {
        cpy_emit_field(context, object, field);
    }
}

/* Other places of the cache have None. */
static void emit_if_str(void *context, PyObject *object, int field) {
    if (object != NULL && PyUnicode_CheckExact(object)) {
        cpy_emit_field(context, object, field);
    }
}

/* ---- frames ---- */

void cpy_roots_emit_frame(cpy_roots *roots, const cpy_frame *frame, uint64_t address) {
    char text[1024];
    size_t length = cpy_text_code(frame->code, text, sizeof text);
    emit_node(roots, address, roots->frame_type, cpy_self_has(roots->self, frame->globals) ? MPR_NODE_OWN_WALL : 0, text, length);
}

static void emit_frame(cpy_roots *roots, const cpy_frame *frame, const void *at, uint64_t address) {
    cpy_roots_emit_frame(roots, frame, address);
    cpy_edges_emit_frame(roots->emit, frame, false);
    cpy_argument_emit(roots->argument, roots->emit, at);
    if (at == roots->caller->frame) {
        roots->caller->node = address;
    }
    cpy_emit_flush(roots->emit);
}

/* A thread's frames, innermost first. A generator's frame is emitted by the generator, which the thread only borrows. The node of a hidden stack
 * stands below that of its frame, or behind the object that has the frame. `hidden` is the address of the first of them. */
static void emit_children(cpy_roots *roots, PyThreadState *thread, uint64_t first, uint64_t hidden) {
    cpy_frame frame;
    for (void *at = cpy_layout_top_frame(thread); at != NULL; at = frame.previous) {
        cpy_layout_frame(at, &frame);
        if (frame.owner == CPY_FRAME_OF_THREAD) {
            emit_child(roots, first);
            first += 16;
        } else if (frame.owner == CPY_FRAME_OF_GENERATOR) {
            cpy_emit_reference(roots->emit, frame.generator, mpr_label_make(MPR_LABEL_CHILD, 0) | MPR_LABEL_WEAK);
        } else if (frame.owner == CPY_FRAME_OF_OBJECT) { /* running: its caller in C owns it */
            cpy_emit_reference(roots->emit, frame.object, mpr_label_make(MPR_LABEL_CHILD, 0));
        }
        if (cpy_temporaries_hidden(&frame)) {
            if (frame.owner != CPY_FRAME_OF_THREAD) {
                emit_child(roots, hidden);
            }
            hidden += 16;
        }
    }
}

static void emit_frames(cpy_roots *roots, PyThreadState *thread, uint64_t *hidden) {
    cpy_frame frame;
    for (void *at = cpy_layout_top_frame(thread); at != NULL; at = frame.previous) {
        cpy_layout_frame(at, &frame);
        bool hides = cpy_temporaries_hidden(&frame);
        if (frame.owner == CPY_FRAME_OF_THREAD) {
            emit_frame(roots, &frame, at, roots->synthetic);
            roots->synthetic += 16;
            if (hides) {
                emit_child(roots, *hidden);
            }
        }
        *hidden += hides ? 16 : 0;
    }
}

/* ---- frames by public functions ---- */

/* Until 3.12 a function's frame makes a dict of its variables when it is asked, and keeps it: references of ours. They go again, unless the
 * program has that dict, too. */
static void clear_made_dict(PyObject *locals, const PyCodeObject *code) {
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
            clear_made_dict(locals, code);
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

static PyObject *list_frames(void) {
    PyObject *out = PyList_New(0);
    PyThreadState *thread = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    for (; out != NULL && thread != NULL; thread = PyThreadState_Next(thread)) {
        if (list_thread(thread, out) < 0) {
            Py_CLEAR(out);
        }
    }
    return out;
}

static void emit_listed_frame(cpy_roots *roots, PyObject *listed) {
    char text[512];
    PyObject *locals = PyTuple_GET_ITEM(listed, LISTED_LOCALS), *name, *value;
    bool own = cpy_self_has(roots->self, PyTuple_GET_ITEM(listed, LISTED_GLOBALS));
    Py_ssize_t at = 0;
    size_t length = cpy_str_utf8(text, sizeof text, PyTuple_GET_ITEM(listed, 1), 120);
    emit_node(roots, roots->synthetic, roots->frame_type, own ? MPR_NODE_OWN_WALL : 0, text, length);
    roots->synthetic += 16;
    while (PyDict_Next(locals, &at, &name, &value)) {
        cpy_emit_reference(roots->emit, name, mpr_label_make(MPR_LABEL_NAME, 0) | MPR_LABEL_WEAK);
        cpy_emit_reference(roots->emit, value, mpr_label_make(MPR_LABEL_LOCAL, 0));
    }
    if (own) {
        cpy_argument_emit(roots->argument, roots->emit, NULL);
    }
    cpy_emit_flush(roots->emit);
}

static bool is_of_thread(PyObject *listed, PyThreadState *thread) {
    return PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(listed, 0)) == thread->id;
}

static void emit_listed(cpy_roots *roots, PyThreadState *thread, uint64_t first, bool children) {
    for (Py_ssize_t i = 0; roots->frames != NULL && i < PyList_GET_SIZE(roots->frames); i++) {
        PyObject *listed = PyList_GET_ITEM(roots->frames, i);
        if (!is_of_thread(listed, thread)) {
            continue;
        }
        if (children) {
            emit_child(roots, first);
            first += 16;
        } else {
            emit_listed_frame(roots, listed);
        }
    }
}

/* ---- threads ---- */

static void emit_thread(cpy_roots *roots, PyThreadState *thread, uint64_t address, uint64_t *hidden) {
    char text[64];
    int length = snprintf(text, sizeof text, "thread %llu (%lu)", (unsigned long long)thread->id, thread->thread_id);
    emit_node(roots, address, roots->thread_type, 0, text, (size_t)length);
    cpy_layout_thread(thread, cpy_emit_field, roots->emit);
    if (roots->emit->can[CPY_CAN_FRAMES]) {
        emit_children(roots, thread, roots->synthetic, *hidden);
        cpy_emit_flush(roots->emit);
        emit_frames(roots, thread, hidden);
    } else {
        emit_listed(roots, thread, roots->synthetic, true);
        cpy_emit_flush(roots->emit);
        emit_listed(roots, thread, 0, false);
    }
}

/* Frames that have a node of their own. */
static uint64_t count_frames(const cpy_roots *roots, PyThreadState *thread) {
    uint64_t count = 0;
    for (; thread != NULL && roots->emit->can[CPY_CAN_FRAMES]; thread = PyThreadState_Next(thread)) {
        cpy_frame frame;
        for (void *at = cpy_layout_top_frame(thread); at != NULL; at = frame.previous) {
            cpy_layout_frame(at, &frame);
            count += frame.owner == CPY_FRAME_OF_THREAD;
        }
    }
    return count;
}

static void emit_threads(cpy_roots *roots) {
    PyThreadState *head = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    uint64_t first = roots->synthetic;
    emit_group(roots, MPR_GROUP_THREADS);
    for (PyThreadState *thread = head; thread != NULL; thread = PyThreadState_Next(thread)) {
        emit_child(roots, roots->synthetic);
        roots->synthetic += 16;
    }
    uint64_t hidden = roots->hidden = roots->synthetic + 16 * count_frames(roots, head);
    for (PyThreadState *thread = head; thread != NULL; thread = PyThreadState_Next(thread)) {
        emit_thread(roots, thread, first, &hidden);
        first += 16;
    }
}

/* ---- all of them ---- */

/* The copies of locals that the frames were listed with refer to what the locals refer to: they are no objects of the program. */
static void exclude_listed(cpy_roots *roots) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(roots->frames); i++) {
        PyObject *listed = PyList_GET_ITEM(roots->frames, i);
        cpy_emit_exclude(roots->emit, PyTuple_GET_ITEM(listed, LISTED_LOCALS));
        cpy_emit_exclude(roots->emit, listed);
    }
    cpy_emit_exclude(roots->emit, roots->frames);
}

int cpy_roots_begin(cpy_roots *roots) {
    roots->synthetic = MPR_SYNTHETIC + 16 * MPR_GROUP_COUNT;
    if (!roots->emit->can[CPY_CAN_FRAMES]) {
        roots->frames = list_frames();
        PyErr_Clear();
        if (roots->frames != NULL) {
            exclude_listed(roots);
        }
    }
    return roots->emit->status;
}

void cpy_roots_end(cpy_roots *roots) { Py_CLEAR(roots->frames); }

static void emit_interpreter(cpy_roots *roots) {
    cpy_emit *emit = roots->emit;
    emit_group(roots, MPR_GROUP_INTERPRETER);
    if (emit->can[CPY_CAN_INTERPRETER]) {
        cpy_layout_interpreter(emit_if_known, emit);
    }
    if (emit->can[CPY_CAN_INTERPRETER] && emit->interned != NULL && PyDict_CheckExact(emit->interned)) {
        cpy_emit_field(emit, (PyObject *)(uintptr_t)emit->interned, MPR_FIELD_INTERNED_STRINGS);
    }
    if (emit->can[CPY_CAN_ATTRIBUTE_CACHE]) {
        cpy_layout_attribute_cache(emit_if_str, emit);
    }
    if (emit->can[CPY_CAN_SINGLETONS]) {
        cpy_layout_singletons(cpy_emit_field, emit);
        cpy_layout_constants(cpy_emit_field, emit);
    }
}

int cpy_roots_emit(cpy_roots *roots) {
    roots->root_type = cpy_type_synthetic(roots->types, "<root>");
    roots->thread_type = cpy_type_synthetic(roots->types, "<thread>");
    roots->frame_type = cpy_type_synthetic(roots->types, "<frame>");
    emit_group(roots, MPR_GROUP_MODULES);
    cpy_emit_field(roots->emit, PyImport_GetModuleDict(), MPR_FIELD_MODULES);
    emit_interpreter(roots);
    emit_threads(roots);
    cpy_emit_flush(roots->emit);
    return roots->emit->status;
}
