/* SPDX-License-Identifier: MIT
 * Why is it alive: shortest paths of strong references from the super-root to a node, found backwards over the reverse index.
 *
 * Cost: what is nearer to the node, seen backwards, than the roots found; one byte a node (touched only where the search goes) and
 * 16 bytes a step. The references of instances to their classes are no steps. */
#ifndef MPR_ALGO_PATHS_H
#define MPR_ALGO_PATHS_H

#include "base/progress.h"
#include "graph/graph.h"

typedef struct mpr_paths_options {
    const uint8_t *walls;  /* NULL, or one byte a node: no path leads through a node with != 0 */
    bool skip_housekeeping;
    bool (*barred)(const void *bars, uint32_t holder, uint64_t edge); /* NULL, or true for an edge that no path takes */
    const void *bars;
    mpr_progress progress; /* NULL, or called in nodes searched; the total is the graph's */
    void *context;
} mpr_paths_options;

/* node[0] is the super-root, edge[0] its edge to node[1] ...; the last node is the one asked for, and its edge MPR_NO_EDGE. */
typedef struct mpr_path_step {
    uint64_t edge;
    uint32_t node;
} mpr_path_step;

/* Path i is step[k] for first[i] <= k < first[i + 1]: shortest first. */
typedef struct mpr_paths {
    mpr_alloc *alloc;
    size_t count;
    size_t *first; /* count + 1 */
    mpr_path_step *step;
} mpr_paths;

/* Up to `limit` (1 .. 255) different paths without a repeated node; of several of one length, and beyond the first, those that
 * pass any one node at most `limit` times. Memprobe's own objects are on no path. Makes the reverse index if it is not there. options may
 * be NULL. MPR_OK (with no path, too), MPR_ENOMEM, MPR_ECANCELLED. */
int mpr_paths_find(mpr_graph *g, uint32_t node, unsigned limit, const mpr_paths_options *options, mpr_paths *out);
void mpr_paths_free(mpr_paths *paths); /* a zeroed one is allowed */

#endif
