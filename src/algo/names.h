/* SPDX-License-Identifier: MIT
 * Names for people: a path in the words of a Python programmer. The one place that makes text of paths.
 *
 *   app.cache.items[3]                     from the module or class that has it; namespaces are looked through
 *   main (app.py:12): local tasks          a variable of a running or suspended function, with file and line
 *   app.handler: closure seen              a variable of a closure
 *   app.lookup: cache entry                what functools.cache keeps
 *   ContextVar 'request'.user              the value of a context variable; a thread-local is its variable's attribute
 *   app.live → Session.cart                by a reference that has no name: an element of a set, a field of a C type
 *   app.head.next ×29,999 .data            repeats are folded
 *   held by C code: method Parser.error    what only C holds; likewise garbage: ..., immortal: ..., interned for good: ..., interpreter: ...
 *
 * A name is evaluable when it is Python: import the module, and the rest evaluates to the object. */
#ifndef MPR_ALGO_NAMES_H
#define MPR_ALGO_NAMES_H

#include "algo/steps.h"
#include "base/vec.h"

typedef struct mpr_name {
    MPR_VEC(char) text; /* UTF-8, not NUL-terminated */
    bool evaluable;
    size_t module;      /* of an evaluable name: the length of the module's name, which it begins with */
} mpr_name;

/* Who can still look at the objects says what a key is whose contents the graph does not have: "77", "b'x'"; 0 for one that is not shown. */
typedef struct mpr_name_keys {
    size_t (*text)(void *context, uint32_t node, char *out, size_t size); /* the length written, below `size` */
    void *context;
} mpr_name_keys;

/* The name of a path. `keys` may be NULL. `out` comes zeroed, or is used again; the caller frees its text. Cost: O(steps). MPR_OK or
 * MPR_ENOMEM. */
int mpr_names_join(const mpr_graph *g, const mpr_step *step, size_t count, const mpr_name_keys *keys, mpr_name *out);

/* What an object is, for lists of a kind: "method Parser.error", "function handler", else its type: the length written, below `size`. */
size_t mpr_names_what(const mpr_graph *g, uint32_t node, char *out, size_t size);

#endif
