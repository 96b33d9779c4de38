"""What to do about a suspect. A line is chosen by evidence: by what retains it (the objects above it in the dominator tree, and the
labels on its path), or by what makes up at least half of what it keeps; never by a type that occurs somewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memprobe._labels import Label
    from memprobe._names import Steps
    from memprobe.heap import Heap
    from memprobe.results import Node

DEEPEST = 100  # objects above a suspect that are looked at
LOOKED_AT = 20  # objects of many that evidence is looked for in
CALLED = ("function", "method", "functools.partial", "builtin_function_or_method")

GENERAL = "Does it ever shrink? Bound it, or remove entries when their work is done."
LARGE = "One large object: is all of it needed, and for so long?"
GARBAGE = "Reference cycles: gc.collect() frees them, unless the collector is off; cut one edge with a weakref."
C_CODE = "No Python object holds them: C code keeps a reference, or forgot to give one back (Py_DECREF)."
C_CALLS = "Functions that only C code holds: was each atexit.register() undone, and each callback of a library?"
INTERNED = (
    "Interned for good, and nothing refers to them: make fewer names at run time (sys.intern, setattr, exec). 3.13 frees most."
)
INTERNED_TABLE = "The table of all interned strings: what makes so many names at run time (sys.intern, setattr, exec)?"
GC_GARBAGE = "gc.garbage: empty it, and switch DEBUG_SAVEALL off."
TEMPORARY = "A value of an expression that is being evaluated: it goes when that is done, unless something keeps it."
LOCAL = "A local variable of a running function: del it, or let the function end."
BOUNDED_CACHE = "A functools cache with a bound: a smaller maxsize keeps fewer results; cache_clear() empties it."
UNBOUNDED_CACHE = "A functools cache without a bound: give it a maxsize or clear it; on a method it keeps every instance alive."
QUEUE = "A queue that is filled faster than it is emptied: put less, take more, or make put() wait for room."
THREAD_LOCAL = "Thread-local data lives as long as its thread: clear it after each piece of work."
CONTEXT = "A context variable: reset() it with its token."
EXCEPTION = "An exception keeps the frames of its traceback, with all their locals: keep its text instead."
HANDLER = "A logging handler: remove or flush it; MemoryHandler and caplog keep their records."
DEQUE = "A deque without a bound: give it a maxlen, or take from its other end."
WEAK = "In a weak dictionary a value that refers to its own key keeps both: use a weakref."
GENERATOR = "A generator that is never closed keeps its locals: close() it."
TASKS = "Tasks that never end: await or cancel them, and drop them from here when they are done."
GENERATORS = "Generators that are never closed keep their locals: close() them."
EXCEPTIONS = "Stored exceptions keep the frames of their tracebacks: keep their texts, or clear __traceback__."
METHODS = "Bound methods keep their objects alive: unsubscribe, or hold them by weakref.WeakMethod."
FUNCTIONS = "Functions with closures keep what they use: unsubscribe them when they are done."
VIEWS = "Views keep whole buffers alive: where a part is needed, copy it."

# The types of what retains, and what to do about it: the nearest object above decides.
ABOVE: tuple[tuple[tuple[str, ...], str], ...] = (
    (("queue.", "asyncio.queues.", "_queue.", "multiprocessing.queues."), QUEUE),
    (("logging.",), HANDLER),
    (("_thread._local",), THREAD_LOCAL),
    (("traceback",), EXCEPTION),
    (("generator", "async_generator"), GENERATOR),
)
# The types of at least half of what is kept, right below.
BELOW: tuple[tuple[tuple[str, ...], str], ...] = (
    (("_asyncio.Task", "asyncio.tasks.Task", "coroutine"), TASKS),
    (("generator", "async_generator"), GENERATORS),
    (("method",), METHODS),
    (("traceback",), EXCEPTION),
)
CONTAINERS = (
    "dict",
    "list",
    "set",
    "tuple",
    "frozenset",
    "collections.deque",
    "collections.OrderedDict",
    "collections.defaultdict",
)


def of_suspect(heap: Heap, kind: str, type: str, point: int | None, at: int, steps: Steps, members: Sequence[int] = ()) -> str:
    """The line for a suspect, one object or many of a type: `point` is the object that keeps it all, or None; `at` is that or one
    of many (`members`), and `steps` its path."""
    if kind == "garbage":
        return GARBAGE
    if kind == "C references":
        return C_CALLS if heap.node(at).type in CALLED else C_CODE
    if kind == "group" and _are_interned(heap, members):
        return INTERNED
    many = _of_types(((type, 1, 1, at),), 1) if kind == "group" else None
    if many or point is None:
        return many or GENERAL
    kept = heap._graph.kept(point)
    below = heap._graph.children(point)
    found = _above(heap, point, steps) or _of_types(below, kept) or _of_objects(heap, below, kept)
    if found:
        return found
    node = heap.node(point)
    plain = 2 * node.size > kept and node.type not in CONTAINERS
    return LARGE if plain else GENERAL


def _are_interned(heap: Heap, members: Sequence[int]) -> bool:
    """Are most of these interned strings that are immortal, and to which only the interpreter refers?"""
    looked_at = members[:: max(1, len(members) // LOOKED_AT)]
    return 2 * sum(_is_left_over(heap, id) for id in looked_at) > len(looked_at)


def _is_left_over(heap: Heap, id: int) -> bool:
    weak = (row[3] or "synthetic" in heap.node(row[0]).flags for row in heap._graph.edges_in(id, LOOKED_AT))
    return {"interned", "immortal"} <= heap.node(id).flags and all(weak)


# ---- what retains -----------------------------------------------------------------------------------------------------


def _above(heap: Heap, point: int, steps: Steps) -> str | None:
    if any(label.kind == "field" and label.name == "gc.garbage" for label in _labels(steps, 4)):
        return GC_GARBAGE
    if any(label.kind == "field" and label.name == "<atexit callbacks>" for label in _labels(steps, 4)):
        return C_CALLS
    if any(label.kind == "field" and label.name == "<interned strings>" for label in _labels(steps, -1)):
        return INTERNED_TABLE
    for id in _dominators(heap, point):
        node = heap.node(id)
        found = _of_owner(heap, node, point)
        if found:
            return found
    last = _labels(steps, -3)
    node = heap.node(point)
    if node.type == "collections.deque" and "bounded" not in node.flags:
        return DEQUE
    if any(label.kind == "field" and label.name == "__traceback__" for label in last):
        return EXCEPTION
    if any(label.kind == "field" and label.name == "<thread-local data>" for label in _labels(steps, 4)):
        return THREAD_LOCAL
    if any(label.kind == "stack" or label.name == "<temporary value>" for label in _labels(steps, -1)):
        return TEMPORARY
    if any(label.kind in ("local", "cell") for label in last) and _is_running(heap, steps):
        return LOCAL
    return None


def _of_owner(heap: Heap, node: Node, point: int) -> str | None:
    """What an object means that retains the suspect, or is it."""
    special: dict[str, Callable[[Heap, int], str | None]] = {
        "functools._lru_cache_wrapper": _cache,
        "weakref.WeakKeyDictionary": _weak_keys,
    }
    if node.type in special:
        return special[node.type](heap, node.id)
    if node.type.rpartition(".")[2] in ("Context", "hamt", "hamt_bitmap_node") and node.id != point:
        return CONTEXT
    for types, line in ABOVE:
        if node.type in types or any(type.endswith(".") and node.type.startswith(type) for type in types):
            return line
    return None


def _dominators(heap: Heap, point: int) -> list[int]:
    """The object and those that retain it, up to a module, class, root or frame."""
    out: list[int] = []
    at: int | None = point
    while at is not None and len(out) < DEEPEST and not heap.node(at).flags & {"module", "type", "synthetic"}:
        out.append(at)
        at = heap._graph.dominator(at)
    return out


def _labels(steps: Steps, count: int) -> list[Label]:
    """The first labels of a path, or the last for a negative count."""
    places = range(len(steps))
    return [steps.label(index) for index in (places[:count] if count >= 0 else places[count:])]


def _is_running(heap: Heap, steps: Steps) -> bool:
    """Does the path come from a thread's frame?"""
    return any("synthetic" in heap.node(id).flags and heap.node(id).type == "<frame>" for id in steps.ids[:5]) or any(
        heap.node(id).type in ("frame", "coroutine") for id in steps.ids[3:-1][-4:]
    )


def _cache(heap: Heap, wrapper: int) -> str:
    """A bounded cache has a list of links beside its dict."""
    bounded = any(row[5] == "<cache entry>" for row in heap._graph.edges_out(wrapper, LOOKED_AT))
    return BOUNDED_CACHE if bounded else UNBOUNDED_CACHE


def _weak_keys(heap: Heap, dictionary: int) -> str | None:
    """Are keys, which it refers to weakly, alive through its own values alone?"""
    for data in _targets(heap, dictionary, "dict"):
        for reference in _targets(heap, data, "weakref", "weakref.ReferenceType", "ReferenceType", "weakref.KeyedRef"):
            for row in heap._graph.edges_out(reference):
                if row[5] == "<referent>" and {data, dictionary} & set(_dominators(heap, row[0])):
                    return WEAK
    return None


def _targets(heap: Heap, id: int, *types: str) -> list[int]:
    """Some of what an object refers to, of these types; through its namespace."""
    found = []
    for row in heap._graph.edges_out(id, 100):
        kind = heap.node(row[0]).type
        if kind in types:
            found.append(row[0])
        if row[5] == "__dict__":
            found += [inner[0] for inner in heap._graph.edges_out(row[0], 100) if heap.node(inner[0]).type in types]
    return found[:LOOKED_AT]


# ---- what is kept -----------------------------------------------------------------------------------------------------

Children = Sequence[tuple[str, int, int, int]]  # type, objects, bytes with all that they keep, the one that keeps most


def _of_types(below: Children, kept: int) -> str | None:
    for types, line in BELOW:
        if 2 * sum(total for type, _, total, _ in below if type in types) >= kept:
            return line
    return None


def _of_objects(heap: Heap, below: Children, kept: int) -> str | None:
    """Evidence in the objects themselves: the one of each type that keeps most stands for the others."""
    for _, _, total, id in below:
        if 2 * total < kept:
            continue
        node = heap.node(id)
        if _keeps_by(heap, id, "__traceback__"):
            return EXCEPTIONS
        if node.type == "function" and _keeps_by(heap, id, "__closure__"):
            return FUNCTIONS
        if (node.type == "memoryview" and heap._graph.kept(id) > 2 * node.size) or (
            node.type == "numpy.ndarray" and _keeps_by(heap, id, "base")
        ):
            return VIEWS
    return None


def _keeps_by(heap: Heap, id: int, field: str) -> bool:
    """Does an object keep most of what it keeps by this reference alone?"""
    for row in heap._graph.edges_out(id, 100):
        if row[5] == field and heap._graph.dominator(row[0]) is not None and id in _dominators(heap, row[0]):
            return 2 * heap._graph.kept(row[0]) >= heap._graph.kept(id)
    return False
