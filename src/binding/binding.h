/* SPDX-License-Identifier: MIT
 * What the files of the extension module share: its state, errors, and the functions each file contributes. */
#ifndef MPR_BINDING_BINDING_H
#define MPR_BINDING_BINDING_H

#include "cpython/selfcheck.h"
#include "graph/graph.h"

#define MEMPROBE_VERSION "0.1.0" /* equals memprobe.__version__: a test compares them */

typedef struct mod_state {
    PyTypeObject *graph_type;
    cpy_proofs proofs;
} mod_state;

mod_state *binding_state(PyObject *module);

/* Set the exception that says what a status means, and return NULL. */
PyObject *binding_error(int status);

/* The Graph type. A graph object owns its graph and the memory that it lies in. */
extern PyType_Spec binding_graph_spec;

typedef struct graph_object {
    PyObject_HEAD
    mpr_alloc alloc;
    mpr_graph *graph; /* NULL until it is made: such an object is never given to Python */
} graph_object;

/* One without a graph yet, or NULL with an exception. */
graph_object *binding_graph_new(mod_state *state);

/* A str from UTF-8 that nobody vouched for: what is malformed is replaced. */
PyObject *binding_text(const char *text, size_t length);

/* Functions of the module, by file; each ended by a row of NULL. */
extern PyMethodDef binding_live_methods[];
extern PyMethodDef binding_file_methods[];
extern PyMethodDef binding_interpreter_methods[];

#endif
