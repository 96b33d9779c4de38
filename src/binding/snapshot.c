/* SPDX-License-Identifier: MIT
 * A snapshot to a descriptor: streamed by a forked child, which holds the heap as it was while this process goes on, or by this process
 * itself, which stands still meanwhile. */
#include "binding/binding.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/os/child.h"
#include "base/os/process.h"
#include "base/os/room.h"
#include "base/os/signals.h"
#include "cpython/bulk.h"
#include "format/writer.h"

#define LOOK_MS 5 /* how often a waiting caller looks whether all is well */
#define LOOKS 10  /* of them, until the main thread looks for Ctrl-C */

typedef struct job {
    mpr_held file; /* not ours */
    int watch;     /* the client's socket, or -1 */
    unsigned seconds;
    uint64_t reserve; /* bytes that must be left while a child lives */
    mpr_room room;
    cpy_contents contents;
    const cpy_facts *facts;
    mpr_account account; /* what is known of it before a child is there */
    mpr_account_more more;
    mpr_alloc alloc; /* of that */
    cpy_proofs *proofs;
    mpr_child child; /* under way, or none */
    struct job *next;
} job;

/* Snapshots under way, on no stack: a process that the application forks meanwhile has their descriptors, too, and closes them, when other
 * threads may have the stacks of those that are not there. Held by the GIL. */
static job *under_way;

/* What came of it. */
typedef struct outcome {
    int status, error; /* errno for MPR_EIO */
    uint64_t objects, edges, bytes, memory;
    int64_t pause_ns, duration_ns;
    int64_t fork_ns, cow_bytes; /* of a forked one */
} outcome;

/* What a forked child shares with its parent. */
typedef struct report {
    outcome outcome;
    cpy_bulk bulk;
    bool done; /* a child that was ended has not set it */
} report;

/* What the last child gave back, for the next one. */
static cpy_bulk bulk;

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

typedef struct accounting {
    mpr_account account;
    mpr_account_more more;
    const mpr_account_more *known; /* before */
    mpr_alloc *alloc;
    int64_t pid; /* of the process */
    bool forked; /* this is its child */
} accounting;

/* A child takes the account when it has given leaf buffers back, which the process may write to already. */
static int tell_account(void *context, mpr_sink *sink, uint64_t given_back) {
    accounting *a = context;
    if (a->forked && mpr_account_finish(&a->account, a->alloc, a->pid, true, &a->more) == MPR_OK) { /* else what is known is less */
        mpr_account_add_discarded(&a->account, given_back);
    }
    return mpr_account_tell(&a->account, a->forked ? &a->more : a->known, sink);
}

static void stream(const job *j, outcome *out, bool forked) {
    mpr_alloc alloc;
    mpr_writer *writer = NULL;
    accounting account_of = {.account = j->account,
                             .alloc = &alloc,
                             .pid = j->facts->pid,
                             .forked = forked,
                             .more = {.alloc = &alloc},
                             .known = &j->more};
    int64_t start = mpr_process_monotonic_ns();
    mpr_alloc_pages(&alloc);
    int status = mpr_writer_new(&writer, &alloc, j->file.fd);
    if (status == MPR_OK) {
        cpy_capture what = {.facts = j->facts,
                            .proofs = j->proofs,
                            .contents = j->contents,
                            .mode = forked ? "forked" : "streamed",
                            .bulk = forked ? &bulk : NULL,
                            .prepared = tell_account,
                            .context = &account_of,
                            .regions = forked ? &account_of.more.regions : NULL};
        status = cpy_capture_walk(mpr_writer_sink(writer), &alloc, &what);
        mpr_account_more_free(&account_of.more);
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

static void work_in_child(void *shared, void *context) {
    report *r = shared;
    stream(context, &r->outcome, true);
    r->bulk = bulk;
    r->done = true;
}

/* ---- waiting for the child ---- */

typedef enum news { NOTHING, ENDED, CLIENT_GONE, NO_ROOM } news;

/* Without the GIL, which somebody may hold for long while memory goes: a child that must not go on is gone when this returns. */
static news listen(job *j, int looks, uint64_t *left) {
    news heard = NOTHING;
    for (int i = 0; heard == NOTHING && (looks == 0 || i < looks); i++) {
        int state = mpr_child_wait(&j->child, LOOK_MS, j->watch);
        *left = mpr_room_left(&j->room, j->reserve);
        heard = state == 1 ? ENDED : state == 2 ? CLIENT_GONE : *left < j->reserve ? NO_ROOM : NOTHING;
    }
    if (heard == CLIENT_GONE || heard == NO_ROOM) {
        mpr_child_kill(&j->child);
    }
    return heard;
}

/* Wait until the child has ended; -1 with an exception when it had to be ended. Signals are the main thread's. */
static int await(job *j) {
    int looks = mpr_process_is_first_thread() ? LOOKS : 0;
    uint64_t left = 0;
    news heard = NOTHING;
    while (heard == NOTHING) {
        Py_BEGIN_ALLOW_THREADS heard = listen(j, looks, &left);
        Py_END_ALLOW_THREADS if (heard == NOTHING && PyErr_CheckSignals() < 0) {
            Py_BEGIN_ALLOW_THREADS mpr_child_kill(&j->child);
            Py_END_ALLOW_THREADS return -1;
        }
    }
    if (heard == CLIENT_GONE) {
        PyErr_SetString(PyExc_ConnectionAbortedError, "who asked for the snapshot is gone");
    } else if (heard == NO_ROOM) {
        PyErr_Format(
            PyExc_ChildProcessError,
            "the forked child that writes the snapshot was ended, for only %llu MiB of memory were left, and each page that "
            "the process writes to meanwhile takes one more: try again when it is quieter, or with --no-fork",
            (unsigned long long)(left >> 20));
    }
    return heard == ENDED ? 0 : -1;
}

static int explain_end(const mpr_child *child, unsigned seconds) {
    int signal_number = WIFSIGNALED(child->exit_status) ? WTERMSIG(child->exit_status) : 0;
    if (signal_number == 0) {
        PyErr_SetString(PyExc_ChildProcessError, "the forked child that writes the snapshot ended before it was done: try again");
    } else if (signal_number == SIGALRM) {
        PyErr_Format(PyExc_ChildProcessError, "the forked child that writes the snapshot took longer than %u seconds", seconds);
    } else {
        PyErr_Format(PyExc_ChildProcessError,
                     "the forked child that writes the snapshot was ended by signal %d%s: try again, or without it, with --no-fork",
                     signal_number, signal_number == SIGKILL ? ", perhaps for lack of memory" : "");
    }
    return -1;
}

/* 1 done, 0 there could be no child (errno says why), -1 an exception is set. */
static int stream_forked(job *j, int64_t start, outcome *out) {
    mpr_child *child = &j->child;
    if (mpr_child_start(child, sizeof(report), j->file.fd, j->seconds, work_in_child, j) != MPR_OK) {
        return 0;
    }
    report *shared = child->shared;
    shared->outcome.fork_ns = child->fork_ns;
    __atomic_store_n(&shared->outcome.pause_ns, child->started - start, __ATOMIC_RELEASE);
    int failed = await(j);
    if (failed == 0 && !shared->done) {
        failed = explain_end(child, j->seconds);
    }
    *out = shared->outcome;
    bulk.count = 0; /* if it was not done, the next one begins anew */
    if (shared->done) {
        bulk = shared->bulk;
    }
    mpr_child_end(child);
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

static void begin(job *j) {
    j->next = under_way;
    under_way = j;
}

static void finish(const job *j) {
    job **place = &under_way;
    while (*place != NULL && *place != j) {
        place = &(*place)->next;
    }
    if (*place == j) {
        *place = j->next;
    }
}

static PyObject *forget_snapshots(PyObject *module, PyObject *none) {
    (void)module, (void)none;
    while (under_way != NULL) {
        job *j = under_way;
        under_way = j->next;
        mpr_room_close(&j->room);
        mpr_child_end(&j->child);
        PyMem_RawFree(j);
    }
    Py_RETURN_NONE;
}

/* Groups come as [(file of its use, file of more about it, limit)]. */
static int open_room(mpr_room *room, PyObject *groups) {
    mpr_room_open(room);
    Py_ssize_t count = groups == NULL ? 0 : PyList_GET_SIZE(groups);
    for (Py_ssize_t i = 0; i < count; i++) {
        const char *use, *more;
        unsigned long long limit;
        if (!PyArg_Parse(PyList_GET_ITEM(groups, i), "(ssK)", &use, &more, &limit)) {
            mpr_room_close(room);
            return -1;
        }
        mpr_room_add(room, use, more, limit, true);
    }
    return 0;
}

static PyObject *room_left(PyObject *module, PyObject *args) {
    PyObject *groups;
    mpr_room room;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!", &PyList_Type, &groups) || open_room(&room, groups) < 0) {
        return NULL;
    }
    uint64_t left = mpr_room_left(&room, UINT64_MAX);
    mpr_room_close(&room);
    return PyLong_FromUnsignedLongLong(left);
}

/* The program may have closed the descriptor, and have one of its own by that number. Nothing runs between this and the first write. */
static int check_file(const job *j) {
    bool same = mpr_held_fd(&j->file) >= 0;
    if (!same) {
        errno = EBADF;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return same ? 0 : -1;
}

/* A forked child where it can be, else this process. */
static PyObject *take(job *j, bool fork) {
    cpy_facts facts;
    outcome out = {0};
    char why[128];
    const char *reason = NULL;
    /* Before this process stands still; without a fork nobody can look at it later. */
    binding_account(&j->account, !fork || cpy_capture_needs_interpreter(j->proofs), &j->more);
    int64_t start = mpr_process_monotonic_ns();
    cpy_capture_prepare(&facts, j->proofs);
    j->facts = &facts;
    if (check_file(j) < 0) {
        return NULL;
    }
    int done = 0;
    if (fork && cpy_capture_needs_interpreter(j->proofs)) {
        reason = "this interpreter's own lists could not be proved (see accounting(), fallbacks)";
    } else if (fork) {
        done = stream_forked(j, start, &out);
        snprintf(why, sizeof why, "the fork failed: %s", strerror(errno));
        reason = done == 0 ? why : NULL;
    }
    if (done < 0) {
        return NULL;
    }
    if (done == 0) {
        mpr_signal_calm calm;
        mpr_signal_calm_begin(&calm);
        stream(j, &out, false);
        mpr_signal_calm_end(&calm);
    }
    errno = out.error;
    return out.status != MPR_OK ? binding_error(out.status) : answer(&out, done ? "forked" : "streamed", reason);
}

static PyObject *snapshot(PyObject *module, PyObject *args, PyObject *keywords) {
    static char *names[] = {"fd", "values", "hashes", "fork", "seconds", "watch", "reserve", "groups", "file", NULL};
    PyObject *file, *groups = NULL;
    int values = 0, hashes = 0, fork = 0, watch = -1;
    unsigned seconds = 0;
    unsigned long long reserve = 0, device = 0, inode = 0;
    long long born = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|pppIiKO!(KKL)", names, &file, &values, &hashes, &fork, &seconds, &watch,
                                     &reserve, &PyList_Type, &groups, &device, &inode, &born)) {
        return NULL;
    }
    int fd = PyObject_AsFileDescriptor(file);
    job *j = fd < 0 ? NULL : PyMem_RawCalloc(1, sizeof *j);
    if (j == NULL) {
        return fd < 0 ? NULL : PyErr_NoMemory();
    }
    *j = (job){.file = {fd, device, inode, born}, .watch = watch, .seconds = seconds, .reserve = reserve};
    j->file = inode != 0 ? j->file : mpr_held_look(fd);
    j->contents = (cpy_contents){values != 0, hashes != 0};
    j->proofs = &binding_state(module)->proofs;
    mpr_alloc_pages(&j->alloc);
    j->more.alloc = &j->alloc;
    PyObject *done = NULL;
    if (open_room(&j->room, groups) == 0) {
        begin(j);
        done = take(j, fork != 0);
        finish(j);
        mpr_room_close(&j->room);
    }
    mpr_account_more_free(&j->more);
    PyMem_RawFree(j);
    return done;
}

PyMethodDef binding_snapshot_methods[] = {
    {"snapshot", (PyCFunction)(void (*)(void))snapshot, METH_VARARGS | METH_KEYWORDS, "Stream the whole heap to a descriptor."},
    {"forget_snapshots", forget_snapshots, METH_NOARGS,
     "In a forked process: close what its parent's snapshots under way have open."},
    {"room_left", room_left, METH_VARARGS, "The bytes of memory that are left on the machine and in these control groups."},
    {NULL, NULL, 0, NULL},
};
