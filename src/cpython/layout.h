/* SPDX-License-Identifier: MIT
 * The interpreter's private layouts, as small structs with one meaning in every version. Nothing else in memprobe knows an offset of
 * CPython. Each capability is proved at import by selfcheck.c on objects that it makes itself; one that is not proved is not used, and the
 * capture says so (law 4). MEMPROBE_FALLBACK=name[,name...] or =all switches capabilities off, to test the other path.
 *
 * Used by the layers facts and above. */
#ifndef CPY_LAYOUT_H
#define CPY_LAYOUT_H

#include "cpython/compat.h"
#include "native/block.h"

#include <stddef.h>

/* One private source of truth each. */
#define CPY_CAPABILITIES(X)                                                                                                                \
    X(GC_LISTS, "gc_lists")   /* the collector's lists or heaps; else gc.get_objects(), without frozen objects */                          \
    X(DICT, "dict")           /* tables of dicts and shared keys; else PyDict_Next, and sizes estimated */                                 \
    X(INLINE, "inline")       /* inline values and managed dicts; else tp_traverse alone, and attributes by offset */                      \
    X(FRAMES, "frames")       /* frames of running threads; else PyFrame_GetLocals before the walk */                                      \
    X(INTERPRETER, "interpreter") /* fields of the interpreter state; else sys.modules alone */                                            \
    X(ATTRIBUTE_CACHE, "attribute_cache") /* names in the cache of attribute lookups; else they are held by C code */                      \
    X(SINGLETONS,                                                                                                                          \
      "singletons") /* small ints, strings and bytes of one character (3.10), constants of code (without a GIL); else C code holds them */ \
    X(POOLS,                                                                                                                               \
      "pools") /* blocks of small objects are in pools of pymalloc; else untracked objects that C code alone holds are not found */

typedef enum cpy_capability {
#define CPY_CAPABILITY_ENUM(id, text) CPY_CAN_##id,
    CPY_CAPABILITIES(CPY_CAPABILITY_ENUM)
#undef CPY_CAPABILITY_ENUM
        CPY_CAPABILITY_COUNT
} cpy_capability;

/* ---- blocks ---- */

/* Bytes in front of an instance: collector's head (not in a free-threaded build), managed dict and weakref list. */
size_t cpy_layout_preheader(PyTypeObject *type, bool is_gc);

/* Where tracemalloc saw the object being made: ((file, line), ...), the innermost first; None if it did not. A new reference. */
PyObject *cpy_allocation_traceback(PyObject *object);

/* Does tracemalloc trace now, whoever started it? Allocates a block to see that, and frees it; sets no exception. */
bool cpy_layout_traces_allocations(void);

/* Bytes of the block that a list's items lie in, which is given to `blocks` unless that is NULL. A free-threaded build has the number of
 * places before them, for threads that read without a lock. */
size_t cpy_layout_list_bytes(const PyListObject *list, cpy_blocks *blocks);

/* Are small objects in pools of pymalloc? A free-threaded build has them in heaps of mimalloc. (PYTHONMALLOC may do without pools, too: then none
 * are found.) */
bool cpy_layout_has_pools(void);

/* Begin to fetch what the object keeps outside its body: a list's items, a dict's table, inline values. A hint: nothing is believed. */
void cpy_layout_prefetch(PyObject *object);

/* ---- the collector ---- */

#define CPY_GENERATIONS 4 /* three generations and the permanent one */

/* The two words before every collected object: links, with the collector's own bits in the lowest two. A free-threaded build has neither
 * lists nor heads: there the collector finds objects by their allocator, and keeps its bits in the object's own head. */
typedef struct cpy_gc_head {
    uintptr_t next, previous;
} cpy_gc_head;

#ifdef Py_GIL_DISABLED
#define CPY_GC_HEAPS 1
#define CPY_GC_HEAD_BYTES ((size_t)0)
#define CPY_GC_TRACKED 1u /* bits of ob_gc_bits; layout.c compares them with the interpreter's own header */
#define CPY_GC_FROZEN 8u
#else
#define CPY_GC_HEAPS 0 /* are objects found in heaps, without lists? */
#define CPY_GC_HEAD_BYTES sizeof(cpy_gc_head)
#endif

/* Words at the beginning of an object that change when references to it are counted, and when it is collected. */
#ifdef Py_GIL_DISABLED
#define CPY_COUNT_WORDS 3 /* thread; lock, collector's bits and the thread's own count; what others count */
#else
#define CPY_COUNT_WORDS 1
#endif

/* Does the collector follow this object now? It must be one that PyObject_IS_GC() is true for. */
static inline bool cpy_layout_is_tracked(const PyObject *object) {
#ifdef Py_GIL_DISABLED
    return (object->ob_gc_bits & CPY_GC_TRACKED) != 0;
#else
    return ((const cpy_gc_head *)object)[-1].next != 0;
#endif
}

/* Is an object that the collector follows in the permanent generation, by its own bits? False where only the collector's list says that. */
static inline bool cpy_layout_is_frozen(const PyObject *object) {
#ifdef Py_GIL_DISABLED
    return (object->ob_gc_bits & CPY_GC_FROZEN) != 0;
#else
    (void)object;
    return false;
#endif
}

/* The list heads of the current interpreter. Returns how many: CPY_GENERATIONS, or 0 in a free-threaded build. */
int cpy_layout_gc_heads(cpy_gc_head *heads[CPY_GENERATIONS]);

/* Call `each` with each object that the collector follows, frozen ones too, until it returns other than 0, which is returned: in the order of
 * PyUnstable_GC_VisitObjects. In a free-threaded build alone; no other thread may run meanwhile, and nothing be made or freed. */
typedef int cpy_layout_visit(void *context, PyObject *object);
int cpy_layout_each_in_heaps(cpy_layout_visit *each, void *context);

/* Each block in use of the heaps that have objects: in a free-threaded build alone, and under the same conditions. */
void cpy_layout_each_block_in_heaps(mpr_block_each *each, void *context);

/* What a free-threaded build's heaps have in memory, and of that the blocks in use: bytes. Under the same conditions. */
typedef struct cpy_heaps_total {
    uint64_t resident, used;
} cpy_heaps_total;
void cpy_layout_heaps_total(cpy_heaps_total *out);

/* True while a collection runs: the lists' back links are then in other use. */
bool cpy_layout_collecting(void);

static inline cpy_gc_head *cpy_gc_next(const cpy_gc_head *head) { return (cpy_gc_head *)(head->next & ~(uintptr_t)3); }
static inline cpy_gc_head *cpy_gc_previous(const cpy_gc_head *head) { return (cpy_gc_head *)(head->previous & ~(uintptr_t)3); }
static inline PyObject *cpy_gc_object(cpy_gc_head *head) { return (PyObject *)(head + 1); }

/* ---- dicts ---- */

/* The entries of a dict or of a class's shared keys, in insertion order. Entry i: key at entries + i * stride + key_at; its value there
 * too, at value_at, unless `values` (a split table) holds it. Either may be NULL: a deleted entry. */
typedef struct cpy_table {
    const char *entries;
    size_t stride, key_at, value_at;
    Py_ssize_t count;
    PyObject *const *values; /* not NULL: the keys belong to the class, and values[i] is the value of key i */
    const void *block; /* the table that is this dict's own: keys unless shared, values unless inline */
    size_t bytes; /* of that block, or 0 */
} cpy_table;

void cpy_layout_dict(PyObject *dict, cpy_table *out);

/* Can a dict's table be read, in what may be no dict at all? Its own table, which it shares with no other. */
bool cpy_layout_dict_is_sound(const PyObject *dict);
bool cpy_layout_is_dict(PyObject *object); /* dict or frozendict, subclasses included */
bool cpy_layout_shared_keys(PyTypeObject *type, cpy_table *out);
const void *cpy_layout_shared_keys_of(PyObject *dict); /* the keys that a dict shares; NULL if they are its own */

static inline PyObject *cpy_table_key(const cpy_table *t, Py_ssize_t i) {
    return *(PyObject *const *)(t->entries + (size_t)i * t->stride + t->key_at);
}

static inline PyObject *cpy_table_value(const cpy_table *t, Py_ssize_t i) {
    return t->values != NULL ? t->values[i] : *(PyObject *const *)(t->entries + (size_t)i * t->stride + t->value_at);
}

/* What parts of objects take in this version, in bytes: a capture emits these facts (docs/FORMAT.md), and what a fresh container would take
 * is computed of them. Ended by a NULL name. */
typedef struct cpy_cost {
    const char *name;
    int64_t bytes;
} cpy_cost;

const cpy_cost *cpy_layout_costs(void);

/* ---- instances ---- */

/* What an instance with a managed dict holds outside its body. */
typedef struct cpy_instance {
    PyObject *dict; /* materialised, or NULL */
    PyObject *const *values; /* the inline values, or NULL: also when there is a dict, which then has them */
    PyObject *const *shadow; /* values that tp_traverse may visit though the dict has them, or NULL */
    Py_ssize_t count; /* of values or shadow */
    size_t bytes; /* of the values */
    const void *block; /* that the values are in, or NULL: they lie behind the instance, in its own block */
} cpy_instance;

/* The word of an instance, counted from its address, that leads to its managed dict, or to its values (3.12). */
#ifdef Py_GIL_DISABLED
#define CPY_MANAGED_DICT_WORD (-1)
#else
#define CPY_MANAGED_DICT_WORD (-3)
#endif

bool cpy_layout_has_managed_dict(PyTypeObject *type);
void cpy_layout_instance(PyObject *object, cpy_instance *out);

/* ---- frames ---- */

typedef enum cpy_frame_owner {
    CPY_FRAME_OF_THREAD,
    CPY_FRAME_OF_GENERATOR,
    CPY_FRAME_OF_OBJECT, /* a frame object owns it */
    CPY_FRAME_SHIM, /* no code: the interpreter's own entry */
} cpy_frame_owner;

/* A frame, wherever it lives. References are owned by it, `globals` apart. A slot may be tagged: see cpy_slot_object. */
typedef struct cpy_frame {
    cpy_frame_owner owner;
    PyCodeObject *code;
    PyObject *function, *locals, *object, *globals, *generator;
    bool code_owned, function_owned;
    const uintptr_t *slots; /* locals, cells and free variables, then the value stack */
    int locals_count, stack_count; /* stack_count is 0 where the version does not store the depth */
    void *previous;
} cpy_frame;

/* The innermost frame of a thread, or NULL. In 3.10 frames are objects, and this is one. */
void *cpy_layout_top_frame(PyThreadState *thread);
void cpy_layout_frame(void *frame, cpy_frame *out);

/* May instances of the type have a frame inside? */
bool cpy_layout_has_frame(PyTypeObject *type);

/* The frame inside a suspended or running generator, coroutine or async generator, or inside a frame object that owns one; else NULL. */
void *cpy_layout_inner_frame(PyObject *object);

/* The word of a generator object where its name stands; its qualified name and the exception that it handles follow. */
#if PY_VERSION_HEX >= 0x030C0000
#define CPY_GENERATOR_NAME_WORD 3
#elif PY_VERSION_HEX >= 0x030B0000
#define CPY_GENERATOR_NAME_WORD 4
#else
#define CPY_GENERATOR_NAME_WORD 5
#endif

/* The words of a frame object where references stand that are no variables; 0 where another structure has them. */
#if PY_VERSION_HEX >= 0x030B0000
#define CPY_FRAME_BACK_WORD 2
#define CPY_FRAME_BUILTINS_WORD 0
#define CPY_FRAME_GLOBALS_WORD 0
#else
#define CPY_FRAME_BACK_WORD 3
#define CPY_FRAME_BUILTINS_WORD 5
#define CPY_FRAME_GLOBALS_WORD 6
#endif

/* Slots (locals and value stack) that a frame object, generator, coroutine or async generator was allocated with. */
size_t cpy_layout_slots(PyObject *object);

/* The object in a slot, or NULL; *owned says whether the slot owns a reference to it. */
PyObject *cpy_slot_object(uintptr_t slot, bool *owned);

/* References to the object that value stacks own while `frame`, the innermost, calls a C function with it, and that cpy_layout_frame does not
 * show: one on its own stack, and in 3.10 one on that of the frame that called it with the object. From 3.14 on stacks show all. The frame may be
 * NULL: it is not to be had. */
unsigned cpy_layout_hidden_references(void *frame, PyObject *argument);

/* The name of local, cell or free variable i, borrowed, or NULL. */
PyObject *cpy_layout_local_name(PyCodeObject *code, int i);
bool cpy_layout_local_is_cell(PyCodeObject *code, int i);

/* True when a running generator's tp_traverse does not visit its locals (3.11 to 3.13). */
bool cpy_layout_running_generator_hides(const cpy_frame *frame);

/* Is it not known how many entries the frame's stack has? Then stack_count is 0. */
bool cpy_layout_hides_stack(const cpy_frame *frame);

/* ---- code, type, interpreter, thread: owned references by name ---- */

typedef void (*cpy_owned)(void *context, PyObject *object, int field); /* field: an mpr_field */

void cpy_layout_code(PyCodeObject *code, cpy_owned emit, void *context);
/* Bytes of private buffers that are no objects; each is given to `blocks` unless that is NULL. */
size_t cpy_layout_code_bytes(PyCodeObject *code, cpy_blocks *blocks);
/* Does what may be a code object have pointers where one has references, to a tuple and to bytes among them? Outside of its body only what is in memory is
 * read. */
bool cpy_layout_code_is_sound(PyCodeObject *code);
void cpy_layout_type(PyTypeObject *type, cpy_owned emit, void *context);
/* The same of a heap type: shared keys, docstring, name. */
size_t cpy_layout_type_bytes(PyTypeObject *type, cpy_blocks *blocks);
/* What a generator owns and its tp_traverse does not visit. */
void cpy_layout_generator(PyObject *object, cpy_owned emit, void *context);

/* The name that a module object keeps beside its namespace, or NULL. */
PyObject *cpy_layout_module_name(PyObject *module);
void cpy_layout_interpreter(cpy_owned emit, void *context);
void cpy_layout_thread(PyThreadState *thread, cpy_owned emit, void *context);

/* The names of attributes that were looked up lately, of 4,096 at most: the cache of all classes owns them. */
void cpy_layout_attribute_cache(cpy_owned emit, void *context);

/* The ints, strings and bytes of which the interpreter has one each: in 3.10 alone, for later they are static objects. */
void cpy_layout_singletons(cpy_owned emit, void *context);

/* The constants of all code that was ever made, of which a free-threaded build has one each, for good. The world must be stopped. */
void cpy_layout_constants(cpy_owned emit, void *context);

/* What an io.StringIO was written that was not read from yet, borrowed, or NULL. */
PyObject *cpy_layout_accumulated(PyObject *stringio);

/* Where the first of the floats lies that the interpreter keeps ready, each with the address of the next in the place of its class; 0: there is none, or
 * (since 3.14) they have their class still. To be believed only where a block of a float's size begins, without a reference. */
uint64_t cpy_layout_free_float(void);

/* The dict of interned strings, which the collector does not track, or NULL where it cannot be asked for. */
PyObject *cpy_layout_interned(void);

#endif
