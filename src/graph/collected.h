/* SPDX-License-Identifier: MIT
 * What a builder has collected, shared by builder.c (which fills it) and freeze.c and roots.c (which turn it into a graph).
 *
 * Invariant while collecting: handle, type, size, flags, refs and first_low have one entry a node; target and label one an edge. */
#ifndef MPR_GRAPH_COLLECTED_H
#define MPR_GRAPH_COLLECTED_H

#include "base/vec.h"
#include "graph/builder.h"

struct mpr_builder {
    mpr_sink sink; /* first: a sink pointer is a builder pointer */
    mpr_alloc *alloc;
    mpr_addrset addresses;
    size_t room; /* nodes for which all of the next six have capacity, while they are collected */
    MPR_VEC(uint32_t) handle;
    MPR_VEC(uint32_t) type;
    MPR_VEC(uint32_t) size;
    MPR_VEC(uint16_t) flags;
    MPR_VEC(uint32_t) refs; /* reference count, at most INT32_MAX; freeze subtracts the edges found */
    MPR_VEC(uint32_t) first_low;
    MPR_VEC(uint64_t) first_base;
    MPR_VEC(uint32_t) target; /* handles, until freeze makes them ids */
    MPR_VEC(mpr_label) label;
    MPR_VEC(mpr_side) residual;
    MPR_VEC(mpr_side) big;
    MPR_VEC(mpr_type) types;
    MPR_VEC(mpr_named) named;
    MPR_VEC(mpr_text) texts;
    MPR_VEC(mpr_hashed) hashed;
    MPR_VEC(mpr_info) infos;
    MPR_VEC(char) strings;
    uint32_t *order; /* made by freeze: rank of an address -> node */
    uint64_t dangling;
    size_t first_unsettled; /* made by freeze: the first node with an edge TEMPORARY or NATIVE; the number of nodes for none */
};

/* Append a node that no walk has seen. MPR_OK, MPR_ENOMEM, MPR_ELIMIT. */
int mpr_collected_push_group(struct mpr_builder *b, uint32_t type);

/* The offset of the next edge becomes the first of the next node. MPR_OK, MPR_ENOMEM, MPR_ELIMIT. */
int mpr_collected_push_first(struct mpr_builder *b);

/* Append bytes and a NUL to the strings: the offset, or a negative status. */
int64_t mpr_collected_string(struct mpr_builder *b, const char *text, size_t length);

/* Point a graph's columns into its storage; after anything was appended there. */
void mpr_collected_view(mpr_graph *g);

/* Append the derived root groups to a graph whose edges and residuals are final, and mark memprobe's own objects and garbage.
 * MPR_OK or MPR_ENOMEM. */
int mpr_roots_add(mpr_graph *g);

#endif
