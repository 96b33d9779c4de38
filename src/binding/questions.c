/* SPDX-License-Identifier: MIT
 * Questions about live objects that need a graph: why_alive, retained_sizeof, find_cycles.
 *
 * They give real objects back. That is safe because nothing runs between the capture and the moment when references are taken: the GIL is
 * kept, and no Python object is made before every object of the answer is held. */
#include "binding/binding.h"

#include <string.h>

#include "algo/names.h"
#include "algo/paths.h"
#include "algo/reach.h"
#include "cpython/str.h"
#include "cpython/text.h"

/* ---- the graph of this moment ---- */

/* The graph of this moment for a question about an object: NULL with an exception. */
static graph_object *capture_for(mod_state *state, PyObject *argument, cpy_contents contents, cpy_caller *caller) {
    graph_object *out = binding_graph_new(state);
    if (out != NULL && binding_capture_for(state, out, contents, argument, caller, !contents.nameless) < 0) {
        Py_CLEAR(out);
    } else if (out != NULL) {
        out->living = true;
    }
    return out;
}

graph_object *binding_captured(PyObject *module) { return capture_for(binding_state(module), NULL, (cpy_contents){0}, NULL); }

int binding_find_object(const mpr_graph *g, PyObject *object, uint32_t *node) {
    if (mpr_graph_find(g, (uint64_t)(uintptr_t)object, node)) {
        return 0;
    }
    PyErr_SetString(PyExc_ValueError, "this object is in no container that memprobe can see: nothing but the call holds it.");
    return -1;
}

/* ---- retained size ---- */

static uint64_t bytes_unreached(const mpr_graph *g, const uint8_t *reached) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < g->nodes; i++) {
        if (!reached[i] && mpr_graph_is_object(g, i)) {
            bytes += mpr_graph_size(g, i);
        }
    }
    return bytes;
}

/* Every object but memprobe's is reached from the super-root. So what is not, with the node for a wall, is what dies with it: one mark, and no
 * dominators. MPR_OK or MPR_ENOMEM. */
static int find_retained(const mpr_graph *g, uint32_t node, uint64_t *bytes) {
    uint8_t *reached = mpr_alloc_array(g->alloc, g->nodes, 1);
    int status = MPR_ENOMEM;
    if (reached != NULL) {
        for (uint32_t i = 0; i < g->nodes; i++) {
            reached[i] = (g->flags[i] & MPR_NODE_OWN) != 0;
        }
        reached[node] = 1;
        status = mpr_reach(g, &g->group[MPR_GROUP_ROOT], 1, true, reached, NULL, NULL);
        reached[node] = 0;
    }
    if (status == MPR_OK) {
        *bytes = bytes_unreached(g, reached);
    }
    mpr_alloc_free(g->alloc, reached, g->nodes, 1);
    return status;
}

static PyObject *retained_sizeof(PyObject *module, PyObject *object) {
    graph_object *graph = capture_for(binding_state(module), object, (cpy_contents){.nameless = true}, NULL);
    uint32_t node;
    uint64_t bytes;
    PyObject *result = NULL;
    if (graph != NULL && binding_find_object(graph->graph, object, &node) == 0) {
        int status = find_retained(graph->graph, node, &bytes);
        result = status == MPR_OK ? PyLong_FromUnsignedLongLong(bytes) : binding_error(status);
    }
    Py_XDECREF(graph);
    return result;
}

/* ---- objects of an answer ---- */

int binding_hold(binding_objects *objects, graph_object *graph, uint32_t node) {
    const mpr_graph *g = graph->graph;
    if ((g->flags[node] & (MPR_NODE_SYNTHETIC | MPR_NODE_NATIVE)) || binding_graph_lacks(graph, node)) {
        return MPR_OK;
    }
    return binding_objects_add(objects, &graph->alloc, (PyObject *)(uintptr_t)mpr_graph_address(g, node), node);
}

PyObject *binding_with_objects(mod_state *state, graph_object *graph, const uint32_t *nodes, size_t count) {
    binding_objects objects = {0};
    int status = MPR_OK;
    for (size_t i = 0; status == MPR_OK && i < count; i++) {
        status = binding_hold(&objects, graph, nodes[i]);
    }
    if (status != MPR_OK) {
        binding_objects_release(&objects, &graph->alloc);
        return binding_error(status);
    }
    PyObject *held = binding_held_new(state, &objects, &graph->alloc);
    binding_graph_let_go(graph);
    return held == NULL ? NULL : Py_BuildValue("(ON)", graph, held);
}

/* ---- why it is alive ----
 *
 * The variable that the question was asked with, and what a prompt keeps of its results, say nothing about the program. So the edges of
 * both are barred in a first search, and only when that finds nothing are they shown. */

typedef struct asking {
    const mpr_graph *g;
    bool ipython; /* it keeps results in more places than the caller's namespace */
    uint32_t object, frame, locals, builtins; /* nodes: what is asked about, the caller's frame and namespace, the builtins */
} asking;

static uint32_t node_of(const mpr_graph *g, uint64_t address) {
    uint32_t node;
    return address != 0 && mpr_graph_find(g, address, &node) ? node : MPR_NO_NODE;
}

static asking asking_of(const mpr_graph *g, uint32_t object, const cpy_caller *caller) {
    return (asking){.g = g,
                    .object = object,
                    .frame = node_of(g, caller->node),
                    .locals = node_of(g, (uint64_t)(uintptr_t)caller->locals),
                    .builtins = node_of(g, (uint64_t)(uintptr_t)PyEval_GetBuiltins())};
}

/* A name that a prompt gives to inputs and results: _, __, ___, _12; IPython's _i, _ii, _iii, _i12, In, Out, _ih, _oh, _dh. */
static bool is_prompts(const char *name, size_t length) {
    static const char *const words[] = {"_",  "__",  "___", "_i",  "_ii", "_iii",
                                        "In", "Out", "_ih", "_oh", "_dh", "last_execution_result"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strlen(words[i]) == length && memcmp(words[i], name, length) == 0) {
            return true;
        }
    }
    size_t first = length > 1 && name[1] == 'i' ? 2 : 1;
    return length > first && name[0] == '_' && strspn(name + first, "0123456789") >= length - first;
}

/* What the edge is called, read where it lives: the graph has the contents of few strings. The length, 0 for no name. */
static size_t name_of(const asking *a, uint32_t holder, uint64_t edge, char *out, size_t size) {
    mpr_label_kind kind = mpr_label_kind_of(a->g->label[edge]);
    mpr_resolved label;
    if (kind == MPR_LABEL_VALUE || kind == MPR_LABEL_ATTR) {
        PyObject *key = (PyObject *)(uintptr_t)mpr_graph_address(a->g, a->g->target[edge - 1]);
        return PyUnicode_CheckExact(key) ? cpy_str_utf8(out, size, key, (Py_ssize_t)size / 4) : 0;
    }
    mpr_graph_resolve(a->g, holder, edge, &label);
    bool named = label.kind == MPR_LABEL_ATTR && label.name != NULL && label.length < size;
    memcpy(out, named ? label.name : "", named ? label.length : 0);
    return named ? label.length : 0;
}

/* The value of a key in the caller's namespace or the builtins that a prompt has put there; in IPython, one that is called so anywhere. */
static bool is_prompts_edge(const asking *a, uint32_t holder, uint64_t edge) {
    char name[64];
    if (holder != a->locals && holder != a->builtins && !a->ipython) {
        return false;
    }
    size_t length = name_of(a, holder, edge, name, sizeof name);
    return length > 0 && is_prompts(name, length);
}

/* A variable of the caller that is the object itself. */
static bool is_callers_edge(const asking *a, uint32_t holder, uint64_t edge) {
    mpr_label_kind kind = mpr_label_kind_of(a->g->label[edge]);
    bool local = holder == a->frame && (kind == MPR_LABEL_LOCAL || kind == MPR_LABEL_CELL || kind == MPR_LABEL_STACK);
    return a->g->target[edge] == a->object && (local || (holder == a->locals && kind == MPR_LABEL_VALUE));
}

static bool is_barred(const void *bars, uint32_t holder, uint64_t edge) {
    const asking *a = bars;
    return is_callers_edge(a, holder, edge) || is_prompts_edge(a, holder, edge);
}

/* Walls for what a prompt keeps results in (IPython's Out, which its history refers to as well), and whether there is such: NULL without
 * memory. */
static uint8_t *prompts_walls(asking *a) {
    uint8_t *walls = mpr_alloc_array(a->g->alloc, a->g->nodes, 1);
    bool none = walls == NULL || a->locals == MPR_NO_NODE;
    uint64_t first = none ? 0 : mpr_graph_first(a->g, a->locals), end = none ? 0 : mpr_graph_first(a->g, a->locals + 1);
    for (uint64_t k = first; k < end; k++) {
        char name[64];
        bool value = mpr_label_kind_of(a->g->label[k]) == MPR_LABEL_VALUE;
        if (value && name_of(a, a->locals, k, name, sizeof name) == 3 && memcmp(name, "Out", 3) == 0) {
            a->ipython = true;
            walls[a->g->target[k]] = a->g->target[k] != a->object;
        }
    }
    return walls;
}

/* Paths to the object that take none of these edges: none of them may be NULL. */
static int find_beside(graph_object *graph, const asking *a, unsigned limit, const mpr_name_bars *bars, mpr_paths *out) {
    int status = mpr_name_tree_begin(graph->graph, true, &graph->names);
    if (status == MPR_OK) {
        graph->names.bars = bars;
        status = mpr_paths_find(graph->graph, &graph->names, a->object, limit, NULL, NULL, out);
    }
    mpr_name_tree_free(&graph->names); /* without the bars other nodes may have other names */
    return status;
}

/* The paths of the program; *prompts: there are none, and these lead through what the bars are for. */
static int find_paths(graph_object *graph, asking *a, unsigned limit, mpr_paths *out, bool *prompts) {
    uint8_t *walls = prompts_walls(a);
    mpr_name_bars bars = {.is_barred = is_barred, .context = a, .walls = walls};
    int status = walls == NULL ? MPR_ENOMEM : find_beside(graph, a, limit, &bars, out);
    *prompts = status == MPR_OK && out->count == 0;
    if (*prompts) {
        mpr_paths_free(out);
        status = find_beside(graph, a, limit, NULL, out);
    }
    mpr_alloc_free(graph->graph->alloc, walls, graph->graph->nodes, 1);
    return status;
}

/* The rows of the caller's own variables that are the object. */
static PyObject *callers_rows(const asking *a) {
    PyObject *list = PyList_New(0);
    const uint32_t holders[] = {a->frame, a->locals};
    for (size_t i = 0; list != NULL && i < 2; i++) {
        uint64_t end = holders[i] == MPR_NO_NODE ? 0 : mpr_graph_first(a->g, holders[i] + 1);
        for (uint64_t k = end == 0 ? 0 : mpr_graph_first(a->g, holders[i]); list != NULL && k < end; k++) {
            bool strong = mpr_label_strong(a->g->label[k]) || mpr_label_kind_of(a->g->label[k]) == MPR_LABEL_LOCAL;
            bool shown = strong && is_callers_edge(a, holders[i], k) && !is_prompts_edge(a, holders[i], k) &&
                         mpr_label_kind_of(a->g->label[k]) != MPR_LABEL_STACK;
            if (shown && binding_graph_append_edge(list, a->g, holders[i], k, holders[i]) < 0) {
                Py_CLEAR(list);
            }
        }
    }
    return list;
}

/* Hold what is on the paths, and the keys by which dicts hold it. */
static PyObject *hold_paths(mod_state *state, graph_object *graph, uint32_t node, const mpr_paths *paths) {
    const mpr_graph *g = graph->graph;
    binding_objects objects = {0};
    int status = binding_hold(&objects, graph, node);
    for (size_t k = 0; status == MPR_OK && k < paths->step.count; k++) {
        uint64_t edge = paths->step.items[k].edge;
        status = binding_hold(&objects, graph, paths->step.items[k].node);
        if (status == MPR_OK && edge != MPR_NO_EDGE && mpr_label_kind_of(g->label[edge]) == MPR_LABEL_VALUE) {
            status = binding_hold(&objects, graph, g->target[edge - 1]);
        }
    }
    if (status != MPR_OK) {
        binding_objects_release(&objects, &graph->alloc);
        return binding_error(status);
    }
    return binding_held_new(state, &objects, &graph->alloc);
}

/* The text of a key that the answer holds: of a type whose contents can be read without running code. */
static size_t key_text(void *context, uint32_t node, char *out, size_t size) {
    const graph_object *graph = context;
    return cpy_text_key((PyObject *)(uintptr_t)mpr_graph_address(graph->graph, node), out, size);
}

/* why_alive(object, limit) as (Graph, Held, node, paths by rows, are they the prompt's, the caller's own variables by rows). */
static PyObject *why_alive(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    mod_state *state = binding_state(module);
    long limit = count == 2 ? PyLong_AsLong(args[1]) : 0;
    cpy_caller caller = {0};
    uint32_t node;
    if (limit < 1 || limit > 255) {
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "limit is %ld: ask for 1 to 255 paths.", limit);
    }
    graph_object *graph = capture_for(state, args[0], (cpy_contents){0}, &caller);
    if (graph == NULL || binding_find_object(graph->graph, args[0], &node) < 0) {
        Py_XDECREF(graph);
        return NULL;
    }
    mpr_paths paths = {0};
    bool prompts = false;
    asking a = asking_of(graph->graph, node, &caller);
    mpr_name_keys keys = {.text = key_text, .context = graph};
    int status = find_paths(graph, &a, (unsigned)limit, &paths, &prompts);
    PyObject *held = status == MPR_OK ? hold_paths(state, graph, node, &paths) : binding_error(status);
    PyObject *rows = held == NULL ? NULL : binding_path_rows(graph->graph, &paths, &keys),
             *callers = rows == NULL ? NULL : callers_rows(&a);
    mpr_paths_free(&paths);
    binding_graph_let_go(graph);
    if (callers == NULL) {
        Py_XDECREF(held);
        Py_XDECREF(rows);
        Py_DECREF(graph);
        return NULL;
    }
    return Py_BuildValue("(NNINON)", graph, held, (unsigned)node, rows, prompts ? Py_True : Py_False, callers);
}

/* ---- cycles ---- */

/* find_cycles(object or None for the whole heap, garbage, housekeeping, limit) as (Graph, Cycles, Held). */
static PyObject *find_cycles(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    mod_state *state = binding_state(module);
    PyObject *held = NULL;
    if (count != 4) {
        return PyErr_Format(PyExc_TypeError, "find_cycles() takes 4 arguments, not %zd", count);
    }
    long long limit = PyLong_AsLongLong(args[3]);
    binding_cycles_asked asked = {.housekeeping = args[2] == Py_True, .garbage = args[1] == Py_True};
    asked.limit = limit < 0 || limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit;
    graph_object *graph = PyErr_Occurred() ? NULL : binding_graph_new(state);
    int failed = graph == NULL        ? -1
                 : args[0] == Py_None ? binding_capture_for(state, graph, (cpy_contents){0}, NULL, NULL, true)
                                      : binding_capture_reachable(state, graph, args[0], asked.housekeeping);
    PyObject *cycles = failed < 0 ? NULL : binding_cycles_new(state, graph, &asked, &held);
    if (cycles == NULL) {
        Py_XDECREF(graph);
        return NULL;
    }
    binding_graph_let_go(graph);
    return Py_BuildValue("(NNN)", graph, cycles, held);
}

PyMethodDef binding_question_methods[] = {
    {"retained_sizeof", retained_sizeof, METH_O, "Bytes that would be freed with an object."},
    {"why_alive", (PyCFunction)(void (*)(void))why_alive, METH_FASTCALL,
     "(Graph, Held, node, paths, are they the prompt's, the caller's variables): the shortest paths to an object."},
    {"find_cycles", (PyCFunction)(void (*)(void))find_cycles, METH_FASTCALL,
     "(Graph, Cycles, Held): the cycles of the heap, or those that can be reached from an object."},
    {NULL, NULL, 0, NULL},
};
