/* SPDX-License-Identifier: MIT
 * What the algorithms mean by "refers to": the edges of a node that are followed, and behind them, as one step more, the reference from an
 * instance of a heap type to its class, which is the type column and no edge. Internal to algo/. */
#ifndef MPR_ALGO_STEPS_H
#define MPR_ALGO_STEPS_H

#include "graph/graph.h"

/* The class of a type's instances, when they own a reference to it; else MPR_NO_NODE. */
static inline uint32_t mpr_steps_class(const mpr_graph *g, uint32_t node) {
    const mpr_type *type = &g->types[g->type[node]];
    return (type->flags & MPR_TYPE_HEAP) && !(g->flags[node] & MPR_NODE_SYNTHETIC) ? type->node : MPR_NO_NODE;
}

static inline bool mpr_steps_follow(mpr_label label, bool housekeeping) {
    return mpr_label_strong(label) && (housekeeping || !mpr_label_housekeeping(label));
}

#endif
