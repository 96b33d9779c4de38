/* SPDX-License-Identifier: MIT
 * Reading a frozen graph: columns, side tables, texts, and the reverse index that is made on first use. */
#include "graph/graph.h"

#include <string.h>

#include "graph/collected.h"

void mpr_graph_free(mpr_graph *g) {
    if (g == NULL) {
        return;
    }
    if (g->reverse != NULL) {
        mpr_alloc_free(g->alloc, g->reverse->first, (size_t)g->nodes + 1, sizeof *g->reverse->first);
        mpr_alloc_free(g->alloc, g->reverse->source, g->edges, sizeof *g->reverse->source);
        mpr_alloc_free(g->alloc, g->reverse, 1, sizeof *g->reverse);
    }
    mpr_builder_free(g->storage);
    mpr_alloc_free(g->alloc, g, 1, sizeof *g);
}

/* ---- columns ---- */

uint64_t mpr_graph_address(const mpr_graph *g, uint32_t node) {
    if (node < g->seen) {
        return mpr_addrset_address(g->addresses, g->handle[node]);
    }
    uint64_t group = 0;
    while (group < MPR_GROUP_COUNT && g->group[group] != node) {
        group++;
    }
    return MPR_SYNTHETIC + 16 * group;
}

/* The entry of a node in a table sorted by node, or NULL. */
static const mpr_side *find_side(const mpr_side *table, size_t count, uint32_t node) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table[middle].node < node) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && table[low].node == node ? &table[low] : NULL;
}

uint64_t mpr_graph_big_size(const mpr_graph *g, uint32_t node) {
    const mpr_side *side = find_side(g->big, g->bigs, node);
    return side == NULL ? g->size[node] : (uint64_t)side->value;
}

int64_t mpr_graph_residual(const mpr_graph *g, uint32_t node) {
    const mpr_side *side = g->flags[node] & MPR_NODE_RESIDUAL ? find_side(g->residual, g->residuals, node) : NULL;
    return side == NULL ? 0 : side->value;
}

int mpr_graph_find(const mpr_graph *g, uint64_t address, uint32_t *node) {
    uint32_t number;
    if (!mpr_addrset_find(g->addresses, address, &number)) {
        return 0;
    }
    *node = g->order[number];
    return 1;
}

/* ---- texts ---- */

const char *mpr_graph_text(const mpr_graph *g, uint32_t node, size_t *length) {
    size_t low = 0, high = g->text_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (g->texts[middle].node < node) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == g->text_count || g->texts[low].node != node) {
        return NULL;
    }
    *length = g->texts[low].length;
    return g->strings + g->texts[low].text;
}

bool mpr_graph_is_called(const mpr_graph *g, const mpr_type *type, const char *name) {
    return type->name_length == strlen(name) && memcmp(g->strings + type->name, name, type->name_length) == 0;
}

const mpr_digest *mpr_graph_digest(const mpr_graph *g, uint32_t node) {
    size_t low = 0, high = g->hashed_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (g->hashed[middle].node < node) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < g->hashed_count && g->hashed[low].node == node ? &g->hashed[low].digest : NULL;
}

const mpr_info *mpr_graph_info(const mpr_graph *g, const char *key) {
    for (size_t i = g->info_count; i-- > 0;) { /* the last one said holds */
        if (strcmp(g->strings + g->infos[i].key, key) == 0) {
            return &g->infos[i];
        }
    }
    return NULL;
}

const mpr_named *mpr_graph_named(const mpr_graph *g, uint32_t type, mpr_label label) {
    const mpr_type *t = &g->types[type];
    mpr_label plain = label & ~(MPR_LABEL_WEAK | MPR_LABEL_HOUSEKEEPING);
    for (uint32_t i = 0; i < t->named_count; i++) {
        if (g->named[t->named + i].label == plain) {
            return &g->named[t->named + i];
        }
    }
    return NULL;
}

/* ---- the reverse index ---- */

/* Counting sort by target: count, add up, and place from the last edge to the first, which leaves first[] where it began. */
static void fill_reverse(const mpr_graph *g, mpr_reverse *r) {
    for (uint64_t k = 0; k < g->edges; k++) {
        r->first[g->target[k]]++;
    }
    for (uint32_t i = 1; i <= g->nodes; i++) {
        r->first[i] += r->first[i - 1];
    }
    for (uint32_t node = g->nodes; node-- > 0;) {
        for (uint64_t k = mpr_graph_first(g, node + 1); k-- > mpr_graph_first(g, node);) {
            r->source[--r->first[g->target[k]]] = node;
        }
    }
}

int mpr_graph_make_reverse(mpr_graph *g) {
    if (g->reverse != NULL) {
        return MPR_OK;
    }
    mpr_reverse *r = mpr_alloc_array(g->alloc, 1, sizeof *r);
    if (r == NULL) {
        return MPR_ENOMEM;
    }
    r->first = mpr_alloc_array(g->alloc, (size_t)g->nodes + 1, sizeof *r->first);
    r->source = mpr_alloc_array(g->alloc, g->edges, sizeof *r->source);
    if (r->first == NULL || r->source == NULL) {
        mpr_alloc_free(g->alloc, r->first, (size_t)g->nodes + 1, sizeof *r->first);
        mpr_alloc_free(g->alloc, r->source, g->edges, sizeof *r->source);
        mpr_alloc_free(g->alloc, r, 1, sizeof *r);
        return MPR_ENOMEM;
    }
    fill_reverse(g, r);
    g->reverse = r;
    return MPR_OK;
}

const char *mpr_group_text(uint32_t group) {
    static const char *const texts[MPR_GROUP_COUNT] = {
        [MPR_GROUP_ROOT] = "roots",
        [MPR_GROUP_THREADS] = "threads",
        [MPR_GROUP_MODULES] = "modules",
        [MPR_GROUP_INTERPRETER] = "interpreter",
        [MPR_GROUP_STATIC] = "static and immortal objects",
        [MPR_GROUP_INTERNED] = "interned strings",
        [MPR_GROUP_C_REFERENCES] = "C references",
        [MPR_GROUP_UNREACHABLE] = "unreachable",
        [MPR_GROUP_NATIVE] = "native memory",
        [MPR_GROUP_LOST] = "lost native memory",
    };
    return group < MPR_GROUP_COUNT ? texts[group] : NULL;
}
