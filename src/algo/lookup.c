/* SPDX-License-Identifier: MIT
 * The order of classes is that of their __mro__. */
#include "algo/lookup.h"

#include <string.h>

#include "algo/steps.h"

uint32_t mpr_lookup_field(const mpr_graph *g, uint32_t node, mpr_field field) {
    for (uint64_t k = mpr_graph_first(g, node); k < mpr_graph_first(g, node + 1); k++)
        if (mpr_steps_is_field(g->label[k], field)) return g->target[k];
    return MPR_NO_NODE;
}

uint32_t mpr_lookup_defined(const mpr_graph *g, uint32_t namespace, const char *name, size_t length) {
    size_t found;
    for (uint64_t k = mpr_graph_first(g, namespace); k + 1 < mpr_graph_first(g, namespace + 1); k++) {
        const char *text = mpr_label_kind_of(g->label[k]) == MPR_LABEL_KEY ? mpr_graph_text(g, g->target[k], &found) : NULL;
        if (text && found == length && memcmp(text, name, length) == 0) return g->target[k + 1];
    }
    return MPR_NO_NODE;
}

uint32_t mpr_lookup_inherited(const mpr_graph *g, uint32_t class, const char *name, size_t length) {
    uint32_t order = class == MPR_NO_NODE ? class : mpr_lookup_field(g, class, MPR_FIELD_MRO);
    if (order == MPR_NO_NODE) return MPR_NO_NODE;
    for (uint64_t k = mpr_graph_first(g, order); k < mpr_graph_first(g, order + 1); k++) {
        uint32_t namespace = mpr_lookup_field(g, g->target[k], MPR_FIELD_NAMESPACE);
        uint32_t found = namespace == MPR_NO_NODE ? MPR_NO_NODE : mpr_lookup_defined(g, namespace, name, length);
        if (found != MPR_NO_NODE) return found;
    }
    return MPR_NO_NODE;
}

uint32_t mpr_lookup_class(const mpr_graph *g, uint32_t node) { return g->types[g->type[node]].node; }

/* The descriptors in C of classes and modules (__module__, __annotations__) look into the namespace themselves. */
bool mpr_lookup_is_shadowed(const mpr_graph *g, uint32_t owner, const char *name, size_t length) {
    uint32_t found = mpr_lookup_inherited(g, mpr_lookup_class(g, owner), name, length);
    if (found == MPR_NO_NODE || mpr_lookup_inherited(g, mpr_lookup_class(g, found), "__set__", 7) == MPR_NO_NODE) return false;
    bool in_c = mpr_graph_type_is(g, found, "getset_descriptor") || mpr_graph_type_is(g, found, "member_descriptor");
    return !in_c || !(g->flags[owner] & (MPR_NODE_TYPE | MPR_NODE_MODULE));
}

/* Does a class say by a function of Python what its instances are as attributes of a class? What is written in C gives itself. */
static bool has_getter(const mpr_graph *g, uint32_t class) {
    uint32_t getter = mpr_lookup_inherited(g, class, "__get__", 7);
    return getter != MPR_NO_NODE && mpr_graph_type_is(g, getter, "function");
}

bool mpr_lookup_is_wrapper(const mpr_graph *g, uint32_t node) {
    static const char *const types[] = {"staticmethod", "classmethod", "classmethod_descriptor", "getset_descriptor",
                                        "member_descriptor"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (mpr_graph_type_is(g, node, types[i])) return true;
    return has_getter(g, mpr_lookup_class(g, node));
}

bool mpr_lookup_gives_namespace(const mpr_graph *g, uint32_t owner) {
    if (g->flags[owner] & MPR_NODE_TYPE) return false;
    return (g->flags[owner] & MPR_NODE_MODULE) || mpr_lookup_inherited(g, mpr_lookup_class(g, owner), "__dict__", 8) != MPR_NO_NODE;
}
