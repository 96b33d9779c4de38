/* SPDX-License-Identifier: MIT
 * A snapshot to a descriptor: streamed by a forked child, which holds the heap as it was while this process goes on, or by this process
 * itself, which stands still meanwhile. */
#include "binding/binding.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/os/child.h"
#include "base/os/process.h"
#include "format/writer.h"

#define LOOK_MS 50 /* how often a waiting caller looks for Ctrl-C, and whether all is well */

typedef struct job {
    int fd;
    cpy_contents contents;
    const cpy_facts *facts;
    const cpy_proofs *proofs;
} job;

/* What came of it; in memory that a forked child shares. */
typedef struct outcome {
    int status, error; /* errno for MPR_EIO */
    uint64_t objects, edges, bytes, memory;
    int64_t pause_ns, duration_ns;
    int64_t fork_ns, cow_bytes; /* of a forked one */
} outcome;

/* ---- the work, here or in a child ---- */

static int tell_cost(mpr_sink *sink, const outcome *out, bool forked) {
    int status = cpy_capture_tell(sink, "pause_ns", out->pause_ns);
    status = status != MPR_OK ? status : cpy_capture_tell(sink, "duration_ns", out->duration_ns);
    if (status == MPR_OK && forked) {
        status = cpy_capture_tell(sink, "fork_ns", out->fork_ns);
        status = status != MPR_OK ? status : cpy_capture_tell(sink, "cow_bytes", out->cow_bytes);
    }
    return status;
}

/* The parent tells the child what the pause was, after it: it may have to wait for a processor first. */
static void await_pause(const volatile int64_t *pause_ns) {
    struct timespec moment = {.tv_nsec = 1000000};
    for (int i = 0; i < 1000 && *pause_ns == 0; i++) {
        nanosleep(&moment, NULL);
    }
}

static void measure(outcome *out, const mpr_writer *writer, int64_t start, bool forked) {
    out->duration_ns = mpr_process_monotonic_ns() - start;
    if (!forked) {
        out->pause_ns = out->duration_ns;
        return;
    }
    uint64_t mine = mpr_process_private(), tables = mpr_writer_resident(writer); /* the walk's are gone */
    out->cow_bytes = mine > tables ? (int64_t)(mine - tables) : 0;
    await_pause(&out->pause_ns);
}

static void stream(const job *j, outcome *out, bool forked) {
    mpr_alloc alloc;
    mpr_writer *writer = NULL;
    int64_t start = mpr_process_monotonic_ns();
    mpr_alloc_pages(&alloc);
    int status = mpr_writer_new(&writer, &alloc, j->fd);
    if (status == MPR_OK) {
        status =
            cpy_capture_walk(mpr_writer_sink(writer), &alloc, j->facts, j->proofs, j->contents, forked ? "forked" : "streamed");
    }
    if (status == MPR_OK) {
        measure(out, writer, start, forked);
        status = tell_cost(mpr_writer_sink(writer), out, forked);
    }
    if (status == MPR_OK) {
        status = mpr_writer_finish(writer);
    }
    out->error = errno;
    if (writer != NULL) {
        out->objects = mpr_writer_nodes(writer);
        out->edges = mpr_writer_edges(writer);
        out->bytes = mpr_writer_bytes(writer);
    }
    out->memory = alloc.peak;
    out->status = status;
    mpr_writer_free(writer);
}

static void work_in_child(void *shared, void *context) { stream(context, shared, true); }

/* ---- waiting for the child ---- */

/* Signals, and what the caller has to say. */
static int may_go_on(PyObject *check) {
    if (PyErr_CheckSignals() < 0) {
        return -1;
    }
    PyObject *said = check == Py_None ? NULL : PyObject_CallNoArgs(check);
    Py_XDECREF(said);
    return check != Py_None && said == NULL ? -1 : 0;
}

/* Wait without the GIL until the child has ended; -1 with an exception when it must not go on. */
static int await(mpr_child *child, int watch, PyObject *check) {
    int state = 0;
    while (state == 0) {
        Py_BEGIN_ALLOW_THREADS state = mpr_child_wait(child, LOOK_MS, watch);
        Py_END_ALLOW_THREADS if (state != 1 && may_go_on(check) < 0) { return -1; }
    }
    if (state == 2) {
        PyErr_SetString(PyExc_ConnectionAbortedError, "who asked for the snapshot is gone");
        return -1;
    }
    return 0;
}

static int explain_end(const mpr_child *child, unsigned seconds) {
    int signal_number = WIFSIGNALED(child->exit_status) ? WTERMSIG(child->exit_status) : 0;
    if (signal_number == SIGALRM) {
        PyErr_Format(PyExc_ChildProcessError, "the forked child that writes the snapshot took longer than %u seconds", seconds);
    } else {
        PyErr_Format(
            PyExc_ChildProcessError,
            "the forked child that writes the snapshot was ended by signal %d%s; without the fork (--no-fork) there is none",
            signal_number, signal_number == SIGKILL ? ", perhaps for lack of memory" : "");
    }
    return -1;
}

/* 1 done, 0 there could be no child (errno says why), -1 an exception is set. */
static int stream_forked(job *j, unsigned seconds, int watch, PyObject *check, int64_t start, outcome *out) {
    mpr_child child;
    if (mpr_child_start(&child, sizeof(outcome), j->fd, seconds, work_in_child, j) != MPR_OK) {
        return 0;
    }
    outcome *shared = child.shared;
    shared->fork_ns = child.fork_ns;
    __atomic_store_n(&shared->pause_ns, child.started - start, __ATOMIC_RELEASE);
    int failed = await(&child, watch, check);
    if (failed == 0 && (!WIFEXITED(child.exit_status) || WEXITSTATUS(child.exit_status) != 0)) {
        failed = explain_end(&child, seconds);
    }
    *out = *shared;
    mpr_child_end(&child);
    return failed < 0 ? -1 : 1;
}

/* ---- the function ---- */

static PyObject *answer(const outcome *out, const char *mode, const char *reason) {
    return Py_BuildValue("{sKsKsKsLsKsLsLsLsssz}", "objects", (unsigned long long)out->objects, "edges",
                         (unsigned long long)out->edges, "bytes", (unsigned long long)out->bytes, "pause_ns",
                         (long long)out->pause_ns, "memory", (unsigned long long)out->memory, "duration_ns",
                         (long long)out->duration_ns, "fork_ns", (long long)out->fork_ns, "cow_bytes", (long long)out->cow_bytes,
                         "mode", mode, "reason", reason);
}

static PyObject *snapshot(PyObject *module, PyObject *args, PyObject *keywords) {
    static char *names[] = {"fd", "values", "hashes", "fork", "seconds", "watch", "check", NULL};
    PyObject *file, *check = Py_None;
    int values = 0, hashes = 0, fork = 0, watch = -1;
    unsigned seconds = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|pppIiO", names, &file, &values, &hashes, &fork, &seconds, &watch, &check)) {
        return NULL;
    }
    int fd = PyObject_AsFileDescriptor(file);
    if (fd < 0) {
        return NULL;
    }
    cpy_facts facts;
    mod_state *state = binding_state(module);
    outcome out = {0};
    const char *reason = NULL;
    int64_t start = mpr_process_monotonic_ns();
    cpy_capture_prepare(&facts, &state->proofs);
    job j = {.fd = fd, .contents = {values != 0, hashes != 0}, .facts = &facts, .proofs = &state->proofs};
    int done = 0;
    if (fork && cpy_capture_needs_interpreter(&state->proofs)) {
        reason = "this interpreter's own lists could not be proved (see accounting(), fallbacks)";
    } else if (fork) {
        done = stream_forked(&j, seconds, watch, check, start, &out);
        reason = done == 0 ? strerror(errno) : NULL;
    }
    if (done < 0) {
        return NULL;
    }
    if (done == 0) {
        stream(&j, &out, false);
    }
    errno = out.error;
    return out.status != MPR_OK ? binding_error(out.status) : answer(&out, done ? "forked" : "streamed", reason);
}

PyMethodDef binding_snapshot_methods[] = {
    {"snapshot", (PyCFunction)(void (*)(void))snapshot, METH_VARARGS | METH_KEYWORDS, "Stream the whole heap to a descriptor."},
    {NULL, NULL, 0, NULL},
};
