/* SPDX-License-Identifier: MIT
 * What a walk says to its sink, and what is still to be walked: the lowest layer above the interpreter's layouts. Everything that looks at
 * objects emits through here.
 *
 *   cpy_emit_node, _text     the object in hand, or a synthetic node
 *   cpy_emit_reference       an edge to an object, which is followed: it is put on the work list unless it was seen
 *   cpy_emit_edge            an edge to what is emitted by itself: not followed
 *   cpy_emit_items, _dict,   references that a kind of objects has in its own words (kinds.h), noted in the replay, for tp_traverse will
 *   _word                    visit them once more
 *
 * Edges wait in a batch, which belongs to the last node: cpy_emit_flush gives it to the sink. The first failure ends the walk: `status`.
 *
 * Used by the layers emit and above. */
#ifndef CPY_EMIT_H
#define CPY_EMIT_H

#include "base/workset.h"
#include "cpython/names.h"
#include "cpython/proofs.h"
#include "cpython/replay.h"
#include "graph/sink.h"

#define CPY_EMIT_BATCH 256

typedef struct cpy_emit {
    mpr_alloc *alloc;
    mpr_sink *sink;
    const bool *can; /* capabilities, by cpy_capability */
    int status;      /* the first failure */
    uint64_t nodes;  /* emitted */
    mpr_workset work;

    /* what is followed */
    mpr_label skip;       /* edges with these bits are emitted, but not followed */
    bool follows_names;   /* what only names the next edge is followed although it is weak */
    bool skips_classes;   /* an object's class is not followed: a question about some objects, not about the heap */

    /* of the object in hand */
    mpr_label unowned; /* MPR_LABEL_WEAK while its references are not counted */
    cpy_replay replay;
    size_t count;
    mpr_seen_edge edges[CPY_EMIT_BATCH];

    cpy_names names;
    const PyObject *interned; /* the dict of interned strings, which owns none of them; or NULL */
} cpy_emit;

/* Everything empty; freed in any case. */
void cpy_emit_begin(cpy_emit *emit, mpr_alloc *alloc, mpr_sink *sink, const cpy_proofs *proofs);
void cpy_emit_free(cpy_emit *emit);

/* Keep the first failure. */
static inline void cpy_emit_check(cpy_emit *emit, int status) {
    if (status < 0 && emit->status == MPR_OK) {
        emit->status = status;
    }
}

static inline void cpy_emit_node(cpy_emit *emit, const mpr_seen_node *node) {
    if (emit->status == MPR_OK) {
        emit->status = emit->sink->node(emit->sink, node);
        emit->nodes++;
    }
}

/* The text of the last node, in UTF-8. */
void cpy_emit_text(cpy_emit *emit, const char *text, size_t length);

void cpy_emit_flush(cpy_emit *emit);

/* An edge of the last node. Nothing where the sink wants none. */
static inline void cpy_emit_edge(cpy_emit *emit, uint64_t target, mpr_label label) {
    if (emit->sink->edges != NULL) {
        emit->edges[emit->count++] = (mpr_seen_edge){target, label};
        if (emit->count == CPY_EMIT_BATCH) {
            cpy_emit_flush(emit);
        }
    }
}

/* Put an object on the work list, unless it was seen. */
static inline void cpy_emit_follow(cpy_emit *emit, const PyObject *object) {
    cpy_emit_check(emit, mpr_workset_mark(&emit->work, (uint64_t)(uintptr_t)object));
}

/* An edge to an object, or none if it is NULL, and follow it. */
static inline void cpy_emit_reference(cpy_emit *emit, PyObject *target, mpr_label label) {
    if (target == NULL) {
        return;
    }
    label |= emit->unowned;
    if ((label & emit->skip) == 0 || (emit->follows_names && mpr_label_kind_of(label) == MPR_LABEL_NAME)) {
        cpy_emit_follow(emit, target);
    }
    cpy_emit_edge(emit, (uint64_t)(uintptr_t)target, label);
}

/* The same named by a field of mpr_field: for functions of layout.h, whose context is the cpy_emit. */
void cpy_emit_field(void *context, PyObject *object, int field);

/* The name of the next edge. */
void cpy_emit_name(cpy_emit *emit, PyObject *name);

/* Count it as seen: it is not emitted, and what only it refers to is not either. */
static inline void cpy_emit_exclude(cpy_emit *emit, const PyObject *object) {
    cpy_emit_check(emit, mpr_workset_skip(&emit->work, (uint64_t)(uintptr_t)object));
}

/* ---- in the words of kinds ---- */

/* An array of references. tp_traverse visits it from the end if it is a list's or a tuple's. */
void cpy_emit_items(cpy_emit *emit, PyObject *const *items, Py_ssize_t count, bool backward);

/* Keys and values of a dict. */
void cpy_emit_dict(cpy_emit *emit, PyObject *dict);

/* The reference in a word of an object's body. */
void cpy_emit_word(cpy_emit *emit, PyObject *object, uint32_t word, mpr_label label);

#endif
