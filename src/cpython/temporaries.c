/* SPDX-License-Identifier: MIT
 * The second nodes of frames whose stack's depth is not known. */
#include "cpython/temporaries.h"

#include "graph/label.h"

bool cpy_temporaries_hidden(const cpy_frame *frame) { return frame->code != NULL && cpy_layout_hides_stack(frame); }

static void emit_slot(cpy_emit *emit, uintptr_t word) {
    if (cpy_is_pointer(word) && mpr_workset_has(&emit->work, word)) {
        cpy_emit_edge(emit, word, mpr_label_field(MPR_FIELD_TEMPORARY));
    }
}

static void emit_frame(cpy_roots *roots, const cpy_frame *frame) {
    cpy_roots_emit_frame(roots, frame, roots->hidden);
    roots->hidden += 16;
    const uintptr_t *stack = frame->slots + frame->locals_count;
    for (int i = 0; i < frame->code->co_stacksize; i++) {
        emit_slot(roots->emit, stack[i]);
    }
    cpy_emit_flush(roots->emit);
}

void cpy_temporaries_emit(cpy_roots *roots) {
    if (!roots->emit->can[CPY_CAN_FRAMES] || roots->emit->sink->edges == NULL) {
        return;
    }
    PyThreadState *thread = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    for (; thread != NULL; thread = PyThreadState_Next(thread)) {
        cpy_frame frame;
        for (void *at = cpy_layout_top_frame(thread); at != NULL; at = frame.previous) {
            cpy_layout_frame(at, &frame);
            if (cpy_temporaries_hidden(&frame)) {
                emit_frame(roots, &frame);
            }
        }
    }
}
