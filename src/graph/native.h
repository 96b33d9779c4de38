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
 * An edge of such a sort is doubted: it retains a block that nothing else retains which is reached. */
#ifndef MPR_GRAPH_NATIVE_H
#define MPR_GRAPH_NATIVE_H

#include "graph/graph.h"
#include "graph/sweep.h"

/* Make edges weak that are doubted, of a graph whose edges are settled. Those inside of a block are weak before. MPR_OK or
 * MPR_ENOMEM. */
int mpr_native_doubt(mpr_graph *g);

/* When a sweep has reached what it reaches: make doubted edges strong that lead from there to blocks that nothing has reached,
 * and go on, until there are no more. MPR_OK or MPR_ENOMEM. */
int mpr_native_sweep(mpr_sweep *sweep, mpr_graph *g);

#endif
