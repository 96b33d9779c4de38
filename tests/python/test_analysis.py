# SPDX-License-Identifier: MIT
"""Who keeps it alive, what would be freed, what is in a cycle: against the interpreter itself."""

from __future__ import annotations

import gc
import os
import sys
import tracemalloc
import types
from typing import Any

import pytest
from structures import STRUCTURES

import memprobe

module_cache: dict[str, Any] = {}


class User:
    def __init__(self) -> None:
        self.orders: list[Any] = []
        self.name = "n" * 50


class Order:
    def __init__(self, user: User) -> None:
        self.user = user


def pair() -> User:
    user = User()
    user.orders.append(Order(user))
    return user


# ---- cycles ----------------------------------------------------------------------------------------------------------


def test_a_cycle_reads_as_python() -> None:
    user = pair()
    found = memprobe.find_cycles(user)
    assert len(found) == 1
    cycle = found[0]
    assert {id(thing) for thing in cycle.objects} >= {id(user), id(user.orders), id(user.orders[0])}
    assert not cycle.is_garbage
    assert ".orders" in cycle.text.replace("['orders']", ".orders") and "[0]" in cycle.text
    holder, label, target, reason = cycle.break_at
    assert label in reason and (holder, label, target) in cycle.edges
    assert all(gc.get_referents(edge[0]) for edge in cycle.edges)


def test_a_cycle_of_a_heap_says_where_it_is() -> None:
    module_cache["pairs"] = [pair() for _ in range(30)]
    lost = pair()
    gc.disable()
    try:
        del lost
        heap = memprobe.capture()
        found = next(cycle for cycle in heap.cycles() if "User" in cycle.text and cycle.count == 30)
        assert found.name is not None and found.name.startswith(f"{__name__}.module_cache['pairs'][")
        assert found.name in [heap.name(node) for node in found.objects] and f"one of them at {found.name}\n" in str(found)
        garbage = heap.cycles(garbage=True)
        assert len(garbage) > 0 and {cycle.to_dict()["name"] for cycle in garbage} == {None}
        living = memprobe.find_cycles(module_cache["pairs"][0])
        assert living[0].name is None and " at " not in str(living[0])
    finally:
        gc.enable()
        module_cache.clear()


def test_no_cycle() -> None:
    assert memprobe.find_cycles([1, [2], {"a": (3,)}]) == []


def test_garbage_is_what_the_collector_finds() -> None:
    """find_cycles(garbage=True) against gc.collect() with DEBUG_SAVEALL. What hangs on a cycle is garbage, too, and in no cycle: so
    members of cycles must have been collected, and all lists and dicts that are flagged must be those that were."""
    gc.collect()
    gc.disable()
    try:
        for i in range(50):
            user = pair()
            user.orders.append([i])
        loop: list[Any] = []
        loop.append(loop)
        del user, loop
        answer = memprobe.find_cycles(garbage=True)
        count, found = answer.cycles, {id(thing) for cycle in answer for thing in cycle.objects}
        del answer
        heap = memprobe.capture()
        ours = {node.address for kind in ("list", "dict") for node in heap.find(kind) if {"unreachable", "tracked"} <= node.flags}
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        collected = {id(thing) for thing in gc.garbage}
        lists = {id(thing) for thing in gc.garbage if type(thing) in (list, dict)}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.collect()
    assert count >= 51 and len(found) >= 3
    assert found <= collected
    assert ours == lists


# ---- retained sizes ----------------------------------------------------------------------------------------------------

OWNED = [
    *(
        "list, nested",
        "list, grown",
        "dict, str keys",
        "dict, int keys",
        "set, large",
        "tuple, large",
        "deque, large",
        "OrderedDict",
    ),
    *(
        "defaultdict",
        "Counter",
        "namedtuple",
        "instance",
        "instance, dict touched",
        "instance, 40 attributes",
        "slots",
        "slots, derived",
    ),
    *(
        "slots and dict",
        "list subclass",
        "dict subclass",
        "tuple subclass",
        "str subclass",
        "exception",
        "partial",
        "function",
        "generator",
    ),
    *(
        "SimpleNamespace",
        "MappingProxy",
        "memoryview",
        "bytearray",
        "BytesIO",
        "frozenset",
        "array, doubles",
        "Fraction",
        "dict, mixed keys",
    ),
]


@pytest.mark.skipif(os.environ.get("PYTHONMALLOC", "pymalloc") not in ("pymalloc", ""), reason="debug allocators pad blocks")
@pytest.mark.parametrize("name", OWNED)
def test_retained_is_what_dies(name: str) -> None:
    """The bytes that tracemalloc sees go when the last reference goes. So many copies that what the interpreter frees of its own in
    the same moment (free lists, caches) is small beside them."""
    count = max(100, min(2000, 400_000 // memprobe.deep_sizeof(STRUCTURES[name]())))
    gc.collect()  # empties the free lists, whose blocks tracemalloc has not seen
    gc.disable()
    tracemalloc.start()
    try:
        held = [[STRUCTURES[name]() for _ in range(count)]]
        retained = memprobe.retained_sizeof(held[0])
        gc.collect()  # empties the free lists, before and after
        before = tracemalloc.get_traced_memory()[0]
        held[0] = None  # type: ignore[call-overload]
        gc.collect()
        freed = before - tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert abs(freed - retained) <= 0.02 * freed + count * 8 + 4096, (freed, retained)


def test_the_root_retains_the_heap() -> None:
    heap = memprobe.capture()
    root = heap.roots()["roots"]
    assert heap.retained(root) == heap.info.bytes
    tree = heap.dominators(depth=2, limit=5)
    assert tree.retained == heap.info.bytes
    assert sum(child.retained for child in tree.children) <= tree.retained
    assert [child.retained for child in tree.children] == sorted((child.retained for child in tree.children), reverse=True)


# ---- paths ---------------------------------------------------------------------------------------------------------------


def test_a_path_can_be_typed() -> None:
    thing = User()
    module_cache["the key"] = [thing]
    try:
        found = memprobe.why_alive(thing, limit=10)
        expressions = [path.expression for path in found]
        wanted = f"{__name__}.module_cache['the key'][0]"
        assert wanted in expressions, expressions
        path = found[expressions.index(wanted)]
        assert path.evaluable
        assert eval(path.expression, {__name__.partition(".")[0]: sys.modules[__name__]}) is thing
        assert path.steps[-1].holder == [thing]
        assert any("thing" in expression for expression in expressions), expressions
    finally:
        module_cache.clear()


class Lazy:
    """A property whose value is kept under its own name, as before there was functools.cached_property."""

    def __init__(self) -> None:
        self.plain = [1]
        self.wrapped = staticmethod(lambda: module_cache)
        self.__dict__["value"] = [2]

    @property
    def value(self) -> int:
        return len(self.__dict__["value"])


def test_a_name_that_the_class_has_for_something_else() -> None:
    def wrapper() -> None: ...

    wrapper.__dict__["__kwdefaults__"] = {"backend": [3]}  # networkx does so; the function's own are in another place
    lazy = Lazy()
    module_cache["lazy"], module_cache["wrapper"] = lazy, wrapper
    try:
        heap = memprobe.capture(values=True)
        for attribute, thing in [("plain", lazy.plain), ("__dict__['value']", vars(lazy)["value"])]:
            node = heap.at(id(thing))
            assert node is not None and heap.name(node) == f"{__name__}.module_cache['lazy'].{attribute}"
        node = heap.at(id(lazy.wrapped.__func__.__code__))
        assert node is not None  # only a class gives the function for it
        name = heap.paths(node, 1)[0]
        assert (
            not name.evaluable
            or eval(name.expression, {__name__.partition(".")[0]: sys.modules[__name__]}) is lazy.wrapped.__func__.__code__
        )
        node = heap.at(id(wrapper.__dict__["__kwdefaults__"]))
        assert node is not None and heap.name(node) == f"{__name__}.module_cache['wrapper'].__dict__['__kwdefaults__']"
        assert heap.paths(node, 1)[0].evaluable
    finally:
        module_cache.clear()


def test_a_module_that_its_package_hides() -> None:
    """`from package.module import module` in a package: package.module is what came from there."""
    package, hidden, plain = (types.ModuleType(name) for name in ("hiding", "hiding.found", "hiding.plain"))
    vars(package).update(found=len, plain=plain)
    vars(hidden)["data"], vars(plain)["data"] = [1], [2]
    modules = {module.__name__: module for module in (package, hidden, plain)}
    sys.modules.update(modules)
    try:
        heap = memprobe.capture()
        for thing, name in [(hidden.data, "sys.modules['hiding.found'].data"), (plain.data, "hiding.plain.data")]:
            node = heap.at(id(thing))
            assert node is not None
            path = heap.paths(node, 1)[0]
            assert (path.expression, path.evaluable) == (name, True)
            assert eval(name, {"sys": sys, "hiding": package}) is thing
    finally:
        for name in modules:
            del sys.modules[name]


def test_paths_of_a_heap() -> None:
    thing = User()
    module_cache["key"] = thing
    try:
        heap = memprobe.capture()
        node = heap.at(id(thing))
        assert node is not None
        assert f"{__name__}.module_cache['key']" in [path.expression for path in heap.paths(node, 10)]
    finally:
        module_cache.clear()


def test_paths_say_whether_they_are_all() -> None:
    module_cache["one"] = User()
    module_cache["many"] = [[held] for held in [User()] * 5]
    try:
        heap = memprobe.capture()
        single, shared = heap.at(id(module_cache["one"])), heap.at(id(module_cache["many"][0][0]))
        assert single is not None and shared is not None
        assert heap.paths(single, 10).complete and len(heap.paths(single, 10)) == 1
        assert heap.paths(shared, 10).complete and not heap.paths(shared, 2).complete
    finally:
        module_cache.clear()


def test_columns_are_arrays() -> None:
    numpy = pytest.importorskip("numpy")
    heap = memprobe.capture()
    columns = {name: numpy.asarray(view) for name, view in heap.columns().items()}
    assert {len(columns[name]) for name in ("address", "type", "size", "flags", "residual", "retained", "dominator")} == {
        heap.nodes
    }
    assert columns["first_edge"][-1] == heap.info.edges == len(columns["edge_target"]) == len(columns["edge_label"])
    object_rows = (columns["flags"] & (0x0040 | 0x1000)) == 0
    assert int(columns["size"][object_rows].sum()) == heap.info.bytes
    root = heap.roots()["roots"].id
    assert int(columns["retained"][root]) == heap.info.bytes
    node = heap.find("list", limit=1)[0]
    assert int(columns["address"][node.id]) == node.address and int(columns["size"][node.id]) == node.size
    first, last = columns["first_edge"][node.id : node.id + 2]
    assert {edge.target.id for edge in node.references()} <= set(columns["edge_target"][int(first) : int(last)].tolist())
    with pytest.raises((ValueError, TypeError)):
        columns["size"][0] = 1
    del heap
    assert int(columns["retained"][root]) > 0  # the arrays keep their memory


def test_bad_questions() -> None:
    with pytest.raises(ValueError, match="ask for 1 to 255"):
        memprobe.why_alive([], limit=0)
    heap = memprobe.capture()
    with pytest.raises(IndexError, match="not in this heap"):
        heap.node(heap.nodes)
