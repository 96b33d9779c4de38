/* SPDX-License-Identifier: MIT
 * See cpython/names.h. */
#include "cpython/names.h"

#include "base/status.h"

static uint64_t key_of_block(const void *object) { return mpr_map_mix((uint64_t)(uintptr_t)object >> 9, 0); }

static uint32_t bit_in_block(const void *object) { return UINT32_C(1) << ((uintptr_t)object >> 4 & 31); }

static int add(cpy_names *names, const void *object) {
    int made;
    uint32_t *bits = mpr_map_add(&names->blocks, key_of_block(object), &made);
    if (bits == NULL) {
        return MPR_ENOMEM;
    }
    *bits = (made ? 0 : *bits) | bit_in_block(object);
    return MPR_OK;
}

int cpy_names_add_key(cpy_names *names, PyObject *key) {
    return PyUnicode_CheckExact(key) && cpy_is_interned(key) ? add(names, key) : MPR_OK;
}

int cpy_names_note_code(cpy_names *names, const PyCodeObject *code) {
    return names->code && code != NULL ? add(names, code) : MPR_OK;
}

bool cpy_names_has(const cpy_names *names, const void *object) {
    const uint32_t *bits = mpr_map_find(&names->blocks, key_of_block(object));
    return bits != NULL && (*bits & bit_in_block(object)) != 0;
}
