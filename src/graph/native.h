/* SPDX-License-Identifier: MIT
 * Which of the edges that were found by looking at memory (native/marking.h) retain the native blocks that they lead to.
 *
 * A word that was left behind by what had the memory before looks like any other. It takes nothing from being alive: a block to
 * which one leads is not lost. But it would take a block from its owner, which retains it no longer when a second holder is
 * there. Three things are rare among owners:
 *
 *   a word that looks left behind          the label MPR_LABEL_DOUBTED says so: who is to free a block needs its own address
 *   a place where few blocks have one      blocks of one size that begin alike are mostly of one structure, and a field of it has
 *                                          an address in more than a few of them
 *   a longer way from objects and images   an owner leads to what it owns; what leads back, or to a sibling, lies deeper
 *
 * So ways from objects and images to blocks have a cost, in this order of what counts, and a block is retained by the last steps of its best
 * ways alone: by several when these cost the same. An owner may be doubted itself, for a size may have blocks of many structures: then it
 * still is better than what lies behind it, as the pages of a database that lead back to their pager. */
#ifndef MPR_GRAPH_NATIVE_H
#define MPR_GRAPH_NATIVE_H

#include "graph/graph.h"
#include "graph/sweep.h"

/* Make edges to blocks strong that are on a best way, and the others weak, of a graph whose edges are settled. Cost: Dijkstra's
 * algorithm twice, 20 bytes a node and 24 a doubted edge while it runs. MPR_OK or MPR_ENOMEM. */
int mpr_native_doubt(mpr_graph *g);

/* When a sweep has reached what it reaches: make weak edges strong that lead from there to blocks that nothing has reached, as those of which
 * garbage has the best way, and go on, until there are no more. MPR_OK or MPR_ENOMEM. */
int mpr_native_sweep(mpr_sweep *sweep, mpr_graph *g);

#endif
