/* SPDX-License-Identifier: MIT
 * Reachability with its totals: a sweep that counts what it leaves. */
#include "algo/reach.h"

#include "base/status.h"
#include "graph/sweep.h"

typedef struct count {
    const mpr_graph *g;
    uint64_t objects, bytes;
} count;

static void count_node(void *context, uint32_t node) {
    count *c = context;
    if (mpr_graph_is_object(c->g, node)) {
        c->objects++;
        c->bytes += mpr_graph_size(c->g, node);
    }
}

int mpr_reach(const mpr_graph *g, const uint32_t *starts, size_t start_count, bool housekeeping, uint8_t *out, uint64_t *objects,
              uint64_t *bytes) {
    mpr_sweep sweep;
    count c = {.g = g};
    int status = mpr_sweep_begin(&sweep, g);
    sweep.reached = out;
    sweep.mark = 1;
    sweep.housekeeping = housekeeping;
    if (status == MPR_OK) {
        for (size_t i = 0; i < start_count; i++) {
            mpr_sweep_enter(&sweep, starts[i]);
        }
        mpr_sweep_run(&sweep, g, count_node, &c);
        if (objects != NULL) {
            *objects = c.objects;
        }
        if (bytes != NULL) {
            *bytes = c.bytes;
        }
    }
    mpr_sweep_end(&sweep);
    return status;
}
