/* SPDX-License-Identifier: MIT
 * Snapshots (snapshot/snapshot.h) of the heap that cpython/ walks, and the memory that there is for them. */
#include "binding/binding.h"

#include <errno.h>
#include <signal.h>

#include "base/os/process.h"
#include "cpython/leaf_buffers.h"
#include "cpython/pause.h"

/* ---- the host ---- */

typedef struct host {
    PyThreadState *saved;
    cpy_mutex *lock; /* of what all snapshots share: not held while Python runs */
    cpy_facts facts;
    cpy_origins origins;
    cpy_proofs *proofs;
    cpy_contents contents;
} host;

static void release(void *context) {
    host *h = context;
    cpy_mutex_unlock(h->lock);
    h->saved = PyEval_SaveThread();
}

static void retake(void *context) {
    host *h = context;
    PyEval_RestoreThread(h->saved);
    cpy_mutex_lock(h->lock);
}

static void prepare(void *context) {
    host *h = context;
    cpy_mutex_unlock(h->lock);
    cpy_capture_prepare(&h->facts, h->proofs);
    cpy_origins_take(&h->origins, h->proofs, h->contents.origins_ns);
    cpy_mutex_lock(h->lock);
}

static int walk(void *context, const mpr_snapshot_tools *tools) {
    host *h = context;
    const cpy_capture what = {.facts = &h->facts,
                              .proofs = h->proofs,
                              .contents = h->contents,
                              .mode = tools->forked ? "forked" : "streamed",
                              .origins = &h->origins,
                              .leaf_buffers = tools->notes,
                              .paused = tools->forked,
                              .prepared = tools->emit_account,
                              .context = tools->context,
                              .more = tools->more,
                              .sharing = tools->sharing};
    return cpy_capture_walk(tools->sink, tools->alloc, &what);
}

static bool interrupted(void *context) {
    host *h = context;
    cpy_mutex_unlock(h->lock);
    bool failed = PyErr_CheckSignals() < 0;
    cpy_mutex_lock(h->lock);
    return failed;
}

/* ---- the answer ---- */

static PyObject *facts_of(const mpr_snapshot_result *r) {
    const mpr_snapshot_cost *cost = &r->cost;
    return Py_BuildValue("{sKsKsKsLsKsLsLsLsssz}", "objects", (unsigned long long)cost->objects, "edges",
                         (unsigned long long)cost->edges, "bytes", (unsigned long long)cost->bytes, "pause_ns",
                         (long long)cost->pause_ns, "memory", (unsigned long long)cost->memory, "duration_ns",
                         (long long)cost->duration_ns, "fork_ns", (long long)cost->fork_ns, "cow_bytes", (long long)cost->cow_bytes,
                         "mode", r->forked ? "forked" : "streamed", "reason", r->reason[0] == '\0' ? NULL : r->reason);
}

static PyObject *explain_death(int signal_number, unsigned seconds) {
    static const char who[] = "the forked child that writes the snapshot";
    if (signal_number == 0) {
        return PyErr_Format(PyExc_ChildProcessError, "%s ended before it was done: try again", who);
    }
    if (signal_number == SIGALRM) {
        return PyErr_Format(PyExc_ChildProcessError, "%s took longer than %u seconds", who, seconds);
    }
    return PyErr_Format(PyExc_ChildProcessError, "%s was ended by signal %d%s: try again, or without it, with --no-fork", who,
                        signal_number, signal_number == SIGKILL ? ", perhaps for lack of memory" : "");
}

static PyObject *answer(const mpr_snapshot_result *r, unsigned seconds) {
    switch (r->ending) {
    case MPR_SNAPSHOT_DONE:
        errno = r->error;
        return r->status != MPR_OK ? binding_error(r->status) : facts_of(r);
    case MPR_SNAPSHOT_SHORTAGE:
        return PyErr_Format(PyExc_ChildProcessError, "%s", r->reason);
    case MPR_SNAPSHOT_INTERRUPTED:
        return NULL;
    case MPR_SNAPSHOT_CLIENT_GONE:
        return PyErr_Format(PyExc_ConnectionAbortedError, "who asked for the snapshot is gone");
    case MPR_SNAPSHOT_CHILD_ENDED:
        return PyErr_Format(
            PyExc_ChildProcessError,
            "the forked child that writes the snapshot was ended, for only %llu MiB of memory were left, and each page that "
            "the process writes to meanwhile takes one more: try again when it is quieter, or with --no-fork",
            (unsigned long long)(r->left >> 20));
    case MPR_SNAPSHOT_CHILD_DIED:
        return explain_death(r->signal, seconds);
    case MPR_SNAPSHOT_ABANDONED:
        return PyErr_Occurred() ? NULL
                                : PyErr_Format(PyExc_ChildProcessError, "this process was forked from one that takes a snapshot");
    }
    return NULL;
}

/* ---- functions ---- */

static PyObject *take(mod_state *state, const mpr_snapshot_request *request, cpy_contents contents) {
    host h = {.lock = &state->snapshots_lock, .proofs = &state->proofs, .contents = contents};
    const mpr_snapshot_host calls = {.lock = {&h, release, retake},
                                     .pause = cpy_pause_run,
                                     .context = &h,
                                     .notes_size = sizeof(cpy_leaf_buffers),
                                     .prepare = prepare,
                                     .walk = walk,
                                     .interrupted = interrupted};
    mpr_snapshot_result result;
    cpy_mutex_lock(h.lock);
    mpr_snapshot_take(&state->snapshots, request, &calls, &result);
    cpy_mutex_unlock(h.lock);
    cpy_origins_free(&h.origins);
    return answer(&result, request->seconds);
}

static PyObject *snapshot(PyObject *module, PyObject *args, PyObject *keywords) {
    static char *names[] = {"fd",   "values",  "hashes",  "fork",       "seconds", "watch",
                            "file", "process", "cgroups", "origins_ms", "native",  NULL};
    mod_state *state = binding_state(module);
    PyObject *file;
    int values = 0, hashes = 0, fork = 0, native = 0;
    unsigned long long device = 0, inode = 0;
    long long born = 0;
    unsigned origins_ms = 0;
    mpr_snapshot_request r = {.watch = -1, .places = mpr_headroom_here};
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|pppIi(KKL)ssIp", names, &file, &values, &hashes, &fork, &r.seconds,
                                     &r.watch, &device, &inode, &born, &r.places.process, &r.places.cgroups, &origins_ms,
                                     &native)) {
        return NULL;
    }
    int fd = PyObject_AsFileDescriptor(file);
    if (fd < 0) {
        return NULL;
    }
    r.file = inode != 0 ? (mpr_held){fd, device, inode, born} : mpr_held_look(fd);
    r.fork = fork != 0;
    if (cpy_capture_needs_interpreter(&state->proofs)) {
        r.no_fork = "this interpreter's own lists could not be proved (see accounting(), fallbacks)";
    }
    cpy_contents contents = {
        .values = values != 0, .hashes = hashes != 0, .native = native != 0, .origins_ns = (int64_t)origins_ms * 1000000};
    return take(state, &r, contents);
}

static PyObject *forget_snapshots(PyObject *module, PyObject *none) {
    (void)none;
    binding_state(module)->snapshots_lock = (cpy_mutex){0}; /* of a thread that is not here */
    mpr_snapshots_discard(&binding_state(module)->snapshots);
    Py_RETURN_NONE;
}

static PyObject *resident(PyObject *module, PyObject *none) {
    (void)module, (void)none;
    return PyLong_FromUnsignedLongLong(mpr_process_rss());
}

static PyObject *room_left(PyObject *module, PyObject *none) {
    mpr_room room;
    (void)module, (void)none;
    if (mpr_headroom_find(&room, &mpr_headroom_here) != MPR_OK) {
        return PyErr_NoMemory();
    }
    uint64_t left = mpr_room_left(&room, UINT64_MAX);
    mpr_room_close(&room);
    return PyLong_FromUnsignedLongLong(left);
}

static PyObject *number_or_none(uint64_t number) {
    return number == MPR_HEADROOM_UNKNOWN ? Py_NewRef(Py_None) : PyLong_FromUnsignedLongLong(number);
}

static PyObject *cgroup_memory(PyObject *module, PyObject *args, PyObject *keywords) {
    static char *names[] = {"process", "cgroups", NULL};
    mpr_headroom_places places = mpr_headroom_here;
    uint64_t used, limit;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|ss", names, &places.process, &places.cgroups)) {
        return NULL;
    }
    return mpr_headroom_cgroup(&places, &used, &limit) != MPR_OK
               ? PyErr_NoMemory()
               : Py_BuildValue("(NN)", number_or_none(used), number_or_none(limit));
}

PyMethodDef binding_snapshot_methods[] = {
    {"snapshot", (PyCFunction)(void (*)(void))snapshot, METH_VARARGS | METH_KEYWORDS, "Stream the whole heap to a descriptor."},
    {"forget_snapshots", forget_snapshots, METH_NOARGS,
     "In a forked process: close what its parent's snapshots under way have open."},
    {"resident", resident, METH_NOARGS, "Bytes of this process that are in memory; 0 where nobody says."},
    {"room_left", room_left, METH_NOARGS, "The bytes of memory that are left on the machine and in this process's control groups."},
    {"cgroup_memory", (PyCFunction)(void (*)(void))cgroup_memory, METH_VARARGS | METH_KEYWORDS,
     "Use and limit of the control group with the least limit."},
    {NULL, NULL, 0, NULL},
};
