/* SPDX-License-Identifier: MIT
 * Layouts of the interpreter's state, of its threads and of its collector: facts by version (layout.h). */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "cpython/layout.h"

#include <internal/pycore_gc.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_runtime.h>
#if PY_VERSION_HEX >= 0x030B0000
#include <internal/pycore_moduleobject.h>
#endif
#ifdef Py_GIL_DISABLED
#include <internal/pycore_hashtable.h>
#endif
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_interp_structs.h>
#endif

#include "graph/label.h"

#define WORD(object, n) (((PyObject **)(object))[n])

/* ---- the collector ---- */

static struct _gc_runtime_state *collector(void) {
    PyInterpreterState *interpreter = PyInterpreterState_Get();
#if PY_VERSION_HEX >= 0x030D0000
    return (struct _gc_runtime_state *)((char *)interpreter + _PyRuntime.debug_offsets.interpreter_state.gc);
#else
    return &interpreter->gc;
#endif
}

#ifdef Py_GIL_DISABLED
int cpy_layout_gc_heads(cpy_gc_head *heads[CPY_GENERATIONS]) {
    (void)heads;
    return 0;
}
#else
int cpy_layout_gc_heads(cpy_gc_head *heads[CPY_GENERATIONS]) {
    struct _gc_runtime_state *gc = collector();
#if PY_VERSION_HEX >= 0x030E0000 && PY_VERSION_HEX < 0x030E0500
    struct gc_generation *first = &gc->young;
#else
    struct gc_generation *first = gc->generations;
#endif
    for (int i = 0; i < 3; i++) {
        heads[i] = (cpy_gc_head *)&first[i].head;
    }
    heads[3] = (cpy_gc_head *)&gc->permanent_generation.head;
    return CPY_GENERATIONS;
}
#endif

bool cpy_layout_collecting(void) { return collector()->collecting != 0; }

/* ---- the interpreter and its threads ---- */

PyObject *cpy_layout_interned(void) {
#if PY_VERSION_HEX >= 0x030C0000
    return PyInterpreterState_Get()->cached_objects.interned_strings;
#else
    return NULL; /* a variable of Objects/unicodeobject.c */
#endif
}

uint64_t cpy_layout_free_float(void) {
#if PY_VERSION_HEX >= 0x030E0000 || defined(Py_GIL_DISABLED) /* each thread has its own, which no search of pools meets */
    return 0;
#elif PY_VERSION_HEX >= 0x030D0000
    return (uint64_t)(uintptr_t)PyInterpreterState_Get()->object_state.freelists.floats.items;
#else
    return (uint64_t)(uintptr_t)PyInterpreterState_Get()->float_state.free_list;
#endif
}

void cpy_layout_attribute_cache(cpy_owned emit, void *context) {
#if PY_VERSION_HEX >= 0x030C0000
    const struct type_cache *cache = &PyInterpreterState_Get()->types.type_cache;
#else
    const struct type_cache *cache = &PyInterpreterState_Get()->type_cache;
#endif
    for (size_t i = 0; i < sizeof cache->hashtable / sizeof *cache->hashtable; i++) {
        emit(context, cache->hashtable[i].name, MPR_FIELD_ATTRIBUTE_CACHE);
    }
}

PyObject *cpy_layout_accumulated(PyObject *stringio) {
#if PY_VERSION_HEX >= 0x030E0000
    PyObject **writer = (PyObject **)WORD(stringio, CPY_WORD(7)); /* a block of its own, which begins with the str */
    return writer == NULL ? NULL : *writer;
#elif PY_VERSION_HEX >= 0x030C0000
    return WORD(stringio, CPY_WORD(7));
#else
    return WORD(stringio, CPY_WORD(8)); /* a list of strs */
#endif
}

PyObject *cpy_layout_module_name(PyObject *module) {
#if PY_VERSION_HEX >= 0x030B0000
    return ((PyModuleObject *)module)->md_name;
#else
    return WORD(module, CPY_WORD(6));
#endif
}

/* Types and singletons of the syntax tree: the struct ends with nothing but references. */
static void emit_ast(struct ast_state *ast, cpy_owned emit, void *context) {
    PyObject **end = (PyObject **)(ast + 1);
    for (PyObject **at = &ast->AST_type; at < end; at++) {
        emit(context, *at, MPR_FIELD_INTERP_STATE);
    }
}

void cpy_layout_interpreter(cpy_owned emit, void *context) {
    PyInterpreterState *interpreter = PyInterpreterState_Get();
    struct _gc_runtime_state *gc = collector();
    emit(context, interpreter->sysdict, MPR_FIELD_SYSDICT);
    emit(context, interpreter->builtins, MPR_FIELD_BUILTINS_DICT);
    emit(context, interpreter->dict, MPR_FIELD_INTERP_DICT);
    emit(context, interpreter->builtins_copy, MPR_FIELD_INTERP_STATE);
    emit(context, interpreter->before_forkers, MPR_FIELD_INTERP_STATE);
    emit(context, interpreter->after_forkers_parent, MPR_FIELD_INTERP_STATE);
    emit(context, interpreter->after_forkers_child, MPR_FIELD_INTERP_STATE);
    emit(context, interpreter->audit_hooks, MPR_FIELD_INTERP_STATE);
    emit_ast(&interpreter->ast, emit, context);
    emit(context, gc->garbage, MPR_FIELD_GARBAGE);
    emit(context, gc->callbacks, MPR_FIELD_CALLBACKS);
#if PY_VERSION_HEX >= 0x030E0000
    emit(context, interpreter->atexit.callbacks, MPR_FIELD_ATEXIT); /* before 3.14 no list */
#endif
#if PY_VERSION_HEX >= 0x030D0000
    emit(context, interpreter->codecs.search_path, MPR_FIELD_INTERP_STATE);
    emit(context, interpreter->codecs.search_cache, MPR_FIELD_INTERP_STATE);
    emit(context, interpreter->codecs.error_registry, MPR_FIELD_INTERP_STATE);
#else
    emit(context, interpreter->codec_search_path, MPR_FIELD_INTERP_STATE);
    emit(context, interpreter->codec_search_cache, MPR_FIELD_INTERP_STATE);
    emit(context, interpreter->codec_error_registry, MPR_FIELD_INTERP_STATE);
#endif
#if PY_VERSION_HEX >= 0x030C0000
    emit(context, interpreter->sysdict_copy, MPR_FIELD_INTERP_STATE);
    emit(context, interpreter->imports.modules_by_index, MPR_FIELD_INTERP_STATE);
    emit(context, interpreter->imports.importlib, MPR_FIELD_INTERP_STATE);
    emit(context, interpreter->imports.import_func, MPR_FIELD_INTERP_STATE);
    struct _Py_interp_cached_objects *cached = &interpreter->cached_objects; /* objreduce is borrowed */
    emit(context, (PyObject *)cached->generic_type, MPR_FIELD_INTERP_STATE);
    emit(context, (PyObject *)cached->typevar_type, MPR_FIELD_INTERP_STATE);
    emit(context, (PyObject *)cached->typevartuple_type, MPR_FIELD_INTERP_STATE);
    emit(context, (PyObject *)cached->paramspec_type, MPR_FIELD_INTERP_STATE);
    emit(context, (PyObject *)cached->paramspecargs_type, MPR_FIELD_INTERP_STATE);
    emit(context, (PyObject *)cached->paramspeckwargs_type, MPR_FIELD_INTERP_STATE);
#else
    emit(context, interpreter->modules_by_index, MPR_FIELD_INTERP_STATE);
    emit(context, interpreter->importlib, MPR_FIELD_INTERP_STATE);
    emit(context, interpreter->import_func, MPR_FIELD_INTERP_STATE);
#endif
}

void cpy_layout_singletons(cpy_owned emit, void *context) {
#if PY_VERSION_HEX < 0x030B0000
    PyInterpreterState *interpreter = PyInterpreterState_Get();
    for (size_t i = 0; i < sizeof interpreter->small_ints / sizeof *interpreter->small_ints; i++) {
        emit(context, (PyObject *)interpreter->small_ints[i], MPR_FIELD_INTERP_STATE);
    }
    emit(context, interpreter->bytes.empty_string, MPR_FIELD_INTERP_STATE);
    emit(context, interpreter->unicode.empty_string, MPR_FIELD_INTERP_STATE);
    for (size_t i = 0; i < 256; i++) {
        emit(context, (PyObject *)interpreter->bytes.characters[i], MPR_FIELD_INTERP_STATE);
        emit(context, interpreter->unicode.latin1[i], MPR_FIELD_INTERP_STATE);
    }
#else
    (void)emit, (void)context;
#endif
}

void cpy_layout_constants(cpy_owned emit, void *context) {
#ifdef Py_GIL_DISABLED
    const _Py_hashtable_t *constants = PyInterpreterState_Get()->code_state.constants;
    for (size_t i = 0; constants != NULL && i < constants->nbuckets; i++) {
        for (const _Py_slist_item_t *at = constants->buckets[i].head; at != NULL; at = at->next) {
            emit(context, (PyObject *)((const _Py_hashtable_entry_t *)at)->key, MPR_FIELD_CONSTANT);
        }
    }
#else
    (void)emit, (void)context;
#endif
}

void cpy_layout_thread(PyThreadState *thread, cpy_owned emit, void *context) {
    emit(context, thread->dict, MPR_FIELD_THREAD_DICT);
    emit(context, thread->context, MPR_FIELD_THREAD_CONTEXT);
    emit(context, thread->c_profileobj, MPR_FIELD_THREAD_PROFILE);
    emit(context, thread->c_traceobj, MPR_FIELD_THREAD_TRACE);
    emit(context, thread->async_exc, MPR_FIELD_THREAD_EXC);
    emit(context, thread->async_gen_firstiter, MPR_FIELD_ASYNC_HOOK);
    emit(context, thread->async_gen_finalizer, MPR_FIELD_ASYNC_HOOK);
    emit(context, thread->exc_state.exc_value, MPR_FIELD_EXC_STATE);
#if PY_VERSION_HEX < 0x030B0000
    emit(context, thread->exc_state.exc_type, MPR_FIELD_EXC_STATE);
    emit(context, thread->exc_state.exc_traceback, MPR_FIELD_EXC_STATE);
#endif
#if PY_VERSION_HEX >= 0x030C0000
    emit(context, thread->current_exception, MPR_FIELD_THREAD_EXC);
#else
    emit(context, thread->curexc_type, MPR_FIELD_THREAD_EXC);
    emit(context, thread->curexc_value, MPR_FIELD_THREAD_EXC);
    emit(context, thread->curexc_traceback, MPR_FIELD_THREAD_EXC);
#endif
#if PY_VERSION_HEX >= 0x030D0000
    emit(context, thread->threading_local_key, MPR_FIELD_THREAD_DICT);
    emit(context, thread->threading_local_sentinel, MPR_FIELD_THREAD_DICT);
#endif
}
