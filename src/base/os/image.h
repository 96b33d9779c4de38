/* SPDX-License-Identifier: MIT
 * Which addresses belong to the images of the program and its shared libraries: what lies there was never allocated. */
#ifndef MPR_BASE_OS_IMAGE_H
#define MPR_BASE_OS_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"

typedef struct mpr_image_range {
    uint64_t begin, end;
} mpr_image_range;

typedef struct mpr_image {
    MPR_VEC(mpr_image_range) ranges; /* sorted, disjoint */
    uint64_t clear_page;             /* the last 1 MiB page that was found to touch no range, + 1 */
} mpr_image;

/* Read the loaded images. Takes the loader's lock: not for a forked child. MPR_OK or MPR_ENOMEM. */
int mpr_image_read(mpr_image *image, mpr_alloc *alloc);
void mpr_image_free(mpr_image *image, mpr_alloc *alloc);

/* The slow half of mpr_image_has. */
bool mpr_image_search(mpr_image *image, uint64_t address);

static inline bool mpr_image_has(mpr_image *image, uint64_t address) {
    return (address >> 20) + 1 != image->clear_page && mpr_image_search(image, address);
}

#endif
