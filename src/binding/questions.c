/* SPDX-License-Identifier: MIT
 * Questions about live objects that need the whole graph: why_alive, retained_sizeof, find_cycles.
 *
 * They give real objects back. That is safe because nothing runs between the capture and the moment when references are taken: the GIL is
 * kept, and no Python object is made before every object of the answer is held. */
#include "binding/binding.h"

#include <string.h>

#include "algo/names.h"
#include "algo/paths.h"
#include "base/vec.h"
#include "cpython/walk.h"

/* ---- the graph of this moment ---- */

graph_object *binding_captured(PyObject *module) {
    mod_state *state = binding_state(module);
    graph_object *out = binding_graph_new(state);
    if (out != NULL && binding_capture(state, out, (cpy_contents){0}) < 0) {
        Py_CLEAR(out);
    } else if (out != NULL) {
        out->living = true;
    }
    return out;
}

int binding_find_object(const mpr_graph *g, PyObject *object, uint32_t *node) {
    if (mpr_graph_find(g, (uint64_t)(uintptr_t)object, node)) {
        return 0;
    }
    PyErr_SetString(PyExc_ValueError, "this object is in no container that memprobe can see: nothing but the call holds it.");
    return -1;
}

/* ---- retained size ---- */

static PyObject *retained_sizeof(PyObject *module, PyObject *object) {
    graph_object *graph = binding_captured(module);
    uint32_t node;
    if (graph == NULL) {
        return NULL;
    }
    PyObject *result = NULL;
    if (binding_find_object(graph->graph, object, &node) == 0 && binding_graph_dominate(graph) == 0) {
        result = PyLong_FromUnsignedLongLong(graph->dominators.retained[node]);
    }
    Py_DECREF(graph);
    return result;
}

/* ---- objects of an answer ---- */

typedef MPR_VEC(PyObject *) held;

/* Hold the object of a node; a root group, thread or frame has none, and is NULL. */
static int hold(held *objects, mpr_alloc *alloc, const mpr_graph *g, uint32_t node) {
    bool real = !(g->flags[node] & MPR_NODE_SYNTHETIC);
    PyObject *object = real ? (PyObject *)(uintptr_t)mpr_graph_address(g, node) : NULL;
    if (mpr_vec_push(objects, alloc, object) != MPR_OK) {
        PyErr_NoMemory();
        return -1;
    }
    Py_XINCREF(object);
    return 0;
}

static void release(held *objects, mpr_alloc *alloc) {
    for (size_t i = 0; i < objects->count; i++) {
        Py_XDECREF(objects->items[i]);
    }
    mpr_vec_free(objects, alloc);
}

/* (id, object) pairs of what is held, as a dict. */
static int put_objects(PyObject *dict, const held *objects, const uint32_t *nodes) {
    for (size_t i = 0; i < objects->count; i++) {
        if (objects->items[i] == NULL) {
            continue;
        }
        PyObject *id = PyLong_FromUnsignedLong(nodes[i]);
        int failed = id == NULL ? -1 : PyDict_SetItem(dict, id, objects->items[i]);
        Py_XDECREF(id);
        if (failed) {
            return -1;
        }
    }
    return 0;
}

/* ---- the graph with its live objects ---- */

PyObject *binding_with_objects(graph_object *graph, const uint32_t *nodes, size_t count) {
    held objects = {0};
    int failed = 0;
    for (size_t i = 0; failed == 0 && i < count; i++) {
        failed = hold(&objects, &graph->alloc, graph->graph, nodes[i]);
    }
    PyObject *dict = failed ? NULL : PyDict_New();
    if (dict != NULL && put_objects(dict, &objects, nodes) < 0) {
        Py_CLEAR(dict);
    }
    release(&objects, &graph->alloc);
    return dict == NULL ? NULL : Py_BuildValue("(ON)", graph, dict);
}

typedef MPR_VEC(uint32_t) ids;

/* What is on the paths, and the keys by which dicts hold it. */
static int path_nodes(const mpr_graph *g, const mpr_paths *paths, mpr_alloc *alloc, ids *out) {
    int status = MPR_OK;
    for (size_t k = 0; status == MPR_OK && k < paths->step.count; k++) {
        uint64_t edge = paths->step.items[k].edge;
        status = mpr_vec_push(out, alloc, paths->step.items[k].node);
        if (status == MPR_OK && edge != MPR_NO_EDGE && mpr_label_kind_of(g->label[edge]) == MPR_LABEL_VALUE) {
            status = mpr_vec_push(out, alloc, g->target[edge - 1]);
        }
    }
    return status;
}

/* The text of a key that the answer holds: of a type whose contents can be read without running code. */
static size_t key_text(void *context, uint32_t node, char *out, size_t size) {
    const graph_object *graph = context;
    return cpy_text_key((PyObject *)(uintptr_t)mpr_graph_address(graph->graph, node), out, size);
}

/* ((Graph, {id: object}), [path rows], complete): the graph, what is on the paths to an object, and the paths as Graph.paths() has them. */
static PyObject *why_alive(PyObject *module, PyObject *args) {
    PyObject *object;
    int limit;
    if (!PyArg_ParseTuple(args, "Oi", &object, &limit)) {
        return NULL;
    }
    graph_object *graph = binding_captured(module);
    uint32_t node;
    if (graph == NULL || binding_find_object(graph->graph, object, &node) < 0 || binding_graph_begin_names(graph) < 0) {
        Py_XDECREF(graph);
        return NULL;
    }
    mpr_paths paths = {0};
    ids nodes = {0};
    int status = mpr_paths_find(graph->graph, &graph->names, node, (unsigned)limit, NULL, NULL, &paths);
    if (status == MPR_OK) {
        status = path_nodes(graph->graph, &paths, &graph->alloc, &nodes);
    }
    PyObject *both = status == MPR_OK ? binding_with_objects(graph, nodes.items, nodes.count) : binding_error(status);
    mpr_name_keys keys = {.text = key_text, .context = graph};
    PyObject *rows = both == NULL ? NULL : binding_path_rows(graph->graph, &paths, &keys);
    PyObject *complete = paths.complete ? Py_True : Py_False;
    mpr_paths_free(&paths);
    mpr_vec_free(&nodes, &graph->alloc);
    Py_DECREF(graph);
    if (rows == NULL) {
        Py_XDECREF(both);
        return NULL;
    }
    return Py_BuildValue("(NNO)", both, rows, complete);
}

/* (Graph, {id: object}): all objects that take part in cycles (of garbage alone, if asked), held. */
static PyObject *hold_cyclic(PyObject *module, PyObject *args) {
    int garbage, housekeeping;
    if (!PyArg_ParseTuple(args, "pp", &garbage, &housekeeping)) {
        return NULL;
    }
    graph_object *graph = binding_captured(module);
    if (graph == NULL) {
        return NULL;
    }
    ids nodes = {0};
    int status = binding_cyclic_nodes(graph, garbage != 0, housekeeping != 0, &nodes.items, &nodes.count, &nodes.capacity);
    PyObject *both = status == MPR_OK ? binding_with_objects(graph, nodes.items, nodes.count) : binding_error(status);
    mpr_vec_free(&nodes, &graph->alloc);
    Py_DECREF(graph);
    return both;
}

PyMethodDef binding_question_methods[] = {
    {"retained_sizeof", retained_sizeof, METH_O, "Bytes that would be freed with an object."},
    {"why_alive", why_alive, METH_VARARGS,
     "((Graph, {node: object}), [path rows], complete): the paths to an object, and what is on them."},
    {"hold_cyclic", hold_cyclic, METH_VARARGS, "(Graph, {node: object}): everything in cycles."},
    {NULL, NULL, 0, NULL},
};
