/* SPDX-License-Identifier: MIT
 * C types of libraries, by layouts that no header gives (library.h). A row is used only after its check: an object of the type is made with
 * contents that are known, and the formula must find them. Types are found by name in modules that the program has loaded; nothing is
 * imported. */
#include "cpython/library.h"

#include <string.h>

static const cpy_library *const libraries[] = {cpy_library_python, cpy_library_numpy, cpy_library_arrow, cpy_library_pillow};

#define LIBRARIES (sizeof libraries / sizeof *libraries)

/* Row `number` of all rows, or NULL behind the last. `proved` has an entry for each, in this order; a row without one is never proved. */
static const cpy_library *row_at(size_t number) {
    for (size_t i = 0; i < LIBRARIES && number < CPY_LIBRARY_MAX; i++) {
        for (const cpy_library *row = libraries[i]; row->kind.name != NULL; row++) {
            if (number-- == 0) {
                return row;
            }
        }
    }
    return NULL;
}

/* The row of the type's name, and its number; or NULL. */
static const cpy_library *row_of(const PyTypeObject *type, size_t *number) {
    *number = 0;
    for (size_t i = 0; i < LIBRARIES; i++) {
        for (const cpy_library *row = libraries[i]; row->kind.name != NULL && *number < CPY_LIBRARY_MAX; row++, ++*number) {
            if (strcmp(row->kind.name, type->tp_name) == 0) {
                return row;
            }
        }
    }
    return NULL;
}

const cpy_kind *cpy_library_row(PyTypeObject *type, const signed char *proved) {
    size_t i;
    const cpy_library *row = row_of(type, &i);
    return row != NULL && (row->check == NULL || proved[i] > 0) ? &row->kind : NULL;
}

bool cpy_library_unproved(PyTypeObject *type, const signed char *proved) {
    size_t i;
    const cpy_library *row = row_of(type, &i);
    return row != NULL && row->check != NULL && proved[i] <= 0;
}

/* ---- proof ---- */

static PyObject *sample_of(const cpy_library *row, PyObject *type) {
    PyObject *names = Py_BuildValue("{sOsO}", "T", type, "__builtins__", PyEval_GetBuiltins());
    PyObject *sample = names == NULL ? NULL : PyRun_String(row->sample, Py_eval_input, names, names);
    Py_XDECREF(names);
    return sample;
}

/* The type, if the program has loaded its module and nobody has put something else in its place; None for one that has no name there. */
static PyObject *loaded_type(const cpy_library *row) {
    PyObject *modules = PyImport_GetModuleDict(), *module = PyDict_GetItemString(modules, row->module);
    if (module == NULL || !PyModule_Check(module)) {
        return NULL;
    }
    if (row->attribute == NULL) {
        return Py_None;
    }
    PyObject *type = PyDict_GetItemString(PyModule_GetDict(module), row->attribute);
    bool right = type != NULL && PyType_Check(type) && !cpy_is_python_class((PyTypeObject *)type);
    return right ? type : NULL;
}

void cpy_library_check(signed char *proved) {
    const cpy_library *row;
    for (size_t i = 0; (row = row_at(i)) != NULL; i++) {
        PyObject *type = proved[i] != 0 || row->check == NULL ? NULL : loaded_type(row);
        if (type != NULL) {
            PyObject *sample = sample_of(row, type);
            bool named = sample != NULL && (row->attribute != NULL || strcmp(Py_TYPE(sample)->tp_name, row->kind.name) == 0);
            proved[i] = named && row->check(sample) ? 1 : -1;
            Py_XDECREF(sample);
            PyErr_Clear();
        }
    }
}

size_t cpy_library_failed(const signed char *proved, const char **names, size_t most) {
    size_t count = 0;
    const cpy_library *row;
    for (size_t i = 0; count < most && (row = row_at(i)) != NULL; i++) {
        if (proved[i] < 0) {
            names[count++] = row->kind.name;
        }
    }
    return count;
}
