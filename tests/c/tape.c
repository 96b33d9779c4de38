/* SPDX-License-Identifier: MIT
 * A sink that keeps what it was told as bytes, so that two tellings can be compared. Types, facts and nodes are kept apart, for only their
 * own order counts; a node's text stands behind its edges, whenever it came. */
#include <string.h>

#include "base/status.h"
#include "test.h"

static void put_string(mpr_buffer *b, const char *text, size_t length) {
    mpr_buffer_varint(b, length);
    mpr_buffer_put(b, text, length);
}

static void end_node(tape *t) {
    if (t->has_text) {
        mpr_buffer_byte(&t->nodes, 'T');
        put_string(&t->nodes, (const char *)t->text.data, t->text.size);
    }
    mpr_buffer_clear(&t->text);
    t->has_text = false;
}

static int take_type(mpr_sink *sink, const mpr_seen_type *type) {
    tape *t = (tape *)sink;
    const uint64_t numbers[] = {type->address, type->basicsize, type->itemsize, type->flags, type->names};
    put_string(&t->types, type->name, type->name_length);
    mpr_buffer_put(&t->types, numbers, sizeof numbers);
    for (uint32_t i = 0; i < type->names; i++) {
        mpr_buffer_u32(&t->types, type->named[i].label);
        put_string(&t->types, type->named[i].text, type->named[i].length);
    }
    return t->types.status;
}

static int take_node(mpr_sink *sink, const mpr_seen_node *node) {
    tape *t = (tape *)sink;
    end_node(t);
    mpr_buffer_byte(&t->nodes, 'N');
    const uint64_t numbers[] = {node->address, node->size, node->refcount, node->type, node->flags};
    mpr_buffer_put(&t->nodes, numbers, sizeof numbers);
    t->node_count++;
    return t->nodes.status;
}

static int take_edges(mpr_sink *sink, const mpr_seen_edge *edges, size_t count) {
    tape *t = (tape *)sink;
    for (size_t i = 0; i < count; i++) {
        mpr_buffer_byte(&t->nodes, 'E');
        mpr_buffer_u64(&t->nodes, edges[i].target);
        mpr_buffer_u32(&t->nodes, edges[i].label);
    }
    t->edge_count += count;
    return t->nodes.status;
}

static int take_text(mpr_sink *sink, const char *text, size_t length) {
    tape *t = (tape *)sink;
    mpr_buffer_put(&t->text, text, length);
    t->has_text = true;
    return t->text.status;
}

static int take_info(mpr_sink *sink, const mpr_seen_info *info) {
    tape *t = (tape *)sink;
    put_string(&t->infos, info->key, strlen(info->key));
    mpr_buffer_u64(&t->infos, (uint64_t)info->number);
    mpr_buffer_byte(&t->infos, info->text != NULL);
    put_string(&t->infos, info->text, info->length);
    return t->infos.status;
}

static int take_digest(mpr_sink *sink, uint64_t node, const mpr_digest *digest) {
    tape *t = (tape *)sink;
    mpr_buffer_u64(&t->digests, node);
    mpr_buffer_put(&t->digests, digest, sizeof *digest);
    return t->digests.status;
}

void tape_init(tape *t, mpr_alloc *alloc) {
    *t = (tape){.sink = {.type = take_type,
                         .node = take_node,
                         .edges = take_edges,
                         .text = take_text,
                         .info = take_info,
                         .digest = take_digest}};
    t->types.alloc = t->infos.alloc = t->nodes.alloc = t->text.alloc = t->digests.alloc = alloc;
}

void tape_end(tape *t) { end_node(t); }

void tape_free(tape *t) {
    mpr_buffer_free(&t->types);
    mpr_buffer_free(&t->infos);
    mpr_buffer_free(&t->nodes);
    mpr_buffer_free(&t->text);
    mpr_buffer_free(&t->digests);
}

static bool same(const mpr_buffer *a, const mpr_buffer *b) {
    return a->status == MPR_OK && b->status == MPR_OK && a->size == b->size &&
           (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

bool tape_equal(const tape *a, const tape *b) {
    return same(&a->types, &b->types) && same(&a->infos, &b->infos) && same(&a->nodes, &b->nodes) &&
           same(&a->digests, &b->digests);
}
