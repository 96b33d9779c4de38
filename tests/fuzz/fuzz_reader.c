/* SPDX-License-Identifier: MIT
 * Fuzz target: any bytes are read as a snapshot, frozen, checked, and told again. What must hold: no crash, no leak, bounded memory, and a
 * graph that comes out is sound.
 *
 * Two inputs in one: the bytes as they are, and, because a mutation seldom survives a checksum, the same bytes with all sums made right. */
#include <stdlib.h>
#include <string.h>

#include "algo/dominators.h"
#include "algo/groups.h"
#include "algo/paths.h"
#include "algo/reach.h"
#include "algo/scc.h"
#include "base/status.h"
#include "format/reader.h"
#include "format/shapes.h"
#include "format/writer.h"
#include "graph/builder.h"
#include "graph/graph.h"

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

static void require(int condition) {
    if (!condition) abort();
}

static void analyse(mpr_graph *g) {
    mpr_scc scc = {0};
    mpr_cycles cycles = {0};
    mpr_dominators dominators = {0};
    mpr_paths paths = {0};
    mpr_scc_options options = {.housekeeping = true};
    if (mpr_scc_find(g, &options, &scc) == MPR_OK) mpr_scc_cycles(g, &scc, &options, 0, scc.count, 10000, &cycles);
    if (mpr_dominators_find(g, NULL, NULL, &dominators) == MPR_OK)
        require(dominators.retained[g->group[MPR_GROUP_ROOT]] <= g->totals.bytes);
    mpr_paths_find(g, g->nodes / 2, 3, NULL, &paths);
    mpr_cycles_free(&cycles);
    mpr_scc_free(&scc);
    mpr_dominators_free(&dominators);
    mpr_paths_free(&paths);
}

static void use_graph(mpr_graph *g) {
    char text[64];
    mpr_group_total *totals = mpr_alloc_array(g->alloc, g->type_count, sizeof *totals);
    uint8_t *reached = mpr_alloc_array(g->alloc, g->nodes, 1);
    require(mpr_graph_check(g) == NULL);
    if (totals) mpr_groups_by_type(g, totals);
    if (reached) mpr_reach(g, &g->group[MPR_GROUP_ROOT], 1, NULL, reached, NULL, NULL);
    for (uint32_t i = 0; i < g->nodes; i++)
        for (uint64_t k = mpr_graph_first(g, i); k < mpr_graph_first(g, i + 1); k++)
            require(mpr_graph_describe(g, i, k, text, sizeof text) < sizeof text);
    analyse(g);
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
