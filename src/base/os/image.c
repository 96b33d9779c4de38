/* SPDX-License-Identifier: MIT
 * Loaded images, from the dynamic loader. */
#define _GNU_SOURCE
#include "base/os/image.h"

#include <link.h>
#include <stdlib.h>

#define PAGE_SHIFT 20

typedef struct collection {
    mpr_image *image;
    mpr_alloc *alloc;
    int status;
} collection;

static int collect(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    collection *c = context;
    for (int i = 0; i < info->dlpi_phnum && c->status == MPR_OK; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_LOAD && (header->p_flags & PF_W)) {
            uint64_t begin = info->dlpi_addr + header->p_vaddr;
            mpr_image_range range = {.begin = begin, .end = begin + header->p_memsz};
            c->status = mpr_vec_push(&c->image->ranges, c->alloc, range);
        }
    }
    return c->status;
}

static void sort_ranges(mpr_image *image) {
    for (size_t i = 1; i < image->ranges.count; i++) { /* insertion sort: a hundred, almost in order */
        mpr_image_range range = image->ranges.items[i];
        size_t k = i;
        for (; k > 0 && image->ranges.items[k - 1].begin > range.begin; k--) {
            image->ranges.items[k] = image->ranges.items[k - 1];
        }
        image->ranges.items[k] = range;
    }
}

int mpr_image_read(mpr_image *image, mpr_alloc *alloc) {
    collection c = {.image = image, .alloc = alloc, .status = MPR_OK};
    image->clear_page = 0;
    dl_iterate_phdr(collect, &c);
    sort_ranges(image);
    return c.status;
}

void mpr_image_free(mpr_image *image, mpr_alloc *alloc) { mpr_vec_free(&image->ranges, alloc); }

/* The first range that ends after an address, or the count. */
static size_t first_after(const mpr_image *image, uint64_t address) {
    size_t low = 0, high = image->ranges.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (image->ranges.items[middle].end <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool mpr_image_search(mpr_image *image, uint64_t address) {
    uint64_t page = (address >> PAGE_SHIFT) + 1;
    size_t i = first_after(image, (page - 1) << PAGE_SHIFT);
    if (i == image->ranges.count || image->ranges.items[i].begin >= page << PAGE_SHIFT) {
        image->clear_page = page;
        return false;
    }
    i = first_after(image, address);
    return i < image->ranges.count && image->ranges.items[i].begin <= address;
}
