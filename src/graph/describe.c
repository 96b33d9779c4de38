/* SPDX-License-Identifier: MIT
 * Labels in the words of a Python programmer. */
#include <stdio.h>
#include <string.h>

#include "graph/graph.h"

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

/* A name between quotes, with what would break a line or the quotes escaped. */
static void put_quoted(out *o, const char *text, size_t length) {
    put_text(o, "'");
    for (size_t i = 0; i < length; i++) {
        char escaped[8];
        unsigned char c = (unsigned char)text[i];
        if (c == '\'' || c == '\\') {
            put(o, (char[]){'\\', (char)c}, 2);
        } else if (c < 0x20 || c == 0x7f) {
            put(o, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\x%02x", c));
        } else {
            put(o, &text[i], 1);
        }
    }
    put_text(o, "'");
}

/* What a node is called when it serves as a name: its text, else its type in brackets. */
static void put_key(out *o, const mpr_graph *g, uint32_t node, bool quoted) {
    size_t length;
    const char *text = mpr_graph_text(g, node, &length);
    if (text != NULL && quoted) {
        put_quoted(o, text, length);
    } else if (text != NULL) {
        put(o, text, length);
    } else {
        const mpr_type *type = &g->types[g->type[node]];
        put_text(o, "<");
        put(o, g->strings + type->name, type->name_length);
        put_text(o, ">");
    }
}

static void put_number(out *o, const char *format, uint32_t number) {
    char text[48];
    int length = snprintf(text, sizeof text, format, number);
    put(o, text, length < 0 ? 0 : (size_t)length);
}

static void put_field(out *o, mpr_label label) {
    const char *text = mpr_label_field_text(mpr_label_payload(label));
    put_text(o, text[0] == '<' ? "" : ".");
    put_text(o, text);
}

static void put_place(out *o, const mpr_graph *g, uint32_t holder, mpr_label label) {
    const mpr_named *named = mpr_graph_named(g, g->type[holder], label);
    if (named != NULL) {
        put_text(o, ".");
        put(o, g->strings + named->text, named->length);
    } else {
        put_number(o, mpr_label_kind_of(label) == MPR_LABEL_OFFSET ? "+0x%x" : "<attribute %u>", mpr_label_payload(label));
    }
}

static void put_named_by_previous(out *o, const mpr_graph *g, uint64_t edge, mpr_label_kind kind) {
    uint32_t name = g->target[edge - 1];
    if (kind == MPR_LABEL_VALUE) {
        put_text(o, "[");
        put_key(o, g, name, true);
        put_text(o, "]");
        return;
    }
    put_text(o, kind == MPR_LABEL_ATTR ? "." : kind == MPR_LABEL_LOCAL ? "local " : "cell ");
    put_key(o, g, name, false);
}

size_t mpr_graph_describe(const mpr_graph *g, uint32_t holder, uint64_t edge, char *text, size_t size) {
    out o = {.at = text, .size = size};
    mpr_label label = g->label[edge];
    text[0] = '\0';
    switch (mpr_label_kind_of(label)) {
    case MPR_LABEL_OFFSET:
    case MPR_LABEL_INLINE:
        put_place(&o, g, holder, label);
        break;
    case MPR_LABEL_FIELD:
        put_field(&o, label);
        break;
    case MPR_LABEL_INDEX:
        put_number(&o, "[%u]", mpr_label_payload(label));
        break;
    case MPR_LABEL_KEY:
        put_text(&o, "key ");
        put_key(&o, g, g->target[edge], true);
        break;
    case MPR_LABEL_VALUE:
    case MPR_LABEL_ATTR:
    case MPR_LABEL_LOCAL:
    case MPR_LABEL_CELL:
        put_named_by_previous(&o, g, edge, mpr_label_kind_of(label));
        break;
    case MPR_LABEL_NAME:
        put_text(&o, "name ");
        put_key(&o, g, g->target[edge], true);
        break;
    case MPR_LABEL_STACK:
        put_number(&o, "<stack %u>", mpr_label_payload(label));
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
