/* SPDX-License-Identifier: MIT
 * Totals by type: one pass over the columns; nothing is allocated and nothing can fail. */
#include "algo/groups.h"

#include <string.h>

void mpr_groups_by_type(const mpr_graph *g, mpr_group_total *out) {
    if (g->type_count == 0) return;
    memset(out, 0, g->type_count * sizeof *out);
    for (uint32_t node = 0; node < g->nodes; node++) {
        if (!mpr_graph_is_object(g, node)) continue;
        mpr_group_total *total = &out[g->type[node]];
        total->count++;
        total->bytes += mpr_graph_size(g, node);
    }
}
