/* SPDX-License-Identifier: MIT
 * Reachability with a bitmap for a work list. */
#include "graph/sweep.h"

#include "base/status.h"

#define AHEAD 16 /* edges */

static uint32_t words_of(uint32_t nodes) { return nodes / 64 + 1; }

int mpr_sweep_begin(mpr_sweep *s, const mpr_graph *g) {
    *s = (mpr_sweep){.alloc = g->alloc, .nodes = g->nodes, .pages = words_of(g->nodes) / 64 + 1};
    s->pending = mpr_alloc_array(s->alloc, words_of(s->nodes), sizeof *s->pending);
    s->summary = mpr_alloc_array(s->alloc, s->pages, sizeof *s->summary);
    s->queue = mpr_alloc_array(s->alloc, s->pages, sizeof *s->queue);
    return s->pending == NULL || s->summary == NULL || s->queue == NULL ? MPR_ENOMEM : MPR_OK;
}

void mpr_sweep_end(mpr_sweep *s) {
    mpr_alloc_free(s->alloc, s->pending, words_of(s->nodes), sizeof *s->pending);
    mpr_alloc_free(s->alloc, s->summary, s->pages, sizeof *s->summary);
    mpr_alloc_free(s->alloc, s->queue, s->pages, sizeof *s->queue);
}

static void push(mpr_sweep *s, uint32_t node) {
    uint32_t word = node >> 6, page = node >> 12;
    if (s->summary[page] == 0) {
        uint32_t tail = s->head + s->waiting++;
        s->queue[tail < s->pages ? tail : tail - s->pages] = page;
    }
    s->summary[page] |= UINT64_C(1) << (word & 63);
    s->pending[word] |= UINT64_C(1) << (node & 63);
}

static inline void enter(mpr_sweep *s, uint32_t node) {
    if (s->reached[node] == 0) {
        s->reached[node] = s->mark;
        push(s, node);
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

/* The lowest pending node of a page, no longer pending. The page has one. */
static uint32_t take(mpr_sweep *s, uint32_t page) {
    uint32_t word = page << 6 | (uint32_t)__builtin_ctzll(s->summary[page]);
    uint32_t node = word << 6 | (uint32_t)__builtin_ctzll(s->pending[word]);
    s->pending[word] &= s->pending[word] - 1;
    return node;
}

/* A page keeps its bit in the summary, and its place at the head of the queue, until the word is empty after its node was left: what is
 * marked meanwhile in the same page then needs no second place. */
void mpr_sweep_run(mpr_sweep *s, const mpr_graph *g, void (*each)(void *context, uint32_t node), void *context) {
    while (s->waiting > 0) {
        uint32_t page = s->queue[s->head];
        while (s->summary[page] != 0) {
            uint32_t node = take(s, page), word = node >> 6;
            if (each != NULL) {
                each(context, node);
            }
            leave(s, g, node);
            if (s->pending[word] == 0) {
                s->summary[page] &= ~(UINT64_C(1) << (word & 63));
            }
        }
        s->head = s->head + 1 < s->pages ? s->head + 1 : 0;
        s->waiting--;
    }
}
