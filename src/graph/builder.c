/* SPDX-License-Identifier: MIT
 * The collecting half of the builder: a sink that appends to columns. Checks what a hostile file could get wrong. */
#include "graph/builder.h"

#include <string.h>

#include "graph/collected.h"

#define NODE_MAX (UINT32_MAX - 64) /* leaves room for the groups and for MPR_NO_NODE */
#define FEWEST_NODES 64

static struct mpr_builder *self_of(mpr_sink *sink) { return (struct mpr_builder *)sink; }

int64_t mpr_collected_string(struct mpr_builder *b, const char *text, size_t length) {
    if (b->strings.count + length + 1 > UINT32_MAX) {
        return MPR_ELIMIT;
    }
    if (mpr_vec_reserve(&b->strings, b->alloc, length + 1) != MPR_OK) {
        return MPR_ENOMEM;
    }
    int64_t offset = (int64_t)b->strings.count;
    if (length > 0) {
        memcpy(b->strings.items + offset, text, length);
    }
    b->strings.items[b->strings.count + length] = '\0';
    b->strings.count += length + 1;
    return offset;
}

/* ---- types ---- */

static int add_named(struct mpr_builder *b, const mpr_seen_name *seen) {
    if (!mpr_label_valid(seen->label)) {
        return MPR_EFORMAT;
    }
    int64_t text = mpr_collected_string(b, seen->text, seen->length);
    if (text < 0) {
        return (int)text;
    }
    mpr_named named = {.label = seen->label, .text = (uint32_t)text, .length = (uint32_t)seen->length};
    return mpr_vec_push(&b->named, b->alloc, named);
}

static int take_type(mpr_sink *sink, const mpr_seen_type *seen) {
    struct mpr_builder *b = self_of(sink);
    mpr_type type = {.address = seen->address,
                     .node = MPR_NO_NODE,
                     .name_length = (uint32_t)seen->name_length,
                     .basicsize = seen->basicsize,
                     .itemsize = seen->itemsize,
                     .flags = seen->flags,
                     .named = (uint32_t)b->named.count,
                     .named_count = seen->names};
    int64_t name = mpr_collected_string(b, seen->name, seen->name_length);
    if (name < 0) {
        return (int)name;
    }
    type.name = (uint32_t)name;
    for (uint32_t i = 0; i < seen->names; i++) {
        int status = add_named(b, &seen->named[i]);
        if (status != MPR_OK) {
            return status;
        }
    }
    return mpr_vec_push(&b->types, b->alloc, type);
}

/* ---- nodes ---- */

/* The offset of the next edge, as a node's first: what is above its 32 bits goes to a table. */
static inline int low_of_next_edge(struct mpr_builder *b, uint32_t *low) {
    uint64_t first = b->target.count;
    if ((b->first_low.count & 0xFFFF) == 0 && mpr_vec_push(&b->first_base, b->alloc, first) != MPR_OK) {
        return MPR_ENOMEM;
    }
    first -= b->first_base.items[b->first_low.count >> 16];
    *low = (uint32_t)first;
    return first > UINT32_MAX ? MPR_ELIMIT : MPR_OK;
}

int mpr_collected_push_first(struct mpr_builder *b) {
    uint32_t low = 0;
    int status = low_of_next_edge(b, &low);
    return status == MPR_OK ? mpr_vec_push(&b->first_low, b->alloc, low) : status;
}

/* What a column of 32 bits says of a size, which is kept beside it when it has more. */
static inline int size_of(struct mpr_builder *b, uint64_t size, uint32_t *low, uint32_t *flags) {
    *low = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    if (size < UINT32_MAX) {
        return MPR_OK;
    }
    mpr_side big = {.node = (uint32_t)b->size.count, .value = size > INT64_MAX ? INT64_MAX : (int64_t)size};
    *flags |= MPR_NODE_BIG;
    return mpr_vec_push(&b->big, b->alloc, big);
}

/* Room for more nodes in all of their columns, so that one check a node is enough. */
static int make_room(struct mpr_builder *b) {
    size_t count = b->type.count, more = count < FEWEST_NODES ? FEWEST_NODES : count;
    int status = mpr_vec_reserve(&b->handle, b->alloc, more);
    status = status != MPR_OK ? status : mpr_vec_reserve(&b->type, b->alloc, more);
    status = status != MPR_OK ? status : mpr_vec_reserve(&b->size, b->alloc, more);
    status = status != MPR_OK ? status : mpr_vec_reserve(&b->flags, b->alloc, more);
    status = status != MPR_OK ? status : mpr_vec_reserve(&b->refs, b->alloc, more);
    status = status != MPR_OK ? status : mpr_vec_reserve(&b->first_low, b->alloc, more);
    b->room = status == MPR_OK ? count + more : b->room;
    return status;
}

static int take_node(mpr_sink *sink, const mpr_seen_node *seen) {
    struct mpr_builder *b = self_of(sink);
    if (seen->type >= b->types.count || seen->flags >= MPR_NODE_DERIVED || seen->address % 8 != 0) {
        return MPR_EFORMAT;
    }
    uint32_t handle = 0, low = 0, size = 0, flags = seen->flags;
    int added = mpr_addrset_add(&b->addresses, seen->address, &handle);
    if (added <= 0) {
        return added == 0 ? MPR_EFORMAT : added;
    }
    size_t node = b->type.count;
    int status = node >= NODE_MAX ? MPR_ELIMIT : node == b->room ? make_room(b) : MPR_OK;
    status = status != MPR_OK ? status : size_of(b, seen->size, &size, &flags);
    status = status != MPR_OK ? status : low_of_next_edge(b, &low);
    if (status == MPR_OK) {
        b->handle.items[node] = handle, b->handle.count = node + 1;
        b->type.items[node] = seen->type, b->type.count = node + 1;
        b->size.items[node] = size, b->size.count = node + 1;
        b->flags.items[node] = (uint16_t)flags, b->flags.count = node + 1;
        b->refs.items[node] = seen->refcount > INT32_MAX ? INT32_MAX : (uint32_t)seen->refcount, b->refs.count = node + 1;
        b->first_low.items[node] = low, b->first_low.count = node + 1;
    }
    return status;
}

int mpr_collected_push_group(struct mpr_builder *b, uint32_t type) {
    int status = mpr_collected_push_first(b);
    status = status != MPR_OK ? status : mpr_vec_push(&b->size, b->alloc, 0);
    status = status != MPR_OK ? status : mpr_vec_push(&b->type, b->alloc, type);
    return status != MPR_OK ? status : mpr_vec_push(&b->flags, b->alloc, MPR_NODE_SYNTHETIC);
}

static int take_edges(mpr_sink *sink, const mpr_seen_edge *edges, size_t count) {
    struct mpr_builder *b = self_of(sink);
    if (b->first_low.count == 0) {
        return MPR_EFORMAT;
    }
    if (mpr_vec_reserve(&b->target, b->alloc, count) != MPR_OK || mpr_vec_reserve(&b->label, b->alloc, count) != MPR_OK) {
        return MPR_ENOMEM;
    }
    uint32_t *target = b->target.items + b->target.count;
    mpr_label *label = b->label.items + b->label.count;
    for (size_t i = 0; i < count; i++) {
        int status = mpr_label_valid(edges[i].label) ? mpr_addrset_handle(&b->addresses, edges[i].target, &target[i]) : MPR_EFORMAT;
        if (status != MPR_OK) {
            return status;
        }
        label[i] = edges[i].label;
    }
    b->target.count += count;
    b->label.count += count;
    return MPR_OK;
}

static int take_text(mpr_sink *sink, const char *text, size_t length) {
    struct mpr_builder *b = self_of(sink);
    if (b->first_low.count == 0) {
        return MPR_EFORMAT;
    }
    uint32_t node = (uint32_t)b->first_low.count - 1;
    if (b->texts.count > 0 && b->texts.items[b->texts.count - 1].node == node) {
        return MPR_EFORMAT;
    }
    int64_t offset = mpr_collected_string(b, text, length);
    if (offset < 0) {
        return (int)offset;
    }
    mpr_text entry = {.node = node, .length = (uint32_t)length, .text = (uint64_t)offset};
    return mpr_vec_push(&b->texts, b->alloc, entry);
}

static int take_digest(mpr_sink *sink, uint64_t node, const mpr_digest *digest) {
    struct mpr_builder *b = self_of(sink);
    if (node >= b->type.count || (b->hashed.count > 0 && b->hashed.items[b->hashed.count - 1].node >= node)) {
        return MPR_EFORMAT;
    }
    mpr_hashed entry = {.node = (uint32_t)node, .digest = *digest};
    return mpr_vec_push(&b->hashed, b->alloc, entry);
}

static int take_info(mpr_sink *sink, const mpr_seen_info *seen) {
    struct mpr_builder *b = self_of(sink);
    int64_t key = mpr_collected_string(b, seen->key, strlen(seen->key));
    int64_t text = key < 0 ? key : mpr_collected_string(b, seen->text, seen->text == NULL ? 0 : seen->length);
    if (text < 0) {
        return (int)text;
    }
    mpr_info info = {.key = (uint64_t)key,
                     .text = (uint64_t)text,
                     .length = seen->text == NULL ? 0 : (uint32_t)seen->length,
                     .is_text = seen->text != NULL,
                     .number = seen->number};
    return mpr_vec_push(&b->infos, b->alloc, info);
}

/* ---- life ---- */

int mpr_builder_new(mpr_builder **out, mpr_alloc *alloc) {
    mpr_builder *b = mpr_alloc_array(alloc, 1, sizeof *b);
    if (b == NULL) {
        return MPR_ENOMEM;
    }
    b->sink = (mpr_sink){
        .type = take_type, .node = take_node, .edges = take_edges, .text = take_text, .info = take_info, .digest = take_digest};
    b->alloc = alloc;
    mpr_addrset_init(&b->addresses, alloc);
    *out = b;
    return MPR_OK;
}

mpr_sink *mpr_builder_sink(mpr_builder *builder) { return &builder->sink; }

void mpr_builder_free(mpr_builder *b) {
    if (b == NULL) {
        return;
    }
    mpr_alloc_free(b->alloc, b->order, b->handle.count, sizeof *b->order);
    mpr_addrset_free(&b->addresses);
    mpr_vec_free(&b->handle, b->alloc);
    mpr_vec_free(&b->type, b->alloc);
    mpr_vec_free(&b->size, b->alloc);
    mpr_vec_free(&b->flags, b->alloc);
    mpr_vec_free(&b->refs, b->alloc);
    mpr_vec_free(&b->first_low, b->alloc);
    mpr_vec_free(&b->first_base, b->alloc);
    mpr_vec_free(&b->target, b->alloc);
    mpr_vec_free(&b->label, b->alloc);
    mpr_vec_free(&b->residual, b->alloc);
    mpr_vec_free(&b->big, b->alloc);
    mpr_vec_free(&b->types, b->alloc);
    mpr_vec_free(&b->named, b->alloc);
    mpr_vec_free(&b->texts, b->alloc);
    mpr_vec_free(&b->hashed, b->alloc);
    mpr_vec_free(&b->infos, b->alloc);
    mpr_vec_free(&b->strings, b->alloc);
    mpr_alloc_free(b->alloc, b, 1, sizeof *b);
}
