/* SPDX-License-Identifier: MIT
 * Cycles: the strongly connected components of the graph over strong edges, and a shortest cycle in each.
 *
 * Only components that hold a cycle are kept: two nodes or more, or one that refers to itself. Cost: O(nodes + edges); 8 bytes a node
 * and 16 bytes a level of the deepest path, while it runs. */
#ifndef MPR_ALGO_SCC_H
#define MPR_ALGO_SCC_H

#include "base/progress.h"
#include "base/vec.h"
#include "graph/graph.h"

typedef struct mpr_scc_options {
    bool housekeeping;     /* follow housekeeping edges, and the reference from each instance of a heap type to its class */
    bool opaque;           /* cycles that the collector cannot see, see below, and no others */
    const uint8_t *skip;   /* NULL, or one byte a node: != 0 is left out */
    mpr_progress progress; /* NULL, or called in nodes */
    void *context;
} mpr_scc_options;

/* An opaque reference is one of C code that no tp_traverse tells of: a word of a native block, or of an object that the collector does not
 * follow, is the address of an object, of which C code holds a reference that nothing else explains. With `opaque` these are followed, and
 * native blocks are nodes like others. The cycles are those that such a reference closes. */
static inline bool mpr_scc_is_opaque(const mpr_graph *g, uint64_t edge) {
    uint32_t target = g->target[edge];
    return mpr_label_found(g->label[edge]) && mpr_graph_is_object(g, target) && mpr_graph_residual(g, target) > 0;
}

/* An opaque reference within a component. */
typedef struct mpr_scc_closing {
    uint32_t component, target;
} mpr_scc_closing;

/* The members of component c are member[k] for first[c] <= k < first[c + 1], in ascending order. A component comes before those that refer
 * to it. */
typedef struct mpr_scc {
    mpr_alloc *alloc;
    uint32_t nodes, count;
    uint32_t *first;     /* count + 1 */
    uint32_t *member;    /* first[count] */
    uint32_t *component; /* of each node, or MPR_NO_NODE; NULL after mpr_scc_trim */
    uint32_t *place;     /* of each member in `member`; 0 for other nodes; likewise */
    MPR_VEC(mpr_scc_closing) closing; /* with `opaque`: by component and target */
} mpr_scc;

/* memprobe's own objects and synthetic nodes are excluded, and native blocks but for `opaque`. options may be NULL. MPR_OK, MPR_ENOMEM,
 * MPR_ECANCELLED. */
int mpr_scc_find(const mpr_graph *g, const mpr_scc_options *options, mpr_scc *out);
void mpr_scc_free(mpr_scc *scc); /* a zeroed one is allowed */

/* Give back what is of the size of the graph. Searches in a component go on, a little slower. */
void mpr_scc_trim(mpr_scc *scc);

/* A shortest cycle of each of the components from .. from + count - 1. That of component from + c is step[k] for first[c] <= k < first[c + 1]:
 * each node refers by its edge to the node of the next step, the last to the first. MPR_NO_EDGE is the reference to the class. */
typedef struct mpr_cycle_step {
    uint64_t edge;
    uint32_t node;
    bool stopped; /* the search ended at its budget: a shorter cycle may be there. Alike in all steps of a cycle */
} mpr_cycle_step;

typedef struct mpr_cycles {
    mpr_alloc *alloc;
    uint32_t count;
    size_t *first; /* count + 1 */
    mpr_cycle_step *step;
} mpr_cycles;

/* With the options of mpr_scc_find. A search goes on for at most `budget` edges once it has a cycle (0: no limit). MPR_OK, MPR_ENOMEM,
 * MPR_ECANCELLED. */
int mpr_scc_cycles(const mpr_graph *g, const mpr_scc *scc, const mpr_scc_options *options, uint32_t from, uint32_t count,
                   uint64_t budget, mpr_cycles *out);
void mpr_cycles_free(mpr_cycles *cycles); /* a zeroed one is allowed */

/* Components that look alike, as one: those whose cycles go round objects of the same types (by name) by the same labels, indices and keys of
 * data left aside, and that are all garbage or all alive. `component` is the first of them. With `opaque` a component without such a
 * reference has no row, and garbage is what nothing refers to but opaque references of its own: the collector will never free it. */
typedef struct mpr_cycle_row {
    uint64_t bytes; /* of all members of all of them */
    uint32_t component;
    uint32_t count; /* components */
    bool garbage;
} mpr_cycle_row;

/* The rows of all components (with `garbage`: of those alone that are), most bytes first; before mpr_scc_trim. The block belongs to
 * g->alloc: free it as an array of scc->count. For a component of n nodes the search of a short cycle ends about 8 n edges after it has one, so that all take
 * O(nodes + edges). MPR_OK, MPR_ENOMEM, MPR_ECANCELLED. */
int mpr_scc_rows(const mpr_graph *g, const mpr_scc *scc, const mpr_scc_options *options, bool garbage, mpr_cycle_row **out,
                 uint32_t *count);

#endif
