/* SPDX-License-Identifier: MIT
 * See cpython/hooks.h. */
#include "cpython/hooks.h"

#include "base/os/maps.h"

#define FORBIDDEN 0xFDu

MPR_MAPS_ANY_MEMORY void cpy_hooks_find(size_t *before, size_t *all) {
    PyObject *modules = PyImport_GetModuleDict();
    const unsigned char *block = (const unsigned char *)modules - cpy_layout_preheader(Py_TYPE(modules), true);
    bool hooked = block[-8] == 'o';
    for (int i = 1; i < 8; i++) {
        hooked = hooked && block[-i] == FORBIDDEN;
    }
    *before = hooked ? CPY_HOOKS_BEFORE : 0;
    *all = hooked ? CPY_HOOKS_BYTES : 0;
}

bool cpy_hooks_has_marks(const mpr_block *block, char domain) {
    const unsigned char *mark = (const unsigned char *)block->words + CPY_HOOKS_BEFORE - 8;
    bool marked = block->size > 2 * CPY_HOOKS_BYTES && mark[0] == (unsigned char)domain;
    for (int i = 1; i < 8; i++) {
        marked = marked && mark[i] == FORBIDDEN;
    }
    return marked;
}
