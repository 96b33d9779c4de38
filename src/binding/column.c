/* SPDX-License-Identifier: MIT
 * memprobe._core.Column: an array of a graph as a buffer, for numpy and memoryview. Columns that the graph has are given as they lie;
 * those that it keeps in a denser form (addresses, sizes, residuals, edge offsets) are unfolded into a block of the column's own. */
#include "binding/binding.h"

#include <string.h>

typedef struct column_object {
    PyObject_HEAD
    graph_object *graph; /* keeps the memory */
    void *data;
    void *block; /* the same when it is the column's own, else NULL */
    const char *format;
    Py_ssize_t count, item;
} column_object;

static int get_buffer(PyObject *object, Py_buffer *view, int flags) {
    column_object *self = (column_object *)object;
    if (flags & PyBUF_WRITABLE) {
        PyErr_SetString(PyExc_BufferError, "a heap is immutable: its columns are read-only");
        view->obj = NULL;
        return -1;
    }
    *view = (Py_buffer){.buf = self->data,
                        .obj = Py_NewRef(object),
                        .len = self->count * self->item,
                        .itemsize = self->item,
                        .readonly = 1,
                        .ndim = 1,
                        .format = flags & PyBUF_FORMAT ? (char *)self->format : NULL,
                        .shape = flags & PyBUF_ND ? &self->count : NULL,
                        .strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? &self->item : NULL};
    return 0;
}

static void dealloc(PyObject *object) {
    column_object *self = (column_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->graph != NULL) {
        mpr_alloc_free(&self->graph->alloc, self->block, (size_t)self->count, (size_t)self->item);
        Py_DECREF(self->graph);
    }
    type->tp_free(object);
    Py_DECREF(type);
}

static PyType_Slot slots[] = {{Py_tp_dealloc, dealloc},
                              {Py_bf_getbuffer, get_buffer},
                              {Py_tp_doc, "An array of a heap graph: a read-only buffer."},
                              {0, NULL}};

PyType_Spec binding_column_spec = {.name = "memprobe._core.Column",
                                   .basicsize = sizeof(column_object),
                                   .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                   .slots = slots};

/* ---- making them ---- */

/* A column over `data`, or, when that is NULL, over a new block of `count` items. */
static column_object *make(PyTypeObject *type, graph_object *graph, const void *data, const char *format, size_t count,
                           size_t item) {
    column_object *self = (column_object *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->graph = (graph_object *)Py_NewRef((PyObject *)graph);
    self->format = format;
    self->count = (Py_ssize_t)count;
    self->item = (Py_ssize_t)item;
    self->block = data != NULL ? NULL : mpr_alloc_array(&graph->alloc, count, item);
    self->data = data != NULL ? (void *)(uintptr_t)data : self->block;
    if (self->data == NULL) {
        Py_DECREF(self);
        PyErr_NoMemory();
        return NULL;
    }
    return self;
}

/* dict[name] = memoryview(column), taking the column over. */
static int put(PyObject *dict, const char *name, column_object *column) {
    PyObject *view = column == NULL ? NULL : PyMemoryView_FromObject((PyObject *)column);
    int failed = view == NULL ? -1 : PyDict_SetItemString(dict, name, view);
    Py_XDECREF(column);
    Py_XDECREF(view);
    return failed;
}

typedef uint64_t (*unfold)(const mpr_graph *g, uint32_t node);

static uint64_t residual_bits(const mpr_graph *g, uint32_t node) { return (uint64_t)mpr_graph_residual(g, node); }

static int put_unfolded(PyObject *dict, const char *name, PyTypeObject *type, graph_object *graph, const char *format, unfold one,
                        uint32_t count) {
    column_object *column = make(type, graph, NULL, format, count, sizeof(uint64_t));
    for (uint32_t i = 0; column != NULL && i < count; i++) {
        ((uint64_t *)column->data)[i] = one(graph->graph, i);
    }
    return put(dict, name, column);
}

PyObject *binding_graph_columns(PyObject *self, PyTypeObject *defining, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    graph_object *o = (graph_object *)self;
    const mpr_graph *g = o->graph;
    PyTypeObject *type = ((mod_state *)PyType_GetModuleState(defining))->column_type;
    (void)args;
    if (count != 0 || names != NULL) {
        PyErr_SetString(PyExc_TypeError, "columns() takes no arguments");
        return NULL;
    }
    PyObject *dict = PyDict_New();
    if (dict == NULL || binding_graph_dominate(o) < 0) {
        Py_XDECREF(dict);
        return NULL;
    }
    size_t edges = g->edges;
    if (put_unfolded(dict, "address", type, o, "Q", mpr_graph_address, g->nodes) < 0 ||
        put(dict, "type", make(type, o, g->type, "I", g->nodes, sizeof *g->type)) < 0 ||
        put_unfolded(dict, "size", type, o, "Q", mpr_graph_size, g->nodes) < 0 ||
        put(dict, "flags", make(type, o, g->flags, "H", g->nodes, sizeof *g->flags)) < 0 ||
        put_unfolded(dict, "residual", type, o, "q", residual_bits, g->nodes) < 0 ||
        put(dict, "retained", make(type, o, o->dominators.retained, "Q", g->nodes, sizeof *o->dominators.retained)) < 0 ||
        put(dict, "rank", make(type, o, o->ranks.value, "H", g->nodes, sizeof *o->ranks.value)) < 0 ||
        put(dict, "dominator", make(type, o, o->dominators.parent, "I", g->nodes, sizeof *o->dominators.parent)) < 0 ||
        put_unfolded(dict, "first_edge", type, o, "Q", mpr_graph_first, g->nodes + 1) < 0 ||
        put(dict, "edge_target", make(type, o, g->target, "I", edges, sizeof *g->target)) < 0 ||
        put(dict, "edge_label", make(type, o, g->label, "I", edges, sizeof *g->label)) < 0) {
        Py_CLEAR(dict);
    }
    return dict;
}
