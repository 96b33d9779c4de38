/* SPDX-License-Identifier: MIT
 * A graph tells a sink what was once seen: how a heap is saved. Reference counts are put together again from residuals and edges. */
#include "base/vec.h"
#include "graph/graph.h"

#define BATCH 256

static int tell_type(const mpr_graph *g, const mpr_type *t, mpr_sink *sink) {
    MPR_VEC(mpr_seen_name) names = {0};
    if (mpr_vec_reserve(&names, g->alloc, t->named_count) != MPR_OK) {
        return MPR_ENOMEM;
    }
    for (uint32_t i = 0; i < t->named_count; i++) {
        const mpr_named *n = &g->named[t->named + i];
        names.items[i] = (mpr_seen_name){.label = n->label, .text = g->strings + n->text, .length = n->length};
    }
    mpr_seen_type seen = {.address = t->address,
                          .name = g->strings + t->name,
                          .name_length = t->name_length,
                          .basicsize = t->basicsize,
                          .itemsize = t->itemsize,
                          .flags = t->flags,
                          .names = t->named_count,
                          .named = names.items};
    int status = sink->type(sink, &seen);
    mpr_vec_free(&names, g->alloc);
    return status;
}

static int tell_info(const mpr_graph *g, const mpr_info *info, mpr_sink *sink) {
    mpr_seen_info seen = {.key = g->strings + info->key,
                          .number = info->number,
                          .text = info->is_text ? g->strings + info->text : NULL,
                          .length = info->length};
    return sink->info(sink, &seen);
}

static int tell_edges(const mpr_graph *g, uint32_t node, mpr_sink *sink) {
    mpr_seen_edge batch[BATCH];
    uint64_t end = mpr_graph_first(g, node + 1);
    for (uint64_t k = mpr_graph_first(g, node); k < end;) {
        size_t count = 0;
        for (; k < end && count < BATCH; k++, count++) {
            mpr_label weak = mpr_label_found(g->label[k]) ? MPR_LABEL_WEAK : 0; /* until it is known what it leads to */
            batch[count] = (mpr_seen_edge){.target = mpr_graph_address(g, g->target[k]), .label = g->label[k] | weak};
        }
        int status = sink->edges(sink, batch, count);
        if (status != MPR_OK) {
            return status;
        }
    }
    return MPR_OK;
}

static int tell_node(const mpr_graph *g, uint32_t node, uint64_t found, mpr_sink *sink) {
    bool counted = !(g->flags[node] & MPR_NODE_UNCOUNTED);
    mpr_seen_node seen = {.address = mpr_graph_address(g, node),
                          .size = mpr_graph_size(g, node),
                          .refcount = counted ? (uint64_t)((int64_t)found + mpr_graph_residual(g, node)) : 0,
                          .type = g->type[node],
                          .flags = g->flags[node] & (MPR_NODE_DERIVED - 1)};
    size_t length;
    const char *text = mpr_graph_text(g, node, &length);
    int status = sink->node(sink, &seen);
    if (status == MPR_OK && text != NULL) {
        status = sink->text(sink, text, length);
    }
    return status == MPR_OK ? tell_edges(g, node, sink) : status;
}

/* Strong references that edges and instances make to each node. */
static void count_found(const mpr_graph *g, uint32_t *found) {
    for (uint32_t i = 0; i < g->seen; i++) {
        const mpr_type *type = &g->types[g->type[i]];
        if ((type->flags & MPR_TYPE_HEAP) && type->node != MPR_NO_NODE && !(g->flags[i] & MPR_NODE_SYNTHETIC)) {
            found[type->node]++;
        }
    }
    for (uint64_t k = 0; k < mpr_graph_first(g, g->seen); k++) {
        found[g->target[k]] += (uint32_t)mpr_label_strong(g->label[k]);
    }
}

int mpr_graph_tell(const mpr_graph *g, mpr_sink *sink) {
    uint32_t *found = mpr_alloc_array(g->alloc, g->nodes, sizeof *found);
    if (found == NULL) {
        return MPR_ENOMEM;
    }
    count_found(g, found);
    int status = MPR_OK;
    for (size_t i = 0; status == MPR_OK && i < g->info_count; i++) {
        status = tell_info(g, &g->infos[i], sink);
    }
    for (size_t i = 0; status == MPR_OK && i < g->type_count; i++) {
        status = tell_type(g, &g->types[i], sink);
    }
    for (uint32_t i = 0; status == MPR_OK && i < g->seen; i++) {
        status = tell_node(g, i, found[i], sink);
    }
    for (size_t i = 0; status == MPR_OK && sink->digest != NULL && i < g->hashed_count; i++) {
        status = sink->digest(sink, g->hashed[i].node, &g->hashed[i].digest);
    }
    mpr_alloc_free(g->alloc, found, g->nodes, sizeof *found);
    return status;
}
