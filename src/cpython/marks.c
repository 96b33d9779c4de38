/* SPDX-License-Identifier: MIT
 * Which types' instances may hold native memory that no formula knows: a fact about the type alone, found when it is first met.
 *
 * Native memory is freed by the type's own tp_dealloc (or tp_finalize): a type that has none of its own holds nothing more than its base.
 * So the bases are followed from the class down, until one is known:
 *
 *   a class of Python              its memory is laid out by the interpreter: go on
 *   a row of the table of kinds    the formula says all: no mark (unless it is partial or not proved: a mark)
 *   listed below                   it owns its body and references, nothing else: no mark
 *   no destructor but the base's   nothing of its own that it could free: go on
 *     or one of the interpreter's, or no room for a pointer
 *   anything else                  a mark
 *
 * The list has types of the interpreter and of the standard library, whose source was read for it. A type of another library is never
 * listed by its module: a name proves nothing there. What a file descriptor stands for is the kernel's, and no memory of the process. */
#include <string.h>

#include "cpython/library.h"
#include "cpython/types.h"

/* Each list is one text: names with a space before and behind. Modules none of whose types owns more than its body and references, apart
 * from those with a row of their own: */
static const char plain_modules[] =
    " itertools operator functools typing _typing types weakref datetime _collections _asyncio _abc "
    "_contextvars _json string.templatelib _multibytecodec unicodedata ";

/* Types of those modules that do own more: arrays of indices, or of arguments. */
static const char not_plain[] =
    " itertools.product itertools.permutations itertools.combinations itertools.combinations_with_replacement "
    "operator.methodcaller ";

/* The same as of those modules, by name: types of builtins, and of modules that have others, too. */
static const char plain_types[] =
    /* numbers, sequences, and what iterates over them */
    " bool ellipsis NoneType NotImplementedType range range_iterator longrange_iterator slice iterator "
    "callable_iterator list_iterator list_reverseiterator tuple_iterator set_iterator str_iterator "
    "str_ascii_iterator bytes_iterator bytearray_iterator dict_keys dict_values dict_items dict_keyiterator "
    "dict_valueiterator dict_itemiterator dict_reversekeyiterator dict_reversevalueiterator dict_reverseitemiterator "
    "odict_iterator enumerate reversed zip map filter keys values items hamt hamt_array_node hamt_bitmap_node "
    "hamt_collision_node memory_iterator managedbuffer _buffer_wrapper formatteriterator fieldnameiterator "
    "line_iterator positions_iterator generic_alias_iterator sentinel collections._tuplegetter "
    "collections._deque_iterator collections._deque_reverse_iterator "
    /* functions, their calls, and what classes are made of */
    "super instancemethod builtin_method method-wrapper coroutine_wrapper async_generator_asend "
    "async_generator_athrow async_generator_wrapped_value anext_awaitable TaskStepMethWrapper _RunningLoopHolder "
    "NoDefaultType FrameLocalsProxy lazy_import moduledef EncodingMap weakcallableproxy weakproxy Token.MISSING "
    "InterpreterID "
    /* input and output */
    "_io._IOBase _io._RawIOBase _io._BufferedIOBase _io._TextIOBase _io.TextIOWrapper _io.BufferedRWPair "
    "_io.IncrementalNewlineDecoder _io._BytesIOBuffer _socket.socket select.epoll os.DirEntry posix.DirEntry "
    "os.statx_result "
    /* others of the standard library */
    "_thread._local _thread._localdummy array.arrayiterator ast.AST re.Pattern re.Match _sre.SRE_Template "
    "_struct.unpack_iterator _csv.Dialect decimal.Context decimal.ContextManager decimal.SignalDictMixin "
    "pickle.PickleBuffer _pickle.PicklerMemoProxy _pickle.UnpicklerMemoProxy xml.etree.ElementTree.TreeBuilder "
    "_random.Random sys.legacy_event_handler _ctypes.CFuncPtr _ctypes.CField ctypes.CField _ctypes.CArgObject "
    "CArgObject _ctypes.DictRemover ";

static bool has_word(const char *list, const char *word, size_t length) {
    for (const char *at = list; at[1] != '\0'; at = strchr(at + 1, ' ')) { /* at the space before a word */
        if (strncmp(at + 1, word, length) == 0 && at[1 + length] == ' ') {
            return true;
        }
    }
    return false;
}

/* Is it one of those that own their body and references alone? */
static bool is_plain(const char *name) {
    const char *dot = strrchr(name, '.');
    size_t length = strlen(name);
    bool of_module = dot != NULL && has_word(plain_modules, name, (size_t)(dot - name)) && !has_word(not_plain, name, length);
    return of_module || has_word(plain_types, name, length);
}

/* Does the type free nothing that its base does not? */
static bool adds_nothing(const cpy_proofs *proofs, const PyTypeObject *type) {
    const PyTypeObject *base = type->tp_base;
    bool no_room = type->tp_basicsize == base->tp_basicsize && type->tp_itemsize == base->tp_itemsize;
    bool inherits = type->tp_dealloc == base->tp_dealloc || type->tp_dealloc == PyBaseObject_Type.tp_dealloc ||
                    type->tp_dealloc == proofs->instance_dealloc || type->tp_dealloc == proofs->record_dealloc;
    bool finalizes = (type->tp_finalize != NULL && type->tp_finalize != base->tp_finalize) || type->tp_del != NULL;
    return no_room || (inherits && !finalizes);
}

/* An exception of the interpreter: those of others have no destructor of their own. */
static bool is_exception(PyTypeObject *type) {
    return PyType_FastSubclass(type, Py_TPFLAGS_BASE_EXC_SUBCLASS) && !(type->tp_flags & Py_TPFLAGS_HEAPTYPE);
}

bool cpy_may_hold_native(const cpy_proofs *proofs, PyTypeObject *type) {
    for (; type != NULL && type != &PyBaseObject_Type; type = type->tp_base) {
        if (cpy_is_python_class(type)) {
            continue;
        }
        if (cpy_library_unproved(type, proofs->library)) {
            return true;
        }
        const cpy_kind *row = cpy_kind_exact(type, proofs->library);
        if (row != NULL || is_plain(type->tp_name)) {
            return row != NULL && row->partial;
        }
        if (type->tp_base == NULL || !adds_nothing(proofs, type)) {
            return !is_exception(type);
        }
    }
    return false;
}

/* Builtin types whose instances refer to objects alone, or to nothing. What they own besides is counted in their sizes. */
bool cpy_may_refer_to_native(PyTypeObject *type) {
    const PyTypeObject *const closed[] = {&PyBaseObject_Type, &PyLong_Type,      &PyUnicode_Type, &PyBytes_Type,
                                          &PyByteArray_Type,  &PyList_Type,      &PyTuple_Type,   &PyDict_Type,
                                          &PySet_Type,        &PyFrozenSet_Type, &PyFloat_Type,   &PyBool_Type,
                                          &PyFunction_Type,   &PyMethod_Type,    &PyCell_Type,    &PyComplex_Type};
    while (type->tp_base != NULL && cpy_is_python_class(type)) {
        type = type->tp_base;
    }
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
        if (closed[i] == type) {
            return false;
        }
    }
    return true;
}
