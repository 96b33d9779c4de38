/* SPDX-License-Identifier: MIT
 * memprobe._core.Held: the living objects that an answer refers to, by number: the id of a node, or the place of a row.
 *
 * An answer keeps its objects here and nowhere else. The type is memprobe's, so later questions neither count nor show these references,
 * and an answer that stands in the program it is about can be collected with it. */
#include "binding/binding.h"

#include <stdlib.h>

typedef struct held_object {
    PyObject_HEAD
    mpr_alloc alloc;
    binding_objects objects; /* by number, ascending, each once */
} held_object;

static held_object *cast(PyObject *self) { return (held_object *)self; }

int binding_objects_add(binding_objects *objects, mpr_alloc *alloc, PyObject *object, uint32_t number) {
    binding_numbered one = {.object = object, .number = number};
    if (mpr_vec_push(objects, alloc, one) != MPR_OK) {
        return MPR_ENOMEM;
    }
    Py_INCREF(object);
    return MPR_OK;
}

/* Give back all references. What that frees may run code that uses the same Held: it is empty by then. */
void binding_objects_release(binding_objects *objects, mpr_alloc *alloc) {
    binding_objects old = *objects;
    *objects = (binding_objects){0};
    for (size_t i = 0; i < old.count; i++) {
        Py_DECREF(old.items[i].object);
    }
    mpr_vec_free(&old, alloc);
}

static int by_number(const void *left, const void *right) {
    const binding_numbered *a = left, *b = right;
    return (a->number > b->number) - (a->number < b->number);
}

/* In order, and each number once: the reference of a repetition is given back. */
static void sort(binding_objects *objects) {
    size_t kept = 0;
    if (objects->count > 1) {
        qsort(objects->items, objects->count, sizeof *objects->items, by_number);
    }
    for (size_t i = 0; i < objects->count; i++) {
        if (kept > 0 && objects->items[kept - 1].number == objects->items[i].number) {
            Py_DECREF(objects->items[i].object); /* not the last one: the kept one is the same object */
        } else {
            objects->items[kept++] = objects->items[i];
        }
    }
    objects->count = kept;
}

PyObject *binding_held_new(mod_state *state, binding_objects *objects, mpr_alloc *alloc) {
    held_object *self = (held_object *)state->held_type->tp_alloc(state->held_type, 0);
    if (self == NULL) {
        binding_objects_release(objects, alloc);
        return NULL;
    }
    mpr_alloc_pages(&self->alloc);
    sort(objects);
    self->objects = *objects;
    self->alloc.used = objects->capacity * sizeof *objects->items;
    *objects = (binding_objects){0};
    return (PyObject *)self;
}

/* ---- as a mapping ---- */

/* The object of a number, borrowed, or NULL; with an exception if the number is no int. */
static PyObject *find(PyObject *self, PyObject *number) {
    long long wanted = PyLong_AsLongLong(number);
    const binding_objects *objects = &cast(self)->objects;
    if (wanted < 0 || wanted > UINT32_MAX || objects->count == 0) {
        return NULL;
    }
    binding_numbered key = {.number = (uint32_t)wanted};
    binding_numbered *found = bsearch(&key, objects->items, objects->count, sizeof key, by_number);
    return found == NULL ? NULL : found->object;
}

static PyObject *find_item(PyObject *self, PyObject *number) {
    PyObject *object = find(self, number);
    if (object == NULL && !PyErr_Occurred()) {
        PyErr_SetObject(PyExc_KeyError, number);
    }
    return Py_XNewRef(object);
}

BINDING_ALONE(find_item)

static PyObject *get(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    if (count < 1 || count > 2) {
        return PyErr_Format(PyExc_TypeError, "get() takes a number and a default.");
    }
    PyObject *object;
    CPY_BEGIN_ALONE(self);
    object = Py_XNewRef(find(self, args[0]));
    CPY_END_ALONE();
    if (object != NULL || PyErr_Occurred()) {
        return object;
    }
    return Py_NewRef(count == 2 ? args[1] : Py_None);
}

static int contains(PyObject *self, PyObject *number) { return find(self, number) != NULL ? 1 : PyErr_Occurred() ? -1 : 0; }

static Py_ssize_t length(PyObject *self) { return (Py_ssize_t)cast(self)->objects.count; }

/* Empty it, and give the references back afterwards: that may run code. */
static void give_back(PyObject *self) {
    binding_objects old;
    CPY_BEGIN_ALONE(self);
    old = cast(self)->objects;
    cast(self)->objects = (binding_objects){0};
    CPY_END_ALONE();
    binding_objects_release(&old, &cast(self)->alloc);
}

static PyObject *release(PyObject *self, PyObject *unused) {
    (void)unused;
    give_back(self);
    Py_RETURN_NONE;
}

/* ---- the type ---- */

static int traverse(PyObject *self, visitproc visit, void *arg) {
    const binding_objects *objects = &cast(self)->objects;
    Py_VISIT(Py_TYPE(self));
    for (size_t i = 0; i < objects->count; i++) {
        Py_VISIT(objects->items[i].object);
    }
    return 0;
}

static int clear(PyObject *self) {
    give_back(self);
    return 0;
}

static void dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"get", (PyCFunction)(void (*)(void))get, METH_FASTCALL, "The object of a number, or the default."},
    {"release", release, METH_NOARGS, "Give all objects back."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {{Py_tp_dealloc, dealloc},
                              {Py_tp_traverse, traverse},
                              {Py_tp_clear, clear},
                              {Py_tp_methods, methods},
                              {Py_mp_subscript, find_item_alone},
                              {Py_mp_length, length},
                              {Py_sq_contains, contains},
                              {Py_tp_doc, "The living objects of an answer, by number."},
                              {0, NULL}};

PyType_Spec binding_held_spec = {.name = "memprobe._core.Held",
                                 .basicsize = sizeof(held_object),
                                 .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                                          Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                 .slots = slots};
