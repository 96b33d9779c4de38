/* SPDX-License-Identifier: MIT
 * The table of hashes. */
#include "base/map.h"

#include "base/status.h"

static size_t place_of(const mpr_map *map, uint64_t key) {
    size_t at = (size_t)key & (map->room - 1);
    while (map->key[at] != 0 && map->key[at] != key) {
        at = (at + 1) & (map->room - 1);
    }
    return at;
}

static int grow(mpr_map *map) {
    mpr_map wider = {.alloc = map->alloc, .room = map->room == 0 ? 64 : 2 * map->room, .count = map->count};
    wider.key = mpr_alloc_array(map->alloc, wider.room, sizeof *wider.key);
    wider.value = mpr_alloc_array(map->alloc, wider.room, sizeof *wider.value);
    if (wider.key == NULL || wider.value == NULL) {
        mpr_map_free(&wider);
        return MPR_ENOMEM;
    }
    for (size_t i = 0; i < map->room; i++) {
        if (map->key[i] != 0) {
            size_t at = place_of(&wider, map->key[i]);
            wider.key[at] = map->key[i];
            wider.value[at] = map->value[i];
        }
    }
    mpr_map_free(map);
    *map = wider;
    return MPR_OK;
}

void mpr_map_free(mpr_map *map) {
    mpr_alloc_free(map->alloc, map->key, map->room, sizeof *map->key);
    mpr_alloc_free(map->alloc, map->value, map->room, sizeof *map->value);
    *map = (mpr_map){.alloc = map->alloc};
}

uint32_t *mpr_map_find(const mpr_map *map, uint64_t key) {
    if (map->room == 0) {
        return NULL;
    }
    size_t at = place_of(map, key);
    return map->key[at] == key ? &map->value[at] : NULL;
}

uint32_t *mpr_map_add(mpr_map *map, uint64_t key, int *made) {
    if (2 * (map->count + 1) > map->room && grow(map) != MPR_OK) {
        return NULL;
    }
    size_t at = place_of(map, key);
    *made = map->key[at] == 0;
    map->count += (size_t)*made;
    map->key[at] = key;
    return &map->value[at];
}
