/* SPDX-License-Identifier: MIT
 * capture and load: the walk into a graph, and a file into a graph. */
#include "base/os/file.h"
#include "base/os/process.h"
#include "binding/binding.h"
#include "format/reader.h"
#include "graph/builder.h"

/* ---- capture ---- */

static int fail(int status) {
    binding_error(status);
    return -1;
}

/* What the process has in memory, given to the graph before it is walked. */
static int give_account(mpr_builder *builder, mpr_alloc *alloc) {
    mpr_account account;
    mpr_account_more more = {.alloc = alloc};
    binding_account(&account, &more);
    int status = mpr_account_tell(&account, &more, mpr_builder_sink(builder));
    mpr_account_more_free(&more);
    return status;
}

/* What is done with a capture before other threads go on. */
typedef struct taking {
    graph_object *out;
    mpr_builder *builder;
    int64_t start; /* of the pause; 0: it is no fact of this capture */
    int (*text)(mpr_sink *, const char *, size_t); /* of the sink, also where the walk has none: root groups have names */
    bool holds; /* questions follow that look at the objects: hold them */
} taking;

static int freeze(void *context) {
    taking *t = context;
    mpr_sink *sink = mpr_builder_sink(t->builder);
    sink->text = t->text;
    int status = t->start == 0 ? MPR_OK : mpr_sink_number(sink, "pause_ns", mpr_process_monotonic_ns() - t->start);
    status = status == MPR_OK ? mpr_builder_freeze(t->builder, &t->out->graph) : status;
    return status == MPR_OK && t->holds ? binding_graph_hold_all(t->out) : status;
}

int binding_capture_for(mod_state *state, graph_object *out, cpy_contents contents, PyObject *argument, cpy_caller *caller,
                        bool holds) {
    cpy_facts facts;
    cpy_origins origins;
    mpr_builder *builder = NULL;
    int status = mpr_builder_new(&builder, &out->alloc);
    if (status == MPR_OK && caller == NULL) { /* of a question about one object nobody asks */
        status = give_account(builder, &out->alloc);
    }
    cpy_capture_prepare(&facts, &state->proofs);
    int64_t start = mpr_process_monotonic_ns();
    cpy_origins_take(&origins, &state->proofs, contents.origins_ns);
    if (status == MPR_OK) {
        mpr_sink *sink = mpr_builder_sink(builder);
        taking t = {.out = out, .builder = builder, .start = start, .text = sink->text, .holds = holds};
        sink->text = contents.nameless ? NULL : sink->text;
        cpy_capture what = {.facts = &facts,
                            .proofs = &state->proofs,
                            .contents = contents,
                            .mode = "in process",
                            .origins = &origins,
                            .seen = freeze,
                            .of = &t,
                            .argument = argument,
                            .caller = caller};
        status = cpy_capture_walk(sink, &out->alloc, &what);
    }
    cpy_origins_free(&origins);
    mpr_builder_free(builder);
    return status == MPR_OK ? 0 : fail(status);
}

int binding_capture(mod_state *state, graph_object *out, cpy_contents contents) {
    return binding_capture_for(state, out, contents, NULL, NULL, false);
}

int binding_capture_reachable(mod_state *state, graph_object *out, PyObject *object, bool housekeeping) {
    mpr_builder *builder = NULL;
    int status = mpr_builder_new(&builder, &out->alloc);
    if (status == MPR_OK) {
        taking t = {.out = out, .builder = builder, .text = mpr_builder_sink(builder)->text, .holds = true};
        const cpy_capture what = {.seen = freeze, .of = &t};
        status = cpy_capture_reachable(mpr_builder_sink(builder), &out->alloc, &state->proofs, object, housekeeping, &what);
    }
    mpr_builder_free(builder);
    return status == MPR_OK ? 0 : fail(status);
}

static PyObject *capture(PyObject *module, PyObject *args, PyObject *keywords) {
    static char *names[] = {"values", "hashes", "origins_ms", NULL};
    int values = 0, hashes = 0;
    unsigned origins_ms = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|ppI", names, &values, &hashes, &origins_ms)) {
        return NULL;
    }
    mod_state *state = binding_state(module);
    graph_object *out = binding_graph_new(state);
    cpy_contents contents = {.values = values != 0, .hashes = hashes != 0, .origins_ns = (int64_t)origins_ms * 1000000};
    if (out != NULL && binding_capture(state, out, contents) < 0) {
        Py_CLEAR(out);
    }
    return (PyObject *)out;
}

/* ---- load ---- */

typedef struct progress_call {
    PyObject *function;
    PyThreadState **saved; /* the GIL is given back while reading */
} progress_call;

static int call_progress(void *context, uint64_t done, uint64_t total) {
    progress_call *call = context;
    PyEval_RestoreThread(*call->saved);
    int failed = PyErr_CheckSignals();
    if (failed == 0 && call->function != Py_None) {
        PyObject *answer = PyObject_CallFunction(call->function, "KK", (unsigned long long)done, (unsigned long long)total);
        failed = answer == NULL;
        Py_XDECREF(answer);
    }
    *call->saved = PyEval_SaveThread();
    return failed;
}

static int note_cut(mpr_sink *sink, const mpr_read_report *report) {
    const char *message = report->message == NULL ? "the file ends too early" : report->message;
    size_t length = 0;
    while (message[length] != '\0') {
        length++;
    }
    int status = mpr_sink_number(sink, "cut", 1);
    return status != MPR_OK ? status : sink->info(sink, &(mpr_seen_info){.key = "cut_message", .text = message, .length = length});
}

static int read_and_freeze(const uint8_t *data, size_t size, graph_object *out, progress_call *call, mpr_read_report *report) {
    mpr_builder *builder = NULL;
    int status = mpr_builder_new(&builder, &out->alloc);
    if (status == MPR_OK) {
        status = mpr_read(data, size, mpr_builder_sink(builder), &out->alloc, call_progress, call, report);
    }
    if (status == MPR_OK && report->cut) {
        status = note_cut(mpr_builder_sink(builder), report);
    }
    if (status == MPR_OK) {
        status = mpr_builder_freeze(builder, &out->graph);
    }
    mpr_builder_free(builder);
    return status;
}

static PyObject *load_error(int status, const mpr_read_report *report) {
    if ((status == MPR_EFORMAT || status == MPR_EVERSION) && report->message != NULL) {
        return PyErr_Format(PyExc_ValueError, "%s (at byte %llu)", report->message, (unsigned long long)report->offset);
    }
    return binding_error(status);
}

static PyObject *load(PyObject *module, PyObject *args, PyObject *keywords) {
    static char *names[] = {"fd", "progress", NULL};
    PyObject *file, *function = Py_None;
    const uint8_t *data;
    size_t size;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O", names, &file, &function)) {
        return NULL;
    }
    int fd = PyObject_AsFileDescriptor(file);
    graph_object *out = fd < 0 ? NULL : binding_graph_new(binding_state(module));
    if (out == NULL) {
        return NULL;
    }
    if (mpr_file_map(fd, &data, &size) != MPR_OK) {
        Py_DECREF(out);
        return binding_error(MPR_EIO);
    }
    mpr_read_report report = {0};
    PyThreadState *saved = PyEval_SaveThread();
    progress_call call = {.function = function, .saved = &saved};
    int status = read_and_freeze(data, size, out, &call, &report);
    PyEval_RestoreThread(saved);
    mpr_file_unmap(data, size);
    if (status != MPR_OK) {
        Py_DECREF(out);
        return load_error(status, &report);
    }
    return (PyObject *)out;
}

#define KEYWORDS(function) (PyCFunction)(void (*)(void)) function, METH_VARARGS | METH_KEYWORDS

PyMethodDef binding_file_methods[] = {
    {"capture", KEYWORDS(capture), "The whole heap of this interpreter as a Graph."},
    {"load", KEYWORDS(load), "Read a snapshot from a descriptor as a Graph."},
    {NULL, NULL, 0, NULL},
};
