/* SPDX-License-Identifier: MIT
 * See graph/native.h. */
#include "graph/native.h"

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

/* ---- the shortest ways to blocks ---- */

/* Of each node: how many steps over claims it is from what is no block, and the last of them. */
typedef struct ways {
    mpr_alloc *alloc;
    uint32_t nodes;
    uint32_t *distance; /* MPR_NO_NODE: no way leads to it */
    uint32_t *holder, *place;
    uint32_t *queue;
} ways;

static void ways_free(ways *w) {
    mpr_alloc_free(w->alloc, w->distance, w->nodes, sizeof *w->distance);
    mpr_alloc_free(w->alloc, w->holder, w->nodes, sizeof *w->holder);
    mpr_alloc_free(w->alloc, w->place, w->nodes, sizeof *w->place);
    mpr_alloc_free(w->alloc, w->queue, w->nodes, sizeof *w->queue);
}

static int ways_make(ways *w, const mpr_graph *g) {
    *w = (ways){.alloc = g->alloc, .nodes = g->nodes};
    w->distance = mpr_alloc_array(g->alloc, g->nodes, sizeof *w->distance);
    w->holder = mpr_alloc_array(g->alloc, g->nodes, sizeof *w->holder);
    w->place = mpr_alloc_array(g->alloc, g->nodes, sizeof *w->place);
    w->queue = mpr_alloc_array(g->alloc, g->nodes, sizeof *w->queue);
    return w->distance != NULL && w->holder != NULL && w->place != NULL && w->queue != NULL ? MPR_OK : MPR_ENOMEM;
}

/* Go on from a node; the end of the queue afterwards. */
static size_t leave(const mpr_graph *g, ways *w, uint32_t node, size_t count) {
    for (uint64_t k = mpr_graph_first(g, node); k < mpr_graph_first(g, node + 1); k++) {
        uint32_t target = g->target[k];
        if (is_claim(g, k) && w->distance[target] == MPR_NO_NODE) {
            w->distance[target] = w->distance[node] + 1;
            w->holder[target] = node;
            w->place[target] = mpr_label_payload(g->label[k]);
            w->queue[count++] = target;
        }
    }
    return count;
}

static void find_ways(const mpr_graph *g, ways *w) {
    size_t count = 0;
    for (uint32_t i = 0; i < g->seen; i++) {
        w->distance[i] = is_block(g, i) ? MPR_NO_NODE : 0;
    }
    for (uint32_t i = 0; i < g->seen; i++) {
        count = is_block(g, i) ? count : leave(g, w, i, count);
    }
    for (size_t at = 0; at < count; at++) {
        count = leave(g, w, w->queue[at], count);
    }
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
    bool reached = p->ways->distance[node] != MPR_NO_NODE;
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

static void doubt_distant(mpr_graph *g, const ways *w) {
    for (uint32_t i = 0; i < g->seen; i++) {
        uint64_t end = is_block(g, i) ? mpr_graph_first(g, i + 1) : 0;
        for (uint64_t k = mpr_graph_first(g, i); k < end; k++) {
            uint32_t distance = w->distance[g->target[k]];
            if (is_claim(g, k) && distance <= w->distance[i] && distance != MPR_NO_NODE) {
                g->label[k] |= MPR_LABEL_WEAK;
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
    if (status == MPR_OK) {
        find_ways(g, &w);
        status = doubt_places(g, &w);
    }
    if (status == MPR_OK) {
        find_ways(g, &w);
        doubt_distant(g, &w);
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
