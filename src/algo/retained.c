/* SPDX-License-Identifier: MIT
 * Children by counting; then one walk down the tree that knows, for each type, how many of its objects stand between the root and the node
 * at hand. Depth has no limit: the way back is the parent, and where to go on among a node's children is kept in one number a node. */
#include "algo/retained.h"

#include "base/status.h"

#define REPORT_EVERY 65536u /* nodes */

/* first[v + 2] counts the children of v, then begins them, and when they are laid out first[v + 1] ends them. */
static void lay_children(const mpr_dominators *d, mpr_tree *tree) {
    for (uint32_t i = 1; i < d->reached; i++) tree->first[d->parent[d->order[i]] + 2]++;
    for (uint32_t v = 2; v < d->nodes + 2; v++) tree->first[v] += tree->first[v - 1];
    for (uint32_t i = 1; i < d->reached; i++) tree->child[tree->first[d->parent[d->order[i]] + 1]++] = d->order[i];
}

int mpr_tree_make(const mpr_dominators *d, mpr_tree *out) {
    mpr_tree tree = {.alloc = d->alloc, .nodes = d->nodes};
    tree.first = mpr_alloc_array(d->alloc, (size_t)d->nodes + 2, sizeof *tree.first);
    tree.child = mpr_alloc_array(d->alloc, d->nodes, sizeof *tree.child);
    if (!tree.first || !tree.child) {
        mpr_tree_free(&tree);
        return MPR_ENOMEM;
    }
    lay_children(d, &tree);
    *out = tree;
    return MPR_OK;
}

void mpr_tree_free(mpr_tree *tree) {
    if (!tree->alloc) return;
    mpr_alloc_free(tree->alloc, tree->first, (size_t)tree->nodes + 2, sizeof *tree->first);
    mpr_alloc_free(tree->alloc, tree->child, tree->nodes, sizeof *tree->child);
    *tree = (mpr_tree){0};
}

typedef struct walk {
    const mpr_graph *g;
    const mpr_dominators *d;
    const mpr_tree *tree;
    uint32_t *next;  /* of each node: children that were visited */
    uint32_t *above; /* of each type: objects on the way from the root */
    uint64_t *out;
} walk;

static void arrive(walk *w, uint32_t node) {
    if (!mpr_graph_is_object(w->g, node)) return;
    if (w->above[w->g->type[node]]++ == 0) w->out[w->g->type[node]] += w->d->retained[node];
}

static void depart(walk *w, uint32_t node) {
    if (mpr_graph_is_object(w->g, node)) w->above[w->g->type[node]]--;
}

static int descend(walk *w, mpr_progress progress, void *context) {
    uint32_t root = w->d->order[0], node = root, arrived = 1;
    arrive(w, root);
    for (;;) {
        uint32_t k = w->tree->first[node] + w->next[node]++;
        if (k < w->tree->first[node + 1]) {
            node = w->tree->child[k];
            arrive(w, node);
            if (++arrived % REPORT_EVERY == 0 && progress && progress(context, arrived, w->d->reached)) return MPR_ECANCELLED;
            continue;
        }
        depart(w, node);
        if (node == root) return MPR_OK;
        node = w->d->parent[node];
    }
}

int mpr_retained_by_type(const mpr_graph *g, const mpr_dominators *d, const mpr_tree *tree, mpr_progress progress, void *context,
                         uint64_t *out) {
    walk w = {.g = g, .d = d, .tree = tree, .out = out};
    w.next = mpr_alloc_array(g->alloc, g->nodes, sizeof *w.next);
    w.above = mpr_alloc_array(g->alloc, g->type_count, sizeof *w.above);
    for (size_t i = 0; i < g->type_count; i++) out[i] = 0;
    int status = w.next && w.above ? descend(&w, progress, context) : MPR_ENOMEM;
    mpr_alloc_free(g->alloc, w.next, g->nodes, sizeof *w.next);
    mpr_alloc_free(g->alloc, w.above, g->type_count, sizeof *w.above);
    return status;
}
