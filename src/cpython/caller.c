/* SPDX-License-Identifier: MIT
 * See cpython/caller.h. */
#include "cpython/caller.h"

static void *innermost_frame(const cpy_proofs *proofs) {
    return proofs->can[CPY_CAN_FRAMES] ? cpy_layout_top_frame(PyThreadState_Get()) : NULL;
}

void cpy_caller_find(cpy_caller *caller, const cpy_proofs *proofs, const cpy_self *self) {
    cpy_frame frame;
    *caller = (cpy_caller){0};
    for (void *at = innermost_frame(proofs); at != NULL; at = frame.previous) {
        cpy_layout_frame(at, &frame);
        if (frame.globals != NULL && !cpy_self_has(self, frame.globals)) {
            bool is_object = (void *)frame.object == at; /* 3.10 */
            PyObject *node = is_object || frame.owner == CPY_FRAME_OF_OBJECT ? frame.object : frame.generator;
            *caller = (cpy_caller){.frame = at,
                                   .node = (uint64_t)(uintptr_t)node,
                                   .locals = frame.code->co_flags & CO_OPTIMIZED ? NULL : frame.locals};
            return;
        }
    }
}

void cpy_argument_set(cpy_argument *argument, const cpy_proofs *proofs, PyObject *object) {
    argument->object = object;
    argument->frame = innermost_frame(proofs);
    argument->references = cpy_layout_hidden_references(argument->frame, object);
}

void cpy_argument_emit(cpy_argument *argument, cpy_emit *emit, const void *frame) {
    if (frame != argument->frame) {
        return;
    }
    for (; argument->references > 0; argument->references--) {
        cpy_emit_reference(emit, argument->object, mpr_label_make(MPR_LABEL_STACK, argument->references - 1));
    }
}
