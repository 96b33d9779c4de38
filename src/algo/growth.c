/* SPDX-License-Identifier: MIT
 * Span by span: the first heap against the second, and against the last. In each the nodes are matched along memory; only those that came or
 * went go up the tree to their row, and remember it for what hangs below them. */
#include "algo/growth.h"

#include <stdlib.h>

#include "algo/steps.h"
#include "algo/suspects.h"
#include "base/map.h"
#include "base/status.h"

#define NONE UINT32_MAX
#define SAMPLES 64u    /* of what came in a row, whose owners are looked for */
#define OWNED_ROWS 64u /* rows whose owners are looked for */
#define CANDIDATES 16u /* owners that are counted */
#define HIGHEST 8u     /* objects above one that grew by itself, among which a row is looked for */
#define SHARE_OF_OBJECTS 20 /* a row grows by at least a 20th of the objects that came, ... */
#define SHARE_OF_BYTES 4    /* ... or by a quarter of their bytes: the contents of what turns over waver */

enum { UNKNOWN, STANDING, RUNNING }; /* is a node held by a running function? */

typedef struct side { /* one heap */
    const mpr_graph *g;
    const mpr_dominators *d;
    const mpr_ranks *ranks;
    mpr_name_tree *names;
    mpr_signatures signatures;
    uint64_t *native;      /* by node: bytes of blocks that are part of it; NULL where the graph has none */
    uint64_t *type;        /* hash of each type's name */
    uint8_t *transparent;  /* by node */
    uint8_t *running;      /* by node */
} side;

typedef struct sample {
    uint32_t row, node;
} sample;

typedef struct work {
    side side[MPR_GROWTH_MOST];
    uint32_t sides;
    mpr_growth *out;
    mpr_alloc *alloc;
    mpr_map rows;       /* key -> row */
    mpr_map by_holder;  /* signature of a holder -> its row of most bytes */
    MPR_VEC(uint32_t) sampled; /* by row: samples so far */
    MPR_VEC(sample) samples;
    const mpr_growth_heap *newest;
    MPR_VEC(sample) asked; /* what came of what was asked for */
    /* the span in hand */
    uint32_t newer, span;
    uint32_t *twin;     /* of each node of the newer heap: its node in the first, or NONE */
    uint64_t *stays;    /* a bit a node of the first heap */
    uint32_t *heir;     /* of each node of the first heap: its node in the newer, or NONE */
    uint64_t *known;    /* a bit a node of the newer heap: its address and type were there before, wherever it is now */
    uint32_t *row[2];   /* of each node that went (of the first heap) or came: its row + 1 */
    MPR_VEC(uint32_t) path;
    int64_t floor;      /* bytes: less is no row */
    bool counts_native; /* as part of sizes */
    int status;         /* of the search for names */
} work;

/* Sizes of a damaged file may be anything: sums wrap rather than overflow. */
static int64_t plus(int64_t a, uint64_t b) { return (int64_t)((uint64_t)a + b); }
static int64_t minus(int64_t a, uint64_t b) { return (int64_t)((uint64_t)a - b); }

static bool is_set(const uint64_t *bits, uint32_t node) { return bits[node >> 6] >> (node & 63) & 1; }
static void set(uint64_t *bits, uint32_t node) { bits[node >> 6] |= UINT64_C(1) << (node & 63); }

/* ---- one heap ---------------------------------------------------------------------------------------------------------- */

static uint64_t hash_text(const char *text, size_t length) {
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001B3);
    return mpr_map_mix(hash, length);
}

/* The blocks below a node that are below no other node that is none. */
static uint64_t *find_native(const mpr_graph *g, const mpr_dominators *d, mpr_alloc *alloc) {
    uint64_t *own = mpr_alloc_array(alloc, g->nodes, sizeof *own);
    for (uint32_t i = 0; own && i < d->reached; i++) {
        uint32_t node = d->order[i], parent = d->parent[node];
        if (g->flags[node] & MPR_NODE_NATIVE) continue;
        own[node] += d->native[node];
        if (i > 0) own[parent] -= d->native[node]; /* which is no block: none retains an object */
    }
    return own;
}

static int begin_side(work *w, side *s, const mpr_growth_heap *heap, mpr_progress progress, void *context) {
    const mpr_graph *g = heap->graph;
    *s = (side){.g = g, .d = heap->dominators, .ranks = heap->ranks, .names = heap->names};
    s->type = mpr_alloc_array(w->alloc, g->type_count, sizeof *s->type);
    s->transparent = mpr_alloc_array(w->alloc, g->nodes, 1);
    s->running = mpr_alloc_array(w->alloc, g->nodes, 1);
    if (s->d->native) s->native = find_native(g, s->d, w->alloc);
    if (!s->type || !s->transparent || !s->running || (s->d->native && !s->native)) return MPR_ENOMEM;
    for (size_t i = 0; i < g->type_count; i++) s->type[i] = hash_text(g->strings + g->types[i].name, g->types[i].name_length);
    mpr_suspects_transparent(g, s->transparent);
    return mpr_signatures_find(g, s->d, s->ranks, progress, context, &s->signatures);
}

static void end_side(const work *w, side *s) {
    if (!s->g) return;
    mpr_alloc_free(w->alloc, s->type, s->g->type_count, sizeof *s->type);
    mpr_alloc_free(w->alloc, s->transparent, s->g->nodes, 1);
    mpr_alloc_free(w->alloc, s->running, s->g->nodes, 1);
    mpr_alloc_free(w->alloc, s->native, s->g->nodes, sizeof *s->native);
    mpr_signatures_free(&s->signatures);
}

static uint64_t native_of(const side *s, uint32_t node) { return s->native ? s->native[node] : 0; }

static uint64_t size_of(const work *w, const side *s, uint32_t node) {
    return mpr_graph_size(s->g, node) + (w->counts_native ? native_of(s, node) : 0);
}

static bool is_reached_object(const side *s, uint32_t node) {
    return mpr_graph_is_object(s->g, node) && s->d->parent[node] != MPR_NO_NODE;
}

static bool is_frame_like(const mpr_graph *g, uint32_t node) {
    static const char *const names[] = {"coroutine", "generator", "async_generator"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (mpr_graph_type_is(g, node, names[i])) return true;
    return false;
}

/* Frames have ranks of their own; a suspended function lasts, and is one all the same. */
static bool runs(const side *s, uint32_t node) {
    uint16_t rank = s->ranks->value[node];
    return (rank != MPR_RANK_LASTING && rank < s->ranks->c_references) || is_frame_like(s->g, node);
}

/* Is a node, or one that dominates it, a running function? What the way up says holds for all on it. */
static bool is_running(side *s, uint32_t node) {
    uint8_t found = UNKNOWN;
    uint32_t at = node;
    for (; at != MPR_NO_NODE && (found = s->running[at]) == UNKNOWN; at = s->d->parent[at])
        if (runs(s, at)) {
            found = RUNNING;
            break;
        }
    if (found == UNKNOWN) found = STANDING;
    for (uint32_t k = node; k != at && k != MPR_NO_NODE; k = s->d->parent[k]) s->running[k] = found;
    if (at != MPR_NO_NODE) s->running[at] = found;
    return found == RUNNING;
}

/* ---- the same object --------------------------------------------------------------------------------------------------- */

static uint64_t hash_type(const side *s, uint32_t type) { return mpr_map_mix(s->type[type], s->g->types[type].address); }

/* The type of the first heap that each type of the newer is, or NONE. */
static uint32_t *match_types(work *w, const side *old, const side *new) {
    uint32_t *same = mpr_alloc_array(w->alloc, new->g->type_count, sizeof *same);
    mpr_map types = {.alloc = w->alloc};
    int made;
    for (uint32_t i = 0; same && i < old->g->type_count; i++) {
        uint32_t *found = mpr_map_add(&types, hash_type(old, i), &made);
        if (!found) {
            mpr_alloc_free(w->alloc, same, new->g->type_count, sizeof *same);
            same = NULL;
        } else if (made) {
            *found = i;
        }
    }
    for (uint32_t i = 0; same && i < new->g->type_count; i++) {
        const uint32_t *found = mpr_map_find(&types, hash_type(new, i));
        same[i] = found ? *found : NONE;
    }
    mpr_map_free(&types);
    return same;
}

static void join(work *w, uint32_t new, uint32_t old) {
    w->twin[new] = old;
    w->heir[old] = new;
    set(w->stays, old);
    set(w->known, new);
}

/* Below what came or went all came or went: else an address that is used again would cut what hangs together. */
static void part(work *w, uint32_t new, uint32_t old) {
    w->twin[new] = w->heir[old] = NONE;
    w->stays[old >> 6] &= ~(UINT64_C(1) << (old & 63));
}

/* Frames, threads and images have no address of their own that lasts: they are the same when they are called the same, in their order.
 * The key of a name and the how-manieth it is; 0: it has none. */
static int synthetic_key(mpr_map *times, const mpr_graph *g, uint32_t node, uint64_t *key) {
    size_t length;
    int made;
    const char *text = g->flags[node] & MPR_NODE_SYNTHETIC ? mpr_graph_text(g, node, &length) : NULL;
    *key = text ? hash_text(text, length) : 0;
    uint32_t *count = text ? mpr_map_add(times, *key, &made) : NULL;
    if (text && !count) return MPR_ENOMEM;
    if (text) *key = mpr_map_mix(*key, *count = made ? 1 : *count + 1);
    return MPR_OK;
}

static int match_synthetic(work *w, const side *old, const side *new) {
    mpr_map places = {.alloc = w->alloc}, times = {.alloc = w->alloc}, again = {.alloc = w->alloc};
    int status = MPR_OK, made;
    uint64_t key;
    for (uint32_t i = 0; i < old->g->nodes && status == MPR_OK; i++) {
        status = synthetic_key(&times, old->g, i, &key);
        uint32_t *place = key && status == MPR_OK ? mpr_map_add(&places, key, &made) : NULL;
        if (place) *place = i;
        if (key && !place) status = MPR_ENOMEM;
    }
    for (uint32_t i = 0; i < new->g->nodes && status == MPR_OK; i++) {
        status = synthetic_key(&again, new->g, i, &key);
        const uint32_t *found = key && status == MPR_OK ? mpr_map_find(&places, key) : NULL;
        if (found && !is_set(w->stays, *found)) join(w, i, *found);
    }
    mpr_map_free(&places);
    mpr_map_free(&times);
    mpr_map_free(&again);
    return status;
}

static void part_below(work *w, const side *s, bool came) {
    for (uint32_t i = 1; i < s->d->reached; i++) {
        uint32_t node = s->d->order[i], parent = s->d->parent[node];
        if (i + 16 < s->d->reached) __builtin_prefetch(&(came ? w->twin : w->heir)[s->d->order[i + 16]]);
        uint32_t other = came ? w->twin[node] : w->heir[node];
        if (other == NONE || !mpr_graph_is_object(s->g, parent) || (came ? w->twin : w->heir)[parent] != NONE) continue;
        part(w, came ? node : other, came ? other : node);
    }
}

static int match_nodes(work *w, const side *old, const side *new) {
    uint32_t *type = match_types(w, old, new), node;
    if (!type) return MPR_ENOMEM;
    for (uint32_t i = 0; i < old->g->nodes; i++) w->heir[i] = NONE;
    for (uint32_t i = 0; i < new->g->nodes; i++) {
        w->twin[i] = NONE;
        if (type[new->g->type[i]] == NONE || !is_reached_object(new, i)) continue;
        if (mpr_graph_find(old->g, mpr_graph_address(new->g, i), &node) && old->g->type[node] == type[new->g->type[i]] &&
            is_reached_object(old, node)) /* memprobe's own are in no answer: what has an address that one of them had has come */
            join(w, i, node);
    }
    mpr_alloc_free(w->alloc, type, new->g->type_count, sizeof *type);
    int status = match_synthetic(w, old, new);
    for (int round = 0; round < 2 && status == MPR_OK; round++) { /* what the second heap parts may part more in the first */
        part_below(w, new, true);
        part_below(w, old, false);
    }
    return status;
}

/* ---- rows -------------------------------------------------------------------------------------------------------------- */

/* What a row is known by, and how it is called. */
typedef struct place {
    uint64_t key, holder; /* holder: its signature, for MPR_GROWTH_HELD */
    mpr_growth_kind kind;
    uint32_t node;        /* of the side in hand */
} place;

/* Did a node come or go? */
static bool changed(const work *w, bool came, uint32_t node) {
    const side *s = came ? &w->side[w->newer] : &w->side[0];
    if (!is_reached_object(s, node)) return false;
    return came ? w->twin[node] == NONE : w->stays != NULL && !is_set(w->stays, node); /* without a span nothing went */
}

static bool is_transparent(const side *s, uint32_t node) {
    return s->transparent[node] || ((s->g->flags[node] & MPR_NODE_SYNTHETIC) && !runs(s, node));
}

/* Who names a node that several hold: the nearest on the path of its name that was there before; NONE when that is a module or root, or when
 * it cannot be found. */
static uint32_t naming_holder(work *w, bool came, uint32_t node) {
    const side *s = came ? &w->side[w->newer] : &w->side[0];
    int status = mpr_name_tree_reach(s->g, s->names, &node, 1, NULL, NULL);
    if (status != MPR_OK) w->status = status;
    if (s->names->parent[node] == MPR_NO_NODE) return NONE;
    for (unsigned depth = 0; depth < HIGHEST; depth++) {
        node = s->names->parent[node];
        if (is_transparent(s, node)) return NONE;
        if (!changed(w, came, node)) return node;
    }
    return NONE;
}

static place place_of(work *w, bool came, uint32_t node) {
    const side *s = came ? &w->side[w->newer] : &w->side[0];
    const mpr_graph *g = s->g;
    uint32_t parent = s->d->parent[node];
    uint64_t type = s->type[g->type[node]];
    if (parent == g->group[MPR_GROUP_UNREACHABLE])
        return (place){.key = mpr_map_mix(1, 1), .kind = MPR_GROWTH_GARBAGE, .node = node};
    if (parent == g->group[MPR_GROUP_C_REFERENCES]) return (place){.key = mpr_map_mix(2, type), .kind = MPR_GROWTH_C, .node = node};
    if (is_transparent(s, parent)) parent = naming_holder(w, came, node);
    if (parent == NONE) return (place){.key = mpr_map_mix(3, s->signatures.value[node]), .kind = MPR_GROWTH_VARIABLE, .node = node};
    uint32_t old = came ? w->twin[parent] : parent;
    uint64_t holder = old != NONE ? w->side[0].signatures.value[old] : s->signatures.value[parent];
    return (place){.key = mpr_map_mix(holder, type), .holder = holder, .kind = MPR_GROWTH_HELD, .node = parent};
}

/* The row of a place, made if it is not there: its index, or NONE without memory. */
static uint32_t find_row(work *w, const place *p, bool came, uint32_t type) {
    mpr_growth *out = w->out;
    int made;
    uint32_t *value = mpr_map_add(&w->rows, p->key, &made), graph = came ? w->newer : 0;
    if (!value) return NONE;
    if (made) {
        mpr_growth_row row = {.kind = p->kind, .graph = graph, .node = p->node, .type_graph = graph, .type = type};
        for (size_t i = 0; i < MPR_GROWTH_OWNERS; i++) row.owner[i] = MPR_NO_NODE;
        for (size_t i = 0; i < MPR_GROWTH_EXAMPLES; i++) row.example[i] = MPR_NO_NODE;
        if (mpr_vec_push(&out->rows, w->alloc, row) != MPR_OK || mpr_vec_push(&w->sampled, w->alloc, 0) != MPR_OK) return NONE;
        *value = (uint32_t)out->rows.count - 1;
    }
    return *value;
}

/* A node that came or went right below what stays. */
static uint32_t top_row(work *w, bool came, uint32_t node) {
    side *s = came ? &w->side[w->newer] : &w->side[0];
    place p = place_of(w, came, node);
    uint32_t index = find_row(w, &p, came, s->g->type[node]);
    if (index == NONE || !came) return index;
    mpr_growth_row *row = &w->out->rows.items[index];
    if (row->graph != w->newer) row->several = false;
    row->several = row->several || (row->graph == w->newer && row->node != p.node);
    if (row->graph != w->newer) row->node = p.node; /* of the newest heap that has one */
    row->graph = w->newer;
    if (p.kind != MPR_GROWTH_C && p.kind != MPR_GROWTH_GARBAGE) row->in_use = is_running(s, p.node);
    if (w->newer + 1 == w->sides && w->sampled.items[index] < SAMPLES) {
        if (w->sampled.items[index] < MPR_GROWTH_EXAMPLES) row->example[w->sampled.items[index]] = node;
        w->sampled.items[index]++;
        if (mpr_vec_push(&w->samples, w->alloc, ((sample){.row = index, .node = node})) != MPR_OK) return NONE;
    }
    return index;
}

/* The row of a node that came or went: of what dominates it, up to what stays. */
static uint32_t row_of(work *w, bool came, uint32_t node) {
    const side *s = came ? &w->side[w->newer] : &w->side[0];
    uint32_t *known = w->row[came], index;
    w->path.count = 0;
    for (;; node = s->d->parent[node]) {
        if (known[node] != 0) {
            index = known[node] - 1;
            break;
        }
        if (mpr_vec_push(&w->path, w->alloc, node) != MPR_OK) return NONE;
        if (!changed(w, came, s->d->parent[node])) {
            index = top_row(w, came, node);
            break;
        }
    }
    for (size_t i = 0; i < w->path.count && index != NONE; i++) known[w->path.items[i]] = index + 1;
    return index;
}

/* Was an object of the last of three heaps there in the second? */
static bool stayed(const work *w, const side *s, uint32_t node) {
    const side *middle = &w->side[1];
    uint32_t found;
    if (w->sides < 3 || w->newer != 2 || !mpr_graph_find(middle->g, mpr_graph_address(s->g, node), &found)) return false;
    return is_reached_object(middle, found) && hash_type(middle, middle->g->type[found]) == hash_type(s, s->g->type[node]);
}

static int count_changes(work *w, bool came) {
    const side *s = came ? &w->side[w->newer] : &w->side[0];
    for (uint32_t node = 0; node < s->g->nodes; node++) {
        if (!changed(w, came, node)) continue;
        uint32_t index = row_of(w, came, node);
        if (index == NONE) return MPR_ENOMEM;
        mpr_growth_row *row = &w->out->rows.items[index];
        bool is_type = s->type[s->g->type[node]] == w->side[row->type_graph].type[row->type];
        uint64_t size = size_of(w, s, node), native = native_of(s, node);
        row->native[w->span] = came ? plus(row->native[w->span], native) : minus(row->native[w->span], native);
        row->bytes[w->span] = came ? plus(row->bytes[w->span], size) : minus(row->bytes[w->span], size);
        row->count[w->span] += is_type ? (came ? 1 : -1) : 0;
        bool is_new = came && !is_set(w->known, node);
        row->came[w->span] += is_type && is_new;
        row->came_bytes[w->span] += is_new ? size : 0;
        row->stayed_bytes += is_new && stayed(w, s, node) ? size : 0;
    }
    return MPR_OK;
}

/* The rows of what was asked for, of what came. */
static int find_asked(work *w) {
    for (size_t i = 0; i < w->newest->asked_count; i++) {
        uint32_t node = w->newest->asked[i];
        if (!changed(w, true, node)) continue;
        uint32_t index = row_of(w, true, node);
        if (index == NONE || mpr_vec_push(&w->asked, w->alloc, ((sample){.row = index, .node = node})) != MPR_OK) return MPR_ENOMEM;
    }
    return MPR_OK;
}

/* ---- what grew by itself ----------------------------------------------------------------------------------------------- */

/* For each holder its row of most bytes: there the growth of its own buffer belongs. */
static int index_holders(work *w) {
    int made;
    mpr_map_free(&w->by_holder);
    for (uint32_t i = 0; i < w->out->rows.count; i++) {
        const mpr_growth_row *row = &w->out->rows.items[i];
        if (row->kind != MPR_GROWTH_HELD) continue;
        const side *s = &w->side[row->graph];
        uint32_t old = row->graph == w->newer ? w->twin[row->node] : NONE;
        uint64_t holder = old != NONE ? w->side[0].signatures.value[old] : s->signatures.value[row->node];
        uint32_t *best = mpr_map_add(&w->by_holder, holder, &made);
        if (!best) return MPR_ENOMEM;
        if (made || w->out->rows.items[*best].bytes[w->span] < row->bytes[w->span]) *best = i;
    }
    return MPR_OK;
}

/* The row of a node that holds what came, or of the nearest that does above it, below modules and classes; NONE for none. */
static uint32_t nearest_row(const work *w, uint32_t node) {
    const side *s = &w->side[w->newer];
    for (unsigned height = 0; height < HIGHEST && node != MPR_NO_NODE && !s->transparent[node];
         height++, node = s->d->parent[node]) {
        const uint32_t *known =
            w->twin[node] == NONE ? NULL : mpr_map_find(&w->by_holder, w->side[0].signatures.value[w->twin[node]]);
        if (known) return *known;
    }
    return NONE;
}

/* A row for what no row is near to: NONE without memory. */
static uint32_t own_row(work *w, uint32_t node, uint64_t was) {
    side *s = &w->side[w->newer];
    size_t length = 0;
    bool is_object = mpr_graph_is_object(s->g, node); /* else a root group or an image, which has its name alone */
    const char *text = is_object ? NULL : mpr_graph_text(s->g, node, &length);
    uint64_t key = text ? hash_text(text, length) : is_object ? w->side[0].signatures.value[w->twin[node]] : node;
    place p = {.key = mpr_map_mix(is_object ? 4 : 5, key), .kind = MPR_GROWTH_ITSELF, .node = node};
    uint32_t index = find_row(w, &p, true, s->g->type[node]);
    if (index == NONE) return NONE;
    mpr_growth_row *row = &w->out->rows.items[index];
    row->graph = w->newer, row->node = node;
    row->in_use = is_running(s, node);
    row->base_bytes += w->newer + 1 == w->sides ? was : 0;
    row->base_count += w->newer + 1 == w->sides && w->twin[node] != NONE;
    return index;
}

/* `twin`: the node in the first heap, or NONE of an image that came. */
static int add_own_growth(work *w, uint32_t node, uint32_t twin, uint64_t was, uint64_t is) {
    uint64_t native_was = twin == NONE ? 0 : native_of(&w->side[0], twin), native_is = native_of(&w->side[w->newer], node);
    if (was == is && native_was == native_is) return MPR_OK;
    uint32_t index = twin == NONE ? NONE : nearest_row(w, node);
    if (index == NONE && was == is) return MPR_OK; /* native blocks alone make no row where they do not count */
    if (index == NONE) index = own_row(w, node, was);
    if (index == NONE) return MPR_ENOMEM;
    mpr_growth_row *row = &w->out->rows.items[index];
    row->bytes[w->span] = minus(plus(row->bytes[w->span], is), was);
    row->native[w->span] = minus(plus(row->native[w->span], native_is), native_was);
    return MPR_OK;
}

/* Has it a size of its own? Root groups and images have no other than that of native blocks. */
static bool has_size(const work *w, const side *s, uint32_t node) {
    bool group = w->counts_native && (s->g->flags[node] & MPR_NODE_SYNTHETIC) && s->d->parent[node] != MPR_NO_NODE;
    return is_reached_object(s, node) || (group && node != s->d->order[0]);
}

static int count_own_growth(work *w) {
    const side *s = &w->side[w->newer], *old = &w->side[0];
    int status = index_holders(w);
    size_t length;
    for (uint32_t node = 0; node < s->g->nodes && status == MPR_OK; node++) {
        uint32_t twin = w->twin[node];
        bool has_come = twin == NONE && !mpr_graph_is_object(s->g, node) && mpr_graph_text(s->g, node, &length) != NULL;
        if ((twin == NONE && !has_come) || !has_size(w, s, node)) continue;
        status = add_own_growth(w, node, twin, has_come ? 0 : size_of(w, old, twin), size_of(w, s, node));
    }
    return status;
}

/* ---- references of C code ---------------------------------------------------------------------------------------------- */

/* Constants of the interpreter are held from everywhere in C. */
static bool counts_references(const mpr_graph *g, uint32_t node) {
    return mpr_graph_is_object(g, node) && !(g->flags[node] & (MPR_NODE_IMMORTAL | MPR_NODE_STATIC | MPR_NODE_INTERNED));
}

static int count_references(work *w) {
    const mpr_graph *g = w->side[w->newer].g, *old = w->side[0].g;
    bool last = w->newer + 1 == w->sides;
    for (size_t i = 0; i < g->residuals; i++) {
        uint32_t node = g->residual[i].node, twin = w->twin[node];
        if (twin == NONE || !counts_references(g, node)) continue;
        int64_t more = g->residual[i].value - mpr_graph_residual(old, twin);
        if (more < MPR_GROWTH_FLOOR_REFERENCES) continue;
        mpr_growth_reference row = {.node = last ? node : twin, .more = {more, more}};
        if (!last || w->sides == 2) {
            if (mpr_vec_push(&w->out->references, w->alloc, row) != MPR_OK) return MPR_ENOMEM;
            continue;
        }
        for (size_t k = 0; k < w->out->references.count; k++) { /* those of the first span have the node of the first heap */
            mpr_growth_reference *r = &w->out->references.items[k];
            if (r->node == twin && r->more[0] == r->more[1] && more - r->more[0] >= MPR_GROWTH_FLOOR_REFERENCES) {
                r->node = node, r->more[1] = more;
                break;
            }
        }
    }
    return MPR_OK;
}

static int by_more(const void *left, const void *right) {
    const mpr_growth_reference *a = left, *b = right;
    if (a->more[1] != b->more[1]) return a->more[1] < b->more[1] ? 1 : -1;
    return (a->node > b->node) - (a->node < b->node);
}

/* Of three heaps those remain that grew in both spans. */
static void keep_references(work *w) {
    size_t kept = 0;
    for (size_t i = 0; i < w->out->references.count; i++) {
        mpr_growth_reference *r = &w->out->references.items[i];
        if (w->sides == 2 || r->more[1] > r->more[0]) w->out->references.items[kept++] = *r;
    }
    w->out->references.count = kept;
    if (kept > 1) qsort(w->out->references.items, kept, sizeof *w->out->references.items, by_more);
}

/* ---- spans ------------------------------------------------------------------------------------------------------------- */

static void drop_twins(work *w) {
    if (w->twin) mpr_alloc_free(w->alloc, w->twin, w->side[w->newer].g->nodes, sizeof *w->twin);
    w->twin = NULL;
}

static int compare(work *w, uint32_t newer, uint32_t span) {
    const side *old = &w->side[0], *new = &w->side[newer];
    w->newer = newer, w->span = span;
    w->twin = mpr_alloc_array(w->alloc, new->g->nodes, sizeof *w->twin);
    w->stays = mpr_alloc_array(w->alloc, old->g->nodes / 64 + 1, sizeof *w->stays);
    w->heir = mpr_alloc_array(w->alloc, old->g->nodes, sizeof *w->heir);
    w->known = mpr_alloc_array(w->alloc, new->g->nodes / 64 + 1, sizeof *w->known);
    w->row[0] = mpr_alloc_array(w->alloc, old->g->nodes, sizeof **w->row);
    w->row[1] = mpr_alloc_array(w->alloc, new->g->nodes, sizeof **w->row);
    int status = w->twin && w->stays && w->heir && w->known && w->row[0] && w->row[1] ? match_nodes(w, old, new) : MPR_ENOMEM;
    if (status == MPR_OK) status = count_changes(w, true);
    if (status == MPR_OK && newer + 1 == w->sides) status = find_asked(w);
    if (status == MPR_OK) status = count_changes(w, false);
    if (status == MPR_OK) status = count_own_growth(w);
    if (status == MPR_OK) status = count_references(w);
    mpr_alloc_free(w->alloc, w->row[1], new->g->nodes, sizeof **w->row);
    mpr_alloc_free(w->alloc, w->row[0], old->g->nodes, sizeof **w->row);
    mpr_alloc_free(w->alloc, w->stays, old->g->nodes / 64 + 1, sizeof *w->stays);
    mpr_alloc_free(w->alloc, w->heir, old->g->nodes, sizeof *w->heir);
    mpr_alloc_free(w->alloc, w->known, new->g->nodes / 64 + 1, sizeof *w->known);
    w->heir = NULL, w->known = NULL;
    w->stays = NULL, w->row[0] = w->row[1] = NULL;
    if (newer + 1 < w->sides) drop_twins(w); /* those of the last are needed once more */
    return status;
}

/* What the first heap had where a row is. */
static void count_base(work *w) {
    const side *s = &w->side[0];
    for (uint32_t node = 0; node < s->g->nodes && w->out->rows.count > 0; node++) {
        if (!is_reached_object(s, node)) continue;
        place p = place_of(w, false, node);
        const uint32_t *found = mpr_map_find(&w->rows, p.key);
        if (!found) continue;
        w->out->rows.items[*found].base_count++;
        w->out->rows.items[*found].base_bytes += s->d->retained[node] + (w->counts_native ? s->d->native[node] : 0);
    }
}

/* ---- which rows are growth --------------------------------------------------------------------------------------------- */

/* Its count grew; or its bytes did, by more than what comes and goes makes them waver. */
static bool has_grown(const mpr_growth_row *row, uint32_t span) {
    if (row->bytes[span] <= 0) return false;
    if (row->count[span] > 0 && (uint64_t)row->count[span] >= row->came[span] / SHARE_OF_OBJECTS) return true;
    return (uint64_t)row->bytes[span] >= row->came_bytes[span] / SHARE_OF_BYTES;
}

static bool is_growth(const work *w, const mpr_growth_row *row) {
    if (row->bytes[1] < w->floor || !has_grown(row, 1)) return false;
    if (w->sides == 2) return true;
    if (row->kind != MPR_GROWTH_ITSELF && (row->came[0] == 0 || row->came[1] == 0)) return false;
    if (row->kind != MPR_GROWTH_ITSELF && row->stayed_bytes < row->came_bytes[0] / 2) return false;
    bool strict = row->kind == MPR_GROWTH_C || row->kind == MPR_GROWTH_GARBAGE || row->kind == MPR_GROWTH_ITSELF;
    if (row->count[0] > 0 && has_grown(row, 0) && row->count[1] >= row->count[0] + strict) return true;
    return has_grown(row, 0) && row->count[0] <= 0 && row->count[1] <= 0 && row->bytes[1] >= row->bytes[0] + strict;
}

static int by_bytes(const void *left, const void *right) {
    const mpr_growth_row *a = left, *b = right;
    if (a->in_use != b->in_use) return a->in_use ? 1 : -1;
    if (a->bytes[1] != b->bytes[1]) return a->bytes[1] < b->bytes[1] ? 1 : -1;
    return a->node != b->node ? (a->node < b->node ? -1 : 1) : (a->type > b->type) - (a->type < b->type);
}

/* ---- owners ------------------------------------------------------------------------------------------------------------ */

typedef struct owner {
    uint32_t row, node, count;
} owner;

static int by_count(const void *left, const void *right) {
    const owner *a = left, *b = right;
    if (a->row != b->row) return a->row < b->row ? -1 : 1;
    if (a->count != b->count) return a->count < b->count ? 1 : -1;
    return (a->node > b->node) - (a->node < b->node);
}

/* Which objects that were there before refer to the samples: one pass over the edges of the newest heap. row: by node + 1. */
static int count_owners(work *w, const uint32_t *row, mpr_map *known, void *list) {
    MPR_VEC(owner) *owners = list;
    const side *s = &w->side[w->sides - 1];
    int made;
    for (uint32_t node = 0; node < s->g->nodes; node++) {
        if (!is_reached_object(s, node) || s->transparent[node] || w->twin[node] == NONE) continue;
        for (uint64_t k = mpr_graph_first(s->g, node); k < mpr_graph_first(s->g, node + 1); k++) {
            uint32_t index = row[s->g->target[k]];
            if (index == 0 || !mpr_steps_follow(s->g->label[k], false)) continue;
            uint32_t *at = mpr_map_add(known, mpr_map_mix(index, node), &made);
            if (!at) return MPR_ENOMEM;
            if (made) *at = (uint32_t)owners->count;
            if (made && mpr_vec_push(owners, w->alloc, ((owner){.row = index - 1, .node = node})) != MPR_OK) return MPR_ENOMEM;
            owners->items[*at].count++;
        }
    }
    return MPR_OK;
}

static int find_owners(work *w) {
    MPR_VEC(owner) owners = {0};
    mpr_map known = {.alloc = w->alloc};
    const side *s = &w->side[w->sides - 1];
    uint32_t *row = mpr_alloc_array(w->alloc, s->g->nodes, sizeof *row);
    int status = row ? MPR_OK : MPR_ENOMEM;
    for (size_t i = 0; i < w->samples.count && row; i++) row[w->samples.items[i].node] = w->samples.items[i].row + 1;
    if (status == MPR_OK && w->samples.count > 0) status = count_owners(w, row, &known, &owners);
    if (owners.count > 1) qsort(owners.items, owners.count, sizeof *owners.items, by_count);
    for (size_t i = 0, nth = 0; i < owners.count && status == MPR_OK; i++) {
        nth = i > 0 && owners.items[i].row == owners.items[i - 1].row ? nth + 1 : 0;
        mpr_growth_row *of = &w->out->rows.items[owners.items[i].row];
        bool few = of->kind == MPR_GROWTH_C && 2 * owners.items[i].count < w->sampled.items[owners.items[i].row]; /* by chance */
        if (nth < MPR_GROWTH_OWNERS && !few) of->owner[nth] = owners.items[i].node;
    }
    mpr_alloc_free(w->alloc, row, s->g->nodes, sizeof *row);
    mpr_vec_free(&owners, w->alloc);
    mpr_map_free(&known);
    return status;
}

/* ---- all of it --------------------------------------------------------------------------------------------------------- */

static bool same_number(const mpr_graph *a, const mpr_graph *b, const char *key) {
    const mpr_info *x = mpr_graph_info(a, key), *y = mpr_graph_info(b, key);
    return x && y && !x->is_text && !y->is_text && x->number == y->number;
}

static uint64_t modules_address(const mpr_graph *g) {
    uint32_t group = g->group[MPR_GROUP_MODULES];
    if (group == MPR_NO_NODE || mpr_graph_first(g, group) == mpr_graph_first(g, group + 1)) return 0;
    return mpr_graph_address(g, g->target[mpr_graph_first(g, group)]);
}

bool mpr_growth_is_one_process(const mpr_graph *const *graphs, uint32_t count) {
    for (uint32_t i = 1; i < count; i++)
        if (!same_number(graphs[0], graphs[i], "pid") || modules_address(graphs[0]) != modules_address(graphs[i])) return false;
    return count > 1;
}

static int compare_all(work *w) {
    int status = MPR_OK;
    for (uint32_t i = 1; i < w->sides && status == MPR_OK; i++) status = compare(w, i, i - 1);
    if (w->sides == 2)
        for (size_t i = 0; i < w->out->rows.count; i++) {
            mpr_growth_row *row = &w->out->rows.items[i];
            row->count[1] = row->count[0], row->bytes[1] = row->bytes[0], row->came[1] = row->came[0];
            row->native[1] = row->native[0];
        }
    return status;
}

static int by_row(const void *left, const void *right) {
    const sample *a = left, *b = right;
    return a->row != b->row ? (a->row < b->row ? -1 : 1) : (a->node > b->node) - (a->node < b->node);
}

/* Give each row its part of what was asked for. */
static int share_asked(work *w) {
    mpr_growth *out = w->out;
    if (w->asked.count > 1) qsort(w->asked.items, w->asked.count, sizeof *w->asked.items, by_row);
    if (mpr_vec_reserve(&out->asked, w->alloc, w->asked.count) != MPR_OK) return MPR_ENOMEM;
    for (size_t i = 0; i < w->asked.count; i++) {
        mpr_growth_row *row = &out->rows.items[w->asked.items[i].row];
        if (row->asked_count++ == 0) row->asked = i;
        out->asked.items[out->asked.count++] = w->asked.items[i].node;
    }
    return MPR_OK;
}

/* Samples of rows that are no growth are not looked at; then the rows themselves go. */
static int keep_growth(work *w) {
    mpr_growth *out = w->out;
    size_t kept = 0;
    for (size_t i = 0; i < w->samples.count; i++)
        if (is_growth(w, &out->rows.items[w->samples.items[i].row])) w->samples.items[kept++] = w->samples.items[i];
    w->samples.count = kept;
    int status = find_owners(w);
    if (status == MPR_OK) status = share_asked(w);
    kept = 0;
    for (size_t i = 0; i < out->rows.count; i++) {
        if (!is_growth(w, &out->rows.items[i])) continue;
        out->unattributed = minus(out->unattributed, (uint64_t)out->rows.items[i].bytes[1]);
        out->rows.items[kept++] = out->rows.items[i];
    }
    out->rows.count = kept;
    if (kept > 1) qsort(out->rows.items, kept, sizeof *out->rows.items, by_bytes);
    return status;
}

/* Garbage is called after what a program made in it. */
static int name_garbage(work *w) {
    const mpr_graph *g = w->side[w->sides - 1].g;
    for (size_t i = 0; i < w->out->rows.count; i++) {
        mpr_growth_row *row = &w->out->rows.items[i];
        if (row->kind != MPR_GROWTH_GARBAGE) continue;
        uint64_t *bytes = mpr_alloc_array(w->alloc, g->type_count, sizeof *bytes);
        if (!bytes) return MPR_ENOMEM;
        row->type = mpr_suspects_garbage_type(g, bytes);
        row->type_graph = w->sides - 1;
        mpr_alloc_free(w->alloc, bytes, g->type_count, sizeof *bytes);
    }
    return MPR_OK;
}

/* A thousandth of the heap, within bounds. */
static int64_t floor_of(uint64_t bytes) {
    uint64_t share = bytes / 1000;
    return share < MPR_GROWTH_FLOOR ? MPR_GROWTH_FLOOR : share > MPR_GROWTH_FLOOR_MOST ? MPR_GROWTH_FLOOR_MOST : (int64_t)share;
}

static int run(work *w) {
    mpr_growth *out = w->out;
    for (uint32_t i = 0; i < w->sides; i++) {
        const mpr_dominators *d = w->side[i].d;
        out->bytes[i] = d->retained[d->order[0]] + (w->counts_native ? d->native[d->order[0]] : 0);
    }
    out->unattributed = minus((int64_t)out->bytes[w->sides - 1], out->bytes[0]);
    w->floor = floor_of(out->bytes[0]);
    int status = compare_all(w);
    if (status != MPR_OK) return status;
    count_base(w);
    keep_references(w);
    status = keep_growth(w);
    if (status == MPR_OK) status = w->status;
    return status == MPR_OK ? name_garbage(w) : status;
}

int mpr_growth_find(const mpr_growth_heap *heaps, uint32_t count, mpr_progress progress, void *context, mpr_growth *out) {
    if (count < 2 || count > MPR_GROWTH_MOST) return MPR_ELIMIT;
    mpr_growth found = {.alloc = heaps[count - 1].graph->alloc, .graphs = count};
    work w = {.sides = count,
              .out = &found,
              .newest = &heaps[count - 1],
              .alloc = found.alloc,
              .rows = {.alloc = found.alloc},
              .by_holder = {.alloc = found.alloc}};
    int status = MPR_OK;
    w.counts_native = heaps[0].native;
    for (uint32_t i = 0; i < count; i++) w.counts_native = w.counts_native && heaps[i].dominators->native;
    for (uint32_t i = 0; i < count && status == MPR_OK; i++) status = begin_side(&w, &w.side[i], &heaps[i], progress, context);
    if (status == MPR_OK) status = run(&w);
    drop_twins(&w);
    for (uint32_t i = 0; i < count; i++) end_side(&w, &w.side[i]);
    mpr_map_free(&w.rows);
    mpr_map_free(&w.by_holder);
    mpr_vec_free(&w.sampled, w.alloc);
    mpr_vec_free(&w.samples, w.alloc);
    mpr_vec_free(&w.asked, w.alloc);
    mpr_vec_free(&w.path, w.alloc);
    if (status == MPR_OK)
        *out = found;
    else
        mpr_growth_free(&found);
    return status;
}

void mpr_growth_free(mpr_growth *growth) {
    if (!growth->alloc) return;
    mpr_vec_free(&growth->rows, growth->alloc);
    mpr_vec_free(&growth->references, growth->alloc);
    mpr_vec_free(&growth->asked, growth->alloc);
    *growth = (mpr_growth){0};
}
