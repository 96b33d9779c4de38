/* SPDX-License-Identifier: MIT
 * Mappings of files, one after the other. */
#include "native/mapped.h"

#include <string.h>

bool mpr_mapped_is_file(const mpr_mapping *m) { return m->inode != 0 || m->shared; }

/* Memory that only looks like a file. */
static bool is_memory(const mpr_mapping *m) {
    static const char *const prefixes[] = {"/dev/shm/", "/memfd:", "/SYSV", "/dev/zero", "/anon_hugepage"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        if (strncmp(m->name, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return m->shared && m->name[0] != '/';
}

void mpr_mapped_finish(mpr_mapped *all) {
    all->total[all->memory                       ? MPR_MAPPED_MEMORY
               : all->executable && !all->shared ? MPR_MAPPED_IMAGE
                                                 : MPR_MAPPED_FILE] += all->resident;
    all->resident = 0;
}

void mpr_mapped_take(mpr_mapped *all, const mpr_mapping *m) {
    bool memory = is_memory(m);
    if (all->inode != m->inode || all->memory != memory || all->shared != m->shared) {
        mpr_mapped_finish(all);
        all->inode = m->inode;
        all->begin = m->begin;
        all->shared = m->shared;
        all->memory = memory;
        all->executable = false;
    }
    all->executable |= m->execute;
    all->resident += m->resident;
    all->end = m->end;
}

bool mpr_mapped_continues_image(const mpr_mapped *all, const mpr_mapping *m) {
    return m->begin == all->end && all->executable && !all->shared && m->name[0] == '\0';
}
