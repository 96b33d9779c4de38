/* SPDX-License-Identifier: MIT
 * What the mappings of files are: images (program and libraries), other files, shared memory. Mappings of one file that follow each other
 * belong together: an image has one that can be executed. */
#ifndef MPR_NATIVE_MAPPED_H
#define MPR_NATIVE_MAPPED_H

#include "base/os/maps.h"

typedef enum mpr_mapped_kind { MPR_MAPPED_IMAGE, MPR_MAPPED_FILE, MPR_MAPPED_MEMORY, MPR_MAPPED_KINDS } mpr_mapped_kind;

/* The mappings that were taken, in the order of addresses. A zeroed one has none. */
typedef struct mpr_mapped {
    uint64_t inode, begin, end; /* of the last file */
    bool executable, shared, memory;
    uint64_t resident;                   /* of it */
    uint64_t total[MPR_MAPPED_KINDS];    /* resident, of those before it */
} mpr_mapped;

bool mpr_mapped_is_file(const mpr_mapping *mapping);

void mpr_mapped_take(mpr_mapped *all, const mpr_mapping *mapping);

/* After the last one, or what is no file's. */
void mpr_mapped_finish(mpr_mapped *all);

/* Does a private mapping without a name continue an image, as its zeroed data do? */
bool mpr_mapped_continues_image(const mpr_mapped *all, const mpr_mapping *mapping);

#endif
