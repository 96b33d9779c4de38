/* SPDX-License-Identifier: MIT
 * The second nodes of frames whose stack's depth is not known. */
#include "cpython/temporaries.h"

#include "cpython/roots.h"
#include "graph/label.h"

bool cpy_temporaries_hidden(const cpy_frame *frame) { return frame->code != NULL && cpy_layout_hides_stack(frame); }

static void emit_slot(cpy_walk *walk, uintptr_t word) {
    if (cpy_is_pointer(word) && mpr_workset_has(&walk->work, word)) {
        mpr_seen_edge edge = {.target = word, .label = mpr_label_field(MPR_FIELD_TEMPORARY)};
        walk->status = walk->status != MPR_OK ? walk->status : walk->sink->edges(walk->sink, &edge, 1);
    }
}

static void emit_frame(cpy_walk *walk, const cpy_frame *frame) {
    cpy_roots_emit_frame(walk, frame, walk->temporaries);
    walk->temporaries += 16;
    const uintptr_t *stack = frame->slots + frame->locals_count;
    for (int i = 0; i < frame->code->co_stacksize; i++) {
        emit_slot(walk, stack[i]);
    }
}

void cpy_temporaries_emit(cpy_walk *walk) {
    if (walk->status != MPR_OK || !walk->can[CPY_CAN_FRAMES] || walk->sink->edges == NULL) {
        return;
    }
    PyThreadState *thread = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    for (; thread != NULL; thread = PyThreadState_Next(thread)) {
        cpy_frame frame;
        for (void *at = cpy_layout_top_frame(thread); at != NULL; at = frame.previous) {
            cpy_layout_frame(at, &frame);
            if (cpy_temporaries_hidden(&frame)) {
                emit_frame(walk, &frame);
            }
        }
    }
}
