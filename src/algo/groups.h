/* SPDX-License-Identifier: MIT
 * Totals by type: one pass over the columns. */
#ifndef MPR_ALGO_GROUPS_H
#define MPR_ALGO_GROUPS_H

#include "graph/graph.h"

typedef struct mpr_group_total {
    uint64_t count;
    uint64_t bytes;
} mpr_group_total;

/* out has graph->type_count entries: objects (not synthetic, not memprobe's own) of each type. */
void mpr_groups_by_type(const mpr_graph *g, mpr_group_total *out);

#endif
