/* SPDX-License-Identifier: MIT
 * Where objects were made: a sample of the heap, and tracemalloc's answers.
 *
 * An answer takes a microsecond or two, so that some ten thousand objects can be asked about, of millions. They are chosen in half of the
 * budget, such that a leak is among them whatever it is made of:
 *
 *   by age         the collector's lists, from both ends at once. From the young end every object, then one of two, one of four ...,
 *                  by chance, for a loop makes its objects in turn: as many of each octave of age. The lists are almost in the order
 *                  of age: a full collection mixes what it has seen. Of each object that is taken, too: a few of those that it refers to and that the collector does not track.
 *   by reference   what large containers refer to, whatever their own age: one of n references of all of them together; and from the
 *                  end of each, where the newest are, 1, 2, 4, 7, 11 ... places back, what is large.
 *   near roots     breadth first from the variables of modules and of running functions: the containers there count as met, and what is
 *                  large there is taken, for it may be few objects.
 *
 * Then they are asked about in a mixed order, so that each kind has its share when the time is up. Choosing allocates nothing of Python's and
 * changes nothing. Asking makes tuples and ints, and frees them: the collector is switched off meanwhile, so that no finalizer runs;
 * the GIL is never released, so that what was chosen stays. */
#include "cpython/origins.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/os/process.h"
#include "base/status.h"
#include "cpython/capture.h"
#include "cpython/tracked.h"

#define MOST 20000u      /* objects that are chosen */
#define POSITIONS 4096u  /* of them by reference */
#define OCTAVE 256u      /* objects that are taken before the stride doubles */
#define OLD_STRIDE 64u   /* which the old end begins with */
#define LARGE 64         /* references of a large container, ... */
#define HUGE_CONTAINER 4096 /* ... of one that is worth asking about itself */
#define LOOKED 256u      /* references of one object that are looked at */
#define FEW 2u           /* of them that are taken, ... */
#define WEIGHTY_MOST 16u /* ... beside so many large ones: of so many bytes */
#define WEIGHTY 2048u
#define NEAR 16384u      /* objects near roots that are looked at */
#define LONGEST 1000     /* characters of a file's name */
#define CLOCK 16u        /* steps between two looks at the clock */

typedef struct sample {
    mpr_alloc *alloc;
    int64_t deadline;
    unsigned steps; /* since the clock was looked at */
    bool late;
    cpy_objects chosen;
    size_t most; /* of them */
    mpr_map known; /* those, by address */
    cpy_objects near; /* to be looked at, or looked at already */
    mpr_map queued;   /* those, by address */
    cpy_objects positions; /* one of `stride` references of large containers; the next one is `wait` references ahead */
    uint64_t stride, wait;
    uint64_t dice;
    int status;
} sample;

/* ---- what is chosen ---- */

static bool is_over(sample *s) {
    if (++s->steps >= CLOCK) {
        s->steps = 0;
        s->late = mpr_process_monotonic_ns() > s->deadline;
    }
    return s->late || s->status != MPR_OK;
}

/* A number below `sides`. */
static uint64_t roll(sample *s, uint64_t sides) {
    s->dice = s->dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (s->dice >> 33) % sides;
}

static uint64_t key_of(const PyObject *object) { return mpr_map_mix((uintptr_t)object, 0); }

/* Into a set; was it new? */
static bool add(sample *s, mpr_map *set, cpy_objects *list, PyObject *object) {
    int made = 0;
    if (mpr_map_add(set, key_of(object), &made) == NULL || (made && mpr_vec_push(list, s->alloc, object) != MPR_OK)) {
        s->status = MPR_ENOMEM;
    }
    return made != 0;
}

/* Constants are in no row of an answer. */
static void choose(sample *s, PyObject *object) {
    if (object != NULL && s->chosen.count < s->most && !cpy_is_immortal(object) &&
        !(PyUnicode_CheckExact(object) && cpy_is_interned(object))) {
        add(s, &s->known, &s->chosen, object);
    }
}

/* Does an object that the collector does not track take much? What a type of C has cannot be known: it may. */
static bool is_weighty(PyObject *object) {
    if (PyUnicode_Check(object)) {
        return cpy_str_body_bytes(object) + cpy_str_buffer_bytes(object, NULL) >= WEIGHTY;
    }
    if (PyBytes_Check(object)) {
        return (size_t)PyBytes_GET_SIZE(object) >= WEIGHTY;
    }
    if (PyByteArray_Check(object)) {
        return cpy_bytearray_bytes(object, NULL) >= WEIGHTY;
    }
    PyTypeObject *type = Py_TYPE(object);
    return !PyType_IS_GC(type) && !PyLong_Check(object) && type->tp_basicsize >= 64;
}

/* ---- containers ---- */

/* The references of a container by their places, oldest first, but for sets. An entry of a dict has two: key and value. */
typedef struct items {
    PyObject *const *array;
    const setentry *entries;
    cpy_table table;
    Py_ssize_t count; /* entries */
    int width;        /* references of an entry */
} items;

/* How many references a container has, about; 0 for what is none. Reads the object and its class alone. */
static Py_ssize_t length_of(PyObject *object) {
    if (PyDict_Check(object)) {
        return ((PyDictObject *)object)->ma_used;
    }
    if (PyList_Check(object) || PyTuple_Check(object)) {
        return Py_SIZE(object);
    }
    return PyAnySet_CheckExact(object) ? ((PySetObject *)object)->used : 0;
}

static void items_of(PyObject *container, items *out) {
    *out = (items){.width = 1};
    if (PyDict_Check(container)) {
        cpy_layout_dict(container, &out->table);
        out->width = 2;
        out->count = out->table.count;
    } else if (PyList_Check(container)) {
        out->array = ((PyListObject *)container)->ob_item;
        out->count = Py_SIZE(container);
    } else if (PyTuple_Check(container)) {
        out->array = ((PyTupleObject *)container)->ob_item;
        out->count = Py_SIZE(container);
    } else {
        out->entries = ((PySetObject *)container)->table;
        out->count = ((PySetObject *)container)->mask + 1;
    }
}

/* The object at a place, 0 <= place < count * width; NULL where there is none. */
static PyObject *item_at(const items *i, Py_ssize_t place) {
    if (i->array != NULL) {
        return i->array[place];
    }
    if (i->entries != NULL) {
        return i->entries[place].hash == -1 ? NULL : i->entries[place].key; /* -1: it was deleted */
    }
    return place % 2 == 0 ? cpy_table_key(&i->table, place / 2) : cpy_table_value(&i->table, place / 2);
}

/* Every second of them remains, and of what follows as few are taken. */
static void thin_out(sample *s) {
    for (size_t k = 0; 2 * k < s->positions.count; k++) {
        s->positions.items[k] = s->positions.items[2 * k];
    }
    s->positions.count = (s->positions.count + 1) / 2;
    s->stride *= 2;
}

/* One of `stride` references, of all of them at most POSITIONS. Steps differ, for keys and values of a dict take turns. */
static void count_references(sample *s, const items *i) {
    uint64_t places = (uint64_t)i->count * (uint64_t)i->width;
    while (s->positions.count + places / s->stride >= POSITIONS) {
        thin_out(s);
    }
    for (; s->wait < places; s->wait += 1 + roll(s, 2 * s->stride - 1)) {
        PyObject *object = item_at(i, (Py_ssize_t)s->wait);
        if (object == NULL) {
            continue;
        }
        if (mpr_vec_push(&s->positions, s->alloc, object) != MPR_OK) {
            s->status = MPR_ENOMEM;
            return;
        }
    }
    s->wait -= places;
}

/* What is large among the last ones; of a huge container any. */
static void choose_last(sample *s, const items *i) {
    for (Py_ssize_t back = 1; back <= i->count; back += back / 2 + 1) {
        for (int k = 0; k < i->width; k++) {
            PyObject *object = item_at(i, (i->count - back) * i->width + k);
            if (object != NULL && (i->count >= HUGE_CONTAINER || is_weighty(object))) {
                choose(s, object);
            }
        }
    }
}

/* An object is met: if it is a container of at least so many references, so is what it refers to. */
static void meet(sample *s, PyObject *object, Py_ssize_t least) {
    Py_ssize_t length = length_of(object);
    if (length < least) {
        return;
    }
    items i;
    items_of(object, &i);
    if (length >= HUGE_CONTAINER) {
        choose(s, object);
    }
    count_references(s, &i);
    choose_last(s, &i);
}

/* ---- what an object refers to ---- */

typedef struct look {
    sample *sample;
    bool is_near;
    unsigned met, weighty, light;
    PyObject *any[FEW]; /* of the light ones, by chance */
} look;

/* What may lead to the program's data: what is not code. */
static bool is_data(PyObject *object) {
    return !PyType_Check(object) && !PyModule_Check(object) && !PyFunction_Check(object) && !PyCFunction_Check(object);
}

/* An object near a root is met, and will be looked into; or it is large itself. */
static void come_near(sample *s, PyObject *object) {
    if (object == NULL) {
        return;
    }
    if (!PyObject_IS_GC(object)) {
        if (is_weighty(object)) {
            choose(s, object);
        }
    } else if (s->near.count < NEAR && is_data(object) && add(s, &s->queued, &s->near, object)) {
        meet(s, object, LARGE);
    }
}

static int look_at(PyObject *target, void *context) {
    look *l = context;
    sample *s = l->sample;
    if (target == NULL) {
        return 0;
    }
    if (l->is_near) {
        come_near(s, target);
    } else if (PyObject_GC_IsTracked(target)) {
        return ++l->met == LOOKED;
    } else if (l->weighty < WEIGHTY_MOST && is_weighty(target)) {
        l->weighty++;
        choose(s, target);
    } else {
        meet(s, target, 1); /* a dict or a tuple of atoms is not tracked */
        uint64_t place = l->light < FEW ? l->light : roll(s, l->light + 1);
        l->light++;
        if (place < FEW) {
            l->any[place] = target;
        }
    }
    return ++l->met == LOOKED;
}

/* Take what is large of what an object refers to, and a few others that are not tracked; what is near a root brings what it refers to near. */
static void look_into(sample *s, PyObject *object, bool is_near) {
    look l = {.sample = s, .is_near = is_near};
    if (Py_TYPE(object)->tp_traverse != NULL && PyObject_IS_GC(object)) {
        Py_TYPE(object)->tp_traverse(object, look_at, &l);
    }
    for (unsigned i = 0; i < FEW && !is_near; i++) {
        choose(s, l.any[i]);
    }
}

/* ---- near roots ---- */

static void near_variables(sample *s, PyObject *namespace) {
    items i;
    if (namespace == NULL || !PyDict_Check(namespace)) {
        return;
    }
    items_of(namespace, &i);
    for (Py_ssize_t at = i.count; at-- > 0 && !is_over(s);) {
        come_near(s, item_at(&i, 2 * at + 1));
    }
}

static bool is_main(PyObject *name) {
    return name != NULL && PyUnicode_Check(name) && PyUnicode_IS_COMPACT_ASCII(name) &&
           strcmp((const char *)PyUnicode_1BYTE_DATA(name), "__main__") == 0;
}

/* The program's own module first; then those that were imported last, which are rather the program's. */
static void near_modules(sample *s) {
    PyObject *modules = PyImport_GetModuleDict();
    items i;
    if (modules == NULL || !PyDict_Check(modules)) {
        return;
    }
    items_of(modules, &i);
    for (int pass = 0; pass < 2; pass++) {
        for (Py_ssize_t at = i.count; at-- > 0 && !is_over(s);) {
            PyObject *module = item_at(&i, 2 * at + 1);
            if (module != NULL && PyModule_Check(module) && is_main(item_at(&i, 2 * at)) == (pass == 0)) {
                near_variables(s, PyModule_GetDict(module));
            }
        }
    }
}

static void near_frames(sample *s, PyThreadState *thread) {
    cpy_frame frame;
    bool owned;
    for (void *at = cpy_layout_top_frame(thread); at != NULL && !is_over(s); at = frame.previous) {
        cpy_layout_frame(at, &frame);
        for (int i = 0; i < frame.locals_count; i++) {
            come_near(s, cpy_slot_object(frame.slots[i], &owned));
        }
    }
}

static void choose_near_roots(sample *s, const cpy_proofs *proofs) {
    PyThreadState *thread = proofs->can[CPY_CAN_FRAMES] ? PyInterpreterState_ThreadHead(PyInterpreterState_Get()) : NULL;
    for (; thread != NULL && !is_over(s); thread = PyThreadState_Next(thread)) {
        near_frames(s, thread);
    }
    near_modules(s);
    for (size_t i = 0; i < s->near.count && !is_over(s); i++) { /* it grows meanwhile */
        look_into(s, s->near.items[i], true);
    }
}

/* ---- by age ---- */

/* A place on the collector's lists, the permanent one first as the oldest, and how many objects are left out from there on. */
typedef struct end {
    cpy_gc_head *heads[CPY_GENERATIONS]; /* the oldest first */
    int list;
    bool is_young;
    cpy_gc_head *at; /* NULL: there is nothing more */
    uint64_t stride, wait;
    unsigned taken;
} end;

static void advance(end *e) {
    e->at = e->is_young ? cpy_gc_previous(e->at) : cpy_gc_next(e->at);
    while (e->at == e->heads[e->list]) {
        e->list += e->is_young ? -1 : 1;
        if (e->list < 0 || e->list == CPY_GENERATIONS) {
            e->at = NULL;
            return;
        }
        e->at = e->is_young ? cpy_gc_previous(e->heads[e->list]) : cpy_gc_next(e->heads[e->list]);
    }
    __builtin_prefetch(e->is_young ? cpy_gc_previous(e->at) : cpy_gc_next(e->at));
}

static end begin_end(bool is_young) {
    end e = {.is_young = is_young, .list = is_young ? CPY_GENERATIONS - 1 : 0, .stride = is_young ? 1 : OLD_STRIDE};
    cpy_gc_head *heads[CPY_GENERATIONS];
    int count = cpy_layout_gc_heads(heads);
    for (int i = 0; i < count; i++) {
        e.heads[i] = heads[count - 1 - i];
    }
    e.at = e.heads[e.list];
    advance(&e);
    return e;
}

static void meet_at(sample *s, end *e) {
    PyObject *object = cpy_gc_object(e->at);
    meet(s, object, LARGE);
    if (e->wait-- > 0) {
        return;
    }
    choose(s, object);
    look_into(s, object, false);
    if (++e->taken == OCTAVE) {
        e->taken = 0;
        e->stride *= 2;
    }
    e->wait = roll(s, 2 * e->stride - 1);
}

/* Both ends at once: two chains of cache misses overlap. They end where they meet. */
static void choose_by_age(sample *s) {
    end young = begin_end(true), old = begin_end(false);
    while (young.at != NULL && old.at != NULL && !is_over(s)) {
        meet_at(s, &young);
        if (young.at == old.at) {
            return;
        }
        meet_at(s, &old);
        advance(&old);
        if (young.at == old.at) {
            return;
        }
        advance(&young);
    }
}

/* ---- asking ---- */

typedef struct answers {
    cpy_origins *out;
    mpr_map lines, traces; /* by file and line; by their lines */
    int status;
} answers;

static void put_line(mpr_buffer *b, PyObject *file, long line) {
    char text[4 * LONGEST + 32];
    size_t length = cpy_text_put(text, sizeof text - 28, file, LONGEST);
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
        if (i % (CLOCK / 4) == 0 && mpr_process_monotonic_ns() > deadline) {
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

static void choose_all(sample *s, const cpy_proofs *proofs, int64_t start, int64_t budget_ns) {
    s->most = MOST - POSITIONS;
    s->deadline = start + budget_ns / 4;
    choose_near_roots(s, proofs);
    s->late = false;
    s->deadline = start + budget_ns / 2;
    choose_by_age(s);
    s->most = MOST;
    for (size_t i = 0; i < s->positions.count; i++) {
        choose(s, s->positions.items[i]);
    }
}

static bool may_ask(const cpy_proofs *proofs) {
    return proofs->can[CPY_CAN_GC_LISTS] && PyInterpreterState_Get() == PyInterpreterState_Main() && !cpy_layout_collecting() &&
           cpy_layout_traces_allocations();
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
    sample s = {.alloc = alloc, .known = {.alloc = alloc}, .queued = {.alloc = alloc}, .stride = 1};
    answers a = {.out = out, .lines = {.alloc = alloc}, .traces = {.alloc = alloc}};
    choose_all(&s, proofs, start, budget_ns);
    a.status = s.status;
    int collects = PyGC_Disable();
    ask(&a, &s.chosen, start + budget_ns);
    if (collects) {
        PyGC_Enable();
    }
    mpr_vec_free(&s.chosen, alloc);
    mpr_vec_free(&s.near, alloc);
    mpr_vec_free(&s.positions, alloc);
    mpr_map_free(&s.known);
    mpr_map_free(&s.queued);
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
