/* SPDX-License-Identifier: MIT
 * The methods of Graph that analyse: dominators and retained sizes, paths. What is expensive is made once and kept. */
#include "binding/binding.h"

#include <stdlib.h>
#include <string.h>

#include "algo/footprint.h"
#include "algo/native.h"
#include "algo/survivors.h"
#include "base/vec.h"

static graph_object *cast(PyObject *self) { return (graph_object *)self; }

int binding_progress(void *context, uint64_t done, uint64_t total) {
    (void)context, (void)done, (void)total;
    return PyErr_CheckSignals();
}

/* ---- dominators ---- */

/* 0, or -1 with the exception of a status. */
static int raised(int status) {
    if (status != MPR_OK) {
        binding_error(status);
        return -1;
    }
    return 0;
}

static int find_ranks(graph_object *self) { return self->ranks.alloc == NULL ? mpr_ranks_find(self->graph, &self->ranks) : MPR_OK; }

int binding_graph_dominate(graph_object *self) {
    int status = find_ranks(self);
    if (status == MPR_OK && self->dominators.parent == NULL) {
        status = mpr_dominators_find(self->graph, &self->ranks, binding_progress, NULL, &self->dominators);
    }
    return raised(status);
}

int binding_graph_make_tree(graph_object *self) {
    if (binding_graph_dominate(self) < 0) {
        return -1;
    }
    return raised(self->tree.first == NULL ? mpr_tree_make(&self->dominators, &self->tree) : MPR_OK);
}

/* The node of an argument, with the dominators made: MPR_NO_NODE with an exception. */
static uint32_t dominated_node(graph_object *self, PyObject *argument) {
    uint32_t id = binding_graph_node(self->graph, argument);
    return id != MPR_NO_NODE && binding_graph_dominate(self) < 0 ? MPR_NO_NODE : id;
}

/* Bytes of a node's subtree: of objects, or of native blocks. */
static PyObject *subtree_bytes(const mpr_dominators *d, uint32_t id, int native) {
    return PyLong_FromUnsignedLongLong(!native ? d->retained[id] : d->native != NULL ? d->native[id] : 0);
}

/* Bytes of a node's subtree: of objects, and of native blocks where they are wanted. */
static uint64_t kept_by(const mpr_dominators *d, uint32_t id, int native) {
    return d->retained[id] + (native && d->native != NULL ? d->native[id] : 0);
}

/* What would be freed with a node: over all edges, whatever only runs at the moment. */
PyObject *binding_graph_retained(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"id", "native", NULL};
    graph_object *o = cast(self);
    PyObject *argument;
    int native = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|p", names, &argument, &native)) {
        return NULL;
    }
    uint32_t id = binding_graph_node(o->graph, argument);
    bool known = o->freed.parent != NULL;
    if (id == MPR_NO_NODE || (!known && raised(mpr_dominators_find(o->graph, NULL, binding_progress, NULL, &o->freed)) < 0)) {
        return NULL;
    }
    return subtree_bytes(&o->freed, id, native);
}

/* What a node keeps in the rank tree. */
PyObject *binding_graph_kept(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"id", "native", NULL};
    PyObject *argument;
    int native = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|p", names, &argument, &native)) {
        return NULL;
    }
    uint32_t id = dominated_node(cast(self), argument);
    return id == MPR_NO_NODE ? NULL : subtree_bytes(&cast(self)->dominators, id, native);
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
    static char *names[] = {"id", "limit", "native", NULL};
    graph_object *o = cast(self);
    PyObject *argument;
    Py_ssize_t limit = -1;
    int native = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|np", names, &argument, &limit, &native)) {
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
    size_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t child = o->tree.child[first + i];
        if (!(o->graph->flags[child] & MPR_NODE_NATIVE)) {
            items[kept++] = (sized){.bytes = kept_by(&o->dominators, child, native), .node = child};
        }
    }
    PyObject *list = sized_list(items, kept, limit);
    mpr_alloc_free(&o->alloc, items, count, sizeof *items);
    return list;
}

typedef struct kind_total {
    uint64_t count, bytes, most;
    uint32_t node;
} kind_total;

static PyObject *kind_rows(const graph_object *o, const kind_total *total) {
    PyObject *list = PyList_New(0);
    for (uint32_t type = 0; list != NULL && type < o->graph->type_count; type++) {
        if (total[type].count == 0) {
            continue;
        }
        PyObject *name = binding_type_text(o->graph, type);
        binding_append(&list, name == NULL ? NULL
                                           : Py_BuildValue("(NKKI)", name, (unsigned long long)total[type].count,
                                                           (unsigned long long)total[type].bytes, (unsigned)total[type].node));
    }
    return list;
}

/* What a node immediately keeps, by type: (type, objects, bytes with all that they keep, the one that keeps most). */
PyObject *binding_graph_children(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"id", "native", NULL};
    graph_object *o = cast(self);
    PyObject *argument;
    int native = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|p", names, &argument, &native)) {
        return NULL;
    }
    uint32_t id = dominated_node(o, argument);
    size_t types = o->graph->type_count;
    kind_total *total =
        id == MPR_NO_NODE || binding_graph_make_tree(o) < 0 ? NULL : mpr_alloc_array(&o->alloc, types, sizeof *total);
    if (total == NULL) {
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    for (uint32_t k = o->tree.first[id]; k < o->tree.first[id + 1]; k++) {
        uint32_t child = o->tree.child[k];
        if (o->graph->flags[child] & MPR_NODE_NATIVE) {
            continue;
        }
        kind_total *t = &total[o->graph->type[child]];
        uint64_t bytes = kept_by(&o->dominators, child, native);
        if (t->count++ == 0 || bytes > t->most) {
            t->most = bytes;
            t->node = child;
        }
        t->bytes += bytes;
    }
    PyObject *list = kind_rows(o, total);
    mpr_alloc_free(&o->alloc, total, types, sizeof *total);
    return list;
}

/* What objects take of the allocators, by who has them. The argument: an mpr_footprint_allocator. */
PyObject *binding_graph_footprint(PyObject *self, PyObject *argument) {
    static const char *const owners[MPR_FOOTPRINT_OWNERS] = {"program", "c", "unreachable", "self", "image"};
    graph_object *o = cast(self);
    mpr_footprint found[MPR_FOOTPRINT_OWNERS];
    long allocator = PyLong_AsLong(argument);
    if (allocator < MPR_FOOTPRINT_MALLOC || allocator > MPR_FOOTPRINT_HEAPS) {
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "no allocator has the number %ld", allocator);
    }
    int status = find_ranks(o);
    status = status == MPR_OK ? mpr_footprint_find(o->graph, &o->ranks, (mpr_footprint_allocator)allocator, found) : status;
    PyObject *dict = raised(status) < 0 ? NULL : PyDict_New();
    for (int i = 0; dict != NULL && i < MPR_FOOTPRINT_OWNERS; i++) {
        PyObject *row = Py_BuildValue("(KKKK)", (unsigned long long)found[i].objects, (unsigned long long)found[i].bytes,
                                      (unsigned long long)found[i].pools, (unsigned long long)found[i].malloc);
        if (row == NULL || PyDict_SetItemString(dict, owners[i], row) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(row);
    }
    return dict;
}

static PyObject *survivor_row(const mpr_graph *g, const mpr_survivor *row) {
    PyObject *type = binding_type_text(g, row->type);
    return type == NULL ? NULL
                        : Py_BuildValue("(INKKKII)", (unsigned)row->node, type, (unsigned long long)row->of_type,
                                        (unsigned long long)row->objects, (unsigned long long)row->bytes, (unsigned)row->pieces,
                                        (unsigned)row->alone);
}

/* Arguments: an array of addresses (8 bytes each, ascending), the size of a piece, how many rows at most. */
PyObject *binding_graph_survivors(PyObject *self, PyObject *args) {
    graph_object *o = cast(self);
    Py_buffer begins;
    unsigned long long size;
    Py_ssize_t most;
    mpr_survivors found = {0};
    if (!PyArg_ParseTuple(args, "y*Kn", &begins, &size, &most)) {
        return NULL;
    }
    size_t count = (size_t)begins.len / sizeof(uint64_t);
    PyObject *list = NULL;
    if (count > UINT32_MAX || (uintptr_t)begins.buf % sizeof(uint64_t) != 0) {
        PyErr_SetString(PyExc_ValueError, "an array of 8-byte addresses is needed");
    } else if (binding_graph_dominate(o) == 0 &&
               raised(mpr_survivors_find(o->graph, &o->dominators, begins.buf, (uint32_t)count, size, &found)) == 0) {
        list = PyList_New(0);
    }
    for (size_t i = 0; list != NULL && i < found.rows.count && i < (size_t)most; i++) {
        binding_append(&list, survivor_row(o->graph, &found.rows.items[i]));
    }
    PyObject *answer = list == NULL ? NULL : Py_BuildValue("(IN)", (unsigned)found.empty, list);
    mpr_survivors_free(&found);
    PyBuffer_Release(&begins);
    return answer;
}

/* Arguments: an array of addresses as above, or None for all pieces; the size of a piece. */
PyObject *binding_graph_noted(PyObject *self, PyObject *args) {
    const mpr_graph *g = cast(self)->graph;
    PyObject *array;
    Py_buffer begins = {.buf = NULL};
    unsigned long long size;
    uint32_t noted = 0;
    if (!PyArg_ParseTuple(args, "OK", &array, &size) ||
        (array != Py_None && PyObject_GetBuffer(array, &begins, PyBUF_SIMPLE) < 0)) {
        return NULL;
    }
    int failed = raised(mpr_survivors_noted(g, begins.buf, (uint32_t)((size_t)begins.len / sizeof(uint64_t)), size, &noted));
    PyBuffer_Release(&begins);
    return failed ? NULL : PyLong_FromUnsignedLong(noted);
}

static PyObject *native_row(const mpr_graph *g, const mpr_native_row *row) {
    PyObject *type = binding_type_text(g, row->type);
    return type == NULL ? NULL
                        : Py_BuildValue("(NKKKI)", type, (unsigned long long)row->size, (unsigned long long)row->count,
                                        (unsigned long long)row->before, (unsigned)row->node);
}

PyObject *binding_graph_native(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"lost", "older", NULL};
    PyTypeObject *type = Py_TYPE(self);
    const mpr_graph *g = cast(self)->graph;
    PyObject *older = NULL;
    int lost = 0;
    mpr_native_rows rows = {0};
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|pO!", names, &lost, type, &older)) {
        return NULL;
    }
    int status = mpr_native_by_kind(g, older == NULL ? NULL : cast(older)->graph, lost, &rows);
    PyObject *list = raised(status) < 0 ? NULL : PyList_New(0);
    for (size_t i = 0; list != NULL && i < rows.count; i++) {
        binding_append(&list, native_row(g, &rows.items[i]));
    }
    mpr_vec_free(&rows, g->alloc);
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
