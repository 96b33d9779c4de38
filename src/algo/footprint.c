/* SPDX-License-Identifier: MIT
 * One pass over the nodes. */
#include "algo/footprint.h"

#include <string.h>

#include "base/status.h"

#define POOLS_MOST 512u    /* bytes of a block of pymalloc */
#define HEADERS 32u        /* bytes before a body, at most: the collector's, and pointers to attributes and weak references */
#define CHUNK_LEAST 32u    /* bytes; as glibc rounds: 8 bytes more, to a multiple of 16 */

static uint64_t rounded(uint64_t size, uint64_t unit) { return (size + unit - 1) / unit * unit; }

/* Types whose instances are one block, however large. */
static bool is_one_block(const mpr_graph *g, const mpr_type *type) {
    static const char *const names[] = {"str", "bytes", "int", "tuple", "code"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (mpr_graph_is_called(g, type, names[i])) {
            return true;
        }
    }
    return type->itemsize > 0 && !(type->flags & MPR_TYPE_HEAP);
}

/* A block of mimalloc's: pairs of words up to 64 bytes, then four sizes between one power of two and the next. */
static uint64_t rounded_in_heap(uint64_t size) {
    if (size <= 64) {
        return size <= 8 ? 8 : rounded(size, 16);
    }
    unsigned highest = 63 - (unsigned)__builtin_clzll(size - 1);
    return rounded(size, UINT64_C(1) << (highest - 2));
}

static void add_block(mpr_footprint *out, uint64_t size, mpr_footprint_allocator allocator) {
    if (size == 0) {
        return;
    }
    if (allocator == MPR_FOOTPRINT_HEAPS) {
        out->pools += rounded_in_heap(size);
    } else if (allocator == MPR_FOOTPRINT_POOLS && size <= POOLS_MOST) {
        out->pools += rounded(size, 16);
    } else {
        uint64_t chunk = rounded(size + 8, 16);
        out->malloc += chunk < CHUNK_LEAST ? CHUNK_LEAST : chunk;
    }
}

static mpr_footprint_owner owner_of(const mpr_graph *g, const mpr_ranks *ranks, uint32_t node) {
    if (g->flags[node] & MPR_NODE_STATIC) {
        return MPR_FOOTPRINT_IMAGE;
    }
    if (g->flags[node] & MPR_NODE_OWN) {
        return MPR_FOOTPRINT_SELF;
    }
    uint16_t rank = ranks->value[node];
    return rank == ranks->unreachable    ? MPR_FOOTPRINT_UNREACHABLE
           : rank == ranks->c_references ? MPR_FOOTPRINT_C
                                         : MPR_FOOTPRINT_PROGRAM;
}

/* body[t]: bytes of the first block of an instance of type t, at most; UINT64_MAX for one that is a single block. */
static uint64_t *find_bodies(const mpr_graph *g) {
    uint64_t *body = mpr_alloc_array(g->alloc, g->type_count, sizeof *body);
    for (size_t i = 0; body != NULL && i < g->type_count; i++) {
        body[i] = is_one_block(g, &g->types[i]) ? UINT64_MAX : (uint64_t)g->types[i].basicsize + HEADERS;
    }
    return body;
}

int mpr_footprint_find(const mpr_graph *g, const mpr_ranks *ranks, mpr_footprint_allocator allocator,
                       mpr_footprint out[MPR_FOOTPRINT_OWNERS]) {
    uint64_t *body = find_bodies(g);
    if (body == NULL) {
        return MPR_ENOMEM;
    }
    memset(out, 0, MPR_FOOTPRINT_OWNERS * sizeof *out);
    for (uint32_t node = 0; node < g->nodes; node++) {
        if (g->flags[node] & (MPR_NODE_SYNTHETIC | MPR_NODE_NATIVE)) {
            continue;
        }
        mpr_footprint_owner owner = owner_of(g, ranks, node);
        uint64_t size = mpr_graph_size(g, node), first = body[g->type[node]] < size ? body[g->type[node]] : size;
        out[owner].objects++;
        out[owner].bytes += size;
        if (owner == MPR_FOOTPRINT_IMAGE) {
            continue;
        }
        if (size <= POOLS_MOST) {
            first = size; /* small as it is, it makes no difference how it divides */
        }
        add_block(&out[owner], first, allocator);
        if (!(g->types[g->type[node]].flags & MPR_TYPE_OWN_POOL)) { /* else the account has it with the library's pool */
            add_block(&out[owner], size - first, allocator);
        }
    }
    mpr_alloc_free(g->alloc, body, g->type_count, sizeof *body);
    return MPR_OK;
}
