/* SPDX-License-Identifier: MIT
 * From what was seen to what it means, in the builder's own memory:
 *
 *   1. number the addresses (rank of the bitmap) and note which node has which number;
 *   2. one pass over the edges: a target's handle becomes its id, and a strong edge takes one from the target's reference count;
 *   3. what is left of a count is the node's residual: references that no edge explains. An edge to what may be a temporary value
 *      (cpython/temporaries.h) becomes a strong one where its target has something left, and goes otherwise; one that was found in memory (native/marking.h)
 *      becomes a strong one where it leads to a native block, stays weak between one and an object, and goes between objects;
 *   4. the derived root groups, memprobe's own objects and garbage (roots.c);
 *   5. hand the columns over, trimmed, and add up the totals.
 *
 * Cost: O(nodes + edges), 4 bytes a node more than the graph itself. */
#include "graph/builder.h"

#include "graph/collected.h"

/* ---- ids ---- */

#define INLINE static inline __attribute__((always_inline)) /* of what is compiled twice, see find_ids */

#define AHEAD 16 /* nodes */

INLINE int number_nodes(struct mpr_builder *b) {
    if (mpr_addrset_rank(&b->addresses) != MPR_OK) {
        return MPR_ENOMEM;
    }
    b->order = mpr_alloc_array(b->alloc, b->handle.count, sizeof *b->order);
    if (b->order == NULL) {
        return MPR_ENOMEM;
    }
    for (size_t i = 0; i < b->handle.count; i++) {
        if (i + AHEAD < b->handle.count) {
            mpr_addrset_prefetch(&b->addresses, b->handle.items[i + AHEAD]);
        }
        b->order[mpr_addrset_number(&b->addresses, b->handle.items[i])] = (uint32_t)i;
    }
    return MPR_OK;
}

static void find_classes(struct mpr_builder *b) {
    for (size_t i = 0; i < b->types.count; i++) {
        uint32_t number;
        if (b->types.items[i].address != 0 && mpr_addrset_find(&b->addresses, b->types.items[i].address, &number)) {
            b->types.items[i].node = b->order[number];
        }
    }
}

/* The way from a handle to an id jumps through memory three times: to its bit and the count before it, to the order of its number, and to the
 * reference count of its id. So edges go through it some at a time, and each step fetches what the next one reads. */
#define BLOCK 32 /* edges */

typedef struct block {
    uint64_t from, end;  /* edges */
    uint32_t id[BLOCK];  /* MPR_NO_NODE for an address that was never seen */
} block;

static void fetch_block(const struct mpr_builder *b, uint64_t from) {
    uint64_t end = from + BLOCK < b->target.count ? from + BLOCK : b->target.count;
    for (uint64_t edge = from; edge < end; edge++) {
        mpr_addrset_prefetch(&b->addresses, b->target.items[edge]);
    }
}

/* The ids of the targets of the next edges; what the block after them reads is fetched meanwhile. */
INLINE void next_block(const struct mpr_builder *b, block *k) {
    const uint32_t *handle = b->target.items + k->end;
    uint64_t left = b->target.count - k->end, count = left < BLOCK ? left : BLOCK;
    k->from = k->end;
    k->end += count;
    fetch_block(b, k->end);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t number = mpr_addrset_number(&b->addresses, handle[i]);
        k->id[i] = mpr_addrset_has(&b->addresses, handle[i]) ? number : MPR_NO_NODE;
        __builtin_prefetch(&b->order[number]);
    }
    for (uint64_t i = 0; i < count; i++) {
        if (k->id[i] != MPR_NO_NODE) {
            k->id[i] = b->order[k->id[i]];
            __builtin_prefetch(&b->refs.items[k->id[i]], 1);
        }
    }
}

/* The label of an edge. An orphan's name is gone: say so rather than borrow another's. */
static inline mpr_label label_of(const struct mpr_builder *b, uint64_t edge, bool orphan) {
    mpr_label label = b->label.items[edge];
    if (orphan && mpr_label_named_by_previous(label)) {
        label = mpr_label_field(MPR_FIELD_NONE) | (label & (MPR_LABEL_WEAK | MPR_LABEL_HOUSEKEEPING));
    }
    return label;
}

/* Put edge `from`, which leads to `target`, at its place `to`. */
static inline void place_edge(struct mpr_builder *b, uint64_t from, uint32_t target, uint64_t to, bool orphan) {
    mpr_label label = label_of(b, from, orphan);
    b->target.items[to] = target;
    b->label.items[to] = label;
    b->refs.items[target] -= (uint32_t)mpr_label_strong(label);
}

static void set_first(struct mpr_builder *b, size_t node, uint64_t first) {
    if ((node & 0xFFFF) == 0) {
        b->first_base.items[node >> 16] = first;
    }
    b->first_low.items[node] = (uint32_t)(first - b->first_base.items[node >> 16]);
}

/* Where the edges of a node end, for who moves them forward node by node: *old_base is what the offsets of the node's block were relative to. It is
 * asked before the node's own offset is changed. */
INLINE uint64_t old_end(const struct mpr_builder *b, size_t node, uint64_t *old_base) {
    size_t next = node + 1;
    if ((node & 0xFFFF) == 0) {
        *old_base = b->first_base.items[node >> 16];
    }
    if (next >= b->first_low.count) {
        return b->target.count;
    }
    return ((next & 0xFFFF) == 0 ? b->first_base.items[next >> 16] : *old_base) + b->first_low.items[next];
}

/* What an edge is can be said only when all counts and nodes are known: of a temporary value, and of what was found in memory. */
#define TEMPORARY (mpr_label_field(MPR_FIELD_TEMPORARY))

static inline bool is_unsettled(mpr_label label, mpr_label temporary) { return label == temporary || mpr_label_found(label); }

/* All targets to ids, in place; edges that lead nowhere are squeezed out, and offsets follow. */
INLINE void translate_edges(struct mpr_builder *b) {
    const mpr_label temporary = TEMPORARY;
    uint64_t from = 0, to = 0, old_base = 0;
    block k = {0};
    b->first_unsettled = b->handle.count;
    fetch_block(b, 0);
    for (size_t node = 0; node < b->handle.count; node++) {
        uint64_t end = old_end(b, node, &old_base);
        set_first(b, node, to);
        for (bool orphan = true; from < end; from++) {
            if (from == k.end) {
                next_block(b, &k);
            }
            uint32_t target = k.id[from - k.from];
            if (target != MPR_NO_NODE) {
                if (b->first_unsettled > node && is_unsettled(b->label.items[from], temporary)) {
                    b->first_unsettled = node;
                }
                place_edge(b, from, target, to++, orphan);
            }
            orphan = target == MPR_NO_NODE;
            b->dangling += orphan && !mpr_label_found(b->label.items[from]); /* a block that an object has is no node */
        }
    }
    b->target.count = b->label.count = to;
}

INLINE int find_ids_with(struct mpr_builder *b) {
    int status = number_nodes(b);
    if (status == MPR_OK) {
        find_classes(b);
        translate_edges(b);
    }
    return status;
}

#ifdef __x86_64__
__attribute__((target("popcnt"))) static int find_ids_with_popcnt(struct mpr_builder *b) { return find_ids_with(b); }
#define HAS_POPCNT __builtin_cpu_supports("popcnt")
#else
#define find_ids_with_popcnt find_ids_with
#define HAS_POPCNT 0
#endif

/* A rank counts bits: where the processor does, that is a third of the work. The compiler knows the way it is written. */
static int find_ids(struct mpr_builder *b) { return HAS_POPCNT ? find_ids_with_popcnt(b) : find_ids_with(b); }

/* ---- residuals ---- */

/* The classes that their instances refer to, by type: MPR_NO_NODE for those of others. NULL without memory. */
static uint32_t *classes_of(const struct mpr_builder *b) {
    uint32_t *classes = mpr_alloc_array(b->alloc, b->types.count, sizeof *classes);
    for (size_t i = 0; classes != NULL && i < b->types.count; i++) {
        classes[i] = b->types.items[i].flags & MPR_TYPE_HEAP ? b->types.items[i].node : MPR_NO_NODE;
    }
    return classes;
}

/* Does an edge to what may be a temporary value explain a reference that nothing else does? Then it is counted. */
static bool is_temporary(struct mpr_builder *b, uint32_t target) {
    bool counted = !(b->flags.items[target] & MPR_NODE_UNCOUNTED);
    bool left = counted && (int32_t)b->refs.items[target] > 0;
    b->refs.items[target] -= left;
    return left;
}

/* Is a word of an object the address of another, and nothing else tells what its holder refers to? The collector does not follow the one,
 * and does the other: an int may be the address of what it does not follow, and no reference. */
static bool is_opaque(const struct mpr_builder *b, size_t node, uint32_t target) {
    return !(b->flags.items[node] & (MPR_NODE_TRACKED | MPR_NODE_SYNTHETIC)) && (b->flags.items[target] & MPR_NODE_TRACKED);
}

/* Is an edge that was found by looking one? Then *label says what it is; what retains is found by native.c. */
static bool is_native(const struct mpr_builder *b, size_t node, uint32_t target, mpr_label *label) {
    bool leads_to_block = (b->flags.items[target] & MPR_NODE_NATIVE) != 0;
    bool retains = leads_to_block && mpr_label_kind_of(*label) == MPR_LABEL_NATIVE;
    *label = retains ? *label & ~MPR_LABEL_WEAK : *label | MPR_LABEL_WEAK;
    return leads_to_block || (b->flags.items[node] & MPR_NODE_NATIVE) != 0 || is_opaque(b, node, target);
}

/* Is an unsettled edge one? */
static bool settle(struct mpr_builder *b, size_t node, uint32_t target, mpr_label *label) {
    if (mpr_label_found(*label)) {
        return is_native(b, node, target, label);
    }
    *label &= ~MPR_LABEL_WEAK;
    return is_temporary(b, target);
}

/* Unsettled edges become what they are or are squeezed out; offsets follow. The offsets have their last entry, the end of all. */
static void settle_edges(struct mpr_builder *b) {
    const mpr_label temporary = TEMPORARY;
    size_t node = b->first_unsettled;
    uint64_t old_base = b->first_base.items[node >> 16], from = old_base + b->first_low.items[node], to = from;
    for (; node < b->handle.count; node++) {
        uint64_t end = old_end(b, node, &old_base);
        set_first(b, node, to);
        for (bool orphan = true; from < end; from++) {
            mpr_label label = label_of(b, from, orphan);
            orphan = is_unsettled(label, temporary) && !settle(b, node, b->target.items[from], &label);
            if (!orphan) {
                b->target.items[to] = b->target.items[from];
                b->label.items[to++] = label;
            }
        }
    }
    set_first(b, node, to);
    b->target.count = b->label.count = to;
}

static int find_residuals(struct mpr_builder *b) {
    uint32_t *classes = classes_of(b);
    if (classes == NULL) {
        return MPR_ENOMEM;
    }
    for (size_t i = 0; i < b->handle.count; i++) {
        uint32_t class = classes[b->type.items[i]];
        if (class != MPR_NO_NODE && !(b->flags.items[i] & MPR_NODE_SYNTHETIC)) {
            b->refs.items[class]--;
        }
    }
    mpr_alloc_free(b->alloc, classes, b->types.count, sizeof *classes);
    if (b->first_unsettled < b->handle.count) {
        settle_edges(b);
    }
    for (size_t i = 0; i < b->handle.count; i++) {
        int32_t left = (int32_t)b->refs.items[i];
        if (left == 0 || (b->flags.items[i] & MPR_NODE_UNCOUNTED)) {
            continue;
        }
        mpr_side side = {.node = (uint32_t)i, .value = left};
        b->flags.items[i] |= MPR_NODE_RESIDUAL;
        if (mpr_vec_push(&b->residual, b->alloc, side) != MPR_OK) {
            return MPR_ENOMEM;
        }
    }
    mpr_vec_free(&b->refs, b->alloc);
    return MPR_OK;
}

/* ---- the graph ---- */

static void count_residual(mpr_totals *t, const mpr_graph *g, uint32_t node) {
    if (g->flags[node] & MPR_NODE_IMMORTAL) {
        t->immortal++;
    } else if (!(g->flags[node] & MPR_NODE_RESIDUAL)) {
        t->residual_zero++;
    } else if (mpr_graph_residual(g, node) > 0) {
        t->residual_positive++;
    } else {
        t->residual_negative++;
    }
}

static void count_node(mpr_totals *t, const mpr_graph *g, uint32_t node) {
    uint64_t size = mpr_graph_size(g, node);
    if (g->flags[node] & MPR_NODE_NATIVE) {
        bool own = (g->flags[node] & MPR_NODE_OWN) != 0, lost = (g->flags[node] & MPR_NODE_UNREACHABLE) != 0;
        t->native_blocks += !own;
        t->native_bytes += own ? 0 : size;
        t->lost_blocks += lost;
        t->lost_bytes += lost ? size : 0;
        return;
    }
    if (g->flags[node] & MPR_NODE_OWN) {
        t->own_objects++;
        t->own_bytes += size;
        return;
    }
    t->objects++;
    t->bytes += size;
    t->estimated += (g->flags[node] & MPR_NODE_ESTIMATED) != 0;
    if (g->flags[node] & MPR_NODE_UNREACHABLE) {
        t->unreachable_objects++;
        t->unreachable_bytes += size;
    }
    count_residual(t, g, node);
}

/* What needs a look at a node of its own. */
#define RARE                                                                                                                       \
    (MPR_NODE_OWN | MPR_NODE_ESTIMATED | MPR_NODE_UNREACHABLE | MPR_NODE_IMMORTAL | MPR_NODE_RESIDUAL | MPR_NODE_BIG |             \
     MPR_NODE_SYNTHETIC | MPR_NODE_NATIVE)

static void add_totals(mpr_graph *g, uint64_t dangling) {
    mpr_totals t = {.dangling = dangling};
    uint64_t plain = 0;
    for (uint32_t i = 0; i < g->seen; i++) {
        if (!(g->flags[i] & RARE)) {
            plain++;
            t.bytes += g->size[i];
        } else if (!(g->flags[i] & MPR_NODE_SYNTHETIC)) {
            count_node(&t, g, i);
        }
    }
    t.objects += plain;
    t.residual_zero += plain;
    g->totals = t;
}

void mpr_collected_view(mpr_graph *g) {
    struct mpr_builder *s = g->storage;
    g->nodes = (uint32_t)s->type.count;
    g->edges = s->target.count;
    g->handle = s->handle.items;
    g->type = s->type.items;
    g->size = s->size.items;
    g->flags = s->flags.items;
    g->first_low = s->first_low.items;
    g->first_base = s->first_base.items;
    g->target = s->target.items;
    g->label = s->label.items;
    g->order = s->order;
    g->addresses = &s->addresses;
    g->residual = s->residual.items, g->residuals = s->residual.count;
    g->big = s->big.items, g->bigs = s->big.count;
    g->types = s->types.items, g->type_count = s->types.count;
    g->named = s->named.items, g->named_count = s->named.count;
    g->texts = s->texts.items, g->text_count = s->texts.count;
    g->hashed = s->hashed.items, g->hashed_count = s->hashed.count;
    g->infos = s->infos.items, g->info_count = s->infos.count;
    g->strings = s->strings.items, g->string_bytes = s->strings.count;
}

static void trim(struct mpr_builder *s) {
    mpr_vec_trim(&s->handle, s->alloc);
    mpr_vec_trim(&s->type, s->alloc);
    mpr_vec_trim(&s->size, s->alloc);
    mpr_vec_trim(&s->flags, s->alloc);
    mpr_vec_trim(&s->first_low, s->alloc);
    mpr_vec_trim(&s->target, s->alloc);
    mpr_vec_trim(&s->label, s->alloc);
    mpr_vec_trim(&s->residual, s->alloc);
    mpr_vec_trim(&s->texts, s->alloc);
    mpr_vec_trim(&s->hashed, s->alloc);
    mpr_vec_trim(&s->strings, s->alloc);
}

/* Everything that freeze computes, in the graph's own storage. */
static int make_meaning(mpr_graph *g) {
    struct mpr_builder *s = g->storage;
    int status = find_ids(s);
    if (status != MPR_OK || (status = mpr_collected_push_first(s)) != MPR_OK || /* the end of the last node's edges */
        (status = find_residuals(s)) != MPR_OK) {
        return status;
    }
    mpr_collected_view(g);
    g->seen = g->nodes;
    status = mpr_roots_add(g);
    if (status == MPR_OK) {
        trim(s);
        mpr_collected_view(g);
        add_totals(g, s->dangling);
    }
    return status;
}

int mpr_builder_freeze(mpr_builder *builder, mpr_graph **out) {
    mpr_alloc *alloc = builder->alloc;
    mpr_graph *g = mpr_alloc_array(alloc, 1, sizeof *g);
    struct mpr_builder *storage = mpr_alloc_array(alloc, 1, sizeof *storage);
    if (g == NULL || storage == NULL) {
        mpr_alloc_free(alloc, g, 1, sizeof *g);
        mpr_alloc_free(alloc, storage, 1, sizeof *storage);
        return MPR_ENOMEM;
    }
    *storage = *builder;
    *builder = (mpr_builder){.sink = storage->sink, .alloc = alloc};
    mpr_addrset_init(&builder->addresses, alloc);
    g->alloc = alloc;
    g->storage = storage;
    int status = make_meaning(g);
    if (status != MPR_OK) {
        mpr_graph_free(g);
        return status;
    }
    *out = g;
    return MPR_OK;
}
