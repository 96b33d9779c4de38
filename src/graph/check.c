/* SPDX-License-Identifier: MIT
 * Every invariant of the frozen graph, as code. */
#include "graph/graph.h"

static const char *check_offsets(const mpr_graph *g) {
    if (mpr_graph_first(g, 0) != 0 || mpr_graph_first(g, g->nodes) != g->edges) {
        return "edge offsets do not span the edges";
    }
    for (uint32_t i = 0; i < g->nodes; i++) {
        if (mpr_graph_first(g, i) > mpr_graph_first(g, i + 1)) {
            return "edge offsets fall";
        }
    }
    return NULL;
}

static const char *check_edges(const mpr_graph *g) {
    for (uint64_t k = 0; k < g->edges; k++) {
        if (g->target[k] >= g->nodes) {
            return "an edge leads to no node";
        }
        if (!mpr_label_valid(g->label[k] | (mpr_label_found(g->label[k]) ? MPR_LABEL_WEAK : 0))) {
            return "a label is not valid";
        }
    }
    for (uint32_t i = 0; i < g->nodes; i++) {
        uint64_t first = mpr_graph_first(g, i);
        if (first < mpr_graph_first(g, i + 1) && mpr_label_named_by_previous(g->label[first])) {
            return "the first edge of a node takes its name from none";
        }
    }
    return NULL;
}

static const char *check_nodes(const mpr_graph *g) {
    for (uint32_t i = 0; i < g->nodes; i++) {
        uint32_t back;
        if (g->type[i] >= g->type_count) {
            return "a type is out of range";
        }
        if (i < g->seen && (!mpr_graph_find(g, mpr_graph_address(g, i), &back) || back != i)) {
            return "an address does not lead back to its node";
        }
        if (((g->flags[i] & MPR_NODE_BIG) != 0) != (g->size[i] == UINT32_MAX)) {
            return "a big size and its flag disagree";
        }
    }
    return NULL;
}

static const char *check_side(const mpr_graph *g, const mpr_side *side, size_t count, uint32_t flag) {
    size_t flagged = 0;
    for (uint32_t i = 0; i < g->nodes; i++) {
        flagged += (g->flags[i] & flag) != 0;
    }
    if (flagged != count) {
        return "a side table and its flags disagree";
    }
    for (size_t i = 0; i < count; i++) {
        if (side[i].node >= g->nodes || (i > 0 && side[i - 1].node >= side[i].node) || !(g->flags[side[i].node] & flag)) {
            return "a side table is not sorted, or has a node without the flag";
        }
    }
    return NULL;
}

static const char *check_tables(const mpr_graph *g) {
    for (size_t i = 0; i < g->text_count; i++) {
        if (g->texts[i].node >= g->nodes || (i > 0 && g->texts[i - 1].node >= g->texts[i].node) ||
            g->texts[i].text + g->texts[i].length >= g->string_bytes) {
            return "a text is out of range or order";
        }
    }
    for (size_t i = 0; i < g->hashed_count; i++) {
        if (g->hashed[i].node >= g->seen || (i > 0 && g->hashed[i - 1].node >= g->hashed[i].node)) {
            return "a hash of contents is out of range or order";
        }
    }
    for (size_t i = 0; i < g->type_count; i++) {
        const mpr_type *t = &g->types[i];
        if ((size_t)t->name + t->name_length >= g->string_bytes || (size_t)t->named + t->named_count > g->named_count ||
            (t->node != MPR_NO_NODE && t->node >= g->nodes)) {
            return "a type record is out of range";
        }
    }
    return NULL;
}

static const char *check_groups(const mpr_graph *g) {
    uint32_t root = g->group[MPR_GROUP_ROOT];
    if (root + 1 != g->nodes) {
        return "the root is not the last node";
    }
    for (uint32_t i = 0; i < MPR_GROUP_COUNT; i++) {
        if (g->group[i] != MPR_NO_NODE && (g->group[i] >= g->nodes || !(g->flags[g->group[i]] & MPR_NODE_SYNTHETIC))) {
            return "a root group is not a synthetic node";
        }
    }
    const mpr_totals *t = &g->totals;
    if (t->immortal + t->residual_zero + t->residual_positive + t->residual_negative != t->objects) {
        return "the accounting does not add up";
    }
    return NULL;
}

const char *mpr_graph_check(const mpr_graph *g) {
    const char *wrong = check_offsets(g);
    wrong = wrong != NULL ? wrong : check_edges(g);
    wrong = wrong != NULL ? wrong : check_nodes(g);
    wrong = wrong != NULL ? wrong : check_side(g, g->residual, g->residuals, MPR_NODE_RESIDUAL);
    wrong = wrong != NULL ? wrong : check_side(g, g->big, g->bigs, MPR_NODE_BIG);
    wrong = wrong != NULL ? wrong : check_tables(g);
    return wrong != NULL ? wrong : check_groups(g);
}
