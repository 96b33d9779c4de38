/* SPDX-License-Identifier: MIT
 * What the files of the extension module share: its state, errors, and the functions each file contributes. */
#ifndef MPR_BINDING_BINDING_H
#define MPR_BINDING_BINDING_H

#include "cpython/capture.h"
#include "cpython/selfcheck.h"

#include "algo/dominators.h"
#include "algo/names.h"
#include "algo/paths.h"
#include "algo/retained.h"
#include "base/vec.h"
#include "graph/graph.h"
#include "graph/resolve.h"
#include "native/account.h"
#include "snapshot/snapshot.h"

#define MEMPROBE_VERSION "0.1.0" /* equals memprobe.__version__: a test compares them */

typedef struct mod_state {
    PyTypeObject *graph_type, *column_type, *holders_type, *held_type, *cycles_type;
    cpy_proofs proofs;
    mpr_snapshots snapshots;
    cpy_mutex snapshots_lock; /* of these, where there is no GIL */
} mod_state;

/* Define METHOD_alone: the method, while no other thread is in one of these of the same object (compat.h). What an object makes on first use, it
 * makes once. */
#define BINDING_ALONE(method)                                                                                                      \
    static PyObject *method##_alone(PyObject *self, PyObject *args) {                                                              \
        PyObject *result;                                                                                                          \
        CPY_BEGIN_ALONE(self);                                                                                                     \
        result = method(self, args);                                                                                               \
        CPY_END_ALONE();                                                                                                           \
        return result;                                                                                                             \
    }
#define BINDING_ALONE_KEYWORDS(method)                                                                                             \
    static PyObject *method##_alone(PyObject *self, PyObject *args, PyObject *keywords) {                                          \
        PyObject *result;                                                                                                          \
        CPY_BEGIN_ALONE(self);                                                                                                     \
        result = method(self, args, keywords);                                                                                     \
        CPY_END_ALONE();                                                                                                           \
        return result;                                                                                                             \
    }

mod_state *binding_state(PyObject *module);

/* Set the exception that says what a status means, and return NULL. */
PyObject *binding_error(int status);

/* The GIL, for what is not Python; `saved` must live as long as this is used. */
mpr_lock binding_gil(PyThreadState **saved);

/* The account of this process's memory, taken without the GIL: what is known of it. `more` may be NULL. */
void binding_account(mpr_account *out, mpr_account_more *more);

/* The Graph type. A graph object owns its graph and the memory that it lies in. */
extern PyType_Spec binding_graph_spec;

/* The type of its arrays. */
extern PyType_Spec binding_column_spec;

/* The type of the collector's references backwards. */
extern PyType_Spec binding_holders_spec;

/* The type that keeps the objects of an answer. */
extern PyType_Spec binding_held_spec;

/* Objects with a reference each, taken before anything can run the collector, and a number each. */
typedef struct binding_numbered {
    PyObject *object;
    uint32_t number;
} binding_numbered;

typedef MPR_VEC(binding_numbered) binding_objects;

/* Take a reference. MPR_OK or MPR_ENOMEM. */
int binding_objects_add(binding_objects *objects, mpr_alloc *alloc, PyObject *object, uint32_t number);
void binding_objects_release(binding_objects *objects, mpr_alloc *alloc);

/* A Held with these objects, which are handed over in any case; NULL with an exception. alloc must be one of pages. */
PyObject *binding_held_new(mod_state *state, binding_objects *objects, mpr_alloc *alloc);

typedef struct graph_object {
    PyObject_HEAD
    mpr_alloc alloc;
    mpr_graph *graph; /* NULL until it is made: such an object is never given to Python */
    mpr_ranks ranks;           /* these are made by the first question that needs them */
    mpr_dominators dominators; /* of the rank tree */
    mpr_tree tree;
    mpr_dominators freed;      /* of all edges: what would be freed with a node */
    mpr_name_tree names;
    bool living;               /* it is of this moment, and what answers show of it is held */
    bool holds;                /* it has a reference to each object of its nodes but those */
    MPR_VEC(uint32_t) unheld;  /* which must not be held, ascending */
} graph_object;

/* Where other threads run as soon as the pause of a capture is over, take a reference to each object of the graph, within that pause; else
 * do nothing. MPR_OK or MPR_ENOMEM. */
int binding_graph_hold_all(graph_object *self);

/* Was this node's object not held then? It may be gone. */
bool binding_graph_lacks(const graph_object *self, uint32_t node);

/* Give these back: the question is answered, and the answer holds what it shows. Destructors may run. */
void binding_graph_let_go(graph_object *self);

/* Are the dominators there, or can they be made now? 0, or -1 with an exception. */
int binding_graph_dominate(graph_object *self);

/* And the way down from each of them? 0, or -1 with an exception. */
int binding_graph_make_tree(graph_object *self);

/* Can names be looked for? 0, or -1 with an exception. */
int binding_graph_begin_names(graph_object *self);

/* [((text, evaluable, length of the module's name), steps as bytes)] of paths, or NULL with an exception. keys may be NULL. */
PyObject *binding_path_rows(const mpr_graph *g, const mpr_paths *paths, const mpr_name_keys *keys);

/* The node that an argument names, or MPR_NO_NODE with an exception. */
uint32_t binding_graph_node(const mpr_graph *g, PyObject *argument);

/* The row of an edge: (other, text, kind, weak, housekeeping, name or None, number, node of the name or None). Takes over `other`, which may be
 * NULL with an exception. memprobe/_labels.py makes a Label of it. */
PyObject *binding_label_row(PyObject *other, const mpr_resolved *resolved);

/* Append the row of an edge of `holder`, or of its class for MPR_NO_EDGE: 0, or -1 with an exception. */
int binding_graph_append_edge(PyObject *list, const mpr_graph *g, uint32_t holder, uint64_t edge, uint32_t other);

/* Stop for a signal: an mpr_progress for work that keeps the GIL. */
int binding_progress(void *context, uint64_t done, uint64_t total);

/* Methods of Graph that analyse, in a file of their own. */
PyObject *binding_graph_retained(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *binding_graph_kept(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *binding_graph_native(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *binding_graph_children(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *binding_graph_what(PyObject *self, PyObject *id);
PyObject *binding_graph_names(PyObject *self, PyObject *ids);
PyObject *binding_graph_name_paths(PyObject *self, PyObject *ids);
PyObject *binding_graph_step(PyObject *self, PyObject *args);
PyObject *binding_graph_dominator(PyObject *self, PyObject *id);
PyObject *binding_graph_dominated(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *binding_graph_footprint(PyObject *self, PyObject *pools);
PyObject *binding_graph_survivors(PyObject *self, PyObject *args);
PyObject *binding_graph_noted(PyObject *self, PyObject *args);
PyObject *binding_graph_retained_types(PyObject *self, PyObject *unused);
PyObject *binding_graph_paths(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *binding_graph_columns(PyObject *self, PyTypeObject *defining, PyObject *const *args, Py_ssize_t count, PyObject *names);
PyObject *binding_graph_waste(PyObject *self, PyObject *args, PyObject *keywords);

/* Take a reference to the object of a node; nothing happens for a root group, thread or frame. MPR_OK or MPR_ENOMEM. */
int binding_hold(binding_objects *objects, graph_object *graph, uint32_t node);

/* The cycles of a graph by rows. */
extern PyType_Spec binding_cycles_spec;

typedef struct binding_cycles_asked {
    bool housekeeping, garbage; /* follow housekeeping edges; garbage alone */
    bool opaque;                /* those that the collector cannot see, alone */
    const uint8_t *skip;        /* NULL, or one byte a node: != 0 is left out */
    mpr_progress progress;      /* NULL, or called meanwhile */
    uint32_t limit;             /* of rows whose objects are held */
} binding_cycles_asked;

/* A Cycles object of a graph, and with `held` not NULL the objects of its first rows in a Held; NULL with an exception. No Python object is
 * made before those are held. */
PyObject *binding_cycles_new(mod_state *state, graph_object *graph, const binding_cycles_asked *asked, PyObject **held);

/* Capture into `out`, without ever letting another thread run: 0, or -1 with an exception. */
int binding_capture(mod_state *state, graph_object *out, cpy_contents contents);

/* The same for a question about an object, with who asked it if caller is not NULL. `holds`: the answer will have living objects. */
int binding_capture_for(mod_state *state, graph_object *out, cpy_contents contents, PyObject *argument, cpy_caller *caller,
                        bool holds);

/* What can be reached from an object alone, likewise. Nodes have no roots but C references there. */
int binding_capture_reachable(mod_state *state, graph_object *out, PyObject *object, bool housekeeping);

/* The graph of this moment, or NULL with an exception. */
graph_object *binding_captured(PyObject *module);

/* The node of a living object: 0, or -1 with an exception. */
int binding_find_object(const mpr_graph *g, PyObject *object, uint32_t *node);

/* (Graph, Held) for some nodes of the graph of this moment: nothing may have run since. */
PyObject *binding_with_objects(mod_state *state, graph_object *graph, const uint32_t *nodes, size_t count);

/* One without a graph yet, or NULL with an exception. */
graph_object *binding_graph_new(mod_state *state);

/* A str from UTF-8 that nobody vouched for: what is malformed is replaced. */
PyObject *binding_text(const char *text, size_t length);

PyObject *binding_type_text(const mpr_graph *g, uint32_t type);

/* list.append(row), taking over the row, which may be NULL with an exception. When that fails the list is given up: *list is NULL. */
void binding_append(PyObject **list, PyObject *row);

/* A list of node ids. */
PyObject *binding_ids(const uint32_t *items, size_t count);

/* Functions of the module, by file; each ended by a row of NULL. */
extern PyMethodDef binding_live_methods[];
extern PyMethodDef binding_file_methods[];
extern PyMethodDef binding_snapshot_methods[];
extern PyMethodDef binding_descriptor_methods[];
extern PyMethodDef binding_interpreter_methods[];
extern PyMethodDef binding_question_methods[];
extern PyMethodDef binding_cycle_methods[];
extern PyMethodDef binding_leak_methods[];
extern PyMethodDef binding_tracked_methods[];
extern PyMethodDef binding_picture_methods[];

#endif
