/* SPDX-License-Identifier: MIT
 * How objects are chosen, of millions, for questions that take long.
 *
 *   by age         from both ends of the order of age at once (heap.h). From the young end every object, then one of two, one of four ...,
 *                  by chance, for a loop makes its objects in turn: as many of each octave of age. The order is almost that of age: a full
 *                  collection mixes what it has seen. Of each object that is taken, too: a few of those that it refers to and that the
 *                  collector does not track.
 *   by reference   what large containers refer to, whatever their own age: one of n references of all of them together; and from the
 *                  end of each, where the newest are, 1, 2, 4, 7, 11 ... places back, what is large.
 *   near roots     breadth first from the variables of modules and of running functions: the containers there count as met, and what is
 *                  large there is taken, for it may be few objects. It has half of the time. */
#include "cpython/sample.h"

#include <string.h>

#include "base/map.h"
#include "base/os/process.h"
#include "base/status.h"

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

/* How far the choice has come from one end of the order of age. */
typedef struct end {
    uint64_t stride, wait;
    unsigned taken;
} end;

typedef struct ends {
    sample *sample;
    end young, old;
} ends;

static void meet_at(sample *s, end *e, PyObject *object) {
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

static int meet_tracked(void *context, PyObject *object, int generation, bool from_young) {
    ends *e = context;
    (void)generation;
    if (is_over(e->sample)) {
        return 1;
    }
    meet_at(e->sample, from_young ? &e->young : &e->old, object);
    return 0;
}

static void choose_by_age(sample *s, const cpy_heap *heap) {
    ends e = {.sample = s, .young = {.stride = 1}, .old = {.stride = OLD_STRIDE}};
    cpy_heap_each(heap, meet_tracked, &e);
}

/* ---- all of it ---- */

static void choose_all(sample *s, const cpy_proofs *proofs, const cpy_heap *heap, int64_t start, int64_t budget_ns) {
    s->most = MOST - POSITIONS;
    s->deadline = start + budget_ns / 2;
    choose_near_roots(s, proofs);
    s->late = false;
    s->deadline = start + budget_ns;
    choose_by_age(s, heap);
    s->most = MOST;
    for (size_t i = 0; i < s->positions.count; i++) {
        choose(s, s->positions.items[i]);
    }
}

int cpy_sample_choose(cpy_objects *out, mpr_alloc *alloc, const cpy_proofs *proofs, int64_t start, int64_t budget_ns) {
    sample s = {.alloc = alloc, .known = {.alloc = alloc}, .queued = {.alloc = alloc}, .stride = 1};
    cpy_heap heap;
    s.status = cpy_heap_begin(&heap, proofs);
    choose_all(&s, proofs, &heap, start, budget_ns);
    cpy_heap_end(&heap);
    mpr_vec_free(&s.near, alloc);
    mpr_vec_free(&s.positions, alloc);
    mpr_map_free(&s.known);
    mpr_map_free(&s.queued);
    *out = s.chosen;
    return s.status;
}
