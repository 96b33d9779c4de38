/* SPDX-License-Identifier: MIT
 * The account as facts of a snapshot: numbers by name, and where memory is thinly filled as text (docs/FORMAT.md, "Facts"). */
#include <string.h>

#include "base/status.h"
#include "native/account.h"

#define PAGE UINT64_C(4096)
#define KIB UINT64_C(1024)
#define ENTRY_MOST 64 /* characters: three numbers and what separates them */

static const char *const names[MPR_ACCOUNT_COUNT] = {
    [MPR_ACCOUNT_RESIDENT] = "mem_resident",
    [MPR_ACCOUNT_PROPORTIONAL] = "mem_proportional",
    [MPR_ACCOUNT_SWAPPED] = "mem_swapped",
    [MPR_ACCOUNT_PRIVATE] = "mem_private",
    [MPR_ACCOUNT_SHARED] = "mem_shared",
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

/* ---- places, as text ---- */

/* "pages:number:number pages:number ...", hexadecimal: where each place begins, in pages from the one before it, and what is known of it. */
typedef struct place_list {
    char *text;
    size_t length;
    uint64_t last;
} place_list;

static void put_hex(place_list *list, uint64_t number, char behind) {
    char digits[16];
    size_t count = 0;
    do {
        digits[count++] = "0123456789abcdef"[number & 15];
        number >>= 4;
    } while (number > 0);
    while (count > 0) {
        list->text[list->length++] = digits[--count];
    }
    list->text[list->length++] = behind;
}

static void put_place(place_list *list, uint64_t begin) {
    put_hex(list, (begin - list->last) / PAGE, ':');
    list->last = begin;
}

static void put_arenas(place_list *list, const mpr_account_more *more) {
    for (size_t i = 0; i < more->arenas.count; i++) {
        put_place(list, more->arenas.items[i].begin);
        put_hex(list, (more->arenas.items[i].used + KIB - 1) / KIB, ' ');
    }
}

static void put_sparse(place_list *list, const mpr_account_more *more) {
    for (size_t i = 0; i < more->regions.sparse.count; i++) {
        const mpr_chunks_piece *piece = &more->regions.sparse.items[i];
        put_place(list, piece->begin);
        put_hex(list, (piece->used + KIB - 1) / KIB, ':');
        put_hex(list, piece->free / KIB, ' ');
    }
}

/* Emit a list of `count` places; nothing for none. */
static int emit_places(const mpr_account_more *more, mpr_sink *sink, const char *key, size_t count,
                       void (*put)(place_list *, const mpr_account_more *)) {
    size_t room = ENTRY_MOST * count;
    place_list list = {.text = count == 0 ? NULL : mpr_alloc_array(more->alloc, room, 1)};
    if (list.text == NULL) {
        return count == 0 ? MPR_OK : MPR_ENOMEM;
    }
    put(&list, more);
    mpr_seen_info info = {.key = key, .text = list.text, .length = list.length - 1};
    int status = sink->info(sink, &info);
    mpr_alloc_free(more->alloc, list.text, room, 1);
    return status;
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
        status = emit_places(more, sink, "mem_arenas", more->arenas.count, put_arenas);
        status = status != MPR_OK ? status : emit_places(more, sink, "mem_malloc_sparse", more->regions.sparse.count, put_sparse);
    }
    return status;
}
