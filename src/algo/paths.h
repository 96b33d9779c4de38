/* SPDX-License-Identifier: MIT
 * Why is it alive: different paths of strong references from the super-root to a node.
 *
 * The first is the path that names the node (algo/name_tree.h). Each further one leaves it at another holder: of the node itself first, then
 * of what holds it, and so on; up to the other holder it is the path that names that holder. So paths differ where they end, which is where
 * a reference can be cut. Of several other holders those by what can be typed come first, then those that last, then the nearest.
 *
 * Cost: beside the names' tree and the reverse index what the paths themselves have, and the holders of the nodes on them, of each at most
 * MPR_PATHS_HOLDERS. */
#ifndef MPR_ALGO_PATHS_H
#define MPR_ALGO_PATHS_H

#include "algo/name_tree.h"

#define MPR_PATHS_HOLDERS 1000u /* holders of a node that are compared */
#define MPR_PATHS_MOST 255u

/* Path i is step[k] for first[i] <= k < first[i + 1]. */
typedef struct mpr_paths {
    mpr_alloc *alloc;
    size_t count;
    MPR_VEC(size_t) first; /* count + 1 */
    mpr_steps step;
    bool complete; /* there are no others, but over housekeeping edges */
} mpr_paths;

/* Up to `limit` (1 .. MPR_PATHS_MOST) paths; none to what nothing reaches. Makes the reverse index when more than one is asked for. `progress`
 * may be NULL. MPR_OK, MPR_ENOMEM, MPR_ECANCELLED. */
int mpr_paths_find(mpr_graph *g, mpr_name_tree *names, uint32_t node, unsigned limit, mpr_progress progress, void *context,
                   mpr_paths *out);
void mpr_paths_free(mpr_paths *paths); /* a zeroed one is allowed */

#endif
