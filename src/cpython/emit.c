/* SPDX-License-Identifier: MIT
 * See cpython/emit.h. */
#include "cpython/emit.h"

#include <string.h>

void cpy_emit_begin(cpy_emit *emit, mpr_alloc *alloc, mpr_sink *sink, const cpy_proofs *proofs) {
    memset(emit, 0, sizeof *emit);
    emit->alloc = alloc;
    emit->sink = sink;
    emit->can = proofs->can;
    mpr_workset_init(&emit->work, alloc);
    emit->names.blocks.alloc = alloc;
    emit->names.strings = emit->names.code = sink->text != NULL && !sink->brief;
    emit->interned = cpy_layout_interned();
}

void cpy_emit_free(cpy_emit *emit) {
    mpr_workset_free(&emit->work);
    mpr_map_free(&emit->names.blocks);
}

void cpy_emit_text(cpy_emit *emit, const char *text, size_t length) {
    if (emit->status == MPR_OK && emit->sink->text != NULL) {
        emit->status = emit->sink->text(emit->sink, text, length);
    }
}

void cpy_emit_flush(cpy_emit *emit) {
    if (emit->count > 0 && emit->status == MPR_OK) {
        emit->status = emit->sink->edges(emit->sink, emit->edges, emit->count);
    }
    emit->count = 0;
}

void cpy_emit_field(void *context, PyObject *object, int field) {
    cpy_emit_reference(context, object, mpr_label_field((mpr_field)field));
}

void cpy_emit_name(cpy_emit *emit, PyObject *name) {
    cpy_emit_check(emit, cpy_names_note(&emit->names, name));
    cpy_emit_reference(emit, name, mpr_label_make(MPR_LABEL_NAME, 0) | MPR_LABEL_WEAK);
}

/* ---- in the words of kinds ---- */

void cpy_emit_items(cpy_emit *emit, PyObject *const *items, Py_ssize_t count, bool backward) {
    for (Py_ssize_t i = 0; i < count; i++) {
        cpy_emit_reference(emit, items[i], mpr_label_make(MPR_LABEL_INDEX, (uint64_t)i));
    }
    cpy_emit_check(emit, cpy_replay_items(&emit->replay, items, count, backward));
}

void cpy_emit_word(cpy_emit *emit, PyObject *object, uint32_t word, mpr_label label) {
    PyObject *const *place = (PyObject *const *)object + word;
    if (*place != NULL) {
        cpy_emit_reference(emit, *place, label);
        cpy_emit_check(emit, cpy_replay_items(&emit->replay, place, 1, false));
    }
}

/* By public functions, where the table's layout is not proved. */
static void emit_dict_publicly(cpy_emit *emit, PyObject *dict, mpr_label weak) {
    Py_ssize_t at = 0;
    PyObject *key, *value;
    while (PyDict_Next(dict, &at, &key, &value)) {
        cpy_emit_check(emit, weak ? MPR_OK : cpy_names_note(&emit->names, key));
        cpy_emit_reference(emit, key, mpr_label_make(MPR_LABEL_KEY, 0) | weak);
        cpy_emit_reference(emit, value, mpr_label_make(MPR_LABEL_VALUE, 0) | weak);
    }
    cpy_emit_check(emit, cpy_replay_dict(&emit->replay, dict));
}

#define AHEAD 8 /* keys: each is looked at, for it may be a name */

static void emit_table(cpy_emit *emit, const cpy_table *table, mpr_label weak) {
    bool shared = table->values != NULL; /* the class owns the keys */
    mpr_label key_label = (shared ? mpr_label_make(MPR_LABEL_NAME, 0) | MPR_LABEL_WEAK : mpr_label_make(MPR_LABEL_KEY, 0)) | weak;
    mpr_label value_label = mpr_label_make(MPR_LABEL_VALUE, 0) | weak;
    for (Py_ssize_t i = 0; i < table->count; i++) {
        PyObject *key = cpy_table_key(table, i), *value = cpy_table_value(table, i);
        if (i + AHEAD < table->count) {
            __builtin_prefetch(cpy_table_key(table, i + AHEAD));
        }
        if (key != NULL && value != NULL) {
            cpy_emit_check(emit, weak ? MPR_OK : cpy_names_note(&emit->names, key));
            cpy_emit_reference(emit, key, key_label);
            cpy_emit_reference(emit, value, value_label);
        }
    }
    cpy_emit_check(emit, cpy_replay_table(&emit->replay, table));
}

void cpy_emit_dict(cpy_emit *emit, PyObject *dict) {
    /* the interned dict owns nothing: its references are subtracted from the counts of the strings */
    mpr_label weak = dict == emit->interned ? MPR_LABEL_WEAK | MPR_LABEL_HOUSEKEEPING : 0;
    cpy_table table;
    if (!emit->can[CPY_CAN_DICT]) {
        emit_dict_publicly(emit, dict, weak);
        return;
    }
    cpy_layout_dict(dict, &table);
    emit_table(emit, &table, weak);
}
