/* SPDX-License-Identifier: MIT
 * The methods of Graph that analyse: dominators and retained sizes, paths. What is expensive is made once and kept. */
#include "binding/binding.h"

#include <stdlib.h>
#include <string.h>

#include "algo/paths.h"

static graph_object *cast(PyObject *self) { return (graph_object *)self; }

int binding_progress(void *context, uint64_t done, uint64_t total) {
    (void)context, (void)done, (void)total;
    return PyErr_CheckSignals();
}

/* ---- dominators ---- */

int binding_graph_dominate(graph_object *self) {
    int status = MPR_OK;
    if (self->dominators.parent == NULL) {
        status = mpr_dominators_find(self->graph, binding_progress, NULL, &self->dominators);
    }
    if (status != MPR_OK) {
        binding_error(status);
        return -1;
    }
    return 0;
}

int binding_graph_make_tree(graph_object *self) {
    if (binding_graph_dominate(self) < 0) {
        return -1;
    }
    int status = self->tree.first == NULL ? mpr_tree_make(&self->dominators, &self->tree) : MPR_OK;
    if (status != MPR_OK) {
        binding_error(status);
        return -1;
    }
    return 0;
}

/* The node of an argument, with the dominators made: MPR_NO_NODE with an exception. */
static uint32_t dominated_node(graph_object *self, PyObject *argument) {
    uint32_t id = binding_graph_node(self->graph, argument);
    return id != MPR_NO_NODE && binding_graph_dominate(self) < 0 ? MPR_NO_NODE : id;
}

PyObject *binding_graph_retained(PyObject *self, PyObject *argument) {
    uint32_t id = dominated_node(cast(self), argument);
    return id == MPR_NO_NODE ? NULL : PyLong_FromUnsignedLongLong(cast(self)->dominators.retained[id]);
}

PyObject *binding_graph_dominator(PyObject *self, PyObject *argument) {
    uint32_t id = dominated_node(cast(self), argument);
    if (id == MPR_NO_NODE) {
        return NULL;
    }
    uint32_t parent = cast(self)->dominators.parent[id];
    return parent == MPR_NO_NODE ? Py_NewRef(Py_None) : PyLong_FromUnsignedLong(parent);
}

typedef struct sized {
    uint64_t bytes;
    uint32_t node;
} sized;

static int by_bytes(const void *left, const void *right) {
    const sized *a = left, *b = right;
    return a->bytes != b->bytes ? (a->bytes < b->bytes ? 1 : -1) : (a->node > b->node) - (a->node < b->node);
}

static PyObject *sized_list(sized *items, size_t count, Py_ssize_t limit) {
    PyObject *list = PyList_New(0);
    qsort(items, count, sizeof *items, by_bytes);
    for (size_t i = 0; list != NULL && i < count && (limit < 0 || i < (size_t)limit); i++) {
        PyObject *row = Py_BuildValue("(IK)", (unsigned int)items[i].node, (unsigned long long)items[i].bytes);
        binding_append(&list, row);
    }
    return list;
}

PyObject *binding_graph_dominated(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"id", "limit", NULL};
    graph_object *o = cast(self);
    PyObject *argument;
    Py_ssize_t limit = -1;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|n", names, &argument, &limit)) {
        return NULL;
    }
    uint32_t id = dominated_node(o, argument);
    if (id == MPR_NO_NODE || binding_graph_make_tree(o) < 0) {
        return NULL;
    }
    uint32_t first = o->tree.first[id], count = o->tree.first[id + 1] - first;
    sized *items = mpr_alloc_array(&o->alloc, count, sizeof *items);
    if (items == NULL) {
        return PyErr_NoMemory();
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t child = o->tree.child[first + i];
        items[i] = (sized){.bytes = o->dominators.retained[child], .node = child};
    }
    PyObject *list = sized_list(items, count, limit);
    mpr_alloc_free(&o->alloc, items, count, sizeof *items);
    return list;
}

PyObject *binding_graph_retained_types(PyObject *self, PyObject *unused) {
    graph_object *o = cast(self);
    (void)unused;
    if (binding_graph_make_tree(o) < 0) {
        return NULL;
    }
    size_t count = o->graph->type_count;
    uint64_t *bytes = mpr_alloc_array(&o->alloc, count, sizeof *bytes);
    if (bytes == NULL) {
        return PyErr_NoMemory();
    }
    int status = mpr_retained_by_type(o->graph, &o->dominators, &o->tree, binding_progress, NULL, bytes);
    PyObject *list = status == MPR_OK ? PyList_New(0) : binding_error(status);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *row = Py_BuildValue("(nK)", (Py_ssize_t)i, (unsigned long long)bytes[i]);
        binding_append(&list, row);
    }
    mpr_alloc_free(&o->alloc, bytes, count, sizeof *bytes);
    return list;
}

/* ---- paths ---- */

/* The rows of one path's edges, from the super-root on. */
static PyObject *path_list(const mpr_graph *g, const mpr_path_step *step, size_t count) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i + 1 < count; i++) {
        if (binding_graph_append_edge(list, g, step[i].node, step[i].edge, step[i + 1].node) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

PyObject *binding_path_rows(const mpr_graph *g, const mpr_paths *paths) {
    PyObject *out = PyList_New(0);
    for (size_t i = 0; out != NULL && i < paths->count; i++) {
        PyObject *path = path_list(g, paths->step + paths->first[i], paths->first[i + 1] - paths->first[i]);
        binding_append(&out, path);
    }
    return out;
}

void binding_wall_groups(const mpr_graph *g, uint32_t node, uint8_t *walls, bool wall) {
    for (uint32_t group = MPR_GROUP_STATIC; group < MPR_GROUP_COUNT; group++) {
        if (g->group[group] != MPR_NO_NODE && g->group[group] != node) {
            walls[g->group[group]] = wall;
        }
    }
}

int binding_paths_best(mpr_graph *g, uint32_t node, unsigned limit, mpr_progress progress, mpr_paths *out) {
    uint8_t *walls = mpr_alloc_array(g->alloc, g->nodes, 1);
    if (walls == NULL) {
        return MPR_ENOMEM;
    }
    binding_wall_groups(g, node, walls, true);
    mpr_paths_options options = {.walls = walls, .progress = progress};
    int status = mpr_paths_find(g, node, limit, &options, out);
    if (status == MPR_OK && out->count == 0) {
        mpr_paths_free(out);
        options.walls = NULL;
        status = mpr_paths_find(g, node, limit, &options, out);
    }
    mpr_alloc_free(g->alloc, walls, g->nodes, 1);
    return status;
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
    if (limit < 1 || limit > 255) {
        return PyErr_Format(PyExc_ValueError, "limit is %d: ask for 1 to 255 paths.", limit);
    }
    int status = binding_paths_best(o->graph, id, (unsigned)limit, binding_progress, &paths);
    PyObject *list = status == MPR_OK ? binding_path_rows(o->graph, &paths) : binding_error(status);
    mpr_paths_free(&paths);
    return list;
}
