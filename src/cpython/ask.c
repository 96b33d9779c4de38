/* SPDX-License-Identifier: MIT
 * Walks whose sink is the answer. */
#include "cpython/ask.h"

#include <stdio.h>
#include <string.h>

/* ---- counting ---- */

int cpy_ask_count(mpr_tally *tally, mpr_alloc *alloc, const cpy_proofs *proofs, bool sizes) {
    cpy_walk walk;
    mpr_tally_init(tally, alloc);
    tally->sink.brief = !sizes;
    int status = cpy_walk_begin(&walk, alloc, &tally->sink, proofs);
    if (status == MPR_OK) {
        status = cpy_walk_whole(&walk);
    }
    cpy_walk_end(&walk);
    return status;
}

/* Who asks for the size of a class or module means what it defines, though the way there is housekeeping. */
static PyObject *contents_of(PyObject *object) {
    if (PyModule_Check(object)) {
        return PyModule_GetDict(object);
    }
    return PyType_Check(object) ? cpy_type_namespace((PyTypeObject *)object) : NULL;
}

int cpy_ask_deep(mpr_tally *tally, mpr_alloc *alloc, const cpy_proofs *proofs, PyObject *const *objects, size_t count,
                 PyObject *const *skip, size_t skipped, bool housekeeping) {
    cpy_walk walk;
    mpr_tally_init(tally, alloc);
    int status = cpy_walk_begin(&walk, alloc, &tally->sink, proofs);
    walk.skip = MPR_LABEL_WEAK | (housekeeping ? 0 : MPR_LABEL_HOUSEKEEPING);
    walk.only = !housekeeping;
    for (size_t i = 0; status == MPR_OK && i < skipped; i++) {
        status = cpy_walk_exclude(&walk, skip[i]);
    }
    for (size_t i = 0; status == MPR_OK && i < count; i++) {
        status = cpy_walk_seed_object(&walk, objects[i]);
        PyObject *contents = status == MPR_OK ? contents_of(objects[i]) : NULL;
        if (contents != NULL) {
            status = cpy_walk_seed_object(&walk, contents);
        }
    }
    if (status == MPR_OK) {
        status = cpy_walk_run(&walk);
    }
    cpy_walk_end(&walk);
    return status;
}

/* ---- who refers to it ---- */

typedef struct finder {
    mpr_sink sink; /* first */
    cpy_walk *walk;
    cpy_findings *out;
    PyObject *const *objects;
    size_t count;
    uint64_t holder;
    bool counts; /* the holder is an object or frame of the program */
    char root[80];
    uint64_t previous; /* target of the edge before */
} finder;

static bool is_wanted(const finder *f, uint64_t address) {
    for (size_t i = 0; i < f->count; i++) {
        if ((uint64_t)(uintptr_t)f->objects[i] == address) {
            return true;
        }
    }
    return false;
}

static size_t put_name(char *out, size_t size, PyObject *name) {
    if (name != NULL && PyUnicode_Check(name)) {
        return cpy_text_put(out, size, name, 60);
    }
    const char *type = name == NULL ? "?" : Py_TYPE(name)->tp_name;
    int length = snprintf(out, size, "<%s>", type);
    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

static void describe_named(const finder *f, mpr_label_kind kind, char *out, size_t size) {
    static const char *const before[] = {
        [MPR_LABEL_VALUE] = "['", [MPR_LABEL_ATTR] = ".", [MPR_LABEL_LOCAL] = "local ", [MPR_LABEL_CELL] = "cell "};
    PyObject *name = (PyObject *)(uintptr_t)f->previous;
    bool quoted = kind == MPR_LABEL_VALUE && PyUnicode_Check(name);
    size_t length = (size_t)snprintf(out, size, "%s", kind == MPR_LABEL_VALUE && !quoted ? "[" : before[kind]);
    length += put_name(out + length, size - length - 4, name);
    snprintf(out + length, size - length, "%s", kind != MPR_LABEL_VALUE ? "" : quoted ? "']" : "]");
}

static void describe_inline(const finder *f, mpr_label label, char *out, size_t size) {
    cpy_table keys;
    PyTypeObject *type = Py_TYPE((PyObject *)(uintptr_t)f->holder);
    Py_ssize_t i = (Py_ssize_t)mpr_label_payload(label);
    out[0] = '.';
    size_t length =
        cpy_layout_shared_keys(type, &keys) && i < keys.count ? put_name(out + 1, size - 2, cpy_table_key(&keys, i)) : 0;
    out[1 + length] = '\0';
}

static void describe_offset(const finder *f, mpr_label label, char *out, size_t size) {
    const char *name = cpy_type_member_name(Py_TYPE((PyObject *)(uintptr_t)f->holder), mpr_label_payload(label));
    if (name != NULL) {
        snprintf(out, size, ".%s", name);
    } else {
        snprintf(out, size, "+0x%x", mpr_label_payload(label));
    }
}

static void describe(const finder *f, mpr_label label, char *out, size_t size) {
    mpr_label_kind kind = mpr_label_kind_of(label);
    const char *field = mpr_label_field_text(mpr_label_payload(label));
    if (mpr_label_named_by_previous(label)) {
        describe_named(f, kind, out, size);
    } else if (kind == MPR_LABEL_INLINE) {
        describe_inline(f, label, out, size);
    } else if (kind == MPR_LABEL_OFFSET) {
        describe_offset(f, label, out, size);
    } else if (kind == MPR_LABEL_FIELD) {
        snprintf(out, size, "%s%s", field[0] == '<' ? "" : ".", field);
    } else if (kind == MPR_LABEL_INDEX) {
        snprintf(out, size, "[%u]", mpr_label_payload(label));
    } else {
        snprintf(out, size, "%s", kind == MPR_LABEL_KEY ? "<key>" : kind == MPR_LABEL_STACK ? "<stack>" : "<element>");
    }
}

static int add_found(finder *f, mpr_label label) {
    cpy_found found = {.holder = f->holder};
    size_t length = 0;
    if (f->holder >= MPR_SYNTHETIC) {
        length = (size_t)snprintf(found.label, sizeof found.label, "%.60s ", f->root);
    }
    describe(f, label, found.label + length, sizeof found.label - length);
    return mpr_vec_push(&f->out->found, f->walk->alloc, found);
}

static int find_type(mpr_sink *sink, const mpr_seen_type *type) {
    (void)sink, (void)type;
    return MPR_OK;
}

static int find_node(mpr_sink *sink, const mpr_seen_node *node) {
    finder *f = (finder *)sink;
    f->holder = node->address;
    f->counts = !(node->flags & MPR_NODE_OWN_WALL);
    f->root[0] = '\0';
    if (node->address < MPR_SYNTHETIC) {
        PyTypeObject *type = Py_TYPE((PyObject *)(uintptr_t)node->address);
        bool heap = (type->tp_flags & Py_TPFLAGS_HEAPTYPE) != 0;
        f->out->strong += heap && is_wanted(f, (uint64_t)(uintptr_t)type);
    }
    return MPR_OK;
}

static int find_text(mpr_sink *sink, const char *text, size_t length) {
    finder *f = (finder *)sink;
    if (f->holder >= MPR_SYNTHETIC) {
        snprintf(f->root, sizeof f->root, "%.*s", length > 70 ? 70 : (int)length, text);
    }
    return MPR_OK;
}

static int find_edges(mpr_sink *sink, const mpr_seen_edge *edges, size_t count) {
    finder *f = (finder *)sink;
    for (size_t i = 0; i < count; i++) {
        bool wanted = mpr_label_strong(edges[i].label) && f->counts && is_wanted(f, edges[i].target);
        f->out->strong += mpr_label_strong(edges[i].label) && is_wanted(f, edges[i].target);
        if (wanted && add_found(f, edges[i].label) != MPR_OK) {
            return MPR_ENOMEM;
        }
        f->previous = edges[i].target;
    }
    return MPR_OK;
}

int cpy_ask_referrers(cpy_findings *findings, mpr_alloc *alloc, const cpy_proofs *proofs, PyObject *const *objects, size_t count) {
    cpy_walk walk;
    finder f = {.sink = {.type = find_type, .node = find_node, .edges = find_edges, .text = find_text},
                .walk = &walk,
                .out = findings,
                .objects = objects,
                .count = count};
    int status = cpy_walk_begin(&walk, alloc, &f.sink, proofs);
    if (status == MPR_OK) {
        status = cpy_walk_whole(&walk);
    }
    cpy_walk_end(&walk);
    return status;
}
