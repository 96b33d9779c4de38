/* SPDX-License-Identifier: MIT
 * Labels resolved and rendered. */
#include "graph/resolve.h"

#include <stdio.h>
#include <string.h>

/* ---- what an edge is called ---- */

/* The object that serves as name: its contents when it is a str whose contents are known, else its type. */
static void take_name(const mpr_graph *g, uint32_t node, mpr_resolved *out) {
    const mpr_type *type = &g->types[g->type[node]];
    out->name_node = node;
    out->type = g->strings + type->name;
    out->type_length = type->name_length;
    out->name = mpr_graph_text(g, node, &out->length);
    out->is_text = out->name != NULL && type->name_length == 3 && memcmp(out->type, "str", 3) == 0;
}

/* The name that the holder's type has for a place of its instances. */
static void take_place(const mpr_graph *g, uint32_t holder, mpr_label label, mpr_resolved *out) {
    const mpr_named *named = mpr_graph_named(g, g->type[holder], label);
    if (named != NULL) {
        out->kind = MPR_LABEL_ATTR;
        out->name = g->strings + named->text;
        out->length = named->length;
    }
}

static void take_field(mpr_resolved *out) {
    out->name = mpr_label_field_text(out->number);
    out->length = strlen(out->name);
}

void mpr_graph_resolve(const mpr_graph *g, uint32_t holder, uint64_t edge, mpr_resolved *out) {
    mpr_label label = g->label[edge];
    *out = (mpr_resolved){.kind = mpr_label_kind_of(label),
                          .number = mpr_label_payload(label),
                          .name_node = MPR_NO_NODE,
                          .weak = !mpr_label_strong(label),
                          .housekeeping = mpr_label_housekeeping(label)};
    switch (out->kind) {
    case MPR_LABEL_OFFSET:
    case MPR_LABEL_INLINE:
        take_place(g, holder, label, out);
        break;
    case MPR_LABEL_FIELD:
        take_field(out);
        break;
    case MPR_LABEL_KEY:
    case MPR_LABEL_NAME:
        take_name(g, g->target[edge], out);
        break;
    case MPR_LABEL_VALUE:
    case MPR_LABEL_ATTR:
    case MPR_LABEL_LOCAL:
    case MPR_LABEL_CELL:
        take_name(g, g->target[edge - 1], out); /* freeze left no such label on a holder's first edge */
        break;
    default:
        break;
    }
}

void mpr_graph_resolve_class(mpr_resolved *out) {
    *out = (mpr_resolved){.kind = MPR_LABEL_FIELD, .number = MPR_FIELD_CLASS, .name_node = MPR_NO_NODE, .housekeeping = true};
    take_field(out);
}

const char *mpr_resolved_kind(mpr_label_kind kind) {
    static const char *const names[] = {
        [MPR_LABEL_OFFSET] = "offset", [MPR_LABEL_FIELD] = "field",   [MPR_LABEL_INDEX] = "index",
        [MPR_LABEL_KEY] = "key",       [MPR_LABEL_VALUE] = "value",   [MPR_LABEL_ATTR] = "attr",
        [MPR_LABEL_INLINE] = "attr",   [MPR_LABEL_NAME] = "name",     [MPR_LABEL_LOCAL] = "local",
        [MPR_LABEL_CELL] = "cell",     [MPR_LABEL_STACK] = "stack",   [MPR_LABEL_ELEMENT] = "element",
        [MPR_LABEL_CHILD] = "child",   [MPR_LABEL_NATIVE] = "native", [MPR_LABEL_DOUBTED] = "doubted",
    };
    return names[kind];
}

/* ---- rendered ---- */

typedef struct out {
    char *at;
    size_t size, length;
} out;

static void put(out *o, const char *text, size_t length) {
    for (size_t i = 0; i < length && o->length + 1 < o->size; i++) {
        o->at[o->length++] = text[i];
    }
    o->at[o->length] = '\0';
}

static void put_text(out *o, const char *text) { put(o, text, strlen(text)); }

size_t mpr_resolved_quote(const char *text, size_t length, char *at, size_t size) {
    out o = {.at = at, .size = size};
    put_text(&o, "'");
    for (size_t i = 0; i < length; i++) {
        char escaped[8];
        unsigned char c = (unsigned char)text[i];
        if (c == '\'' || c == '\\') {
            put(&o, (char[]){'\\', (char)c}, 2);
        } else if (c < 0x20 || c == 0x7f) {
            put(&o, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\x%02x", c));
        } else {
            put(&o, &text[i], 1);
        }
    }
    put_text(&o, "'");
    return o.length;
}

/* The name of a key or variable, else its type in brackets. */
static void put_name(out *o, const mpr_resolved *r, bool quoted) {
    if (r->name != NULL && quoted && r->is_text) {
        o->length += mpr_resolved_quote(r->name, r->length, o->at + o->length, o->size - o->length);
    } else if (r->name != NULL) {
        put(o, r->name, r->length);
    } else {
        put_text(o, "<");
        put(o, r->type, r->type_length);
        put_text(o, ">");
    }
}

static void put_number(out *o, const char *format, uint32_t number) {
    char text[48];
    int length = snprintf(text, sizeof text, format, number);
    put(o, text, length < 0 ? 0 : (size_t)length);
}

static void put_attribute(out *o, const mpr_resolved *r) {
    bool is_word = r->kind == MPR_LABEL_FIELD && r->length > 0 && r->name[0] == '<'; /* Python has no word for it */
    put_text(o, is_word ? "" : ".");
    put_name(o, r, false);
}

size_t mpr_resolved_text(const mpr_resolved *r, char *text, size_t size) {
    out o = {.at = text, .size = size};
    text[0] = '\0';
    switch (r->kind) {
    case MPR_LABEL_OFFSET:
    case MPR_LABEL_NATIVE:
    case MPR_LABEL_DOUBTED:
        put_number(&o, "+0x%x", r->number);
        break;
    case MPR_LABEL_INLINE:
        put_number(&o, "<attribute %u>", r->number);
        break;
    case MPR_LABEL_FIELD:
    case MPR_LABEL_ATTR:
        put_attribute(&o, r);
        break;
    case MPR_LABEL_INDEX:
        put_number(&o, "[%u]", r->number);
        break;
    case MPR_LABEL_VALUE:
        put_text(&o, "[");
        put_name(&o, r, true);
        put_text(&o, "]");
        break;
    case MPR_LABEL_KEY:
    case MPR_LABEL_NAME:
        put_text(&o, r->kind == MPR_LABEL_KEY ? "key " : "name ");
        put_name(&o, r, true);
        break;
    case MPR_LABEL_LOCAL:
    case MPR_LABEL_CELL:
        put_text(&o, r->kind == MPR_LABEL_LOCAL ? "local " : "cell ");
        put_name(&o, r, false);
        break;
    case MPR_LABEL_STACK:
        put_number(&o, "<stack %u>", r->number);
        break;
    case MPR_LABEL_ELEMENT:
        put_text(&o, "<element>");
        break;
    case MPR_LABEL_CHILD:
        put_text(&o, "<child>");
        break;
    }
    return o.length;
}
