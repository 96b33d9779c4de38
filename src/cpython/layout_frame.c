/* SPDX-License-Identifier: MIT
 * Frames. Until 3.10 a frame is an object; from 3.11 on it is a struct on the thread's own stack, in a generator or in a frame object,
 * and from 3.14 on its slots are tagged references. */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "cpython/layout.h"

#include <string.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_frame.h>
#include <internal/pycore_genobject.h>
#include <internal/pycore_interpframe.h>
#include <internal/pycore_stackref.h>
#elif PY_VERSION_HEX >= 0x030B0000
#include <internal/pycore_frame.h>
#endif
#include <frameobject.h>
#if PY_VERSION_HEX < 0x030B0000
#include <opcode.h>
#endif

#include "graph/label.h"

#if PY_VERSION_HEX < 0x030B0000

void *cpy_layout_top_frame(PyThreadState *thread) { return thread->frame; }

void cpy_layout_frame(void *frame, cpy_frame *out) {
    PyFrameObject *f = frame;
    memset(out, 0, sizeof *out);
    out->owner = f->f_gen != NULL ? CPY_FRAME_OF_GENERATOR : CPY_FRAME_OF_OBJECT;
    out->code = f->f_code;
    out->generator = f->f_gen;
    out->globals = f->f_globals;
    out->locals = f->f_locals;
    out->object = (PyObject *)f;
    out->slots = (const uintptr_t *)f->f_localsplus;
    out->locals_count = (int)(f->f_valuestack - f->f_localsplus);
    out->stack_count = f->f_stackdepth > 0 ? f->f_stackdepth : 0;
    out->previous = f->f_back;
}

/* Arguments that are the object in the call of this function with `count` arguments that is under way. The stack's depth is not known: the
 * function is looked for, and the arguments lie above it. What else stands there may be gone: words are compared, and never followed. */
static unsigned passed(const PyFrameObject *f, const PyObject *callee, int count, const PyObject *argument) {
    PyObject *const *end = f->f_valuestack + f->f_code->co_stacksize;
    for (PyObject *const *at = f->f_valuestack; callee != NULL && at + count < end; at++) {
        if (*at == callee) {
            unsigned found = 0;
            for (int i = 1; i <= count; i++) {
                found += at[i] == argument;
            }
            return found;
        }
    }
    return 0;
}

unsigned cpy_layout_hidden_references(void *frame, PyObject *argument) {
    const PyFrameObject *called = frame, *caller = called == NULL ? NULL : called->f_back;
    if (caller == NULL || caller->f_lasti < 0) {
        return 1;
    }
    _Py_CODEUNIT unit = ((const _Py_CODEUNIT *)PyBytes_AS_STRING(caller->f_code->co_code))[caller->f_lasti];
    bool calls = _Py_OPCODE(unit) == CALL_FUNCTION || _Py_OPCODE(unit) == CALL_METHOD || _Py_OPCODE(unit) == CALL_FUNCTION_KW;
    const PyObject *callee = calls ? PyDict_GetItem(called->f_globals, called->f_code->co_name) : NULL;
    return 1 + passed(caller, callee, _Py_OPARG(unit), argument);
}

bool cpy_layout_has_frame(PyTypeObject *type) { return type == &PyFrame_Type; }

void *cpy_layout_inner_frame(PyObject *object) { return PyFrame_Check(object) ? object : NULL; }

PyObject *cpy_slot_object(uintptr_t slot, bool *owned) {
    *owned = true;
    return (PyObject *)slot;
}

PyObject *cpy_layout_local_name(PyCodeObject *code, int i) {
    PyObject *const parts[] = {code->co_varnames, code->co_cellvars, code->co_freevars};
    for (int part = 0; part < 3; part++) {
        int count = (int)PyTuple_GET_SIZE(parts[part]);
        if (i < count) {
            return PyTuple_GET_ITEM(parts[part], i);
        }
        i -= count;
    }
    return NULL;
}

bool cpy_layout_local_is_cell(PyCodeObject *code, int i) { return i >= code->co_nlocals; }

bool cpy_layout_running_generator_hides(const cpy_frame *frame) {
    (void)frame;
    return false;
}

bool cpy_layout_hides_stack(const cpy_frame *frame) { return ((const PyFrameObject *)frame->object)->f_stackdepth < 0; }

size_t cpy_layout_slots(PyObject *object) { return PyFrame_Check(object) ? (size_t)Py_SIZE(object) : 0; }

void cpy_layout_generator(PyObject *object, cpy_owned emit, void *context) {
    if (PyCoro_CheckExact(object)) {
        emit(context, ((PyCoroObject *)object)->cr_origin, MPR_FIELD_ORIGIN);
    }
}

#else

typedef struct _PyInterpreterFrame iframe;

unsigned cpy_layout_hidden_references(void *frame, PyObject *argument) {
    (void)frame, (void)argument;
#if PY_VERSION_HEX >= 0x030E0000
    return 0;
#else
    return 1;
#endif
}

void *cpy_layout_top_frame(PyThreadState *thread) {
#if PY_VERSION_HEX >= 0x030D0000
    return thread->current_frame;
#else
    return thread->cframe == NULL ? NULL : thread->cframe->current_frame; /* a thread that is just being made has none */
#endif
}

PyObject *cpy_slot_object(uintptr_t slot, bool *owned) {
#if PY_VERSION_HEX >= 0x030E0000
    if ((slot & ~(uintptr_t)3) == 0 || (slot & 2) != 0) {
        return NULL; /* nothing, a tagged integer, or a mark that is no reference */
    }
    *owned = (slot & 1) == 0;
    return (PyObject *)(slot & ~(uintptr_t)3);
#else
    *owned = true;
    return (PyObject *)slot;
#endif
}

static cpy_frame_owner owner_of(const iframe *f) {
    switch (f->owner) {
    case FRAME_OWNED_BY_THREAD:
        return CPY_FRAME_OF_THREAD;
    case FRAME_OWNED_BY_GENERATOR:
        return CPY_FRAME_OF_GENERATOR;
    case FRAME_OWNED_BY_FRAME_OBJECT:
        return CPY_FRAME_OF_OBJECT;
    default:
        return CPY_FRAME_SHIM;
    }
}

static PyObject *executable_of(const iframe *f, bool *owned) {
#if PY_VERSION_HEX >= 0x030E0000
    return cpy_slot_object(f->f_executable.bits, owned);
#else
    *owned = true;
#if PY_VERSION_HEX >= 0x030D0000
    return f->f_executable;
#else
    return (PyObject *)f->f_code;
#endif
#endif
}

static PyObject *function_of(const iframe *f, bool *owned) {
#if PY_VERSION_HEX >= 0x030E0000
    return cpy_slot_object(f->f_funcobj.bits, owned);
#else
    *owned = true;
#if PY_VERSION_HEX >= 0x030C0000
    return f->f_funcobj;
#else
    return (PyObject *)f->f_func;
#endif
#endif
}

/* Entries on the value stack, 0 where the depth is not stored. */
static int stack_depth(const iframe *f, int locals) {
#if PY_VERSION_HEX >= 0x030E0000
    ptrdiff_t depth = f->stackpointer == NULL ? 0 : f->stackpointer - f->localsplus - locals;
    return depth > 0 ? (int)depth : 0;
#else
    return f->stacktop > locals ? f->stacktop - locals : 0;
#endif
}

static PyObject *generator_of(const iframe *f) { return (PyObject *)((char *)f - offsetof(PyGenObject, gi_iframe)); }

void cpy_layout_frame(void *frame, cpy_frame *out) {
    const iframe *f = frame;
    memset(out, 0, sizeof *out);
    out->owner = owner_of(f);
    out->previous = f->previous;
    PyObject *executable = executable_of(f, &out->code_owned);
    if (out->owner == CPY_FRAME_SHIM || executable == NULL || !PyCode_Check(executable)) {
        out->owner = CPY_FRAME_SHIM;
        return;
    }
    out->code = (PyCodeObject *)executable;
    out->function = function_of(f, &out->function_owned);
    /* from 3.12 on a class that is called may have a frame that waits for its __init__: it has no function, and nobody sets its globals */
    out->globals = out->function == Py_None ? NULL : f->f_globals;
    out->locals = f->f_locals;
    out->object = (PyObject *)f->frame_obj;
    out->generator = out->owner == CPY_FRAME_OF_GENERATOR ? generator_of(f) : NULL;
    out->slots = (const uintptr_t *)f->localsplus;
    out->locals_count = out->code->co_nlocalsplus;
    out->stack_count = stack_depth(f, out->locals_count);
}

bool cpy_layout_has_frame(PyTypeObject *type) {
    return type == &PyFrame_Type || type == &PyGen_Type || type == &PyCoro_Type || type == &PyAsyncGen_Type;
}

void *cpy_layout_inner_frame(PyObject *object) {
    if (PyGen_CheckExact(object) || PyCoro_CheckExact(object) || PyAsyncGen_CheckExact(object)) {
        PyGenObject *generator = (PyGenObject *)object;
#if PY_VERSION_HEX >= 0x030F0000
        bool alive = generator->gi_frame_state != FRAME_CLEARED;
#else
        bool alive = generator->gi_frame_state < FRAME_CLEARED;
#endif
        return alive ? (void *)&generator->gi_iframe : NULL;
    }
    if (PyFrame_Check(object)) {
        iframe *f = ((PyFrameObject *)object)->f_frame;
        return f != NULL && f->owner == FRAME_OWNED_BY_FRAME_OBJECT ? f : NULL;
    }
    return NULL;
}

PyObject *cpy_layout_local_name(PyCodeObject *code, int i) {
    return i < PyTuple_GET_SIZE(code->co_localsplusnames) ? PyTuple_GET_ITEM(code->co_localsplusnames, i) : NULL;
}

bool cpy_layout_local_is_cell(PyCodeObject *code, int i) {
    const char *kinds = PyBytes_AS_STRING(code->co_localspluskinds);
    return (kinds[i] & (0x40 | 0x80)) != 0; /* CO_FAST_CELL, CO_FAST_FREE */
}

bool cpy_layout_running_generator_hides(const cpy_frame *frame) {
#if PY_VERSION_HEX >= 0x030E0000
    (void)frame;
    return false;
#else
    const iframe *f = (const iframe *)((const char *)frame->slots - offsetof(iframe, localsplus));
    return f->stacktop < 0;
#endif
}

bool cpy_layout_hides_stack(const cpy_frame *frame) { return cpy_layout_running_generator_hides(frame); }

static PyCodeObject *code_of(PyObject *object) {
    if (PyFrame_Check(object)) {
        bool owned;
        const iframe *f = ((PyFrameObject *)object)->f_frame;
        PyObject *code = f == NULL || f->owner != FRAME_OWNED_BY_FRAME_OBJECT ? NULL : executable_of(f, &owned);
        return code != NULL && PyCode_Check(code) ? (PyCodeObject *)code : NULL;
    }
#if PY_VERSION_HEX >= 0x030C0000
    bool owned;
    PyObject *code = executable_of((const iframe *)&((PyGenObject *)object)->gi_iframe, &owned);
    return code != NULL && PyCode_Check(code) ? (PyCodeObject *)code : NULL;
#else
    return ((PyGenObject *)object)->gi_code;
#endif
}

/* A frame object is allocated with room for its code's frame also while the frame lives elsewhere. */
static PyCodeObject *any_code_of(PyObject *object) {
    if (PyFrame_Check(object) && ((PyFrameObject *)object)->f_frame != NULL) {
        bool owned;
        PyObject *code = executable_of(((PyFrameObject *)object)->f_frame, &owned);
        return code != NULL && PyCode_Check(code) ? (PyCodeObject *)code : NULL;
    }
    return code_of(object);
}

size_t cpy_layout_slots(PyObject *object) {
    PyCodeObject *code = any_code_of(object);
    return code == NULL ? 0 : (size_t)code->co_nlocalsplus + (size_t)code->co_stacksize;
}

void cpy_layout_generator(PyObject *object, cpy_owned emit, void *context) {
    PyGenObject *generator = (PyGenObject *)object;
    if (PyCoro_CheckExact(object)) {
        emit(context, ((PyCoroObject *)object)->cr_origin_or_finalizer, MPR_FIELD_ORIGIN);
    }
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000
    if (generator->gi_frame_state >= FRAME_CLEARED) {
        emit(context, (PyObject *)code_of(object), MPR_FIELD_GI_CODE);
    }
#else
    (void)generator;
#endif
}

#endif
