/* SPDX-License-Identifier: MIT
 * The collector's own view, for memprobe.objgraph: tracked objects by type and by address, and who of them refers to what. */
#include "binding/binding.h"
#include "cpython/holders.h"
#include "cpython/pause.h"

#include <string.h>

#include "base/os/pages.h"

/* ---- memory ---- */

#define LARGE ((size_t)8 << 20)

/* Small blocks from malloc, which has its pages already: here the GIL is held, and nothing is measured. Large ones from mmap. */
static void *resize(mpr_alloc *self, void *old, size_t old_size, size_t size) {
    bool was_large = old_size >= LARGE, large = size >= LARGE;
    void *block;
    if (was_large && (large || size == 0)) {
        return mpr_pages_resize(old, old_size, size);
    }
    if (size == 0) {
        PyMem_RawFree(old);
        return NULL;
    }
    if (!was_large && !large) {
        block = PyMem_RawRealloc(old, size);
        if (block != NULL && size > old_size) {
            memset((char *)block + old_size, 0, size - old_size);
        }
        return block;
    }
    block = large ? mpr_pages_resize(NULL, 0, size) : PyMem_RawMalloc(size);
    if (block != NULL && old != NULL) {
        memcpy(block, old, old_size < size ? old_size : size);
        resize(self, old, old_size, 0);
    }
    return block;
}

/* In a pause that ends others may wait for the allocator's locks, and it may be the interpreter's. */
static void use_memory(mpr_alloc *out) {
    if (cpy_pause_ends()) {
        mpr_alloc_pages(out);
    } else {
        *out = (mpr_alloc){.resize = resize};
    }
}

/* ---- lists of objects ---- */

/* What is asked of the tracked objects in one pause. References to the answer are taken at its end, before the first Python object is made: that
 * may run the collector. */
typedef struct asked {
    mpr_alloc alloc;
    const cpy_proofs *proofs;
    cpy_objects objects;      /* the answer, or ... */
    cpy_type_counts counts;   /* ... these */
    const mpr_addrset *set;   /* wanted addresses, of types if by_type */
    bool by_type;
    PyObject *given;          /* a list, or NULL */
    const PyObject *besides;
} asked;

static void begin(asked *a, PyObject *module) {
    *a = (asked){.proofs = &binding_state(module)->proofs};
    use_memory(&a->alloc);
}

/* Without the collector's lists the interpreter makes one, and must not be paused for it. */
static int run(const cpy_proofs *proofs, cpy_pause_work *work, void *of) {
    return proofs->can[CPY_CAN_GC_LISTS] ? cpy_pause_run(work, of) : work(of);
}

static void take_references(PyObject **items, size_t count) {
    for (size_t i = 0; i < count; i++) {
        Py_INCREF(items[i]);
    }
}

/* Takes over the references. */
static PyObject *object_list(PyObject **items, size_t count) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; i < count; i++) {
        if (list != NULL) {
            PyList_SET_ITEM(list, (Py_ssize_t)i, items[i]);
        } else {
            Py_DECREF(items[i]);
        }
    }
    return list;
}

/* ---- types ---- */

/* Takes over the references to the types. */
static PyObject *count_rows(const cpy_type_counts *counts) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < counts->count; i++) {
        PyObject *row = Py_BuildValue("(On)", counts->items[i].type, (Py_ssize_t)counts->items[i].count);
        if (row == NULL || PyList_Append(list, row) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(row);
    }
    for (size_t i = 0; i < counts->count; i++) {
        Py_DECREF(counts->items[i].type);
    }
    return list;
}

static int count_types(void *context) {
    asked *a = context;
    int status = cpy_tracked_gather(&a->objects, &a->alloc, a->proofs);
    if (status == MPR_OK) {
        status = cpy_tracked_count(&a->objects, &a->alloc, &a->counts);
    }
    for (size_t i = 0; status == MPR_OK && i < a->counts.count; i++) {
        Py_INCREF(a->counts.items[i].type);
    }
    return status;
}

static PyObject *tracked_types(PyObject *module, PyObject *unused) {
    asked a;
    (void)unused;
    begin(&a, module);
    int status = run(a.proofs, count_types, &a);
    mpr_vec_free(&a.objects, &a.alloc);
    PyObject *rows = status == MPR_OK ? count_rows(&a.counts) : binding_error(status);
    mpr_vec_free(&a.counts, &a.alloc);
    return rows;
}

/* ---- some of them ---- */

/* Keep those whose address (or that of their type) is in the set, but not the question itself. */
static void keep(cpy_objects *objects, const mpr_addrset *set, bool by_type, const PyObject *besides) {
    size_t kept = 0;
    PyTypeObject *last = NULL;
    bool wanted = false;
    for (size_t i = 0; i < objects->count; i++) {
        PyObject *object = objects->items[i];
        if (by_type && Py_TYPE(object) != last) {
            last = Py_TYPE(object);
            wanted = mpr_addrset_contains(set, (uint64_t)(uintptr_t)last);
        } else if (!by_type) {
            wanted = mpr_addrset_contains(set, (uint64_t)(uintptr_t)object);
        }
        if (wanted && object != besides) {
            objects->items[kept++] = object;
        }
    }
    objects->count = kept;
}

static int find_kept(void *context) {
    asked *a = context;
    int status = cpy_tracked_gather(&a->objects, &a->alloc, a->proofs);
    if (status == MPR_OK) {
        keep(&a->objects, a->set, a->by_type, a->besides);
        take_references(a->objects.items, a->objects.count);
    }
    return status;
}

static PyObject *answer(asked *a, cpy_pause_work *work) {
    int status = run(a->proofs, work, a);
    PyObject *list = status == MPR_OK ? object_list(a->objects.items, a->objects.count) : binding_error(status);
    mpr_vec_free(&a->objects, &a->alloc);
    return list;
}

/* The address that an item of a question stands for; false with an exception if it stands for none. */
typedef bool meaning(PyObject *item, uint64_t *address);

static bool as_type(PyObject *item, uint64_t *address) {
    *address = (uint64_t)(uintptr_t)item;
    return true;
}

static bool as_address(PyObject *item, uint64_t *address) {
    *address = PyLong_AsUnsignedLongLong(item);
    return *address != (uint64_t)-1 || !PyErr_Occurred();
}

static PyObject *tracked_in(PyObject *module, PyObject *items, meaning *meant, bool by_type) {
    asked a;
    mpr_addrset set;
    uint32_t handle;
    uint64_t address;
    int added = 0;
    bool understood = true;
    if (!PyTuple_Check(items)) {
        return PyErr_Format(PyExc_TypeError, "%s must be a tuple", by_type ? "types" : "addresses");
    }
    begin(&a, module);
    a.set = &set;
    a.by_type = by_type;
    a.besides = items;
    mpr_addrset_init(&set, &a.alloc);
    for (Py_ssize_t i = 0; understood && added >= 0 && i < PyTuple_GET_SIZE(items); i++) {
        understood = meant(PyTuple_GET_ITEM(items, i), &address);
        added = !understood || address % 8 != 0 ? 0 : mpr_addrset_add(&set, address, &handle);
    }
    PyObject *list = NULL;
    if (understood) {
        list = added < 0 ? binding_error(added) : answer(&a, find_kept);
    }
    mpr_addrset_free(&set);
    return list;
}

static PyObject *tracked_of(PyObject *module, PyObject *types) { return tracked_in(module, types, as_type, true); }

static PyObject *tracked_at(PyObject *module, PyObject *addresses) { return tracked_in(module, addresses, as_address, false); }

/* ---- what nobody refers to ---- */

static int find_unheld(void *context) {
    asked *a = context;
    cpy_objects all;
    mpr_addrset targets;
    mpr_addrset_init(&targets, &a->alloc);
    int status = cpy_tracked_gather(&all, &a->alloc, a->proofs);
    if (status == MPR_OK) {
        status = cpy_tracked_targets(&all, a->given, a->besides, &targets);
    }
    size_t count = a->given == NULL ? all.count : (size_t)PyList_GET_SIZE(a->given);
    for (size_t i = 0; status == MPR_OK && i < count; i++) {
        PyObject *object = a->given == NULL ? all.items[i] : PyList_GET_ITEM(a->given, (Py_ssize_t)i);
        if (!mpr_addrset_contains(&targets, (uint64_t)(uintptr_t)object)) {
            status = mpr_vec_push(&a->objects, &a->alloc, object);
        }
    }
    if (status == MPR_OK) {
        take_references(a->objects.items, a->objects.count);
    }
    mpr_addrset_free(&targets);
    mpr_vec_free(&all, &a->alloc);
    return status;
}

/* No tuple of arguments: it would be found among the objects. */
static PyObject *tracked_unheld(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    asked a;
    if (count != 2 || (args[0] != Py_None && !PyList_Check(args[0]))) {
        return PyErr_Format(PyExc_TypeError, "give a list or None, and one object besides");
    }
    begin(&a, module);
    a.given = args[0] == Py_None ? NULL : args[0];
    a.besides = args[1];
    return answer(&a, find_unheld);
}

/* ---- the index backwards ---- */

typedef struct holders_object {
    PyObject_HEAD
    mpr_alloc alloc;
    cpy_holders holders;
} holders_object;

typedef struct making {
    holders_object *self;
    const cpy_proofs *proofs;
    PyObject *targets; /* a list, or NULL */
} making;

static int make_holders(void *context) {
    making *m = context;
    return cpy_holders_make(&m->self->holders, &m->self->alloc, m->proofs, m->targets);
}

static PyObject *holders(PyObject *module, PyObject *targets) {
    mod_state *state = binding_state(module);
    if (targets != Py_None && !PyList_Check(targets)) {
        return PyErr_Format(PyExc_TypeError, "targets must be a list or None");
    }
    holders_object *self = (holders_object *)state->holders_type->tp_alloc(state->holders_type, 0);
    if (self == NULL) {
        return NULL;
    }
    use_memory(&self->alloc);
    making m = {self, &state->proofs, targets == Py_None ? NULL : targets};
    int status = run(m.proofs, make_holders, &m);
    if (status != MPR_OK) {
        Py_DECREF(self);
        return binding_error(status);
    }
    return (PyObject *)self;
}

static PyObject *holders_of(PyObject *object, PyObject *target) {
    holders_object *self = (holders_object *)object;
    cpy_objects found = {0};
    if (!cpy_holders_covers(&self->holders, target)) {
        Py_RETURN_NONE;
    }
    int status = cpy_holders_find(&self->holders, target, &found);
    if (status == MPR_OK) {
        take_references(found.items, found.count);
    }
    PyObject *list = status == MPR_OK ? object_list(found.items, found.count) : binding_error(status);
    mpr_vec_free(&found, &self->alloc);
    return list;
}

static PyObject *holds(PyObject *object, PyObject *wanted) {
    const cpy_objects *held = &((holders_object *)object)->holders.objects;
    size_t i = 0;
    while (i < held->count && held->items[i] != wanted) {
        i++;
    }
    return PyBool_FromLong(i < held->count);
}

static void dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    cpy_holders_free(&((holders_object *)object)->holders);
    type->tp_free(object);
    Py_DECREF(type);
}

BINDING_ALONE(holders_of) /* it notes what is alive */

static PyMethodDef methods[] = {
    {"of", holders_of_alone, METH_O,
     "The tracked objects that refer to one, as gc.get_referrers() has them; None when it was not made for that."},
    {"holds", holds, METH_O, "Is it one of the objects?"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {{Py_tp_dealloc, dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_doc, "Who refers to what, of all tracked objects; it holds them."},
                              {0, NULL}};

PyType_Spec binding_holders_spec = {.name = "memprobe._core.Holders",
                                    .basicsize = sizeof(holders_object),
                                    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                    .slots = slots};

PyMethodDef binding_tracked_methods[] = {
    {"tracked_types", tracked_types, METH_NOARGS, "(type, count) for every type of the tracked objects, as they are first met."},
    {"tracked_of", tracked_of, METH_O, "The tracked objects of exactly these types."},
    {"tracked_at", tracked_at, METH_O, "The tracked objects at these addresses."},
    {"tracked_unheld", (PyCFunction)(void (*)(void))tracked_unheld, METH_FASTCALL,
     "Those of some objects that no tracked object refers to."},
    {"holders", holders, METH_O, "Who refers to the objects in a list, or (None) to any."},
    {NULL, NULL, 0, NULL},
};
