/* SPDX-License-Identifier: MIT
 * The references of one object, each exactly once, each with the best name that can be proved.
 *
 * A kind emits what it knows in its own words (dict keys, list indices, inline attributes ...); tp_traverse then visits the rest, and what
 * it repeats of the former is recognised because it comes in the same order (replay.h). A reference that nobody named is looked for in the object's
 * body: the word where it stands has the label that the type's record gives it. */
#include "cpython/edges.h"

#include <frameobject.h>
#include <string.h>

/* The object whose references are being emitted. */
typedef struct cpy_edges {
    cpy_emit *emit;
    PyObject *object;
    const cpy_type *type;
    const uintptr_t *body;
    uint32_t cursor; /* word of the body where the last visited reference was */
    uint32_t loose;  /* how many were not in the body */
    void *frame;     /* the frame inside it, or NULL */
} cpy_edges;

/* ---- tp_traverse ---- */

/* The word of the body that holds the reference, searched from where the last one was found; `words` when there is none. */
static uint32_t find_word(const cpy_edges *e, const PyObject *target, uint32_t words) {
    for (uint32_t n = CPY_HEAD_WORDS, word = e->cursor; n < words; n++, word++) {
        word = word < words ? word : CPY_HEAD_WORDS;
        if ((e->body[word] & ~(uintptr_t)3) == (uintptr_t)target) {
            return word;
        }
    }
    return words;
}

/* A word of a frame that an object owns is a local variable: its name goes first. */
static bool emit_local(const cpy_edges *e, PyObject *target, uint32_t word) {
    cpy_frame frame;
    if (e->frame == NULL) {
        return false;
    }
    cpy_layout_frame(e->frame, &frame);
    ptrdiff_t i = e->body + word - frame.slots;
    if (frame.code == NULL || i < 0 || i >= frame.locals_count + frame.stack_count) {
        return false;
    }
    bool owned = true;
    cpy_slot_object(e->body[word], &owned);
    mpr_label weak = owned ? 0 : MPR_LABEL_WEAK;
    PyObject *name = i < frame.locals_count ? cpy_layout_local_name(frame.code, (int)i) : NULL;
    if (name == NULL) {
        cpy_emit_reference(e->emit, target, mpr_label_make(MPR_LABEL_STACK, (uint64_t)(i - frame.locals_count)) | weak);
        return true;
    }
    bool cell = cpy_layout_local_is_cell(frame.code, (int)i);
    cpy_emit_name(e->emit, name);
    cpy_emit_reference(e->emit, target, mpr_label_make(cell ? MPR_LABEL_CELL : MPR_LABEL_LOCAL, 0) | weak);
    return true;
}

/* The code and the function of a frame that an object owns, or of a generator that has ended, and whether it owns those, too. */
static bool emit_callable(const cpy_edges *e, PyObject *target, uint32_t word) {
    cpy_frame frame = {0};
    bool owned = true;
    if (!e->type->has_frame) {
        return false;
    }
    cpy_slot_object(e->body[word], &owned);
    if (e->frame != NULL && e->body + word >= (const uintptr_t *)e->frame) {
        cpy_layout_frame(e->frame, &frame);
    }
    bool is_code = target == (PyObject *)frame.code || (!owned && PyCode_Check(target));
    if (!is_code && target != frame.function) {
        return false;
    }
    mpr_field code = PyFrame_Check(e->object) ? MPR_FIELD_F_CODE : MPR_FIELD_GI_CODE;
    cpy_emit_reference(e->emit, target, mpr_label_field(is_code ? code : MPR_FIELD_F_FUNCOBJ) | (owned ? 0 : MPR_LABEL_WEAK));
    return true;
}

/* For a sink that wants no edges, when all are followed: what is visited twice does not matter. */
static int follow(PyObject *target, void *context) {
    if (target != NULL) {
        cpy_emit_follow(context, target);
    }
    return 0;
}

static int visit(PyObject *target, void *context) {
    cpy_edges *e = context;
    if (target == NULL || cpy_replay_repeats(&e->emit->replay, target)) {
        return 0;
    }
    if (e->type->kind->ignored != NULL && PyType_Check(target) &&
        strcmp(((PyTypeObject *)target)->tp_name, e->type->kind->ignored) == 0) {
        return 0;
    }
    uint32_t words = e->type->words;
    if (e->frame != NULL) { /* a frame's slots lie behind the body proper */
        cpy_frame frame;
        cpy_layout_frame(e->frame, &frame);
        words = frame.code == NULL ? words : (uint32_t)(frame.slots + frame.locals_count + frame.stack_count - e->body);
    }
    uint32_t word = find_word(e, target, words);
    if (word == words) {
        mpr_label loose = e->type->kind->loose;
        bool counts = mpr_label_kind_of(loose) == MPR_LABEL_INDEX;
        cpy_emit_reference(e->emit, target, counts ? mpr_label_make(MPR_LABEL_INDEX, e->loose++) : loose);
        return 0;
    }
    e->cursor = word + 1;
    if (!emit_local(e, target, word) && !emit_callable(e, target, word)) {
        bool named = word < e->type->words;
        cpy_emit_reference(e->emit, target,
                           named ? e->type->labels[word] : mpr_label_make(MPR_LABEL_OFFSET, word * sizeof(void *)));
    }
    return 0;
}

/* ---- what else the interpreter lays out ---- */

static void emit_inline(const cpy_edges *e) {
    cpy_instance instance;
    cpy_layout_instance(e->object, &instance);
    cpy_emit_reference(e->emit, instance.dict, mpr_label_field(MPR_FIELD_DICT));
    e->emit->replay.dict = instance.dict;
    for (Py_ssize_t i = 0; instance.values != NULL && i < instance.count; i++) {
        cpy_emit_reference(e->emit, instance.values[i], mpr_label_make(MPR_LABEL_INLINE, (uint64_t)i));
    }
    PyObject *const *repeated = instance.values != NULL ? instance.values : instance.shadow;
    if (repeated != NULL) {
        cpy_emit_check(e->emit, cpy_replay_items(&e->emit->replay, repeated, instance.count, false));
    }
}

static PyObject *slot_of_frame(const cpy_frame *frame, int i, mpr_label *weak) {
    bool owned = true;
    PyObject *object = cpy_slot_object(frame->slots[i], &owned);
    *weak = owned ? 0 : MPR_LABEL_WEAK;
    return object;
}

static void emit_slots(cpy_emit *emit, const cpy_frame *frame, bool locals_only) {
    mpr_label weak;
    for (int i = 0; i < frame->locals_count; i++) {
        PyObject *object = slot_of_frame(frame, i, &weak), *name = cpy_layout_local_name(frame->code, i);
        if (object != NULL && name != NULL) {
            bool cell = cpy_layout_local_is_cell(frame->code, i);
            cpy_emit_name(emit, name);
            cpy_emit_reference(emit, object, mpr_label_make(cell ? MPR_LABEL_CELL : MPR_LABEL_LOCAL, 0) | weak);
        }
    }
    for (int i = 0; !locals_only && i < frame->stack_count; i++) {
        PyObject *object = slot_of_frame(frame, frame->locals_count + i, &weak);
        cpy_emit_reference(emit, object, mpr_label_make(MPR_LABEL_STACK, (uint64_t)i) | weak);
    }
}

void cpy_edges_emit_frame(cpy_emit *emit, const cpy_frame *frame, bool locals_only) {
    if (!locals_only) {
        cpy_emit_reference(emit, (PyObject *)frame->code,
                           mpr_label_field(MPR_FIELD_F_CODE) | (frame->code_owned ? 0 : MPR_LABEL_WEAK));
        cpy_emit_reference(emit, frame->function,
                           mpr_label_field(MPR_FIELD_F_FUNCOBJ) | (frame->function_owned ? 0 : MPR_LABEL_WEAK));
        cpy_emit_reference(emit, frame->globals, mpr_label_field(MPR_FIELD_F_GLOBALS) | MPR_LABEL_WEAK);
        cpy_emit_reference(emit, frame->locals,
                           mpr_label_field(MPR_FIELD_F_LOCALS) | (frame->locals == frame->globals ? MPR_LABEL_HOUSEKEEPING : 0));
        cpy_emit_reference(emit, frame->object, mpr_label_field(MPR_FIELD_F_OBJECT));
    }
    emit_slots(emit, frame, locals_only);
}

/* References of a type without tp_traverse, where its places or members say that they are there. */
static void emit_places(const cpy_edges *e) {
    for (uint32_t word = CPY_HEAD_WORDS; word < e->type->words; word++) {
        if (e->type->members[word]) {
            cpy_emit_reference(e->emit, (PyObject *)e->body[word], e->type->labels[word]);
        }
    }
}

/* A running generator whose locals its tp_traverse hides. */
static void emit_hidden_locals(const cpy_edges *e) {
    cpy_frame frame;
    cpy_layout_frame(e->frame, &frame);
    if (frame.code != NULL && frame.owner == CPY_FRAME_OF_GENERATOR && cpy_layout_running_generator_hides(&frame)) {
        cpy_edges_emit_frame(e->emit, &frame, true);
    }
}

static void visit_all(cpy_edges *e, traverseproc traverse) {
    cpy_emit *emit = e->emit;
    bool only_follows = emit->sink->edges == NULL && emit->skip == 0 && !emit->skips_classes;
    if (only_follows) {
        traverse(e->object, follow, emit);
    } else {
        traverse(e->object, visit, e);
    }
}

/* What a kind does not emit: an instance's attributes, and what tp_traverse visits. */
static void emit_rest(cpy_edges *e) {
    const cpy_type *type = e->type;
    if (type->has_managed_dict) {
        emit_inline(e);
    }
    traverseproc traverse = Py_TYPE(e->object)->tp_traverse;
    if (!type->is_gc || traverse == NULL || (type->asks_is_gc && !PyObject_IS_GC(e->object))) {
        if (type->members != NULL) {
            emit_places(e);
        }
        return;
    }
    e->frame = type->has_frame && e->emit->can[CPY_CAN_FRAMES] ? cpy_layout_inner_frame(e->object) : NULL;
    if (e->frame != NULL) {
        cpy_frame frame;
        cpy_layout_frame(e->frame, &frame);
        cpy_emit_check(e->emit, cpy_names_note_code(&e->emit->names, frame.code));
    }
    visit_all(e, traverse);
    if (e->frame != NULL) {
        emit_hidden_locals(e);
    }
}

void cpy_edges_emit(cpy_emit *emit, PyObject *object, const cpy_type *type) {
    cpy_replay_begin(&emit->replay, !type->complete);
    emit->replay.type = type->is_heap ? (PyObject *)type->type : NULL; /* the type column has it */
    if (type->kind->edges != NULL) {
        type->kind->edges(emit, object);
    }
    if (!type->complete) {
        cpy_edges e = {.emit = emit, .object = object, .type = type, .body = (const uintptr_t *)object, .cursor = CPY_HEAD_WORDS};
        emit_rest(&e);
    }
}
