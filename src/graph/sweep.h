/* SPDX-License-Identifier: MIT
 * Following strong edges from some nodes, in any order: the one loop behind reachability, wherever it is asked.
 *
 * Order is free, so it is chosen for the cache: what is reached and not yet left is marked so in the caller's array of a byte a node, and
 * taken page by page (4,096 ids) in ascending order; ids are nearly addresses, so a node's columns and edges are read in sequence, and
 * only the marks of its targets are touched at random. Memory: 5 bytes a page; no stack, no depth. Cost: O(nodes + edges reached); in a
 * page that is reached from its end to its beginning, a search of the page a node.
 *
 * A node that is marked beforehand is not entered: so the caller builds walls, and an edge costs one look at random. */
#ifndef MPR_GRAPH_SWEEP_H
#define MPR_GRAPH_SWEEP_H

#include <string.h>

#include "graph/graph.h"

typedef struct mpr_sweep {
    mpr_alloc *alloc;
    uint32_t nodes;          /* ids are below this */
    uint8_t *reached;        /* one byte a node, the caller's: 0 is not reached, anything else is not entered */
    uint8_t mark;            /* what to write there: neither 0 nor 255, which is reached and not yet left */
    bool housekeeping;       /* follow housekeeping edges, and the edge from each instance to its class */
    uint8_t *queued;         /* a page: it stands in the queue */
    uint32_t *queue;         /* ring of pages in which something is pending */
    uint32_t head, waiting, pages;
} mpr_sweep;

/* Prepare for the nodes of g: MPR_OK or MPR_ENOMEM. The caller sets reached, mark and housekeeping. */
int mpr_sweep_begin(mpr_sweep *sweep, const mpr_graph *g);

/* Enter a node; nothing happens if it is marked. */
void mpr_sweep_enter(mpr_sweep *sweep, uint32_t node);

/* Follow until nothing is pending. `each`, when not NULL, is called for every node. */
void mpr_sweep_run(mpr_sweep *sweep, const mpr_graph *g, void (*each)(void *context, uint32_t node), void *context);

void mpr_sweep_end(mpr_sweep *sweep);

/* The first node at or after `from` with this mark, or `end`. */
static inline uint32_t mpr_sweep_next(const uint8_t *reached, uint32_t from, uint32_t end, uint8_t mark) {
    const uint8_t *found = from < end ? memchr(reached + from, mark, end - from) : NULL;
    return found != NULL ? (uint32_t)(found - reached) : end;
}

#endif
