/* SPDX-License-Identifier: MIT
 * The references of one object, each exactly once, each with the best name that can be proved.
 *
 * A kind tells what it knows in its own words (dict keys, list indices, inline attributes ...); tp_traverse then tells the rest, and what
 * it repeats of the former is recognised because it comes in the same order. A reference that nobody named is looked for in the object's
 * body: the word where it stands has the label that the type's record gives it. */
#include "cpython/walk.h"

#include <string.h>

void cpy_walk_flush(cpy_walk *walk) {
    if (walk->edge_count > 0 && walk->status == MPR_OK && walk->sink->edges != NULL) {
        walk->status = walk->sink->edges(walk->sink, walk->edges, walk->edge_count);
    }
    walk->edge_count = 0;
}

static inline void follow(cpy_walk *walk, PyObject *target) {
    int marked = mpr_workset_mark(&walk->work, (uint64_t)(uintptr_t)target);
    if (marked < 0) {
        walk->status = marked;
    }
}

void cpy_walk_emit_edge(cpy_walk *walk, uint64_t target, mpr_label label) {
    walk->edges[walk->edge_count++] = (mpr_seen_edge){target, label};
    if (walk->edge_count == CPY_BATCH) {
        cpy_walk_flush(walk);
    }
}

void cpy_walk_tell(cpy_walk *walk, PyObject *target, mpr_label label) {
    if (target == NULL) {
        return;
    }
    label |= walk->unowned;
    if ((label & walk->skip) == 0 || (walk->follows_names && mpr_label_kind_of(label) == MPR_LABEL_NAME)) {
        follow(walk, target);
    }
    if (walk->sink->edges != NULL) {
        cpy_walk_emit_edge(walk, (uint64_t)(uintptr_t)target, label);
    }
}

/* ---- what is told already ---- */

static void will_come_again(cpy_walk *walk, const cpy_told *told) {
    if (told->count > 0 && walk->told_count < CPY_TOLD) {
        walk->told[walk->told_count++] = *told;
    }
}

static PyObject *peek(cpy_told *told) {
    for (; told->at < told->count; told->at++) {
        Py_ssize_t i = told->backward ? told->count - 1 - told->at : told->at;
        PyObject *object = told->items != NULL ? told->items[i] : cpy_table_value(&told->table, i);
        if (object != NULL) {
            return object;
        }
    }
    return NULL;
}

/* Is this visit a repetition of what was told? A dict's traversal goes value, key, value, key, with or without the keys. */
static bool repeats(cpy_told *told, PyObject *target) {
    if (told->key_next) {
        told->key_next = false;
        if (cpy_table_key(&told->table, told->at - 1) == target) {
            return true;
        }
    }
    if (peek(told) != target) {
        return false;
    }
    told->at++;
    told->key_next = told->items == NULL;
    return true;
}

static bool was_told(cpy_walk *walk, PyObject *target) {
    if (target == walk->told_dict) {
        walk->told_dict = NULL;
        return true;
    }
    for (size_t i = 0; i < walk->told_count; i++) {
        if ((walk->told[i].at < walk->told[i].count || walk->told[i].key_next) && repeats(&walk->told[i], target)) {
            return true;
        }
    }
    return false;
}

/* ---- tp_traverse ---- */

/* The word of the body that holds the reference, searched from where the last one was found; `words` when there is none. */
static uint32_t find_word(cpy_walk *walk, const PyObject *target, uint32_t words) {
    for (uint32_t n = 2, word = walk->cursor; n < words; n++, word++) {
        word = word < words ? word : 2;
        if ((walk->body[word] & ~(uintptr_t)3) == (uintptr_t)target) {
            return word;
        }
    }
    return words;
}

static void tell_name(cpy_walk *walk, PyObject *name) {
    cpy_text_note_name(walk, name);
    cpy_walk_tell(walk, name, mpr_label_make(MPR_LABEL_NAME, 0) | MPR_LABEL_WEAK);
}

/* A word of a frame that an object owns is a local variable: its name goes first. */
static bool tell_local(cpy_walk *walk, PyObject *target, uint32_t word) {
    cpy_frame frame;
    if (walk->frame == NULL) {
        return false;
    }
    cpy_layout_frame(walk->frame, &frame);
    ptrdiff_t i = walk->body + word - frame.slots;
    if (frame.code == NULL || i < 0 || i >= frame.locals_count + frame.stack_count) {
        return false;
    }
    bool owned = true;
    cpy_slot_object(walk->body[word], &owned);
    mpr_label weak = owned ? 0 : MPR_LABEL_WEAK;
    PyObject *name = i < frame.locals_count ? cpy_layout_local_name(frame.code, (int)i) : NULL;
    if (name == NULL) {
        cpy_walk_tell(walk, target, mpr_label_make(MPR_LABEL_STACK, (uint64_t)(i - frame.locals_count)) | weak);
        return true;
    }
    bool cell = cpy_layout_local_is_cell(frame.code, (int)i);
    tell_name(walk, name);
    cpy_walk_tell(walk, target, mpr_label_make(cell ? MPR_LABEL_CELL : MPR_LABEL_LOCAL, 0) | weak);
    return true;
}

/* For a sink that wants no edges, when all are followed: what is met twice does not matter. */
static int visit_only(PyObject *target, void *context) {
    if (target != NULL) {
        follow(context, target);
    }
    return 0;
}

static int visit(PyObject *target, void *context) {
    cpy_walk *walk = context;
    if (target == NULL || was_told(walk, target)) {
        return 0;
    }
    if (target == (PyObject *)Py_TYPE(walk->object) && !walk->told_type && walk->type->is_heap) {
        walk->told_type = true; /* the type column has it */
        return 0;
    }
    if (walk->type->kind->ignored != NULL && PyType_Check(target) &&
        strcmp(((PyTypeObject *)target)->tp_name, walk->type->kind->ignored) == 0) {
        return 0;
    }
    uint32_t words = walk->type->words;
    if (walk->frame != NULL) { /* a frame's slots lie behind the body proper */
        cpy_frame frame;
        cpy_layout_frame(walk->frame, &frame);
        words = frame.code == NULL ? words : (uint32_t)(frame.slots + frame.locals_count + frame.stack_count - walk->body);
    }
    uint32_t word = find_word(walk, target, words);
    if (word == words) {
        mpr_label loose = walk->type->kind->loose;
        bool counts = mpr_label_kind_of(loose) == MPR_LABEL_INDEX;
        cpy_walk_tell(walk, target, counts ? mpr_label_make(MPR_LABEL_INDEX, walk->loose++) : loose);
        return 0;
    }
    walk->cursor = word + 1;
    if (!tell_local(walk, target, word)) {
        bool named = word < walk->type->words;
        cpy_walk_tell(walk, target, named ? walk->type->labels[word] : mpr_label_make(MPR_LABEL_OFFSET, word * sizeof(void *)));
    }
    return 0;
}

/* ---- in the kinds' words ---- */

void cpy_edges_items(cpy_walk *walk, PyObject *const *items, Py_ssize_t count, bool again) {
    for (Py_ssize_t i = 0; i < count; i++) {
        cpy_walk_tell(walk, items[i], mpr_label_make(MPR_LABEL_INDEX, (uint64_t)i));
    }
    if (again) {
        bool backward = walk->type->is_python; /* lists and tuples are; a C type derived from tuple is a structseq */
        will_come_again(walk, &(cpy_told){.items = items, .count = count, .backward = backward});
    }
}

void cpy_edges_word(cpy_walk *walk, uint32_t word, mpr_label label) {
    PyObject *const *place = (PyObject *const *)walk->object + word;
    if (*place != NULL) {
        cpy_walk_tell(walk, *place, label);
        will_come_again(walk, &(cpy_told){.items = place, .count = 1});
    }
}

/* The interned dict owns nothing: its references are subtracted from the counts of the strings. */
static mpr_label weak_if_interned(const cpy_walk *walk, const PyObject *dict) {
    return dict == walk->interned ? MPR_LABEL_WEAK | MPR_LABEL_HOUSEKEEPING : 0;
}

void cpy_edges_dict(cpy_walk *walk, PyObject *dict, bool again) {
    cpy_table table;
    cpy_layout_dict(dict, &table);
    mpr_label weak = weak_if_interned(walk, dict);
    mpr_label key_label =
        table.values != NULL ? mpr_label_make(MPR_LABEL_NAME, 0) | MPR_LABEL_WEAK : mpr_label_make(MPR_LABEL_KEY, 0);
    mpr_label value_label = mpr_label_make(MPR_LABEL_VALUE, 0) | weak;
    for (Py_ssize_t i = 0; i < table.count; i++) {
        PyObject *key = cpy_table_key(&table, i), *value = cpy_table_value(&table, i);
        if (key != NULL && value != NULL) {
            if (!weak) {
                cpy_text_note_name(walk, key);
            }
            cpy_walk_tell(walk, key, key_label | weak);
            cpy_walk_tell(walk, value, value_label);
        }
    }
    if (again) {
        will_come_again(walk, &(cpy_told){.table = table, .count = table.count});
    }
}

static void tell_inline(cpy_walk *walk) {
    cpy_instance instance;
    cpy_layout_instance(walk->object, &instance);
    cpy_walk_tell(walk, instance.dict, mpr_label_field(MPR_FIELD_DICT));
    walk->told_dict = instance.dict;
    for (Py_ssize_t i = 0; instance.values != NULL && i < instance.count; i++) {
        cpy_walk_tell(walk, instance.values[i], mpr_label_make(MPR_LABEL_INLINE, (uint64_t)i));
    }
    PyObject *const *repeated = instance.values != NULL ? instance.values : instance.shadow;
    if (repeated != NULL) {
        will_come_again(walk, &(cpy_told){.items = repeated, .count = instance.count});
    }
}

static PyObject *slot_of_frame(const cpy_frame *frame, int i, mpr_label *weak) {
    bool owned = true;
    PyObject *object = cpy_slot_object(frame->slots[i], &owned);
    *weak = owned ? 0 : MPR_LABEL_WEAK;
    return object;
}

static void tell_slots(cpy_walk *walk, const cpy_frame *frame, bool locals_only) {
    mpr_label weak;
    for (int i = 0; i < frame->locals_count; i++) {
        PyObject *object = slot_of_frame(frame, i, &weak), *name = cpy_layout_local_name(frame->code, i);
        if (object != NULL && name != NULL) {
            bool cell = cpy_layout_local_is_cell(frame->code, i);
            tell_name(walk, name);
            cpy_walk_tell(walk, object, mpr_label_make(cell ? MPR_LABEL_CELL : MPR_LABEL_LOCAL, 0) | weak);
        }
    }
    for (int i = 0; !locals_only && i < frame->stack_count; i++) {
        PyObject *object = slot_of_frame(frame, frame->locals_count + i, &weak);
        cpy_walk_tell(walk, object, mpr_label_make(MPR_LABEL_STACK, (uint64_t)i) | weak);
    }
}

void cpy_edges_frame(cpy_walk *walk, const cpy_frame *frame, bool locals_only) {
    if (!locals_only) {
        cpy_walk_tell(walk, (PyObject *)frame->code, mpr_label_field(MPR_FIELD_F_CODE) | (frame->code_owned ? 0 : MPR_LABEL_WEAK));
        cpy_walk_tell(walk, frame->function, mpr_label_field(MPR_FIELD_F_FUNCOBJ) | (frame->function_owned ? 0 : MPR_LABEL_WEAK));
        cpy_walk_tell(walk, frame->globals, mpr_label_field(MPR_FIELD_F_GLOBALS) | MPR_LABEL_WEAK);
        cpy_walk_tell(walk, frame->locals,
                      mpr_label_field(MPR_FIELD_F_LOCALS) | (frame->locals == frame->globals ? MPR_LABEL_HOUSEKEEPING : 0));
        cpy_walk_tell(walk, frame->object, mpr_label_field(MPR_FIELD_F_OBJECT));
    }
    tell_slots(walk, frame, locals_only);
}

/* References of a type without tp_traverse, where its places or members say that they are there. */
static void tell_places(cpy_walk *walk) {
    for (uint32_t word = 2; word < walk->type->words; word++) {
        if (walk->type->members[word]) {
            cpy_walk_tell(walk, (PyObject *)walk->body[word], walk->type->labels[word]);
        }
    }
}

/* A running generator whose locals its tp_traverse hides. */
static void tell_hidden_locals(cpy_walk *walk) {
    cpy_frame frame;
    cpy_layout_frame(walk->frame, &frame);
    if (frame.code != NULL && frame.owner == CPY_FRAME_OF_GENERATOR && cpy_layout_running_generator_hides(&frame)) {
        cpy_edges_frame(walk, &frame, true);
    }
}

void cpy_edges_tell(cpy_walk *walk) {
    const cpy_type *type = walk->type;
    walk->body = (const uintptr_t *)walk->object;
    walk->cursor = 2;
    walk->loose = 0;
    walk->told_type = false;
    walk->told_dict = NULL;
    walk->told_count = 0;
    if (type->kind->edges != NULL) {
        type->kind->edges(walk, walk->object);
    }
    if (type->complete) {
        return;
    }
    if (type->has_managed_dict) {
        tell_inline(walk);
    }
    traverseproc traverse = Py_TYPE(walk->object)->tp_traverse;
    if (!type->is_gc || traverse == NULL || (type->asks_is_gc && !PyObject_IS_GC(walk->object))) {
        if (type->members != NULL) {
            tell_places(walk);
        }
        return;
    }
    walk->frame = type->has_frame && walk->can[CPY_CAN_FRAMES] ? cpy_layout_inner_frame(walk->object) : NULL;
    if (walk->frame != NULL) {
        cpy_frame frame;
        cpy_layout_frame(walk->frame, &frame);
        cpy_text_note_code(walk, frame.code);
    }
    traverse(walk->object, walk->sink->edges == NULL && walk->skip == 0 && !walk->only ? visit_only : visit, walk);
    if (walk->frame != NULL) {
        tell_hidden_locals(walk);
        walk->frame = NULL;
    }
}
