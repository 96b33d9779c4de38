/* SPDX-License-Identifier: MIT
 * The walk over the live heap: from the collector's lists, or from a few objects, to a sink.
 *
 *   seed ──▶ work list ──▶ take an object ──▶ its type's record says how ──▶ node, text, edges ──▶ sink
 *                 ▲                                                         │
 *                 └──────────────── targets not yet seen ◀──────────────────┘
 *
 * It creates no object, touches no reference count, runs no user code and takes memory from mpr_alloc alone; everything that needs the
 * interpreter's help is done by cpy_walk_begin. The GIL must be held, or the process be a forked child that held it. */
#ifndef CPY_WALK_H
#define CPY_WALK_H

#include "cpython/layout.h"

#include "base/map.h"
#include "base/os/image.h"
#include "base/workset.h"
#include "graph/sink.h"

typedef struct cpy_walk cpy_walk;
typedef struct cpy_type cpy_type;
typedef struct cpy_kind cpy_kind;
typedef struct cpy_leaf_buffers cpy_leaf_buffers;
struct mpr_marking;

/* What the self-check proved about this interpreter (selfcheck.h). */
typedef struct cpy_proofs {
    bool can[CPY_CAPABILITY_COUNT];
    signed char library[64]; /* CPY_LIBRARY_MAX */
    destructor instance_dealloc,
        record_dealloc; /* of every class of Python, of every struct sequence: they free references alone */
} cpy_proofs;

/* Who asked the question that the walk is for: the innermost frame of this thread that is not memprobe's. All 0 where frames are not to be
 * had. */
typedef struct cpy_caller {
    void *frame;
    uint64_t node;     /* of the frame, or of the generator or frame object that it is in */
    PyObject *locals;  /* the namespace of a frame whose variables stand in one: a module's or a class's; else NULL */
} cpy_caller;

/* How the instances of a class are measured and followed. */
struct cpy_type {
    PyTypeObject *type;
    const cpy_kind *kind;
    mpr_label *labels; /* one a word of the body: what the reference there is called */
    uint32_t words;
    uint32_t index; /* of its record in the sink */
    bool *members; /* one a word: a reference stands there. NULL where none does, or tp_traverse knows better */
    size_t preheader; /* bytes before an instance */
    size_t fixed; /* bytes of each instance, buffers included; 0 when they differ */
    bool is_gc, is_heap, is_python, has_managed_dict;
    bool asks_is_gc; /* some instances are not collected: PyObject_IS_GC says which */
    bool is_class, is_module, is_str, is_code, has_frame; /* what its instances are */
    bool is_ordinary; /* none of these, and not memprobe's */
    bool is_brief; /* nor would a sink that wants little want more than its type: a str, too */
    bool is_leaf; /* instances refer to nothing */
    bool unknown_buffers; /* a C type with a __sizeof__ of its own and no formula here: sizes are estimated */
    bool complete; /* its kind tells all edges: tp_traverse is not needed */
    bool may_refer; /* to native blocks beyond those of its size: cpython/bodies.h */
    bool own; /* a class of memprobe */
};

/* A family of types: what it owns beyond its body, and how its references are told. Any function may be NULL. */
struct cpy_kind {
    const char *name; /* full name of the type, as tp_name has it */
    PyTypeObject *exact; /* or the type itself */
    size_t (*body)(PyObject *object,
                   PyTypeObject *type); /* bytes of the block without pre-header, when it is not basicsize + items */
    size_t (*owned)(PyObject *object,
                    cpy_blocks *blocks); /* bytes of private blocks; each that can be located is given to `blocks`,
                                                              unless that is NULL */
    bool (*bounded)(PyObject *object); /* does it drop what is beyond a bound? */
    void (*edges)(cpy_walk *walk, PyObject *object); /* tells what tp_traverse does not, or tells in better words */
    bool complete; /* `edges` tells all: tp_traverse is not called for instances of exactly this type ... */
    bool complete_below; /* ... and of its subclasses */
    bool own_pool; /* the buffers are in a pool of the library: MPR_TYPE_OWN_POOL */
    bool partial; /* `owned` counts what is certain; instances may own more, and stay marked (marks.c) */
    const char *ignored; /* tp_name of a class that tp_traverse visits on behalf of others, whose type columns have it */
    mpr_label loose; /* label of a reference that is not in the body; a plain INDEX counts up */
    const struct cpy_place {
        uint16_t offset;
        uint16_t field; /* mpr_field */
    } *places; /* names of words of the body, ended by {0, 0} */
};

/* A sequence that tp_traverse will visit again though `edges` has told it. */
typedef struct cpy_told {
    PyObject *const *items; /* a plain array, or NULL: the table */
    cpy_table table;
    Py_ssize_t at, count;
    bool backward; /* visited from the end */
    bool key_next; /* the key of entry at - 1 may come now */
} cpy_told;

#define CPY_BATCH 256
#define CPY_RECENT 64
#define CPY_NOTED 256
#define CPY_TAKEN 32
#define CPY_AHEAD 4
#define CPY_TOLD 4

struct cpy_walk {
    mpr_alloc *alloc;
    mpr_sink *sink;
    mpr_workset work;
    mpr_image image;
    mpr_label skip; /* edges with these bits are told, but not followed */
    bool only; /* an object's class is not followed: a question about some objects, not about the heap */
    bool follows_names; /* what only names the next edge is followed although it is weak */
    bool values; /* tell the contents of strings */
    bool hashes; /* tell hashes of contents, by `key` */
    cpy_leaf_buffers *leaf_buffers; /* in a forked child: what it discards (leaf_buffers.h); else NULL */
    struct mpr_marking *marking; /* of native blocks (bodies.h), in a forked child that is to emit them; else NULL */
    uint64_t key[2];
    uint64_t nodes; /* told */
    bool
        withholds; /* interned strings are put off, and come last: only then is it known which of them are names, and may be emitted */
    bool defers_code; /* so are code objects, which come before these: only then is it known which of them run, or are suspended */
    mpr_map names; /* strings that are names, and code that runs, by blocks of 512 bytes: text.c */
    const PyObject *noted[CPY_NOTED]; /* by address: the key looked at last. Dicts have the same few keys, mostly */
    const bool *can; /* capabilities, by cpy_capability */
    const signed char *library; /* proved layouts: kinds.h */
    destructor instance_dealloc,
        record_dealloc; /* of every class of Python, of every struct sequence: they free references alone */
    uint32_t native_types; /* that were marked: MPR_TYPE_MAY_HOLD_NATIVE */
    int status; /* the first failure: the walk ends there */

    /* the types met so far: an open-addressing table by address */
    cpy_type **slots;
    uint32_t slot_count, type_count;
    cpy_type *recent[CPY_RECENT]; /* the last one met with each hash */

    uint64_t taken[CPY_TAKEN]; /* from the work list; from `next` on they are not yet told */
    size_t taken_count, next;

    /* the object in hand */
    PyObject *object;
    cpy_type *type;
    const uintptr_t *body;
    mpr_label unowned; /* MPR_LABEL_WEAK while its references are not counted */
    uint32_t cursor; /* word of the body where the last visited reference was */
    uint32_t loose; /* how many were not in the body */
    void *frame; /* the frame inside it, or NULL */
    cpy_told told[CPY_TOLD];
    uint32_t told_count;
    PyObject *told_dict; /* the materialised dict, told already */
    bool told_type;
    mpr_seen_edge edges[CPY_BATCH];
    size_t edge_count;

    /* facts that need the interpreter, taken before the walk */
    PyObject *listed; /* gc.get_objects(), where the collector's lists are not to be had */
    PyObject *frames; /* running frames, where their private layout is not to be had: cpy_roots_list_frames */
    PyObject *interned; /* the dict of interned strings, or NULL */
    MPR_VEC(PyObject *) own; /* memprobe's modules and their namespaces */
    mpr_addrset frozen; /* objects in the permanent generation */
    cpy_caller caller;
    PyObject *argument; /* cpy_walk_set_argument */
    unsigned argument_references; /* to it, on value stacks that no frame tells */
    void *
        argument_frame; /* the frame that emits them; NULL where frames are not to be had: then the first listed one of memprobe's */
    uint64_t synthetic; /* next address of a thread or frame */
    uint64_t temporaries; /* next address of the node of a hidden stack: cpython/temporaries.h */
    uint32_t root_type, thread_type, frame_type;
};

/* Prepare; the layouts of libraries loaded since the last walk are proved first, in *proofs. MPR_OK or a negative status; cpy_walk_end in
 * any case. */
int cpy_walk_begin(cpy_walk *walk, mpr_alloc *alloc, mpr_sink *sink, cpy_proofs *proofs);

/* The same without that proof, which runs the interpreter: a forked child must not. cpy_capture_prepare has made it before the fork. */
int cpy_walk_begin_prepared(cpy_walk *walk, mpr_alloc *alloc, mpr_sink *sink, const cpy_proofs *proofs);

/* The object that a function of this module was called with. Until 3.13 the value stacks of the frames that called it own references to it
 * that the frames do not show: the innermost frame emits them, so that they are not taken for references of C code. */
void cpy_walk_set_argument(cpy_walk *walk, PyObject *argument);

/* Seeds, after the collector's lists: the roots (groups, threads, frames), which believe no private field of the interpreter that does
 * not lead to one of those; or single objects. */
int cpy_walk_seed_roots(cpy_walk *walk);
int cpy_walk_seed_object(cpy_walk *walk, PyObject *object);

/* Leave this object alone, and what only it holds. */
int cpy_walk_exclude(cpy_walk *walk, PyObject *object);

/* Take until nothing is pending. MPR_OK or the first failure. */
int cpy_walk_run(cpy_walk *walk);

/* The whole heap: its lists and roots for seeds. */
int cpy_walk_whole(cpy_walk *walk);
void cpy_walk_end(cpy_walk *walk);

/* ---- for the walk's own files ---- */

/* Is it one of memprobe's modules, or the namespace of one? */
bool cpy_walk_is_own(const cpy_walk *walk, const PyObject *object);

/* Emit the hidden references to the argument, if `frame` is the one that has them. */
void cpy_walk_emit_argument(cpy_walk *walk, const void *frame);

/* Tell a node. */
static inline void cpy_walk_tell_node(cpy_walk *walk, const mpr_seen_node *node) {
    if (walk->status == MPR_OK) {
        walk->status = walk->sink->node(walk->sink, node);
        walk->nodes++;
    }
}

/* Tell an edge of the object in hand, and follow it. */
void cpy_walk_tell(cpy_walk *walk, PyObject *target, mpr_label label);
void cpy_walk_flush(cpy_walk *walk);

/* Emit an edge of the object in hand, and do not follow it. */
void cpy_walk_emit_edge(cpy_walk *walk, uint64_t target, mpr_label label);

/* The slow half of cpy_type_of. */
cpy_type *cpy_type_find(cpy_walk *walk, PyTypeObject *type);

static inline size_t cpy_type_hash(const PyTypeObject *type) { return (uintptr_t)type / 64 % CPY_RECENT; }

/* The record of a type, made on first sight (its record goes to the sink then); NULL on failure. */
static inline cpy_type *cpy_type_of(cpy_walk *walk, PyTypeObject *type) {
    cpy_type *recent = walk->recent[cpy_type_hash(type)];
    return recent != NULL && recent->type == type ? recent : cpy_type_find(walk, type);
}
void cpy_types_free(cpy_walk *walk);

/* The full name of a class, told as the text of the node in hand. */
void cpy_type_tell_name(cpy_walk *walk, const cpy_type *record);

/* What a class calls the reference at this offset of its instances (a slot or member), or NULL. */
const char *cpy_type_member_name(PyTypeObject *type, uint32_t offset);

/* A type record for nodes that are no objects. */
int cpy_type_synthetic(cpy_walk *walk, const char *name, uint32_t *index);

/* The row of the table of kinds for a type, never NULL; *exact says that the type itself is the row's. */
const cpy_kind *cpy_kind_of(PyTypeObject *type, const signed char *library, bool *exact);

/* True for a class made by a class statement (or type()): its memory is laid out by the interpreter, whatever its name says. */
bool cpy_is_python_class(PyTypeObject *type);

/* Bytes that the object alone owns. Adds MPR_NODE_ESTIMATED to *flags where no formula is known. */
size_t cpy_size_of(const cpy_walk *walk, PyObject *object, const cpy_type *type, bool is_gc, uint32_t *flags);

/* Bytes of the object's own block that are not before it. */
size_t cpy_body_bytes(PyObject *object, const cpy_type *type);

/* The same for every instance of the type, or 0 when they differ. */
size_t cpy_size_fixed(const cpy_type *type);

/* Give all private blocks that are in the object's size and can be located: none of an object of the program's image, whose size is 0.
 * Their bytes add up to what the size has beside the object's own block, but for what cannot be located. */
void cpy_blocks_of(cpy_walk *walk, PyObject *object, const cpy_type *type, cpy_blocks *blocks);

/* Tell all edges of the object in hand. */
void cpy_edges_tell(cpy_walk *walk);
void cpy_edges_dict(cpy_walk *walk, PyObject *dict, bool again);
void cpy_edges_items(cpy_walk *walk, PyObject *const *items, Py_ssize_t count, bool again);
void cpy_edges_word(cpy_walk *walk, uint32_t word, mpr_label label); /* a reference in the body, visited again or not */
void cpy_edges_frame(cpy_walk *walk, const cpy_frame *frame, bool locals_only);

/* The text of the object in hand, if it serves as a name (or values are asked for), told to the sink. */
void cpy_text_tell(cpy_walk *walk, uint32_t flags);

/* The key of a dict, or the name of a variable: a name if it is interned. */
void cpy_text_note_name(cpy_walk *walk, PyObject *key);

/* The code of a frame or generator: its text has file and line, too. */
void cpy_text_note_code(cpy_walk *walk, PyCodeObject *code);

/* "function (file:line)", into out: the length written. */
size_t cpy_text_code(PyCodeObject *code, char *out, size_t size);

/* The hash of what the object in hand contains, if it is a str, bytes, int or float, told to the sink. */
void cpy_text_tell_digest(cpy_walk *walk);

/* A key as Python writes it, of a type that can be read without running code (int, str, bool, None): the length written, 0 for others. */
size_t cpy_text_key(PyObject *key, char *out, size_t size);

/* At most `most` characters of a str as UTF-8, at most `size` bytes: the length written. Allocates nothing. */
size_t cpy_text_put(char *out, size_t size, PyObject *str, Py_ssize_t most);

#endif
