/* SPDX-License-Identifier: MIT
 * A made-up program's heap: sys.modules -> module app -> its namespace -> variables. */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "test.h"

#define FIRST UINT64_C(0x10000)

enum { MODULES = 1, APP, NAMESPACE, NAMES }; /* NAMES: the strings that name variables; then the variables */

typedef struct teller {
    mpr_sink *sink;
    int status;
} teller;

static uint64_t address_of(uint64_t number) { return FIRST + 64 * number; }

static void tell_node(teller *w, uint64_t number, uint32_t type, uint64_t size, uint32_t flags, uint64_t count) {
    mpr_seen_node node = {.address = address_of(number), .type = type, .size = size, .flags = flags, .refcount = count};
    if (w->status == MPR_OK) w->status = w->sink->node(w->sink, &node);
}

static void tell_edge(teller *w, uint64_t target, mpr_label label) {
    mpr_seen_edge edge = {address_of(target), label};
    if (w->status == MPR_OK) w->status = w->sink->edges(w->sink, &edge, 1);
}

static void tell_text(teller *w, const char *text) {
    if (w->status == MPR_OK) w->status = w->sink->text(w->sink, text, strlen(text));
}

static void tell_types(teller *w) {
    static const char *const names[] = {"<root>", "dict", "module", "str", "list", "app.Item"};
    for (uint32_t i = 0; i < 6 && w->status == MPR_OK; i++) {
        mpr_seen_type type = {.name = names[i], .name_length = strlen(names[i])};
        w->status = w->sink->type(w->sink, &type);
    }
}

static void tell_namespace(teller *w, const program *p) {
    tell_node(w, NAMESPACE, 1, 200, 0, 1);
    for (uint32_t i = 0; i < p->variables; i++) {
        tell_edge(w, NAMES + i, mpr_label_make(MPR_LABEL_KEY, 0));
        tell_edge(w, NAMES + PROGRAM_MOST + i, mpr_label_make(MPR_LABEL_VALUE, 0));
    }
}

static uint64_t item_of(const program *p, uint32_t variable, uint32_t k) {
    return 1000 + 100000 * (uint64_t)variable + k + (k < p->replaced ? 50000 : 0);
}

/* Variables named var0 .. are lists of items. An item that is shared is in the next variable's list, too. */
static void tell_variable(teller *w, const program *p, uint32_t i) {
    char name[16];
    snprintf(name, sizeof name, "%c_list", (char)('a' + i));
    tell_node(w, NAMES + i, 3, 50, MPR_NODE_INTERNED, 1);
    tell_text(w, name);
    uint32_t flags = p->own && i == 0 ? MPR_NODE_OWN_WALL : 0;
    tell_node(w, NAMES + PROGRAM_MOST + i, 4, 56 + 8 * (uint64_t)p->items[i], flags, 1);
    for (uint32_t k = 0; k < p->items[i]; k++) tell_edge(w, item_of(p, i, k), mpr_label_make(MPR_LABEL_INDEX, k));
    if (p->shared && i > 0)
        for (uint32_t k = 0; k < p->items[i - 1]; k++)
            tell_edge(w, item_of(p, i - 1, k), mpr_label_make(MPR_LABEL_INDEX, p->items[i] + k));
}

static void tell_items(teller *w, const program *p, uint32_t i) {
    uint32_t holders = 1 + (p->shared && i + 1 < p->variables);
    for (uint32_t k = 0; k < p->items[i]; k++) tell_node(w, item_of(p, i, k), 5, p->item_size, 0, holders);
}

static void tell_program(teller *w, const program *p) {
    mpr_seen_node modules = {.address = MPR_SYNTHETIC + 16 * MPR_GROUP_MODULES, .flags = MPR_NODE_SYNTHETIC};
    mpr_seen_info pid = {.key = "pid", .number = p->pid};
    tell_types(w);
    if (p->pid != 0 && w->status == MPR_OK) w->status = w->sink->info(w->sink, &pid);
    w->status = w->status == MPR_OK ? w->sink->node(w->sink, &modules) : w->status;
    tell_edge(w, MODULES, mpr_label_field(MPR_FIELD_MODULES));
    tell_node(w, MODULES, 1, 100, 0, 1);
    tell_edge(w, APP, mpr_label_make(MPR_LABEL_INDEX, 0));
    tell_node(w, APP, 2, 72, MPR_NODE_MODULE, 1);
    tell_edge(w, NAMESPACE, mpr_label_field(MPR_FIELD_DICT));
    tell_text(w, "app");
    tell_namespace(w, p);
    for (uint32_t i = 0; i < p->variables; i++) tell_variable(w, p, i);
    for (uint32_t i = 0; i < p->variables; i++) tell_items(w, p, i);
    for (uint32_t k = 0; k < p->lost; k++) tell_node(w, 900000000 + k, 5, p->item_size, 0, 1);
}

mpr_graph *program_make(mpr_alloc *alloc, const program *p) {
    mpr_builder *builder = NULL;
    mpr_graph *graph = NULL;
    if (mpr_builder_new(&builder, alloc) != MPR_OK) return NULL;
    teller w = {.sink = mpr_builder_sink(builder), .status = MPR_OK};
    tell_program(&w, p);
    if (w.status != MPR_OK || mpr_builder_freeze(builder, &graph) != MPR_OK) graph = NULL;
    mpr_builder_free(builder);
    return graph;
}

uint32_t program_list(const mpr_graph *g, uint32_t variable) {
    uint32_t node;
    return mpr_graph_find(g, address_of(NAMES + PROGRAM_MOST + variable), &node) ? node : MPR_NO_NODE;
}
