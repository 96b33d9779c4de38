/* SPDX-License-Identifier: MIT
 * Questions about live objects: counts, deep sizes, referrers, reference counts. */
#include <string.h>

#include "binding/binding.h"
#include "cpython/ask.h"

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
        PyObject *item = name == NULL ? NULL
                                      : Py_BuildValue("(NKKO)", name, (unsigned long long)row->count,
                                                      (unsigned long long)row->bytes, row->native ? Py_True : Py_False);
        binding_append(&list, item);
    }
    return list;
}

static PyObject *count(PyObject *module, PyObject *sizes) {
    mod_state *state = binding_state(module);
    mpr_alloc alloc;
    mpr_tally tally;
    mpr_alloc_pages(&alloc);
    int status = cpy_ask_count(&tally, &alloc, &state->proofs, sizes == Py_True);
    PyObject *rows = status == MPR_OK ? tally_rows(&tally) : binding_error(status);
    mpr_tally_free(&tally);
    return rows;
}

/* ---- deep sizes ---- */

static int ask_deep(mod_state *state, mpr_tally *tally, mpr_alloc *alloc, PyObject *objects, PyObject *skip, int housekeeping) {
    mpr_alloc_pages(alloc);
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

/* ---- private blocks ---- */

static PyObject *owned_blocks(PyObject *module, PyObject *object) {
    cpy_owned_blocks blocks = {0};
    mpr_alloc alloc;
    mpr_alloc_pages(&alloc);
    int status = cpy_ask_blocks(&blocks, &alloc, &binding_state(module)->proofs, object);
    PyObject *list = status == MPR_OK ? PyList_New(0) : binding_error(status);
    for (size_t i = 0; list != NULL && i < blocks.count; i++) {
        binding_append(&list, Py_BuildValue("(NK)", PyLong_FromVoidPtr((void *)(uintptr_t)blocks.items[i].address),
                                            (unsigned long long)blocks.items[i].bytes));
    }
    mpr_vec_free(&blocks, &alloc);
    return list;
}

/* ---- referrers ---- */

/* The holder's number in the answer's Held, or what a thread or frame is called. */
static PyObject *holder_of(const cpy_findings *findings, size_t i) {
    const cpy_found *found = &findings->found.items[i];
    return found->holder < MPR_SYNTHETIC ? PyLong_FromSize_t(i)
                                         : binding_text(findings->texts.items + found->root, found->root_length);
}

/* Hold all holders: what makes the answer may run the collector, which would free those that are garbage. */
static PyObject *hold(mod_state *state, const cpy_findings *findings, mpr_alloc *alloc) {
    binding_objects objects = {0};
    for (size_t i = 0; i < findings->found.count; i++) {
        uint64_t holder = findings->found.items[i].holder;
        if (holder < MPR_SYNTHETIC && binding_objects_add(&objects, alloc, (PyObject *)(uintptr_t)holder, (uint32_t)i) != MPR_OK) {
            binding_objects_release(&objects, alloc);
            return PyErr_NoMemory();
        }
    }
    return binding_held_new(state, &objects, alloc);
}

static PyObject *rows_of(const cpy_findings *findings) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < findings->found.count; i++) {
        PyObject *row = binding_label_row(holder_of(findings, i), &findings->found.items[i].label);
        binding_append(&list, row);
    }
    return list;
}

/* Which of the rows are variables of the frame that asked. */
static PyObject *callers_of(const cpy_findings *findings) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < findings->found.count; i++) {
        if (findings->found.items[i].callers) {
            binding_append(&list, PyLong_FromSize_t(i));
        }
    }
    return list;
}

/* (Held, rows, indexes of the caller's own): the answer to a question, with *own references of memprobe's; NULL with an exception. */
static PyObject *ask(mod_state *state, const cpy_question *question, uint64_t *own) {
    cpy_findings findings = {0};
    mpr_alloc alloc;
    mpr_alloc_pages(&alloc);
    int status = cpy_ask_referrers(&findings, &alloc, &state->proofs, question);
    PyObject *held = status == MPR_OK ? hold(state, &findings, &alloc) : binding_error(status);
    PyObject *rows = held == NULL ? NULL : rows_of(&findings), *callers = rows == NULL ? NULL : callers_of(&findings);
    *own = findings.own;
    cpy_findings_free(&findings, &alloc);
    if (callers == NULL) {
        Py_XDECREF(held);
        Py_XDECREF(rows);
        return NULL;
    }
    return Py_BuildValue("(NNN)", held, rows, callers);
}

static PyObject *referrers(PyObject *module, PyObject *objects) {
    uint64_t own;
    if (!PyTuple_Check(objects)) {
        return PyErr_Format(PyExc_TypeError, "objects must be a tuple, not %.100s", Py_TYPE(objects)->tp_name);
    }
    cpy_question question = {((PyTupleObject *)objects)->ob_item, (size_t)PyTuple_GET_SIZE(objects), objects};
    return ask(binding_state(module), &question, &own);
}

static PyObject *refcount(PyObject *module, PyObject *object) {
    uint64_t total = cpy_refcount(object), own;
    cpy_question question = {&object, 1, object};
    PyObject *answer = ask(binding_state(module), &question, &own);
    if (answer == NULL) {
        return NULL;
    }
    return Py_BuildValue("(LNN)", (long long)total - (long long)own, PyBool_FromLong(cpy_is_immortal(object)), answer);
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
    {"owned_blocks", owned_blocks, METH_O, "(address, bytes) of each private block of an object that can be located."},
    {"referrers", referrers, METH_O, "(Held, rows, the caller's own): every reference to the objects of a tuple."},
    {"refcount", refcount, METH_O, "(count, immortal, answer as referrers gives it)."},
    {"is_immortal", is_immortal, METH_O, "Is the object's reference count without meaning?"},
    {"is_interned", is_interned, METH_O, "Is it an interned str?"},
    {NULL, NULL, 0, NULL},
};
