/* SPDX-License-Identifier: MIT
 * Made-up heaps for the tests: types with named places, root groups, threads, objects with every flag, edges with every kind of label,
 * some to addresses that are no node. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/os/file.h"
#include "base/status.h"
#include "format/writer.h"
#include "test.h"

#define BASE UINT64_C(0x7f1200000000)

typedef struct maker {
    dice dice;
    const heap_shape *shape;
    mpr_sink *sink;
    uint64_t told; /* nodes */
} maker;

/* The address of object i: in a row with gaps, or spread over pages by a bijection of the low bits. */
static uint64_t address_of(const heap_shape *shape, uint64_t i) {
    if (!shape->wild) return BASE + i * 64;
    uint64_t mixed = (i * UINT64_C(2654435761)) % (UINT64_C(1) << 20);
    return (i % 3 ? BASE : UINT64_C(0x10000)) + mixed * 160 + (i % 11 == 0 ? 8 : 0);
}

static int tell_costs(maker *m) {
    static const char *const names[] = {"cost_dict_head", "cost_dict_entry", "cost_dict_str_entry",
                                        "cost_set_entry", "cost_instance",   "cost_weakref"};
    int status = MPR_OK;
    for (size_t i = 0; i < 6 && m->shape->builtin && status == MPR_OK; i++) {
        mpr_seen_info cost = {.key = names[i], .number = 8 + (int64_t)dice_below(&m->dice, 4) * 8};
        status = m->sink->info(m->sink, &cost);
    }
    return status;
}

static int tell_infos(maker *m) {
    mpr_seen_info pid = {.key = "pid", .number = (int64_t)dice_next(&m->dice)};
    mpr_seen_info python = {.key = "python", .text = "3.13.0", .length = 6};
    mpr_seen_info empty = {.key = "empty", .text = "", .length = 0};
    int status = m->sink->info(m->sink, &pid);
    status = status == MPR_OK ? m->sink->info(m->sink, &python) : status;
    status = status == MPR_OK ? m->sink->info(m->sink, &empty) : status;
    return status == MPR_OK ? tell_costs(m) : status;
}

static size_t put_name(const maker *m, uint32_t number, char *out, size_t size) {
    static const char *const builtin[] = {"list", "dict", "set", "str", "tuple", "float", "int", "bytes"};
    bool plain = m->shape->builtin && number % 2 == 0;
    return (size_t)(plain ? snprintf(out, size, "%s", builtin[number / 2 % 8]) : snprintf(out, size, "module.Type%u", number));
}

static bool is_native(const maker *m, uint32_t type) { return m->shape->native && type % 4 == 3; }

static int tell_type(maker *m, uint32_t number) {
    char name[32];
    mpr_seen_name named[2] = {{mpr_label_make(MPR_LABEL_OFFSET, 16 + number), "first", 5},
                              {mpr_label_make(MPR_LABEL_INLINE, number), "", 0}};
    mpr_seen_type type = {.address = number == 0 ? 0 : address_of(m->shape, number),
                          .name = name,
                          .name_length = put_name(m, number, name, sizeof name),
                          .basicsize = (uint32_t)dice_below(&m->dice, 100) * 8,
                          .itemsize = (uint32_t)dice_below(&m->dice, 3) * 8,
                          .flags = (number % 3 == 1 ? MPR_TYPE_HEAP : 0) | (number % 5 == 2 ? MPR_TYPE_MAY_HOLD_NATIVE : 0) |
                                   (number % 7 == 3 ? MPR_TYPE_OWN_POOL : 0),
                          .names = number % 3,
                          .named = named};
    if (is_native(m, number)) type.flags = MPR_TYPE_NATIVE;
    return m->sink->type(m->sink, &type);
}

static mpr_label random_label(dice *d, bool native) {
    static const mpr_label_kind kinds[] = {MPR_LABEL_OFFSET, MPR_LABEL_INDEX, MPR_LABEL_KEY,   MPR_LABEL_VALUE,
                                           MPR_LABEL_ATTR,   MPR_LABEL_STACK, MPR_LABEL_LOCAL, MPR_LABEL_ELEMENT};
    if (native && dice_chance(d, 30))
        return mpr_label_make(dice_chance(d, 60) ? MPR_LABEL_NATIVE : MPR_LABEL_DOUBTED, dice_next(d) >> dice_below(d, 64)) | MPR_LABEL_WEAK;
    if (dice_chance(d, 30)) return mpr_label_field((mpr_field)dice_below(d, MPR_FIELD_COUNT));
    mpr_label label = mpr_label_make(kinds[dice_below(d, sizeof kinds / sizeof *kinds)], dice_next(d) >> dice_below(d, 64));
    return label | (dice_chance(d, 10) ? MPR_LABEL_WEAK : 0) | (dice_chance(d, 10) ? MPR_LABEL_HOUSEKEEPING : 0);
}

static uint64_t random_target(maker *m) {
    if (dice_chance(&m->dice, 2)) return address_of(m->shape, m->shape->nodes + dice_below(&m->dice, 8));
    uint64_t limit = dice_chance(&m->dice, 30) && m->shape->nodes > 10 ? 10 : m->shape->nodes;
    return address_of(m->shape, dice_below(&m->dice, limit));
}

/* Edges of a node as three habits: a list, a dict, or anything. */
static int tell_edges(maker *m, uint64_t count) {
    mpr_seen_edge edges[100];
    unsigned habit = (unsigned)dice_below(&m->dice, 3);
    for (uint64_t done = 0; done < count;) {
        size_t n = 0;
        for (; n < 100 && done < count; n++, done++) {
            mpr_label label = random_label(&m->dice, m->shape->native);
            if (habit == 0)
                label = mpr_label_make(MPR_LABEL_INDEX, done);
            else if (habit == 1)
                label = mpr_label_make(done % 2 ? MPR_LABEL_VALUE : MPR_LABEL_KEY, 0);
            edges[n] = (mpr_seen_edge){random_target(m), label};
        }
        int status = m->sink->edges(m->sink, edges, n);
        if (status != MPR_OK) return status;
    }
    return MPR_OK;
}

static uint64_t random_size(maker *m) {
    if (!m->shape->wild || dice_chance(&m->dice, 80)) return 16 * (1 + dice_below(&m->dice, 30));
    return dice_next(&m->dice) >> (1 + dice_below(&m->dice, 62));
}

static int tell_text(maker *m) {
    char text[6000];
    size_t length = (size_t)dice_below(&m->dice, dice_chance(&m->dice, 3) ? sizeof text : 12);
    memset(text, 'a' + (int)dice_below(&m->dice, 26), sizeof text);
    return m->sink->text(m->sink, text, length);
}

static int tell_digest(maker *m) {
    mpr_digest digest = {{dice_below(&m->dice, 5), dice_below(&m->dice, 2)}};
    return m->sink->digest == NULL ? MPR_OK : m->sink->digest(m->sink, m->told - 1, &digest);
}

static int tell_object(maker *m, uint64_t i) {
    dice *d = &m->dice;
    bool immortal = dice_chance(d, 3);
    mpr_seen_node node = {.address = address_of(m->shape, i),
                          .size = random_size(m),
                          .refcount = immortal ? 0 : dice_below(d, dice_chance(d, 1) ? UINT32_MAX : 5),
                          .type = (uint32_t)dice_below(d, m->shape->types),
                          .flags = immortal             ? MPR_NODE_IMMORTAL
                                   : dice_chance(d, 50) ? MPR_NODE_TRACKED
                                                        : 0};
    if (dice_chance(d, 5))
        node.flags |= (uint32_t)dice_below(d, 2 * MPR_NODE_OWN_WALL) & ~(MPR_NODE_SYNTHETIC | MPR_NODE_IMMORTAL);
    if (is_native(m, node.type)) node.flags = MPR_NODE_NATIVE, node.refcount = 0;
    uint64_t edges = dice_below(d, 2 * m->shape->edges + 1);
    if (m->shape->long_lists && i % 100 == 7) edges = dice_below(d, 5000);
    int status = m->sink->node(m->sink, &node);
    m->told++;
    if (status == MPR_OK) status = tell_edges(m, edges);
    if (status == MPR_OK && m->shape->hashed && dice_chance(d, 40)) status = tell_digest(m);
    return status == MPR_OK && dice_chance(d, 20) ? tell_text(m) : status;
}

/* Threads, modules, interpreter, one thread of the first, and perhaps native memory. */
static int tell_groups(maker *m) {
    static const uint32_t numbers[] = {MPR_GROUP_THREADS, MPR_GROUP_MODULES, MPR_GROUP_INTERPRETER, MPR_GROUP_COUNT, MPR_GROUP_NATIVE};
    for (size_t i = 0; i < (m->shape->native ? 5 : 4); i++) {
        mpr_seen_node node = {.address = MPR_SYNTHETIC + 16 * (uint64_t)numbers[i], .flags = MPR_NODE_SYNTHETIC};
        mpr_seen_edge child = {i == 0 ? MPR_SYNTHETIC + 16 * (uint64_t)MPR_GROUP_COUNT : address_of(m->shape, i),
                               mpr_label_make(MPR_LABEL_CHILD, 0)};
        int status = m->sink->node(m->sink, &node);
        m->told++;
        status = status == MPR_OK ? m->sink->edges(m->sink, &child, 1) : status;
        status = status == MPR_OK ? m->sink->text(m->sink, "group", 5) : status;
        if (status != MPR_OK) return status;
    }
    return MPR_OK;
}

int heap_tell(uint64_t seed, const heap_shape *shape, mpr_sink *sink) {
    maker m = {.dice = {seed}, .shape = shape, .sink = sink};
    int status = tell_infos(&m);
    for (uint32_t i = 0; status == MPR_OK && i < shape->types; i++) status = tell_type(&m, i);
    if (status == MPR_OK) status = tell_groups(&m);
    for (uint64_t i = 0; status == MPR_OK && i < shape->nodes; i++) status = tell_object(&m, i);
    return status;
}

/* ---- files ---- */

int file_nameless(void) { return memfd_create("memprobe-test", MFD_CLOEXEC); }

static int write_snapshot(mpr_alloc *alloc, uint64_t seed, const heap_shape *shape, int fd) {
    mpr_writer *writer;
    int status = mpr_writer_new(&writer, alloc, fd);
    if (status != MPR_OK) return status;
    status = heap_tell(seed, shape, mpr_writer_sink(writer));
    if (status == MPR_OK) status = mpr_writer_finish(writer);
    mpr_writer_free(writer);
    return status;
}

uint8_t *snapshot_make(mpr_alloc *alloc, uint64_t seed, const heap_shape *shape, size_t *size) {
    const uint8_t *map = NULL;
    uint8_t *copy = NULL;
    int fd = file_nameless();
    if (fd >= 0 && write_snapshot(alloc, seed, shape, fd) == MPR_OK && mpr_file_map(fd, &map, size) == MPR_OK) {
        copy = mpr_alloc_array(alloc, *size, 1);
        if (copy) memcpy(copy, map, *size);
        mpr_file_unmap(map, *size);
    }
    if (fd >= 0) close(fd);
    return copy;
}

/* ---- graphs ---- */

mpr_graph *graph_make(mpr_alloc *alloc, uint64_t seed, const heap_shape *shape) {
    mpr_builder *builder;
    mpr_graph *graph = NULL;
    if (mpr_builder_new(&builder, alloc) != MPR_OK) return NULL;
    if (heap_tell(seed, shape, mpr_builder_sink(builder)) != MPR_OK || mpr_builder_freeze(builder, &graph) != MPR_OK) graph = NULL;
    mpr_builder_free(builder);
    return graph;
}

static int tell_arrows(mpr_sink *sink, uint32_t nodes, const arrow *arrows, size_t count, uint32_t root,
                       const uint32_t *references) {
    mpr_seen_type type = {.name = "node", .name_length = 4};
    mpr_seen_node modules = {.address = MPR_SYNTHETIC + 16 * MPR_GROUP_MODULES, .flags = MPR_NODE_SYNTHETIC};
    mpr_seen_edge edge = {4096 + 64 * (uint64_t)root, mpr_label_make(MPR_LABEL_CHILD, 0)};
    int status = sink->type(sink, &type);
    for (uint32_t i = 0, k = 0; i < nodes && status == MPR_OK; i++) {
        mpr_seen_node node = {.address = 4096 + 64 * (uint64_t)i, .size = 16 + i % 7, .refcount = references[i]};
        status = sink->node(sink, &node);
        for (uint32_t index = 0; k < count && arrows[k].from == i && status == MPR_OK; k++) {
            mpr_seen_edge to = {4096 + 64 * (uint64_t)arrows[k].to, mpr_label_make(MPR_LABEL_INDEX, index++)};
            status = sink->edges(sink, &to, 1);
        }
    }
    status = status == MPR_OK ? sink->node(sink, &modules) : status;
    return status == MPR_OK ? sink->edges(sink, &edge, 1) : status;
}

mpr_graph *graph_of(mpr_alloc *alloc, uint32_t nodes, const arrow *arrows, size_t count, uint32_t root) {
    mpr_builder *builder = NULL;
    mpr_graph *graph = NULL;
    uint32_t *references = mpr_alloc_array(alloc, nodes, sizeof *references);
    if (references && mpr_builder_new(&builder, alloc) == MPR_OK) {
        references[root]++;
        for (size_t i = 0; i < count; i++) references[arrows[i].to]++;
        if (tell_arrows(mpr_builder_sink(builder), nodes, arrows, count, root, references) != MPR_OK ||
            mpr_builder_freeze(builder, &graph) != MPR_OK)
            graph = NULL;
        mpr_builder_free(builder);
    }
    mpr_alloc_free(alloc, references, nodes, sizeof *references);
    return graph;
}

static int by_from(const void *a, const void *b) {
    const arrow *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

mpr_graph *graph_random(mpr_alloc *alloc, uint64_t seed, uint32_t nodes) {
    arrow arrows[3 * 64];
    dice d = {seed};
    uint32_t used = 2 + (uint32_t)dice_below(&d, nodes - 1);
    size_t count = (size_t)dice_below(&d, 3 * used);
    for (size_t i = 0; i < count; i++) arrows[i] = (arrow){(uint32_t)dice_below(&d, used), (uint32_t)dice_below(&d, used)};
    qsort(arrows, count, sizeof *arrows, by_from);
    return graph_of(alloc, used, arrows, count, 0);
}

static bool same_bytes(const char *a, size_t a_length, const char *b, size_t b_length) {
    return (a == NULL) == (b == NULL) && (a == NULL || (a_length == b_length && memcmp(a, b, a_length) == 0));
}

static const char *node_difference(const mpr_graph *a, const mpr_graph *b, uint32_t i) {
    if (a->type[i] != b->type[i] || a->flags[i] != b->flags[i] || mpr_graph_size(a, i) != mpr_graph_size(b, i))
        return "a node's type, flags or size";
    if (mpr_graph_residual(a, i) != mpr_graph_residual(b, i) || mpr_graph_first(a, i) != mpr_graph_first(b, i))
        return "a node's residual or edges";
    if (i < a->seen && mpr_graph_address(a, i) != mpr_graph_address(b, i)) return "a node's address";
    size_t a_length = 0, b_length = 0;
    const char *a_text = mpr_graph_text(a, i, &a_length), *b_text = mpr_graph_text(b, i, &b_length);
    return same_bytes(a_text, a_length, b_text, b_length) ? NULL : "a node's text";
}

static const char *type_difference(const mpr_graph *a, const mpr_graph *b, size_t i) {
    const mpr_type *x = &a->types[i], *y = &b->types[i];
    if (x->address != y->address || x->node != y->node || x->basicsize != y->basicsize || x->itemsize != y->itemsize ||
        x->flags != y->flags || x->named_count != y->named_count)
        return "a type's numbers";
    if (!same_bytes(a->strings + x->name, x->name_length, b->strings + y->name, y->name_length)) return "a type's name";
    for (uint32_t k = 0; k < x->named_count; k++) {
        const mpr_named *p = &a->named[x->named + k], *q = &b->named[y->named + k];
        if (p->label != q->label || !same_bytes(a->strings + p->text, p->length, b->strings + q->text, q->length))
            return "a named place";
    }
    return NULL;
}

static const char *info_difference(const mpr_graph *a, const mpr_graph *b, size_t i) {
    const mpr_info *x = &a->infos[i], *y = &b->infos[i];
    if (strcmp(a->strings + x->key, b->strings + y->key) != 0 || x->is_text != y->is_text || x->number != y->number)
        return "a fact";
    return same_bytes(a->strings + x->text, x->length, b->strings + y->text, y->length) ? NULL : "a fact's text";
}

const char *graph_difference(const mpr_graph *a, const mpr_graph *b) {
    const char *found = NULL;
    if (a->nodes != b->nodes || a->seen != b->seen || a->edges != b->edges || a->type_count != b->type_count ||
        a->info_count != b->info_count)
        return "counts";
    if (memcmp(a->group, b->group, sizeof a->group) != 0) return "groups";
    for (uint32_t i = 0; i < a->nodes && !found; i++) found = node_difference(a, b, i);
    for (uint64_t k = 0; k < a->edges && !found; k++)
        if (a->target[k] != b->target[k] || a->label[k] != b->label[k]) found = "an edge";
    for (size_t i = 0; i < a->type_count && !found; i++) found = type_difference(a, b, i);
    for (size_t i = 0; i < a->info_count && !found; i++) found = info_difference(a, b, i);
    if (!found && a->hashed_count != b->hashed_count) found = "how many digests";
    for (size_t i = 0; i < a->hashed_count && !found; i++)
        if (memcmp(&a->hashed[i], &b->hashed[i], sizeof *a->hashed) != 0) found = "a digest";
    return found;
}
