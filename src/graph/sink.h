/* SPDX-License-Identifier: MIT
 * What a walk talks to. A sink is the builder (graph/builder.h), the snapshot writer (format/writer.h) or a tally; the file's reader
 * talks to the same interface. It says what was *seen*; what it means is computed by freeze.
 *
 * Order of calls: info at any time; type records with index 0, 1, 2 ... each before the first node of the type; then for each node:
 * node, any number of edges (all belong to the last node), at most one text; digests, where they are asked for, behind their nodes and in
 * the nodes' order. An address is given once. Real objects lie below
 * MPR_SYNTHETIC; root groups, threads and frames are nodes at synthetic addresses, multiples of 16 from MPR_SYNTHETIC up. */
#ifndef MPR_GRAPH_SINK_H
#define MPR_GRAPH_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"
#include "graph/label.h"

#define MPR_SYNTHETIC (UINT64_C(1) << 48)
#define MPR_NO_TYPE UINT32_MAX

/* The synthetic nodes with fixed addresses: MPR_SYNTHETIC + 16 * group. Threads and frames follow from MPR_GROUP_COUNT on.
 * THREADS, MODULES, INTERPRETER, NATIVE are seen by the walk; the others are made by freeze. Text: the name of the group. */
typedef enum mpr_group {
    MPR_GROUP_ROOT,         /* the super-root; every other group is its child */
    MPR_GROUP_THREADS,      /* its children: one node per thread; a thread's: its frames and its own references */
    MPR_GROUP_MODULES,      /* sys.modules */
    MPR_GROUP_INTERPRETER,  /* sys and builtins namespaces, hooks, gc lists */
    MPR_GROUP_STATIC,       /* static types and immortal objects */
    MPR_GROUP_INTERNED,     /* interned strings, weakly */
    MPR_GROUP_C_REFERENCES, /* every object whose reference count exceeds the strong edges found */
    MPR_GROUP_UNREACHABLE,  /* what only cyclic garbage holds */
    MPR_GROUP_NATIVE,       /* data of the program and its libraries, stacks, other memory: what refers to native blocks */
    MPR_GROUP_LOST,         /* native blocks that nothing refers to */
    MPR_GROUP_COUNT
} mpr_group;

/* The text of a group, e.g. "C references". Static; NULL out of range. */
const char *mpr_group_text(uint32_t group);

/* Node flags. The upper half (from MPR_NODE_DERIVED) is computed by freeze and never written to a file. */
#define MPR_NODE_TRACKED 0x0001u      /* followed by the collector */
#define MPR_NODE_IMMORTAL 0x0002u     /* its reference count means nothing */
#define MPR_NODE_INTERNED 0x0004u     /* an interned str */
#define MPR_NODE_FROZEN 0x0008u       /* in the permanent generation (gc.freeze) */
#define MPR_NODE_ESTIMATED 0x0010u    /* size by basicsize and items, for lack of a formula */
#define MPR_NODE_STATIC 0x0020u       /* part of the interpreter's or an extension's image */
#define MPR_NODE_SYNTHETIC 0x0040u    /* a root group, thread or frame: not an object */
#define MPR_NODE_TYPE 0x0080u         /* a class */
#define MPR_NODE_MODULE 0x0100u       /* a module */
#define MPR_NODE_OWN_WALL 0x0200u     /* memprobe's own module, class or frame: what only it holds is memprobe's */
#define MPR_NODE_NATIVE 0x0400u       /* a block of an allocator that no object has: not an object (native/marking.h) */
#define MPR_NODE_BOUNDED 0x0800u      /* a container that drops what is beyond its bound: a deque with maxlen */
#define MPR_NODE_UNCOUNTED (MPR_NODE_IMMORTAL | MPR_NODE_SYNTHETIC | MPR_NODE_NATIVE) /* it has no reference count that counts */
#define MPR_NODE_DERIVED 0x1000u
#define MPR_NODE_OWN 0x1000u          /* memprobe's own object: in no answer */
#define MPR_NODE_UNREACHABLE 0x2000u  /* cyclic garbage, not yet collected, or kept by it; a native block: lost */
#define MPR_NODE_RESIDUAL 0x4000u     /* the residual is not zero */
#define MPR_NODE_BIG 0x8000u          /* the size is in the side table */

typedef struct mpr_seen_type {
    uint64_t address;    /* of the class; 0 for a synthetic type, and for one of native blocks */
    const char *name;    /* UTF-8, qualified by its module except for builtins: "collections.OrderedDict", "dict" */
    size_t name_length;
    uint32_t basicsize;  /* bytes */
    uint32_t itemsize;   /* bytes */
    uint32_t flags;      /* MPR_TYPE_* */
    uint32_t names;      /* how many of `named` follow */
    const struct mpr_seen_name *named;
} mpr_seen_type;

#define MPR_TYPE_HEAP 1u            /* instances own a reference to it */
#define MPR_TYPE_MAY_HOLD_NATIVE 2u /* instances may hold memory of C code that is not in their sizes */
#define MPR_TYPE_OWN_POOL 4u /* buffers of instances are in a pool of their library, neither in Python's allocator nor in malloc */

#define MPR_TYPE_NATIVE 8u /* of native blocks, by what they begin with: no class */

/* What a type calls a place in its instances: the payload of an OFFSET or INLINE label. */
typedef struct mpr_seen_name {
    mpr_label label;
    const char *text; /* UTF-8 */
    size_t length;
} mpr_seen_name;

typedef struct mpr_seen_node {
    uint64_t address;
    uint64_t size; /* bytes that this object alone owns */
    uint64_t refcount; /* 0 for synthetic and immortal nodes */
    uint32_t type; /* index of a type record given before */
    uint32_t flags; /* MPR_NODE_* below MPR_NODE_DERIVED */
} mpr_seen_node;

typedef struct mpr_seen_edge {
    uint64_t target;
    mpr_label label;
} mpr_seen_edge;

/* Facts about the process and the capture, by name: {"pid", 4711, NULL, 0}, {"python", 0, "3.13.0 ...", 8}. */
typedef struct mpr_seen_info {
    const char *key; /* NUL-terminated ASCII, shorter than 64 bytes */
    int64_t number;
    const char *text; /* NULL for a number */
    size_t length;
} mpr_seen_info;

typedef struct mpr_sink {
    /* Each returns MPR_OK or a negative status, which ends the walk. Texts are borrowed for the call. */
    int (*type)(struct mpr_sink *self, const mpr_seen_type *type);
    int (*node)(struct mpr_sink *self, const mpr_seen_node *node);
    int (*edges)(struct mpr_sink *self, const mpr_seen_edge *edges, size_t count);
    int (*text)(struct mpr_sink *self, const char *text, size_t length); /* UTF-8: what the last node is called or contains */
    int (*info)(struct mpr_sink *self, const mpr_seen_info *info);
    /* What node number `node` (0, 1, 2 ... as told) contains, as a keyed hash: equal ones contain the same. May be NULL: nobody cares. */
    int (*digest)(struct mpr_sink *self, uint64_t node, const mpr_digest *digest);
    bool brief; /* only addresses, types and what is memprobe's own are wanted of nodes */
} mpr_sink;

/* Emit a fact that is a number. */
static inline int mpr_sink_number(mpr_sink *sink, const char *key, int64_t number) {
    return sink->info(sink, &(mpr_seen_info){.key = key, .number = number});
}

#endif
