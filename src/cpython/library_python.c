/* SPDX-License-Identifier: MIT
 * C types of the standard library. */
#include <string.h>
#include <sys/stat.h>

#include "cpython/library.h"
#include "graph/label.h"

#define BUFFERED "T(__import__('_io').BytesIO(b''), 12345)"
#define INDEX ((mpr_label)MPR_LABEL_INDEX << 28)

/* ---- collections ---- */

#define DEQUE_BLOCK (66 * sizeof(PyObject *)) /* link to the left, 64 items, link to the right */

/* Give the blocks of a deque: `linked` from the left one on, whose right link leads to the next, and the spare ones. The outer links of the
 * blocks at the ends are not set. */
static void give_deque_blocks(PyObject *object, size_t linked, size_t spare, cpy_blocks *blocks) {
    PyObject *block = WORD(object, 3), *last = WORD(object, 4);
    for (size_t i = 0; i < linked && block != NULL; i++) {
        cpy_block(blocks, block, DEQUE_BLOCK);
        block = block == last ? NULL : BLOCK_WORD(block, 65);
    }
    for (size_t i = 0; i < spare; i++) {
        cpy_block(blocks, WORD(object, 10 + i), DEQUE_BLOCK);
    }
}

/* { ob_size, left block, right block, left index, right index, state, maxlen, free blocks, these [16] ... }; until 3.11 all deques share
 * the free blocks, and the references of weak references, NULL or a pointer, are in the place of their number. */
static size_t owned_deque(PyObject *object, cpy_blocks *blocks) {
    size_t length = (size_t)Py_SIZE(object), left = SIZE_WORD(object, 5);
    size_t linked = length == 0 ? 1 : (left % 64 + length + 63) / 64;
    size_t spare = SIZE_WORD(object, 9) <= 16 ? SIZE_WORD(object, 9) : 0;
    if (cpy_blocks_want_all(blocks)) {
        give_deque_blocks(object, linked, spare, blocks);
    }
    return (linked + spare) * DEQUE_BLOCK;
}

static bool bounded_deque(PyObject *object) { return (Py_ssize_t)SIZE_WORD(object, 8) >= 0; }

static bool check_deque(PyObject *deque) { return owned_deque(deque, NULL) == 3 * DEQUE_BLOCK && !bounded_deque(deque); }

#define ODICT_NODE (4 * sizeof(PyObject *))

/* A dict whose order is a list of nodes { key, hash, next, previous }, found by an array as long as the table:
 * { dict, first, last, array, its length ... } */
static size_t owned_odict(PyObject *object, cpy_blocks *blocks) {
    size_t nodes = (size_t)PyDict_GET_SIZE(object), index = WORD(object, 8) == NULL ? 0 : SIZE_WORD(object, 9);
    PyObject *node = cpy_blocks_want_all(blocks) ? WORD(object, 6) : NULL;
    for (size_t i = 0; i < nodes && node != NULL; i++) {
        cpy_block(blocks, node, ODICT_NODE);
        node = BLOCK_WORD(node, 2);
    }
    return cpy_owned_dict(object, blocks) + nodes * ODICT_NODE + cpy_block(blocks, WORD(object, 8), index * sizeof(PyObject *));
}

static bool check_odict(PyObject *odict) { return WORD(odict, 8) != NULL && SIZE_WORD(odict, 9) == 256; }

/* ---- buffers ---- */

/* { ob_size, items, allocated, descriptor { typecode, item size } } */
static size_t owned_array(PyObject *object, cpy_blocks *blocks) {
    const void *descriptor = WORD(object, 5);
    return cpy_leaf_block(blocks, WORD(object, 3), SIZE_WORD(object, 4) * (size_t)((const int *)descriptor)[1]);
}

static bool check_array(PyObject *array) { return ((const int *)WORD(array, 5))[1] == 8 && SIZE_WORD(array, 4) >= 100; }

/* { buffer (a bytes object), position, length ... } */
static void edges_bytesio(cpy_emit *emit, PyObject *object) {
    cpy_emit_word(emit, object, CPY_WORD(2), mpr_label_field(MPR_FIELD_BUFFER));
}

static bool check_bytesio(PyObject *io) {
    return WORD(io, 2) != NULL && PyBytes_CheckExact(WORD(io, 2)) && SIZE_WORD(io, 4) == 100;
}

/* { characters, position, length, allocated characters ... } */
static size_t owned_stringio(PyObject *object, cpy_blocks *blocks) {
    return WORD(object, 2) == NULL ? 0 : cpy_block(blocks, WORD(object, 2), SIZE_WORD(object, 5) * sizeof(Py_UCS4));
}

enum { STRINGIO_ACCUMULATES = 2 };

static PyObject *text_of_stringio(PyObject *object) {
    bool accumulates = INT(object, 12) == STRINGIO_ACCUMULATES;
    return accumulates ? cpy_layout_accumulated(object) : NULL;
}

/* What was only written to has its text in a str that nobody visits (since 3.12). */
static void edges_stringio(cpy_emit *emit, PyObject *object) {
    cpy_emit_reference(emit, text_of_stringio(object), mpr_label_field(MPR_FIELD_BUFFER));
}

/* A pair: read from, and written to. */
static bool check_stringio(PyObject *pair) {
    PyObject *io = PyTuple_GET_ITEM(pair, 0), *writer = PyTuple_GET_ITEM(pair, 1), *written = text_of_stringio(writer);
    const Py_UCS4 *text = (const Py_UCS4 *)WORD(io, 2);
    bool reads = text != NULL && SIZE_WORD(io, 4) == 100 && SIZE_WORD(io, 5) >= 100 && SIZE_WORD(io, 5) < 1000;
    return reads && text_of_stringio(io) == NULL && written != NULL &&
           (Py_TYPE(written) == &PyUnicode_Type || Py_TYPE(written) == &PyList_Type);
}

/* { pointer, must free, base, size, length, index, objects, value }. A value of up to 16 bytes is in the body, and counted there: the pointer
 * says so. */
static size_t owned_cdata(PyObject *object, cpy_blocks *blocks) {
    size_t offset = SIZE_WORD(object, 2) - (size_t)object;
    bool own = INT(object, 6) != 0, in_body = offset < (size_t)Py_TYPE(object)->tp_basicsize;
    return own && !in_body ? cpy_block(blocks, WORD(object, 2), SIZE_WORD(object, 5)) : 0;
}

static bool check_cdata(PyObject *data) { return SIZE_WORD(data, 5) == 1000 && INT(data, 6) == 1; }

/* ---- locks ---- */

/* A lock that PyThread_allocate_lock gave stands in the first word; later the lock itself does, a byte. */
static size_t owned_lock(PyObject *object, cpy_blocks *blocks) {
    return SIZE_WORD(object, 2) > UINT16_MAX ? cpy_block(blocks, WORD(object, 2), sizeof(sem_t)) : 0;
}

static bool check_lock(PyObject *lock) { return SIZE_WORD(lock, 2) % sizeof(void *) == 0 && Py_TYPE(lock)->tp_basicsize <= 64; }

/* Until 3.12 { lock, locked, list ... }; then a ring { .., put, get, items, room, count }. */
static size_t owned_queue(PyObject *object, cpy_blocks *blocks) {
    return CPY_QUEUE_IS_RING ? cpy_block(blocks, WORD(object, 5), SIZE_WORD(object, 6) * sizeof(PyObject *))
                             : owned_lock(object, blocks);
}

static bool check_queue(PyObject *queue) {
    bool has_words = (size_t)Py_TYPE(queue)->tp_basicsize >= CPY_WORD(CPY_QUEUE_IS_RING ? 9 : 3) * sizeof(size_t);
    if (!CPY_QUEUE_IS_RING || !has_words) {
        return has_words && check_lock(queue) && owned_lock(queue, NULL) != 0;
    }
    return SIZE_WORD(queue, 3) == 100 && SIZE_WORD(queue, 6) == 128 && SIZE_WORD(queue, 7) == 100;
}

/* ---- files ---- */

/* { raw, flags ..., buffer (NULL once it is closed), four positions, .., lock, its owner, size, mask ... } */
static size_t owned_buffered(PyObject *object, cpy_blocks *blocks) {
    size_t buffer = WORD(object, 7) != NULL ? cpy_block(blocks, WORD(object, 7), SIZE_WORD(object, 15)) : 0;
    return buffer + (WORD(object, 13) != NULL ? cpy_block(blocks, WORD(object, 13), CPY_THREAD_LOCK_BYTES) : 0);
}

static bool check_buffered(PyObject *file) {
    return SIZE_WORD(file, 15) == 12345 && WORD(file, 7) != NULL && WORD(file, 13) != NULL &&
           (SIZE_WORD(file, 7) | SIZE_WORD(file, 13)) % sizeof(void *) == 0;
}

/* { descriptor, flags, what fstat() said while it is open (or the block size) ... } */
static size_t owned_fileio(PyObject *object, cpy_blocks *blocks) {
    return CPY_FILEIO_KEEPS_STAT && WORD(object, 3) != NULL ? cpy_block(blocks, WORD(object, 3), sizeof(struct stat)) : 0;
}

/* A file that is open; it is closed here. */
static bool check_fileio(PyObject *file) {
    bool opened = owned_fileio(file, NULL) > 0 && SIZE_WORD(file, 3) % sizeof(void *) == 0;
    PyObject *done = PyObject_CallMethod(file, "close", NULL);
    Py_XDECREF(done);
    return done != NULL && opened && owned_fileio(file, NULL) == 0;
}

/* ---- trees ---- */

/* { tag, text, tail, more ... }, more: NULL or { attributes, length, allocated, children, the first four of them } */
static size_t owned_element(PyObject *object, cpy_blocks *blocks) {
    const size_t *more = (const size_t *)WORD(object, 5);
    if (more == NULL) {
        return 0;
    }
    bool apart = more[3] != (size_t)&more[4];
    size_t children = apart ? cpy_block(blocks, (const void *)more[3], more[2] * sizeof(PyObject *)) : 0;
    return cpy_block(blocks, more, 8 * sizeof(size_t)) + children;
}

/* A pair: an element without children and one with a hundred. */
static bool check_element(PyObject *pair) {
    PyObject *leaf = PyTuple_GET_ITEM(pair, 0), *full = PyTuple_GET_ITEM(pair, 1);
    const size_t *more = (const size_t *)WORD(full, 5);
    bool right = WORD(leaf, 5) == NULL && more != NULL && (size_t)more % sizeof(void *) == 0;
    return right && more[1] == 100 && more[2] >= 100 && more[2] < 200 && ((PyObject **)more[3])[0] == leaf;
}

/* ---- numbers and times ---- */

/* { hash, { flags, exponent, digits, length, allocated, words } , words inside [4] } */
static size_t owned_decimal(PyObject *object, cpy_blocks *blocks) {
    bool inside = (const char *)WORD(object, 8) == CPY_BODY(object) + 72;
    return inside ? 0 : cpy_block(blocks, WORD(object, 8), SIZE_WORD(object, 7) * sizeof(size_t));
}

static bool check_decimal(PyObject *decimal) { return SIZE_WORD(decimal, 5) == 200 && SIZE_WORD(decimal, 7) >= 11; }

/* { hash, has a time zone, data ..., time zone }: the last word of the body, if the flag says that the object is that long */
static void emit_zone(cpy_emit *emit, PyObject *object, uint32_t word) {
    if (BYTE(object, 24) != 0) {
        cpy_emit_word(emit, object, CPY_WORD(word), mpr_label_field(MPR_FIELD_TZINFO));
    }
}

static void edges_datetime(cpy_emit *emit, PyObject *object) { emit_zone(emit, object, 5); }
static void edges_time(cpy_emit *emit, PyObject *object) { emit_zone(emit, object, 4); }
static bool check_datetime(PyObject *time) { return WORD(time, 5) != NULL && BYTE(time, 24) == 1; }
static bool check_time(PyObject *time) { return WORD(time, 4) != NULL && BYTE(time, 24) == 1; }

/* { offset, name or NULL }, and no tp_traverse */
static bool check_timezone(PyObject *zone) {
    return WORD(zone, 2) != NULL && strcmp(Py_TYPE(WORD(zone, 2))->tp_name, "datetime.timedelta") == 0 && WORD(zone, 3) != NULL &&
           PyUnicode_CheckExact(WORD(zone, 3));
}

/* A naive datetime is allocated without the time zone's word. */
static size_t body_datetime(PyObject *object, PyTypeObject *type) {
    bool short_one = BYTE(object, 24) == 0 && !cpy_is_python_class(type);
    return (size_t)type->tp_basicsize - (short_one ? sizeof(PyObject *) : 0);
}

/* ---- others ---- */

/* { size, length, codes [{ definition, offset, size, repeat }], format } */
static size_t owned_struct(PyObject *object, cpy_blocks *blocks) {
    size_t codes = 1;
    const size_t *code = (const size_t *)WORD(object, 4);
    for (; code != NULL && code[0] != 0 && codes < 100000; code += 4) {
        codes++;
    }
    return cpy_block(blocks, WORD(object, 4), codes * 4 * sizeof(size_t));
}

static bool check_struct(PyObject *s) { return SIZE_WORD(s, 2) == 12 && SIZE_WORD(s, 3) == 2 && owned_struct(s, NULL) == 96; }

static void edges_struct(cpy_emit *emit, PyObject *object) {
    cpy_emit_word(emit, object, CPY_WORD(5), mpr_label_field(MPR_FIELD_FORMAT));
}

/* The list of a bounded lru_cache owns its links, { previous, next, hash, key, result }, beside the dict that finds them; tp_traverse
 * visits what the links hold. The wrapper begins with the list's root. */
static void edges_lru(cpy_emit *emit, PyObject *object) {
    for (PyObject *link = WORD(object, 3); link != NULL && link != object; link = WORD(link, 3)) {
        cpy_emit_reference(emit, link, mpr_label_field(MPR_FIELD_CACHE_ENTRY));
    }
}

static bool check_lru(PyObject *wrapper) {
    PyObject *link = WORD(wrapper, 3);
    return link != NULL && link != wrapper && WORD(link, 2) == wrapper && WORD(link, 3) == wrapper && Py_REFCNT(link) == 2;
}

/* ---- the table ---- */

static const struct cpy_place places_defaultdict[] = {WORD_PLACE(6, DEFAULT_FACTORY), END};
static const struct cpy_place places_timezone[] = {WORD_PLACE(2, UTC_OFFSET), WORD_PLACE(3, ZONE_NAME), END};
static const struct cpy_place places_partial[] = {WORD_PLACE(2, PARTIAL_FUNC), WORD_PLACE(3, ARGS), WORD_PLACE(4, KEYWORDS), END};

const cpy_library cpy_library_python[] = {
    {{.name = "collections.deque", .owned = owned_deque, .bounded = bounded_deque, .loose = INDEX},
     "_collections",
     "deque",
     "T(range(150))",
     check_deque},
    {{.name = "collections.OrderedDict", .owned = owned_odict, .edges = cpy_emit_dict},
     "_collections",
     "OrderedDict",
     "T.fromkeys(range(100))",
     check_odict},
    {{.name = "array.array", .owned = owned_array}, "array", "array", "T('d', [0.0]) * 100", check_array},
    {{.name = "_io.BytesIO", .owned = cpy_owned_nothing, .edges = edges_bytesio}, "_io", "BytesIO", "T(b'x' * 100)", check_bytesio},
    {{.name = "_io.StringIO", .owned = owned_stringio, .edges = edges_stringio},
     "_io",
     "StringIO",
     "(lambda s, w: (s.read(1), w.write('x' * 100), w.write('y'), (s, w))[3])(T('x' * 100), T())",
     check_stringio},
    {{.name = "_ctypes._CData", .owned = owned_cdata, .addresses = true},
     "_ctypes",
     "Array",
     "(__import__('ctypes').c_char * 1000)()",
     check_cdata},
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
    {{.name = "datetime.timezone", .places = places_timezone},
     "_datetime",
     "timezone",
     "T(__import__('datetime').timedelta(0, 60), 'one minute')",
     check_timezone},
    {{.name = "_struct.Struct", .owned = owned_struct, .edges = edges_struct}, "_struct", "Struct", "T('<id')", check_struct},
    {{.name = "functools._lru_cache_wrapper", .edges = edges_lru, .ignored = "functools._lru_list_elem"},
     "_functools",
     "_lru_cache_wrapper",
     "(lambda f: (f('x'), f)[1])(T(lambda x: x, 8, False, __import__('collections').namedtuple('C', 'a b c d')))",
     check_lru},
    {{.name = "_thread.lock", .owned = owned_lock}, "_thread", "LockType", "__import__('_thread').allocate_lock()", check_lock},
    {{.name = "_thread.RLock", .owned = owned_lock}, "_thread", "RLock", "T()", check_lock},
    {{.name = "_queue.SimpleQueue", .owned = owned_queue},
     "_queue",
     "SimpleQueue",
     "(lambda q: ([q.put(i) for i in range(100)], q)[1])(T())",
     check_queue},
    {{.name = "_io.BufferedReader", .owned = owned_buffered}, "_io", "BufferedReader", BUFFERED, check_buffered},
    {{.name = "_io.BufferedWriter", .owned = owned_buffered}, "_io", "BufferedWriter", BUFFERED, check_buffered},
    {{.name = "_io.BufferedRandom", .owned = owned_buffered}, "_io", "BufferedRandom", BUFFERED, check_buffered},
    {{.name = "_io.FileIO", .owned = owned_fileio}, "_io", "FileIO", "T('/dev/null')", CPY_FILEIO_KEEPS_STAT ? check_fileio : NULL},
    {{.name = "xml.etree.ElementTree.Element", .owned = owned_element},
     "_elementtree",
     "Element",
     "(lambda leaf, full: (full.extend([leaf] * 100), (leaf, full))[1])(T('a'), T('a'))",
     check_element},
    {{.name = "collections.defaultdict", .owned = cpy_owned_dict, .edges = cpy_emit_dict, .places = places_defaultdict},
     NULL,
     NULL,
     NULL,
     NULL},
    {{.name = "functools.partial", .places = places_partial}, NULL, NULL, NULL, NULL},
    {{.name = NULL}, NULL, NULL, NULL, NULL},
};
