/* SPDX-License-Identifier: MIT
 * Questions about live objects: counts, deep sizes, referrers, reference counts. */
#include <string.h>

#include "binding/binding.h"
#include "cpython/ask.h"
#include "cpython/kinds.h"

/* ---- counts ---- */

static PyObject *tally_rows(const mpr_tally *tally) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < tally->rows.count; i++) {
        const mpr_tally_row *row = &tally->rows.items[i];
        if (row->count == 0) {
            continue;
        }
        const char *text = tally->names.items + row->name;
        PyObject *name = binding_text(text, strlen(text));
        PyObject *item =
            name == NULL ? NULL : Py_BuildValue("(NKK)", name, (unsigned long long)row->count, (unsigned long long)row->bytes);
        binding_append(&list, item);
    }
    return list;
}

static PyObject *count(PyObject *module, PyObject *sizes) {
    mod_state *state = binding_state(module);
    mpr_alloc alloc;
    mpr_tally tally;
    mpr_alloc_pages(&alloc);
    cpy_library_check(state->proofs.library);
    int status = cpy_ask_count(&tally, &alloc, &state->proofs, sizes == Py_True);
    PyObject *rows = status == MPR_OK ? tally_rows(&tally) : binding_error(status);
    mpr_tally_free(&tally);
    return rows;
}

/* ---- deep sizes ---- */

static int ask_deep(mod_state *state, mpr_tally *tally, mpr_alloc *alloc, PyObject *objects, PyObject *skip, int housekeeping) {
    mpr_alloc_pages(alloc);
    cpy_library_check(state->proofs.library);
    size_t skipped = skip == NULL ? 0 : (size_t)PyTuple_GET_SIZE(skip);
    return cpy_ask_deep(tally, alloc, &state->proofs, ((PyTupleObject *)objects)->ob_item, (size_t)PyTuple_GET_SIZE(objects),
                        skip == NULL ? NULL : ((PyTupleObject *)skip)->ob_item, skipped, housekeeping != 0);
}

static PyObject *deep_sizeof(PyObject *module, PyObject *args, PyObject *keywords) {
    static char *names[] = {"objects", "skip", "housekeeping", NULL};
    PyObject *objects, *skip = NULL;
    int housekeeping = 0;
    mpr_tally tally;
    mpr_alloc alloc;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!|O!p", names, &PyTuple_Type, &objects, &PyTuple_Type, &skip,
                                     &housekeeping)) {
        return NULL;
    }
    int status = ask_deep(binding_state(module), &tally, &alloc, objects, skip, housekeeping);
    uint64_t bytes = tally.bytes;
    mpr_tally_free(&tally);
    return status == MPR_OK ? PyLong_FromUnsignedLongLong(bytes) : binding_error(status);
}

static PyObject *deep_count(PyObject *module, PyObject *args, PyObject *keywords) {
    static char *names[] = {"objects", NULL};
    PyObject *objects;
    mpr_tally tally;
    mpr_alloc alloc;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!", names, &PyTuple_Type, &objects)) {
        return NULL;
    }
    int status = ask_deep(binding_state(module), &tally, &alloc, objects, NULL, 0);
    PyObject *rows = status == MPR_OK ? tally_rows(&tally) : binding_error(status);
    mpr_tally_free(&tally);
    return rows;
}

/* ---- referrers ---- */

/* The holder as an object: a thread or frame is given by its words. */
static PyObject *holder_of(const cpy_found *found) {
    if (found->holder < MPR_SYNTHETIC) {
        return Py_NewRef((PyObject *)(uintptr_t)found->holder);
    }
    return PyUnicode_FromString("<root>");
}

/* Own all holders: what makes the answer may run the collector, which would free those that are garbage. */
static void hold(const cpy_findings *findings) {
    for (size_t i = 0; i < findings->found.count; i++) {
        if (findings->found.items[i].holder < MPR_SYNTHETIC) {
            Py_INCREF((PyObject *)(uintptr_t)findings->found.items[i].holder);
        }
    }
}

static void release(const cpy_findings *findings) {
    for (size_t i = 0; i < findings->found.count; i++) {
        if (findings->found.items[i].holder < MPR_SYNTHETIC) {
            Py_DECREF((PyObject *)(uintptr_t)findings->found.items[i].holder);
        }
    }
}

/* The findings as [(holder, label)], without the asker's own containers. */
static PyObject *found_list(const cpy_findings *findings, PyObject *asker) {
    hold(findings);
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < findings->found.count; i++) {
        const cpy_found *found = &findings->found.items[i];
        if (found->holder == (uint64_t)(uintptr_t)asker) {
            continue;
        }
        PyObject *row = Py_BuildValue("(NN)", holder_of(found), binding_text(found->label, strlen(found->label)));
        binding_append(&list, row);
    }
    release(findings);
    return list;
}

static int ask_referrers(mod_state *state, cpy_findings *findings, mpr_alloc *alloc, PyObject *const *objects, size_t count) {
    memset(findings, 0, sizeof *findings);
    mpr_alloc_pages(alloc);
    return cpy_ask_referrers(findings, alloc, &state->proofs, objects, count);
}

static PyObject *referrers(PyObject *module, PyObject *args, PyObject *keywords) {
    static char *names[] = {"objects", NULL};
    PyObject *objects;
    cpy_findings findings;
    mpr_alloc alloc;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!", names, &PyTuple_Type, &objects)) {
        return NULL;
    }
    size_t wanted = (size_t)PyTuple_GET_SIZE(objects);
    int status = ask_referrers(binding_state(module), &findings, &alloc, ((PyTupleObject *)objects)->ob_item, wanted);
    PyObject *list = status == MPR_OK ? found_list(&findings, objects) : binding_error(status);
    mpr_vec_free(&findings.found, &alloc);
    return list;
}

static PyObject *refcount(PyObject *module, PyObject *object) {
    cpy_findings findings;
    mpr_alloc alloc;
    bool immortal = cpy_is_immortal(object);
    uint64_t total = cpy_refcount(object);
    int status = ask_referrers(binding_state(module), &findings, &alloc, &object, 1);
    PyObject *list = status == MPR_OK ? found_list(&findings, NULL) : binding_error(status);
    unsigned long long strong = findings.strong;
    mpr_vec_free(&findings.found, &alloc);
    if (list == NULL) {
        return NULL;
    }
    long long residual = immortal ? 0 : (long long)total - (long long)strong;
    return Py_BuildValue("(KKLNN)", (unsigned long long)total, strong, residual, PyBool_FromLong(immortal), list);
}

static PyObject *is_immortal(PyObject *module, PyObject *object) {
    (void)module;
    return PyBool_FromLong(cpy_is_immortal(object));
}

static PyObject *is_interned(PyObject *module, PyObject *object) {
    (void)module;
    return PyBool_FromLong(cpy_is_interned(object));
}

#define KEYWORDS(function) (PyCFunction)(void (*)(void)) function, METH_VARARGS | METH_KEYWORDS

PyMethodDef binding_live_methods[] = {
    {"count", count, METH_O, "(type, count, bytes) for every type of the heap; bytes are 0 unless the argument is True."},
    {"deep_sizeof", KEYWORDS(deep_sizeof), "Bytes of everything reachable."},
    {"deep_count", KEYWORDS(deep_count), "(type, count, bytes) of everything reachable."},
    {"referrers", KEYWORDS(referrers), "(holder, label) for every reference to the objects."},
    {"refcount", refcount, METH_O, "(count, found, residual, immortal, holders)."},
    {"is_immortal", is_immortal, METH_O, "Is the object's reference count without meaning?"},
    {"is_interned", is_interned, METH_O, "Is it an interned str?"},
    {NULL, NULL, 0, NULL},
};
