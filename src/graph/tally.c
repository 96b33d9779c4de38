/* SPDX-License-Identifier: MIT
 * Counting what a walk sees. */
#include "graph/tally.h"

#include <string.h>

static int take_type(mpr_sink *sink, const mpr_seen_type *type) {
    mpr_tally *t = (mpr_tally *)sink;
    mpr_tally_row row = {.name = t->names.count,
                         .own = type->name_length > 9 && memcmp(type->name, "memprobe.", 9) == 0,
                         .native = (type->flags & MPR_TYPE_MAY_HOLD_NATIVE) != 0};
    if (mpr_vec_reserve(&t->names, t->alloc, type->name_length + 1) != MPR_OK) {
        return MPR_ENOMEM;
    }
    memcpy(t->names.items + t->names.count, type->name, type->name_length);
    t->names.items[t->names.count + type->name_length] = '\0';
    t->names.count += type->name_length + 1;
    return mpr_vec_push(&t->rows, t->alloc, row);
}

static int take_node(mpr_sink *sink, const mpr_seen_node *node) {
    mpr_tally *t = (mpr_tally *)sink;
    mpr_tally_row *row = &t->rows.items[node->type];
    if (!row->own && !(node->flags & (MPR_NODE_SYNTHETIC | MPR_NODE_OWN_WALL))) {
        row->count++;
        row->bytes += node->size;
        t->objects++;
        t->bytes += node->size;
    }
    return MPR_OK;
}

void mpr_tally_init(mpr_tally *tally, mpr_alloc *alloc) {
    *tally = (mpr_tally){.sink = {.type = take_type, .node = take_node}, .alloc = alloc};
}

void mpr_tally_free(mpr_tally *tally) {
    mpr_vec_free(&tally->rows, tally->alloc);
    mpr_vec_free(&tally->names, tally->alloc);
}
