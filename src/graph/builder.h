/* SPDX-License-Identifier: MIT
 * The sink that makes a graph: it collects what is seen, compactly, and mpr_builder_freeze turns it into the immutable heap graph.
 *
 * While it collects, an edge's target is a handle (4 bytes) of an address that may not have been seen yet; freeze numbers the nodes,
 * translates targets in place, subtracts references to find residuals, adds the derived root groups and finds memprobe's own
 * objects. Peak memory: the graph, the reference counts (4 bytes a node) and the growth of the last vector. */
#ifndef MPR_GRAPH_BUILDER_H
#define MPR_GRAPH_BUILDER_H

#include "base/alloc.h"
#include "graph/graph.h"
#include "graph/sink.h"

typedef struct mpr_builder mpr_builder;

/* A new builder, or MPR_ENOMEM. `alloc` must outlive it and the graph. */
int mpr_builder_new(mpr_builder **out, mpr_alloc *alloc);

/* Its sink, valid as long as the builder. Calls out of order or with values out of range give MPR_EFORMAT. */
mpr_sink *mpr_builder_sink(mpr_builder *builder);

/* Freeze: *out is the graph, and the builder is used up (free it all the same). MPR_OK, MPR_ENOMEM, MPR_ELIMIT. */
int mpr_builder_freeze(mpr_builder *builder, mpr_graph **out);

/* NULL is allowed. */
void mpr_builder_free(mpr_builder *builder);

#endif
