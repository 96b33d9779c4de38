"""Questions to the living heap. They count every object, the untracked and the frozen too, and run nobody's code."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from itertools import zip_longest
from typing import overload

from memprobe import _core
from memprobe._readable import Answers
from memprobe.results import GcStats, Generation, Growth, Holders, PymallocStats, RefCount, Reference, TypeTable


def summary(limit: int | None = 20) -> TypeTable:
    """All objects by type, most bytes first. The table shows `limit` rows (None: all) and knows them all.

    >>> print(memprobe.summary(3))  # doctest: +SKIP
    """
    return TypeTable.of(_core.count(True), check_limit(limit))


@overload
def count(typename: None = None) -> dict[str, int]: ...
@overload
def count(typename: str) -> int: ...
def count(typename: str | None = None) -> dict[str, int] | int:
    """How many objects there are of each type, or of one.

    Types are called as summary() calls them, qualified by their module except for builtins: "dict", "collections.OrderedDict".
    A name without its module counts every type so called: "OrderedDict"."""
    if not isinstance(typename, (str, type(None))):
        raise TypeError(f"typename must be a type's name as a str, not {type(typename).__name__}: try count()['dict'].")
    counted: dict[str, int] = {}
    for name, objects, _, _ in _core.count(False):
        counted[name] = counted.get(name, 0) + objects
    if typename is None:
        return counted
    return counted.get(typename, 0) or sum(n for name, n in counted.items() if name.endswith(f".{typename}"))


def growth(baseline: TypeTable, limit: int | None = 20) -> Growth:
    """What there is more of than in `baseline`, which summary() or heap.types() gave before. Most bytes first."""
    if not isinstance(baseline, TypeTable):
        raise TypeError(f"baseline must be a TypeTable, not {type(baseline).__name__}: take one with memprobe.summary().")
    return Growth.between(baseline, summary(), check_limit(limit))


def deep_sizeof(*objs: object, skip: Iterable[object] = (), housekeeping: bool = False, native: bool = False) -> int:
    """Bytes of the objects and of everything reachable from them, each counted once.

    Weak references are not followed, nor those that every program has (from an instance to its class, from a function to its
    globals, to a module's contents) unless `housekeeping` is true. The objects in `skip` are left out, and what only they lead
    to. With `native` a forked child looks at the blocks of C code that they lead to, too (docs/NATIVE.md): that takes a snapshot of
    the whole heap."""
    if not native:
        return _core.deep_sizeof(objs, skip=tuple(skip), housekeeping=housekeeping)
    from memprobe.native import nodes_of, now

    without = tuple(skip)
    heap = now()
    return heap.deep_sizeof(*nodes_of(heap, objs), skip=nodes_of(heap, without), housekeeping=housekeeping, native=True)


def refcount(obj: object) -> RefCount:
    """An object's reference count and who holds the references, by name. The variable that it was asked with is among them and
    called so; memprobe's own references, and those of the call, are not."""
    count, immortal, (held, rows, callers) = _core.refcount(obj)
    residual = 0 if immortal else count - len(rows)
    return RefCount(count, len(rows), residual, immortal, Holders(rows, held, callers))


def referrers(*objs: object) -> Answers[Reference]:
    """Who refers to any of the objects, and by which name. Holders are the living objects: keep the answer no longer than you
    need it."""
    if not objs:
        raise TypeError("referrers() needs at least one object.")
    held, rows, callers = _core.referrers(objs)
    return Holders(rows, held, callers)


def is_immortal(obj: object) -> bool:
    """Whether the object's reference count means nothing, because it lives as long as the interpreter."""
    return _core.is_immortal(obj)


def is_interned(obj: str) -> bool:
    """Whether the interpreter keeps this str as the only one with its contents. Other objects are not."""
    return _core.is_interned(obj)


def gc_stats() -> GcStats:
    """The collector's generations: objects, thresholds, and what its collections did."""
    *objects, frozen = _core.generations()
    rows = zip_longest(objects, gc.get_threshold(), gc.get_stats(), fillvalue=None)
    generations = [
        Generation(size or 0, threshold, *(done[name] if done else None for name in Generation._fields[2:]))
        for size, threshold, done in rows
    ]
    return GcStats(gc.isenabled(), tuple(generations), frozen)


def pymalloc_stats() -> PymallocStats:
    """CPython's small-object allocator: arenas, pools and blocks, in all and by size class, and the bytes that are free or lost."""
    return PymallocStats.of(_core.pymalloc())


def check_limit(limit: int | None) -> int | None:
    """A limit that counts rows, or None for all of them."""
    if limit is not None and not isinstance(limit, int):
        raise TypeError(f"limit must be an int or None, not {type(limit).__name__}.")
    if limit is not None and limit < 0:
        raise ValueError(f"limit must not be negative, and is {limit}: None shows every row.")
    return limit
