/* SPDX-License-Identifier: MIT
 * A path becomes parts, a piece of text for each step that shows; parts are taken back where a later step says it better (the namespace of
 * `app.x` is no part of its name); at the end equal parts in a row are folded. */
#include "algo/names.h"

#include <stdio.h>
#include <string.h>

#include "algo/lookup.h"
#include "base/status.h"
#include "graph/resolve.h"

#define LONGEST_KEY 190   /* bytes: a longer key may have been cut when it was recorded */
#define LONGEST_FOLD 4u   /* parts that may repeat together */
#define FEWEST_REPEATS 4u

typedef struct builder {
    const mpr_graph *g;
    const mpr_name_keys *keys;
    const mpr_step *step;
    size_t count, at;         /* steps, and the one in hand */
    mpr_resolved label;       /* of the step in hand */
    MPR_VEC(char) text;
    MPR_VEC(size_t) part;     /* where each begins in `text` */
    size_t module;            /* the length of the first part when it names a module that can be imported */
    bool evaluable;
    bool in_namespace;        /* the last part is ".__dict__": a key is an attribute */
    bool in_local;            /* inside a thread-local, before the name of its attribute */
    bool in_cache;            /* inside a functools cache, before what it keeps */
    bool unnamed;             /* the last part is " → Type" */
    bool wrapped;             /* the last part is an attribute of a class, by what its function is wrapped in */
    int status;
} builder;

/* ---- parts ------------------------------------------------------------------------------------------------------------ */

static void append(builder *b, const char *text, size_t length) {
    if (b->status == MPR_OK) b->status = mpr_vec_reserve(&b->text, b->g->alloc, length);
    if (b->status != MPR_OK || length == 0) return;
    memcpy(b->text.items + b->text.count, text, length);
    b->text.count += length;
}

static void append_text(builder *b, const char *text) { append(b, text, strlen(text)); }

/* "before['text']" */
static void append_item(builder *b, const char *before, const char *text, size_t length) {
    char quoted[1024];
    append_text(b, before);
    append_text(b, "[");
    append(b, quoted, mpr_resolved_quote(text, length, quoted, sizeof quoted));
    append_text(b, "]");
}

static void begin_part(builder *b) {
    if (b->status == MPR_OK) b->status = mpr_vec_push(&b->part, b->g->alloc, b->text.count);
    b->in_namespace = b->unnamed = false;
}

static void drop_part(builder *b) {
    if (b->part.count > 0) b->text.count = b->part.items[--b->part.count];
}

static void restart(builder *b, const char *text, size_t length, bool evaluable) {
    b->text.count = b->part.count = 0;
    b->in_local = b->in_cache = false;
    begin_part(b);
    append(b, text, length);
    b->evaluable = evaluable;
    b->module = evaluable ? length : 0;
}

/* "word: " and what an object is. */
static void restart_what(builder *b, const char *word, uint32_t node) {
    char text[256];
    size_t length = mpr_names_what(b->g, node, text, sizeof text);
    restart(b, word, strlen(word), false);
    append(b, text, length);
}

/* ---- what things are called ------------------------------------------------------------------------------------------- */

static const char *type_of(const mpr_graph *g, uint32_t node, size_t *length) {
    const mpr_type *type = &g->types[g->type[node]];
    *length = type->name_length;
    return g->strings + type->name;
}

static const char *text_of(const mpr_graph *g, uint32_t node, size_t *length) {
    return node == MPR_NO_NODE ? NULL : mpr_graph_text(g, node, length);
}

/* The function, file and line that a frame or generator runs, or NULL. */
static const char *code_of(const mpr_graph *g, uint32_t node, size_t *length) {
    const char *text = g->flags[node] & MPR_NODE_SYNTHETIC ? mpr_graph_text(g, node, length) : NULL;
    uint64_t end = text != NULL ? 0 : mpr_graph_first(g, node + 1);
    for (uint64_t k = mpr_graph_first(g, node); k < end && text == NULL; k++)
        if (mpr_graph_type_is(g, g->target[k], "code")) text = mpr_graph_text(g, g->target[k], length);
    return text;
}

static bool is_function_like(const mpr_graph *g, uint32_t node) {
    static const char *const types[] = {"frame", "<frame>", "generator", "coroutine", "async_generator"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (mpr_graph_type_is(g, node, types[i])) return true;
    return false;
}

size_t mpr_names_what(const mpr_graph *g, uint32_t node, char *out, size_t size) {
    size_t length = 0, type_length;
    const char *type = type_of(g, node, &type_length), *text = NULL;
    if (g->flags[node] & (MPR_NODE_TYPE | MPR_NODE_MODULE))
        text = mpr_graph_text(g, node, &length);
    else if (mpr_graph_type_is(g, node, "function"))
        text = mpr_graph_text(g, node, &length);
    else if (mpr_graph_type_is(g, node, "method"))
        text = text_of(g, mpr_lookup_field(g, node, MPR_FIELD_FUNC), &length);
    else if (is_function_like(g, node))
        text = code_of(g, node, &length);
    int written = text == NULL ? snprintf(out, size, "%.*s", (int)type_length, type)
                               : snprintf(out, size, "%.*s %.*s", (int)type_length, type, (int)length, text);
    return written < 0 ? 0 : (size_t)written < size ? (size_t)written : size - 1;
}

static bool is_word(const char *text, size_t length) {
    static const char *const keywords[] = {"False", "None",     "True",  "and",    "as",   "assert", "async",  "await",    "break",
                                           "class", "continue", "def",   "del",    "elif", "else",   "except", "finally",  "for",
                                           "from",  "global",   "if",    "import", "in",   "is",     "lambda", "nonlocal", "not",
                                           "or",    "pass",     "raise", "return", "try",  "while",  "with",   "yield"};
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i] | 0x20;
        if (!((c >= 'a' && c <= 'z') || text[i] == '_' || (unsigned char)text[i] >= 0x80 ||
              (i > 0 && text[i] >= '0' && text[i] <= '9')))
            return false;
    }
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (length == strlen(keywords[i]) && memcmp(text, keywords[i], length) == 0) return false;
    return length > 0;
}

static bool is_dotted_words(const char *text, size_t length) {
    size_t begin = 0;
    for (size_t i = 0; i <= length; i++) {
        if (i < length && text[i] != '.') continue;
        if (!is_word(text + begin, i - begin)) return false;
        begin = i + 1;
    }
    return true;
}

/* ---- roots ------------------------------------------------------------------------------------------------------------ */

static uint32_t next_node(const builder *b) { return b->step[b->at + 1].node; }

static bool is_group(const builder *b, mpr_group group) { return b->step[b->at].node == b->g->group[group]; }

static void join_interpreter(builder *b) {
    static const struct {
        mpr_field field;
        const char *text;
        bool is_namespace;
    } known[] = {{MPR_FIELD_GARBAGE, "gc.garbage", false},
                 {MPR_FIELD_CALLBACKS, "gc.callbacks", false},
                 {MPR_FIELD_SYSDICT, "sys", true},
                 {MPR_FIELD_BUILTINS_DICT, "builtins", true}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (b->label.kind != MPR_LABEL_FIELD || b->label.number != (uint32_t)known[i].field) continue;
        restart(b, known[i].text, strlen(known[i].text), true);
        b->module = known[i].is_namespace ? b->module : 2; /* gc */
        if (!known[i].is_namespace) return;
        begin_part(b);
        append_text(b, ".__dict__");
        b->in_namespace = true;
        return;
    }
    if (b->label.kind == MPR_LABEL_FIELD && b->label.number == MPR_FIELD_ATEXIT)
        restart(b, "atexit", 6, false);
    else if (b->label.kind == MPR_LABEL_FIELD && b->label.number == MPR_FIELD_INTERNED_STRINGS)
        restart(b, "interpreter: interned strings", 29, false);
    else
        restart_what(b, "interpreter: ", next_node(b));
}

/* A step from a root group or thread. */
static void join_root(builder *b) {
    const mpr_graph *g = b->g;
    uint32_t node = b->step[b->at].node, next = next_node(b);
    size_t length = 0;
    const char *text = mpr_graph_text(g, node, &length);
    if (is_group(b, MPR_GROUP_MODULES)) {
        restart(b, "sys.modules", 11, true);
        b->module = 3;
    } else if (is_group(b, MPR_GROUP_INTERPRETER)) {
        join_interpreter(b);
    } else if (is_group(b, MPR_GROUP_STATIC)) {
        restart_what(b, g->flags[next] & MPR_NODE_INTERNED ? "interned for good: " : "immortal: ", next);
    } else if (is_group(b, MPR_GROUP_C_REFERENCES)) {
        restart_what(b, "held by C code: ", next);
    } else if (is_group(b, MPR_GROUP_UNREACHABLE)) {
        restart_what(b, "garbage: ", next);
    } else if (b->step[b->at].edge == MPR_NO_EDGE) {
        restart_what(b, "asyncio: ", next);
    } else if (b->label.kind == MPR_LABEL_FIELD && text != NULL) {
        restart(b, text, length, false);
        append_text(b, b->label.number == MPR_FIELD_THREAD_DICT ? ": thread-local data" : ": ");
        if (b->label.number != MPR_FIELD_THREAD_DICT)
            append(b, b->label.name + (b->label.name[0] == '<'), b->label.length - 2 * (b->label.name[0] == '<'));
    }
}

/* The module by this name in sys.modules: by its key, or by its own name where the contents of keys are not known. */
static uint32_t module_called(const mpr_graph *g, uint32_t modules, const char *name, size_t length) {
    uint32_t found = mpr_lookup_defined(g, modules, name, length);
    for (uint64_t k = mpr_graph_first(g, modules); k < mpr_graph_first(g, modules + 1) && found == MPR_NO_NODE; k++) {
        size_t own;
        const char *text = g->flags[g->target[k]] & MPR_NODE_MODULE ? mpr_graph_text(g, g->target[k], &own) : NULL;
        if (text && own == length && memcmp(text, name, length) == 0) found = g->target[k];
    }
    return found;
}

/* Is a.b, as Python looks it up, something else than the module of this name in sys.modules? A package may have a function by the
 * name of the module that it is from. */
static bool is_hidden_module(const builder *b, const char *key, size_t length) {
    size_t stem = length;
    while (stem > 0 && key[stem - 1] != '.') stem--;
    uint32_t package = stem > 1 ? module_called(b->g, b->step[b->at].node, key, stem - 1) : MPR_NO_NODE;
    uint32_t namespace = package == MPR_NO_NODE ? MPR_NO_NODE : mpr_lookup_field(b->g, package, MPR_FIELD_NAMESPACE);
    return namespace != MPR_NO_NODE && mpr_lookup_defined(b->g, namespace, key + stem, length - stem) != next_node(b);
}

/* A module by its key in sys.modules, which is what an import takes; by its own name where the contents of the key are not known. */
static bool join_module(builder *b) {
    bool from_modules = b->at > 0 && b->step[b->at - 1].node == b->g->group[MPR_GROUP_MODULES];
    size_t length = b->label.length;
    const char *text = b->label.is_text ? b->label.name : NULL;
    if (!from_modules || !(b->g->flags[next_node(b)] & MPR_NODE_MODULE)) return false;
    if (text == NULL) text = mpr_graph_text(b->g, next_node(b), &length);
    if (text == NULL) return false;
    if (!is_dotted_words(text, length) || is_hidden_module(b, text, length)) { /* sysconfig's data are in a module with a "-" */
        restart(b, "sys", 3, true);
        append_item(b, ".modules", text, length);
    } else {
        restart(b, text, length, true);
    }
    return true;
}

/* ---- frames, generators, closures, caches, contexts -------------------------------------------------------------------- */

/* A frame or generator: where the path to it cannot be typed, its function is the better name. */
static void restart_with_function(builder *b) {
    size_t length = 0;
    const char *code = b->evaluable ? NULL : code_of(b->g, b->step[b->at].node, &length);
    if (code != NULL) {
        restart(b, code, length, false);
        append_text(b, ":");
    }
    begin_part(b);
}

static void join_variable(builder *b) {
    restart_with_function(b);
    append_text(b, " local ");
    if (b->label.name != NULL)
        append(b, b->label.name, b->label.length);
    else
        append_text(b, "?");
    b->evaluable = false;
}

/* The name of variable `index` of a closure: the last names of its code. NULL when it is not known. */
static const char *closure_name(const mpr_graph *g, uint32_t function, uint32_t closure, uint32_t index, size_t *length) {
    uint32_t code = mpr_lookup_field(g, function, MPR_FIELD_CODE), names = MPR_NO_NODE;
    if (code != MPR_NO_NODE) names = mpr_lookup_field(g, code, MPR_FIELD_CO_LOCALSPLUS);
    if (code != MPR_NO_NODE && names == MPR_NO_NODE) names = mpr_lookup_field(g, code, MPR_FIELD_CO_FREEVARS);
    if (names == MPR_NO_NODE) return NULL;
    uint64_t free = mpr_graph_first(g, closure + 1) - mpr_graph_first(g, closure);
    uint64_t all = mpr_graph_first(g, names + 1) - mpr_graph_first(g, names);
    if (free > all || index >= free) return NULL;
    return mpr_graph_text(g, g->target[mpr_graph_first(g, names) + all - free + index], length);
}

/* From a function through its closure and a cell to the variable's value: three steps, or as many as the path has. */
static void join_closure(builder *b) {
    const mpr_graph *g = b->g;
    size_t length = 0;
    const mpr_step *step = b->step + b->at;
    size_t rest = b->count - 1 - b->at; /* steps that have an edge */
    begin_part(b);
    append_text(b, ": closure");
    b->evaluable = false;
    if (rest < 2) return;
    uint32_t index = (uint32_t)(step[1].edge - mpr_graph_first(g, step[1].node));
    const char *name = closure_name(g, step[0].node, step[1].node, index, &length);
    append_text(b, " ");
    if (name != NULL) {
        append(b, name, length);
    } else {
        char number[24];
        append(b, number, (size_t)snprintf(number, sizeof number, "[%u]", index));
    }
    bool through = rest >= 3 && step[2].edge != MPR_NO_EDGE && mpr_steps_is_field(g->label[step[2].edge], MPR_FIELD_CELL_CONTENTS);
    b->at += through ? 2 : 1;
}

/* What a functools cache keeps: its dict and links are one word. */
static void join_cache(builder *b) {
    static const char word[] = ": cache entry";
    b->evaluable = false;
    if (b->in_cache) return;
    begin_part(b);
    append_text(b, word);
    b->in_cache = true;
}

/* Is this a step inside of one? A key or link of it is no part of the name. */
static bool is_cache_step(builder *b) {
    uint32_t holder = b->step[b->at].node;
    if (mpr_graph_type_is(b->g, holder, "functools._lru_cache_wrapper")) return b->label.kind == MPR_LABEL_OFFSET;
    if (b->in_cache && (b->label.kind == MPR_LABEL_VALUE || mpr_graph_type_is(b->g, holder, "functools._lru_list_elem")))
        return true;
    b->in_cache = false;
    return false;
}

static bool is_hamt(const mpr_graph *g, uint32_t node) {
    size_t length;
    const char *type = type_of(g, node, &length);
    return length >= 4 && memcmp(type, "hamt", 4) == 0;
}

static bool is_context_variable(const mpr_graph *g, uint32_t node) {
    return mpr_graph_type_is(g, node, "_contextvars.ContextVar") || mpr_graph_type_is(g, node, "ContextVar");
}

/* The variable whose value an edge of a context's node leads to stands beside it. */
static uint32_t context_variable(const mpr_graph *g, uint32_t holder, uint64_t edge) {
    uint64_t first = mpr_graph_first(g, holder), end = mpr_graph_first(g, holder + 1);
    if (edge + 1 < end && is_context_variable(g, g->target[edge + 1])) return g->target[edge + 1];
    if (edge > first && is_context_variable(g, g->target[edge - 1])) return g->target[edge - 1];
    return MPR_NO_NODE;
}

/* The name that a ContextVar was made with, or NULL. */
static const char *variable_name(const mpr_graph *g, uint32_t variable, size_t *length) {
    for (uint64_t k = mpr_graph_first(g, variable); k < mpr_graph_first(g, variable + 1); k++) {
        const char *text = mpr_graph_type_is(g, g->target[k], "str") ? mpr_graph_text(g, g->target[k], length) : NULL;
        if (text != NULL) return text;
    }
    return NULL;
}

/* From a context through its tree to the value of a variable; false when the path does not go there. */
static bool join_context(builder *b) {
    const mpr_graph *g = b->g;
    size_t at = b->at, length = 0;
    while (at + 2 < b->count && is_hamt(g, b->step[at + 1].node)) at++;
    uint32_t variable = b->step[at].edge == MPR_NO_EDGE ? MPR_NO_NODE : context_variable(g, b->step[at].node, b->step[at].edge);
    if (variable == MPR_NO_NODE || at == b->at) return false;
    const char *name = variable_name(g, variable, &length);
    restart(b, "ContextVar", 10, false);
    if (name != NULL) {
        append_text(b, " '");
        append(b, name, length);
        append_text(b, "'");
    }
    b->at = at;
    return true;
}

/* ---- plain steps ------------------------------------------------------------------------------------------------------- */

/* By a reference without a name: only the last of several in a row shows. */
static void join_unnamed(builder *b) {
    size_t length;
    const char *type = type_of(b->g, next_node(b), &length);
    if (b->unnamed) drop_part(b);
    begin_part(b);
    append_text(b, " → ");
    append(b, type, length);
    b->unnamed = true;
    b->evaluable = false;
}

static void join_text(builder *b) {
    char text[1024];
    size_t length = mpr_resolved_text(&b->label, text, sizeof text);
    begin_part(b);
    append(b, text, length);
}

static bool is_doc(const builder *b) {
    return b->label.length == 7 && b->label.name != NULL && memcmp(b->label.name, "__doc__", 7) == 0;
}

static uint32_t owner_of_namespace(const builder *b) { return b->at > 0 ? b->step[b->at - 1].node : b->step[0].node; }

/* An attribute that the instance has within itself: a member has its descriptor. */
static void join_attribute(builder *b) {
    const mpr_step *step = &b->step[b->at];
    bool in_dict = mpr_label_kind_of(b->g->label[step->edge]) == MPR_LABEL_INLINE;
    b->evaluable = b->evaluable && is_word(b->label.name, b->label.length) && !is_doc(b); /* a class may make that of an instance */
    if (in_dict && mpr_lookup_is_shadowed(b->g, step->node, b->label.name, b->label.length)) {
        begin_part(b);
        append_item(b, ".__dict__", b->label.name, b->label.length);
    } else {
        join_text(b);
    }
}

/* Does a class give something else for the variable in hand? An instance or module gives what it has. */
static bool is_bound_by_class(const builder *b) {
    return (b->g->flags[owner_of_namespace(b)] & MPR_NODE_TYPE) && mpr_lookup_is_wrapper(b->g, next_node(b));
}

/* A key that is only known while its object can be looked at. */
static bool join_living_key(builder *b) {
    char text[1024];
    bool unknown = !b->label.is_text && b->label.name_node != MPR_NO_NODE;
    size_t length = unknown && b->keys ? b->keys->text(b->keys->context, b->label.name_node, text, sizeof text) : 0;
    if (length == 0) return false;
    bool word = text[0] == '\'' && length > 2 && is_word(text + 1, length - 2);
    if (b->in_namespace && word && !is_bound_by_class(b)) {
        drop_part(b);
        begin_part(b);
        append_text(b, ".");
        append(b, text + 1, length - 2);
        return true;
    }
    begin_part(b);
    append_text(b, "[");
    append(b, text, length);
    append_text(b, "]");
    return true;
}

/* Does the step after the next go on to the function that is wrapped? */
static bool leaves_wrapper(const builder *b) {
    uint64_t edge = b->step[b->at + 1].edge;
    return edge != MPR_NO_EDGE &&
           (mpr_steps_is_field(b->g->label[edge], MPR_FIELD_WRAPPED) || mpr_steps_is_field(b->g->label[edge], MPR_FIELD_FUNC));
}

/* A class makes its __doc__ when it is asked. */
static bool is_made_text(const builder *b) { return (b->g->flags[owner_of_namespace(b)] & MPR_NODE_TYPE) && is_doc(b); }

/* A key of a namespace is an attribute. */
static void join_value(builder *b) {
    bool word = b->label.is_text && is_word(b->label.name, b->label.length);
    bool wraps = is_bound_by_class(b);
    bool wrapper = (wraps && !(b->at + 2 < b->count && leaves_wrapper(b))) || is_made_text(b);
    wrapper =
        wrapper || (b->in_namespace && word && mpr_lookup_is_shadowed(b->g, owner_of_namespace(b), b->label.name, b->label.length));
    if ((b->in_namespace || b->in_local) && word && !wrapper) {
        b->wrapped = wraps;
        if (b->in_namespace) drop_part(b);
        begin_part(b);
        append_text(b, ".");
        append(b, b->label.name, b->label.length);
        if (is_doc(b) && !(b->g->flags[owner_of_namespace(b)] & MPR_NODE_MODULE)) b->evaluable = false;
        b->in_local = false;
        return;
    }
    if (b->in_local || join_living_key(b)) return;
    if (!b->label.is_text || b->label.length > LONGEST_KEY) b->evaluable = false;
    join_text(b);
}

/* Python makes another object when it is asked for it. */
static bool is_made_field(uint32_t field) {
    return field == MPR_FIELD_ANNOTATIONS || field == MPR_FIELD_SUBCLASSES || field == MPR_FIELD_SLOTS;
}

/* A property has a name for itself (3.13), and a module one beside that of its namespace. */
static bool is_other_name(const builder *b) {
    uint32_t holder = b->step[b->at].node;
    return b->label.number == MPR_FIELD_NAME &&
           (mpr_graph_type_is(b->g, holder, "property") || (b->g->flags[holder] & MPR_NODE_MODULE));
}

/* What a function in a class is wrapped in is looked through by the attribute; a class method's is left by one step more. */
static bool join_wrapped(builder *b) {
    uint32_t holder = b->step[b->at].node;
    bool is_static = mpr_graph_type_is(b->g, holder, "staticmethod"), is_class = mpr_graph_type_is(b->g, holder, "classmethod");
    if (!b->wrapped || (b->label.number != MPR_FIELD_WRAPPED && b->label.number != MPR_FIELD_FUNC) || !(is_static || is_class))
        return false;
    if (is_class) {
        begin_part(b);
        append_text(b, ".__func__");
    }
    return true;
}

/* What a running function has on its value stack. */
static void join_temporary(builder *b) {
    restart_with_function(b);
    append_text(b, " temporary value");
    b->evaluable = false;
}

static void join_field(builder *b) {
    bool wrapped = join_wrapped(b);
    b->wrapped = false;
    if (wrapped) return;
    if (is_made_field(b->label.number) || is_other_name(b)) b->evaluable = false;
    if (b->label.number == MPR_FIELD_CLOSURE && b->label.kind == MPR_LABEL_FIELD) {
        join_closure(b);
    } else if (b->label.number == MPR_FIELD_CACHE || b->label.number == MPR_FIELD_CACHE_ENTRY) {
        join_cache(b);
    } else if (b->label.number == MPR_FIELD_CELL_CONTENTS && b->at > 0 && !b->evaluable) {
        return; /* the variable is named */
    } else if (b->label.number == MPR_FIELD_TEMPORARY) {
        join_temporary(b);
    } else if (b->label.name[0] == '<') {
        join_unnamed(b);
    } else {
        join_text(b);
        b->in_namespace = b->label.number == MPR_FIELD_DICT || b->label.number == MPR_FIELD_NAMESPACE;
    }
}

/* A class that is met by its instance, or that has no better name, begins the name anew. */
static bool join_class(builder *b) {
    uint32_t next = next_node(b);
    size_t length = 0;
    const char *text = b->g->flags[next] & MPR_NODE_TYPE ? mpr_graph_text(b->g, next, &length) : NULL;
    if (text == NULL || (b->evaluable && b->step[b->at].edge != MPR_NO_EDGE && !b->label.housekeeping)) return false;
    restart(b, text, length, false);
    return true;
}

/* An instance of threading.local, or of a class derived from it. */
static bool is_thread_local(const mpr_graph *g, uint32_t node) {
    uint32_t class = mpr_lookup_class(g, node);
    for (int depth = 0; depth < 8 && class != MPR_NO_NODE; depth++, class = mpr_lookup_field(g, class, MPR_FIELD_BASE)) {
        size_t length = 0;
        const char *text = mpr_graph_text(g, class, &length);
        if (text && length == 14 && memcmp(text, "_thread._local", length) == 0) return true;
    }
    return mpr_graph_type_is(g, node, "_thread._local");
}

static void join_plain(builder *b) {
    uint32_t holder = b->step[b->at].node;
    if (is_cache_step(b)) {
        join_cache(b);
        return;
    }
    if (b->label.kind == MPR_LABEL_OFFSET && is_thread_local(b->g, holder)) {
        b->in_local = true;
        b->evaluable = false;
        return;
    }
    switch (b->label.kind) {
    case MPR_LABEL_ATTR:
        join_attribute(b);
        break;
    case MPR_LABEL_FIELD:
        join_field(b);
        break;
    case MPR_LABEL_INDEX:
        join_text(b);
        break;
    case MPR_LABEL_VALUE:
        join_value(b);
        break;
    case MPR_LABEL_LOCAL:
    case MPR_LABEL_CELL:
        join_variable(b);
        break;
    case MPR_LABEL_STACK:
        join_temporary(b);
        break;
    case MPR_LABEL_KEY:
        begin_part(b);
        append_text(b, " ");
        join_text(b);
        b->evaluable = false;
        break;
    default:
        if (!b->in_local) join_unnamed(b);
    }
}

/* Is the holder a running frame? Its function begins the name. */
static bool is_running(const builder *b) {
    uint32_t node = b->step[b->at].node;
    if (b->at == 0) return false;
    bool of_thread = (b->g->flags[b->step[b->at - 1].node] & MPR_NODE_SYNTHETIC) && b->at > 2;
    return of_thread && ((b->g->flags[node] & MPR_NODE_SYNTHETIC) || mpr_graph_type_is(b->g, node, "frame"));
}

static bool is_synthetic_root(const builder *b) {
    return (b->g->flags[b->step[b->at].node] & MPR_NODE_SYNTHETIC) && !is_running(b);
}

static void join_step(builder *b) {
    const mpr_step *step = &b->step[b->at];
    if (step->edge == MPR_NO_EDGE)
        mpr_graph_resolve_class(&b->label);
    else
        mpr_graph_resolve(b->g, step->node, step->edge, &b->label);
    if (is_synthetic_root(b)) {
        join_root(b);
    } else if (is_running(b) && b->label.kind != MPR_LABEL_LOCAL && b->label.kind != MPR_LABEL_CELL) {
        size_t length = 0;
        const char *code = code_of(b->g, step->node, &length);
        restart(b, code ? code : "?", code ? length : 1, false);
        join_plain(b);
    } else if (!join_module(b) && !join_class(b)) {
        bool in_context =
            mpr_graph_type_is(b->g, step->node, "_contextvars.Context") || mpr_graph_type_is(b->g, step->node, "Context");
        if (!in_context || !join_context(b)) join_plain(b);
    }
}

/* Is this step to a reader what the one before was: by the same index or attribute, from one object of a type to another? A path may have a
 * million of them. */
static bool is_once_more(const builder *b) {
    const mpr_graph *g = b->g;
    const mpr_step *step = b->step + b->at;
    if (b->at < 2 || b->in_local || b->in_cache || b->in_namespace || b->unnamed || step[-1].edge == MPR_NO_EDGE ||
        step[0].edge == MPR_NO_EDGE || g->label[step[-1].edge] != g->label[step[0].edge])
        return false;
    mpr_label_kind kind = mpr_label_kind_of(g->label[step[0].edge]);
    uint32_t type = g->type[step[0].node];
    return (kind == MPR_LABEL_INDEX || kind == MPR_LABEL_INLINE) && g->type[step[-1].node] == type &&
           g->type[step[1].node] == type &&
           !((g->flags[step[-1].node] | g->flags[step[1].node]) & (MPR_NODE_SYNTHETIC | MPR_NODE_TYPE | MPR_NODE_MODULE));
}

static void join_once_more(builder *b) {
    size_t from = b->part.items[b->part.count - 1], length = b->text.count - from;
    begin_part(b);
    if (b->status == MPR_OK) b->status = mpr_vec_reserve(&b->text, b->g->alloc, length); /* what is copied may move */
    if (b->status == MPR_OK) append(b, b->text.items + from, length);
}

/* ---- folding ----------------------------------------------------------------------------------------------------------- */

static size_t part_end(const builder *b, size_t part) { return part + 1 < b->part.count ? b->part.items[part + 1] : b->text.count; }

static bool equal_parts(const builder *b, size_t left, size_t right) {
    size_t from = b->part.items[left], length = part_end(b, left) - from;
    return part_end(b, right) - b->part.items[right] == length &&
           memcmp(b->text.items + from, b->text.items + b->part.items[right], length) == 0;
}

/* How often the `unit` parts from `part` on stand there in a row. */
static size_t repeats(const builder *b, size_t part, size_t unit) {
    size_t end = part + unit;
    while (end < b->part.count && equal_parts(b, end - unit, end)) end++;
    return (end - part) / unit;
}

static int put(mpr_name *out, mpr_alloc *alloc, const char *text, size_t length) {
    if (mpr_vec_reserve(&out->text, alloc, length) != MPR_OK) return MPR_ENOMEM;
    if (length > 0) memcpy(out->text.items + out->text.count, text, length);
    out->text.count += length;
    return MPR_OK;
}

/* " ×29,999 " */
static int put_times(mpr_name *out, mpr_alloc *alloc, size_t times, bool last) {
    char digits[24], text[48];
    int length = snprintf(digits, sizeof digits, "%zu", times);
    size_t at = (size_t)snprintf(text, sizeof text, " ×");
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) text[at++] = ',';
        text[at++] = digits[i];
    }
    if (!last) text[at++] = ' ';
    return put(out, alloc, text, at);
}

static int put_folded(const builder *b, size_t part, size_t unit, size_t times, mpr_name *out) {
    mpr_alloc *alloc = b->g->alloc;
    size_t from = b->part.items[part], to = part_end(b, part + unit - 1), end = part + unit * times;
    int status = unit > 1 ? put(out, alloc, "(", 1) : MPR_OK;
    if (status == MPR_OK) status = put(out, alloc, b->text.items + from, to - from);
    if (status == MPR_OK && unit > 1) status = put(out, alloc, ")", 1);
    out->evaluable = false;
    return status == MPR_OK ? put_times(out, alloc, times, end == b->part.count || b->text.items[b->part.items[end]] == ' ')
                            : status;
}

static int fold(const builder *b, mpr_name *out) {
    int status = MPR_OK;
    for (size_t part = 0; part < b->part.count && status == MPR_OK;) {
        size_t unit = 1, times = 1;
        for (; unit <= LONGEST_FOLD && part > 0; unit++)
            if ((times = repeats(b, part, unit)) >= FEWEST_REPEATS) break;
        if (part > 0 && unit <= LONGEST_FOLD) {
            status = put_folded(b, part, unit, times, out);
            part += unit * times;
        } else {
            status = put(out, b->g->alloc, b->text.items + b->part.items[part], part_end(b, part) - b->part.items[part]);
            part++;
        }
    }
    return status;
}

/* ---- all of it --------------------------------------------------------------------------------------------------------- */

int mpr_names_join(const mpr_graph *g, const mpr_step *step, size_t count, const mpr_name_keys *keys, mpr_name *out) {
    builder b = {.g = g, .keys = keys, .step = step, .count = count};
    for (; b.at + 1 < count && b.status == MPR_OK; b.at++) {
        if (is_once_more(&b))
            join_once_more(&b);
        else
            join_step(&b);
    }
    if (b.in_local) append_text(&b, ".__dict__");
    if (b.in_namespace && count > 1 && !mpr_lookup_gives_namespace(g, step[count - 2].node)) b.evaluable = false;
    if (count > 1 && !b.evaluable && is_function_like(g, step[count - 1].node)) restart_what(&b, "", step[count - 1].node);
    if (b.part.count == 0 && count > 0) {
        size_t length = 0;
        const char *text = mpr_graph_text(g, step[count - 1].node, &length);
        if (text != NULL) restart(&b, text, length, false);
    }
    out->text.count = 0;
    out->evaluable = b.evaluable;
    out->module = b.module;
    int status = b.status == MPR_OK ? fold(&b, out) : b.status;
    mpr_vec_free(&b.text, g->alloc);
    mpr_vec_free(&b.part, g->alloc);
    return status;
}
