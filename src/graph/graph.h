/* SPDX-License-Identifier: MIT
 * The heap graph: immutable once frozen, the one thing that every question is a function of.
 *
 * Nodes are numbered 0 .. nodes-1 in the order in which they were seen, the derived root groups last. Edges are in CSR form: the
 * edges of node i are target[k], label[k] for mpr_graph_first(g, i) <= k < mpr_graph_first(g, i + 1), in the order given.
 * The reference from an instance to its class is the type column and no edge; mpr_type.node is the class's own node.
 *
 * Invariants (mpr_graph_check executes them): offsets never fall; targets are nodes; labels are valid; types are in range; every node's
 * address leads back to it; side tables are sorted by id and agree with the flags; derived groups come last in
 * the order of mpr_group; sums of sizes agree. Budget: <= 24 bytes a node + 8 bytes an edge. */
#ifndef MPR_GRAPH_GRAPH_H
#define MPR_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addrset.h"
#include "base/alloc.h"
#include "graph/label.h"
#include "graph/sink.h"

#define MPR_NO_NODE UINT32_MAX
#define MPR_NO_EDGE UINT64_MAX /* of a step: the reference from an instance to its class, or none */

typedef struct mpr_type {
    uint64_t address;
    uint32_t node; /* of the class, or MPR_NO_NODE */
    uint32_t name, name_length;   /* in the graph's string bytes */
    uint32_t basicsize, itemsize, flags;
    uint32_t named, named_count;  /* in the graph's table of named places */
} mpr_type;

typedef struct mpr_named {
    mpr_label label;
    uint32_t text, length;
} mpr_named;

typedef struct mpr_text {
    uint32_t node;
    uint32_t length;
    uint64_t text; /* offset in the graph's string bytes */
} mpr_text;

/* The contents of a node, hashed: equal digests, equal contents (of nodes of one type). Only in heaps that were taken with hashes. */
typedef struct mpr_hashed {
    uint32_t node;
    mpr_digest digest;
} mpr_hashed;

typedef struct mpr_info {
    uint64_t key, text; /* offsets in the graph's string bytes; both NUL-terminated there */
    uint32_t length;    /* of the text */
    bool is_text;
    int64_t number;
} mpr_info;

typedef struct mpr_side {
    uint32_t node;
    int64_t value;
} mpr_side;

/* The reverse index: the holders of node i are source[k] for first[i] <= k < first[i + 1], ascending, once for each edge. */
typedef struct mpr_reverse {
    uint64_t *first;  /* nodes + 1 */
    uint32_t *source; /* edges */
} mpr_reverse;

typedef struct mpr_totals {
    uint64_t objects;    /* nodes that are objects and not memprobe's own */
    uint64_t bytes;      /* of them */
    uint64_t immortal;
    uint64_t residual_zero, residual_positive, residual_negative; /* mortal objects, memprobe's own left out */
    uint64_t estimated;  /* sizes */
    uint64_t own_objects, own_bytes;
    uint64_t unreachable_objects, unreachable_bytes;
    uint64_t dangling;   /* edges to addresses that were never seen as nodes: dropped */
    uint64_t native_blocks, native_bytes, lost_blocks,
        lost_bytes; /* those lost are among the others; memprobe's own are in neither */
} mpr_totals;

typedef struct mpr_graph {
    mpr_alloc *alloc;
    struct mpr_builder *storage; /* owns the columns, which are views into it */
    uint32_t nodes;
    uint32_t seen; /* nodes below this were seen by the walk; the rest are derived groups */
    uint64_t edges;
    uint32_t *handle; /* address, by mpr_addrset; `seen` entries */
    uint32_t *type;
    uint32_t *size;   /* bytes; with MPR_NODE_BIG in `big` */
    uint16_t *flags;
    uint32_t *first_low;  /* nodes + 1: edge offsets, low half */
    uint64_t *first_base; /* one per 65,536 nodes */
    uint32_t *target;
    mpr_label *label;
    uint32_t *order;  /* rank of an address -> node */
    const mpr_addrset *addresses;
    mpr_side *residual, *big; /* sorted by node */
    size_t residuals, bigs;
    mpr_type *types;
    size_t type_count;
    mpr_named *named;
    size_t named_count;
    mpr_text *texts; /* sorted by node */
    size_t text_count;
    mpr_hashed *hashed; /* sorted by node */
    size_t hashed_count;
    mpr_info *infos;
    size_t info_count;
    char *strings;
    size_t string_bytes;
    uint32_t group[MPR_GROUP_COUNT]; /* node of each root group, or MPR_NO_NODE for one that was not seen */
    mpr_totals totals;
    mpr_reverse *reverse; /* made on first use */
} mpr_graph;

void mpr_graph_free(mpr_graph *graph); /* NULL is allowed */

static inline uint64_t mpr_graph_first(const mpr_graph *g, uint32_t node) { return g->first_base[node >> 16] + g->first_low[node]; }

uint64_t mpr_graph_address(const mpr_graph *g, uint32_t node); /* synthetic address for a group */
uint64_t mpr_graph_big_size(const mpr_graph *g, uint32_t node); /* of a node that is MPR_NODE_BIG */
int64_t mpr_graph_residual(const mpr_graph *g, uint32_t node);
int mpr_graph_find(const mpr_graph *g, uint64_t address, uint32_t *node); /* 1 found, 0 not */

static inline uint64_t mpr_graph_size(const mpr_graph *g, uint32_t node) {
    return g->flags[node] & MPR_NODE_BIG ? mpr_graph_big_size(g, node) : g->size[node];
}

/* The contents or name of a node, or NULL; *length is set when not NULL. UTF-8, not NUL-terminated. */
const char *mpr_graph_text(const mpr_graph *g, uint32_t node, size_t *length);

/* Has a type, or a node's type, this name? */
bool mpr_graph_is_called(const mpr_graph *g, const mpr_type *type, const char *name);

static inline bool mpr_graph_type_is(const mpr_graph *g, uint32_t node, const char *name) {
    return mpr_graph_is_called(g, &g->types[g->type[node]], name);
}

/* The digest of a node's contents, or NULL. */
const mpr_digest *mpr_graph_digest(const mpr_graph *g, uint32_t node);

/* The fact named key, or NULL. */
const mpr_info *mpr_graph_info(const mpr_graph *g, const char *key);

/* What the holder's type calls this OFFSET or INLINE label, or NULL. */
const mpr_named *mpr_graph_named(const mpr_graph *g, uint32_t type, mpr_label label);

/* Node and edge are in answers: no root group, frame or native block, and not memprobe's own. */
static inline bool mpr_graph_is_object(const mpr_graph *g, uint32_t node) {
    return !(g->flags[node] & (MPR_NODE_SYNTHETIC | MPR_NODE_NATIVE | MPR_NODE_OWN));
}

/* The reverse index, made now if it is not there: MPR_OK or MPR_ENOMEM. Edges in ascending order of source. */
int mpr_graph_make_reverse(mpr_graph *g);

/* Give everything that was seen to another sink (heap.save: graph -> writer). MPR_OK or what the sink said. */
int mpr_graph_tell(const mpr_graph *g, mpr_sink *sink);

/* Every invariant, as code: NULL when they hold, else a static sentence naming the first that does not. Slow. */
const char *mpr_graph_check(const mpr_graph *g);

#endif
