/* SPDX-License-Identifier: MIT
 * Fuzz target: any bytes are read as a snapshot, frozen, checked, asked every question, and told again. What must hold: no crash, no leak,
 * bounded memory, a graph that comes out is sound, and what it tells is what it was told.
 *
 * Two inputs in one: the bytes as they are, and, because a mutation seldom survives a checksum, the same bytes with all sums made right. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "algo/diff.h"
#include "algo/groups.h"
#include "algo/growth.h"
#include "algo/names.h"
#include "algo/paths.h"
#include "algo/reach.h"
#include "algo/retained.h"
#include "algo/scc.h"
#include "algo/suspects.h"
#include "algo/waste.h"
#include "base/status.h"
#include "format/reader.h"
#include "format/shapes.h"
#include "format/writer.h"
#include "graph/builder.h"
#include "graph/graph.h"
#include "graph/resolve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- memory: malloc, so that the sanitizer sees every block, up to a limit ---- */

#define MEMORY_MAX ((size_t)256 << 20)

static void *resize(mpr_alloc *self, void *old, size_t old_size, size_t size) {
    if (size > old_size && self->used - old_size + size > MEMORY_MAX) return NULL;
    uint8_t *block = size ? calloc(1, size) : NULL;
    if (size && !block) return NULL;
    if (block && old) memcpy(block, old, old_size < size ? old_size : size);
    free(old);
    self->used += size - old_size;
    return block;
}

/* ---- sums ---- */

static uint32_t get_u32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void set_u32(uint8_t *at, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8 * i);
}

static void reseal(uint8_t *file, size_t size) {
    if (size < DISK_HEADER) return;
    memcpy(file, DISK_MAGIC, 8);
    set_u32(file + 8, DISK_VERSION);
    set_u32(file + DISK_HEADER - 4, mpr_bytes_crc(0, file, DISK_HEADER - 4));
    for (size_t at = DISK_HEADER; size - at >= DISK_FRAME;) {
        uint32_t length = get_u32(file + at + 4);
        if (length > size - at - DISK_FRAME) set_u32(file + at + 4, length = (uint32_t)(size - at - DISK_FRAME));
        set_u32(file + at + 8, mpr_bytes_crc(0, file + at + DISK_FRAME, length));
        set_u32(file + at + 12, mpr_bytes_crc(0, file + at, DISK_FRAME - 4));
        at += DISK_FRAME + length;
    }
}

/* ---- what is done with a graph ---- */

#define require(condition) require_at((condition), #condition, __LINE__)

static void require_at(int holds, const char *condition, int line) {
    if (holds) return;
    fprintf(stderr, "fuzz_reader.c:%d: what must hold does not: %s\n", line, condition);
    abort();
}

static void find_cycles(mpr_graph *g, bool housekeeping, bool opaque) {
    mpr_scc scc = {0};
    mpr_cycles cycles = {0};
    mpr_cycle_row *rows = NULL;
    uint32_t count = 0;
    mpr_scc_options options = {.housekeeping = housekeeping, .opaque = opaque};
    if (mpr_scc_find(g, &options, &scc) == MPR_OK) mpr_scc_cycles(g, &scc, &options, 0, scc.count, 10000, &cycles);
    if (scc.alloc && mpr_scc_rows(g, &scc, &options, false, &rows, &count) == MPR_OK) require(count <= scc.count);
    mpr_alloc_free(g->alloc, rows, scc.count, sizeof *rows);
    mpr_cycles_free(&cycles);
    mpr_scc_free(&scc);
}

static void find_names(mpr_graph *g) {
    mpr_name_tree names = {0};
    mpr_name name = {0};
    if (mpr_name_tree_begin(g, false, &names) != MPR_OK) return;
    for (uint32_t node = 0; node < g->nodes; node += 1 + g->nodes / 16) {
        mpr_paths paths = {0};
        if (mpr_paths_find(g, &names, node, 3, NULL, NULL, &paths) == MPR_OK)
            for (size_t i = 0; i < paths.count; i++) {
                size_t first = paths.first.items[i];
                mpr_names_join(g, paths.step.items + first, paths.first.items[i + 1] - first, NULL, &name);
            }
        mpr_paths_free(&paths);
    }
    mpr_vec_free(&name.text, g->alloc);
    mpr_name_tree_free(&names);
}

static void find_suspects(const mpr_graph *g, const mpr_dominators *d) {
    mpr_tree tree = {0};
    mpr_name_tree names = {0};
    mpr_suspects suspects = {0};
    mpr_suspects_options options = {.permille = 1};
    uint64_t *by_type = mpr_alloc_array(g->alloc, g->type_count, sizeof *by_type);
    mpr_group_total *below = mpr_alloc_array(g->alloc, g->type_count, sizeof *below);
    if (mpr_tree_make(d, &tree) == MPR_OK && by_type && below) {
        mpr_retained_by_type(g, d, &tree, NULL, NULL, by_type);
        mpr_suspects_below(g, &tree, &g->group[MPR_GROUP_ROOT], 1, below);
        if (mpr_name_tree_begin(g, false, &names) == MPR_OK) mpr_suspects_find(g, d, &tree, &names, &options, &suspects);
        for (size_t i = 0; i < suspects.found.count; i++) require(suspects.found.items[i].node < g->nodes);
    }
    mpr_name_tree_free(&names);
    mpr_suspects_free(&suspects);
    mpr_alloc_free(g->alloc, below, g->type_count, sizeof *below);
    mpr_alloc_free(g->alloc, by_type, g->type_count, sizeof *by_type);
    mpr_tree_free(&tree);
}

/* A heap beside itself has not grown. */
static void find_growth(const mpr_graph *g, const mpr_dominators *d) {
    const mpr_graph *graphs[] = {g, g, g};
    const mpr_dominators *dominators[] = {d, d, d};
    for (uint32_t count = 2; count <= 3; count++) {
        mpr_diff diff = {0};
        if (mpr_diff_make(graphs, dominators, count, NULL, NULL, &diff) == MPR_OK) require(diff.growth.count == 0);
        mpr_diff_free(&diff);
    }
    mpr_ranks ranks = {0};
    mpr_growth growth = {0};
    mpr_name_tree tree = {0};
    if (mpr_ranks_find(g, &ranks) == MPR_OK && mpr_name_tree_begin(g, false, &tree) == MPR_OK) {
        mpr_growth_heap heap = {.graph = g, .ranks = &ranks, .dominators = d, .names = &tree, .native = true};
        mpr_growth_heap heaps[] = {heap, heap, heap};
        if (mpr_growth_find(heaps, 3, NULL, NULL, &growth) == MPR_OK) require(growth.rows.count == 0 && growth.unattributed == 0);
        mpr_growth_free(&growth);
    }
    mpr_name_tree_free(&tree);
    mpr_ranks_free(&ranks);
}

static void find_waste(const mpr_graph *g) {
    mpr_waste waste = {0};
    if (mpr_waste_find(g, NULL, &waste) != MPR_OK) return;
    for (size_t i = 0; i < waste.rows.count; i++) require(waste.rows.items[i].node < g->nodes && waste.rows.items[i].bytes > 0);
    mpr_waste_free(&waste);
}

static void analyse(mpr_graph *g) {
    mpr_dominators dominators = {0};
    if (mpr_dominators_find(g, NULL, NULL, NULL, &dominators) == MPR_OK) {
        require(dominators.retained[g->group[MPR_GROUP_ROOT]] <= g->totals.bytes);
        find_suspects(g, &dominators);
        find_growth(g, &dominators);
    }
    find_cycles(g, false, false);
    find_cycles(g, true, false);
    find_cycles(g, false, true);
    find_names(g);
    find_waste(g);
    mpr_dominators_free(&dominators);
}

/* What the graph tells makes the same graph. */
static void tell_again(const mpr_graph *g) {
    mpr_builder *builder = NULL;
    mpr_graph *again = NULL;
    if (mpr_builder_new(&builder, g->alloc) != MPR_OK) return;
    int status = mpr_graph_tell(g, mpr_builder_sink(builder));
    require(status == MPR_OK || status == MPR_ENOMEM || status == MPR_ELIMIT);
    if (status == MPR_OK && mpr_builder_freeze(builder, &again) == MPR_OK)
        require(again->nodes == g->nodes && again->edges == g->edges && again->hashed_count == g->hashed_count);
    mpr_graph_free(again);
    mpr_builder_free(builder);
}

static void use_graph(mpr_graph *g) {
    char text[64];
    mpr_group_total *totals = mpr_alloc_array(g->alloc, g->type_count, sizeof *totals);
    uint8_t *reached = mpr_alloc_array(g->alloc, g->nodes, 1);
    require(mpr_graph_check(g) == NULL);
    if (totals) mpr_groups_by_type(g, totals);
    if (reached) mpr_reach(g, &g->group[MPR_GROUP_ROOT], 1, false, reached, NULL, NULL);
    for (uint32_t i = 0; i < g->nodes; i++)
        for (uint64_t k = mpr_graph_first(g, i); k < mpr_graph_first(g, i + 1); k++) {
            mpr_resolved r;
            mpr_graph_resolve(g, i, k, &r);
            require(mpr_resolved_text(&r, text, sizeof text) < sizeof text);
        }
    analyse(g);
    tell_again(g);
    mpr_alloc_free(g->alloc, totals, g->type_count, sizeof *totals);
    mpr_alloc_free(g->alloc, reached, g->nodes, 1);
}

static void read_once(const uint8_t *data, size_t size) {
    mpr_alloc alloc = {.resize = resize};
    mpr_read_report report;
    mpr_builder *builder = NULL;
    mpr_graph *graph = NULL;
    if (mpr_builder_new(&builder, &alloc) != MPR_OK) return;
    int status = mpr_read(data, size, mpr_builder_sink(builder), &alloc, NULL, NULL, &report);
    require((status == MPR_OK && !report.cut) == (report.message == NULL));
    if (status == MPR_OK && mpr_builder_freeze(builder, &graph) == MPR_OK) {
        use_graph(graph);
        mpr_graph_free(graph);
    }
    mpr_builder_free(builder);
    require(alloc.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    read_once(data, size);
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    reseal(copy, size);
    read_once(copy, size);
    free(copy);
    return 0;
}
