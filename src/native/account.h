/* SPDX-License-Identifier: MIT
 * The account of a process's memory: each resident byte once, by who has it.
 *
 * The kernel says what each mapping has in memory (smaps). Mappings of files are images (program and libraries, with the zeroed data behind
 * them), other files, or shared memory: what of them is in memory is asked first, for a forked child has no pages of files. Anonymous memory is looked into:
 * arenas of pymalloc by their pools, glibc's regions by their chunks, stacks of threads by the control block at their end. What is left is not explained.
 *
 * It reads memory that stands still (`still`: a forked child) or that other threads use meanwhile; then chunks cannot be followed, and mallinfo2()
 * says how much of malloc's memory is in use. Cost: reading smaps once, about a millisecond for 80 MiB, anonymous memory once more in a third of that time,
 * or before Linux 6.7 in the same, and one look at each pool and chunk. */
#ifndef MPR_NATIVE_ACCOUNT_H
#define MPR_NATIVE_ACCOUNT_H

#include <stdbool.h>

#include "base/alloc.h"
#include "base/os/held.h"
#include "graph/sink.h"
#include "native/chunks.h"
#include "native/mapped.h"
#include "native/pools.h"
#include "native/slots.h"

/* Bytes, but where it is said otherwise. What is not known is MPR_ACCOUNT_UNKNOWN. */
typedef enum mpr_account_item {
    MPR_ACCOUNT_RESIDENT,       /* of the process: the sum of all mappings */
    MPR_ACCOUNT_PROPORTIONAL,   /* PSS: shared pages by their share */
    MPR_ACCOUNT_SWAPPED,
    MPR_ACCOUNT_PRIVATE,
    MPR_ACCOUNT_SHARED,         /* with other processes */
    MPR_ACCOUNT_ANONYMOUS,      /* of no file: what a fork shares until one of the two writes to it */
    MPR_ACCOUNT_HUGETLB,        /* in none of the others */
    MPR_ACCOUNT_MAPPINGS,       /* how many */
    MPR_ACCOUNT_IMAGES,         /* resident, and so are the next six */
    MPR_ACCOUNT_STACKS,
    MPR_ACCOUNT_FILES,
    MPR_ACCOUNT_SHARED_MEMORY,
    MPR_ACCOUNT_POOLS,          /* pymalloc's arenas */
    MPR_ACCOUNT_MALLOC,         /* glibc's regions */
    MPR_ACCOUNT_MIMALLOC,       /* arenas of mimalloc, which libraries bring (pyarrow) */
    MPR_ACCOUNT_JEMALLOC,       /* extents of jemalloc, likewise (polars) */
    MPR_ACCOUNT_POOLS_USED,     /* in blocks in use */
    MPR_ACCOUNT_POOLS_ARENAS,   /* how many arenas */
    MPR_ACCOUNT_MALLOC_USED,    /* resident, in chunks in use */
    MPR_ACCOUNT_MALLOC_GIVEN,   /* in chunks in use, as malloc counts them */
    MPR_ACCOUNT_MALLOC_CHUNKS,  /* how many are in use */
    MPR_ACCOUNT_MALLOC_TOP,     /* free at the end of arenas */
    MPR_ACCOUNT_MALLOC_LARGEST, /* free chunk that is at no end */
    MPR_ACCOUNT_MALLOC_RETURNABLE, /* resident: what malloc_trim(0) would give back */
    MPR_ACCOUNT_MALLOC_ARENAS,     /* how many arenas malloc has, the main one among them */
    MPR_ACCOUNT_MALLOC_OTHERS_FREE, /* resident, free in arenas that are not the main one */
    MPR_ACCOUNT_MALLOC_UNREAD,  /* resident, in regions whose chunks could not be followed */
    MPR_ACCOUNT_OTHER,          /* resident, of a malloc that took glibc's place, by its own count */
    MPR_ACCOUNT_OTHER_USED,     /* in use, likewise */
    MPR_ACCOUNT_SELF,           /* memprobe's own graphs and tables */
    MPR_ACCOUNT_CGROUP_USED,    /* of the control group with the least limit: whoever takes the account sets it, and the limit */
    MPR_ACCOUNT_CGROUP_LIMIT,
    MPR_ACCOUNT_COUNT
} mpr_account_item;

#define MPR_ACCOUNT_UNKNOWN UINT64_MAX

typedef struct mpr_account {
    uint64_t value[MPR_ACCOUNT_COUNT];
    uint64_t resident; /* of all mappings, as begin found it; the rest is of files, for finish */
    mpr_mapped files;
    uint64_t files_swapped;
} mpr_account;

/* What is found beside the numbers, for who wants it: give it an allocator, and free it. */
typedef struct mpr_account_more {
    mpr_alloc *alloc;
    mpr_chunks_regions
        regions; /* malloc's memory whose chunks could be followed, and what of it is thinly filled, where the process stands still */
    MPR_VEC(mpr_pools_arena) arenas; /* pymalloc's, by address */
    mpr_slots slots; /* of jemalloc and mimalloc, where the process stands still */
} mpr_account_more;

void mpr_account_more_free(mpr_account_more *more);

/* "resident" ..., as in mpr_account_item. Static. */
const char *mpr_account_name(mpr_account_item item);

/* Before a fork, which makes all memory shared: PSS, private, shared and anonymous bytes, what files have in memory, what malloc says of itself (unless a child will
 * look at it), and what memprobe has mapped. Needs no lock of the interpreter. `smaps`: opened by mpr_maps_open, with MPR_MAPS_SIZES. */
void mpr_account_begin(mpr_account *out, bool still, const mpr_held *smaps);

/* The rest, of this process, or of a child what it was forked with. `pages`: its pagemap, opened by mpr_maps_open, or none, as before Linux 6.7: what was only
 * read is taken for malloc's then, and left out. `more` may be NULL. MPR_OK; MPR_ENOMEM; MPR_EIO when there were no smaps to read; MPR_EUNSUPPORTED where the kernel
 * does not say which pages are in memory. Unless it is MPR_OK nothing but what begin found is known. */
int mpr_account_finish(mpr_account *account, mpr_alloc *alloc, const mpr_held *pages, bool still, mpr_account_more *more);

/* Memory of malloc's, in use, that a child gave back before it took the account; together it is no more than was resident at first. */
void mpr_account_add_discarded(mpr_account *account, uint64_t bytes);

/* Tell what is known as facts, "mem_" and the name (docs/FORMAT.md, "Facts"); `more` may be NULL. */
int mpr_account_tell(const mpr_account *account, const mpr_account_more *more, mpr_sink *sink);

#endif
