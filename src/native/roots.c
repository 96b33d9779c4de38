/* SPDX-License-Identifier: MIT
 * One pass over the mappings; of each, what is written to and in no hole. */
#include "native/roots.h"

#include <string.h>

#include "base/os/maps.h"
#include "native/elf.h"
#include "native/mapped.h"

#define PAGE UINT64_C(4096)

typedef struct finding {
    mpr_roots *out;
    const mpr_held *pages;
    size_t hole; /* the first that ends behind what was looked at */
    mpr_mapped files;
    uint64_t base, end; /* of the image that was met last; its zeroed data, which is no file's, ends at `end` */
    size_t path;
} finding;

int mpr_roots_add_hole(mpr_roots *roots, uint64_t begin, uint64_t end) {
    return begin < end ? mpr_vec_push(&roots->hole, roots->alloc, ((mpr_span){begin, end})) : MPR_OK;
}

void mpr_roots_free(mpr_roots *roots) {
    if (roots->alloc != NULL) {
        mpr_vec_free(&roots->root, roots->alloc);
        mpr_vec_free(&roots->hole, roots->alloc);
        mpr_vec_free(&roots->image, roots->alloc);
        mpr_vec_free(&roots->paths, roots->alloc);
    }
}

static bool is_before(const mpr_span *a, const mpr_span *b) { return a->begin < b->begin; }

/* ---- images ---- */

static int add_path(finding *f, const char *path) {
    mpr_roots *out = f->out;
    size_t length = strlen(path) + 1;
    if (mpr_vec_reserve(&out->paths, out->alloc, length) != MPR_OK) {
        return MPR_ENOMEM;
    }
    memcpy(out->paths.items + out->paths.count, path, length);
    f->path = out->paths.count;
    out->paths.count += length;
    return MPR_OK;
}

const char *mpr_roots_name(const mpr_roots *roots, const mpr_root *image) {
    const char *path = roots->paths.items + image->path, *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* A file's mapping: the first one of an image is where its addresses count from. */
static int take_file(finding *f, const mpr_mapping *m) {
    uint64_t inode = f->files.inode;
    mpr_mapped_take(&f->files, m);
    if (inode != m->inode || f->base != f->files.begin) {
        f->base = f->files.begin;
        f->end = m->read ? mpr_elf_end(f->base) : 0;
        if (f->end != 0 && add_path(f, m->name) != MPR_OK) {
            return MPR_ENOMEM;
        }
    }
    mpr_root mapped = {m->begin, m->end, f->base, f->path};
    return f->end == 0 ? MPR_OK : mpr_vec_push(&f->out->image, f->out->alloc, mapped);
}

/* ---- what is written to ---- */

static int add_root(finding *f, uint64_t begin, uint64_t end) {
    bool of_image = f->end != 0 && begin < f->end && begin >= f->base;
    mpr_root root = {begin, end, of_image ? f->base : 0, of_image ? f->path : 0};
    return begin < end ? mpr_vec_push(&f->out->root, f->out->alloc, root) : MPR_OK;
}

/* A run of pages without the holes in it; zeroed data of an image may go over into memory that is nobody's. */
static int take_run(void *context, uint64_t begin, uint64_t end) {
    finding *f = context;
    int status = MPR_OK;
    while (status == MPR_OK && begin < end) {
        const mpr_span *hole = f->out->hole.items + f->hole;
        bool some = f->hole < f->out->hole.count;
        if (some && hole->end <= begin) {
            f->hole++;
            continue;
        }
        uint64_t stop = some && hole->begin < end ? hole->begin : end;
        stop = begin < f->end && begin >= f->base && stop > f->end ? f->end : stop;
        status = add_root(f, begin, stop > begin ? stop : begin);
        begin = stop > begin ? stop : hole->end;
    }
    return status;
}

static int take_mapping(void *context, const mpr_mapping *m) {
    finding *f = context;
    bool kernel = m->name[0] == '[' && m->name[1] == 'v'; /* vdso, vvar, vsyscall */
    int status = MPR_OK;
    if (mpr_mapped_is_file(m)) {
        status = take_file(f, m);
    }
    return status != MPR_OK || kernel || !m->read || m->shared ? status
                                                               : mpr_maps_each_written(f->pages, m->begin, m->end, take_run, f);
}

int mpr_roots_find(mpr_roots *out, const mpr_held *pages) {
    finding f = {.out = out, .pages = pages};
    mpr_vec_sort(&out->hole, is_before);
    return mpr_maps_read(0, MPR_MAPS_PLAIN, take_mapping, &f);
}

const mpr_root *mpr_roots_image(const mpr_roots *roots, uint64_t address) {
    size_t at;
    mpr_vec_bisect(&roots->image, address, &at);
    return at < roots->image.count && roots->image.items[at].begin <= address ? &roots->image.items[at] : NULL;
}
