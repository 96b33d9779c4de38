/* SPDX-License-Identifier: MIT
 * memprobe itself, as objects of the heap that it walks: its modules and their namespaces. What only they hold is in no answer (law 7).
 *
 * Used by the layers edges and above. */
#ifndef CPY_SELF_H
#define CPY_SELF_H

#include "base/vec.h"
#include "cpython/layout.h"

typedef struct cpy_self {
    MPR_VEC(PyObject *) objects; /* borrowed: modules and their namespaces */
} cpy_self;

/* Reads sys.modules without a lookup that could run code. MPR_OK or MPR_ENOMEM; freed in any case. */
int cpy_self_find(cpy_self *self, mpr_alloc *alloc);
void cpy_self_free(cpy_self *self, mpr_alloc *alloc);

/* Is it one of memprobe's modules, or the namespace of one? */
bool cpy_self_has(const cpy_self *self, const PyObject *object);

/* Is the object a frame of memprobe's? Every frame is one in 3.10. Only where the layout of frames is proved. */
bool cpy_self_has_frame(const cpy_self *self, PyObject *object);

#endif
