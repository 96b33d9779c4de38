/* SPDX-License-Identifier: MIT
 * What the files of the waste analysis share. Internal to algo/. */
#ifndef MPR_ALGO_WASTE_PARTS_H
#define MPR_ALGO_WASTE_PARTS_H

#include "algo/waste.h"

#define WASTE_WORD 8

/* The types that are known by name. */
typedef enum waste_what {
    WHAT_OTHER,
    WHAT_LIST,
    WHAT_DICT,
    WHAT_SET,
    WHAT_STR,
    WHAT_BYTES,
    WHAT_TUPLE,
    WHAT_INT,
    WHAT_FLOAT,
    WHAT_COMPLEX
} waste_what;

typedef struct waste_costs {
    int64_t dict_head, dict_entry, dict_str_entry, set_entry, instance, weakref;
    int64_t object_head, gc_head, list_head; /* in each object; before each that the collector follows; before a list's items */
} waste_costs;

/* An object that wastes: how much, and the best edge to it. */
typedef struct waste_found {
    mpr_waste_kind kind;
    uint32_t node, of;
    uint32_t next; /* place + 1 of the other finding about the node, or 0 */
    uint32_t holder;
    uint64_t edge, bytes;
    int quality; /* of the edge: 0 none */
} waste_found;

typedef struct waste_work {
    const mpr_graph *g;
    mpr_waste *out;
    mpr_waste_options options;
    waste_costs costs;
    uint64_t done, reported; /* steps */
    uint8_t *what;   /* by type: waste_what */
    uint8_t *weak;   /* by type: an instance is weakly referenced */
    uint32_t *owner; /* by node: whose namespace it is, + 1; or 0 */
    uint32_t *slot;  /* by node: place in `found` + 1, or 0. For a while: place of its digest + 1 */
    uint32_t *refs;  /* by node: strong references from the heap. NULL until a list of numbers is met */
    MPR_VEC(waste_found) found;
} waste_work;

/* Count `steps`, and ask now and then whether to go on: MPR_OK or MPR_ECANCELLED. */
int waste_tick(waste_work *w, uint64_t steps);

/* A live object that is in answers. */
static inline bool waste_counts(const mpr_graph *g, uint32_t node) {
    return mpr_graph_is_object(g, node) && !(g->flags[node] & MPR_NODE_UNREACHABLE);
}

static inline waste_what waste_what_of(const waste_work *w, uint32_t node) { return (waste_what)w->what[w->g->type[node]]; }

/* Add a row, and its objects and bytes to the totals. */
int waste_add(waste_work *w, const mpr_waste_row *row);

/* Note that a node wastes bytes; then add rows for all that was noted, by who holds it, and forget it. */
int waste_note(waste_work *w, mpr_waste_kind kind, uint32_t node, uint32_t of, uint64_t bytes);
int waste_tell_noted(waste_work *w);

int waste_find_duplicates(waste_work *w);
int waste_find_instances(waste_work *w);

#endif
