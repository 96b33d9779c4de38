/* SPDX-License-Identifier: MIT
 * Reachability with its own marks for a work list. */
#include "graph/sweep.h"

#include <string.h>

#include "base/status.h"

#define AHEAD 16 /* edges */
#define PENDING UINT8_MAX
#define PAGE 4096u /* nodes */

int mpr_sweep_begin(mpr_sweep *s, const mpr_graph *g) {
    *s = (mpr_sweep){.alloc = g->alloc, .nodes = g->nodes, .pages = g->nodes / PAGE + 1};
    s->queued = mpr_alloc_array(s->alloc, s->pages, sizeof *s->queued);
    s->queue = mpr_alloc_array(s->alloc, s->pages, sizeof *s->queue);
    return s->queued == NULL || s->queue == NULL ? MPR_ENOMEM : MPR_OK;
}

void mpr_sweep_end(mpr_sweep *s) {
    mpr_alloc_free(s->alloc, s->queued, s->pages, sizeof *s->queued);
    mpr_alloc_free(s->alloc, s->queue, s->pages, sizeof *s->queue);
}

static void enqueue(mpr_sweep *s, uint32_t page) {
    uint32_t tail = s->head + s->waiting++;
    s->queue[tail < s->pages ? tail : tail - s->pages] = page;
    s->queued[page] = true;
}

static inline void enter(mpr_sweep *s, uint32_t node) {
    if (s->reached[node] == 0) {
        s->reached[node] = PENDING;
        if (!s->queued[node / PAGE]) {
            enqueue(s, node / PAGE);
        }
    }
}

void mpr_sweep_enter(mpr_sweep *s, uint32_t node) { enter(s, node); }

/* The pending node after this one is near, mostly: what is fetched ahead may belong to it. */
static void leave(mpr_sweep *s, const mpr_graph *g, uint32_t node) {
    mpr_label skip = MPR_LABEL_WEAK | (s->housekeeping ? 0 : MPR_LABEL_HOUSEKEEPING);
    uint64_t end = mpr_graph_first(g, node + 1);
    for (uint64_t k = mpr_graph_first(g, node); k < end; k++) {
        uint32_t ahead = g->target[k + AHEAD < g->edges ? k + AHEAD : k];
        __builtin_prefetch(&s->reached[ahead], 1);
        if ((g->label[k] & skip) == 0) {
            enter(s, g->target[k]);
        }
    }
    const mpr_type *type = &g->types[g->type[node]];
    bool owns = (type->flags & MPR_TYPE_HEAP) && !(g->flags[node] & MPR_NODE_SYNTHETIC); /* its class */
    if (s->housekeeping && owns && type->node != MPR_NO_NODE) {
        enter(s, type->node);
    }
}

/* Leave what is pending in a page, in ascending order: true when there was anything. */
static bool leave_page(mpr_sweep *s, const mpr_graph *g, uint32_t page, void (*each)(void *context, uint32_t node), void *context) {
    uint8_t *first = s->reached + (size_t)page * PAGE, *end = page + 1 < s->pages ? first + PAGE : s->reached + s->nodes;
    bool found = false;
    for (uint8_t *at = first; at < end; at++) {
        if (*at != PENDING && (at = memchr(at, PENDING, (size_t)(end - at))) == NULL) {
            break;
        }
        uint32_t node = (uint32_t)(at - s->reached);
        found = true;
        *at = s->mark;
        if (each != NULL) {
            each(context, node);
        }
        leave(s, g, node);
    }
    return found;
}

/* A page keeps its place at the head of the queue until nothing in it is pending: what is entered meanwhile in it needs no second place. */
void mpr_sweep_run(mpr_sweep *s, const mpr_graph *g, void (*each)(void *context, uint32_t node), void *context) {
    while (s->waiting > 0) {
        uint32_t page = s->queue[s->head];
        while (leave_page(s, g, page, each, context)) {
        }
        s->queued[page] = false;
        s->head = s->head + 1 < s->pages ? s->head + 1 : 0;
        s->waiting--;
    }
}
