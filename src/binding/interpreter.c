/* SPDX-License-Identifier: MIT
 * What the interpreter itself holds: the collector's generations, pymalloc, and what the self-check proved. */
#include "base/os/signals.h"
#include "binding/binding.h"
#include "cpython/heap.h"
#include "cpython/pause.h"
#include "native/pools.h"

static int count_generation(void *counts, PyObject *object, int generation, bool from_young) {
    (void)from_young;
    ((Py_ssize_t *)counts)[cpy_layout_is_frozen(object) ? CPY_HEAP_PERMANENT : generation]++;
    return 0;
}

static int count_generations(void *counts) { return cpy_heap_each(&(cpy_heap){.has_lists = true}, count_generation, counts); }

/* A free-threaded build has one generation, and the frozen objects. */
static PyObject *generations(PyObject *module, PyObject *unused) {
    Py_ssize_t counts[CPY_GENERATIONS] = {0};
    (void)unused;
    if (!binding_state(module)->proofs.can[CPY_CAN_GC_LISTS]) {
        return PyList_New(0);
    }
    cpy_pause_run(count_generations, counts); /* before the first object is made */
    return CPY_GC_HEAPS ? Py_BuildValue("[nn]", counts[CPY_HEAP_PERMANENT - 1], counts[CPY_HEAP_PERMANENT])
                        : Py_BuildValue("[nnnn]", counts[0], counts[1], counts[2], counts[CPY_HEAP_PERMANENT]);
}

static PyObject *class_rows(const mpr_pools *m) {
    PyObject *list = PyList_New(0);
    for (int i = 0; list != NULL && i < MPR_POOLS_CLASSES; i++) {
        if (m->classes[i].pools == 0) {
            continue;
        }
        PyObject *row = Py_BuildValue("(iKKK)", 16 * (i + 1), (unsigned long long)m->classes[i].pools,
                                      (unsigned long long)m->classes[i].used, (unsigned long long)m->classes[i].free);
        binding_append(&list, row);
    }
    return list;
}

static PyObject *pymalloc(PyObject *module, PyObject *unused) {
    mpr_alloc alloc;
    mpr_pools m;
    mpr_alloc_pages(&alloc);
    (void)module, (void)unused;
    int status = mpr_pools_scan(&m, &alloc);
    PyObject *rows = status == MPR_OK ? class_rows(&m) : binding_error(status);
    mpr_pools_free(&m, &alloc);
    if (rows == NULL) {
        return NULL;
    }
    return Py_BuildValue("{sKsKsKsKsKsKsKsKsN}", "arenas", (unsigned long long)m.arenas, "arena_bytes",
                         (unsigned long long)(m.arenas * MPR_POOLS_ARENA), "pools", (unsigned long long)m.pools, "free_pools",
                         (unsigned long long)m.free_pools, "used_blocks", (unsigned long long)m.used_blocks, "used_bytes",
                         (unsigned long long)m.used_bytes, "free_bytes", (unsigned long long)m.free_bytes, "lost_bytes",
                         (unsigned long long)m.lost_bytes, "classes", rows);
}

static void release_gil(void *context) { *(PyThreadState **)context = PyEval_SaveThread(); }
static void take_gil(void *context) { PyEval_RestoreThread(*(PyThreadState **)context); }

mpr_lock binding_gil(PyThreadState **saved) { return (mpr_lock){saved, release_gil, take_gil}; }

void binding_account(mpr_account *out, mpr_account_more *more) {
    PyThreadState *saved;
    mpr_lock gil = binding_gil(&saved);
    mpr_snapshot_account(out, more, NULL, &mpr_headroom_here, &gil);
}

/* Add a number to a dict, which goes when that fails. */
static void put_number(PyObject **dict, const char *name, uint64_t value) {
    PyObject *number = *dict == NULL ? NULL : PyLong_FromUnsignedLongLong(value);
    if (number == NULL || PyDict_SetItemString(*dict, name, number) < 0) {
        Py_CLEAR(*dict);
    }
    Py_XDECREF(number);
}

/* {name: number} of what is known: heaps in place of pools where the interpreter has these. */
static PyObject *account(PyObject *module, PyObject *unused) {
    mpr_account found;
    cpy_heaps_total heaps;
    (void)unused;
    binding_account(&found, NULL);
    bool in_heaps = cpy_heap_measure(&binding_state(module)->proofs, &heaps);
    PyObject *dict = PyDict_New();
    for (int i = 0; i < MPR_ACCOUNT_COUNT; i++) {
        if (found.value[i] != MPR_ACCOUNT_UNKNOWN) {
            put_number(&dict, mpr_account_name((mpr_account_item)i), found.value[i]);
        }
    }
    if (in_heaps) {
        put_number(&dict, "heaps", heaps.resident);
        put_number(&dict, "heaps_used", heaps.used);
    }
    return dict;
}

static PyObject *capabilities(PyObject *module, PyObject *unused) {
    const cpy_proofs *proofs = &binding_state(module)->proofs;
    PyObject *dict = PyDict_New();
    (void)unused;
    for (int i = 0; dict != NULL && i < CPY_CAPABILITY_COUNT; i++) {
        if (PyDict_SetItemString(dict, cpy_capability_name((cpy_capability)i), proofs->can[i] ? Py_True : Py_False) < 0) {
            Py_CLEAR(dict);
        }
    }
    return dict;
}

static PyObject *is_main_interpreter(PyObject *module, PyObject *none) {
    (void)module, (void)none;
    return PyBool_FromLong(PyInterpreterState_Get() == PyInterpreterState_Main());
}

static PyObject *signal_to_fd(PyObject *module, PyObject *args, PyObject *keywords) {
    static char *names[] = {"signal", "fd", NULL};
    int number, fd;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "ii", names, &number, &fd)) {
        return NULL;
    }
    int status = mpr_signal_to_fd(number, fd);
    return status == MPR_OK ? Py_NewRef(Py_None) : binding_error(status);
}

static PyObject *signal_to_nobody(PyObject *module, PyObject *args, PyObject *keywords) {
    static char *names[] = {"signal", "restore", NULL};
    int number, restore;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "ip", names, &number, &restore)) {
        return NULL;
    }
    int status = mpr_signal_to_nobody(number, restore != 0);
    return status == MPR_OK ? Py_NewRef(Py_None) : binding_error(status);
}

PyMethodDef binding_interpreter_methods[] = {
    {"generations", generations, METH_NOARGS, "Objects of each generation, the permanent one last."},
    {"account", account, METH_NOARGS, "The account of this process's memory, what is known of it."},
    {"pymalloc", pymalloc, METH_NOARGS, "Arenas, pools and blocks, by looking at them."},
    {"is_main_interpreter", is_main_interpreter, METH_NOARGS, "Whether this is the interpreter that the process began with."},
    {"signal_to_fd", (PyCFunction)(void (*)(void))signal_to_fd, METH_VARARGS | METH_KEYWORDS,
     "From now on a signal adds 1 to an eventfd."},
    {"signal_to_nobody", (PyCFunction)(void (*)(void))signal_to_nobody, METH_VARARGS | METH_KEYWORDS,
     "No more: the signal does what it did before, or nothing."},
    {"capabilities", capabilities, METH_NOARGS, "Private sources of truth -> proved at import."},
    {NULL, NULL, 0, NULL},
};
