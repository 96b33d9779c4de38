/* SPDX-License-Identifier: MIT
 * algo/waste against slow twins on made-up heaps of lists, dicts, sets, tuples, numbers and instances: values are compared pair by pair, fresh
 * sizes looked up in a table, holders of a number searched among all edges, attribute sets compared one by one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "algo/waste.h"
#include "base/status.h"
#include "test.h"

enum { LIST, DICT, SET, STR, TUPLE, FLOAT, ITEM, TYPE, TYPES };
#define BASE UINT64_C(0x10000)
#define NAMES 4 /* the first nodes are the names of attributes; then the class */
#define CLASS NAMES
#define FIRST (NAMES + 1)

typedef struct plan {
    uint32_t nodes;
    uint32_t long_list; /* items of the list that comes first, or 0 */
    uint32_t instances; /* so many at least come before others */
    bool facts, hashed;
} plan;

typedef struct maker {
    mpr_sink *sink;
    const plan *plan;
    dice dice;
    int status;
} maker;

static uint64_t address_of(uint32_t node) { return BASE + 64 * (uint64_t)node; }

static void tell_edge(maker *m, uint32_t target, mpr_label label) {
    mpr_seen_edge edge = {address_of(target), label};
    if (m->status == MPR_OK) m->status = m->sink->edges(m->sink, &edge, 1);
}

static void tell_node(maker *m, uint32_t node, uint32_t type, uint64_t size, uint32_t flags) {
    mpr_seen_node seen = {.address = address_of(node), .type = type, .size = size, .flags = flags, .refcount = 1};
    if (m->status == MPR_OK) m->status = m->sink->node(m->sink, &seen);
}

static uint32_t any_node(maker *m) { return (uint32_t)dice_below(&m->dice, m->plan->nodes); }

static uint64_t any_spare(maker *m) {
    static const uint64_t spare[] = {0, 0, 0, 8, 64, 65, 72, 500};
    return spare[dice_below(&m->dice, 8)];
}

static void tell_digest(maker *m, uint32_t node) {
    mpr_digest digest = {{dice_below(&m->dice, 4), dice_below(&m->dice, 2)}};
    if (m->status == MPR_OK && m->plan->hashed && dice_chance(&m->dice, 90)) m->status = m->sink->digest(m->sink, node, &digest);
}

static void tell_list(maker *m, uint32_t node, uint32_t type) {
    uint32_t items = node == FIRST && m->plan->long_list ? m->plan->long_list : (uint32_t)dice_below(&m->dice, 4);
    uint64_t spare = type == LIST ? any_spare(m) : 0;
    tell_node(m, node, type, 56 + 8 * (uint64_t)items + spare, 0);
    for (uint32_t i = 0; i < items; i++) tell_edge(m, any_node(m), mpr_label_make(MPR_LABEL_INDEX, i));
}

static void tell_dict(maker *m, uint32_t node) {
    uint64_t entries = dice_below(&m->dice, 8), fresh = 0;
    if (entries > 0) fresh = entries <= 5 ? 32 + 8 + 5 * 24 : 32 + 16 + 10 * 24;
    tell_node(m, node, DICT, 64 + fresh + any_spare(m), 0);
    bool shared = dice_chance(&m->dice, 30);
    mpr_label key = shared ? mpr_label_make(MPR_LABEL_NAME, 0) | MPR_LABEL_WEAK : mpr_label_make(MPR_LABEL_KEY, 0);
    for (uint64_t i = 0; i < entries; i++) {
        tell_edge(m, dice_chance(&m->dice, 80) ? (uint32_t)dice_below(&m->dice, NAMES) : any_node(m), key);
        tell_edge(m, any_node(m), mpr_label_make(MPR_LABEL_VALUE, 0));
    }
}

static void tell_set(maker *m, uint32_t node) {
    uint64_t elements = dice_below(&m->dice, 10);
    tell_node(m, node, SET, 216 + (elements < 5 ? 0 : elements < 8 ? 256 : 512) + any_spare(m), 0);
    for (uint64_t i = 0; i < elements; i++) tell_edge(m, any_node(m), mpr_label_make(MPR_LABEL_ELEMENT, 0));
}

static void tell_item(maker *m, uint32_t node) {
    unsigned names = dice_chance(&m->dice, 99) ? 3 : 1;
    tell_node(m, node, ITEM, 96, 0);
    if (dice_chance(&m->dice, 20)) tell_edge(m, any_node(m), mpr_label_field(MPR_FIELD_DICT));
    for (unsigned i = 0; i < names; i++) tell_edge(m, any_node(m), mpr_label_make(MPR_LABEL_INLINE, i));
}

static void tell_object(maker *m, uint32_t node) {
    uint32_t type = node == FIRST && m->plan->long_list    ? LIST
                    : node < FIRST + m->plan->instances    ? ITEM
                    : m->plan->long_list && node % 16 != 0 ? FLOAT
                                                           : (uint32_t)dice_below(&m->dice, TYPE);
    if (type == LIST || type == TUPLE)
        tell_list(m, node, type);
    else if (type == DICT)
        tell_dict(m, node);
    else if (type == SET)
        tell_set(m, node);
    else if (type == ITEM)
        tell_item(m, node);
    else
        tell_node(m, node, type, type == FLOAT ? 24 : 50 + dice_below(&m->dice, 3), dice_chance(&m->dice, 3) ? MPR_NODE_IMMORTAL : 0);
    if (type == STR || type == FLOAT) tell_digest(m, node);
}

static void tell_types(maker *m) {
    static const char *const names[TYPES] = {"list", "dict", "set", "str", "tuple", "float", "app.Item", "type"};
    static const uint32_t basicsize[TYPES] = {40, 48, 200, 40, 24, 24, 16, 400};
    static const mpr_seen_name places[] = {{(mpr_label)MPR_LABEL_INLINE << 28, "a", 1},
                                           {(mpr_label)MPR_LABEL_INLINE << 28 | 1, "b", 1},
                                           {(mpr_label)MPR_LABEL_INLINE << 28 | 2, "c", 1}};
    for (uint32_t i = 0; i < TYPES && m->status == MPR_OK; i++) {
        mpr_seen_type type = {.name = names[i], .name_length = strlen(names[i]), .basicsize = basicsize[i], .named = places};
        if (i == ITEM) {
            type.flags = MPR_TYPE_HEAP;
            type.names = 3;
            type.address = address_of(CLASS);
        }
        m->status = m->sink->type(m->sink, &type);
    }
}

static void tell_facts(maker *m) {
    static const mpr_seen_info facts[] = {{"cost_dict_head", 32, NULL, 0},    {"cost_dict_entry", 24, NULL, 0},
                                          {"cost_dict_str_entry", 24, NULL, 0}, {"cost_set_entry", 16, NULL, 0},
                                          {"cost_instance", 16, NULL, 0},     {"cost_weakref", 16, NULL, 0}};
    for (size_t i = 0; i < 6 && m->plan->facts && m->status == MPR_OK; i++) m->status = m->sink->info(m->sink, &facts[i]);
}

static void tell_all(maker *m) {
    mpr_seen_node modules = {.address = MPR_SYNTHETIC + 16 * MPR_GROUP_MODULES, .flags = MPR_NODE_SYNTHETIC};
    tell_facts(m);
    tell_types(m);
    for (uint32_t i = 0; i < NAMES && m->status == MPR_OK; i++) {
        char name = (char)('a' + i);
        tell_node(m, i, STR, 50, MPR_NODE_INTERNED);
        if (m->status == MPR_OK) m->status = m->sink->text(m->sink, &name, 1);
    }
    tell_node(m, CLASS, TYPE, 1000, MPR_NODE_TYPE);
    for (uint32_t i = 0; i < 3; i++) tell_edge(m, i, mpr_label_field(MPR_FIELD_CACHED_KEY));
    for (uint32_t i = FIRST; i < m->plan->nodes; i++) tell_object(m, i);
    if (m->status == MPR_OK) m->status = m->sink->node(m->sink, &modules);
    for (uint32_t i = 0; i < m->plan->nodes; i++) tell_edge(m, i, mpr_label_make(MPR_LABEL_CHILD, 0) | MPR_LABEL_WEAK);
}

static mpr_graph *make(mpr_alloc *alloc, uint64_t seed, const plan *p) {
    mpr_builder *builder = NULL;
    mpr_graph *graph = NULL;
    if (mpr_builder_new(&builder, alloc) != MPR_OK) return NULL;
    maker m = {.sink = mpr_builder_sink(builder), .plan = p, .dice = {seed}, .status = MPR_OK};
    tell_all(&m);
    if (m.status != MPR_OK || mpr_builder_freeze(builder, &graph) != MPR_OK) graph = NULL;
    mpr_builder_free(builder);
    return graph;
}

/* ---- twins ---- */

typedef struct sums {
    uint64_t count[MPR_WASTE_KINDS], bytes[MPR_WASTE_KINDS];
} sums;

static void add(sums *s, mpr_waste_kind kind, uint64_t count, uint64_t bytes) {
    s->count[kind] += count;
    s->bytes[kind] += bytes;
}

static uint64_t edges_of(const mpr_graph *g, uint32_t node) { return mpr_graph_first(g, node + 1) - mpr_graph_first(g, node); }
static uint32_t target_of(const mpr_graph *g, uint32_t node, uint64_t i) { return g->target[mpr_graph_first(g, node) + i]; }
static mpr_label label_of(const mpr_graph *g, uint32_t node, uint64_t i) { return g->label[mpr_graph_first(g, node) + i]; }

static bool same_digest(const mpr_graph *g, uint32_t a, uint32_t b) {
    const mpr_digest *x = mpr_graph_digest(g, a), *y = mpr_graph_digest(g, b);
    return x && y && x->word[0] == y->word[0] && x->word[1] == y->word[1];
}

static bool is_value(const mpr_graph *g, uint32_t node) {
    if (g->flags[node] & (MPR_NODE_SYNTHETIC | MPR_NODE_UNREACHABLE)) return false;
    if (g->type[node] == STR) return mpr_graph_digest(g, node) != NULL;
    for (uint64_t i = 0; i < edges_of(g, node); i++)
        if (!mpr_graph_digest(g, target_of(g, node, i))) return false;
    return g->type[node] == TUPLE && edges_of(g, node) > 0;
}

static bool same_value(const mpr_graph *g, uint32_t a, uint32_t b) {
    if (g->type[a] != g->type[b] || edges_of(g, a) != edges_of(g, b)) return false;
    for (uint64_t i = 0; i < edges_of(g, a); i++)
        if (!same_digest(g, target_of(g, a, i), target_of(g, b, i))) return false;
    return g->type[a] == TUPLE || same_digest(g, a, b);
}

static void twin_duplicates(const mpr_graph *g, sums *s) {
    for (uint32_t a = 0; a < g->nodes; a++) {
        uint64_t count = 0, bytes = 0, largest = 0;
        bool first = is_value(g, a);
        for (uint32_t b = 0; b < g->nodes && first; b++) {
            if (!is_value(g, b) || !same_value(g, a, b)) continue;
            first = b >= a;
            count++;
            bytes += mpr_graph_size(g, b);
            if (mpr_graph_size(g, b) > largest) largest = mpr_graph_size(g, b);
        }
        if (first && bytes > largest) add(s, MPR_WASTE_DUPLICATE, count - 1, bytes - largest);
        if (first && bytes > largest) add(s, MPR_WASTE_COPIES, count - 1, bytes - largest);
    }
}

static bool is_namespace(const mpr_graph *g, uint32_t dict, uint32_t *owner) {
    for (uint32_t i = 0; i < g->nodes; i++)
        for (uint64_t k = 0; k < edges_of(g, i); k++)
            if (target_of(g, i, k) == dict && label_of(g, i, k) == mpr_label_field(MPR_FIELD_DICT)) {
                *owner = i;
                return true;
            }
    return false;
}

static void twin_containers(const mpr_graph *g, sums *s) {
    for (uint32_t i = 0; i < g->nodes; i++) {
        uint64_t edges = edges_of(g, i), size = mpr_graph_size(g, i), fresh;
        uint32_t owner;
        if (g->flags[i] & (MPR_NODE_SYNTHETIC | MPR_NODE_UNREACHABLE)) continue;
        if (g->type[i] == LIST)
            fresh = 56 + 8 * edges;
        else if (g->type[i] == SET)
            fresh = 216 + (edges < 5 ? 0 : edges < 8 ? 256 : 512);
        else if (g->type[i] == DICT && edges > 0 && mpr_label_strong(label_of(g, i, 0)))
            fresh = 64 + (edges <= 10 ? 160 : 288);
        else if (g->type[i] == DICT && edges == 0 && !is_namespace(g, i, &owner))
            fresh = 64;
        else
            continue;
        if (edges == 0 && size == fresh)
            add(s, MPR_WASTE_EMPTY, 1, size);
        else if (size > fresh + 64)
            add(s, MPR_WASTE_SPARSE, 1, size - fresh);
    }
}

/* Is every reference to the number one of this list's? */
static bool only_in(const mpr_graph *g, uint32_t list, uint32_t number) {
    for (uint32_t i = 0; i < g->nodes; i++)
        for (uint64_t k = 0; k < edges_of(g, i); k++)
            if (i != list && target_of(g, i, k) == number && mpr_label_strong(label_of(g, i, k))) return false;
    return mpr_graph_residual(g, number) == 0 && !(g->flags[number] & MPR_NODE_IMMORTAL);
}

static void twin_boxed(const mpr_graph *g, uint32_t list, sums *s) {
    uint64_t items = edges_of(g, list), floats = 0, bytes = mpr_graph_size(g, list);
    uint8_t *met = calloc(g->nodes, 1);
    for (uint64_t i = 0; i < items; i++) {
        uint32_t number = target_of(g, list, i);
        floats += g->type[number] == FLOAT;
        if (g->type[number] == FLOAT && !met[number] && only_in(g, list, number)) bytes += mpr_graph_size(g, number);
        met[number] = 1;
    }
    free(met);
    if (floats * 10 >= items * 9 && bytes > 80 + 8 * items) add(s, MPR_WASTE_BOXED, 1, bytes - 80 - 8 * items);
}

/* The names of an instance as bits: of its inline values, and of its dict when it is its own. */
static unsigned names_of(const mpr_graph *g, uint32_t node, uint32_t *own, uint64_t *count) {
    unsigned names = 0;
    uint32_t owner;
    *own = MPR_NO_NODE;
    *count = 0;
    for (uint64_t k = 0; k < edges_of(g, node); k++) {
        if (label_of(g, node, k) == mpr_label_field(MPR_FIELD_DICT)) *own = target_of(g, node, k);
        if (mpr_label_kind_of(label_of(g, node, k)) == MPR_LABEL_INLINE) names |= 1u << mpr_label_payload(label_of(g, node, k));
    }
    if (*own != MPR_NO_NODE && (g->type[*own] != DICT || !is_namespace(g, *own, &owner) || owner != node)) *own = MPR_NO_NODE;
    *count = (uint64_t)__builtin_popcount(names);
    return names;
}

static void twin_unshared(const mpr_graph *g, sums *s) {
    uint64_t least = 0, bytes = 0, count = 0, tables = 0;
    for (uint32_t i = 0; i < g->nodes; i++) {
        uint32_t own;
        uint64_t names, whole = mpr_graph_size(g, i);
        if (g->type[i] != ITEM || (g->flags[i] & (MPR_NODE_SYNTHETIC | MPR_NODE_UNREACHABLE))) continue;
        names_of(g, i, &own, &names);
        if (own != MPR_NO_NODE) whole += mpr_graph_size(g, own);
        if (own != MPR_NO_NODE && edges_of(g, own) > 0 && mpr_label_strong(label_of(g, own, 0))) {
            uint64_t pointers = 8 * (names + edges_of(g, own) / 2), table = mpr_graph_size(g, own) - 64;
            count++;
            bytes += whole;
            tables += table > pointers ? table - pointers : 0;
        } else if (least == 0 || whole < least) {
            least = whole;
        }
    }
    uint64_t saved = least == 0 ? tables : bytes > least * count ? bytes - least * count : 0;
    if (count > 0 && saved > 0) add(s, MPR_WASTE_UNSHARED, count, saved);
}

/* ---- checks ---- */

static bool same_sums(test *t, const mpr_waste *found, const sums *s, mpr_waste_kind kind) {
    return CHECK(t, found->count[kind] == s->count[kind] && found->bytes[kind] == s->bytes[kind]);
}

static void check_rows(test *t, const mpr_graph *g, const mpr_waste *found) {
    sums rows = {{0}, {0}};
    for (size_t i = 0; i < found->rows.count; i++) {
        const mpr_waste_row *row = &found->rows.items[i];
        add(&rows, row->kind, row->kind == MPR_WASTE_DUPLICATE ? row->count - 1 : row->count, row->bytes);
        CHECK(t, row->bytes > 0 && (i == 0 || row->bytes <= row[-1].bytes) && row->node < g->nodes && g->type[row->node] == row->type);
        CHECK(t, row->edge == MPR_NO_EDGE || (row->edge >= mpr_graph_first(g, row->holder) &&
                                                 row->edge < mpr_graph_first(g, row->holder + 1) && g->target[row->edge] == row->node));
    }
    for (int kind = 0; kind < MPR_WASTE_KINDS; kind++) same_sums(t, found, &rows, (mpr_waste_kind)kind);
}

static void small(test *t, uint64_t seed) {
    plan p = {.nodes = FIRST + 1 + (uint32_t)seed % 30, .facts = seed % 7 != 0, .hashed = seed % 5 != 0};
    mpr_waste found = {0};
    mpr_waste_options options = {.limit = SIZE_MAX};
    test_alloc a;
    sums s = {{0}, {0}};
    test_alloc_init(&a);
    mpr_graph *g = make(&a.alloc, seed, &p);
    if (CHECK(t, g != NULL && mpr_graph_check(g) == NULL && mpr_waste_find(g, &options, &found) == MPR_OK)) {
        twin_duplicates(g, &s);
        if (p.facts) twin_containers(g, &s);
        if (p.facts) twin_unshared(g, &s);
        for (int kind = 0; kind < MPR_WASTE_KINDS; kind++) same_sums(t, &found, &s, (mpr_waste_kind)kind);
        CHECK(t, found.has_costs == p.facts && found.has_hashes == (g->hashed_count > 0));
        check_rows(t, g, &found);
    }
    mpr_waste_free(&found);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

static void large(test *t, uint64_t seed) {
    plan p = {.nodes = 1200, .long_list = 990 + (uint32_t)seed % 30, .facts = true};
    mpr_waste found = {0};
    mpr_alloc a;
    sums s = {{0}, {0}};
    mpr_alloc_pages(&a);
    mpr_graph *g = make(&a, seed, &p);
    if (CHECK(t, g != NULL && mpr_waste_find(g, NULL, &found) == MPR_OK)) {
        if (p.long_list >= 1000 && !(g->flags[FIRST] & MPR_NODE_UNREACHABLE)) twin_boxed(g, FIRST, &s);
        same_sums(t, &found, &s, MPR_WASTE_BOXED);
    }
    mpr_waste_free(&found);
    mpr_graph_free(g);
    CHECK(t, a.used == 0);
}

/* 1,000 instances agree on their names, or do not. */
static void slots(test *t, uint64_t seed) {
    plan p = {.nodes = FIRST + 1000 + (uint32_t)seed % 20, .instances = 990 + (uint32_t)seed % 20, .facts = true};
    mpr_waste found = {0};
    mpr_alloc a;
    mpr_alloc_pages(&a);
    mpr_graph *g = make(&a, seed, &p);
    if (!CHECK(t, g != NULL && mpr_waste_find(g, NULL, &found) == MPR_OK)) return;
    uint64_t count = 0, bytes = 0, with[16] = {0}, own_names = 0, best = 0;
    for (uint32_t i = 0; i < g->nodes; i++) {
        uint32_t own;
        uint64_t names;
        if (g->type[i] != ITEM || (g->flags[i] & (MPR_NODE_SYNTHETIC | MPR_NODE_UNREACHABLE))) continue;
        unsigned set = names_of(g, i, &own, &names);
        count++;
        bytes += mpr_graph_size(g, i) + (own == MPR_NO_NODE ? 0 : mpr_graph_size(g, own));
        if (own == MPR_NO_NODE || edges_of(g, own) == 0)
            with[set]++;
        else
            own_names++;
    }
    for (unsigned set = 0; set < 16; set++)
        if (with[set] > with[best]) best = set;
    uint64_t each = 16 + 16 + 8 * (uint64_t)__builtin_popcountll(best);
    bool expected = count >= 1000 && with[best] * 100 >= count * 99 && bytes > each * count;
    bool unsure = own_names > 0 && (with[best] + own_names) * 100 >= count * 99; /* dicts may add the names that lack */
    if (!unsure || expected) {
        CHECK(t, found.count[MPR_WASTE_SLOTS] == (expected ? count : 0));
        CHECK(t, found.bytes[MPR_WASTE_SLOTS] == (expected ? bytes - each * count : 0));
    }
    mpr_waste_free(&found);
    mpr_graph_free(g);
    CHECK(t, a.used == 0);
}

static int at_once(void *context, uint64_t done, uint64_t total) { return (void)context, done > total; }
static int never(void *context, uint64_t done, uint64_t total) { return (void)context, (void)done, (void)total, 1; }

static void without_memory(test *t) {
    plan p = {.nodes = 1300, .long_list = 1100, .facts = true, .hashed = true};
    test_alloc a;
    test_alloc_init(&a);
    mpr_graph *g = make(&a.alloc, 3, &p);
    bool tripped = CHECK(t, g != NULL);
    for (uint64_t nth = 1; tripped; nth++) {
        mpr_waste found = {0};
        a.calls = 0;
        a.fail_at = nth;
        a.tripped = false;
        CHECK(t, (mpr_waste_find(g, NULL, &found) == MPR_ENOMEM) == a.tripped);
        mpr_waste_free(&found);
        tripped = a.tripped;
    }
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

static void cancelled(test *t) {
    plan p = {.nodes = 30000, .facts = true, .hashed = true};
    mpr_alloc a;
    mpr_waste found = {0};
    mpr_waste_options options = {.progress = never};
    mpr_alloc_pages(&a);
    mpr_graph *g = make(&a, 3, &p);
    CHECK(t, g != NULL && mpr_waste_find(g, &options, &found) == MPR_ECANCELLED && found.alloc == NULL);
    options.progress = at_once;
    CHECK(t, g != NULL && mpr_waste_find(g, &options, &found) == MPR_OK);
    mpr_waste_free(&found);
    mpr_graph_free(g);
    CHECK(t, a.used == 0);
}

void test_waste(test *t) {
    for (uint64_t seed = 1; seed <= (t->quick ? 20u : 10000u); seed++) small(t, seed);
    for (uint64_t seed = 1; seed <= (t->quick ? 2u : 60u); seed++) large(t, seed);
    for (uint64_t seed = 1; seed <= (t->quick ? 2u : 60u); seed++) slots(t, seed);
    without_memory(t);
    cancelled(t);
}
