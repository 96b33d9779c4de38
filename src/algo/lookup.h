/* SPDX-License-Identifier: MIT
 * What Python's lookup of an attribute finds, on a graph: nothing is asked, everything is read from namespaces and bases. Nodes that are
 * not there are MPR_NO_NODE. */
#ifndef MPR_ALGO_LOOKUP_H
#define MPR_ALGO_LOOKUP_H

#include <stdbool.h>

#include "graph/graph.h"

/* The node that a field leads to. */
uint32_t mpr_lookup_field(const mpr_graph *g, uint32_t node, mpr_field field);

/* The class of an object. */
uint32_t mpr_lookup_class(const mpr_graph *g, uint32_t node);

/* What a namespace has by a name. */
uint32_t mpr_lookup_defined(const mpr_graph *g, uint32_t namespace, const char *name, size_t length);

/* The same of a class and its bases. */
uint32_t mpr_lookup_inherited(const mpr_graph *g, uint32_t class, const char *name, size_t length);

/* Does the owner's class have a data descriptor by the name of a variable in its namespace? Then the attribute is another thing. */
bool mpr_lookup_is_shadowed(const mpr_graph *g, uint32_t owner, const char *name, size_t length);

/* Is it what a class has in its namespace, and gives something else for as an attribute? */
bool mpr_lookup_is_wrapper(const mpr_graph *g, uint32_t node);

/* Does `.__dict__` give the namespace itself? A class gives a proxy, and some types in C give none. */
bool mpr_lookup_gives_namespace(const mpr_graph *g, uint32_t owner);

#endif
