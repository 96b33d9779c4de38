/* SPDX-License-Identifier: MIT
 * Steps of paths, and what the algorithms mean by "refers to": the edges of a node that are followed, and behind them, as one step more, the
 * reference from an instance of a heap type to its class, which is the type column and no edge. */
#ifndef MPR_ALGO_STEPS_H
#define MPR_ALGO_STEPS_H

#include "graph/graph.h"

/* A path is an array of steps: `edge` leads from `node` to the node of the next step, MPR_NO_EDGE from an instance to its class; the last
 * step is the end of the path, and its edge MPR_NO_EDGE. */
typedef struct mpr_step {
    uint64_t edge;
    uint32_t node;
} mpr_step;

/* The class of a type's instances, when they own a reference to it; else MPR_NO_NODE. */
static inline uint32_t mpr_steps_class(const mpr_graph *g, uint32_t node) {
    const mpr_type *type = &g->types[g->type[node]];
    return (type->flags & MPR_TYPE_HEAP) && !(g->flags[node] & MPR_NODE_SYNTHETIC) ? type->node : MPR_NO_NODE;
}

static inline bool mpr_steps_follow(mpr_label label, bool housekeeping) {
    return mpr_label_strong(label) && (housekeeping || !mpr_label_housekeeping(label));
}

static inline bool mpr_steps_is_field(mpr_label label, mpr_field field) {
    return mpr_label_kind_of(label) == MPR_LABEL_FIELD && mpr_label_payload(label) == (uint32_t)field;
}

/* Is the target the namespace of the holder: its __dict__? */
static inline bool mpr_steps_is_namespace(mpr_label label) {
    return mpr_steps_is_field(label, MPR_FIELD_DICT) || mpr_steps_is_field(label, MPR_FIELD_NAMESPACE);
}

#endif
