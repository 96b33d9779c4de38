/* SPDX-License-Identifier: MIT
 * Each heap goes down its dominators' order into one hash table of rows, so that a node's parent has its row before it; then its nodes are
 * counted in the order of memory. */
#include "algo/diff.h"

#include <stdlib.h>

#include "algo/suspects.h"
#include "base/fetch.h"
#include "base/status.h"

#define AHEAD 16u           /* nodes */
#define REPORT_EVERY 65536u /* nodes */

/* Rows by signature. The half of the signature that is no part of the place tells most others apart without a look at their rows. */
typedef struct slot {
    uint32_t row; /* + 1; 0: none */
    uint32_t high;
} slot;

typedef struct work {
    const mpr_graph *const *graphs;
    const mpr_dominators *const *dominators;
    mpr_progress progress;
    void *context;
    mpr_diff *out;
    slot *slots; /* a power of two, at most half full */
    size_t slot_count;
    uint32_t *row[MPR_DIFF_MOST]; /* of each node of each heap */
    uint8_t *inside; /* by row: it grows, or hangs below one that does */
    uint32_t *holding; /* by row: its place in `growth` + 1 */
} work;

/* ---- rows ------------------------------------------------------------------------------------------------------------- */

static int report(const work *w, uint32_t done, uint32_t total) {
    return done % REPORT_EVERY == 0 && w->progress && w->progress(w->context, done, total) != 0 ? MPR_ECANCELLED : MPR_OK;
}

static inline size_t place_of(const work *w, uint64_t signature) { return (size_t)signature & (w->slot_count - 1); }

static size_t find_slot(const work *w, uint64_t signature) {
    size_t at = place_of(w, signature);
    for (; w->slots[at].row; at = place_of(w, at + 1))
        if (w->slots[at].high == signature >> 32 && w->out->rows.items[w->slots[at].row - 1].signature == signature) break;
    return at;
}

static void fill_slot(work *w, uint64_t signature, uint32_t row) {
    w->slots[find_slot(w, signature)] = (slot){.row = row + 1, .high = (uint32_t)(signature >> 32)};
}

static int grow_slots(work *w) {
    size_t wanted = w->slot_count ? 2 * w->slot_count : 4096;
    slot *slots = mpr_alloc_array(w->out->alloc, wanted, sizeof *slots);
    if (!slots) return MPR_ENOMEM;
    mpr_alloc_free(w->out->alloc, w->slots, w->slot_count, sizeof *w->slots);
    w->slots = slots;
    w->slot_count = wanted;
    for (uint32_t i = 0; i < w->out->rows.count; i++) fill_slot(w, w->out->rows.items[i].signature, i);
    return MPR_OK;
}

static int make_row(work *w, uint64_t signature, uint32_t parent) {
    mpr_diff_row made = {.signature = signature, .parent = parent, .graph = MPR_NO_ROW};
    if (w->out->rows.count >= MPR_NO_ROW - 1) return MPR_ELIMIT;
    if (mpr_vec_push(&w->out->rows, w->out->alloc, made) != MPR_OK) return MPR_ENOMEM;
    fill_slot(w, signature, (uint32_t)w->out->rows.count - 1);
    return 2 * w->out->rows.count > w->slot_count ? grow_slots(w) : MPR_OK;
}

/* Find a node's row, made if it is not there; the row's node is the first that retains most. */
static int find_row(work *w, uint32_t which, uint32_t node, uint64_t signature) {
    const mpr_dominators *d = w->dominators[which];
    const slot *found = &w->slots[find_slot(w, signature)];
    uint32_t *row = w->row[which], at = found->row ? found->row - 1 : (uint32_t)w->out->rows.count;
    int status = found->row ? MPR_OK : make_row(w, signature, node == d->order[0] ? MPR_NO_ROW : row[d->parent[node]]);
    if (status != MPR_OK) return status;
    row[node] = at;
    mpr_diff_row *its = &w->out->rows.items[at];
    if (its->graph == which && its->most >= d->retained[node]) return MPR_OK;
    its->graph = which;
    its->node = node;
    its->most = d->retained[node];
    its->type = w->graphs[which]->type[node];
    return MPR_OK;
}

static inline uint32_t node_at(const mpr_dominators *d, uint32_t i) { return d->order[i < d->reached ? i : d->reached - 1]; }

/* The jumps of find_row, each fetched some nodes before the one that it leads to: a node's own, its signature's slot, its row. */
MPR_FETCHER look_ahead(const work *w, uint32_t which, const uint64_t *signature, uint32_t from) {
    const mpr_dominators *d = w->dominators[which];
    uint32_t far = node_at(d, from + 3 * AHEAD);
    __builtin_prefetch(&signature[far]);
    __builtin_prefetch(&w->row[which][far], 1);
    __builtin_prefetch(&d->retained[far]);
    __builtin_prefetch(&w->slots[place_of(w, signature[node_at(d, from + 2 * AHEAD)])]);
    uint32_t row = w->slots[place_of(w, signature[node_at(d, from + AHEAD)])].row;
    __builtin_prefetch(&w->out->rows.items[row ? row - 1 : 0], 1);
}

static int find_rows(work *w, uint32_t which, const uint64_t *signature) {
    const mpr_dominators *d = w->dominators[which];
    int status = MPR_OK;
    for (uint32_t i = 0; i < d->reached && status == MPR_OK; i++) {
        look_ahead(w, which, signature, i);
        status = find_row(w, which, d->order[i], signature[d->order[i]]);
        if (status == MPR_OK) status = report(w, i, d->reached);
    }
    return status;
}

/* Along memory: only the rows are jumped to. */
static void count_nodes(work *w, uint32_t which, const uint8_t *transparent) {
    const mpr_graph *g = w->graphs[which];
    const mpr_dominators *d = w->dominators[which];
    for (uint32_t node = 0; node < g->nodes; node++) {
        mpr_diff_row *row = &w->out->rows.items[w->row[which][node]];
        if (d->parent[node] == MPR_NO_NODE && node != d->order[0]) continue;
        row->count[which]++;
        if (transparent[node]) row->transparent = true;
        if (mpr_graph_is_object(g, node)) row->bytes[which] += mpr_graph_size(g, node);
    }
}

static int take_rows(work *w, uint32_t which) {
    const mpr_graph *g = w->graphs[which];
    mpr_signatures signatures = {0};
    int status = mpr_signatures_find(g, w->dominators[which], NULL, w->progress, w->context, &signatures);
    if (status == MPR_OK) status = find_rows(w, which, signatures.value);
    mpr_signatures_free(&signatures);
    return status;
}

static int take_graph(work *w, uint32_t which) {
    const mpr_graph *g = w->graphs[which];
    w->row[which] = mpr_alloc_array(w->out->alloc, g->nodes, sizeof *w->row[which]);
    int status = w->row[which] ? take_rows(w, which) : MPR_ENOMEM;
    uint8_t *transparent = status == MPR_OK ? mpr_alloc_array(w->out->alloc, g->nodes, 1) : NULL;
    if (transparent) {
        mpr_suspects_transparent(g, transparent);
        count_nodes(w, which, transparent);
    } else if (status == MPR_OK) {
        status = MPR_ENOMEM;
    }
    mpr_alloc_free(w->out->alloc, transparent, g->nodes, 1);
    return status;
}

static void add_up(mpr_diff *out) {
    for (size_t i = out->rows.count; i-- > 0;) {
        mpr_diff_row *row = &out->rows.items[i];
        for (uint32_t k = 0; k < out->graphs; k++) {
            row->whole[k] += row->bytes[k];
            if (row->parent != MPR_NO_ROW) out->rows.items[row->parent].whole[k] += row->whole[k];
        }
    }
}

/* ---- growth ----------------------------------------------------------------------------------------------------------- */

/* Of a row's counts or bytes. */
static int64_t growth_of(const mpr_diff *out, const uint64_t *value) {
    uint64_t now = value[1];
    if (out->graphs == 3 && value[2] < now) now = value[2];
    return (int64_t)now - (int64_t)value[0];
}

/* The place of a holder among what grew, made if it is not there. */
static int find_growth(work *w, uint32_t holder, mpr_diff_growth **place) {
    mpr_diff *out = w->out;
    if (w->holding[holder] == 0) {
        mpr_diff_growth made = {.holder = holder, .grown = MPR_NO_ROW, .bytes = growth_of(out, out->rows.items[holder].bytes)};
        if (mpr_vec_push(&out->growth, out->alloc, made) != MPR_OK) return MPR_ENOMEM;
        w->holding[holder] = (uint32_t)out->growth.count;
    }
    *place = &out->growth.items[w->holding[holder] - 1];
    return MPR_OK;
}

/* Who holds a row, MPR_NO_ROW for only roots, modules and classes. Garbage is one, whatever classes are in it. */
static uint32_t holder_of(const work *w, uint32_t row) {
    const mpr_diff_row *rows = w->out->rows.items;
    uint32_t parent = rows[row].parent;
    for (uint32_t at = parent; at != MPR_NO_ROW; at = rows[at].parent) {
        if (rows[at].node == w->graphs[rows[at].graph]->group[MPR_GROUP_UNREACHABLE]) return at;
        if (!rows[at].transparent) return parent == at ? at : MPR_NO_ROW;
    }
    return MPR_NO_ROW;
}

static int add_growth(work *w, uint32_t row, int64_t count, int64_t bytes) {
    mpr_diff *out = w->out;
    uint32_t holder = holder_of(w, row);
    mpr_diff_growth *place;
    if (holder == MPR_NO_ROW) {
        mpr_diff_growth made = {.holder = MPR_NO_ROW, .grown = row, .count = count, .bytes = bytes};
        return mpr_vec_push(&out->growth, out->alloc, made);
    }
    if (find_growth(w, holder, &place) != MPR_OK) return MPR_ENOMEM;
    if (place->grown == MPR_NO_ROW || growth_of(out, out->rows.items[place->grown].whole) < bytes) place->grown = row;
    place->count += count;
    place->bytes += bytes;
    return MPR_OK;
}

static int take_row(work *w, uint32_t i) {
    mpr_diff *out = w->out;
    const mpr_diff_row *row = &out->rows.items[i];
    int64_t count = growth_of(out, row->count), bytes = growth_of(out, row->whole);
    mpr_diff_growth *place;
    if (row->parent != MPR_NO_ROW && w->inside[row->parent]) {
        w->inside[i] = 1;
        return MPR_OK;
    }
    if (count > 0) {
        w->inside[i] = 1;
        return bytes > 0 ? add_growth(w, i, count, bytes) : MPR_OK;
    }
    return growth_of(out, row->bytes) > 0 ? find_growth(w, i, &place) : MPR_OK;
}

static int by_bytes(const void *left, const void *right) {
    const mpr_diff_growth *a = left, *b = right;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
    if (a->holder != b->holder) return a->holder < b->holder ? -1 : 1;
    return (a->grown > b->grown) - (a->grown < b->grown);
}

static int find_all_growth(work *w) {
    mpr_diff *out = w->out;
    size_t rows = out->rows.count, kept = 0;
    int status = MPR_OK;
    w->inside = mpr_alloc_array(out->alloc, rows, 1);
    w->holding = mpr_alloc_array(out->alloc, rows, sizeof *w->holding);
    if (!w->inside || !w->holding) status = MPR_ENOMEM;
    for (uint32_t i = 0; i < rows && status == MPR_OK; i++) status = take_row(w, i);
    mpr_alloc_free(out->alloc, w->inside, rows, 1);
    mpr_alloc_free(out->alloc, w->holding, rows, sizeof *w->holding);
    for (size_t i = 0; i < out->growth.count; i++)
        if (out->growth.items[i].bytes > 0) out->growth.items[kept++] = out->growth.items[i];
    out->growth.count = kept;
    if (status == MPR_OK && kept > 1) qsort(out->growth.items, kept, sizeof *out->growth.items, by_bytes);
    return status;
}

/* ---- all of it -------------------------------------------------------------------------------------------------------- */

int mpr_diff_make(const mpr_graph *const *graphs, const mpr_dominators *const *dominators, uint32_t count, mpr_progress progress,
                  void *context, mpr_diff *out) {
    if (count < 1 || count > MPR_DIFF_MOST) return MPR_ELIMIT;
    mpr_diff diff = {.alloc = graphs[count - 1]->alloc, .graphs = count};
    work w = {.graphs = graphs, .dominators = dominators, .progress = progress, .context = context, .out = &diff};
    int status = grow_slots(&w);
    for (uint32_t i = 0; i < count && status == MPR_OK; i++) status = take_graph(&w, i);
    mpr_alloc_free(diff.alloc, w.slots, w.slot_count, sizeof *w.slots);
    if (status == MPR_OK) {
        add_up(&diff);
        if (count > 1) status = find_all_growth(&w);
    }
    for (uint32_t i = 0; i < count; i++) mpr_alloc_free(diff.alloc, w.row[i], graphs[i]->nodes, sizeof *w.row[i]);
    if (status == MPR_OK)
        *out = diff;
    else
        mpr_diff_free(&diff);
    return status;
}

void mpr_diff_free(mpr_diff *diff) {
    if (!diff->alloc) return;
    mpr_vec_free(&diff->rows, diff->alloc);
    mpr_vec_free(&diff->growth, diff->alloc);
    *diff = (mpr_diff){0};
}
