/* SPDX-License-Identifier: MIT
 * Proofs on objects that are made here. Each reads what a public function also says, and compares. A layout that is wrong may give any
 * number, so each step checks what it read before it follows it. */
#include "cpython/selfcheck.h"

#include <stdlib.h>
#include <string.h>

#include "cpython/heap.h"
#include "cpython/library.h"
#include "cpython/pause.h"
#include "graph/label.h"

/* Python objects for the proofs: an instance with attributes, one whose dict is materialised, and a generator suspended with a local. */
static const char program[] = "class Probe:\n"
                              "    def __init__(self):\n"
                              "        self.first = marker\n"
                              "        self.second = [marker]\n"
                              "inline, opened = Probe(), Probe()\n"
                              "opened.__dict__\n"
                              "table = {'a': 1, 'b': marker, 3: 4}\n"
                              "del table['a']\n"
                              "def generate(local):\n"
                              "    yield local\n"
                              "suspended = generate(marker)\n"
                              "next(suspended)\n";

typedef struct proof {
    PyObject *names, *marker;
} proof;

static PyObject *get(const proof *p, const char *name) { return PyDict_GetItemString(p->names, name); }

/* ---- dicts ---- */

static bool prove_dict(const proof *p) {
    cpy_table table;
    PyObject *dict = get(p, "table"), *key, *value;
    Py_ssize_t at = 0, i = 0;
    cpy_layout_dict(dict, &table);
    if (table.values != NULL || table.count < 2 || table.count > 8 || table.bytes < 64 || table.bytes > 1024) {
        return false;
    }
    while (PyDict_Next(dict, &at, &key, &value)) {
        while (i < table.count && cpy_table_value(&table, i) == NULL) {
            i++;
        }
        if (i >= table.count || cpy_table_key(&table, i) != key || cpy_table_value(&table, i) != value) {
            return false;
        }
        i++;
    }
    PyTypeObject *class = (PyTypeObject *)get(p, "Probe");
    return !cpy_layout_shared_keys(class, &table) || (table.count >= 2 && table.count <= 64);
}

/* ---- instances ---- */

static bool prove_inline(const proof *p) {
    cpy_instance instance;
    PyObject *inline_one = get(p, "inline"), *opened = get(p, "opened");
    if (!cpy_layout_has_managed_dict(Py_TYPE(inline_one))) {
        return true; /* there is nothing to read */
    }
    cpy_layout_instance(inline_one, &instance);
    if (instance.dict != NULL || instance.values == NULL || instance.count < 2 || instance.values[0] != p->marker ||
        !PyList_CheckExact(instance.values[1]) || instance.bytes > 1024) {
        return false;
    }
    cpy_layout_instance(opened, &instance);
    return instance.values == NULL && instance.dict != NULL && PyDict_CheckExact(instance.dict) &&
           PyDict_GET_SIZE(instance.dict) == 2;
}

/* ---- frames ---- */

static bool prove_frames(const proof *p) {
    cpy_frame frame;
    void *inner = cpy_layout_inner_frame(get(p, "suspended"));
    PyThreadState *thread = PyThreadState_Get();
    if (inner != NULL) {
        bool owned;
        cpy_layout_frame(inner, &frame);
        PyObject *function = get(p, "generate");
        if (frame.code != (PyCodeObject *)PyFunction_GetCode(function) || frame.locals_count != 1 ||
            cpy_slot_object(frame.slots[0], &owned) != p->marker) {
            return false;
        }
    }
    PyFrameObject *top = PyThreadState_GetFrame(thread);
    PyCodeObject *code = top == NULL ? NULL : PyFrame_GetCode(top), *seen = NULL;
    for (void *at = cpy_layout_top_frame(thread); at != NULL && seen == NULL; at = frame.previous) {
        cpy_layout_frame(at, &frame);
        seen = frame.owner == CPY_FRAME_SHIM ? NULL : frame.code;
    }
    bool right = seen == code;
    Py_XDECREF(code);
    Py_XDECREF(top);
    return right;
}

/* ---- the interpreter ---- */

typedef struct interpreter_proof {
    PyObject *sys, *builtins;
    int right;
} interpreter_proof;

static void compare_owned(void *context, PyObject *object, int field) {
    interpreter_proof *seen = context;
    seen->right += field == MPR_FIELD_SYSDICT && object == seen->sys;
    seen->right += field == MPR_FIELD_BUILTINS_DICT && object == seen->builtins;
    seen->right += field == MPR_FIELD_GARBAGE && object != NULL && PyList_CheckExact(object);
    seen->right += field == MPR_FIELD_CALLBACKS && object != NULL && PyList_CheckExact(object);
}

static bool prove_interpreter(void) {
    PyObject *sys = PyImport_AddModule("sys"), *builtins = PyImport_AddModule("builtins");
    interpreter_proof seen = {.sys = PyModule_GetDict(sys), .builtins = PyModule_GetDict(builtins)};
    cpy_layout_interpreter(compare_owned, &seen);
    return seen.right == 4;
}

/* ---- the cache of attribute lookups ---- */

static void compare_name(void *context, PyObject *name, int field) {
    PyObject **wanted = context; /* becomes NULL when it is found */
    (void)field;
    *wanted = name == *wanted ? NULL : *wanted;
}

/* A name that nobody has looked up stands there afterwards. */
static bool prove_attribute_cache(const proof *p) {
    PyObject *name = PyUnicode_FromString("memprobe proves"), *wanted = name;
    Py_XDECREF(name == NULL ? NULL : PyObject_GetAttr(get(p, "Probe"), name));
    PyErr_Clear();
    cpy_layout_attribute_cache(compare_name, &wanted);
    Py_XDECREF(name);
    return name != NULL && wanted == NULL;
}

/* ---- singletons ---- */

typedef struct singletons_proof {
    long next; /* small int */
    size_t count;
} singletons_proof;

/* Small ints come first, in their order. */
static void compare_int(void *context, PyObject *object, int field) {
    singletons_proof *seen = context;
    PyObject *wanted = PyLong_FromLong(seen->next);
    (void)field;
    seen->next += object == wanted;
    seen->count++;
    Py_XDECREF(wanted);
}

static bool prove_singletons(void) {
    singletons_proof seen = {.next = -5};
    cpy_layout_singletons(compare_int, &seen);
    PyErr_Clear();
    return seen.next == 257 || seen.count == 0;
}

/* ---- constants ---- */

static int look_for_constant(void *wanted) {
    cpy_layout_constants(compare_name, wanted);
    return MPR_OK;
}

/* Where code shares its constants, one that nobody else has is among them. */
static bool prove_constants(void) {
    PyObject *code = CPY_GC_HEAPS ? Py_CompileString("(31415926535, 'memprobe')", "<memprobe>", Py_eval_input) : NULL;
    PyObject *constants = code == NULL ? NULL : ((PyCodeObject *)code)->co_consts; /* the tuple is the last */
    PyObject *wanted = constants == NULL ? NULL : PyTuple_GET_ITEM(constants, PyTuple_GET_SIZE(constants) - 1);
    bool made = wanted != NULL && PyTuple_CheckExact(wanted);
    bool right = !CPY_GC_HEAPS || (made && cpy_pause_run(look_for_constant, &wanted) == MPR_OK && wanted == NULL);
    Py_XDECREF(code);
    PyErr_Clear();
    return right;
}

/* ---- all of it ---- */

static const char *const names[] = {
#define CAPABILITY_NAME(id, text) text,
    CPY_CAPABILITIES(CAPABILITY_NAME)
#undef CAPABILITY_NAME
};

const char *cpy_capability_name(cpy_capability capability) { return names[capability]; }

/* Is this capability switched off by MEMPROBE_FALLBACK, a list of names or "all"? */
static bool switched_off(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; at != NULL && *at != '\0'; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        if (strncmp(at, "all", 3) == 0 || (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0'))) {
            return true;
        }
    }
    return false;
}

static int make_objects(proof *p) {
    p->marker = PyUnicode_FromString("memprobe marker");
    p->names = Py_BuildValue("{sOsOss}", "marker", p->marker, "__builtins__", PyEval_GetBuiltins(), "__name__", "memprobe._proof");
    PyObject *done = p->names == NULL ? NULL : PyRun_String(program, Py_file_input, p->names, p->names);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* The destructor of every struct sequence: that of one which the interpreter makes, for what sys has could be anything. (PyThread_GetInfo is not for
 * this: a debug build allows one call of it.) */
static destructor dealloc_of_records(void) {
    PyObject *record = PyLong_GetInfo();
    destructor found = record == NULL ? NULL : Py_TYPE(record)->tp_dealloc;
    Py_XDECREF(record);
    PyErr_Clear();
    return found;
}

int cpy_selfcheck(cpy_proofs *out) {
    proof p = {0};
    memset(out, 0, sizeof *out);
    if (make_objects(&p) < 0) {
        Py_XDECREF(p.names);
        Py_XDECREF(p.marker);
        return -1;
    }
    out->can[CPY_CAN_GC_LISTS] = cpy_heap_prove(get(&p, "inline"));
    out->can[CPY_CAN_DICT] = prove_dict(&p);
    out->can[CPY_CAN_INLINE] = out->can[CPY_CAN_DICT] && prove_inline(&p);
    out->can[CPY_CAN_FRAMES] = prove_frames(&p);
    out->can[CPY_CAN_INTERPRETER] = prove_interpreter();
    out->can[CPY_CAN_ATTRIBUTE_CACHE] = prove_attribute_cache(&p);
    out->can[CPY_CAN_SINGLETONS] = prove_singletons() && prove_constants();
    out->can[CPY_CAN_POOLS] = cpy_layout_has_pools();
    out->instance_dealloc = ((PyTypeObject *)get(&p, "Probe"))->tp_dealloc;
    out->record_dealloc = dealloc_of_records();
    const char *fallback = getenv("MEMPROBE_FALLBACK");
    for (int i = 0; i < CPY_CAPABILITY_COUNT; i++) {
        out->can[i] = out->can[i] && !switched_off(fallback, names[i]);
    }
    PyDict_Clear(p.names);
    Py_DECREF(p.names);
    Py_DECREF(p.marker);
    cpy_library_check(out->library);
    return 0;
}
