/* SPDX-License-Identifier: MIT
 * suspects and diff: what leaks, as plain tuples. Names and advice are made of them in memprobe/leaks.py. */
#include "algo/diff.h"
#include "algo/growth.h"
#include "algo/suspects.h"
#include "binding/binding.h"

/* A graph argument with its dominators: NULL with an exception. */
static graph_object *graph_of(PyObject *module, PyObject *argument) {
    mod_state *state = binding_state(module);
    if (!PyObject_TypeCheck(argument, state->graph_type)) {
        PyErr_Format(PyExc_TypeError, "a Graph is needed, not %.100s", Py_TYPE(argument)->tp_name);
        return NULL;
    }
    graph_object *graph = (graph_object *)argument;
    return binding_graph_dominate(graph) < 0 ? NULL : graph;
}

/* The nodes of a tuple of ids: an array that the caller frees, or NULL with an exception. */
static uint32_t *nodes_of(graph_object *o, PyObject *ids) {
    Py_ssize_t count = PyTuple_GET_SIZE(ids), known = 0;
    uint32_t *nodes = mpr_alloc_array(&o->alloc, (size_t)count, sizeof *nodes);
    if (nodes == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    while (known < count && (nodes[known] = binding_graph_node(o->graph, PyTuple_GET_ITEM(ids, known))) != MPR_NO_NODE) {
        known++;
    }
    if (known == count) {
        return nodes;
    }
    mpr_alloc_free(&o->alloc, nodes, (size_t)count, sizeof *nodes);
    return NULL;
}

static void free_nodes(graph_object *o, uint32_t *nodes, PyObject *ids) {
    mpr_alloc_free(&o->alloc, nodes, (size_t)PyTuple_GET_SIZE(ids), sizeof *nodes);
}

/* ---- suspects ---- */

static PyObject *id_tuple(const uint32_t *items, size_t count) {
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);
    for (size_t i = 0; tuple != NULL && i < count; i++) {
        PyObject *id = PyLong_FromUnsignedLong(items[i]);
        if (id == NULL) {
            Py_CLEAR(tuple);
            break;
        }
        PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, id);
    }
    return tuple;
}

static PyObject *suspect_row(const graph_object *o, const mpr_suspects *found, const mpr_suspect *s) {
    static const char *const kinds[] = {[MPR_SUSPECT_SINGLE] = "single",
                                        [MPR_SUSPECT_GROUP] = "group",
                                        [MPR_SUSPECT_C_REFERENCES] = "C references",
                                        [MPR_SUSPECT_GARBAGE] = "garbage"};
    const mpr_graph *g = o->graph;
    PyObject *type = binding_type_text(g, s->type);
    PyObject *members = type == NULL ? NULL : id_tuple(found->members.items + s->sample, s->samples);
    PyObject *asked = members == NULL ? NULL : id_tuple(found->asked.items + s->asked, s->asked_count);
    PyObject *point = asked == NULL ? NULL : s->point == MPR_NO_NODE ? Py_NewRef(Py_None) : PyLong_FromUnsignedLong(s->point);
    if (point == NULL) {
        Py_XDECREF(type);
        Py_XDECREF(members);
        Py_XDECREF(asked);
        return NULL;
    }
    return Py_BuildValue("(sINNKKNN)", kinds[s->kind], (unsigned int)s->node, type, point, (unsigned long long)s->count,
                         (unsigned long long)s->bytes, members, asked);
}

static PyObject *suspects_answer(const graph_object *o, const mpr_suspects *found) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < found->found.count; i++) {
        binding_append(&list, suspect_row(o, found, &found->found.items[i]));
    }
    return list == NULL ? NULL
                        : Py_BuildValue("(KKN)", (unsigned long long)found->whole, (unsigned long long)found->threshold, list);
}

/* The dominators with what each subtree has of objects and, where wanted, of native blocks: a new array of sizes, or NULL. */
static uint64_t *sizes_of(graph_object *o, bool native) {
    const mpr_dominators *d = &o->dominators;
    uint64_t *sizes = mpr_alloc_array(&o->alloc, d->nodes, sizeof *sizes);
    for (uint32_t i = 0; sizes != NULL && i < d->nodes; i++) {
        sizes[i] = d->retained[i] + (native && d->native != NULL ? d->native[i] : 0);
    }
    return sizes;
}

static PyObject *find_suspects(graph_object *o, bool native, const mpr_suspects_options *options) {
    mpr_suspects found = {0};
    mpr_dominators sized = o->dominators;
    sized.retained = sizes_of(o, native);
    int status = sized.retained == NULL ? MPR_ENOMEM : mpr_suspects_find(o->graph, &sized, &o->tree, &o->names, options, &found);
    PyObject *answer = status == MPR_OK ? suspects_answer(o, &found) : binding_error(status);
    mpr_alloc_free(&o->alloc, sized.retained, sized.nodes, sizeof *sized.retained);
    mpr_suspects_free(&found);
    return answer;
}

static PyObject *suspects(PyObject *module, PyObject *args, PyObject *keywords) {
    static char *names[] = {"graph", "permille", "asked", "native", NULL};
    PyObject *argument, *asked;
    int permille, native = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OiO!|p", names, &argument, &permille, &PyTuple_Type, &asked, &native)) {
        return NULL;
    }
    if (permille < 1 || permille > 1000) {
        return PyErr_Format(PyExc_ValueError, "the threshold is %d permille of the heap: give 1 to 1000.", permille);
    }
    graph_object *o = graph_of(module, argument);
    if (o == NULL || binding_graph_make_tree(o) < 0 || binding_graph_begin_names(o) < 0) {
        return NULL;
    }
    uint32_t *nodes = nodes_of(o, asked);
    if (nodes == NULL) {
        return NULL;
    }
    mpr_suspects_options options = {.permille = (unsigned)permille,
                                    .asked = nodes,
                                    .asked_count = (size_t)PyTuple_GET_SIZE(asked),
                                    .progress = binding_progress};
    PyObject *answer = find_suspects(o, native != 0, &options);
    free_nodes(o, nodes, asked);
    return answer;
}

static PyObject *total_rows(const mpr_graph *g, const mpr_group_total *total) {
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < g->type_count; i++) {
        PyObject *type = total[i].count == 0 ? NULL : binding_type_text(g, i);
        if (type != NULL) {
            binding_append(&list,
                           Py_BuildValue("(NKK)", type, (unsigned long long)total[i].count, (unsigned long long)total[i].bytes));
        } else if (PyErr_Occurred()) {
            Py_CLEAR(list);
        }
    }
    return list;
}

/* Add up what is below some nodes: 0, or -1 with an exception. */
static int add_below(graph_object *o, PyObject *ids, mpr_group_total *total) {
    uint32_t *nodes = nodes_of(o, ids);
    if (nodes == NULL) {
        return -1;
    }
    int status = mpr_suspects_below(o->graph, &o->tree, nodes, (size_t)PyTuple_GET_SIZE(ids), total);
    free_nodes(o, nodes, ids);
    if (status != MPR_OK) {
        binding_error(status);
    }
    return status != MPR_OK ? -1 : 0;
}

static PyObject *below(PyObject *module, PyObject *args) {
    PyObject *argument, *ids;
    if (!PyArg_ParseTuple(args, "OO!", &argument, &PyTuple_Type, &ids)) {
        return NULL;
    }
    graph_object *o = graph_of(module, argument);
    if (o == NULL || binding_graph_make_tree(o) < 0) {
        return NULL;
    }
    size_t count = o->graph->type_count;
    mpr_group_total *total = mpr_alloc_array(&o->alloc, count, sizeof *total);
    PyObject *list = NULL;
    if (total == NULL) {
        PyErr_NoMemory();
    } else if (add_below(o, ids, total) == 0) {
        list = total_rows(o->graph, total);
    }
    mpr_alloc_free(&o->alloc, total, count, sizeof *total);
    return list;
}

/* ---- growth within one process ---- */

static PyObject *numbers(const uint64_t *value, uint32_t count) {
    return count == 2
               ? Py_BuildValue("(KK)", (unsigned long long)value[0], (unsigned long long)value[1])
               : Py_BuildValue("(KKK)", (unsigned long long)value[0], (unsigned long long)value[1], (unsigned long long)value[2]);
}

/* The ids of nodes up to the first MPR_NO_NODE. */
static PyObject *ids_until_none(const uint32_t *node, uint32_t most) {
    uint32_t count = 0;
    while (count < most && node[count] != MPR_NO_NODE) {
        count++;
    }
    return binding_ids(node, count);
}

static PyObject *growth_row(const mpr_growth *growth, const mpr_growth_row *row, graph_object *const *graphs) {
    static const char *const kinds[] = {[MPR_GROWTH_HELD] = "held",
                                        [MPR_GROWTH_VARIABLE] = "variable",
                                        [MPR_GROWTH_ITSELF] = "itself",
                                        [MPR_GROWTH_C] = "C references",
                                        [MPR_GROWTH_GARBAGE] = "garbage"};
    PyObject *type = binding_type_text(graphs[row->type_graph]->graph, row->type);
    PyObject *owners = type == NULL ? NULL : ids_until_none(row->owner, MPR_GROWTH_OWNERS);
    PyObject *examples = owners == NULL ? NULL : ids_until_none(row->example, MPR_GROWTH_EXAMPLES);
    PyObject *asked = examples == NULL ? NULL : binding_ids(growth->asked.items + row->asked, row->asked_count);
    if (asked == NULL) {
        Py_XDECREF(type);
        Py_XDECREF(owners);
        Py_XDECREF(examples);
        return NULL;
    }
    return Py_BuildValue("(sIINO(LL)(LL)(LL)KKKONNN)", kinds[row->kind], (unsigned)row->graph, (unsigned)row->node, type,
                         row->several ? Py_True : Py_False, (long long)row->count[0], (long long)row->count[1],
                         (long long)row->bytes[0], (long long)row->bytes[1], (long long)row->native[0], (long long)row->native[1],
                         (unsigned long long)row->came[1], (unsigned long long)row->base_count, (unsigned long long)row->base_bytes,
                         row->in_use ? Py_True : Py_False, owners, examples, asked);
}

static PyObject *growth_rows(const mpr_growth *growth, graph_object *const *graphs) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < growth->rows.count; i++) {
        binding_append(&list, growth_row(growth, &growth->rows.items[i], graphs));
    }
    return list;
}

static PyObject *reference_rows(const mpr_growth *growth) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < growth->references.count; i++) {
        const mpr_growth_reference *row = &growth->references.items[i];
        binding_append(&list, Py_BuildValue("(IL)", (unsigned)row->node, (long long)row->more[1]));
    }
    return list;
}

static PyObject *growth_answer(const mpr_growth *growth, graph_object *const *graphs) {
    PyObject *rows = growth_rows(growth, graphs), *references = rows == NULL ? NULL : reference_rows(growth);
    PyObject *bytes = references == NULL ? NULL : numbers(growth->bytes, growth->graphs);
    if (bytes == NULL) {
        Py_XDECREF(rows);
        Py_XDECREF(references);
        return NULL;
    }
    return Py_BuildValue("(NLNN)", bytes, (long long)growth->unattributed, rows, references);
}

/* `asked`: nodes of the newest graph. */
static PyObject *make_growth(graph_object *const *graphs, uint32_t count, const uint32_t *asked, size_t asked_count, bool native) {
    mpr_growth_heap heaps[MPR_GROWTH_MOST];
    mpr_growth growth = {0};
    for (uint32_t i = 0; i < count; i++) {
        heaps[i] = (mpr_growth_heap){.graph = graphs[i]->graph,
                                     .ranks = &graphs[i]->ranks,
                                     .dominators = &graphs[i]->dominators,
                                     .names = &graphs[i]->names,
                                     .native = native};
        if (binding_graph_begin_names(graphs[i]) < 0) {
            return NULL;
        }
    }
    heaps[count - 1].asked = asked;
    heaps[count - 1].asked_count = asked_count;
    int status = mpr_growth_find(heaps, count, binding_progress, NULL, &growth);
    PyObject *answer = status == MPR_OK ? growth_answer(&growth, graphs) : binding_error(status);
    mpr_growth_free(&growth);
    return answer;
}

/* Two or three graphs of a tuple, with their dominators: how many, or 0 with an exception. */
static uint32_t graphs_of(PyObject *module, PyObject *tuple, graph_object **graphs) {
    Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    if (count < 2 || count > (Py_ssize_t)MPR_GROWTH_MOST) {
        PyErr_Format(PyExc_ValueError, "%zd heaps are compared: give two or three, the oldest first.", count);
        return 0;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        graphs[i] = graph_of(module, PyTuple_GET_ITEM(tuple, i));
        if (graphs[i] == NULL) {
            return 0;
        }
    }
    return (uint32_t)count;
}

static PyObject *growth(PyObject *module, PyObject *args) {
    graph_object *graphs[MPR_GROWTH_MOST];
    const mpr_graph *graph[MPR_GROWTH_MOST];
    PyObject *argument, *asked;
    int native = 0;
    if (!PyArg_ParseTuple(args, "O!O!|p", &PyTuple_Type, &argument, &PyTuple_Type, &asked, &native)) {
        return NULL;
    }
    uint32_t count = graphs_of(module, argument, graphs);
    for (uint32_t i = 0; i < count; i++) {
        graph[i] = graphs[i]->graph;
    }
    if (count == 0) {
        return NULL;
    }
    if (!mpr_growth_is_one_process(graph, count)) {
        Py_RETURN_NONE;
    }
    uint32_t *nodes = nodes_of(graphs[count - 1], asked);
    PyObject *answer = nodes == NULL ? NULL : make_growth(graphs, count, nodes, (size_t)PyTuple_GET_SIZE(asked), native != 0);
    free_nodes(graphs[count - 1], nodes, asked);
    return answer;
}

/* ---- diff between processes ---- */

static PyObject *diff_row(const mpr_diff *diff, graph_object *const *graphs, uint32_t index) {
    if (index == MPR_NO_ROW) {
        Py_RETURN_NONE;
    }
    const mpr_diff_row *row = &diff->rows.items[index];
    PyObject *type = binding_type_text(graphs[row->graph]->graph, row->type), *counts = numbers(row->count, diff->graphs);
    PyObject *whole = numbers(row->whole, diff->graphs);
    if (type == NULL || counts == NULL || whole == NULL) {
        Py_XDECREF(type);
        Py_XDECREF(counts);
        Py_XDECREF(whole);
        return NULL;
    }
    return Py_BuildValue("(IINNN)", (unsigned int)row->graph, (unsigned int)row->node, type, counts, whole);
}

static PyObject *holder_row(const mpr_diff *diff, graph_object *const *graphs, const mpr_diff_growth *growth) {
    PyObject *holder = diff_row(diff, graphs, growth->holder);
    PyObject *grown = holder == NULL ? NULL : diff_row(diff, graphs, growth->grown);
    if (grown == NULL) {
        Py_XDECREF(holder);
        return NULL;
    }
    return Py_BuildValue("(NNLL)", holder, grown, (long long)growth->count, (long long)growth->bytes);
}

static PyObject *diff_answer(const mpr_diff *diff, graph_object *const *graphs) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < diff->growth.count; i++) {
        binding_append(&list, holder_row(diff, graphs, &diff->growth.items[i]));
    }
    PyObject *whole = list == NULL ? NULL : numbers(diff->rows.items[0].whole, diff->graphs);
    if (whole == NULL) {
        Py_XDECREF(list);
        return NULL;
    }
    return Py_BuildValue("(NN)", whole, list);
}

static PyObject *diff(PyObject *module, PyObject *argument) {
    graph_object *graphs[MPR_GROWTH_MOST];
    const mpr_graph *graph[MPR_DIFF_MOST];
    const mpr_dominators *dominators[MPR_DIFF_MOST];
    mpr_diff found = {0};
    if (!PyTuple_Check(argument)) {
        return PyErr_Format(PyExc_TypeError, "a tuple of graphs is needed, not %.100s", Py_TYPE(argument)->tp_name);
    }
    uint32_t count = graphs_of(module, argument, graphs);
    if (count == 0) {
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        graph[i] = graphs[i]->graph;
        dominators[i] = &graphs[i]->dominators;
    }
    int status = mpr_diff_make(graph, dominators, count, binding_progress, NULL, &found);
    PyObject *answer = status == MPR_OK ? diff_answer(&found, graphs) : binding_error(status);
    mpr_diff_free(&found);
    return answer;
}

/* [(parent, node, type, objects, bytes with all below)], parents first; the first has none. */
static PyObject *group_rows(const mpr_diff *diff, const mpr_graph *g) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < diff->rows.count; i++) {
        const mpr_diff_row *row = &diff->rows.items[i];
        PyObject *type = binding_type_text(g, row->type);
        binding_append(&list, type == NULL ? NULL
                                           : Py_BuildValue("(nINKK)", row->parent == MPR_NO_ROW ? -1 : (Py_ssize_t)row->parent,
                                                           (unsigned int)row->node, type, (unsigned long long)row->count[0],
                                                           (unsigned long long)row->whole[0]));
    }
    return list;
}

static PyObject *grouped(PyObject *module, PyObject *argument) {
    graph_object *o = graph_of(module, argument);
    mpr_diff diff = {0};
    if (o == NULL) {
        return NULL;
    }
    const mpr_graph *graph = o->graph;
    const mpr_dominators *dominators = &o->dominators;
    int status = mpr_diff_make(&graph, &dominators, 1, binding_progress, NULL, &diff);
    PyObject *answer = status == MPR_OK ? group_rows(&diff, graph) : binding_error(status);
    mpr_diff_free(&diff);
    return answer;
}

#define KEYWORDS(function) (PyCFunction)(void (*)(void)) function, METH_VARARGS | METH_KEYWORDS

PyMethodDef binding_leak_methods[] = {
    {"suspects", KEYWORDS(suspects), "Leak suspects of a graph, most bytes first."},
    {"below", below, METH_VARARGS, "What some nodes alone keep alive, by type."},
    {"growth", growth, METH_VARARGS,
     "What grew between two graphs of one process, or among three; None for graphs of several processes."},
    {"diff", diff, METH_O, "What grew between two graphs of any processes, or among three, by path signature."},
    {"grouped", grouped, METH_O, "The dominator tree of a graph, grouped by path signature."},
    {NULL, NULL, 0, NULL},
};
