/* SPDX-License-Identifier: MIT
 * memprobe._core: multi-phase initialisation, per-module state, heap types. It shares the collector's lists with nobody, so a
 * subinterpreter with a GIL of its own is refused, and a build without the GIL is refused by the package before it gets here. */
#include "binding/binding.h"

#include <dlfcn.h>
#include <errno.h>

mod_state *binding_state(PyObject *module) { return PyModule_GetState(module); }

PyObject *binding_error(int status) {
    switch (status) {
    case MPR_ENOMEM:
        return PyErr_NoMemory();
    case MPR_EIO:
        return PyErr_SetFromErrno(PyExc_OSError);
    case MPR_ECANCELLED:
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_KeyboardInterrupt, mpr_status_text(status));
        }
        return NULL;
    case MPR_EFORMAT:
    case MPR_EVERSION:
        PyErr_SetString(PyExc_ValueError, mpr_status_text(status));
        return NULL;
    default:
        PyErr_SetString(PyExc_RuntimeError, mpr_status_text(status));
        return NULL;
    }
}

PyObject *binding_text(const char *text, size_t length) { return PyUnicode_DecodeUTF8(text, (Py_ssize_t)length, "replace"); }

PyObject *binding_type_text(const mpr_graph *g, uint32_t type) {
    return binding_text(g->strings + g->types[type].name, g->types[type].name_length);
}

void binding_append(PyObject **list, PyObject *row) {
    if (*list != NULL && (row == NULL || PyList_Append(*list, row) < 0)) {
        Py_CLEAR(*list);
    }
    Py_XDECREF(row);
}

PyObject *binding_ids(const uint32_t *items, size_t count) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *id = PyLong_FromUnsignedLong(items[i]);
        if (id == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, id);
    }
    return list;
}

/* glibc loads this library when a thread of Python's ends after the interpreter (before 3.14), and ends the process when it cannot: after a
 * chroot, or without descriptors or memory. Our agent is such a thread. */
static void prepare_for_threads_that_outlive_python(void) { dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_GLOBAL); }

static int execute(PyObject *module) {
    mod_state *state = binding_state(module);
    prepare_for_threads_that_outlive_python();
    if (cpy_selfcheck(&state->proofs) < 0) {
        return -1;
    }
    state->graph_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &binding_graph_spec, NULL);
    state->column_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &binding_column_spec, NULL);
    state->holders_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &binding_holders_spec, NULL);
    state->held_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &binding_held_spec, NULL);
    state->cycles_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &binding_cycles_spec, NULL);
    if (state->graph_type == NULL || state->column_type == NULL || state->holders_type == NULL || state->held_type == NULL ||
        state->cycles_type == NULL || PyModule_AddType(module, state->graph_type) < 0 ||
        PyModule_AddType(module, state->holders_type) < 0 || PyModule_AddType(module, state->held_type) < 0 ||
        PyModule_AddType(module, state->cycles_type) < 0) {
        return -1;
    }
    PyMethodDef *const parts[] = {binding_live_methods,        binding_file_methods,     binding_snapshot_methods,
                                  binding_interpreter_methods, binding_question_methods, binding_cycle_methods,
                                  binding_leak_methods,        binding_tracked_methods,  binding_picture_methods,
                                  binding_descriptor_methods};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (PyModule_AddFunctions(module, parts[i]) < 0) {
            return -1;
        }
    }
    return PyModule_AddStringConstant(module, "ABI", MEMPROBE_VERSION);
}

static int traverse(PyObject *module, visitproc visit, void *arg) {
    mod_state *state = binding_state(module);
    Py_VISIT(state->graph_type);
    Py_VISIT(state->column_type);
    Py_VISIT(state->holders_type);
    Py_VISIT(state->held_type);
    Py_VISIT(state->cycles_type);
    return 0;
}

static int clear(PyObject *module) {
    mod_state *state = binding_state(module);
    Py_CLEAR(state->graph_type);
    Py_CLEAR(state->column_type);
    Py_CLEAR(state->holders_type);
    Py_CLEAR(state->held_type);
    Py_CLEAR(state->cycles_type);
    return 0;
}

static void destroy(void *module) {
    clear(module);
    mpr_snapshots_free(&binding_state(module)->snapshots);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, CPY_MODULE_SLOTS{0, NULL}};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "memprobe._core",
    .m_doc = "The C extension of memprobe: parse, call, convert.",
    .m_size = sizeof(mod_state),
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = destroy,
};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&definition); }
