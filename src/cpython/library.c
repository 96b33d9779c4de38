/* SPDX-License-Identifier: MIT
 * C types of the standard library, and numpy's arrays, by layouts that no header gives. A row is used only after its check: an object of
 * the type is made with contents that are known, and the formula must find them. Types are found by name in modules that the program has
 * loaded; nothing is imported. */
#include "cpython/kinds.h"

#include <string.h>

#include "graph/label.h"

#define WORD(object, n) (((PyObject **)(object))[n])
#define SIZE_WORD(object, n) (((const size_t *)(object))[n])
#define WORD_PLACE(n, name) {(uint16_t)((n) * sizeof(PyObject *)), MPR_FIELD_##name}
#define END {0, 0}
#define INDEX ((mpr_label)MPR_LABEL_INDEX << 28)

/* ---- collections ---- */

#define DEQUE_BLOCK (66 * sizeof(PyObject *)) /* 64 items and two links */

/* { ob_size, left block, right block, left index, right index, state, maxlen, free blocks ... } */
static size_t owned_deque(PyObject *object) {
    size_t length = (size_t)Py_SIZE(object), left = SIZE_WORD(object, 5);
    size_t blocks = length == 0 ? 1 : (left % 64 + length + 63) / 64;
    size_t spare = SIZE_WORD(object, 9);
    return (blocks + (spare <= 16 ? spare : 0)) * DEQUE_BLOCK;
}

static bool bounded_deque(PyObject *object) { return (Py_ssize_t)SIZE_WORD(object, 8) >= 0; }

static bool check_deque(PyObject *deque) { return owned_deque(deque) == 3 * DEQUE_BLOCK && !bounded_deque(deque); }

/* A dict whose order is a list of nodes { key, hash, next, previous }, found by an array as long as the table:
 * { dict, first, last, array, its length ... } */
static size_t owned_odict(PyObject *object) {
    size_t nodes = (size_t)PyDict_GET_SIZE(object), index = WORD(object, 8) == NULL ? 0 : SIZE_WORD(object, 9);
    return cpy_owned_dict(object) + nodes * 4 * sizeof(PyObject *) + index * sizeof(PyObject *);
}

static bool check_odict(PyObject *odict) { return WORD(odict, 8) != NULL && SIZE_WORD(odict, 9) == 256; }

/* ---- buffers ---- */

/* { ob_size, items, allocated, descriptor { typecode, item size } } */
static size_t owned_array(PyObject *object) {
    const void *descriptor = WORD(object, 5);
    return SIZE_WORD(object, 4) * (size_t)((const int *)descriptor)[1];
}

static const void *bulk_array(PyObject *object, size_t *size) {
    *size = owned_array(object);
    return WORD(object, 3);
}

static bool check_array(PyObject *array) { return ((const int *)WORD(array, 5))[1] == 8 && SIZE_WORD(array, 4) >= 100; }

/* { buffer (a bytes object), position, length ... } */
static void edges_bytesio(cpy_walk *walk, PyObject *object) {
    (void)object;
    cpy_edges_word(walk, 2, mpr_label_field(MPR_FIELD_BUFFER));
}

static bool check_bytesio(PyObject *io) {
    return WORD(io, 2) != NULL && PyBytes_CheckExact(WORD(io, 2)) && SIZE_WORD(io, 4) == 100;
}

/* { characters, position, length, allocated characters ... } */
static size_t owned_stringio(PyObject *object) { return WORD(object, 2) == NULL ? 0 : SIZE_WORD(object, 5) * sizeof(Py_UCS4); }

enum { STRINGIO_ACCUMULATES = 2 };

static PyObject *text_of_stringio(PyObject *object) {
    bool accumulates = ((const int *)object)[12] == STRINGIO_ACCUMULATES;
    return accumulates ? cpy_layout_accumulated(object) : NULL;
}

/* What was only written to has its text in a str that nobody visits (since 3.12). */
static void edges_stringio(cpy_walk *walk, PyObject *object) {
    cpy_walk_tell(walk, text_of_stringio(object), mpr_label_field(MPR_FIELD_BUFFER));
}

/* A pair: read from, and written to. */
static bool check_stringio(PyObject *pair) {
    PyObject *io = PyTuple_GET_ITEM(pair, 0), *writer = PyTuple_GET_ITEM(pair, 1), *written = text_of_stringio(writer);
    const Py_UCS4 *text = (const Py_UCS4 *)WORD(io, 2);
    bool reads = text != NULL && SIZE_WORD(io, 4) == 100 && SIZE_WORD(io, 5) >= 100 && SIZE_WORD(io, 5) < 1000;
    return reads && text_of_stringio(io) == NULL && written != NULL &&
           (Py_TYPE(written) == &PyUnicode_Type || Py_TYPE(written) == &PyList_Type);
}

/* { pointer, must free, base, size, length, index, objects, value } */
static size_t owned_cdata(PyObject *object) {
    bool own = ((const int *)object)[6] != 0, inside = (char *)WORD(object, 2) == (char *)object + 72;
    return own && !inside ? SIZE_WORD(object, 5) : 0;
}

static bool check_cdata(PyObject *data) { return SIZE_WORD(data, 5) == 1000 && ((const int *)data)[6] == 1; }

/* ---- numbers and times ---- */

/* { hash, { flags, exponent, digits, length, allocated, words } , words inside [4] } */
static size_t owned_decimal(PyObject *object) {
    size_t allocated = SIZE_WORD(object, 7);
    return (const char *)WORD(object, 8) == (const char *)object + 72 ? 0 : allocated * sizeof(size_t);
}

static bool check_decimal(PyObject *decimal) { return SIZE_WORD(decimal, 5) == 200 && SIZE_WORD(decimal, 7) >= 11; }

/* { hash, has a time zone, data ..., time zone }: the last word of the body, if the flag says that the object is that long */
static void tell_zone(cpy_walk *walk, PyObject *object, uint32_t word) {
    if (((const char *)object)[24] != 0) {
        cpy_edges_word(walk, word, mpr_label_field(MPR_FIELD_TZINFO));
    }
}

static void edges_datetime(cpy_walk *walk, PyObject *object) { tell_zone(walk, object, 5); }
static void edges_time(cpy_walk *walk, PyObject *object) { tell_zone(walk, object, 4); }
static bool check_datetime(PyObject *time) { return WORD(time, 5) != NULL && ((const char *)time)[24] == 1; }
static bool check_time(PyObject *time) { return WORD(time, 4) != NULL && ((const char *)time)[24] == 1; }

/* A naive datetime is allocated without the time zone's word. */
static size_t body_datetime(PyObject *object, PyTypeObject *type) {
    bool short_one = ((const char *)object)[24] == 0 && !cpy_is_python_class(type);
    return (size_t)type->tp_basicsize - (short_one ? sizeof(PyObject *) : 0);
}

/* ---- others ---- */

/* { size, length, codes [{ definition, offset, size, repeat }], format } */
static size_t owned_struct(PyObject *object) {
    size_t codes = 1;
    const size_t *code = (const size_t *)WORD(object, 4);
    for (; code != NULL && code[0] != 0 && codes < 100000; code += 4) {
        codes++;
    }
    return codes * 4 * sizeof(size_t);
}

static bool check_struct(PyObject *s) { return SIZE_WORD(s, 2) == 12 && SIZE_WORD(s, 3) == 2 && owned_struct(s) == 96; }

static void edges_struct(cpy_walk *walk, PyObject *object) {
    (void)object;
    cpy_edges_word(walk, 5, mpr_label_field(MPR_FIELD_FORMAT));
}

/* The list of a bounded lru_cache owns its links, { previous, next, hash, key, result }, beside the dict that finds them; tp_traverse
 * visits what the links hold. The wrapper begins with the list's root. */
static void edges_lru(cpy_walk *walk, PyObject *object) {
    for (PyObject *link = WORD(object, 3); link != NULL && link != object; link = WORD(link, 3)) {
        cpy_walk_tell(walk, link, mpr_label_field(MPR_FIELD_CACHE_ENTRY));
    }
}

static bool check_lru(PyObject *wrapper) {
    PyObject *link = WORD(wrapper, 3);
    return link != NULL && link != wrapper && WORD(link, 2) == wrapper && WORD(link, 3) == wrapper && Py_REFCNT(link) == 2;
}

/* numpy's array, whose head is numpy's stable binary interface:
 * { data, dimensions, shape, strides, base, descriptor, flags ... } */
enum { NUMPY_C_ORDER = 1, NUMPY_F_ORDER = 2, NUMPY_OWNS = 4 };

static size_t numpy_bytes(PyObject *object) {
    int dimensions = ((const int *)object)[6];
    const Py_ssize_t *shape = (const Py_ssize_t *)WORD(object, 4), *strides = (const Py_ssize_t *)WORD(object, 5);
    size_t bytes = dimensions == 0 ? sizeof(double) : 0;
    for (int i = 0; i < dimensions; i++) {
        size_t span = (size_t)shape[i] * (size_t)(strides[i] < 0 ? -strides[i] : strides[i]);
        bytes = span > bytes ? span : bytes;
    }
    return bytes;
}

static size_t owned_numpy(PyObject *object) {
    bool owns = (((const int *)object)[16] & NUMPY_OWNS) != 0;
    size_t shape = (size_t)((const int *)object)[6] * 2 * sizeof(Py_ssize_t);
    return shape + (owns ? numpy_bytes(object) : 0);
}

/* Where it is sure that the data are one piece: of an array that owns them, of numbers, without gaps. */
static const void *bulk_numpy(PyObject *object, size_t *size) {
    int flags = ((const int *)object)[16];
    bool sure = (flags & NUMPY_OWNS) != 0 && (flags & (NUMPY_C_ORDER | NUMPY_F_ORDER)) != 0;
    *size = sure && strchr("biufcmMSU", ((const char *)WORD(object, 7))[24]) != NULL ? numpy_bytes(object) : 0;
    return WORD(object, 2);
}

static void edges_numpy(cpy_walk *walk, PyObject *object) {
    PyObject *base = WORD(object, 6), *descriptor = WORD(object, 7);
    cpy_walk_tell(walk, base, mpr_label_field(MPR_FIELD_NUMPY_BASE));
    cpy_walk_tell(walk, descriptor, mpr_label_field(MPR_FIELD_DTYPE));
    if (((const char *)descriptor)[24] == 'O' && (((const int *)object)[16] & NUMPY_OWNS) != 0) {
        cpy_edges_items(walk, (PyObject *const *)WORD(object, 2), (Py_ssize_t)(numpy_bytes(object) / sizeof(PyObject *)), false);
    }
}

static bool check_numpy(PyObject *array) {
    return ((const int *)array)[6] == 2 && ((const Py_ssize_t *)WORD(array, 4))[0] == 7 &&
           ((const Py_ssize_t *)WORD(array, 4))[1] == 3 && numpy_bytes(array) == 7 * 3 * sizeof(double) &&
           (((const int *)array)[16] & NUMPY_OWNS) != 0 && ((const char *)WORD(array, 7))[24] == 'f';
}

static size_t owned_nothing(PyObject *object) {
    (void)object;
    return 0;
}

/* ---- the table ---- */

static const struct cpy_place places_defaultdict[] = {WORD_PLACE(6, DEFAULT_FACTORY), END};
static const struct cpy_place places_partial[] = {WORD_PLACE(2, PARTIAL_FUNC), WORD_PLACE(3, ARGS), WORD_PLACE(4, KEYWORDS), END};

typedef struct library_row {
    cpy_kind kind;
    const char *module, *attribute; /* where a program that uses the type has it */
    const char *sample;             /* an expression, with T the type, that makes the object to check; NULL: nothing to prove */
    bool (*check)(PyObject *sample);
} library_row;

static const library_row rows[] = {
    {{.name = "collections.deque", .owned = owned_deque, .bounded = bounded_deque, .loose = INDEX},
     "_collections",
     "deque",
     "T(range(150))",
     check_deque},
    {{.name = "collections.OrderedDict", .owned = owned_odict, .edges = cpy_edges_any_dict},
     "_collections",
     "OrderedDict",
     "T.fromkeys(range(100))",
     check_odict},
    {{.name = "array.array", .owned = owned_array, .bulk = bulk_array}, "array", "array", "T('d', [0.0]) * 100", check_array},
    {{.name = "_io.BytesIO", .owned = owned_nothing, .edges = edges_bytesio}, "_io", "BytesIO", "T(b'x' * 100)", check_bytesio},
    {{.name = "_io.StringIO", .owned = owned_stringio, .edges = edges_stringio},
     "_io",
     "StringIO",
     "(lambda s, w: (s.read(1), w.write('x' * 100), w.write('y'), (s, w))[3])(T('x' * 100), T())",
     check_stringio},
    {{.name = "_ctypes._CData", .owned = owned_cdata}, "_ctypes", "Array", "(__import__('ctypes').c_char * 1000)()", check_cdata},
    {{.name = "decimal.Decimal", .owned = owned_decimal}, "_decimal", "Decimal", "T('1' * 200)", check_decimal},
    {{.name = "datetime.datetime", .body = body_datetime, .edges = edges_datetime},
     "_datetime",
     "datetime",
     "T(2000, 1, 1, tzinfo=__import__('datetime').timezone.utc)",
     check_datetime},
    {{.name = "datetime.time", .body = body_datetime, .edges = edges_time},
     "_datetime",
     "time",
     "T(1, tzinfo=__import__('datetime').timezone.utc)",
     check_time},
    {{.name = "_struct.Struct", .owned = owned_struct, .edges = edges_struct}, "_struct", "Struct", "T('<id')", check_struct},
    {{.name = "functools._lru_cache_wrapper", .edges = edges_lru, .ignored = "functools._lru_list_elem"},
     "_functools",
     "_lru_cache_wrapper",
     "(lambda f: (f('x'), f)[1])(T(lambda x: x, 8, False, __import__('collections').namedtuple('C', 'a b c d')))",
     check_lru},
    {{.name = "numpy.ndarray", .owned = owned_numpy, .bulk = bulk_numpy, .edges = edges_numpy},
     "numpy",
     "ndarray",
     "T((7, 3))",
     check_numpy},
    {{.name = "collections.defaultdict", .owned = cpy_owned_dict, .edges = cpy_edges_any_dict, .places = places_defaultdict},
     NULL,
     NULL,
     NULL,
     NULL},
    {{.name = "functools.partial", .places = places_partial}, NULL, NULL, NULL, NULL},
};

#define ROWS (sizeof rows / sizeof *rows)

const cpy_kind *cpy_library_row(PyTypeObject *type, const signed char *proved) {
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].kind.name, type->tp_name) == 0) {
            return proved[i] > 0 || rows[i].check == NULL ? &rows[i].kind : NULL;
        }
    }
    return NULL;
}

bool cpy_library_unproved(PyTypeObject *type, const signed char *proved) {
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].check != NULL && proved[i] <= 0 && strcmp(rows[i].kind.name, type->tp_name) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- proof ---- */

static PyObject *sample_of(const library_row *row, PyObject *type) {
    PyObject *names = Py_BuildValue("{sOsO}", "T", type, "__builtins__", PyEval_GetBuiltins());
    PyObject *sample = names == NULL ? NULL : PyRun_String(row->sample, Py_eval_input, names, names);
    Py_XDECREF(names);
    return sample;
}

/* The type, if the program has loaded its module and nobody has put something else in its place. */
static PyObject *loaded_type(const library_row *row) {
    PyObject *modules = PyImport_GetModuleDict(), *module = PyDict_GetItemString(modules, row->module);
    if (module == NULL || !PyModule_Check(module)) {
        return NULL;
    }
    PyObject *type = PyDict_GetItemString(PyModule_GetDict(module), row->attribute);
    bool right = type != NULL && PyType_Check(type) && !cpy_is_python_class((PyTypeObject *)type);
    return right ? type : NULL;
}

void cpy_library_check(signed char *proved) {
    for (size_t i = 0; i < ROWS; i++) {
        if (proved[i] != 0 || rows[i].check == NULL) {
            continue;
        }
        PyObject *type = loaded_type(&rows[i]);
        if (type != NULL) {
            PyObject *sample = sample_of(&rows[i], type);
            proved[i] = sample != NULL && rows[i].check(sample) ? 1 : -1;
            Py_XDECREF(sample);
            PyErr_Clear();
        }
    }
}

size_t cpy_library_failed(const signed char *proved, const char **names, size_t most) {
    size_t count = 0;
    for (size_t i = 0; i < ROWS && count < most; i++) {
        if (proved[i] < 0) {
            names[count++] = rows[i].kind.name;
        }
    }
    return count;
}

_Static_assert(ROWS <= CPY_LIBRARY_MAX, "proved has an entry for every row");
