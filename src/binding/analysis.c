/* SPDX-License-Identifier: MIT
 * The methods of Graph that analyse: dominators and retained sizes, paths, cycles. What is expensive is made once and kept. */
#include "binding/binding.h"

#include <stdlib.h>
#include <string.h>

#include "algo/reach.h"
#include "algo/scc.h"
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

int binding_graph_dominate(graph_object *self) {
    int status = self->ranks.alloc == NULL ? mpr_ranks_find(self->graph, &self->ranks) : MPR_OK;
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

/* What would be freed with a node: over all edges, whatever only runs at the moment. */
PyObject *binding_graph_retained(PyObject *self, PyObject *argument) {
    graph_object *o = cast(self);
    uint32_t id = binding_graph_node(o->graph, argument);
    bool known = o->freed.parent != NULL;
    if (id == MPR_NO_NODE || (!known && raised(mpr_dominators_find(o->graph, NULL, binding_progress, NULL, &o->freed)) < 0)) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(o->freed.retained[id]);
}

/* What a node keeps in the rank tree. */
PyObject *binding_graph_kept(PyObject *self, PyObject *argument) {
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
PyObject *binding_graph_children(PyObject *self, PyObject *argument) {
    graph_object *o = cast(self);
    uint32_t id = dominated_node(o, argument);
    size_t types = o->graph->type_count;
    kind_total *total =
        id == MPR_NO_NODE || binding_graph_make_tree(o) < 0 ? NULL : mpr_alloc_array(&o->alloc, types, sizeof *total);
    if (total == NULL) {
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    for (uint32_t k = o->tree.first[id]; k < o->tree.first[id + 1]; k++) {
        uint32_t child = o->tree.child[k];
        kind_total *t = &total[o->graph->type[child]];
        uint64_t bytes = o->dominators.retained[child];
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

/* ---- cycles ---- */

typedef struct component {
    uint64_t bytes;
    uint32_t index;
} component;

static int by_component_bytes(const void *left, const void *right) {
    const component *a = left, *b = right;
    return a->bytes != b->bytes ? (a->bytes < b->bytes ? 1 : -1) : (a->index > b->index) - (a->index < b->index);
}

/* [(next, label, kind, weak, housekeeping)] round the circle. */
static PyObject *step_list(const mpr_graph *g, const mpr_cycles *cycles) {
    PyObject *list = PyList_New(0);
    size_t count = cycles->first[1];
    for (size_t i = 0; list != NULL && i < count; i++) {
        const mpr_cycle_step *step = &cycles->step[i];
        uint32_t next = cycles->step[(i + 1) % count].node;
        if (binding_graph_append_edge(list, g, step->node, step->edge, next) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *component_row(graph_object *o, const mpr_scc *scc, const mpr_scc_options *options, const component *c) {
    mpr_cycles cycles = {0};
    int status = mpr_scc_cycles(o->graph, scc, options, c->index, 1, 1 << 20, &cycles);
    if (status != MPR_OK) {
        return binding_error(status);
    }
    bool garbage = (o->graph->flags[scc->member[scc->first[c->index]]] & MPR_NODE_UNREACHABLE) != 0;
    PyObject *members = binding_ids(scc->member + scc->first[c->index], scc->first[c->index + 1] - scc->first[c->index]);
    PyObject *steps = members == NULL ? NULL : step_list(o->graph, &cycles);
    unsigned start = cycles.step[0].node;
    mpr_cycles_free(&cycles);
    if (steps == NULL) {
        Py_XDECREF(members);
        return NULL;
    }
    return Py_BuildValue("(NKOIN)", members, (unsigned long long)c->bytes, garbage ? Py_True : Py_False, start, steps);
}

/* The components that are asked for, biggest first; *count of them. */
static component *choose(graph_object *o, const mpr_scc *scc, bool garbage, uint32_t *count) {
    component *chosen = mpr_alloc_array(&o->alloc, scc->count, sizeof *chosen);
    *count = 0;
    for (uint32_t i = 0; chosen != NULL && i < scc->count; i++) {
        uint64_t bytes = 0;
        for (uint32_t k = scc->first[i]; k < scc->first[i + 1]; k++) {
            bytes += mpr_graph_size(o->graph, scc->member[k]);
        }
        if (!garbage || (o->graph->flags[scc->member[scc->first[i]]] & MPR_NODE_UNREACHABLE)) {
            chosen[(*count)++] = (component){.bytes = bytes, .index = i};
        }
    }
    if (chosen != NULL) {
        qsort(chosen, *count, sizeof *chosen, by_component_bytes);
    }
    return chosen;
}

static PyObject *component_list(graph_object *o, const mpr_scc *scc, const mpr_scc_options *options, bool garbage,
                                Py_ssize_t limit) {
    uint32_t count;
    component *chosen = choose(o, scc, garbage, &count);
    PyObject *list = chosen == NULL ? PyErr_NoMemory() : PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < count && (limit < 0 || i < limit); i++) {
        PyObject *row = component_row(o, scc, options, &chosen[i]);
        binding_append(&list, row);
    }
    mpr_alloc_free(&o->alloc, chosen, scc->count, sizeof *chosen);
    return list;
}

/* One byte a node: != 0 for what cannot be reached from `start`. NULL with an exception. */
static uint8_t *unreached(graph_object *o, uint32_t start, bool housekeeping) {
    uint8_t *out = mpr_alloc_array(&o->alloc, o->graph->nodes, 1);
    mpr_reach_options options = {.housekeeping = housekeeping};
    if (out == NULL || mpr_reach(o->graph, &start, 1, &options, out, NULL, NULL) != MPR_OK) {
        mpr_alloc_free(&o->alloc, out, o->graph->nodes, 1);
        PyErr_NoMemory();
        return NULL;
    }
    for (uint32_t i = 0; i < o->graph->nodes; i++) {
        out[i] = !out[i];
    }
    return out;
}

PyObject *binding_graph_cycles(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"housekeeping", "garbage", "limit", "start", NULL};
    graph_object *o = cast(self);
    int housekeeping = 0, garbage = 0;
    Py_ssize_t limit = -1;
    PyObject *start = Py_None;
    mpr_scc scc = {0};
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|ppnO", names, &housekeeping, &garbage, &limit, &start)) {
        return NULL;
    }
    uint32_t from = start == Py_None ? MPR_NO_NODE : binding_graph_node(o->graph, start);
    uint8_t *skip = from == MPR_NO_NODE ? NULL : unreached(o, from, housekeeping != 0);
    if (PyErr_Occurred()) {
        return NULL;
    }
    mpr_scc_options options = {.housekeeping = housekeeping, .skip = skip, .progress = binding_progress};
    int status = mpr_scc_find(o->graph, &options, &scc);
    PyObject *list = status == MPR_OK ? component_list(o, &scc, &options, garbage != 0, limit) : binding_error(status);
    mpr_scc_free(&scc);
    mpr_alloc_free(&o->alloc, skip, o->graph->nodes, 1);
    return list;
}

int binding_cyclic_nodes(graph_object *self, bool garbage, bool housekeeping, uint32_t **items, size_t *count, size_t *capacity) {
    MPR_VEC(uint32_t) found = {0};
    mpr_scc scc = {0};
    mpr_scc_options options = {.housekeeping = housekeeping};
    int status = mpr_scc_find(self->graph, &options, &scc);
    for (uint32_t k = 0; status == MPR_OK && scc.count > 0 && k < scc.first[scc.count]; k++) {
        uint32_t node = scc.member[k];
        if (!garbage || (self->graph->flags[node] & MPR_NODE_UNREACHABLE)) {
            status = mpr_vec_push(&found, &self->alloc, node);
        }
    }
    mpr_scc_free(&scc);
    *items = found.items;
    *count = found.count;
    *capacity = found.capacity;
    return status;
}
