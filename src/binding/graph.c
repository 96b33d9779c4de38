/* SPDX-License-Identifier: MIT
 * memprobe._core.Graph: a frozen graph, read by id. */
#define _GNU_SOURCE 1 /* qsort_r */
#include "binding/binding.h"

#include <stdlib.h>
#include <string.h>

#include "algo/groups.h"
#include "algo/reach.h"
#include "base/vec.h"
#include "cpython/pause.h"
#include "format/writer.h"

static graph_object *cast(PyObject *self) { return (graph_object *)self; }

graph_object *binding_graph_new(mod_state *state) {
    graph_object *self = (graph_object *)state->graph_type->tp_alloc(state->graph_type, 0);
    if (self != NULL) {
        mpr_alloc_pages(&self->alloc);
    }
    return self;
}

/* ---- the objects of a living graph ---- */

static PyObject *counted_object(const mpr_graph *g, uint32_t node) {
    bool counted = node < g->seen && !(g->flags[node] & MPR_NODE_UNCOUNTED);
    return counted ? (PyObject *)(uintptr_t)mpr_graph_address(g, node) : NULL;
}

/* Is it an object that goes, and waits for that? Or a tuple that C code is filling, which it could not resize with one more reference to it? */
static bool must_not_hold(const mpr_graph *g, uint32_t node) {
    PyObject *object = counted_object(g, node);
    uint64_t count = object == NULL ? 1 : cpy_refcount(object);
    return count == 0 || (count == 1 && (g->flags[node] & MPR_NODE_RESIDUAL) && PyTuple_CheckExact(object));
}

static int by_id(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

bool binding_graph_lacks(const graph_object *self, uint32_t node) {
    if (!self->holds) { /* nothing has run since the capture */
        return must_not_hold(self->graph, node);
    }
    return self->unheld.count > 0 && bsearch(&node, self->unheld.items, self->unheld.count, sizeof node, by_id) != NULL;
}

/* The object of the next node that is held, or NULL: nodes come in ascending order, and `next` is the place in the list of those that are not. */
static PyObject *held_object(const graph_object *self, uint32_t node, uint32_t *next) {
    if (*next < self->unheld.count && self->unheld.items[*next] == node) {
        ++*next;
        return NULL;
    }
    return counted_object(self->graph, node);
}

int binding_graph_hold_all(graph_object *self) {
    const mpr_graph *g = self->graph;
    if (!cpy_pause_ends()) {
        return MPR_OK;
    }
    for (uint32_t i = 0; i < g->seen; i++) {
        if (must_not_hold(g, i) && mpr_vec_push(&self->unheld, &self->alloc, i) != MPR_OK) {
            return MPR_ENOMEM;
        }
    }
    self->holds = true;
    for (uint32_t i = 0, next = 0; i < g->seen; i++) {
        Py_XINCREF(held_object(self, i, &next));
    }
    return MPR_OK;
}

void binding_graph_let_go(graph_object *self) {
    if (!self->holds) {
        return;
    }
    self->holds = false;
    for (uint32_t i = 0, next = 0; i < self->graph->seen; i++) {
        Py_XDECREF(held_object(self, i, &next));
    }
    mpr_vec_free(&self->unheld, &self->alloc);
}

static void dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    binding_graph_let_go(cast(self));
    mpr_name_tree_free(&cast(self)->names);
    mpr_dominators_free(&cast(self)->freed);
    mpr_tree_free(&cast(self)->tree);
    mpr_dominators_free(&cast(self)->dominators);
    mpr_ranks_free(&cast(self)->ranks);
    mpr_graph_free(cast(self)->graph);
    type->tp_free(self);
    Py_DECREF(type);
}

uint32_t binding_graph_node(const mpr_graph *g, PyObject *argument) {
    long long id = PyLong_AsLongLong(argument);
    if (id == -1 && PyErr_Occurred()) {
        return MPR_NO_NODE;
    }
    if (id < 0 || id >= (long long)g->nodes) {
        PyErr_Format(PyExc_IndexError, "node %lld is not in this heap: ids are 0 to %lld.", id, (long long)g->nodes - 1);
        return MPR_NO_NODE;
    }
    return (uint32_t)id;
}

/* ---- the whole ---- */

static PyObject *get_nodes(PyObject *self, void *closure) {
    return (void)closure, PyLong_FromUnsignedLong(cast(self)->graph->nodes);
}
static PyObject *get_edges(PyObject *self, void *closure) {
    return (void)closure, PyLong_FromUnsignedLongLong(cast(self)->graph->edges);
}
static PyObject *get_memory(PyObject *self, void *closure) { return (void)closure, PyLong_FromSize_t(cast(self)->alloc.used); }

static PyObject *info_value(const mpr_graph *g, const mpr_info *info) {
    return info->is_text ? binding_text(g->strings + info->text, info->length) : PyLong_FromLongLong(info->number);
}

/* dict[key] = value, taking over the value, which may be NULL with an exception. */
static int put(PyObject *dict, const char *key, PyObject *value) {
    int failed = value == NULL ? -1 : PyDict_SetItemString(dict, key, value);
    Py_XDECREF(value);
    return failed;
}

static PyObject *infos(PyObject *self, PyObject *unused) {
    const mpr_graph *g = cast(self)->graph;
    PyObject *dict = PyDict_New();
    (void)unused;
    for (size_t i = 0; dict != NULL && i < g->info_count; i++) {
        if (put(dict, g->strings + g->infos[i].key, info_value(g, &g->infos[i])) < 0) {
            Py_CLEAR(dict);
        }
    }
    return dict;
}

static PyObject *totals(PyObject *self, PyObject *unused) {
    const mpr_totals *t = &cast(self)->graph->totals;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {{"objects", t->objects},
                {"bytes", t->bytes},
                {"immortal", t->immortal},
                {"residual_zero", t->residual_zero},
                {"residual_positive", t->residual_positive},
                {"residual_negative", t->residual_negative},
                {"estimated", t->estimated},
                {"own_objects", t->own_objects},
                {"own_bytes", t->own_bytes},
                {"unreachable_objects", t->unreachable_objects},
                {"unreachable_bytes", t->unreachable_bytes},
                {"dangling", t->dangling},
                {"native_blocks", t->native_blocks},
                {"native_bytes", t->native_bytes},
                {"lost_blocks", t->lost_blocks},
                {"lost_bytes", t->lost_bytes}};
    PyObject *dict = PyDict_New();
    (void)unused;
    for (size_t i = 0; dict != NULL && i < sizeof rows / sizeof *rows; i++) {
        if (put(dict, rows[i].name, PyLong_FromUnsignedLongLong(rows[i].value)) < 0) {
            Py_CLEAR(dict);
        }
    }
    return dict;
}

static PyObject *groups(PyObject *self, PyObject *unused) {
    const mpr_graph *g = cast(self)->graph;
    PyObject *dict = PyDict_New();
    (void)unused;
    for (uint32_t i = 0; dict != NULL && i < MPR_GROUP_COUNT; i++) {
        if (g->group[i] != MPR_NO_NODE && put(dict, mpr_group_text(i), PyLong_FromUnsignedLong(g->group[i])) < 0) {
            Py_CLEAR(dict);
        }
    }
    return dict;
}

static PyObject *type_rows(const mpr_graph *g, const mpr_group_total *total) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < g->type_count; i++) {
        if (total[i].count == 0) {
            continue;
        }
        PyObject *name = binding_text(g->strings + g->types[i].name, g->types[i].name_length);
        PyObject *row = name == NULL ? NULL
                                     : Py_BuildValue("(nNKKO)", (Py_ssize_t)i, name, (unsigned long long)total[i].count,
                                                     (unsigned long long)total[i].bytes,
                                                     g->types[i].flags & MPR_TYPE_MAY_HOLD_NATIVE ? Py_True : Py_False);
        binding_append(&list, row);
    }
    return list;
}

static PyObject *types(PyObject *self, PyObject *unused) {
    graph_object *o = cast(self);
    (void)unused;
    mpr_group_total *total = mpr_alloc_array(&o->alloc, o->graph->type_count, sizeof *total);
    if (total == NULL) {
        return PyErr_NoMemory();
    }
    mpr_groups_by_type(o->graph, total);
    PyObject *list = type_rows(o->graph, total);
    mpr_alloc_free(&o->alloc, total, o->graph->type_count, sizeof *total);
    return list;
}

/* ---- finding ---- */

typedef MPR_VEC(uint32_t) ids;

static bool type_is(const mpr_graph *g, uint32_t type, const char *name, size_t length) {
    return name == NULL || (g->types[type].name_length == length && memcmp(g->strings + g->types[type].name, name, length) == 0);
}

static int collect(const mpr_graph *g, const char *name, size_t length, uint64_t min_size, ids *out) {
    uint32_t last = MPR_NO_TYPE;
    bool wanted = false;
    for (uint32_t i = 0; i < g->nodes; i++) {
        if (g->type[i] != last) {
            last = g->type[i];
            wanted = type_is(g, last, name, length);
        }
        if (wanted && mpr_graph_is_object(g, i) && mpr_graph_size(g, i) >= min_size && mpr_vec_push(out, g->alloc, i) != MPR_OK) {
            return MPR_ENOMEM;
        }
    }
    return MPR_OK;
}

static int by_size(const void *left, const void *right, void *context) {
    const mpr_graph *g = context;
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    uint64_t x = mpr_graph_size(g, a), y = mpr_graph_size(g, b);
    return x != y ? (x < y ? 1 : -1) : (a > b) - (a < b);
}

static PyObject *find(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"type", "min_size", "limit", NULL};
    graph_object *o = cast(self);
    const char *type = NULL;
    Py_ssize_t length = 0, limit = -1;
    unsigned long long min_size = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|z#Kn", names, &type, &length, &min_size, &limit)) {
        return NULL;
    }
    ids found = {0};
    PyObject *list = NULL;
    if (collect(o->graph, type, (size_t)length, min_size, &found) == MPR_OK) {
        if (found.count > 1) {
            qsort_r(found.items, found.count, sizeof *found.items, by_size, o->graph);
        }
        list = binding_ids(found.items, limit >= 0 && (size_t)limit < found.count ? (size_t)limit : found.count);
    } else {
        PyErr_NoMemory();
    }
    mpr_vec_free(&found, &o->alloc);
    return list;
}

static PyObject *at(PyObject *self, PyObject *argument) {
    uint32_t node;
    unsigned long long address = PyLong_AsUnsignedLongLong(argument);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (!mpr_graph_find(cast(self)->graph, address, &node)) {
        Py_RETURN_NONE;
    }
    return PyLong_FromUnsignedLong(node);
}

/* ---- one node ---- */

static PyObject *node(PyObject *self, PyObject *argument) {
    const mpr_graph *g = cast(self)->graph;
    uint32_t id = binding_graph_node(g, argument);
    if (id == MPR_NO_NODE) {
        return NULL;
    }
    const mpr_type *type = &g->types[g->type[id]];
    size_t length = 0;
    const char *text = mpr_graph_text(g, id, &length);
    PyObject *name = binding_text(g->strings + type->name, type->name_length);
    PyObject *contents = text == NULL ? Py_NewRef(Py_None) : binding_text(text, length);
    if (name == NULL || contents == NULL) {
        Py_XDECREF(name);
        Py_XDECREF(contents);
        return NULL;
    }
    return Py_BuildValue("(KNKILN)", (unsigned long long)mpr_graph_address(g, id), name, (unsigned long long)mpr_graph_size(g, id),
                         (unsigned int)g->flags[id], (long long)mpr_graph_residual(g, id), contents);
}

/* The name that a label has, None for none: of a key only what is text. */
static PyObject *label_name(const mpr_resolved *r) {
    bool is_key = r->kind == MPR_LABEL_VALUE || r->kind == MPR_LABEL_KEY || r->kind == MPR_LABEL_NAME;
    return r->name == NULL || (is_key && !r->is_text) ? Py_NewRef(Py_None) : binding_text(r->name, r->length);
}

PyObject *binding_label_row(PyObject *other, const mpr_resolved *r) {
    char text[1024];
    size_t length = mpr_resolved_text(r, text, sizeof text);
    PyObject *words = binding_text(text, length), *name = words == NULL ? NULL : label_name(r);
    PyObject *node = name == NULL ? NULL : r->name_node == MPR_NO_NODE ? Py_NewRef(Py_None) : PyLong_FromUnsignedLong(r->name_node);
    if (other == NULL || node == NULL) {
        Py_XDECREF(other);
        Py_XDECREF(words);
        Py_XDECREF(name);
        return NULL;
    }
    return Py_BuildValue("(NNsOONIN)", other, words, mpr_resolved_kind(r->kind), r->weak ? Py_True : Py_False,
                         r->housekeeping ? Py_True : Py_False, name, (unsigned int)r->number, node);
}

int binding_graph_append_edge(PyObject *list, const mpr_graph *g, uint32_t holder, uint64_t edge, uint32_t other) {
    mpr_resolved r;
    if (edge == MPR_NO_EDGE) {
        mpr_graph_resolve_class(&r);
    } else {
        mpr_graph_resolve(g, holder, edge, &r);
    }
    PyObject *row = binding_label_row(PyLong_FromUnsignedLong(other), &r);
    int failed = row == NULL ? -1 : PyList_Append(list, row);
    Py_XDECREF(row);
    return failed;
}

static uint32_t edge_arguments(const mpr_graph *g, PyObject *args, PyObject *keywords, Py_ssize_t *limit) {
    static char *names[] = {"id", "limit", NULL};
    PyObject *id;
    *limit = -1;
    return PyArg_ParseTupleAndKeywords(args, keywords, "O|n", names, &id, limit) ? binding_graph_node(g, id) : MPR_NO_NODE;
}

static PyObject *edges_out(PyObject *self, PyObject *args, PyObject *keywords) {
    const mpr_graph *g = cast(self)->graph;
    Py_ssize_t limit;
    uint32_t id = edge_arguments(g, args, keywords, &limit);
    PyObject *list = id == MPR_NO_NODE ? NULL : PyList_New(0);
    for (uint64_t k = list == NULL ? 0 : mpr_graph_first(g, id); list != NULL && k < mpr_graph_first(g, id + 1); k++) {
        if (mpr_label_kind_of(g->label[k]) == MPR_LABEL_NAME) {
            continue; /* it only names the next one */
        }
        if (PyList_GET_SIZE(list) == limit) {
            break;
        }
        if (binding_graph_append_edge(list, g, id, k, g->target[k]) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

/* All edges of one holder that lead to a node. */
static int append_parallel(PyObject *list, const mpr_graph *g, uint32_t holder, uint32_t target, Py_ssize_t limit) {
    for (uint64_t k = mpr_graph_first(g, holder); k < mpr_graph_first(g, holder + 1); k++) {
        bool wanted = g->target[k] == target && mpr_label_kind_of(g->label[k]) != MPR_LABEL_NAME;
        if (wanted && PyList_GET_SIZE(list) != limit && binding_graph_append_edge(list, g, holder, k, holder) < 0) {
            return -1;
        }
    }
    return 0;
}

static PyObject *edges_in(PyObject *self, PyObject *args, PyObject *keywords) {
    mpr_graph *g = cast(self)->graph;
    Py_ssize_t limit;
    uint32_t id = edge_arguments(g, args, keywords, &limit), last = MPR_NO_NODE;
    if (id == MPR_NO_NODE) {
        return NULL;
    }
    if (mpr_graph_make_reverse(g) != MPR_OK) {
        return PyErr_NoMemory();
    }
    PyObject *list = PyList_New(0);
    for (uint64_t k = g->reverse->first[id]; list != NULL && k < g->reverse->first[id + 1]; k++) {
        uint32_t holder = g->reverse->source[k];
        if (holder != last && append_parallel(list, g, holder, id, limit) < 0) {
            Py_CLEAR(list);
        }
        last = holder;
    }
    return list;
}

/* ---- answers ---- */

static int ids_of(const mpr_graph *g, PyObject *sequence, ids *out) {
    PyObject *fast = PySequence_Fast(sequence, "ids must be a sequence of node numbers");
    int failed = fast == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; failed == 0 && i < PySequence_Fast_GET_SIZE(fast); i++) {
        uint32_t id = binding_graph_node(g, PySequence_Fast_GET_ITEM(fast, i));
        failed = id == MPR_NO_NODE || mpr_vec_push(out, g->alloc, id) != MPR_OK ? -1 : 0;
    }
    Py_XDECREF(fast);
    if (failed && !PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    return failed;
}

static uint64_t native_bytes(const mpr_graph *g, const uint8_t *reached) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < g->seen; i++) {
        bool native = (g->flags[i] & (MPR_NODE_NATIVE | MPR_NODE_OWN)) == MPR_NODE_NATIVE;
        bytes += reached[i] && native ? mpr_graph_size(g, i) : 0;
    }
    return bytes;
}

/* Nodes that are skipped are walls: nothing is reached by them. */
static PyObject *deep_size(PyObject *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"ids", "housekeeping", "skip", NULL};
    graph_object *o = cast(self);
    PyObject *sequence, *skip = NULL;
    int housekeeping = 0;
    ids starts = {0}, walls = {0};
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|pO", names, &sequence, &housekeeping, &skip)) {
        return NULL;
    }
    uint64_t objects = 0, bytes = 0, native = 0;
    int status = MPR_ENOMEM, failed = ids_of(o->graph, sequence, &starts) || (skip != NULL && ids_of(o->graph, skip, &walls));
    uint8_t *reached = failed ? NULL : mpr_alloc_array(&o->alloc, o->graph->nodes, 1);
    if (reached != NULL) {
        for (size_t i = 0; i < walls.count; i++) {
            reached[walls.items[i]] = 1;
        }
        status = mpr_reach(o->graph, starts.items, starts.count, housekeeping, reached, &objects, &bytes);
        for (size_t i = 0; i < walls.count; i++) {
            reached[walls.items[i]] = 0;
        }
        native = native_bytes(o->graph, reached);
    }
    mpr_alloc_free(&o->alloc, reached, o->graph->nodes, 1);
    mpr_vec_free(&starts, &o->alloc);
    mpr_vec_free(&walls, &o->alloc);
    if (failed) {
        return NULL;
    }
    return status != MPR_OK
               ? binding_error(status)
               : Py_BuildValue("(KKK)", (unsigned long long)objects, (unsigned long long)bytes, (unsigned long long)native);
}

static PyObject *save(PyObject *self, PyObject *argument) {
    graph_object *o = cast(self);
    mpr_writer *writer;
    int fd = PyObject_AsFileDescriptor(argument);
    if (fd < 0) {
        return NULL;
    }
    int status = mpr_writer_new(&writer, &o->alloc, fd);
    if (status != MPR_OK) {
        return binding_error(status);
    }
    status = mpr_graph_tell(o->graph, mpr_writer_sink(writer));
    if (status == MPR_OK) {
        status = mpr_writer_finish(writer);
    }
    uint64_t bytes = mpr_writer_bytes(writer);
    mpr_writer_free(writer);
    return status == MPR_OK ? PyLong_FromUnsignedLongLong(bytes) : binding_error(status);
}

static PyObject *check(PyObject *self, PyObject *unused) {
    (void)unused;
    const char *wrong = mpr_graph_check(cast(self)->graph);
    return wrong == NULL ? Py_NewRef(Py_None) : PyUnicode_FromString(wrong);
}

/* ---- the type ---- */

#define KEYWORDS(function) (PyCFunction)(void (*)(void)) function, METH_VARARGS | METH_KEYWORDS

/* Dominators, names and the index of holders are made by the first question that needs them. */
BINDING_ALONE(types)
BINDING_ALONE_KEYWORDS(find)
BINDING_ALONE(at)
BINDING_ALONE(node)
BINDING_ALONE_KEYWORDS(edges_out)
BINDING_ALONE_KEYWORDS(edges_in)
BINDING_ALONE_KEYWORDS(deep_size)
BINDING_ALONE_KEYWORDS(binding_graph_retained)
BINDING_ALONE_KEYWORDS(binding_graph_native)
BINDING_ALONE(binding_graph_dominator)
BINDING_ALONE_KEYWORDS(binding_graph_dominated)
BINDING_ALONE(binding_graph_footprint)
BINDING_ALONE(binding_graph_survivors)
BINDING_ALONE(binding_graph_noted)
BINDING_ALONE(binding_graph_retained_types)
BINDING_ALONE_KEYWORDS(binding_graph_kept)
BINDING_ALONE_KEYWORDS(binding_graph_children)
BINDING_ALONE(binding_graph_what)
BINDING_ALONE(binding_graph_names)
BINDING_ALONE(binding_graph_name_paths)
BINDING_ALONE(binding_graph_step)
BINDING_ALONE_KEYWORDS(binding_graph_paths)
BINDING_ALONE_KEYWORDS(binding_graph_waste)
BINDING_ALONE(check)

static PyMethodDef methods[] = {
    {"infos", infos, METH_NOARGS, "Facts about the process and the capture, by name."},
    {"totals", totals, METH_NOARGS, "The accounting: numbers of objects and bytes."},
    {"groups", groups, METH_NOARGS, "Root groups: name -> node."},
    {"types", types_alone, METH_NOARGS, "(type index, name, count, bytes, may hold native memory) for each type with objects."},
    {"find", KEYWORDS(find_alone), "Nodes of a type and a least size, biggest first."},
    {"at", at_alone, METH_O, "The node at an address, or None."},
    {"node", node_alone, METH_O, "(address, type, size, flags, residual, text) of a node."},
    {"edges_out", KEYWORDS(edges_out_alone), "(target, label, kind, weak, housekeeping) for each edge from a node."},
    {"edges_in", KEYWORDS(edges_in_alone), "(holder, label, kind, weak, housekeeping) for each edge to a node."},
    {"deep_size", KEYWORDS(deep_size_alone), "(objects, bytes, bytes of native blocks) of everything reachable."},
    {"columns", (PyCFunction)(void (*)(void))binding_graph_columns, METH_METHOD | METH_FASTCALL | METH_KEYWORDS,
     "Arrays of the graph as memoryviews, by name."},
    {"save", save, METH_O, "Write a snapshot to a descriptor; the bytes written."},
    {"retained", KEYWORDS(binding_graph_retained_alone), "Bytes that would be freed with a node: of objects, or of native blocks."},
    {"native", KEYWORDS(binding_graph_native_alone),
     "Native blocks, those that begin alike and have one size together, most bytes first."},
    {"dominator", binding_graph_dominator_alone, METH_O, "The immediate dominator of a node, or None."},
    {"dominated", KEYWORDS(binding_graph_dominated_alone), "Nodes that a node immediately dominates, biggest first."},
    {"footprint", binding_graph_footprint_alone, METH_O,
     "What objects take of Python's allocator (0: there is none; 1: pymalloc; 2: mimalloc) and of malloc, by who has them."},
    {"survivors", binding_graph_survivors_alone, METH_VARARGS,
     "Which variables have objects in some pieces of memory, most pieces first, and how many pieces have none."},
    {"noted", binding_graph_noted_alone, METH_VARARGS,
     "How many of some pieces of memory, or of all of a size, a collection writes to."},
    {"retained_types", binding_graph_retained_types_alone, METH_NOARGS,
     "(type index, bytes) that the objects of each type retain together."},
    {"kept", KEYWORDS(binding_graph_kept_alone), "Bytes that a node keeps in the rank tree: of objects, or of native blocks."},
    {"children", KEYWORDS(binding_graph_children_alone), "What a node immediately keeps in the rank tree, by type."},
    {"what", binding_graph_what_alone, METH_O, "What a node is: its type, and its name if it has one."},
    {"names", binding_graph_names_alone, METH_O,
     "(text, evaluable, length of the module's name) of each of some nodes, None where nothing reaches it."},
    {"name_paths", binding_graph_name_paths_alone, METH_O, "The name of each of some nodes, and its path: rows as of paths."},
    {"step", binding_graph_step_alone, METH_VARARGS, "The row of the edge of a step."},
    {"paths", KEYWORDS(binding_graph_paths_alone),
     "([(name, steps as bytes)], complete): different paths from the roots to a node."},
    {"waste", KEYWORDS(binding_graph_waste_alone), "What could be saved, most bytes first."},
    {"check", check_alone, METH_NOARGS, "None, or the invariant that does not hold."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"nodes", get_nodes, NULL, "Number of nodes, root groups included.", NULL},
    {"edges", get_edges, NULL, "Number of edges.", NULL},
    {"memory", get_memory, NULL, "Bytes that this graph takes.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {{Py_tp_dealloc, dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_getset, getset},
                              {Py_tp_doc, "A frozen heap graph. Node ids are 0 .. nodes-1."},
                              {0, NULL}};

PyType_Spec binding_graph_spec = {.name = "memprobe._core.Graph",
                                  .basicsize = sizeof(graph_object),
                                  .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                  .slots = slots};
