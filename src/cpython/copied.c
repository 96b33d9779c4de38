/* SPDX-License-Identifier: MIT
 * The objects that the walk has seen say which words are notes. */
#include "cpython/copied.h"

#include "base/os/process.h"
#include "base/status.h"

/* Is there an object that the collector tracks, and which has its head before it? */
static bool has_head(const cpy_walk *walk, uint64_t address) {
    if (!mpr_addrset_contains(&walk->work.seen, address)) {
        return false;
    }
    PyObject *object = (PyObject *)(uintptr_t)address;
    return PyObject_IS_GC(object) && ((const cpy_gc_head *)object)[-1].next != 0;
}

static bool is_note(void *context, uint64_t address) {
    const cpy_walk *walk = context;
    bool is_count = mpr_addrset_contains(&walk->work.seen, address - offsetof(PyObject, ob_refcnt));
    return is_count || has_head(walk, address + sizeof(uintptr_t)) || has_head(walk, address + sizeof(cpy_gc_head));
}

int cpy_copied_emit(cpy_walk *walk, mpr_sharing *sharing) {
    int64_t start = mpr_process_monotonic_ns();
    if (walk->status == MPR_OK) {
        walk->status = mpr_sharing_finish(sharing, is_note, walk, walk->sink);
    }
    if (walk->status == MPR_OK) {
        walk->status = mpr_sink_number(walk->sink, "sharing_ns", mpr_process_monotonic_ns() - start);
    }
    return walk->status;
}
