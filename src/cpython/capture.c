/* SPDX-License-Identifier: MIT
 * A capture: facts that need the interpreter first, then the walk, which does not. */
#include "cpython/capture.h"

#include <string.h>

#include "base/os/file.h"
#include "base/os/process.h"
#include "cpython/copied.h"
#include "cpython/library.h"
#include "cpython/pause.h"
#include "cpython/selfcheck.h"
#include "cpython/temporaries.h"
#include "cpython/unseen.h"

/* ---- facts ---- */

/* The bytes that tracemalloc traces now; -1 where it is not loaded. */
static int64_t traced_bytes(void) {
    PyObject *module = PyDict_GetItemString(PyImport_GetModuleDict(), "_tracemalloc");
    PyObject *answer = module == NULL ? NULL : PyObject_CallMethod(module, "get_traced_memory", NULL);
    PyObject *now = answer != NULL && PyTuple_Check(answer) && PyTuple_GET_SIZE(answer) > 0 ? PyTuple_GET_ITEM(answer, 0) : NULL;
    int64_t value = now != NULL && PyLong_Check(now) ? PyLong_AsLongLong(now) : -1;
    Py_XDECREF(answer);
    PyErr_Clear();
    return value;
}

static void append(char *list, size_t size, const char *name) {
    size_t length = strlen(list), more = strlen(name);
    if (length + more + 2 < size) {
        if (length > 0) {
            list[length++] = ' ';
        }
        memcpy(list + length, name, more + 1);
    }
}

void cpy_capture_prepare(cpy_facts *f, cpy_proofs *proofs) {
    const char *failed[CPY_LIBRARY_MAX];
    cpy_library_check(proofs->library);
    *f = (cpy_facts){.python = Py_GetVersion()};
    f->traced = traced_bytes();
    f->rss = (int64_t)mpr_process_rss();
    f->time = mpr_process_time_ns();
    f->pid = mpr_process_id();
    for (int i = 0; i < CPY_CAPABILITY_COUNT; i++) {
        if (!proofs->can[i]) {
            append(f->fallbacks, sizeof f->fallbacks, cpy_capability_name((cpy_capability)i));
        }
    }
    size_t count = cpy_library_failed(proofs->library, failed, CPY_LIBRARY_MAX);
    for (size_t i = 0; i < count; i++) {
        append(f->fallbacks, sizeof f->fallbacks, failed[i]);
    }
}

bool cpy_capture_needs_interpreter(const cpy_proofs *proofs) {
    return !proofs->can[CPY_CAN_GC_LISTS] || !proofs->can[CPY_CAN_FRAMES];
}

/* ---- the walk ---- */

static int emit_text(mpr_sink *sink, const char *key, const char *text) {
    return sink->info(sink, &(mpr_seen_info){.key = key, .text = text, .length = strlen(text)});
}

static int emit_facts(mpr_sink *sink, const cpy_facts *f, const char *mode) {
    const struct {
        const char *key;
        int64_t number;
    } numbers[] = {{"pid", f->pid}, {"time_ns", f->time}, {"rss_bytes", f->rss}};
    int status = emit_text(sink, "python", f->python);
    status = status != MPR_OK ? status : emit_text(sink, "mode", mode);
    status = status != MPR_OK ? status : emit_text(sink, "fallbacks", f->fallbacks);
    for (size_t i = 0; status == MPR_OK && i < sizeof numbers / sizeof *numbers; i++) {
        status = mpr_sink_number(sink, numbers[i].key, numbers[i].number);
    }
    for (const cpy_cost *cost = cpy_layout_costs(); status == MPR_OK && cost->name != NULL; cost++) {
        status = mpr_sink_number(sink, cost->name, cost->bytes);
    }
    return status == MPR_OK && f->traced > 0 ? mpr_sink_number(sink, "traced_bytes", f->traced) : status;
}

/* The key of the hashes is forgotten with the walk. */
static int set_contents(cpy_walk *walk, cpy_contents contents) {
    walk->text.values = contents.values;
    walk->emit.names.strings = walk->emit.names.strings && !contents.values;
    walk->text.hashes = contents.hashes && walk->emit.sink->digest != NULL;
    return walk->text.hashes ? mpr_file_random(walk->text.key, sizeof walk->text.key) : MPR_OK;
}

typedef struct capturing {
    cpy_walk walk;
    cpy_bodies bodies;
    const cpy_capture *what;
    const void *stack; /* of this thread: what is below is the capture's */
    PyObject *object;  /* where it begins, if that is one object */
} capturing;

/* What is to be known before the first object is emitted. */
static int begin(cpy_walk *walk, const cpy_capture *what) {
    mpr_sink *sink = walk->emit.sink;
    uint64_t discarded = 0;
    int status = cpy_walk_enter(walk);
    walk->leaf_buffers = what->leaf_buffers;
    if (status == MPR_OK && walk->leaf_buffers != NULL) {
        discarded = cpy_leaf_buffers_discard_known(walk->leaf_buffers, &walk->types);
    }
    if (status == MPR_OK && what->prepared != NULL) {
        status = what->prepared(what->context, sink, discarded);
    }
    if (status == MPR_OK) {
        status = set_contents(walk, what->contents);
    }
    if (status == MPR_OK) {
        status = emit_facts(sink, what->facts, what->mode);
    }
    if (status == MPR_OK && what->origins != NULL) {
        status = cpy_origins_emit(what->origins, walk->emit.alloc, sink);
    }
    if (status == MPR_OK && what->argument != NULL) {
        cpy_argument_set(&walk->argument, what->proofs, what->argument);
    }
    return status;
}

/* Where native blocks are not to be had, nothing was emitted yet: the answer is that they are not known. */
static int begin_bodies(capturing *c) {
    int status = cpy_bodies_begin(&c->bodies, &c->walk.emit, &c->walk.types, c->what->more);
    if (status == MPR_OK) {
        c->walk.bodies = &c->bodies;
        return MPR_OK;
    }
    cpy_bodies_end(&c->bodies);
    return status == MPR_EUNSUPPORTED || status == MPR_ELIMIT ? MPR_OK : status;
}

static int finish_bodies(capturing *c) {
    cpy_roots *roots = &c->walk.roots;
    roots->synthetic = roots->hidden > roots->synthetic ? roots->hidden : roots->synthetic; /* the last ones given */
    return cpy_bodies_finish(&c->bodies, &roots->synthetic, &c->walk.types.count, c->what->sharing, c->stack);
}

static int emit_heaps(const cpy_emit *emit) {
    cpy_heaps_total total;
    if (!CPY_GC_HEAPS || !emit->can[CPY_CAN_GC_LISTS]) {
        return MPR_OK;
    }
    cpy_layout_heaps_total(&total);
    int status = mpr_sink_number(emit->sink, "mem_heaps", (int64_t)total.resident);
    return status == MPR_OK ? mpr_sink_number(emit->sink, "mem_heaps_used", (int64_t)total.used) : status;
}

/* What can be said when the walk has seen everything. */
static int finish(capturing *c) {
    const cpy_capture *what = c->what;
    cpy_walk *walk = &c->walk;
    int status = MPR_OK;
    if (what->caller == NULL) { /* of a question about one object nobody asks */
        status = cpy_unseen_emit(walk, what->more);
    }
    if (status == MPR_OK) {
        cpy_temporaries_emit(&walk->roots);
        status = walk->emit.status;
    }
    if (status == MPR_OK && walk->bodies != NULL) {
        status = finish_bodies(c);
    }
    if (status == MPR_OK && what->sharing != NULL) {
        status = cpy_copied_emit(&walk->emit, what->sharing);
    }
    status = status == MPR_OK ? emit_heaps(&walk->emit) : status;
    return status == MPR_OK ? mpr_sink_number(walk->emit.sink, "native_types", walk->types.native_types) : status;
}

/* The caller's own end of the work, within the pause. */
static int end_with(const cpy_capture *what, int status) {
    return status == MPR_OK && what->seen != NULL ? what->seen(what->of) : status;
}

/* Without pools it is not known what blocks of the interpreter's own allocator refer to: others would read as lost. */
static int capture_whole(void *context) {
    capturing *c = context;
    int status = begin(&c->walk, c->what);
    if (status == MPR_OK && c->what->contents.native && c->what->more != NULL && c->walk.emit.can[CPY_CAN_POOLS]) {
        status = begin_bodies(c);
    }
    if (status == MPR_OK) {
        status = cpy_walk_whole(&c->walk);
    }
    if (status == MPR_OK) {
        status = finish(c);
    }
    return end_with(c->what, status);
}

int cpy_capture_walk(mpr_sink *sink, mpr_alloc *alloc, const cpy_capture *what) {
    capturing c = {.what = what, .stack = __builtin_frame_address(0)};
    int status = cpy_walk_begin_prepared(&c.walk, alloc, sink, what->proofs);
    if (status == MPR_OK) {
        status = what->paused ? capture_whole(&c) : cpy_pause_run(capture_whole, &c);
    }
    if (what->caller != NULL) {
        *what->caller = c.walk.caller;
    }
    if (c.walk.bodies != NULL) {
        cpy_bodies_end(&c.bodies);
    }
    cpy_walk_end(&c.walk);
    return status;
}

static int capture_from_object(void *context) {
    capturing *c = context;
    int status = cpy_walk_enter(&c->walk);
    if (status == MPR_OK) {
        status = cpy_walk_seed_object(&c->walk, c->object);
    }
    if (status == MPR_OK) {
        status = cpy_walk_run(&c->walk);
    }
    return end_with(c->what, status);
}

int cpy_capture_reachable(mpr_sink *sink, mpr_alloc *alloc, cpy_proofs *proofs, PyObject *object, bool housekeeping,
                          const cpy_capture *what) {
    capturing c = {.what = what, .object = object};
    int status = cpy_walk_begin(&c.walk, alloc, sink, proofs);
    c.walk.emit.skip = MPR_LABEL_WEAK | (housekeeping ? 0 : MPR_LABEL_HOUSEKEEPING);
    c.walk.emit.skips_classes = !housekeeping;
    c.walk.emit.follows_names = true;
    if (status == MPR_OK) {
        status = cpy_pause_run(capture_from_object, &c);
    }
    cpy_walk_end(&c.walk);
    return status;
}
