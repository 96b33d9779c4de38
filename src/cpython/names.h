/* SPDX-License-Identifier: MIT
 * Which objects serve as names: interned strings that are keys of dicts or names of variables, and code objects that run or are suspended.
 * It is known when everything else has been emitted, so both kinds are deferred until then (walk.c), and then emitted with their text
 * (text.c).
 *
 * Used by the layers proofs and above. */
#ifndef CPY_NAMES_H
#define CPY_NAMES_H

#include "base/map.h"
#include "cpython/compat.h"

#define CPY_NAMES_RECENT 256

typedef struct cpy_names {
    bool strings, code; /* are those deferred now, and noted? */
    mpr_map blocks; /* a bit for each 16 bytes of 512: names are few and lie apart, and whole pages of bits would take more */
    const PyObject *recent[CPY_NAMES_RECENT]; /* by address: the key looked at last. Dicts have the same few keys, mostly */
} cpy_names;

/* The slow half of cpy_names_note. */
int cpy_names_add_key(cpy_names *names, PyObject *key);

/* Note the key of a dict, or the name of a variable: a name if it is interned. MPR_OK or MPR_ENOMEM. */
static inline int cpy_names_note(cpy_names *names, PyObject *key) {
    const PyObject **recent = &names->recent[((uintptr_t)key >> 4) % CPY_NAMES_RECENT];
    if (!names->strings || *recent == key) {
        return 0;
    }
    *recent = key;
    return cpy_names_add_key(names, key);
}

/* Note the code of a frame or generator, or NULL. MPR_OK or MPR_ENOMEM. */
int cpy_names_note_code(cpy_names *names, const PyCodeObject *code);

bool cpy_names_has(const cpy_names *names, const void *object);

#endif
