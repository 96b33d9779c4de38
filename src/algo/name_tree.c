/* SPDX-License-Identifier: MIT
 * `order` is the queue. A node is left once, over the edges of the stage; if it has others whose targets are not met yet it is put on a list
 * for a later stage, so that most nodes are looked at once. */
#include "algo/name_tree.h"

#include <string.h>

#include "base/status.h"
#include "graph/resolve.h"

#define REPORT_EVERY 65536u /* nodes */
#define AHEAD 8u            /* nodes of the queue */

/* ---- what can be typed ------------------------------------------------------------------------------------------------ */

static bool is_set(const uint64_t *bits, uint32_t node) { return bits[node >> 6] >> (node & 63) & 1; }
static void set(uint64_t *bits, uint32_t node) { bits[node >> 6] |= UINT64_C(1) << (node & 63); }

static bool is_str(const mpr_graph *g, uint32_t node) { return mpr_graph_type_is(g, node, "str"); }

/* The namespace of a module or class is housekeeping, but that is where names are. */
static bool is_typed_field(const mpr_graph *g, uint32_t holder, mpr_label label) {
    if (mpr_steps_is_field(label, MPR_FIELD_NAMESPACE)) return g->flags[holder] & (MPR_NODE_MODULE | MPR_NODE_TYPE);
    if (mpr_label_housekeeping(label) || mpr_steps_is_field(label, MPR_FIELD_CLOSURE)) return false;
    bool is_module = g->flags[holder] & MPR_NODE_MODULE;
    if (is_module && mpr_steps_is_field(label, MPR_FIELD_NAME)) return false; /* its namespace has one, too */
    if (mpr_steps_is_field(label, MPR_FIELD_ANNOTATIONS)) return false; /* a function makes them when it is asked */
    return mpr_label_field_text(mpr_label_payload(label))[0] != '<';
}

static bool is_sys_modules(const mpr_graph *g, const mpr_name_tree *t, uint32_t node) {
    return t->parent[node] == g->group[MPR_GROUP_MODULES] && node != t->parent[node];
}

/* A key of known contents; and a module knows its own name. */
static bool is_typed_key(const mpr_graph *g, const mpr_name_tree *t, uint32_t holder, uint64_t edge) {
    if (is_set(t->named, g->target[edge - 1])) return true;
    return (g->flags[g->target[edge]] & MPR_NODE_MODULE) && is_sys_modules(g, t, holder);
}

bool mpr_name_tree_is_typed(const mpr_graph *g, const mpr_name_tree *t, uint32_t holder, uint64_t edge) {
    mpr_label label = g->label[edge];
    switch (mpr_label_kind_of(label)) {
    case MPR_LABEL_FIELD:
        return is_typed_field(g, holder, label);
    case MPR_LABEL_INLINE:
    case MPR_LABEL_INDEX:
        return !mpr_label_housekeeping(label);
    case MPR_LABEL_OFFSET:
        return !mpr_label_housekeeping(label) && mpr_graph_named(g, g->type[holder], label) != NULL;
    case MPR_LABEL_VALUE:
    case MPR_LABEL_ATTR:
        return !mpr_label_housekeeping(label) && is_typed_key(g, t, holder, edge);
    default:
        return false;
    }
}

bool mpr_name_tree_typed(const mpr_name_tree *t, uint32_t node) { return is_set(t->typed, node); }

static bool is_barred(const mpr_name_tree *t, uint32_t holder, uint64_t edge) {
    return t->bars != NULL && t->bars->is_barred(t->bars->context, holder, edge);
}

/* ---- meeting and leaving ---------------------------------------------------------------------------------------------- */

static void meet(const mpr_graph *g, mpr_name_tree *t, uint32_t node, uint32_t parent) {
    if (t->parent[node] != MPR_NO_NODE || (g->flags[node] & MPR_NODE_OWN)) return;
    if (t->bars && t->bars->walls && t->bars->walls[node]) return;
    t->parent[node] = parent;
    if (mpr_vec_push(&t->order, t->alloc, node) != MPR_OK) t->status = MPR_ENOMEM;
    if (t->stage == MPR_NAMING_TYPED) set(t->typed, node);
    if (is_set(t->wanted, node)) t->missing--;
}

enum { TYPED = 1, LOOSE = 2, HOUSEKEEPING = 4 }; /* sorts of edges */

static unsigned sort_of(const mpr_graph *g, const mpr_name_tree *t, uint32_t holder, uint64_t edge, unsigned wanted) {
    bool chore = mpr_label_housekeeping(g->label[edge]);
    if (!chore && (wanted & LOOSE)) return LOOSE; /* typed or not */
    if (mpr_name_tree_is_typed(g, t, holder, edge)) return TYPED;
    return chore ? HOUSEKEEPING : LOOSE;
}

/* Meet what a node refers to by edges of these sorts. The sorts by which it refers to others that are not met yet. */
static unsigned leave(const mpr_graph *g, mpr_name_tree *t, uint32_t node, unsigned sorts) {
    unsigned left = 0;
    uint64_t end = mpr_graph_first(g, node + 1);
    for (uint64_t k = mpr_graph_first(g, node); k < end; k++) {
        uint32_t target = g->target[k];
        if (k + 16 < end) __builtin_prefetch(&t->parent[g->target[k + 16]], 1);
        if (t->parent[target] != MPR_NO_NODE || !mpr_label_strong(g->label[k]) || is_barred(t, node, k)) continue;
        unsigned sort = sort_of(g, t, node, k, sorts);
        if (sort & sorts)
            meet(g, t, target, node);
        else
            left |= sort;
    }
    uint32_t class = mpr_steps_class(g, node);
    if (class == MPR_NO_NODE || t->parent[class] != MPR_NO_NODE) return left;
    if (!(sorts & HOUSEKEEPING)) return left | HOUSEKEEPING;
    meet(g, t, class, node);
    return left;
}

/* Modules in the order of sys.modules, but for the program's own, which is first. */
static void meet_main(const mpr_graph *g, mpr_name_tree *t, uint32_t modules) {
    for (uint64_t k = mpr_graph_first(g, modules); k < mpr_graph_first(g, modules + 1); k++) {
        mpr_resolved r;
        if (mpr_label_kind_of(g->label[k]) != MPR_LABEL_VALUE) continue;
        mpr_graph_resolve(g, modules, k, &r);
        if (r.length == 8 && r.name != NULL && memcmp(r.name, "__main__", 8) == 0) meet(g, t, g->target[k], modules);
    }
}

/* Leave a node for the first time; what is left stands on the lists of later stages. */
static int visit(const mpr_graph *g, mpr_name_tree *t, uint32_t node, unsigned sorts) {
    uint32_t ahead = t->order.items[t->at + AHEAD < t->order.count ? t->at + AHEAD : t->at];
    __builtin_prefetch(&g->first_low[ahead]);
    if (is_sys_modules(g, t, node)) meet_main(g, t, node);
    unsigned left = leave(g, t, node, sorts);
    int status = MPR_OK;
    if (left & LOOSE) status = mpr_vec_push(&t->loose, t->alloc, ((mpr_step){.node = node, .edge = t->level}));
    if (status == MPR_OK && (left & HOUSEKEEPING)) status = mpr_vec_push(&t->chores, t->alloc, node);
    return status;
}

/* ---- stages ----------------------------------------------------------------------------------------------------------- */

/* The parents of roots are met, and never left: they lead to roots of several ranks. */
static void meet_root(const mpr_graph *g, mpr_name_tree *t, const mpr_rank_root *root) {
    uint32_t threads = g->group[MPR_GROUP_THREADS];
    if (t->parent[root->parent] == MPR_NO_NODE) { /* a thread, or their group */
        t->parent[threads] = g->group[MPR_GROUP_ROOT];
        if (root->parent != threads) t->parent[root->parent] = threads;
    }
    meet(g, t, root->node, root->parent);
}

/* The roots of the next kind, or of the next rank of what is momentary. False when there are none. */
static bool meet_roots(const mpr_graph *g, mpr_name_tree *t) {
    if (t->root == t->roots.count) return false;
    const mpr_rank_root *first = &t->roots.items[t->root];
    for (; t->root < t->roots.count; t->root++) {
        const mpr_rank_root *root = &t->roots.items[t->root];
        if (root->kind != first->kind || root->rank != first->rank) break;
        meet_root(g, t, root);
    }
    return true;
}

/* One level of what cannot be typed: nodes of the typed tree at this level, then those met by such edges. */
static int leave_level(const mpr_graph *g, mpr_name_tree *t) {
    for (; t->next_loose < t->loose.count && t->loose.items[t->next_loose].edge <= t->level; t->next_loose++) {
        if (t->missing == 0) return MPR_OK;
        leave(g, t, t->loose.items[t->next_loose].node, TYPED | LOOSE);
    }
    for (; t->at < t->end; t->at++) {
        if (t->missing == 0) return MPR_OK;
        int status = visit(g, t, t->order.items[t->at], TYPED | LOOSE);
        if (status != MPR_OK) return status;
    }
    t->end = (uint32_t)t->order.count;
    t->level++;
    if (t->at == t->end && t->next_loose == t->loose.count) t->stage = MPR_NAMING_ROOTS;
    return MPR_OK;
}

/* One node of the typed tree; its level is known for the sake of the next stage. */
static int leave_typed(const mpr_graph *g, mpr_name_tree *t) {
    if (t->at == t->end) {
        t->level++;
        t->end = (uint32_t)t->order.count;
    }
    if (t->at < t->order.count) {
        int status = visit(g, t, t->order.items[t->at], TYPED);
        t->at++;
        return status;
    }
    t->stage = MPR_NAMING_LOOSE;
    t->level = 0;
    return MPR_OK;
}

/* All is met: the tree remains. */
static void finish(mpr_name_tree *t) {
    t->stage = MPR_NAMING_DONE;
    mpr_vec_free(&t->order, t->alloc);
    mpr_vec_free(&t->loose, t->alloc);
    mpr_vec_free(&t->chores, t->alloc);
}

/* What the roots of one rank reach; housekeeping waits for the living roots, which come second. */
static int leave_of_roots(const mpr_graph *g, mpr_name_tree *t) {
    if (t->at < t->order.count) {
        int status = visit(g, t, t->order.items[t->at], TYPED | LOOSE);
        t->at++;
        return status;
    }
    bool living = t->root < t->roots.count && t->roots.items[t->root].kind == MPR_ROOT_LIVING;
    if (t->next_chore < t->chores.count && !living)
        t->stage = MPR_NAMING_HOUSEKEEPING;
    else if (!meet_roots(g, t))
        finish(t);
    return MPR_OK;
}

static int leave_chore(const mpr_graph *g, mpr_name_tree *t) {
    if (t->next_chore < t->chores.count) {
        leave(g, t, t->chores.items[t->next_chore++], TYPED | LOOSE | HOUSEKEEPING);
    } else if (t->at < t->order.count) {
        leave(g, t, t->order.items[t->at++], TYPED | LOOSE | HOUSEKEEPING);
    } else {
        t->stage = MPR_NAMING_ROOTS;
    }
    return MPR_OK;
}

static int advance(const mpr_graph *g, mpr_name_tree *t) {
    switch (t->stage) {
    case MPR_NAMING_TYPED:
        return leave_typed(g, t);
    case MPR_NAMING_LOOSE:
        return leave_level(g, t);
    case MPR_NAMING_ROOTS:
        return leave_of_roots(g, t);
    case MPR_NAMING_HOUSEKEEPING:
        return leave_chore(g, t);
    default:
        return MPR_OK;
    }
}

/* ---- all of it -------------------------------------------------------------------------------------------------------- */

static void mark_named(const mpr_graph *g, bool living, mpr_name_tree *t) {
    for (uint32_t node = 0; living && node < g->nodes; node++)
        if (is_str(g, node)) set(t->named, node);
    for (size_t i = 0; i < g->text_count; i++)
        if (is_str(g, g->texts[i].node)) set(t->named, g->texts[i].node);
}

int mpr_name_tree_begin(const mpr_graph *g, bool living, mpr_name_tree *out) {
    mpr_name_tree t = {.alloc = g->alloc, .nodes = g->nodes};
    uint32_t root = g->group[MPR_GROUP_ROOT];
    t.parent = mpr_alloc_array(g->alloc, g->nodes, sizeof *t.parent);
    t.named = mpr_alloc_array(g->alloc, g->nodes / 64 + 1, sizeof *t.named);
    t.typed = mpr_alloc_array(g->alloc, g->nodes / 64 + 1, sizeof *t.typed);
    t.wanted = mpr_alloc_array(g->alloc, g->nodes / 64 + 1, sizeof *t.wanted);
    int status = t.parent && t.named && t.typed && t.wanted ? mpr_ranks_roots(g, &t.roots) : MPR_ENOMEM;
    if (status != MPR_OK) {
        mpr_name_tree_free(&t);
        return status;
    }
    memset(t.parent, 0xFF, (size_t)g->nodes * sizeof *t.parent);
    mark_named(g, living, &t);
    t.parent[root] = root;
    if (mpr_vec_push(&t.order, g->alloc, root) != MPR_OK) t.status = MPR_ENOMEM;
    t.at = 1; /* the super-root leads to all roots */
    meet_roots(g, &t);
    t.end = (uint32_t)t.order.count;
    if (t.status != MPR_OK) {
        mpr_name_tree_free(&t);
        return MPR_ENOMEM;
    }
    *out = t;
    return MPR_OK;
}

void mpr_name_tree_free(mpr_name_tree *t) {
    if (!t->alloc) return;
    mpr_alloc_free(t->alloc, t->parent, t->nodes, sizeof *t->parent);
    mpr_vec_free(&t->order, t->alloc);
    mpr_alloc_free(t->alloc, t->named, t->nodes / 64 + 1, sizeof *t->named);
    mpr_alloc_free(t->alloc, t->typed, t->nodes / 64 + 1, sizeof *t->typed);
    mpr_alloc_free(t->alloc, t->wanted, t->nodes / 64 + 1, sizeof *t->wanted);
    mpr_vec_free(&t->roots, t->alloc);
    mpr_vec_free(&t->loose, t->alloc);
    mpr_vec_free(&t->chores, t->alloc);
    *t = (mpr_name_tree){0};
}

static void want(const mpr_graph *g, mpr_name_tree *t, uint32_t node) {
    if (t->parent[node] != MPR_NO_NODE || is_set(t->wanted, node) || (g->flags[node] & MPR_NODE_OWN)) return;
    set(t->wanted, node);
    t->missing++;
}

int mpr_name_tree_reach(const mpr_graph *g, mpr_name_tree *t, const uint32_t *wanted, size_t count, mpr_progress progress,
                        void *context) {
    uint32_t reported = 0; /* nodes met when it was, so that every search reports */
    int status = MPR_OK;
    for (size_t i = 0; i < count; i++) want(g, t, wanted[i]);
    while (t->missing > 0 && t->stage != MPR_NAMING_DONE && status == MPR_OK) {
        if (progress != NULL && (reported == 0 || t->order.count - reported >= REPORT_EVERY)) {
            reported = (uint32_t)t->order.count;
            if (progress(context, (uint32_t)t->order.count, g->nodes) != 0) return MPR_ECANCELLED;
        }
        status = advance(g, t);
        if (status == MPR_OK) status = t->status;
    }
    return status;
}

uint64_t mpr_name_tree_edge_of(const mpr_graph *g, const mpr_name_tree *t, uint32_t holder, uint32_t node) {
    uint64_t found = MPR_NO_EDGE, chore = MPR_NO_EDGE;
    for (uint64_t k = mpr_graph_first(g, holder); k < mpr_graph_first(g, holder + 1); k++) {
        if (g->target[k] != node || !mpr_label_strong(g->label[k]) || is_barred(t, holder, k)) continue;
        if (mpr_name_tree_is_typed(g, t, holder, k)) return k;
        if (!mpr_label_housekeeping(g->label[k])) {
            if (found == MPR_NO_EDGE) found = k;
        } else if (chore == MPR_NO_EDGE) {
            chore = k;
        }
    }
    return found != MPR_NO_EDGE ? found : chore;
}

uint64_t mpr_name_tree_edge(const mpr_graph *g, const mpr_name_tree *t, uint32_t node) {
    return t->parent[node] == node ? MPR_NO_EDGE : mpr_name_tree_edge_of(g, t, t->parent[node], node);
}

int mpr_name_tree_path(const mpr_graph *g, const mpr_name_tree *t, uint32_t node, mpr_steps *out) {
    mpr_step step = {.node = node, .edge = MPR_NO_EDGE};
    size_t from = out->count;
    for (;; step = (mpr_step){.node = t->parent[node], .edge = mpr_name_tree_edge(g, t, node)}, node = step.node) {
        if (mpr_vec_push(out, t->alloc, step) != MPR_OK) return MPR_ENOMEM;
        if (t->parent[node] == node) break;
    }
    for (size_t i = from, k = out->count; i + 1 < k; i++) {
        mpr_step other = out->items[--k];
        out->items[k] = out->items[i];
        out->items[i] = other;
    }
    return MPR_OK;
}
