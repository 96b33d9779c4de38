/* SPDX-License-Identifier: MIT
 * One pass down the tree for the variables, one over the objects. */
#include "algo/survivors.h"

#include <stdlib.h>

#include "algo/suspects.h"
#include "base/addrset.h"
#include "base/map.h"
#include "base/status.h"

#define NONE UINT32_MAX
#define MANY (UINT32_MAX - 1) /* rows */
#define HEAD 16               /* bytes before a tracked object, for the collector's notes */

typedef struct of_type {
    uint64_t objects, bytes;
} of_type;

typedef struct pieces {
    const uint64_t *begin;
    uint32_t count;
    uint64_t size;
    uint32_t last; /* that was found */
} pieces;

typedef struct work {
    const mpr_graph *g;
    const mpr_dominators *d;
    pieces pieces;
    mpr_survivors *out;
    uint32_t *top;    /* by node: what its variable has */
    uint32_t *only;   /* by piece: the row that has an object there, NONE, or MANY */
    mpr_map rows;     /* top -> row */
    mpr_map pairs;    /* row and piece that were met together */
    mpr_map types;    /* row and type -> ... */
    MPR_VEC(of_type) counts;
    MPR_VEC(uint64_t) most; /* by row: bytes of its type */
} work;

/* Each node after what dominates it. */
static int find_tops(work *w) {
    const mpr_graph *g = w->g;
    uint8_t *transparent = mpr_alloc_array(g->alloc, g->nodes, 1);
    if (transparent == NULL) {
        return MPR_ENOMEM;
    }
    mpr_suspects_transparent(g, transparent);
    for (uint32_t i = 0; i < w->d->reached; i++) {
        uint32_t node = w->d->order[i], parent = w->d->parent[node];
        bool highest = parent == MPR_NO_NODE || transparent[parent] || (g->flags[parent] & MPR_NODE_SYNTHETIC);
        w->top[node] = highest ? node : w->top[parent];
    }
    mpr_alloc_free(g->alloc, transparent, g->nodes, 1);
    return MPR_OK;
}

/* The piece that an address lies in, or NONE. Objects that follow each other mostly lie in one, or in the next. */
static uint32_t piece_of(pieces *p, uint64_t address) {
    uint32_t low = p->last, high = p->count;
    for (uint32_t end = low + 2; low < end && low < high; low++) {
        if (address - p->begin[low] < p->size) {
            return p->last = low;
        }
    }
    for (low = 0; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (p->begin[middle] <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool inside = low > 0 && address - p->begin[low - 1] < p->size;
    p->last = inside ? low - 1 : p->last;
    return inside ? low - 1 : NONE;
}

static uint32_t row_of(work *w, uint32_t top) {
    int made;
    uint32_t *row = mpr_map_add(&w->rows, mpr_map_mix(1, top), &made);
    if (row != NULL && made) {
        *row = (uint32_t)w->out->rows.count;
        mpr_survivor new = {.node = top, .type = w->g->type[top]};
        if (mpr_vec_push(&w->out->rows, w->out->alloc, new) != MPR_OK || mpr_vec_push(&w->most, w->out->alloc, 0) != MPR_OK) {
            return NONE;
        }
    }
    return row == NULL ? NONE : *row;
}

static int count_type(work *w, uint32_t index, uint32_t type, uint64_t bytes) {
    int made;
    uint32_t *place = mpr_map_add(&w->types, mpr_map_mix(index, type), &made);
    if (place == NULL || (made && mpr_vec_push(&w->counts, w->out->alloc, ((of_type){0})) != MPR_OK)) {
        return MPR_ENOMEM;
    }
    *place = made ? (uint32_t)w->counts.count - 1 : *place;
    of_type *count = &w->counts.items[*place];
    mpr_survivor *row = &w->out->rows.items[index];
    count->objects++;
    count->bytes += bytes;
    if (count->bytes >= w->most.items[index]) {
        w->most.items[index] = count->bytes;
        row->type = type;
        row->of_type = count->objects;
    }
    return MPR_OK;
}

static int count_object(work *w, uint32_t node, uint32_t piece) {
    int made;
    uint32_t index = row_of(w, w->top[node]);
    uint32_t *pair = index == NONE ? NULL : mpr_map_add(&w->pairs, mpr_map_mix(index, piece), &made);
    if (pair == NULL) {
        return MPR_ENOMEM;
    }
    mpr_survivor *row = &w->out->rows.items[index];
    row->objects++;
    row->bytes += mpr_graph_size(w->g, node);
    if (made) {
        *pair = 1;
        row->pieces++;
        w->only[piece] = w->only[piece] == NONE ? index : MANY;
    }
    return count_type(w, index, w->g->type[node], mpr_graph_size(w->g, node));
}

static int count_objects(work *w) {
    const mpr_graph *g = w->g;
    int status = MPR_OK;
    for (uint32_t node = 0; node < g->nodes && status == MPR_OK; node++) {
        bool counts = mpr_graph_is_object(g, node) && w->top[node] != NONE;
        uint32_t piece = counts ? piece_of(&w->pieces, mpr_graph_address(g, node)) : NONE;
        status = piece == NONE ? MPR_OK : count_object(w, node, piece);
    }
    for (uint32_t piece = 0; piece < w->pieces.count && status == MPR_OK; piece++) {
        uint32_t row = w->only[piece];
        w->out->empty += row == NONE;
        if (row != NONE && row != MANY) {
            w->out->rows.items[row].alone++;
        }
    }
    return status;
}

static int by_pieces(const void *left, const void *right) {
    const mpr_survivor *a = left, *b = right;
    if (a->pieces != b->pieces) {
        return a->pieces < b->pieces ? 1 : -1;
    }
    if (a->alone != b->alone) {
        return a->alone < b->alone ? 1 : -1;
    }
    return (a->node > b->node) - (a->node < b->node);
}

int mpr_survivors_find(const mpr_graph *g, const mpr_dominators *d, const uint64_t *begin, uint32_t count, uint64_t size,
                       mpr_survivors *out) {
    mpr_survivors found = {.alloc = g->alloc};
    work w = {.g = g,
              .d = d,
              .pieces = {begin, count, size, 0},
              .out = &found,
              .top = mpr_alloc_array(g->alloc, g->nodes, sizeof *w.top),
              .only = mpr_alloc_array(g->alloc, count, sizeof *w.only),
              .rows = {.alloc = g->alloc},
              .pairs = {.alloc = g->alloc},
              .types = {.alloc = g->alloc}};
    int status = w.top != NULL && w.only != NULL ? MPR_OK : MPR_ENOMEM;
    for (uint32_t i = 0; i < g->nodes && status == MPR_OK; i++) w.top[i] = NONE;
    for (uint32_t i = 0; i < count && status == MPR_OK; i++) w.only[i] = NONE;
    status = status == MPR_OK ? find_tops(&w) : status;
    status = status == MPR_OK ? count_objects(&w) : status;
    mpr_alloc_free(g->alloc, w.top, g->nodes, sizeof *w.top);
    mpr_alloc_free(g->alloc, w.only, count, sizeof *w.only);
    mpr_map_free(&w.rows);
    mpr_map_free(&w.pairs);
    mpr_map_free(&w.types);
    mpr_vec_free(&w.counts, g->alloc);
    mpr_vec_free(&w.most, g->alloc);
    if (status != MPR_OK) {
        mpr_survivors_free(&found);
        return status;
    }
    if (found.rows.count > 1) {
        qsort(found.rows.items, found.rows.count, sizeof *found.rows.items, by_pieces);
    }
    *out = found;
    return MPR_OK;
}

void mpr_survivors_free(mpr_survivors *survivors) {
    if (survivors->alloc != NULL) {
        mpr_vec_free(&survivors->rows, survivors->alloc);
    }
    *survivors = (mpr_survivors){0};
}

/* ---- what a collection writes to ---- */

static bool is_noted(const mpr_graph *g, uint32_t node) {
    return (g->flags[node] & (MPR_NODE_TRACKED | MPR_NODE_FROZEN)) == MPR_NODE_TRACKED;
}

static int count_all_noted(const mpr_graph *g, uint64_t size, uint32_t *noted) {
    mpr_addrset met; /* pieces, by where they begin */
    uint32_t handle;
    int status = MPR_OK;
    mpr_addrset_init(&met, g->alloc);
    for (uint32_t node = 0; node < g->nodes && status >= 0; node++) {
        uint64_t head = mpr_graph_address(g, node) - HEAD;
        status = is_noted(g, node) ? mpr_addrset_add(&met, head - head % size, &handle) : status;
    }
    *noted = (uint32_t)met.members;
    mpr_addrset_free(&met);
    return status < 0 ? status : MPR_OK;
}

static int count_noted(const mpr_graph *g, pieces *p, uint32_t *noted) {
    uint8_t *met = mpr_alloc_array(g->alloc, p->count, 1);
    if (met == NULL) {
        return MPR_ENOMEM;
    }
    for (uint32_t node = 0; node < g->nodes; node++) {
        uint32_t piece = is_noted(g, node) ? piece_of(p, mpr_graph_address(g, node) - HEAD) : NONE;
        if (piece != NONE) {
            *noted += !met[piece];
            met[piece] = 1;
        }
    }
    mpr_alloc_free(g->alloc, met, p->count, 1);
    return MPR_OK;
}

int mpr_survivors_noted(const mpr_graph *g, const uint64_t *begin, uint32_t count, uint64_t size, uint32_t *noted) {
    pieces p = {begin, count, size, 0};
    *noted = 0;
    return begin == NULL ? count_all_noted(g, size, noted) : count_noted(g, &p, noted);
}
