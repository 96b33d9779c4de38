/* SPDX-License-Identifier: MIT
 * A table from 64-bit hashes to 32-bit values: open addressing, linear probing, at most half full. Keys are hashes already: their low bits
 * choose the place. 0 is no key. */
#ifndef MPR_BASE_MAP_H
#define MPR_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"

typedef struct mpr_map {
    mpr_alloc *alloc;
    uint64_t *key; /* 0: free */
    uint32_t *value;
    size_t room, count; /* room is 0 or a power of two */
} mpr_map;

/* A zeroed map with its allocator is empty. */
void mpr_map_free(mpr_map *map);

/* The place of a key's value, or NULL. */
uint32_t *mpr_map_find(const mpr_map *map, uint64_t key);

/* The place of a key's value; *made says whether it is new, and then what it holds is not defined. NULL: no memory. The place is good until the
 * next call. */
uint32_t *mpr_map_add(mpr_map *map, uint64_t key, int *made);

/* A hash of two, in their order: splitmix64's finish. Pairs of small numbers, as indices are, have different ones. Never 0. */
static inline uint64_t mpr_map_mix(uint64_t a, uint64_t b) {
    uint64_t x = a * UINT64_C(0x9E3779B97F4A7C15) + b;
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    x ^= x >> 31;
    return x ? x : 1;
}

#endif
