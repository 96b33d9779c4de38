/* SPDX-License-Identifier: MIT
 * What an edge is called. A label is one uint32: [31:28] kind, [27] weak, [26] housekeeping, [25:0] payload.
 *
 * No label carries a string. A name is found where it lives: in the table of fields below, in the record of the holder's type, or
 * in the node that the *preceding edge of the same holder* refers to (a dict key before its value, a NAME before a local).
 *
 *   weak          the holder does not own a reference (weakref target, a shared key): it neither retains nor is counted
 *   housekeeping  true of every program and nobody's leak (function -> __globals__, module -> __dict__, type internals) */
#ifndef MPR_GRAPH_LABEL_H
#define MPR_GRAPH_LABEL_H

#include <stdint.h>

typedef uint32_t mpr_label;

/* kind, payload, how it reads (n: payload, name: text of the preceding edge's target) */
typedef enum mpr_label_kind {
    MPR_LABEL_OFFSET = 0,  /* byte offset in the holder: the name that the type record has for it, else +0xNN */
    MPR_LABEL_FIELD = 1,   /* an mpr_field:   .__name__ */
    MPR_LABEL_INDEX = 2,   /* an index:       [n] */
    MPR_LABEL_KEY = 3,     /* a dict's key itself: key(name) */
    MPR_LABEL_VALUE = 4,   /* the value of the key before:  ['name'] */
    MPR_LABEL_ATTR = 5,    /* the attribute called by the str before:   .name */
    MPR_LABEL_INLINE = 6,  /* inline value n: the attribute that the type record calls n:  .name */
    MPR_LABEL_NAME = 7,    /* (always weak) a str that only names the next edge */
    MPR_LABEL_LOCAL = 8,   /* the local variable called by the str before: name */
    MPR_LABEL_CELL = 9,    /* the cell variable called by the str before: name */
    MPR_LABEL_STACK = 10,  /* entry n of a frame's value stack */
    MPR_LABEL_ELEMENT = 11, /* an element of a set or another unordered container */
    MPR_LABEL_CHILD = 12,  /* root -> group, group -> thread, thread -> frame, group -> member */
    MPR_LABEL_NATIVE =
        13, /* byte offset of a word that is the target's address, found by looking: it may retain a native block, and no object */
    MPR_LABEL_DOUBTED = 14, /* the same of a word that may well be left behind by what had the memory before (graph/native.h) */
} mpr_label_kind;

#define MPR_LABEL_WEAK (UINT32_C(1) << 27)
#define MPR_LABEL_HOUSEKEEPING (UINT32_C(1) << 26)
#define MPR_LABEL_PAYLOAD ((UINT32_C(1) << 26) - 1) /* the largest payload says: at least this */

/* name, as it is written in Python or '<...>' when Python has no word, weak?, housekeeping? */
#define MPR_FIELDS(X)                                                                                                              \
    X(NONE, "<unknown>", 0, 0)                                                                                                     \
    X(DICT, "__dict__", 0, 0)                                                                                                      \
    X(NAMESPACE, "__dict__", 0, 1)                                                                                                 \
    X(CLASS, "__class__", 0, 1)                                                                                                    \
    X(REFERENT, "<referent>", 1, 0)                                                                                                \
    X(CALLBACK, "__callback__", 0, 0)                                                                                              \
    X(FUNC, "__func__", 0, 0)                                                                                                      \
    X(SELF, "__self__", 0, 0)                                                                                                      \
    X(WRAPPED, "__wrapped__", 0, 0)                                                                                                \
    X(GLOBALS, "__globals__", 0, 1)                                                                                                \
    X(BUILTINS, "__builtins__", 0, 1)                                                                                              \
    X(CODE, "__code__", 0, 0)                                                                                                      \
    X(DEFAULTS, "__defaults__", 0, 0)                                                                                              \
    X(KWDEFAULTS, "__kwdefaults__", 0, 0)                                                                                          \
    X(CLOSURE, "__closure__", 0, 0)                                                                                                \
    X(CELL_CONTENTS, "cell_contents", 0, 0)                                                                                        \
    X(DOC, "__doc__", 0, 0)                                                                                                        \
    X(NAME, "__name__", 0, 0)                                                                                                      \
    X(QUALNAME, "__qualname__", 0, 0)                                                                                              \
    X(MODULE, "__module__", 0, 1)                                                                                                  \
    X(ANNOTATIONS, "__annotations__", 0, 0)                                                                                        \
    X(ANNOTATE, "__annotate__", 0, 0)                                                                                              \
    X(TYPE_PARAMS, "__type_params__", 0, 0)                                                                                        \
    X(BASE, "__base__", 0, 1)                                                                                                      \
    X(BASES, "__bases__", 0, 1)                                                                                                    \
    X(MRO, "__mro__", 0, 1)                                                                                                        \
    X(SUBCLASSES, "__subclasses__()", 0, 1)                                                                                        \
    X(TYPE_CACHE, "<type cache>", 0, 1)                                                                                            \
    X(SLOTS, "__slots__", 0, 1)                                                                                                    \
    X(CACHED_KEY, "<shared key>", 0, 1)                                                                                            \
    X(OBJCLASS, "__objclass__", 0, 1)                                                                                              \
    X(CO_CONSTS, "co_consts", 0, 0)                                                                                                \
    X(CO_NAMES, "co_names", 0, 0)                                                                                                  \
    X(CO_VARNAMES, "co_varnames", 0, 0)                                                                                            \
    X(CO_FREEVARS, "co_freevars", 0, 0)                                                                                            \
    X(CO_CELLVARS, "co_cellvars", 0, 0)                                                                                            \
    X(CO_LOCALSPLUS, "<localsplusnames>", 0, 0)                                                                                    \
    X(CO_KINDS, "<localspluskinds>", 0, 0)                                                                                         \
    X(CO_FILENAME, "co_filename", 0, 0)                                                                                            \
    X(CO_NAME, "co_name", 0, 0)                                                                                                    \
    X(CO_QUALNAME, "co_qualname", 0, 0)                                                                                            \
    X(CO_CODE, "co_code", 0, 0)                                                                                                    \
    X(CO_LINETABLE, "co_linetable", 0, 0)                                                                                          \
    X(CO_EXCEPTIONTABLE, "co_exceptiontable", 0, 0)                                                                                \
    X(CO_EXTRA, "<code cache>", 0, 1)                                                                                              \
    X(F_BACK, "f_back", 0, 0)                                                                                                      \
    X(F_CODE, "f_code", 0, 0)                                                                                                      \
    X(F_GLOBALS, "f_globals", 0, 1)                                                                                                \
    X(F_BUILTINS, "f_builtins", 0, 1)                                                                                              \
    X(F_LOCALS, "f_locals", 0, 0)                                                                                                  \
    X(F_TRACE, "f_trace", 0, 0)                                                                                                    \
    X(F_FUNCOBJ, "<function>", 0, 0)                                                                                               \
    X(F_OBJECT, "<frame object>", 0, 0)                                                                                            \
    X(GI_CODE, "gi_code", 0, 0)                                                                                                    \
    X(GI_FRAME, "gi_frame", 0, 0)                                                                                                  \
    X(GI_YIELDFROM, "gi_yieldfrom", 0, 0)                                                                                          \
    X(GI_NAME, "__name__", 0, 0)                                                                                                   \
    X(ORIGIN, "cr_origin", 0, 0)                                                                                                   \
    X(EXC_STATE, "<handled exception>", 0, 0)                                                                                      \
    X(ARGS, "args", 0, 0)                                                                                                          \
    X(KEYWORDS, "keywords", 0, 0)                                                                                                  \
    X(CAUSE, "__cause__", 0, 0)                                                                                                    \
    X(CONTEXT, "__context__", 0, 0)                                                                                                \
    X(TRACEBACK, "__traceback__", 0, 0)                                                                                            \
    X(NOTES, "__notes__", 0, 0)                                                                                                    \
    X(TB_NEXT, "tb_next", 0, 0)                                                                                                    \
    X(TB_FRAME, "tb_frame", 0, 0)                                                                                                  \
    X(FGET, "fget", 0, 0)                                                                                                          \
    X(FSET, "fset", 0, 0)                                                                                                          \
    X(FDEL, "fdel", 0, 0)                                                                                                          \
    X(START, "start", 0, 0)                                                                                                        \
    X(STOP, "stop", 0, 0)                                                                                                          \
    X(STEP, "step", 0, 0)                                                                                                          \
    X(DEFAULT_FACTORY, "default_factory", 0, 0)                                                                                    \
    X(CACHE, "<cache>", 0, 0)                                                                                                      \
    X(CACHE_ENTRY, "<cache entry>", 0, 0)                                                                                          \
    X(BUFFER, "<buffer>", 0, 0)                                                                                                    \
    X(OBJ, "obj", 0, 0)                                                                                                            \
    X(TZINFO, "tzinfo", 0, 0)                                                                                                      \
    X(PATTERN, "pattern", 0, 0)                                                                                                    \
    X(GROUPINDEX, "groupindex", 0, 0)                                                                                              \
    X(INDEXGROUP, "<index of groups>", 0, 0)                                                                                       \
    X(STRING, "string", 0, 0)                                                                                                      \
    X(FORMAT, "format", 0, 0)                                                                                                      \
    X(NUMPY_BASE, "base", 0, 0)                                                                                                    \
    X(DTYPE, "dtype", 0, 0)                                                                                                        \
    X(MODULES, "sys.modules", 0, 0)                                                                                                \
    X(SYSDICT, "sys.__dict__", 0, 0)                                                                                               \
    X(BUILTINS_DICT, "builtins.__dict__", 0, 0)                                                                                    \
    X(INTERP_DICT, "<interpreter dict>", 0, 0)                                                                                     \
    X(INTERP_STATE, "<interpreter state>", 0, 0)                                                                                   \
    X(THREAD_DICT, "<thread-local data>", 0, 0)                                                                                    \
    X(THREAD_CONTEXT, "<context>", 0, 0)                                                                                           \
    X(THREAD_EXC, "<current exception>", 0, 0)                                                                                     \
    X(THREAD_TRACE, "<trace function>", 0, 0)                                                                                      \
    X(THREAD_PROFILE, "<profile function>", 0, 0)                                                                                  \
    X(ASYNC_HOOK, "<async generator hook>", 0, 0)                                                                                  \
    X(INTERNED, "<interned string>", 1, 1)                                                                                         \
    X(WEAKREFS, "__weakref__", 1, 1)                                                                                               \
    X(GARBAGE, "gc.garbage", 0, 0)                                                                                                 \
    X(CALLBACKS, "gc.callbacks", 0, 0)                                                                                             \
    X(PARTIAL_FUNC, "func", 0, 0)                                                                                                  \
    X(ATEXIT, "<atexit callbacks>", 0, 0)                                                                                          \
    X(ATTRIBUTE_CACHE, "<attribute cache>", 0, 1)                                                                                  \
    X(INTERNED_STRINGS, "<interned strings>", 0, 0)                                                                                \
    X(TEMPORARY, "<temporary value>", 1, 0)                                                                                        \
    X(CONSTANT, "<constant of code>", 0, 0)                                                                                        \
    X(UTC_OFFSET, "<UTC offset>", 0, 0)                                                                                            \
    X(ZONE_NAME, "<name of the zone>", 0, 0)

typedef enum mpr_field {
#define MPR_FIELD_ENUM(id, text, weak, housekeeping) MPR_FIELD_##id,
    MPR_FIELDS(MPR_FIELD_ENUM)
#undef MPR_FIELD_ENUM
        MPR_FIELD_COUNT
} mpr_field;

static inline mpr_label mpr_label_make(mpr_label_kind kind, uint64_t payload) {
    return (uint32_t)kind << 28 | (uint32_t)(payload < MPR_LABEL_PAYLOAD ? payload : MPR_LABEL_PAYLOAD);
}

static inline mpr_label_kind mpr_label_kind_of(mpr_label label) { return (mpr_label_kind)(label >> 28); }
static inline uint32_t mpr_label_payload(mpr_label label) { return label & MPR_LABEL_PAYLOAD; }
static inline int mpr_label_strong(mpr_label label) { return !(label & MPR_LABEL_WEAK); }

/* True for an edge that questions about user data skip unless asked. */
static inline int mpr_label_housekeeping(mpr_label label) { return (label & MPR_LABEL_HOUSEKEEPING) != 0; }

/* True for an edge that was found by looking at memory. */
static inline int mpr_label_found(mpr_label label) {
    return mpr_label_kind_of(label) == MPR_LABEL_NATIVE || mpr_label_kind_of(label) == MPR_LABEL_DOUBTED;
}

/* True for a label whose name is the target of the holder's preceding edge. */
static inline int mpr_label_named_by_previous(mpr_label label) {
    const uint32_t kinds = 1u << MPR_LABEL_VALUE | 1u << MPR_LABEL_ATTR | 1u << MPR_LABEL_LOCAL | 1u << MPR_LABEL_CELL;
    return (int)(kinds >> mpr_label_kind_of(label) & 1);
}

/* The label of a field, with its weak and housekeeping bits. */
mpr_label mpr_label_field(mpr_field field);

/* The text of a field; "<unknown>" for a number out of range. Static. */
const char *mpr_label_field_text(uint32_t field);

/* True when kind, field and bits are ones that a sink is given. What was found is weak there: freeze says which of it retains. */
static inline int mpr_label_valid(mpr_label label) {
    mpr_label_kind kind = mpr_label_kind_of(label);
    return kind <= MPR_LABEL_DOUBTED && (kind != MPR_LABEL_FIELD || mpr_label_payload(label) < MPR_FIELD_COUNT) &&
           !(mpr_label_found(label) && mpr_label_strong(label));
}

#endif
