/* SPDX-License-Identifier: MIT
 * See graph/native.h. */
#include "graph/native.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/vec.h"

#define ALIKE_LEAST 10u /* blocks, of which a place can be judged */
#define FEW 8u          /* an address in less than one of so many is doubted */

static bool is_block(const mpr_graph *g, uint32_t node) { return (g->flags[node] & MPR_NODE_NATIVE) != 0; }

/* Does an edge retain a block until it is doubted? */
static bool is_claim(const mpr_graph *g, uint64_t edge) {
    return mpr_label_kind_of(g->label[edge]) == MPR_LABEL_NATIVE && mpr_label_strong(g->label[edge]) &&
           is_block(g, g->target[edge]);
}

/* ---- the best ways to blocks ---- */

/* What a way costs: of two that is the better one which has fewer words that look left behind, then fewer in places where few blocks have
 * one, then fewer steps. Ways that cost more than can be counted are alike. */
#define STEP UINT64_C(1)
#define IN_ODD_PLACE (UINT64_C(1) << 24)
#define LEFT_BEHIND (UINT64_C(1) << 44)
#define NO_WAY UINT64_MAX

static uint64_t sum(uint64_t cost, uint64_t step) { return cost < NO_WAY - step ? cost + step : NO_WAY - 1; }

typedef struct entry {
    uint64_t cost;
    uint32_t holder, target, place;
} entry;

typedef MPR_VEC(entry) entries;

/* Of each node: the cost of the best way from what is no block, and the last step of that. */
typedef struct ways {
    mpr_alloc *alloc;
    uint32_t nodes;
    uint64_t *cost; /* NO_WAY: none leads to it */
    uint32_t *holder, *place;
    uint32_t *queue; /* nodes to go on from, by cost */
    size_t at, count;
    entries odd, behind; /* doubted steps from them, to be taken when there is no better one */
    entries taken;       /* those that are */
    int status;
} ways;

static void ways_free(ways *w) {
    mpr_alloc_free(w->alloc, w->cost, w->nodes, sizeof *w->cost);
    mpr_alloc_free(w->alloc, w->holder, w->nodes, sizeof *w->holder);
    mpr_alloc_free(w->alloc, w->place, w->nodes, sizeof *w->place);
    mpr_alloc_free(w->alloc, w->queue, w->nodes, sizeof *w->queue);
    mpr_vec_free(&w->odd, w->alloc);
    mpr_vec_free(&w->behind, w->alloc);
    mpr_vec_free(&w->taken, w->alloc);
}

static int ways_make(ways *w, const mpr_graph *g) {
    *w = (ways){.alloc = g->alloc, .nodes = g->nodes};
    w->cost = mpr_alloc_array(g->alloc, g->nodes, sizeof *w->cost);
    w->holder = mpr_alloc_array(g->alloc, g->nodes, sizeof *w->holder);
    w->place = mpr_alloc_array(g->alloc, g->nodes, sizeof *w->place);
    w->queue = mpr_alloc_array(g->alloc, g->nodes, sizeof *w->queue);
    return w->cost != NULL && w->holder != NULL && w->place != NULL && w->queue != NULL ? MPR_OK : MPR_ENOMEM;
}

/* What a step over an edge to a block costs; 0: it is none. */
static uint64_t cost_of(const mpr_graph *g, uint64_t edge) {
    if (!mpr_label_found(g->label[edge]) || !is_block(g, g->target[edge])) {
        return 0;
    }
    bool exact = mpr_label_kind_of(g->label[edge]) == MPR_LABEL_NATIVE;
    return STEP + (!exact ? LEFT_BEHIND : mpr_label_strong(g->label[edge]) ? 0 : IN_ODD_PLACE);
}

/* A way to a node, if it is the first. */
static void enter(ways *w, const entry *e) {
    if (w->cost[e->target] == NO_WAY) {
        w->cost[e->target] = e->cost;
        w->holder[e->target] = e->holder;
        w->place[e->target] = e->place;
        w->queue[w->count++] = e->target;
    }
}

/* Go on from a node: over claims at once. */
static void leave(const mpr_graph *g, ways *w, uint32_t node) {
    for (uint64_t k = mpr_graph_first(g, node); k < mpr_graph_first(g, node + 1); k++) {
        uint64_t cost = cost_of(g, k);
        entry e = {sum(w->cost[node], cost), node, g->target[k], mpr_label_payload(g->label[k])};
        if (cost == 0 || w->cost[e.target] != NO_WAY) {
            continue;
        }
        if (cost == STEP) {
            enter(w, &e);
        } else if (mpr_vec_push(cost > LEFT_BEHIND ? &w->behind : &w->odd, w->alloc, e) != MPR_OK) {
            w->status = MPR_ENOMEM;
        }
    }
}

static int by_cost(const void *left, const void *right) {
    const entry *a = left, *b = right;
    return a->cost != b->cost ? (a->cost < b->cost ? -1 : 1) : (a->holder > b->holder) - (a->holder < b->holder);
}

/* Take doubted steps, and go on from where they lead: from what costs least first. Those that are found meanwhile are listed anew. */
static void take(const mpr_graph *g, ways *w, entries *list) {
    entries taken = *list;
    *list = w->taken;
    list->count = 0;
    w->taken = taken;
    if (taken.count > 1) {
        qsort(taken.items, taken.count, sizeof *taken.items, by_cost);
    }
    for (size_t i = 0; i < taken.count || w->at < w->count;) {
        bool queued = w->at < w->count && (i == taken.count || w->cost[w->queue[w->at]] < taken.items[i].cost);
        if (queued) {
            leave(g, w, w->queue[w->at++]);
        } else {
            enter(w, &taken.items[i++]);
        }
    }
}

/* Dijkstra's algorithm, whose heap is a queue here: without doubts each step costs one. */
static int find_ways(const mpr_graph *g, ways *w) {
    w->at = w->count = 0;
    for (uint32_t i = 0; i < g->seen; i++) {
        w->cost[i] = is_block(g, i) ? NO_WAY : 0;
    }
    for (uint32_t i = 0; i < g->seen; i++) {
        if (!is_block(g, i)) {
            leave(g, w, i);
        }
    }
    take(g, w, &w->odd);
    while (w->odd.count + w->behind.count > 0 && w->status == MPR_OK) {
        take(g, w, w->odd.count > 0 ? &w->odd : &w->behind);
    }
    return w->status;
}

/* ---- places ---- */

/* How many blocks are alike, and how many of them have the address of one in a place. */
typedef struct places {
    const mpr_graph *g;
    const ways *ways;
    mpr_map blocks, words;
} places;

/* Blocks that begin alike and have one size. */
static uint64_t class_of(const mpr_graph *g, uint32_t node) { return mpr_map_mix(g->type[node], mpr_graph_size(g, node)); }

/* Those of them to which the same place of alike holders leads: of one structure, where a size has many. */
static uint64_t structure_of(const places *p, uint32_t node) {
    bool reached = p->ways->cost[node] != NO_WAY;
    uint64_t holder = reached ? class_of(p->g, p->ways->holder[node]) : 0;
    return mpr_map_mix(class_of(p->g, node), mpr_map_mix(holder, p->ways->place[node]));
}

static int count_one(mpr_map *map, uint64_t key) {
    int made;
    uint32_t *value = mpr_map_add(map, key, &made);
    if (value == NULL) {
        return MPR_ENOMEM;
    }
    *value = made ? 1 : *value + (*value < UINT32_MAX);
    return MPR_OK;
}

static int count(mpr_map *map, uint64_t class, uint64_t structure) {
    int status = count_one(map, class);
    return status == MPR_OK ? count_one(map, structure) : status;
}

static uint64_t number_of(const mpr_map *map, uint64_t key) {
    const uint32_t *value = mpr_map_find(map, key);
    return value == NULL ? 0 : *value;
}

static int count_words(places *p, uint32_t node) {
    uint64_t class = class_of(p->g, node), structure = structure_of(p, node);
    int status = MPR_OK;
    bool judged = number_of(&p->blocks, class) >= ALIKE_LEAST;
    for (uint64_t k = mpr_graph_first(p->g, node); judged && status == MPR_OK && k < mpr_graph_first(p->g, node + 1); k++) {
        uint32_t place = mpr_label_payload(p->g->label[k]);
        status = is_claim(p->g, k) ? count(&p->words, mpr_map_mix(class, place), mpr_map_mix(structure, place)) : MPR_OK;
    }
    return status;
}

static int count_all(places *p) {
    const mpr_graph *g = p->g;
    int status = MPR_OK;
    for (uint32_t i = 0; status == MPR_OK && i < g->seen; i++) {
        status = is_block(g, i) ? count(&p->blocks, class_of(g, i), structure_of(p, i)) : MPR_OK;
    }
    for (uint32_t i = 0; status == MPR_OK && i < g->seen; i++) {
        status = is_block(g, i) ? count_words(p, i) : MPR_OK;
    }
    return status;
}

/* Have enough of those that are alike an address in this place? */
static bool is_usual(const places *p, uint64_t alike, uint32_t place) {
    uint64_t blocks = number_of(&p->blocks, alike);
    return blocks >= ALIKE_LEAST && FEW * number_of(&p->words, mpr_map_mix(alike, place)) >= blocks;
}

static void doubt_words(const places *p, uint32_t node) {
    const mpr_graph *g = p->g;
    uint64_t class = class_of(g, node), structure = structure_of(p, node);
    if (number_of(&p->blocks, class) < ALIKE_LEAST) {
        return;
    }
    for (uint64_t k = mpr_graph_first(g, node); k < mpr_graph_first(g, node + 1); k++) {
        uint32_t place = mpr_label_payload(g->label[k]);
        if (is_claim(g, k) && !is_usual(p, class, place) && !is_usual(p, structure, place)) {
            g->label[k] |= MPR_LABEL_WEAK;
        }
    }
}

static int doubt_places(mpr_graph *g, const ways *w) {
    places p = {.g = g, .ways = w, .blocks = {.alloc = g->alloc}, .words = {.alloc = g->alloc}};
    int status = count_all(&p);
    for (uint32_t i = 0; status == MPR_OK && i < g->seen; i++) {
        if (is_block(g, i)) {
            doubt_words(&p, i);
        }
    }
    mpr_map_free(&p.blocks);
    mpr_map_free(&p.words);
    return status;
}

/* ---- all of it ---- */

/* What is a last step of a best way to a block retains it, whether it is doubted or not. Nothing else does, where there is a way. */
static void keep_best(mpr_graph *g, const ways *w) {
    for (uint32_t i = 0; i < g->seen; i++) {
        for (uint64_t k = mpr_graph_first(g, i); k < mpr_graph_first(g, i + 1); k++) {
            uint64_t step = cost_of(g, k), best = step == 0 ? NO_WAY : w->cost[g->target[k]];
            if (best != NO_WAY) {
                bool is_best = w->cost[i] != NO_WAY && sum(w->cost[i], step) == best;
                g->label[k] = is_best ? g->label[k] & ~MPR_LABEL_WEAK : g->label[k] | MPR_LABEL_WEAK;
            }
        }
    }
}

int mpr_native_doubt(mpr_graph *g) {
    ways w;
    if (g->group[MPR_GROUP_NATIVE] == MPR_NO_NODE) {
        return MPR_OK;
    }
    int status = ways_make(&w, g);
    status = status == MPR_OK ? find_ways(g, &w) : status;
    status = status == MPR_OK ? doubt_places(g, &w) : status;
    status = status == MPR_OK ? find_ways(g, &w) : status;
    if (status == MPR_OK) {
        keep_best(g, &w);
    }
    ways_free(&w);
    return status;
}

/* ---- what is needed ---- */

typedef struct needing {
    mpr_graph *g;
    mpr_sweep *sweep;
    MPR_VEC(uint32_t) reached; /* since edges were looked at last */
    MPR_VEC(uint32_t) needed;
    int status;
} needing;

static void fail(needing *n, int status) { n->status = n->status == MPR_OK ? status : n->status; }

/* Doubted edges from a node to blocks that nothing has reached become strong. Their targets are listed, and entered when all
 * edges have been looked at: those to one block are alike. */
static void look_from(needing *n, uint32_t node) {
    mpr_graph *g = n->g;
    for (uint64_t k = mpr_graph_first(g, node); k < mpr_graph_first(g, node + 1); k++) {
        uint32_t target = g->target[k];
        if (mpr_label_found(g->label[k]) && is_block(g, target) && n->sweep->reached[target] == 0) {
            g->label[k] &= ~MPR_LABEL_WEAK;
            fail(n, mpr_vec_push(&n->needed, g->alloc, target));
        }
    }
}

static void note_reached(void *context, uint32_t node) {
    needing *n = context;
    fail(n, mpr_vec_push(&n->reached, n->g->alloc, node));
}

/* Enter what is needed, and what it reaches: each node is looked at once. */
static void enter_needed(needing *n) {
    n->reached.count = 0;
    for (size_t i = 0; i < n->needed.count; i++) {
        mpr_sweep_enter(n->sweep, n->needed.items[i]);
    }
    n->needed.count = 0;
    mpr_sweep_run(n->sweep, n->g, note_reached, n);
    for (size_t i = 0; n->status == MPR_OK && i < n->reached.count; i++) {
        look_from(n, n->reached.items[i]);
    }
}

int mpr_native_sweep(mpr_sweep *sweep, mpr_graph *g) {
    needing n = {.g = g, .sweep = sweep};
    if (g->group[MPR_GROUP_NATIVE] == MPR_NO_NODE) {
        return MPR_OK;
    }
    for (uint32_t i = 0; n.status == MPR_OK && (i = mpr_sweep_next(sweep->reached, i, g->seen, sweep->mark)) < g->seen; i++) {
        look_from(&n, i);
    }
    while (n.status == MPR_OK && n.needed.count > 0) {
        enter_needed(&n);
    }
    mpr_vec_free(&n.reached, g->alloc);
    mpr_vec_free(&n.needed, g->alloc);
    return n.status;
}
