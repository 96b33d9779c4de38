/* SPDX-License-Identifier: MIT
 * What a picture asks of a graph: neighbours, the labels between two nodes, and what lies on cycles.
 *
 * A namespace is drawn as part of its owner: the dict of an instance, class or module is passed through, on every version of Python, and
 * `module -> __dict__ -> ['cache']` is one edge. */
#include "binding/binding.h"

#include <string.h>

#include "algo/name_tree.h"
#include "algo/scc.h"
#include "algo/steps.h"
#include "base/vec.h"

typedef MPR_VEC(uint32_t) ids;

typedef struct view {
    mpr_graph *g;
    bool back, housekeeping, weak;
    uint8_t *seen; /* one byte a node; what `out` has is marked */
    ids out;
} view;

/* Is it an edge of the picture? Names, and plain keys when they are not asked about, are words of other edges. */
static bool is_shown(const view *v, uint64_t edge) {
    mpr_label label = v->g->label[edge];
    mpr_label_kind kind = mpr_label_kind_of(label);
    if (mpr_steps_is_namespace(label)) {
        return true;
    }
    if (kind == MPR_LABEL_NAME || (kind == MPR_LABEL_KEY && !v->back && !(v->g->flags[v->g->target[edge]] & MPR_NODE_TRACKED))) {
        return false;
    }
    return (v->weak || mpr_label_strong(label)) && (v->housekeeping || !mpr_label_housekeeping(label));
}

static int put(view *v, uint32_t node) {
    if (v->seen[node] || (v->g->flags[node] & MPR_NODE_OWN)) {
        return MPR_OK;
    }
    v->seen[node] = 1;
    return mpr_vec_push(&v->out, v->g->alloc, node);
}

static int put_targets(view *v, uint32_t node) {
    int status = MPR_OK;
    for (uint64_t k = mpr_graph_first(v->g, node); status == MPR_OK && k < mpr_graph_first(v->g, node + 1); k++) {
        if (mpr_steps_is_namespace(v->g->label[k])) {
            uint32_t dict = v->g->target[k];
            for (uint64_t e = mpr_graph_first(v->g, dict); status == MPR_OK && e < mpr_graph_first(v->g, dict + 1); e++) {
                status = is_shown(v, e) ? put(v, v->g->target[e]) : MPR_OK;
            }
        } else if (is_shown(v, k)) {
            status = put(v, v->g->target[k]);
        }
    }
    return status;
}

/* Of which kind its first edge is: lists and the like are all of one. */
static mpr_label_kind kind_of(const mpr_graph *g, uint32_t node) {
    uint64_t first = mpr_graph_first(g, node);
    return first < mpr_graph_first(g, node + 1) ? mpr_label_kind_of(g->label[first]) : MPR_LABEL_CHILD;
}

/* The first whose namespace this is, or MPR_NO_NODE. Long lists of dicts are not searched. */
static uint32_t owner_of(const mpr_graph *g, uint32_t node) {
    if (kind_of(g, node) != MPR_LABEL_KEY && kind_of(g, node) != MPR_LABEL_VALUE && kind_of(g, node) != MPR_LABEL_NAME) {
        return MPR_NO_NODE;
    }
    for (uint64_t k = g->reverse->first[node]; k < g->reverse->first[node + 1]; k++) {
        uint32_t holder = g->reverse->source[k];
        mpr_label_kind kind = kind_of(g, holder);
        if (kind == MPR_LABEL_INDEX || kind == MPR_LABEL_KEY || kind == MPR_LABEL_ELEMENT) {
            continue;
        }
        for (uint64_t e = mpr_graph_first(g, holder); e < mpr_graph_first(g, holder + 1); e++) {
            if (g->target[e] == node && mpr_steps_is_namespace(g->label[e])) {
                return holder;
            }
        }
    }
    return MPR_NO_NODE;
}

static bool refers(const view *v, uint32_t holder, uint32_t target) {
    for (uint64_t e = mpr_graph_first(v->g, holder); e < mpr_graph_first(v->g, holder + 1); e++) {
        if (v->g->target[e] == target && is_shown(v, e)) {
            return true;
        }
    }
    return false;
}

static int put_holders(view *v, uint32_t node) {
    const mpr_reverse *r = v->g->reverse;
    uint32_t last = MPR_NO_NODE;
    int status = MPR_OK;
    for (uint64_t k = r->first[node]; status == MPR_OK && k < r->first[node + 1]; k++) {
        uint32_t holder = r->source[k];
        if (holder == last || !refers(v, holder, node)) {
            continue;
        }
        last = holder;
        uint32_t owner = (v->g->flags[holder] & MPR_NODE_SYNTHETIC) ? MPR_NO_NODE : owner_of(v->g, holder);
        status = put(v, owner == MPR_NO_NODE ? holder : owner);
    }
    return status;
}

static int put_neighbours(view *v, uint32_t node) { return v->back ? put_holders(v, node) : put_targets(v, node); }

static int open_view(view *v) {
    v->seen = mpr_alloc_array(v->g->alloc, v->g->nodes, 1);
    return v->seen == NULL || (v->back && mpr_graph_make_reverse(v->g) != MPR_OK) ? MPR_ENOMEM : MPR_OK;
}

static void close_view(view *v) {
    mpr_alloc_free(v->g->alloc, v->seen, v->g->nodes, 1);
    mpr_vec_free(&v->out, v->g->alloc);
}

/* ---- asked of a graph ---- */

static PyObject *id_list(const uint32_t *items, size_t count) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *id = PyLong_FromUnsignedLong(items[i]);
        if (id == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, id);
        }
    }
    return list;
}

static PyObject *neighbours(PyObject *module, PyObject *args) {
    PyObject *graph, *argument;
    int back, housekeeping, weak;
    if (!PyArg_ParseTuple(args, "O!Oppp", binding_state(module)->graph_type, &graph, &argument, &back, &housekeeping, &weak)) {
        return NULL;
    }
    view v = {.g = ((graph_object *)graph)->graph, .back = back != 0, .housekeeping = housekeeping != 0, .weak = weak != 0};
    uint32_t id = binding_graph_node(v.g, argument);
    if (id == MPR_NO_NODE) {
        return NULL;
    }
    int status = open_view(&v);
    if (status == MPR_OK) {
        status = put_neighbours(&v, id);
    }
    PyObject *list = status == MPR_OK ? id_list(v.out.items, v.out.count) : binding_error(status);
    close_view(&v);
    return list;
}

/* Rows as edges_out, with those of the namespace, of which at most `limit`; and how many there are. A row's node is the one whose edge it
 * is: the holder, or its namespace, whose keys are the holder's attributes. */
static PyObject *between(PyObject *module, PyObject *args) {
    PyObject *graph, *from, *to;
    int housekeeping, weak;
    Py_ssize_t limit, count = 0;
    if (!PyArg_ParseTuple(args, "O!OOppn", binding_state(module)->graph_type, &graph, &from, &to, &housekeeping, &weak, &limit)) {
        return NULL;
    }
    view v = {.g = ((graph_object *)graph)->graph, .back = true, .housekeeping = housekeeping != 0, .weak = weak != 0};
    uint32_t holder = binding_graph_node(v.g, from), target = holder == MPR_NO_NODE ? holder : binding_graph_node(v.g, to);
    PyObject *list = target == MPR_NO_NODE ? NULL : PyList_New(0);
    for (uint64_t k = list == NULL ? 0 : mpr_graph_first(v.g, holder); list != NULL && k < mpr_graph_first(v.g, holder + 1); k++) {
        bool through = mpr_steps_is_namespace(v.g->label[k]) && v.g->target[k] != target;
        uint32_t owner = through ? v.g->target[k] : holder;
        uint64_t first = through ? mpr_graph_first(v.g, owner) : k, end = through ? mpr_graph_first(v.g, owner + 1) : k + 1;
        for (uint64_t e = first; list != NULL && e < end; e++) {
            if (v.g->target[e] != target || !is_shown(&v, e)) {
                continue;
            }
            if (count++ < limit && binding_graph_append_edge(list, v.g, owner, e, owner) < 0) {
                Py_CLEAR(list);
            }
        }
    }
    return list == NULL ? NULL : Py_BuildValue("(Nn)", list, count);
}

/* One byte a node: != 0 for all but some nodes and their namespaces. */
static uint8_t *all_but(mpr_graph *g, const ids *some) {
    uint8_t *skip = mpr_alloc_array(g->alloc, g->nodes, 1);
    if (skip == NULL) {
        return NULL;
    }
    memset(skip, 1, g->nodes);
    for (size_t i = 0; i < some->count; i++) {
        skip[some->items[i]] = 0;
        for (uint64_t k = mpr_graph_first(g, some->items[i]); k < mpr_graph_first(g, some->items[i] + 1); k++) {
            if (mpr_steps_is_namespace(g->label[k])) {
                skip[g->target[k]] = 0;
            }
        }
    }
    return skip;
}

static int node_ids(const mpr_graph *g, PyObject *tuple, ids *out) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++) {
        uint32_t id = binding_graph_node(g, PyTuple_GET_ITEM(tuple, i));
        if (id == MPR_NO_NODE) {
            return -1;
        }
        if (mpr_vec_push(out, g->alloc, id) != MPR_OK) {
            PyErr_NoMemory();
            return -1;
        }
    }
    return 0;
}

static PyObject *components(PyObject *module, PyObject *args) {
    PyObject *graph, *tuple, *list = NULL;
    int housekeeping;
    ids some = {0};
    mpr_scc scc = {0};
    if (!PyArg_ParseTuple(args, "O!O!p", binding_state(module)->graph_type, &graph, &PyTuple_Type, &tuple, &housekeeping)) {
        return NULL;
    }
    mpr_graph *g = ((graph_object *)graph)->graph;
    if (node_ids(g, tuple, &some) == 0) {
        uint8_t *skip = all_but(g, &some);
        mpr_scc_options options = {.housekeeping = housekeeping != 0, .skip = skip, .progress = binding_progress};
        int status = skip == NULL ? MPR_ENOMEM : mpr_scc_find(g, &options, &scc);
        for (size_t i = 0; status == MPR_OK && i < some.count; i++) {
            some.items[i] = scc.component[some.items[i]];
        }
        list = status == MPR_OK ? id_list(some.items, some.count) : binding_error(status);
        mpr_scc_free(&scc);
        mpr_alloc_free(g->alloc, skip, g->nodes, 1);
    }
    mpr_vec_free(&some, g->alloc);
    return list;
}

/* ---- asked of living objects ---- */

#define MOST_MET 100000u /* objects that a picture holds unless it asks for all */
#define ENDS 64u         /* steps at each end of a path whose objects it holds */

/* Breadth first around some nodes; of each, `limit` neighbours at most, and MOST_MET in all (limit < 0: all). What is met is `met`. */
static int go_around(view *v, const ids *starts, int depth, Py_ssize_t limit, ids *met) {
    uint8_t *known = mpr_alloc_array(v->g->alloc, v->g->nodes, 1);
    int status = known == NULL ? MPR_ENOMEM : MPR_OK;
    for (size_t i = 0; status == MPR_OK && i < starts->count; i++) {
        known[starts->items[i]] = 1;
        status = mpr_vec_push(met, v->g->alloc, starts->items[i]);
    }
    size_t at = 0;
    for (int level = 0; status == MPR_OK && level < depth; level++) {
        for (size_t end = met->count; status == MPR_OK && at < end; at++) {
            v->out.count = 0;
            status = put_neighbours(v, met->items[at]);
            for (size_t i = 0; i < v->out.count; i++) {
                uint32_t node = v->out.items[i];
                v->seen[node] = 0;
                if (status == MPR_OK && !known[node] && (limit < 0 || (i < (size_t)limit && met->count < MOST_MET))) {
                    known[node] = 1;
                    status = mpr_vec_push(met, v->g->alloc, node);
                }
            }
        }
    }
    mpr_alloc_free(v->g->alloc, known, v->g->nodes, 1);
    return status;
}

static int find_starts(const mpr_graph *g, PyObject *objects, ids *out) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(objects); i++) {
        uint32_t node;
        if (binding_find_object(g, PyTuple_GET_ITEM(objects, i), &node) < 0) {
            return -1;
        }
        if (mpr_vec_push(out, g->alloc, node) != MPR_OK) {
            PyErr_NoMemory();
            return -1;
        }
    }
    return 0;
}

/* The tuples of a question are memprobe's. */
static void disown(mpr_graph *g, PyObject *own) {
    uint32_t node;
    if (mpr_graph_find(g, (uint64_t)(uintptr_t)own, &node)) {
        g->flags[node] |= MPR_NODE_OWN;
    }
}

/* What a question was asked with: the caller's variables, and the call's own references, which count as those of C code. These come last
 * among the reasons why an object is there. */
typedef struct asked_with {
    const mpr_graph *g;
    const ids *starts;
    uint32_t frame, locals; /* the caller's, or MPR_NO_NODE */
} asked_with;

static bool is_callers(const void *context, uint32_t holder, uint64_t edge) {
    const asked_with *a = context;
    mpr_label_kind kind = mpr_label_kind_of(a->g->label[edge]);
    bool variable = holder == a->frame && (kind == MPR_LABEL_LOCAL || kind == MPR_LABEL_CELL || kind == MPR_LABEL_STACK);
    bool is_start = false;
    if (variable || holder == a->g->group[MPR_GROUP_C_REFERENCES] || (holder == a->locals && kind == MPR_LABEL_VALUE)) {
        for (size_t i = 0; i < a->starts->count && !is_start; i++) {
            is_start = a->starts->items[i] == a->g->target[edge];
        }
    }
    return is_start;
}

static uint32_t node_at(const mpr_graph *g, uint64_t address) {
    uint32_t node;
    return address != 0 && mpr_graph_find(g, address, &node) ? node : MPR_NO_NODE;
}

/* Name the starts by what the program holds them by; when that leaves one without a name, all of them by any path. */
static int name_starts(graph_object *graph, const ids *starts, const cpy_caller *caller) {
    mpr_graph *g = graph->graph;
    asked_with asked = {g, starts, node_at(g, caller->node), node_at(g, (uint64_t)(uintptr_t)caller->locals)};
    mpr_name_bars bars = {.is_barred = is_callers, .context = &asked};
    int status = mpr_name_tree_begin(g, true, &graph->names);
    if (status == MPR_OK) {
        graph->names.bars = &bars;
        status = mpr_name_tree_reach(g, &graph->names, starts->items, starts->count, NULL, NULL);
        graph->names.bars = NULL;
    }
    bool all = true;
    for (size_t i = 0; status == MPR_OK && i < starts->count; i++) {
        all = all && graph->names.parent[starts->items[i]] != MPR_NO_NODE;
    }
    if (status == MPR_OK && !all) {
        mpr_name_tree_free(&graph->names);
        status = mpr_name_tree_begin(g, true, &graph->names);
        status = status == MPR_OK ? mpr_name_tree_reach(g, &graph->names, starts->items, starts->count, NULL, NULL) : status;
    }
    return status;
}

/* Append the two ends of the path that names each start. */
static int meet_names(graph_object *graph, const ids *starts, ids *met) {
    int status = MPR_OK;
    for (size_t i = 0; status == MPR_OK && i < starts->count; i++) {
        mpr_steps path = {0};
        if (graph->names.parent[starts->items[i]] != MPR_NO_NODE) {
            status = mpr_name_tree_path(graph->graph, &graph->names, starts->items[i], &path);
        }
        for (size_t k = 0; status == MPR_OK && k < path.count; k++) {
            if (k < ENDS || k + ENDS >= path.count) {
                status = mpr_vec_push(met, &graph->alloc, path.items[k].node);
            }
        }
        mpr_vec_free(&path, &graph->alloc);
    }
    return status;
}

/* The graph of this moment and who asked for it, or NULL with an exception. */
static graph_object *captured(PyObject *module, cpy_caller *caller) {
    graph_object *graph = binding_graph_new(binding_state(module));
    if (graph != NULL && binding_capture_for(binding_state(module), graph, (cpy_contents){0}, NULL, caller, true) < 0) {
        Py_CLEAR(graph);
    } else if (graph != NULL) {
        graph->living = true;
    }
    return graph;
}

/* What is around the starts, and with `back` on the paths that name them. */
static int meet(graph_object *graph, view *v, const ids *starts, int depth, Py_ssize_t limit, const cpy_caller *caller, ids *met) {
    int status = open_view(v);
    if (status == MPR_OK) {
        status = go_around(v, starts, depth, limit, met);
    }
    if (status == MPR_OK && v->back) {
        status = name_starts(graph, starts, caller);
    }
    if (status == MPR_OK && v->back) {
        status = meet_names(graph, starts, met);
    }
    close_view(v);
    return status;
}

/* ((Graph, Held), [node of each object]) of what lies around some objects. */
static PyObject *hold_around(PyObject *module, PyObject *args) {
    PyObject *objects, *both = NULL, *list = NULL;
    int depth, back, housekeeping, weak;
    Py_ssize_t limit;
    cpy_caller caller = {0};
    if (!PyArg_ParseTuple(args, "O!ipppn", &PyTuple_Type, &objects, &depth, &back, &housekeeping, &weak, &limit)) {
        return NULL;
    }
    graph_object *graph = captured(module, &caller);
    if (graph == NULL) {
        return NULL;
    }
    view v = {.g = graph->graph, .back = back != 0, .housekeeping = housekeeping != 0, .weak = weak != 0};
    disown(v.g, objects);
    disown(v.g, args);
    ids starts = {0}, met = {0};
    if (find_starts(v.g, objects, &starts) == 0) {
        int status = meet(graph, &v, &starts, depth, limit, &caller, &met);
        both = status == MPR_OK ? binding_with_objects(binding_state(module), graph, met.items, met.count) : binding_error(status);
        list = both == NULL ? NULL : id_list(starts.items, starts.count);
    }
    mpr_vec_free(&starts, v.g->alloc);
    mpr_vec_free(&met, v.g->alloc);
    Py_DECREF(graph);
    if (list == NULL) {
        Py_XDECREF(both);
        return NULL;
    }
    return Py_BuildValue("(NN)", both, list);
}

/* ---- where it was made ---- */

static PyObject *allocated(PyObject *module, PyObject *object) {
    (void)module;
    return cpy_allocation_traceback(object);
}

PyMethodDef binding_picture_methods[] = {
    {"neighbours", neighbours, METH_VARARGS, "Nodes that a node refers to, or that refer to it, through namespaces."},
    {"between", between, METH_VARARGS, "The edges from one node to another, and how many."},
    {"components", components, METH_VARARGS, "For each of some nodes which cycle it lies on among them."},
    {"hold_around", hold_around, METH_VARARGS, "((Graph, Held), nodes): what lies around some objects."},
    {"allocated", allocated, METH_O, "Where tracemalloc saw it being made: ((file, line), ...), the innermost first; or None."},
    {NULL, NULL, 0, NULL},
};
