/* SPDX-License-Identifier: MIT
 * The account as facts of a snapshot: numbers by name, and where memory is thinly filled as text (docs/FORMAT.md, "Facts"). */
#include <string.h>

#include "base/status.h"
#include "native/account.h"
#include "native/places.h"

#define KIB UINT64_C(1024)

static const char *const names[MPR_ACCOUNT_COUNT] = {
    [MPR_ACCOUNT_RESIDENT] = "mem_resident",
    [MPR_ACCOUNT_PROPORTIONAL] = "mem_proportional",
    [MPR_ACCOUNT_SWAPPED] = "mem_swapped",
    [MPR_ACCOUNT_PRIVATE] = "mem_private",
    [MPR_ACCOUNT_SHARED] = "mem_shared",
    [MPR_ACCOUNT_ANONYMOUS] = "mem_anonymous",
    [MPR_ACCOUNT_HUGETLB] = "mem_hugetlb",
    [MPR_ACCOUNT_MAPPINGS] = "mem_mappings",
    [MPR_ACCOUNT_IMAGES] = "mem_images",
    [MPR_ACCOUNT_STACKS] = "mem_stacks",
    [MPR_ACCOUNT_FILES] = "mem_files",
    [MPR_ACCOUNT_SHARED_MEMORY] = "mem_shared_memory",
    [MPR_ACCOUNT_POOLS] = "mem_pools",
    [MPR_ACCOUNT_MALLOC] = "mem_malloc",
    [MPR_ACCOUNT_MIMALLOC] = "mem_mimalloc",
    [MPR_ACCOUNT_JEMALLOC] = "mem_jemalloc",
    [MPR_ACCOUNT_POOLS_USED] = "mem_pools_used",
    [MPR_ACCOUNT_POOLS_ARENAS] = "mem_pools_arenas",
    [MPR_ACCOUNT_MALLOC_USED] = "mem_malloc_used",
    [MPR_ACCOUNT_MALLOC_GIVEN] = "mem_malloc_given",
    [MPR_ACCOUNT_MALLOC_CHUNKS] = "mem_malloc_chunks",
    [MPR_ACCOUNT_MALLOC_TOP] = "mem_malloc_top",
    [MPR_ACCOUNT_MALLOC_LARGEST] = "mem_malloc_largest",
    [MPR_ACCOUNT_MALLOC_RETURNABLE] = "mem_malloc_returnable",
    [MPR_ACCOUNT_MALLOC_ARENAS] = "mem_malloc_arenas",
    [MPR_ACCOUNT_MALLOC_OTHERS_FREE] = "mem_malloc_others_free",
    [MPR_ACCOUNT_MALLOC_UNREAD] = "mem_malloc_unread",
    [MPR_ACCOUNT_OTHER] = "mem_other",
    [MPR_ACCOUNT_OTHER_USED] = "mem_other_used",
    [MPR_ACCOUNT_SELF] = "mem_self",
    [MPR_ACCOUNT_CGROUP_USED] = "mem_cgroup_used",
    [MPR_ACCOUNT_CGROUP_LIMIT] = "mem_cgroup_limit",
};

const char *mpr_account_name(mpr_account_item item) { return names[item] + strlen("mem_"); }

/* ---- where memory is thinly filled ---- */

static uint64_t kib_up(uint64_t bytes) { return (bytes + KIB - 1) / KIB; }

static int emit_arenas(const mpr_account_more *more, mpr_sink *sink) {
    mpr_places places = {.text.alloc = more->alloc};
    for (size_t i = 0; i < more->arenas.count; i++) {
        uint64_t used = kib_up(more->arenas.items[i].used);
        mpr_places_add(&places, more->arenas.items[i].begin, &used, 1);
    }
    return mpr_places_emit(&places, sink, "mem_arenas");
}

static int emit_sparse(const mpr_account_more *more, mpr_sink *sink) {
    mpr_places places = {.text.alloc = more->alloc};
    for (size_t i = 0; i < more->regions.sparse.count; i++) {
        const mpr_chunks_piece *piece = &more->regions.sparse.items[i];
        mpr_places_add(&places, piece->begin, (uint64_t[]){kib_up(piece->used), piece->free / KIB}, 2);
    }
    return mpr_places_emit(&places, sink, "mem_malloc_sparse");
}

int mpr_account_tell(const mpr_account *account, const mpr_account_more *more, mpr_sink *sink) {
    int status = MPR_OK;
    for (int i = 0; i < MPR_ACCOUNT_COUNT && status == MPR_OK; i++) {
        if (account->value[i] != MPR_ACCOUNT_UNKNOWN) {
            mpr_seen_info info = {.key = names[i], .number = (int64_t)account->value[i]};
            status = sink->info(sink, &info);
        }
    }
    if (status == MPR_OK && more != NULL) {
        status = emit_arenas(more, sink);
        status = status != MPR_OK ? status : emit_sparse(more, sink);
    }
    return status;
}
