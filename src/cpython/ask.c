/* SPDX-License-Identifier: MIT
 * Walks whose sink is the answer. */
#include "cpython/ask.h"

#include <stdio.h>
#include <string.h>

#include "cpython/pause.h"
#include "cpython/str.h"

/* ---- counting ---- */

static int count_whole(void *context) {
    cpy_walk *walk = context;
    int status = cpy_walk_enter(walk);
    return status == MPR_OK ? cpy_walk_whole(walk) : status;
}

int cpy_ask_count(mpr_tally *tally, mpr_alloc *alloc, cpy_proofs *proofs, bool sizes) {
    cpy_walk walk;
    mpr_tally_init(tally, alloc);
    tally->sink.brief = !sizes;
    int status = cpy_walk_begin(&walk, alloc, &tally->sink, proofs);
    if (status == MPR_OK) {
        status = cpy_pause_run(count_whole, &walk);
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

typedef struct deep {
    cpy_walk walk;
    PyObject *const *objects;
    size_t count;
} deep;

static int walk_deep(void *context) {
    deep *d = context;
    int status = cpy_walk_enter(&d->walk);
    for (size_t i = 0; status == MPR_OK && i < d->count; i++) {
        status = cpy_walk_seed_object(&d->walk, d->objects[i]);
        PyObject *contents = status == MPR_OK ? contents_of(d->objects[i]) : NULL;
        if (contents != NULL) {
            status = cpy_walk_seed_object(&d->walk, contents);
        }
    }
    return status == MPR_OK ? cpy_walk_run(&d->walk) : status;
}

int cpy_ask_deep(mpr_tally *tally, mpr_alloc *alloc, cpy_proofs *proofs, PyObject *const *objects, size_t count,
                 PyObject *const *skip, size_t skipped, bool housekeeping) {
    deep d = {.objects = objects, .count = count};
    mpr_tally_init(tally, alloc);
    int status = cpy_walk_begin(&d.walk, alloc, &tally->sink, proofs);
    d.walk.emit.skip = MPR_LABEL_WEAK | (housekeeping ? 0 : MPR_LABEL_HOUSEKEEPING);
    d.walk.emit.skips_classes = !housekeeping;
    for (size_t i = 0; status == MPR_OK && i < skipped; i++) {
        status = cpy_walk_exclude(&d.walk, skip[i]);
    }
    if (status == MPR_OK) {
        status = cpy_pause_run(walk_deep, &d);
    }
    cpy_walk_end(&d.walk);
    return status;
}

/* ---- private blocks ---- */

typedef struct block_list {
    cpy_blocks blocks; /* first */
    cpy_owned_blocks *out;
    mpr_alloc *alloc;
    int status;
} block_list;

static void list_block(cpy_blocks *blocks, const void *address, size_t bytes, size_t leaf) {
    block_list *list = (block_list *)blocks;
    (void)leaf;
    if (mpr_vec_push(list->out, list->alloc, ((cpy_owned_block){address, bytes})) != MPR_OK) {
        list->status = MPR_ENOMEM;
    }
}

typedef struct owner {
    cpy_walk walk;
    PyObject *object;
    block_list list;
} owner;

static int list_blocks(void *context) {
    owner *o = context;
    const cpy_type *type = cpy_type_of(&o->walk.types, Py_TYPE(o->object));
    if (type != NULL && !mpr_image_has(&o->walk.image, (uint64_t)(uintptr_t)o->object)) {
        cpy_blocks_of(&o->walk.types, o->object, type, &o->list.blocks);
    }
    return o->walk.emit.status != MPR_OK ? o->walk.emit.status : o->list.status;
}

int cpy_ask_blocks(cpy_owned_blocks *out, mpr_alloc *alloc, cpy_proofs *proofs, PyObject *object) {
    mpr_sink nobody = {0};
    owner o = {.object = object, .list = {.blocks = {.add = list_block}, .out = out, .alloc = alloc}};
    int status = cpy_walk_begin(&o.walk, alloc, &nobody, proofs);
    o.walk.emit.skips_classes = true;
    if (status == MPR_OK) {
        status = cpy_pause_run(list_blocks, &o);
    }
    cpy_walk_end(&o.walk);
    return status;
}

/* ---- who refers to it ---- */

#define LONGEST_NAME 200 /* characters */

typedef struct finder {
    mpr_sink sink; /* first */
    cpy_walk *walk;
    cpy_findings *out;
    const cpy_question *question;
    bool any_class;            /* one of the objects is a class: each instance refers to it */
    mpr_seen_node holder;
    size_t root, root_length;  /* what it is called, if it is no object */
    uint64_t previous;         /* target of the edge before */
} finder;

static bool is_wanted(const finder *f, uint64_t address) {
    for (size_t i = 0; i < f->question->count; i++) {
        if ((uint64_t)(uintptr_t)f->question->objects[i] == address) {
            return true;
        }
    }
    return false;
}

/* Is the holder memprobe's: a module, class, instance of one or frame, a namespace of a module, a function, the tuple of the question? */
static bool is_own_holder(const finder *f) {
    if (f->holder.address >= MPR_SYNTHETIC || (f->holder.flags & MPR_NODE_OWN_WALL)) {
        return (f->holder.flags & MPR_NODE_OWN_WALL) != 0;
    }
    PyObject *object = (PyObject *)(uintptr_t)f->holder.address;
    PyObject *globals = PyFunction_Check(object) ? PyFunction_GET_GLOBALS(object) : object;
    return object == f->question->argument || cpy_self_has(&f->walk->self, globals);
}

static size_t put_texts(finder *f, const char *text, size_t length) {
    size_t at = f->out->texts.count;
    if (mpr_vec_reserve(&f->out->texts, f->walk->emit.alloc, length) != MPR_OK) {
        f->walk->emit.status = MPR_ENOMEM;
        return at;
    }
    memcpy(f->out->texts.items + at, text, length);
    f->out->texts.count += length;
    return at;
}

/* The name of a label. It is found in the texts when the walk is over, for they move until then. */
static void set_name(finder *f, cpy_found *found, const char *text, size_t length) {
    found->has_name = true;
    found->name = put_texts(f, text, length);
    found->label.length = length;
}

/* The object that serves as name: a str by its contents, a small int, bool or None as Python writes it, anything else by its type. */
static void resolve_name(finder *f, uint64_t address, cpy_found *found) {
    mpr_resolved *out = &found->label;
    char text[LONGEST_NAME * 4 + 4];
    PyObject *name = (PyObject *)(uintptr_t)address;
    const char *type = Py_TYPE(name)->tp_name;
    found->has_type = true;
    found->type = put_texts(f, type, out->type_length = strlen(type));
    out->is_text = PyUnicode_CheckExact(name);
    if (out->is_text) {
        set_name(f, found, text, cpy_str_utf8(text, sizeof text, name, LONGEST_NAME));
    } else if (PyLong_CheckExact(name)) {
        int overflow;
        long long value = PyLong_AsLongLongAndOverflow(name, &overflow);
        if (overflow == 0) {
            set_name(f, found, text, (size_t)snprintf(text, sizeof text, "%lld", value));
        }
    } else if (PyBool_Check(name) || name == Py_None) {
        const char *word = name == Py_None ? "None" : name == Py_True ? "True" : "False";
        set_name(f, found, word, strlen(word));
    }
}

/* The name that the holder's class has for a place of its instances. */
static void resolve_place(finder *f, cpy_found *found) {
    mpr_resolved *out = &found->label;
    cpy_table keys;
    PyTypeObject *type = Py_TYPE((PyObject *)(uintptr_t)f->holder.address);
    if (out->kind == MPR_LABEL_OFFSET) {
        const char *name = cpy_type_member_name(type, out->number);
        if (name != NULL) {
            out->kind = MPR_LABEL_ATTR;
            set_name(f, found, name, strlen(name));
        }
    } else if (cpy_layout_shared_keys(type, &keys) && (Py_ssize_t)out->number < keys.count) {
        out->kind = MPR_LABEL_ATTR;
        resolve_name(f, (uint64_t)(uintptr_t)cpy_table_key(&keys, (Py_ssize_t)out->number), found);
    }
}

/* What mpr_graph_resolve does for the edge of a graph, for one that was just seen. */
static void resolve(finder *f, const mpr_seen_edge *edge, cpy_found *found) {
    mpr_resolved *out = &found->label;
    *out = (mpr_resolved){.kind = mpr_label_kind_of(edge->label),
                          .number = mpr_label_payload(edge->label),
                          .name_node = MPR_NO_NODE,
                          .housekeeping = mpr_label_housekeeping(edge->label)};
    if (mpr_label_named_by_previous(edge->label)) {
        resolve_name(f, f->previous, found);
    } else if (out->kind == MPR_LABEL_KEY) {
        resolve_name(f, edge->target, found);
    } else if ((out->kind == MPR_LABEL_OFFSET || out->kind == MPR_LABEL_INLINE) && f->holder.address < MPR_SYNTHETIC) {
        resolve_place(f, found);
    } else if (out->kind == MPR_LABEL_FIELD) {
        const char *name = mpr_label_field_text(out->number);
        set_name(f, found, name, strlen(name));
    }
}

/* A variable of the frame that asked: its own, or one of the namespace that it runs in. */
static bool is_callers(const finder *f, mpr_label_kind kind) {
    const cpy_caller *caller = &f->walk->caller;
    bool local = f->holder.address == caller->node && (kind == MPR_LABEL_LOCAL || kind == MPR_LABEL_CELL);
    return caller->frame != NULL &&
           (local || (f->holder.address == (uint64_t)(uintptr_t)caller->locals && kind == MPR_LABEL_VALUE));
}

static void add_reference(finder *f, const mpr_seen_edge *edge) {
    if (is_own_holder(f)) {
        f->out->own++;
        return;
    }
    cpy_found found = {.holder = f->holder.address, .root = f->root, .root_length = f->root_length};
    resolve(f, edge, &found);
    found.callers = is_callers(f, found.label.kind);
    if (mpr_vec_push(&f->out->found, f->walk->emit.alloc, found) != MPR_OK) {
        f->walk->emit.status = MPR_ENOMEM;
    }
}

static int find_type(mpr_sink *sink, const mpr_seen_type *type) {
    (void)sink, (void)type;
    return MPR_OK;
}

static int find_node(mpr_sink *sink, const mpr_seen_node *node) {
    finder *f = (finder *)sink;
    f->holder = *node;
    f->root_length = 0;
    if (f->any_class && node->address < MPR_SYNTHETIC) {
        PyTypeObject *type = Py_TYPE((PyObject *)(uintptr_t)node->address);
        if ((type->tp_flags & Py_TPFLAGS_HEAPTYPE) && is_wanted(f, (uint64_t)(uintptr_t)type)) {
            add_reference(f, &(mpr_seen_edge){.target = (uint64_t)(uintptr_t)type, .label = mpr_label_field(MPR_FIELD_CLASS)});
        }
    }
    return f->walk->emit.status;
}

static int find_text(mpr_sink *sink, const char *text, size_t length) {
    finder *f = (finder *)sink;
    if (f->holder.address >= MPR_SYNTHETIC) {
        f->root = put_texts(f, text, length);
        f->root_length = length;
    }
    return f->walk->emit.status;
}

static int find_edges(mpr_sink *sink, const mpr_seen_edge *edges, size_t count) {
    finder *f = (finder *)sink;
    for (size_t i = 0; i < count; i++) {
        if (is_wanted(f, edges[i].target) && mpr_label_strong(edges[i].label)) {
            add_reference(f, &edges[i]);
        }
        f->previous = edges[i].target;
    }
    return f->walk->emit.status;
}

/* Names from offsets to texts, which move no more. */
static void place_names(cpy_findings *findings) {
    for (size_t i = 0; i < findings->found.count; i++) {
        cpy_found *found = &findings->found.items[i];
        if (found->has_name) {
            found->label.name = findings->texts.items + found->name;
        }
        if (found->has_type) {
            found->label.type = findings->texts.items + found->type;
        }
    }
}

/* Of a holder that is an object; else NULL. */
static PyObject *object_of(const cpy_found *found) {
    return found->holder < MPR_SYNTHETIC ? (PyObject *)(uintptr_t)found->holder : NULL;
}

void cpy_findings_free(cpy_findings *findings, mpr_alloc *alloc) {
    for (size_t i = 0; i < findings->found.count; i++) {
        Py_XDECREF(object_of(&findings->found.items[i]));
    }
    mpr_vec_free(&findings->found, alloc);
    mpr_vec_free(&findings->texts, alloc);
}

/* A reference to a holder that is an object; of one that may not have it is said what it is. */
static void hold(finder *f, cpy_found *found) {
    static const char being_made[] = "a tuple that is being made";
    PyObject *object = object_of(found);
    if (object != NULL && cpy_is_being_made(object)) {
        found->holder = MPR_SYNTHETIC;
        found->root = put_texts(f, being_made, found->root_length = sizeof being_made - 1);
    } else {
        Py_XINCREF(object);
    }
}

static int find_whole(void *context) {
    finder *f = context;
    int status = cpy_walk_enter(f->walk);
    if (status == MPR_OK) {
        cpy_argument_set(&f->walk->argument, f->walk->types.proofs, f->question->argument);
        status = cpy_walk_whole(f->walk);
    }
    for (size_t i = 0; i < f->out->found.count; i++) {
        hold(f, &f->out->found.items[i]);
    }
    return status == MPR_OK ? f->walk->emit.status : status;
}

int cpy_ask_referrers(cpy_findings *findings, mpr_alloc *alloc, cpy_proofs *proofs, const cpy_question *question) {
    cpy_walk walk;
    finder f = {.sink = {.type = find_type, .node = find_node, .edges = find_edges, .text = find_text, .brief = true},
                .walk = &walk,
                .out = findings,
                .question = question};
    for (size_t i = 0; i < question->count; i++) {
        f.any_class = f.any_class || PyType_Check(question->objects[i]);
    }
    int status = cpy_walk_begin(&walk, alloc, &f.sink, proofs);
    if (status == MPR_OK) {
        status = cpy_pause_run(find_whole, &f);
    }
    cpy_walk_end(&walk);
    place_names(findings);
    return status;
}
