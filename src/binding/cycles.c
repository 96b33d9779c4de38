/* SPDX-License-Identifier: MIT
 * memprobe._core.Cycles: the cycles of a graph as a sequence of rows, made when they are asked for. Kept are the components and the order of
 * the rows (algo/scc.h), some bytes a component; a row's shortest cycle is searched for when it is shown. */
#include "binding/binding.h"

#include "algo/reach.h"
#include "algo/scc.h"

#define BUDGET (1 << 18) /* edges: what the search for the shortest cycle of a row may take once it has one */

typedef struct cycles_object {
    PyObject_HEAD
    graph_object *graph;
    mpr_scc scc;
    bool housekeeping, opaque;
    mpr_cycle_row *rows; /* room for as many as there are components */
    uint32_t count;
} cycles_object;

static cycles_object *cast(PyObject *self) { return (cycles_object *)self; }

static void dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    cycles_object *o = cast(self);
    if (o->graph != NULL) {
        mpr_alloc_free(&o->graph->alloc, o->rows, o->scc.count, sizeof *o->rows);
        mpr_scc_free(&o->scc);
    }
    Py_XDECREF(o->graph);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- making one ---- */

static int find_rows(cycles_object *o, const binding_cycles_asked *asked) {
    const mpr_graph *g = o->graph->graph;
    mpr_scc_options options = {
        .housekeeping = asked->housekeeping, .opaque = asked->opaque, .skip = asked->skip, .progress = asked->progress};
    int status = mpr_scc_find(g, &options, &o->scc);
    if (status == MPR_OK) {
        status = mpr_scc_rows(g, &o->scc, &options, asked->garbage, &o->rows, &o->count);
        mpr_scc_trim(&o->scc);
    }
    return status;
}

static int hold_rows(const cycles_object *o, uint32_t limit, binding_objects *objects) {
    int status = MPR_OK;
    for (uint32_t i = 0; i < o->count && i < limit; i++) {
        uint32_t component = o->rows[i].component;
        for (uint32_t k = o->scc.first[component]; status == MPR_OK && k < o->scc.first[component + 1]; k++) {
            status = binding_hold(objects, o->graph, o->scc.member[k]);
        }
    }
    return status;
}

PyObject *binding_cycles_new(mod_state *state, graph_object *graph, const binding_cycles_asked *asked, PyObject **held) {
    binding_objects objects = {0};
    cycles_object *o = (cycles_object *)state->cycles_type->tp_alloc(state->cycles_type, 0); /* no collector: the type has none */
    if (o == NULL) {
        return NULL;
    }
    o->graph = (graph_object *)Py_NewRef((PyObject *)graph);
    o->housekeeping = asked->housekeeping;
    o->opaque = asked->opaque;
    int status = find_rows(o, asked);
    if (status == MPR_OK && held != NULL) {
        status = hold_rows(o, asked->limit, &objects);
    }
    if (status != MPR_OK) {
        binding_objects_release(&objects, &graph->alloc);
        Py_DECREF(o);
        return binding_error(status);
    }
    if (held != NULL && (*held = binding_held_new(state, &objects, &graph->alloc)) == NULL) {
        Py_CLEAR(o);
    }
    return (PyObject *)o;
}

/* One byte a node: != 0 for what cannot be reached from `start`. NULL with an exception. */
static uint8_t *unreached(graph_object *o, uint32_t start, bool housekeeping) {
    uint8_t *out = mpr_alloc_array(&o->alloc, o->graph->nodes, 1);
    if (out == NULL || mpr_reach(o->graph, &start, 1, housekeeping, out, NULL, NULL) != MPR_OK) {
        mpr_alloc_free(&o->alloc, out, o->graph->nodes, 1);
        PyErr_NoMemory();
        return NULL;
    }
    for (uint32_t i = 0; i < o->graph->nodes; i++) {
        out[i] = !out[i];
    }
    return out;
}

/* cycles(graph, garbage, housekeeping, node from which they must be reachable or None, opaque). */
static PyObject *cycles(PyObject *module, PyObject *args) {
    mod_state *state = binding_state(module);
    PyObject *argument, *start;
    int garbage, housekeeping, opaque = 0;
    if (!PyArg_ParseTuple(args, "O!ppO|p", state->graph_type, &argument, &garbage, &housekeeping, &start, &opaque)) {
        return NULL;
    }
    graph_object *graph = (graph_object *)argument;
    uint8_t *skip = NULL;
    if (start != Py_None) {
        uint32_t from = binding_graph_node(graph->graph, start);
        skip = from == MPR_NO_NODE ? NULL : unreached(graph, from, housekeeping != 0);
        if (skip == NULL) {
            return NULL;
        }
    }
    binding_cycles_asked asked = {housekeeping != 0, garbage != 0, opaque != 0, skip, binding_progress, 0};
    PyObject *out = binding_cycles_new(state, graph, &asked, NULL);
    mpr_alloc_free(&graph->alloc, skip, graph->graph->nodes, 1);
    return out;
}

/* ---- its rows ---- */

static const mpr_cycle_row *row_at(PyObject *self, Py_ssize_t index) {
    if (index < 0 || index >= (Py_ssize_t)cast(self)->count) {
        PyErr_Format(PyExc_IndexError, "cycle %zd is not in this answer, which has %u", index, (unsigned)cast(self)->count);
        return NULL;
    }
    return &cast(self)->rows[index];
}

/* [row of an edge] round the cycle: each leads to the holder of the next, the last to the first's. */
static PyObject *step_list(const mpr_graph *g, const mpr_cycles *found) {
    PyObject *list = PyList_New(0);
    size_t count = found->first[1];
    for (size_t i = 0; list != NULL && i < count; i++) {
        const mpr_cycle_step *step = &found->step[i];
        if (binding_graph_append_edge(list, g, step->node, step->edge, found->step[(i + 1) % count].node) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *item(PyObject *self, Py_ssize_t index) {
    const cycles_object *o = cast(self);
    const mpr_cycle_row *row = row_at(self, index);
    mpr_cycles found = {0};
    if (row == NULL) {
        return NULL;
    }
    mpr_scc_options options = {.housekeeping = o->housekeeping, .opaque = o->opaque};
    int status = mpr_scc_cycles(o->graph->graph, &o->scc, &options, row->component, 1, BUDGET, &found);
    if (status != MPR_OK) {
        return binding_error(status);
    }
    unsigned first = found.step[0].node, members = o->scc.first[row->component + 1] - o->scc.first[row->component];
    PyObject *steps = step_list(o->graph->graph, &found);
    mpr_cycles_free(&found);
    return steps == NULL ? NULL
                         : Py_BuildValue("(IKOIIN)", (unsigned)row->count, (unsigned long long)row->bytes,
                                         row->garbage ? Py_True : Py_False, members, first, steps);
}

static PyObject *members(PyObject *self, PyObject *args) {
    const cycles_object *o = cast(self);
    Py_ssize_t index, start, stop;
    const mpr_cycle_row *row = PyArg_ParseTuple(args, "nnn", &index, &start, &stop) ? row_at(self, index) : NULL;
    if (row == NULL) {
        return NULL;
    }
    uint32_t first = o->scc.first[row->component], count = o->scc.first[row->component + 1] - first;
    Py_ssize_t end = stop < (Py_ssize_t)count ? stop : (Py_ssize_t)count;
    start = start < 0 ? 0 : start < end ? start : end;
    return binding_ids(o->scc.member + first + start, (size_t)(end > start ? end - start : 0));
}

static PyObject *components(PyObject *self, PyObject *unused) {
    uint64_t sum = 0;
    (void)unused;
    for (uint32_t i = 0; i < cast(self)->count; i++) {
        sum += cast(self)->rows[i].count;
    }
    return PyLong_FromUnsignedLongLong(sum);
}

static Py_ssize_t length(PyObject *self) { return (Py_ssize_t)cast(self)->count; }

static PyMethodDef methods[] = {
    {"members", members, METH_VARARGS, "Nodes number start to stop of the first component of a row."},
    {"components", components, METH_NOARGS, "How many cycles all rows stand for."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {{Py_tp_dealloc, dealloc},
                              {Py_tp_methods, methods},
                              {Py_sq_length, length},
                              {Py_sq_item, item},
                              {Py_tp_doc, "The cycles of a graph, by rows: those that look alike are one."},
                              {0, NULL}};

PyType_Spec binding_cycles_spec = {.name = "memprobe._core.Cycles",
                                   .basicsize = sizeof(cycles_object),
                                   .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                   .slots = slots};

PyMethodDef binding_cycle_methods[] = {
    {"cycles", cycles, METH_VARARGS, "The cycles of a graph, or those that can be reached from one of its nodes."},
    {NULL, NULL, 0, NULL},
};
