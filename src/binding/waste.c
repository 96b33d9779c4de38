/* SPDX-License-Identifier: MIT
 * waste: what could be saved, as plain tuples. Names and advice are made of them in memprobe/waste.py. */
#include "algo/waste.h"
#include "binding/binding.h"

static const char *const kinds[MPR_WASTE_KINDS] = {[MPR_WASTE_DUPLICATE] = "duplicate", [MPR_WASTE_COPIES] = "copies",
                                                   [MPR_WASTE_SPARSE] = "sparse",       [MPR_WASTE_EMPTY] = "empty",
                                                   [MPR_WASTE_BOXED] = "boxed",         [MPR_WASTE_SLOTS] = "slots",
                                                   [MPR_WASTE_UNSHARED] = "unshared"};

static PyObject *type_or_none(const mpr_graph *g, uint32_t type) {
    return type == MPR_NO_TYPE ? Py_NewRef(Py_None) : binding_type_text(g, type);
}

/* [the step from the holder], or [] when nobody is known to hold it. */
static PyObject *held_by(const mpr_graph *g, const mpr_waste_row *row) {
    PyObject *list = PyList_New(0);
    if (list != NULL && row->edge != MPR_NO_EDGE && binding_graph_append_edge(list, g, row->holder, row->edge, row->holder) < 0) {
        Py_CLEAR(list);
    }
    return list;
}

/* The type of numbers, or an attribute's name. */
static PyObject *detail(const mpr_graph *g, const mpr_waste_row *row) {
    size_t length = 0;
    if (row->kind == MPR_WASTE_BOXED) {
        return binding_type_text(g, row->of);
    }
    const char *text = row->of == MPR_NO_NODE ? NULL : mpr_graph_text(g, row->of, &length);
    return text == NULL ? Py_NewRef(Py_None) : binding_text(text, length);
}

static PyObject *row_of(const mpr_graph *g, const mpr_waste_row *row) {
    PyObject *type = binding_type_text(g, row->type), *owner = type_or_none(g, row->owner);
    PyObject *held = held_by(g, row), *more = detail(g, row);
    if (type == NULL || owner == NULL || held == NULL || more == NULL) {
        Py_XDECREF(type);
        Py_XDECREF(owner);
        Py_XDECREF(held);
        Py_XDECREF(more);
        return NULL;
    }
    return Py_BuildValue("(sNINNNIOKK)", kinds[row->kind], type, (unsigned int)row->node, owner, held, more,
                         (unsigned int)row->slots, row->weakrefs ? Py_True : Py_False, (unsigned long long)row->count,
                         (unsigned long long)row->bytes);
}

static PyObject *totals_of(const mpr_waste *found) {
    PyObject *dict = PyDict_New();
    for (int kind = 0; dict != NULL && kind < MPR_WASTE_KINDS; kind++) {
        PyObject *both = Py_BuildValue("(KK)", (unsigned long long)found->count[kind], (unsigned long long)found->bytes[kind]);
        if (both == NULL || PyDict_SetItemString(dict, kinds[kind], both) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(both);
    }
    return dict;
}

static PyObject *answer_of(const mpr_graph *g, const mpr_waste *found) {
    PyObject *list = PyList_New(0), *totals = list == NULL ? NULL : totals_of(found);
    for (size_t i = 0; totals != NULL && list != NULL && i < found->rows.count; i++) {
        binding_append(&list, row_of(g, &found->rows.items[i]));
    }
    if (list == NULL || totals == NULL) {
        Py_XDECREF(list);
        Py_XDECREF(totals);
        return NULL;
    }
    return Py_BuildValue("(OONN)", found->has_hashes ? Py_True : Py_False, found->has_costs ? Py_True : Py_False, totals, list);
}

PyObject *binding_graph_waste(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"limit", NULL};
    const mpr_graph *g = ((graph_object *)self)->graph;
    Py_ssize_t limit = 100;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|n", names, &limit)) {
        return NULL;
    }
    mpr_waste found = {0};
    mpr_waste_options options = {.limit = limit < 0 ? SIZE_MAX : (size_t)limit, .progress = binding_progress};
    int status = mpr_waste_find(g, &options, &found);
    PyObject *answer = status == MPR_OK ? answer_of(g, &found) : binding_error(status);
    mpr_waste_free(&found);
    return answer;
}
