/* SPDX-License-Identifier: MIT
 * Where objects were made: tracemalloc's answers for a sample of the heap (sample.h).
 *
 * An answer takes a microsecond or two, so that some ten thousand objects can be asked about, of millions. They are asked about in a mixed order,
 * so that each kind has its share when the time is up. Asking makes tuples and ints, and frees them: the collector is switched off
 * meanwhile, so that no finalizer runs; the GIL is never released, so that what was chosen stays. */
#include "cpython/origins.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/os/process.h"
#include "base/status.h"
#include "cpython/pause.h"
#include "cpython/sample.h"
#include "cpython/str.h"

#define LONGEST 1000 /* characters of a file's name */
#define CLOCK 4u     /* answers between two looks at the clock */

/* ---- asking ---- */

typedef struct answers {
    cpy_origins *out;
    mpr_map lines, traces; /* by file and line; by their lines */
    int status;
} answers;

static void put_line(mpr_buffer *b, PyObject *file, long line) {
    char text[4 * LONGEST + 32];
    size_t length = cpy_str_utf8(text, sizeof text - 28, file, LONGEST);
    for (size_t i = 0; i < length; i++) {
        text[i] = (unsigned char)text[i] < ' ' ? '?' : text[i];
    }
    length += (size_t)snprintf(text + length, sizeof text - length, ":%ld\n", line);
    mpr_buffer_put(b, text, length);
}

/* The number of a frame's line. tracemalloc has each file's name once, as long as it traces. */
static uint32_t number_of(answers *a, PyObject *frame) {
    PyObject *file = PyTuple_GET_ITEM(frame, 0);
    long line = PyLong_AsLong(PyTuple_GET_ITEM(frame, 1));
    int made = 0;
    uint32_t *number = mpr_map_add(&a->lines, mpr_map_mix((uintptr_t)file, (uint64_t)line), &made);
    if (number == NULL) {
        a->status = MPR_ENOMEM;
        return 0;
    }
    if (made) {
        *number = a->out->line_count++;
        put_line(&a->out->lines, file, line);
        a->status = a->status != MPR_OK ? a->status : a->out->lines.status;
    }
    return *number;
}

/* A block that C code allocated without a frame has line 0 of "<unknown>": no answer. */
static bool is_known(PyObject *trace) {
    return PyTuple_Check(trace) && PyTuple_GET_SIZE(trace) > 0 &&
           PyLong_AsLong(PyTuple_GET_ITEM(PyTuple_GET_ITEM(trace, 0), 1)) > 0;
}

static void note(answers *a, PyObject *object, PyObject *trace) {
    cpy_origins *o = a->out;
    uint32_t first = (uint32_t)o->frames.count, count = 0;
    uint64_t key = 1;
    int made = 0;
    for (; count < CPY_ORIGINS_FRAMES && count < (uint64_t)PyTuple_GET_SIZE(trace) && a->status == MPR_OK; count++) {
        uint32_t number = number_of(a, PyTuple_GET_ITEM(trace, count));
        key = mpr_map_mix(key, number);
        a->status = a->status != MPR_OK ? a->status : mpr_vec_push(&o->frames, &o->alloc, number);
    }
    uint32_t *index = a->status != MPR_OK ? NULL : mpr_map_add(&a->traces, key, &made);
    if (index == NULL) {
        a->status = MPR_ENOMEM;
        return;
    }
    if (made) {
        *index = (uint32_t)o->traces.count;
        a->status = mpr_vec_push(&o->traces, &o->alloc, ((cpy_trace){first, count}));
    } else {
        o->frames.count = first; /* it is there already */
    }
    cpy_origin found = {.address = (uint64_t)(uintptr_t)object, .trace = *index};
    if (a->status == MPR_OK) {
        a->status = mpr_vec_push(&o->objects, &o->alloc, found);
    }
}

/* A number of steps that visits all of so many. */
static size_t mixing_step(size_t count) { return count % 7919 == 0 ? 1 : 7919; }

static void ask(answers *a, const cpy_objects *chosen, int64_t deadline) {
    size_t step = chosen->count > 0 ? mixing_step(chosen->count) : 0, at = 0;
    for (size_t i = 0; i < chosen->count && a->status == MPR_OK; i++, at = (at + step) % chosen->count) {
        if (i % CLOCK == 0 && mpr_process_monotonic_ns() > deadline) {
            return;
        }
        PyObject *trace = cpy_allocation_traceback(chosen->items[at]);
        if (trace == NULL) {
            PyErr_Clear();
            return;
        }
        a->out->asked++;
        if (is_known(trace)) {
            note(a, chosen->items[at], trace);
        }
        Py_DECREF(trace);
    }
}

/* ---- all of it ---- */

static void discard(cpy_origins *o) {
    mpr_vec_free(&o->objects, &o->alloc);
    mpr_vec_free(&o->traces, &o->alloc);
    mpr_vec_free(&o->frames, &o->alloc);
    mpr_buffer_free(&o->lines);
    o->line_count = 0;
}

/* What is chosen must stay: not where other threads run when a pause is over. */
static bool may_ask(const cpy_proofs *proofs) {
    return proofs->can[CPY_CAN_GC_LISTS] && !cpy_pause_ends() && PyInterpreterState_Get() == PyInterpreterState_Main() &&
           !cpy_layout_collecting() && cpy_layout_traces_allocations();
}

void cpy_origins_take(cpy_origins *out, const cpy_proofs *proofs, int64_t budget_ns) {
    int64_t start = mpr_process_monotonic_ns();
    *out = (cpy_origins){0};
    mpr_alloc_pages(&out->alloc);
    out->lines.alloc = &out->alloc;
    if (budget_ns <= 0 || !may_ask(proofs)) {
        return;
    }
    out->traces_allocations = true;
    mpr_alloc *alloc = &out->alloc;
    cpy_objects chosen;
    answers a = {.out = out, .lines = {.alloc = alloc}, .traces = {.alloc = alloc}};
    a.status = cpy_sample_choose(&chosen, alloc, proofs, start, budget_ns / 2);
    int collects = PyGC_Disable();
    ask(&a, &chosen, start + budget_ns);
    if (collects) {
        PyGC_Enable();
    }
    mpr_vec_free(&chosen, alloc);
    mpr_map_free(&a.lines);
    mpr_map_free(&a.traces);
    if (a.status != MPR_OK) {
        discard(out);
    }
    out->ns = mpr_process_monotonic_ns() - start;
}

void cpy_origins_free(cpy_origins *origins) {
    if (origins->alloc.resize != NULL) {
        discard(origins);
    }
}

/* ---- facts ---- */

/* By traceback, then by address. */
static bool is_before(const cpy_origin *a, const cpy_origin *b) {
    return a->trace != b->trace ? a->trace < b->trace : a->address < b->address;
}

/* A row a traceback: its lines, then the objects. */
static void put_objects(mpr_buffer *b, const cpy_origins *o) {
    uint64_t last = 0;
    for (size_t i = 0; i < o->objects.count; i++) {
        const cpy_origin *object = &o->objects.items[i];
        if (i == 0 || object->trace != object[-1].trace) {
            const cpy_trace *trace = &o->traces.items[object->trace];
            mpr_buffer_put(b, "\n", i > 0);
            for (uint32_t k = 0; k < trace->count; k++) {
                mpr_buffer_put(b, ",", k > 0);
                mpr_buffer_hex(b, o->frames.items[trace->first + k]);
            }
            last = 0;
        }
        mpr_buffer_byte(b, ' ');
        mpr_buffer_hex(b, (object->address - last) / 8);
        last = object->address;
    }
}

static int emit_text(mpr_sink *sink, const char *key, const mpr_buffer *text) {
    return text->status != MPR_OK
               ? text->status
               : sink->info(sink, &(mpr_seen_info){.key = key, .text = (const char *)text->data, .length = text->size});
}

int cpy_origins_emit(cpy_origins *o, mpr_alloc *alloc, mpr_sink *sink) {
    if (!o->traces_allocations) {
        return MPR_OK;
    }
    mpr_buffer objects = {.alloc = alloc};
    mpr_vec_sort(&o->objects, is_before);
    put_objects(&objects, o);
    int status = mpr_sink_number(sink, "origins_ns", o->ns);
    status = status != MPR_OK ? status : mpr_sink_number(sink, "origins_asked", (int64_t)o->asked);
    if (status == MPR_OK && o->objects.count > 0) {
        status = emit_text(sink, "origins_lines", &o->lines);
        status = status != MPR_OK ? status : emit_text(sink, "origins_objects", &objects);
    }
    mpr_buffer_free(&objects);
    return status;
}
