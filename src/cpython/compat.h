/* SPDX-License-Identifier: MIT
 * Python.h, and the public API's differences between versions as functions with one meaning. Versions are compared here and in layout.*
 * alone (make lint holds that).
 *
 * Used by the layers facts and above. */
#ifndef CPY_COMPAT_H
#define CPY_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "cpython/blocks.h"

/* What the module declares of itself, where the version asks: it works under the GIL of its interpreter, and in the main one's family
 * alone. In a free-threaded build it does without a GIL: importing a module that does not say so would switch one on. */
#ifdef Py_GIL_DISABLED
#define CPY_MODULE_SLOTS {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED}, {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#elif PY_VERSION_HEX >= 0x030D0000
#define CPY_MODULE_SLOTS {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED}, {Py_mod_gil, Py_MOD_GIL_USED},
#elif PY_VERSION_HEX >= 0x030C0000
#define CPY_MODULE_SLOTS {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED},
#else
#define CPY_MODULE_SLOTS
#endif

/* Words of an object's body are numbered as they are with the GIL, where the head is two words: a count and the type. The head of a
 * free-threaded build has four, and what follows it is the same. */
#define CPY_HEAD_WORDS (sizeof(PyObject) / sizeof(PyObject *))
#define CPY_WORD(n) ((n) + (CPY_HEAD_WORDS - 2))

/* Where the object would begin if its head had two words: for offsets in bytes, and arrays of other than words. */
#define CPY_BODY(object) ((const char *)(object) + (CPY_HEAD_WORDS - 2) * sizeof(PyObject *))

/* The type's own namespace, borrowed; NULL if it has none. Static builtin types keep it in the interpreter since 3.12. */
PyObject *cpy_type_namespace(PyTypeObject *type);

/* Is it a tuple that is not filled yet? Whoever fills it expects to have the only reference, and fails when somebody else has one (T2); and it has
 * holes. Nobody may have a reference to it, nor may a program get it. */
bool cpy_is_being_made(PyObject *object);

/* True for a class made by a class statement (or type()): its memory is laid out by the interpreter, whatever its name says. */
bool cpy_is_python_class(PyTypeObject *type);

/* The locals of a frame as a mapping, a new reference, or NULL with an exception. */
PyObject *cpy_frame_locals(PyFrameObject *frame);

/* Its globals, a new reference, or NULL with an exception. */
PyObject *cpy_frame_globals(PyFrameObject *frame);

/* Bytes of what PyThread_allocate_lock gives: a semaphore, later a byte of which waiting threads are parked. */
#if PY_VERSION_HEX >= 0x030F0000
#define CPY_THREAD_LOCK_BYTES ((size_t)1)
#else
#define CPY_THREAD_LOCK_BYTES sizeof(sem_t)
#endif

/* Is a _queue.SimpleQueue a ring of items? Before, it has a lock and a list. */
#define CPY_QUEUE_IS_RING (PY_VERSION_HEX >= 0x030D0000)

/* Does an open _io.FileIO keep what fstat() said, in a block of its own? */
#define CPY_FILEIO_KEEPS_STAT (PY_VERSION_HEX >= 0x030E0000)

/* Do objects that the interpreter keeps ready have the address of the next one in place of their count? Before, lists of them are elsewhere. */
#define CPY_FREE_LISTS_BY_COUNT (PY_VERSION_HEX >= 0x030E0000)

/* The type of frozendict, or NULL where there is none. */
#if PY_VERSION_HEX >= 0x030F0000
#define CPY_FROZENDICT (&PyFrozenDict_Type)
#else
#define CPY_FROZENDICT NULL
#endif

/* What the reference count says, and whether it says anything. Immortal objects have none to speak of. */
static inline bool cpy_is_immortal(PyObject *object) {
#if PY_VERSION_HEX >= 0x030C0000
    return _Py_IsImmortal(object);
#elif PY_VERSION_HEX >= 0x030B0000
    return Py_REFCNT(object) > (1 << 28); /* static objects begin at 999999999 */
#else
    (void)object;
    return false;
#endif
}

/* May a word be the address of something that begins at one? It is not followed for that. */
static inline bool cpy_is_pointer(uint64_t word) { return word > 4096 && word % sizeof(void *) == 0 && word >> 47 == 0; }

/* The first word of an object as it may be: a count that is neither 0 nor absurd. From 3.14 on flags stand above it; a pointer is none. */
static inline bool cpy_is_plausible_count(uint64_t word) {
    const uint64_t most = 100000000;
#if PY_VERSION_HEX >= 0x030E0000
    uint64_t flags = word >> 48, overflow = word >> 32 & 0xFFFF;
    bool above = overflow == 0 && flags < 0x400;
#else
    bool above = word >> 32 == 0;
#endif
    uint32_t count = (uint32_t)word;
    bool immortal = PY_VERSION_HEX >= 0x030C0000 && (int32_t)count < 0;
    return above && ((count > 0 && count < most) || immortal);
}

/* Is what lies at the beginning of an object's memory a count that an object in use has? Whoever frees a block writes an address into its first
 * words, or leaves a count of 0. */
static inline bool cpy_is_plausible_head(const PyObject *object) {
#ifdef Py_GIL_DISABLED
    const int64_t most = 100000000;
    int64_t shared = (int64_t)(object->ob_ref_shared >> _Py_REF_SHARED_SHIFT), count = shared + (int64_t)object->ob_ref_local;
    return count > 0 && (count < most || object->ob_ref_local == UINT32_MAX);
#else
    uint64_t word;
    memcpy(&word, object, sizeof word);
    return cpy_is_plausible_count(word);
#endif
}

#ifdef Py_GIL_DISABLED
#define CPY_GC_UNREACHABLE 4u /* bits of ob_gc_bits: layout.c compares them with the interpreter's own header */
#define CPY_GC_DEFERRED 64u
#endif

/* What the count of an object has beyond its references, where counting is deferred (functions, methods and other descriptors, code, modules and
 * their namespaces, classes), so that it is never 0 before a collection: 1 in a free-threaded 3.13, later very many. From 3.14 on each thread
 * counts the references that it makes to classes, code and namespaces by itself, and what is on a stack need not be counted at all.
 * The world must be stopped. */
#ifdef Py_GIL_DISABLED
int64_t cpy_deferred_count(PyObject *object);
#endif

/* How many references there are to a mortal object. A collection that is under way in another thread of a free-threaded build holds what it has
 * found unreachable: that is no reference of the program. */
static inline uint64_t cpy_refcount(PyObject *object) {
#ifdef Py_GIL_DISABLED
    int64_t beyond =
        object->ob_gc_bits & CPY_GC_DEFERRED ? cpy_deferred_count(object) : (object->ob_gc_bits & CPY_GC_UNREACHABLE) != 0;
    return (uint64_t)((int64_t)Py_REFCNT(object) - beyond);
#else
    return (uint64_t)Py_REFCNT(object);
#endif
}

/* A lock for what the GIL protects where there is one; {0} is free. A thread that waits for it does not keep others from stopping the world. It is
 * not recursive, and not held while Python runs. */
#ifdef Py_GIL_DISABLED
typedef PyMutex cpy_mutex;
static inline void cpy_mutex_lock(cpy_mutex *mutex) { PyMutex_Lock(mutex); }
static inline void cpy_mutex_unlock(cpy_mutex *mutex) { PyMutex_Unlock(mutex); }
#else
typedef char cpy_mutex;
static inline void cpy_mutex_lock(cpy_mutex *mutex) { (void)mutex; }
static inline void cpy_mutex_unlock(cpy_mutex *mutex) { (void)mutex; }
#endif

/* Between the two, in one block, no other thread is between them with the same object: what the GIL gives, where there is one, to code that does
 * not run Python. Code that runs Python, or waits, lets others in meanwhile. Nothing leaves the block but at its end. */
#ifdef Py_GIL_DISABLED
#define CPY_BEGIN_ALONE(object) Py_BEGIN_CRITICAL_SECTION(object)
#define CPY_END_ALONE() Py_END_CRITICAL_SECTION()
#else
#define CPY_BEGIN_ALONE(object) {
#define CPY_END_ALONE() }
#endif

/* Allocated digits of an int, at least 1. */
size_t cpy_int_digits(PyObject *integer);

/* The digits themselves, the lowest first. */
const digit *cpy_int_value(PyObject *integer, bool *negative);

/* True when the str is interned. */
bool cpy_is_interned(PyObject *str);

/* Bytes of a bytearray's buffer, which is given to `blocks` unless that is NULL. From 3.15 on it is a bytes object: a block of the bytearray
 * alone as long as nobody else refers to it. */
size_t cpy_bytearray_bytes(PyObject *bytearray, cpy_blocks *blocks);

/* That bytes object, or NULL. */
PyObject *cpy_bytearray_object(PyObject *bytearray);

/* True unless it is a legacy str (until 3.11) whose characters are not made yet. */
bool cpy_str_is_ready(PyObject *str);

/* Bytes of a str's own block. */
size_t cpy_str_body_bytes(PyObject *str);

/* Bytes of the characters of a str that is not compact, and of a cached UTF-8 form; each block is given to `blocks` unless that is NULL. */
size_t cpy_str_buffer_bytes(PyObject *str, cpy_blocks *blocks);

#endif
