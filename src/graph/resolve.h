/* SPDX-License-Identifier: MIT
 * What an edge is called, as a structure: the one place that looks a label's name up where it lives. Whoever shows an edge, compares two or
 * makes a path of some starts from here; nobody parses the text of a label. Used by algo, export and binding; cpython fills the same structure
 * for questions about live objects. */
#ifndef MPR_GRAPH_RESOLVE_H
#define MPR_GRAPH_RESOLVE_H

#include "graph/graph.h"

typedef struct mpr_resolved {
    mpr_label_kind kind;  /* an OFFSET or INLINE whose type has a name for it is an ATTR */
    uint32_t number;      /* INDEX, STACK: which; OFFSET: bytes; INLINE: which value; FIELD: the mpr_field */
    const char *name; /* UTF-8, not NUL-terminated: of the attribute, field, variable or str key; NULL for none that is known */
    size_t length; /* of the name */
    const char *type; /* KEY, VALUE, NAME and a variable without a name: the type of the object that serves as one; else NULL */
    size_t type_length;
    uint32_t name_node; /* the object that serves as name, or MPR_NO_NODE */
    bool is_text; /* the name is the contents of a str: between quotes when it is a key */
    bool weak, housekeeping;
} mpr_resolved;

/* Edge `edge` of `holder`. Texts are the graph's. */
void mpr_graph_resolve(const mpr_graph *g, uint32_t holder, uint64_t edge, mpr_resolved *out);

/* The reference from an instance to its class, which is no edge. */
void mpr_graph_resolve_class(mpr_resolved *out);

/* As a programmer would write it, into out (always NUL-terminated, at most `size` bytes with the NUL): ".name", "['key']", "[3]",
 * "local x", "+0x18". Returns the length written. */
size_t mpr_resolved_text(const mpr_resolved *resolved, char *out, size_t size);

/* A str between quotes, with what would end it or break a line escaped: the length written, below `size`. */
size_t mpr_resolved_quote(const char *text, size_t length, char *out, size_t size);

/* A word for the kind, for people and JSON: "attr", "value", "index" ... Static. */
const char *mpr_resolved_kind(mpr_label_kind kind);

#endif
