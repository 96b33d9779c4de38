/* SPDX-License-Identifier: MIT
 * What is known about each class, found out when it is first met and emitted as a type record: how its instances are measured and
 * followed. Every question about an object begins with the record of its class.
 *
 * Used by the layers types and above. */
#ifndef CPY_TYPES_H
#define CPY_TYPES_H

#include "cpython/kinds.h"

#define CPY_TYPES_RECENT 64

/* How the instances of a class are measured and followed. */
typedef struct cpy_type {
    PyTypeObject *type;
    const cpy_kind *kind;
    mpr_label *labels; /* one a word of the body: what the reference there is called */
    uint32_t words;
    uint32_t index;    /* of its record in the sink */
    bool *members;     /* one a word: a reference stands there. NULL where none does, or tp_traverse knows better */
    size_t preheader;  /* bytes before an instance */
    size_t fixed;      /* bytes of each instance, buffers included; 0 when they differ */
    bool is_gc, is_heap, is_python, has_managed_dict;
    bool asks_is_gc;   /* some instances are not collected: PyObject_IS_GC says which */
    bool is_class, is_module, is_str, is_code, has_frame; /* what its instances are */
    bool is_ordinary;  /* none of these, and not memprobe's */
    bool is_brief;     /* nor would a sink that wants little want more than its type: a str, too */
    bool is_leaf;      /* instances refer to nothing */
    bool unknown_buffers; /* a C type with a __sizeof__ of its own and no formula here: sizes are estimated */
    bool complete;     /* its kind emits all edges: tp_traverse is not needed */
    bool may_refer;    /* to native blocks beyond those of its size: marks.c */
    bool self;         /* a class of memprobe */
} cpy_type;

typedef struct cpy_types {
    cpy_emit *emit;
    const cpy_proofs *proofs;
    MPR_VEC(cpy_type *) records;
    mpr_map by_address; /* of the class: index into records */
    cpy_type *recent[CPY_TYPES_RECENT]; /* the last one met with each hash */
    uint32_t count;        /* of type records in the sink, synthetic ones included */
    uint32_t native_types; /* that were marked: MPR_TYPE_MAY_HOLD_NATIVE */
} cpy_types;

void cpy_types_begin(cpy_types *types, cpy_emit *emit, const cpy_proofs *proofs);
void cpy_types_free(cpy_types *types);

/* The slow half of cpy_type_of. */
cpy_type *cpy_type_find(cpy_types *types, PyTypeObject *type);

static inline size_t cpy_type_hash(const PyTypeObject *type) { return (uintptr_t)type / 64 % CPY_TYPES_RECENT; }

/* The record of a type, made on first sight (it goes to the sink then, and the class on the work list); NULL on failure. */
static inline cpy_type *cpy_type_of(cpy_types *types, PyTypeObject *type) {
    cpy_type *recent = types->recent[cpy_type_hash(type)];
    return recent != NULL && recent->type == type ? recent : cpy_type_find(types, type);
}

/* Emit the full name of a class as the text of the last node. */
void cpy_type_emit_name(cpy_types *types, const cpy_type *record);

/* What a class calls the reference at this offset of its instances (a slot or member), or NULL. */
const char *cpy_type_member_name(PyTypeObject *type, uint32_t offset);

/* A type record for nodes that are no objects. Returns its index. */
uint32_t cpy_type_synthetic(cpy_types *types, const char *name);

/* ---- marks.c ---- */

/* May instances hold memory of C code that is not in their sizes? Of the type alone. */
bool cpy_may_hold_native(const cpy_proofs *proofs, PyTypeObject *type);

/* May instances refer to native blocks beyond those that are counted in their size? */
bool cpy_may_refer_to_native(PyTypeObject *type);

/* ---- sizes.c ---- */

/* Bytes that the object alone owns. Adds MPR_NODE_ESTIMATED to *flags where no formula is known. */
size_t cpy_size_of(const cpy_types *types, PyObject *object, const cpy_type *type, bool is_gc, uint32_t *flags);

/* Bytes of the object's own block that are not before it. */
size_t cpy_body_bytes(PyObject *object, const cpy_type *type);

/* The same for every instance of the type, or 0 when they differ. */
size_t cpy_size_fixed(const cpy_type *type);

/* Give all private blocks that are in the object's size and can be located. The object is none of the program's image, whose size is 0. Their
 * bytes add up to what the size has beside the object's own block, but for what cannot be located. */
void cpy_blocks_of(const cpy_types *types, PyObject *object, const cpy_type *type, cpy_blocks *blocks);

#endif
