/* SPDX-License-Identifier: MIT
 * The methods of Graph that name: names, paths and the labels of their steps. The tree of names is made by the first question, as far as it
 * needs it, and kept. */
#include "algo/names.h"
#include "algo/paths.h"
#include "base/vec.h"
#include "binding/binding.h"

static graph_object *cast(PyObject *self) { return (graph_object *)self; }

int binding_graph_begin_names(graph_object *self) {
    int status = self->names.alloc == NULL ? mpr_name_tree_begin(self->graph, self->living, &self->names) : MPR_OK;
    if (status != MPR_OK) {
        binding_error(status);
        return -1;
    }
    return 0;
}

/* Search for the names of some nodes: 0, or -1 with an exception. */
static int reach(graph_object *self, const uint32_t *nodes, size_t count) {
    if (binding_graph_begin_names(self) < 0) {
        return -1;
    }
    int status = mpr_name_tree_reach(self->graph, &self->names, nodes, count, binding_progress, NULL);
    if (status != MPR_OK) {
        binding_error(status);
        return -1;
    }
    return 0;
}

/* (text, evaluable, length of the module's name) of a path, or NULL with an exception. */
static PyObject *name_of_path(const mpr_graph *g, const mpr_step *step, size_t count, const mpr_name_keys *keys) {
    mpr_name name = {0};
    int status = mpr_names_join(g, step, count, keys, &name);
    PyObject *text = status == MPR_OK ? binding_text(name.text.items, name.text.count) : binding_error(status);
    size_t module = 0; /* in characters */
    for (size_t i = 0; i < name.module && i < name.text.count; i++) {
        module += (name.text.items[i] & 0xC0) != 0x80;
    }
    mpr_vec_free(&name.text, g->alloc);
    return text == NULL ? NULL : Py_BuildValue("(NOn)", text, name.evaluable ? Py_True : Py_False, (Py_ssize_t)module);
}

/* What is made of a path: its name, or a row. */
typedef PyObject *make(const mpr_graph *g, const mpr_step *step, size_t count, const mpr_name_keys *keys);

/* The same of the path that names a node, None for what nothing reaches. */
static PyObject *make_of_node(graph_object *self, uint32_t node, make *of_path) {
    mpr_steps steps = {0};
    if (self->names.parent[node] == MPR_NO_NODE) {
        Py_RETURN_NONE;
    }
    int status = mpr_name_tree_path(self->graph, &self->names, node, &steps);
    PyObject *made = status == MPR_OK ? of_path(self->graph, steps.items, steps.count, NULL) : binding_error(status);
    mpr_vec_free(&steps, &self->alloc);
    return made;
}

/* The ids of a sequence, or NULL with an exception: an array of *count. */
static uint32_t *ids_of(graph_object *self, PyObject *sequence, size_t *count) {
    PyObject *fast = PySequence_Tuple(sequence); /* a copy: signal handlers run meanwhile */
    *count = fast == NULL ? 0 : (size_t)PyTuple_GET_SIZE(fast);
    uint32_t *ids = fast == NULL ? NULL : mpr_alloc_array(&self->alloc, *count + 1, sizeof *ids);
    if (fast != NULL && ids == NULL) {
        PyErr_NoMemory();
    }
    for (size_t i = 0; ids != NULL && i < *count; i++) {
        ids[i] = binding_graph_node(self->graph, PyTuple_GET_ITEM(fast, (Py_ssize_t)i));
        if (ids[i] == MPR_NO_NODE) {
            mpr_alloc_free(&self->alloc, ids, *count + 1, sizeof *ids);
            ids = NULL;
        }
    }
    Py_XDECREF(fast);
    return ids;
}

/* Append what was found to a list, unless a signal's handler raises meanwhile: each name may be of a path of a million steps. */
static void append_unless_stopped(PyObject **list, PyObject *found) {
    if (found != NULL && PyErr_CheckSignals() < 0) {
        Py_CLEAR(found);
    }
    binding_append(list, found);
}

/* The same of each node of a sequence, as a list, once the names of all of them are known. */
static PyObject *make_of_each(graph_object *o, PyObject *sequence, make *of_path) {
    size_t count = 0;
    uint32_t *ids = ids_of(o, sequence, &count);
    PyObject *list = ids == NULL || reach(o, ids, count) < 0 ? NULL : PyList_New(0);
    for (size_t i = 0; list != NULL && i < count; i++) {
        append_unless_stopped(&list, make_of_node(o, ids[i], of_path));
    }
    mpr_alloc_free(&o->alloc, ids, count + 1, sizeof *ids);
    return list;
}

PyObject *binding_graph_names(PyObject *self, PyObject *sequence) { return make_of_each(cast(self), sequence, name_of_path); }

/* ---- paths ---- */

/* Steps as pairs of uint64: edge and node, those of the last without meaning for the edge. */
static PyObject *steps_bytes(const mpr_step *step, size_t count) {
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * 2 * sizeof(uint64_t)));
    uint64_t *pairs = bytes == NULL ? NULL : (uint64_t *)(void *)PyBytes_AS_STRING(bytes);
    for (size_t i = 0; pairs != NULL && i < count; i++) {
        pairs[2 * i] = step[i].edge;
        pairs[2 * i + 1] = step[i].node;
    }
    return bytes;
}

static PyObject *path_row(const mpr_graph *g, const mpr_step *step, size_t count, const mpr_name_keys *keys) {
    PyObject *name = name_of_path(g, step, count, keys);
    PyObject *bytes = name == NULL ? NULL : steps_bytes(step, count);
    if (bytes == NULL) {
        Py_XDECREF(name);
        return NULL;
    }
    return Py_BuildValue("(NN)", name, bytes);
}

PyObject *binding_path_rows(const mpr_graph *g, const mpr_paths *paths, const mpr_name_keys *keys) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < paths->count; i++) {
        size_t first = paths->first.items[i];
        PyObject *row = path_row(g, paths->step.items + first, paths->first.items[i + 1] - first, keys);
        if (keys == NULL) {
            append_unless_stopped(&list, row);
        } else { /* keys are living objects: nobody else may run before all have been looked at */
            binding_append(&list, row);
        }
    }
    return list;
}

PyObject *binding_graph_paths(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"id", "limit", NULL};
    graph_object *o = cast(self);
    PyObject *argument;
    int limit = 1;
    mpr_paths paths = {0};
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|i", names, &argument, &limit)) {
        return NULL;
    }
    uint32_t id = binding_graph_node(o->graph, argument);
    if (id == MPR_NO_NODE) {
        return NULL;
    }
    if (limit < 1 || limit > (int)MPR_PATHS_MOST) {
        return PyErr_Format(PyExc_ValueError, "limit is %d: ask for 1 to %u paths.", limit, MPR_PATHS_MOST);
    }
    if (binding_graph_begin_names(o) < 0) {
        return NULL;
    }
    int status = mpr_paths_find(o->graph, &o->names, id, (unsigned)limit, binding_progress, NULL, &paths);
    PyObject *rows = status == MPR_OK ? binding_path_rows(o->graph, &paths, NULL) : binding_error(status);
    PyObject *complete = paths.complete ? Py_True : Py_False;
    mpr_paths_free(&paths);
    return rows == NULL ? NULL : Py_BuildValue("(NO)", rows, complete);
}

PyObject *binding_graph_name_paths(PyObject *self, PyObject *sequence) { return make_of_each(cast(self), sequence, path_row); }

/* The label of a step, as the row of an edge: (holder, edge, next) as in the bytes of a path. */
PyObject *binding_graph_step(PyObject *self, PyObject *args) {
    const mpr_graph *g = cast(self)->graph;
    unsigned long long holder, edge, next;
    mpr_resolved r;
    if (!PyArg_ParseTuple(args, "KKK", &holder, &edge, &next)) {
        return NULL;
    }
    bool is_edge =
        holder < g->nodes && edge >= mpr_graph_first(g, (uint32_t)holder) && edge < mpr_graph_first(g, (uint32_t)holder + 1);
    if (!is_edge && edge != MPR_NO_EDGE) {
        return PyErr_Format(PyExc_IndexError, "%llu is no edge of node %llu", edge, holder);
    }
    if (is_edge) {
        mpr_graph_resolve(g, (uint32_t)holder, edge, &r);
    } else {
        mpr_graph_resolve_class(&r);
    }
    return binding_label_row(PyLong_FromUnsignedLongLong(next), &r);
}

PyObject *binding_graph_what(PyObject *self, PyObject *argument) {
    const mpr_graph *g = cast(self)->graph;
    char text[1024];
    uint32_t id = binding_graph_node(g, argument);
    return id == MPR_NO_NODE ? NULL : binding_text(text, mpr_names_what(g, id, text, sizeof text));
}
