/* SPDX-License-Identifier: MIT
 * The objects that the walk has seen say which words are notes. */
#include "cpython/copied.h"

#include "base/os/process.h"
#include "base/status.h"

/* Is there an object that the collector tracks, and which has its head before it? */
static bool has_head(const cpy_emit *emit, uint64_t address) {
    if (!mpr_addrset_contains(&emit->work.seen, address)) {
        return false;
    }
    PyObject *object = (PyObject *)(uintptr_t)address;
    return CPY_GC_HEAD_BYTES != 0 && PyObject_IS_GC(object) && cpy_layout_is_tracked(object);
}

static bool is_note(void *context, uint64_t address) {
    const cpy_emit *emit = context;
    bool is_count = false;
    for (uint64_t i = 0; i < CPY_COUNT_WORDS; i++) {
        is_count = is_count || mpr_addrset_contains(&emit->work.seen, address - i * sizeof(uintptr_t));
    }
    return is_count || has_head(emit, address + sizeof(uintptr_t)) || has_head(emit, address + sizeof(cpy_gc_head));
}

int cpy_copied_emit(cpy_emit *emit, mpr_sharing *sharing) {
    int64_t start = mpr_process_monotonic_ns();
    if (emit->status == MPR_OK) {
        emit->status = mpr_sharing_finish(sharing, is_note, emit, emit->sink);
    }
    if (emit->status == MPR_OK) {
        emit->status = mpr_sink_number(emit->sink, "sharing_ns", mpr_process_monotonic_ns() - start);
    }
    return emit->status;
}
