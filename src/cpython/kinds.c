/* SPDX-License-Identifier: MIT
 * The table of kinds: what instances of the builtin types own beyond their bodies, and what their references are called. */
#include "cpython/kinds.h"

#include <frameobject.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>

#include "cpython/library.h"
#include "graph/label.h"

#define PLACE(type, member, name) {(uint16_t)offsetof(type, member), MPR_FIELD_##name}

/* ---- bodies that are not basicsize + items ---- */

static size_t body_int(PyObject *object, PyTypeObject *type) {
    size_t bytes = (size_t)type->tp_basicsize + cpy_int_digits(object) * sizeof(digit);
    return bytes < sizeof(PyLongObject) ? sizeof(PyLongObject) : bytes;
}

static size_t body_str(PyObject *object, PyTypeObject *type) {
    size_t bytes = cpy_str_body_bytes(object);
    size_t extra =
        (size_t)(type->tp_basicsize > PyUnicode_Type.tp_basicsize ? type->tp_basicsize - PyUnicode_Type.tp_basicsize : 0);
    return bytes + extra;
}

static size_t body_bytes(PyObject *object, PyTypeObject *type) { return (size_t)type->tp_basicsize + (size_t)Py_SIZE(object); }

/* Frames and generators have items but no ob_size: their code knows how many. */
static size_t body_slots(PyObject *object, PyTypeObject *type) {
    return (size_t)type->tp_basicsize + cpy_layout_slots(object) * sizeof(PyObject *);
}

/* ---- private buffers ---- */

static size_t owned_list(PyObject *object, cpy_blocks *blocks) {
    return cpy_layout_list_bytes((const PyListObject *)object, blocks);
}

size_t cpy_owned_dict(PyObject *object, cpy_blocks *blocks) {
    cpy_table table;
    cpy_layout_dict(object, &table);
    return cpy_block(blocks, table.block, table.bytes);
}

static size_t owned_set(PyObject *object, cpy_blocks *blocks) {
    const PySetObject *set = (const PySetObject *)object;
    return set->table == set->smalltable ? 0 : cpy_block(blocks, set->table, ((size_t)set->mask + 1) * sizeof(setentry));
}

/* From 3.15 on the buffer is an object, of which nobody knows but its bytearray: counted there. */
static void edges_bytearray(cpy_emit *emit, PyObject *object) {
    PyObject *buffer = cpy_bytearray_object(object);
    if (buffer != NULL && !cpy_is_immortal(buffer) && cpy_refcount(buffer) == 1) {
        cpy_emit_exclude(emit, buffer);
    }
}

static size_t owned_type(PyObject *object, cpy_blocks *blocks) {
    PyTypeObject *type = (PyTypeObject *)object;
    return type->tp_flags & Py_TPFLAGS_HEAPTYPE ? cpy_layout_type_bytes(type, blocks) : 0;
}

size_t cpy_owned_nothing(PyObject *object, cpy_blocks *blocks) {
    (void)object, (void)blocks;
    return 0;
}

static size_t owned_code(PyObject *object, cpy_blocks *blocks) { return cpy_layout_code_bytes((PyCodeObject *)object, blocks); }

/* ---- edges ---- */

static void edges_list(cpy_emit *emit, PyObject *object) {
    PyListObject *list = (PyListObject *)object;
    cpy_emit_items(emit, list->ob_item, list->ob_item == NULL ? 0 : Py_SIZE(object), true);
}

/* A struct sequence is a tuple of C, whose own tp_traverse goes from its beginning. */
static void edges_tuple(cpy_emit *emit, PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    bool backward = type->tp_traverse == PyTuple_Type.tp_traverse || cpy_is_python_class(type);
    cpy_emit_items(emit, ((PyTupleObject *)object)->ob_item, Py_SIZE(object), backward);
}

/* A static type borrows its base, which its bases own. */
static void emit_static_field(void *context, PyObject *object, int field) {
    cpy_emit_reference(context, object, mpr_label_field((mpr_field)field) | (field == MPR_FIELD_BASE ? MPR_LABEL_WEAK : 0));
}

static void edges_code(cpy_emit *emit, PyObject *object) { cpy_layout_code((PyCodeObject *)object, cpy_emit_field, emit); }

/* A class: its struct is emitted field by field, because type_traverse aborts on a static one and leaves out what cannot be in a cycle. */
static void edges_type(cpy_emit *emit, PyObject *object) {
    PyTypeObject *type = (PyTypeObject *)object;
    cpy_table keys;
    cpy_layout_type(type, type->tp_flags & Py_TPFLAGS_HEAPTYPE ? cpy_emit_field : emit_static_field, emit);
    if (emit->can[CPY_CAN_DICT] && cpy_layout_shared_keys(type, &keys)) {
        for (Py_ssize_t i = 0; i < keys.count; i++) {
            cpy_emit_reference(emit, cpy_table_key(&keys, i), mpr_label_field(MPR_FIELD_CACHED_KEY));
        }
    }
    /* a metaclass may add members to its classes */
    for (PyTypeObject *meta = Py_TYPE(object); meta != NULL && meta != &PyType_Type; meta = meta->tp_base) {
        for (PyMemberDef *member = meta->tp_members; member != NULL && member->name != NULL; member++) {
            if (member->type == T_OBJECT_EX && member->offset >= (Py_ssize_t)sizeof(PyHeapTypeObject)) {
                PyObject **place = (PyObject **)((char *)object + member->offset);
                cpy_emit_reference(emit, *place, mpr_label_make(MPR_LABEL_OFFSET, (uint64_t)member->offset));
            }
        }
    }
}

static void edges_weakref(cpy_emit *emit, PyObject *object) {
    PyObject *referent = ((PyWeakReference *)object)->wr_object;
    if (referent != Py_None) {
        cpy_emit_reference(emit, referent, mpr_label_field(MPR_FIELD_REFERENT));
    }
}

static void edges_descriptor(cpy_emit *emit, PyObject *object) {
    cpy_emit_word(emit, object, offsetof(PyDescrObject, d_name) / sizeof(PyObject *), mpr_label_field(MPR_FIELD_NAME));
    cpy_emit_word(emit, object, offsetof(PyDescrObject, d_qualname) / sizeof(PyObject *), mpr_label_field(MPR_FIELD_QUALNAME));
}

/* A function of a module refers to it: so does every other. */
static void edges_builtin(cpy_emit *emit, PyObject *object) {
    PyObject *self = ((PyCFunctionObject *)object)->m_self;
    if (self != NULL && PyModule_Check(self)) {
        mpr_label label = mpr_label_field(MPR_FIELD_SELF) | MPR_LABEL_HOUSEKEEPING;
        cpy_emit_word(emit, object, offsetof(PyCFunctionObject, m_self) / sizeof(PyObject *), label);
    }
}

/* The variables of a closure are the last of its function's code; their names are only noted here. */
static void edges_function(cpy_emit *emit, PyObject *object) {
    PyObject *closure = PyFunction_GET_CLOSURE(object);
    PyCodeObject *code = (PyCodeObject *)PyFunction_GET_CODE(object);
    int count = 0;
    if (closure == NULL || !emit->names.strings) {
        return;
    }
    while (cpy_layout_local_name(code, count) != NULL) {
        count++;
    }
    for (Py_ssize_t i = count - PyTuple_GET_SIZE(closure); i >= 0 && i < count; i++) {
        cpy_emit_check(emit, cpy_names_note(&emit->names, cpy_layout_local_name(code, (int)i)));
    }
}

/* A context variable is called as it was made: { name, default ... } */
static void edges_context_variable(cpy_emit *emit, PyObject *object) {
    cpy_emit_check(emit, cpy_names_note(&emit->names, WORD(object, 2)));
}

static void edges_module(cpy_emit *emit, PyObject *object) {
    cpy_emit_reference(emit, cpy_layout_module_name(object), mpr_label_field(MPR_FIELD_NAME));
}

static void edges_generator(cpy_emit *emit, PyObject *object) { cpy_layout_generator(object, cpy_emit_field, emit); }

/* ---- what the words of a body are called ---- */

static const struct cpy_place places_function[] = {PLACE(PyFunctionObject, func_globals, GLOBALS),
                                                   PLACE(PyFunctionObject, func_builtins, BUILTINS),
                                                   PLACE(PyFunctionObject, func_name, NAME),
                                                   PLACE(PyFunctionObject, func_qualname, QUALNAME),
                                                   PLACE(PyFunctionObject, func_code, CODE),
                                                   PLACE(PyFunctionObject, func_defaults, DEFAULTS),
                                                   PLACE(PyFunctionObject, func_kwdefaults, KWDEFAULTS),
                                                   PLACE(PyFunctionObject, func_closure, CLOSURE),
                                                   PLACE(PyFunctionObject, func_doc, DOC),
                                                   PLACE(PyFunctionObject, func_dict, DICT),
                                                   PLACE(PyFunctionObject, func_module, MODULE),
                                                   PLACE(PyFunctionObject, func_annotations, ANNOTATIONS),
                                                   END};
static const struct cpy_place places_method[] = {PLACE(PyMethodObject, im_func, FUNC), PLACE(PyMethodObject, im_self, SELF), END};
static const struct cpy_place places_builtin[] = {PLACE(PyCFunctionObject, m_self, SELF),
                                                  PLACE(PyCFunctionObject, m_module, MODULE), END};
static const struct cpy_place places_cell[] = {PLACE(PyCellObject, ob_ref, CELL_CONTENTS), END};
static const struct cpy_place places_module[] = {WORD_PLACE(2, NAMESPACE), END};
static const struct cpy_place places_weakref[] = {PLACE(PyWeakReference, wr_callback, CALLBACK), END};
static const struct cpy_place places_property[] = {WORD_PLACE(2, FGET), WORD_PLACE(3, FSET), WORD_PLACE(4, FDEL),
                                                   WORD_PLACE(5, DOC),  WORD_PLACE(6, NAME), END};
static const struct cpy_place places_wrapped[] = {WORD_PLACE(2, WRAPPED), END};
static const struct cpy_place places_descriptor[] = {PLACE(PyDescrObject, d_type, OBJCLASS), END};
static const struct cpy_place places_slice[] = {PLACE(PySliceObject, start, START), PLACE(PySliceObject, stop, STOP),
                                                PLACE(PySliceObject, step, STEP), END};
static const struct cpy_place places_exception[] = {
    PLACE(PyBaseExceptionObject, dict, DICT),           PLACE(PyBaseExceptionObject, args, ARGS),
    PLACE(PyBaseExceptionObject, traceback, TRACEBACK), PLACE(PyBaseExceptionObject, context, CONTEXT),
    PLACE(PyBaseExceptionObject, cause, CAUSE),         END};
static const struct cpy_place places_traceback[] = {PLACE(PyTracebackObject, tb_next, TB_NEXT),
                                                    PLACE(PyTracebackObject, tb_frame, TB_FRAME), END};
static const struct cpy_place places_range[] = {WORD_PLACE(2, START), WORD_PLACE(3, STOP), WORD_PLACE(4, STEP), WORD_PLACE(5, NONE),
                                                END};
static const struct cpy_place places_mappingproxy[] = {WORD_PLACE(2, NONE), END};

static const struct cpy_place places_frame[] = {WORD_PLACE(CPY_FRAME_BACK_WORD, F_BACK),
                                                WORD_PLACE(CPY_FRAME_GLOBALS_WORD, F_GLOBALS),
                                                WORD_PLACE(CPY_FRAME_BUILTINS_WORD, F_BUILTINS), END};
static const struct cpy_place places_generator[] = {WORD_PLACE(CPY_GENERATOR_NAME_WORD, GI_NAME),
                                                    WORD_PLACE(CPY_GENERATOR_NAME_WORD + 1, QUALNAME),
                                                    WORD_PLACE(CPY_GENERATOR_NAME_WORD + 2, EXC_STATE), END};

/* ---- the table ---- */

static const cpy_kind plain = {.name = "object"};

static const cpy_kind builtin_kinds[] = {
    {.exact = &PyLong_Type, .body = body_int},
    {.exact = &PyUnicode_Type, .body = body_str, .owned = cpy_str_buffer_bytes},
    {.exact = &PyBytes_Type, .body = body_bytes},
    {.exact = &PyByteArray_Type, .owned = cpy_bytearray_bytes, .edges = edges_bytearray},
    {.exact = &PyList_Type, .owned = owned_list, .edges = edges_list, .complete = true},
    {.exact = &PyTuple_Type, .edges = edges_tuple, .complete = true},
    {.exact = &PyDict_Type, .owned = cpy_owned_dict, .edges = cpy_emit_dict, .complete = true},
    {.exact = CPY_FROZENDICT, .owned = cpy_owned_dict, .edges = cpy_emit_dict, .complete = true},
    {.exact = &PySet_Type, .owned = owned_set, .loose = (mpr_label)MPR_LABEL_ELEMENT << 28},
    {.exact = &PyFrozenSet_Type, .owned = owned_set, .loose = (mpr_label)MPR_LABEL_ELEMENT << 28},
    {.exact = &PyType_Type, .owned = owned_type, .edges = edges_type, .complete = true, .complete_below = true},
    {.exact = &PyCode_Type, .owned = owned_code, .edges = edges_code, .complete = true},
    {.exact = &PyFunction_Type, .edges = edges_function, .places = places_function},
    {.exact = &PyContextVar_Type, .edges = edges_context_variable},
    {.exact = &PyMethod_Type, .places = places_method},
    {.exact = &PyCFunction_Type, .edges = edges_builtin, .places = places_builtin},
    {.exact = &PyCell_Type, .places = places_cell},
    {.exact = &PyModule_Type, .edges = edges_module, .places = places_module},
    {.name = "weakref", .exact = &_PyWeakref_RefType, .edges = edges_weakref, .places = places_weakref},
    {.exact = &_PyWeakref_ProxyType, .edges = edges_weakref, .places = places_weakref},
    {.exact = &_PyWeakref_CallableProxyType, .edges = edges_weakref, .places = places_weakref},
    {.exact = &PyProperty_Type, .places = places_property},
    {.exact = &PyStaticMethod_Type, .places = places_wrapped},
    {.exact = &PyClassMethod_Type, .places = places_wrapped},
    {.exact = &PyMethodDescr_Type, .edges = edges_descriptor, .places = places_descriptor},
    {.exact = &PyMemberDescr_Type, .edges = edges_descriptor, .places = places_descriptor},
    {.exact = &PyGetSetDescr_Type, .edges = edges_descriptor, .places = places_descriptor},
    {.exact = &PyWrapperDescr_Type, .edges = edges_descriptor, .places = places_descriptor},
    {.exact = &PyClassMethodDescr_Type, .edges = edges_descriptor, .places = places_descriptor},
    {.exact = &PySlice_Type, .places = places_slice},
    {.exact = &PyRange_Type, .places = places_range},
    {.exact = &PyDictProxy_Type, .places = places_mappingproxy},
    {.exact = &PyTraceBack_Type, .places = places_traceback},
    {.exact = &PyFrame_Type, .body = body_slots, .places = places_frame},
    {.exact = &PyGen_Type, .body = body_slots, .edges = edges_generator, .places = places_generator},
    {.exact = &PyCoro_Type, .body = body_slots, .edges = edges_generator, .places = places_generator},
    {.exact = &PyAsyncGen_Type, .body = body_slots, .edges = edges_generator, .places = places_generator},
    {.exact = &PyMemoryView_Type, .owned = cpy_owned_nothing},
    {.exact = &PyFloat_Type, .owned = cpy_owned_nothing},
    {.exact = &PyComplex_Type, .owned = cpy_owned_nothing},
};

static const cpy_kind exception_kind = {.name = "BaseException", .places = places_exception};

const cpy_kind *cpy_kind_exact(PyTypeObject *type, const signed char *library) {
    for (size_t i = 0; i < sizeof builtin_kinds / sizeof *builtin_kinds; i++) {
        if (builtin_kinds[i].exact == type) {
            return &builtin_kinds[i];
        }
    }
    if (type == (PyTypeObject *)PyExc_BaseException) {
        return &exception_kind;
    }
    return cpy_is_python_class(type) ? NULL : cpy_library_row(type, library);
}

const cpy_kind *cpy_kind_of(PyTypeObject *type, const signed char *library, bool *exact) {
    for (PyTypeObject *base = type; base != NULL; base = base->tp_base) {
        const cpy_kind *row = cpy_kind_exact(base, library);
        if (row != NULL) {
            *exact = base == type;
            return row;
        }
    }
    *exact = false;
    return &plain;
}
