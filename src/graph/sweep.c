/* SPDX-License-Identifier: MIT
 * Reachability over strong edges, with an array for a work list: no recursion, no limit of depth. */
#include "graph/sweep.h"

int mpr_sweep_enter(mpr_sweep *sweep, uint32_t node) {
    if (sweep->reached[node] != 0 || (sweep->flags[node] & sweep->walls) != 0) {
        return MPR_OK;
    }
    sweep->reached[node] = sweep->mark;
    return mpr_vec_push(&sweep->open, sweep->alloc, node);
}

static int leave(mpr_sweep *sweep, const mpr_graph *g, uint32_t node) {
    mpr_label skip = MPR_LABEL_WEAK | (sweep->housekeeping ? 0 : MPR_LABEL_HOUSEKEEPING);
    uint64_t end = mpr_graph_first(g, node + 1);
    for (uint64_t k = mpr_graph_first(g, node); k < end; k++) {
        if ((g->label[k] & skip) == 0 && mpr_sweep_enter(sweep, g->target[k]) != MPR_OK) {
            return MPR_ENOMEM;
        }
    }
    uint32_t class = g->types[g->type[node]].node;
    return sweep->housekeeping && class != MPR_NO_NODE ? mpr_sweep_enter(sweep, class) : MPR_OK;
}

int mpr_sweep_run(mpr_sweep *sweep, const mpr_graph *g, void (*each)(void *context, uint32_t node), void *context) {
    while (sweep->open.count > 0) {
        uint32_t node = sweep->open.items[--sweep->open.count];
        if (each != NULL) {
            each(context, node);
        }
        if (leave(sweep, g, node) != MPR_OK) {
            return MPR_ENOMEM;
        }
    }
    return MPR_OK;
}

void mpr_sweep_free(mpr_sweep *sweep) { mpr_vec_free(&sweep->open, sweep->alloc); }
