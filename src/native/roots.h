/* SPDX-License-Identifier: MIT
 * Memory that may refer to blocks from outside of them: the data of the program and its libraries, and private memory that no
 * known allocator manages: stacks of threads with their thread-local storage, other allocators' arenas. What was never written
 * to refers to nothing, and is none. */
#ifndef MPR_NATIVE_ROOTS_H
#define MPR_NATIVE_ROOTS_H

#include "base/os/held.h"
#include "base/vec.h"

typedef struct mpr_root {
    uint64_t begin, end; /* pages */
    uint64_t base;       /* of an image: where its first page is mapped; else 0 */
    size_t path;         /* of an image's file, in `paths`; ends with a zero */
} mpr_root;

typedef struct mpr_span {
    uint64_t begin, end;
} mpr_span;

typedef struct mpr_roots {
    mpr_alloc *alloc;
    MPR_VEC(mpr_root) root;   /* by address: an image's follow each other */
    MPR_VEC(mpr_span) hole;   /* what is no root: to be added before mpr_roots_find */
    MPR_VEC(mpr_root) image;  /* all that is mapped of each file that has code, whether written to or not: by address */
    MPR_VEC(char) paths;
} mpr_roots;

/* {.alloc = ...}: none yet. MPR_OK or MPR_ENOMEM. */
int mpr_roots_add_hole(mpr_roots *roots, uint64_t begin, uint64_t end);

/* Find them, of this process, which stands still. `pages`: its pagemap (base/os/maps.h). MPR_OK, MPR_ENOMEM, MPR_EIO. */
int mpr_roots_find(mpr_roots *roots, const mpr_held *pages);

/* The image that has an address mapped, or NULL. */
const mpr_root *mpr_roots_image(const mpr_roots *roots, uint64_t address);

/* The name of an image's file, without its folder. */
const char *mpr_roots_name(const mpr_roots *roots, const mpr_root *image);

void mpr_roots_free(mpr_roots *roots);

#endif
