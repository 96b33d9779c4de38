/* SPDX-License-Identifier: MIT
 * A capture: facts that need the interpreter first, then the walk, which does not. */
#include "cpython/capture.h"

#include <string.h>

#include "base/os/file.h"
#include "base/os/process.h"
#include "cpython/bodies.h"
#include "cpython/copied.h"
#include "cpython/kinds.h"
#include "cpython/leaf_buffers.h"
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

static int tell_text(mpr_sink *sink, const char *key, const char *text) {
    return sink->info(sink, &(mpr_seen_info){.key = key, .text = text, .length = strlen(text)});
}

static int tell_facts(mpr_sink *sink, const cpy_facts *f, const char *mode) {
    const struct {
        const char *key;
        int64_t number;
    } numbers[] = {{"pid", f->pid}, {"time_ns", f->time}, {"rss_bytes", f->rss}};
    int status = tell_text(sink, "python", f->python);
    status = status != MPR_OK ? status : tell_text(sink, "mode", mode);
    status = status != MPR_OK ? status : tell_text(sink, "fallbacks", f->fallbacks);
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
    walk->values = contents.values;
    walk->withholds = walk->withholds && !contents.values;
    walk->hashes = contents.hashes && walk->sink->digest != NULL;
    return walk->hashes ? mpr_file_random(walk->key, sizeof walk->key) : MPR_OK;
}

int cpy_capture_walk(mpr_sink *sink, mpr_alloc *alloc, const cpy_capture *what) {
    cpy_walk walk;
    mpr_marking marking;
    uint64_t discarded = 0;
    int status = cpy_walk_begin_prepared(&walk, alloc, sink, what->proofs);
    walk.leaf_buffers = what->leaf_buffers;
    if (status == MPR_OK && walk.leaf_buffers != NULL) {
        discarded = cpy_leaf_buffers_discard_known(&walk);
    }
    if (status == MPR_OK && what->prepared != NULL) {
        status = what->prepared(what->context, sink, discarded);
    }
    if (status == MPR_OK) {
        status = set_contents(&walk, what->contents);
    }
    if (status == MPR_OK) {
        status = tell_facts(sink, what->facts, what->mode);
    }
    if (status == MPR_OK && what->origins != NULL) {
        status = cpy_origins_emit(what->origins, alloc, sink);
    }
    if (status == MPR_OK && what->argument != NULL) {
        cpy_walk_set_argument(&walk, what->argument);
    }
    if (status == MPR_OK && what->contents.native && what->more != NULL) {
        status = cpy_bodies_begin(&walk, &marking, what->more);
    }
    if (status == MPR_OK) {
        status = cpy_walk_whole(&walk);
    }
    if (status == MPR_OK && what->caller == NULL) { /* of a question about one object nobody asks */
        status = cpy_unseen_tell(&walk, what->more);
    }
    if (status == MPR_OK) {
        cpy_temporaries_emit(&walk);
        status = walk.status;
    }
    if (status == MPR_OK && walk.marking != NULL) {
        status = cpy_bodies_finish(&walk, what->sharing, __builtin_frame_address(0));
    }
    if (status == MPR_OK && what->sharing != NULL) {
        status = cpy_copied_emit(&walk, what->sharing);
    }
    if (status == MPR_OK) {
        status = mpr_sink_number(sink, "native_types", walk.native_types);
    }
    if (what->caller != NULL) {
        *what->caller = walk.caller;
    }
    cpy_bodies_end(&walk);
    cpy_walk_end(&walk);
    return status;
}

int cpy_capture_reachable(mpr_sink *sink, mpr_alloc *alloc, cpy_proofs *proofs, PyObject *object, bool housekeeping) {
    cpy_walk walk;
    int status = cpy_walk_begin(&walk, alloc, sink, proofs);
    walk.skip = MPR_LABEL_WEAK | (housekeeping ? 0 : MPR_LABEL_HOUSEKEEPING);
    walk.only = !housekeeping;
    walk.follows_names = true;
    if (status == MPR_OK) {
        status = cpy_walk_seed_object(&walk, object);
    }
    if (status == MPR_OK) {
        status = cpy_walk_run(&walk);
    }
    cpy_walk_end(&walk);
    return status;
}
