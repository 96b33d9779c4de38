# SPDX-License-Identifier: MIT
"""The laws of the walk, and the traps that CPYTHON.md names: each a test. (Sizes, T12, and reference counts, T5 and T6, have files
of their own; T4, T17 and T18 are in test_fork.py, T22 in test_attach.py, T20 in test_picture.py; T19 and T21 are tested on the
free-threaded build, by tools/matrix.)"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import memprobe
from memprobe import _core

OWN = 0x1000


ATTRIBUTE = ".value" if sys.version_info >= (3, 11) else "['value']"  # of an instance itself, or of its dict


class Marker:
    pass


class Holder:
    def __init__(self, value: object) -> None:
        self.value = value
        self.other = [value]


def node_of(heap: memprobe.Heap, thing: object) -> Any:
    node = heap.at(id(thing))
    assert node is not None
    return node


def labels_to(heap: memprobe.Heap, thing: object) -> set[str]:
    return {edge.label for edge in node_of(heap, thing).referrers() if not edge.weak}


def good(heap: memprobe.Heap) -> memprobe.Heap:
    assert heap._graph.check() is None
    return heap


# ---- law 1: it does not change what it measures -----------------------------------------------------------------------


def test_blocks_are_the_same_before_and_after() -> None:
    things = [Holder(object()) for _ in range(100)]
    differences = set()
    memprobe.capture()  # the first one proves the layouts of libraries that were loaded since, on objects of its own
    for _ in range(4):
        before = sys.getallocatedblocks()
        graph = _core.capture()
        after = sys.getallocatedblocks()
        del graph
        differences.add(after - before)
    assert max(differences) <= 4, differences  # the Graph itself and what the test holds
    del things


def test_reference_counts_are_untouched() -> None:
    things = [object() for _ in range(50)]
    before = [sys.getrefcount(thing) for thing in things]
    memprobe.capture()
    memprobe.summary()
    memprobe.deep_sizeof(things)
    assert [sys.getrefcount(thing) for thing in things] == before


@pytest.mark.skipif(sys.version_info < (3, 11), reason="every instance has a dict")
def test_t8_no_dict_is_materialised() -> None:
    things = [Holder(Marker()) for _ in range(10)]
    for _ in range(2):
        heap = good(memprobe.capture())
        for thing in things:
            labels = {edge.label for edge in node_of(heap, thing).references()}
            assert labels == {".value", ".other"}, labels


def test_t7_a_materialised_dict_has_its_owner() -> None:
    thing = Holder(Marker())
    names = thing.__dict__
    heap = good(memprobe.capture())
    assert ".__dict__" in labels_to(heap, names)
    assert "['value']" in labels_to(heap, thing.value)
    found = [
        edge for edge in node_of(heap, thing.value).referrers() if not edge.weak and edge.holder.type in ("dict", Holder.__name__)
    ]
    assert len(found) == 1, found
    assert node_of(heap, names).residual <= 1  # `names` itself, where frames hide their stacks


def private_dirty() -> int:
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Private_Dirty:"))


def test_t4_a_walk_dirties_no_page_of_the_heap() -> None:
    """In a forked child the heap's pages are shared until somebody writes: a walk that touched reference counts would copy all."""
    things = [[i, {i: str(i)}, (i, float(i))] for i in range(150_000)]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"failed"
        try:
            sink = os.open(os.devnull, os.O_WRONLY)
            _core.snapshot(sink)
            before = private_dirty()
            _core.snapshot(sink)
            answer = str(private_dirty() - before).encode()
        finally:
            os.write(writer, answer)
            os._exit(0)
    os.close(writer)
    with open(reader) as file:
        text = file.read()
    os.waitpid(child, 0)
    assert text.lstrip("-").isdecimal(), text
    assert int(text) < 4096, f"{text} KiB of private dirty pages"
    assert len(things) == 150_000


# ---- law 2: it runs no user code ---------------------------------------------------------------------------------------

LOG: list[str] = []


def logging(name: str) -> Any:
    def method(self: object, *arguments: object) -> Any:
        LOG.append(name)
        raise RuntimeError(name)

    return method


HOSTILE = [
    *("__sizeof__", "__repr__", "__str__", "__hash__", "__eq__", "__getattr__", "__getattribute__", "__len__", "__iter__"),
    *(
        "__bool__",
        "__buffer__",
        "__call__",
        "__contains__",
        "__getitem__",
        "__index__",
        "__int__",
        "__dir__",
        "__reduce__",
        "__format__",
    ),
]
Hostile = type("Hostile", (), {name: logging(name) for name in HOSTILE})
HostileList = type("HostileList", (list,), {name: logging(name) for name in HOSTILE})
HostileDict = type("HostileDict", (dict,), {name: logging(name) for name in HOSTILE})
HostileMeta = type(
    "HostileMeta", (type,), {name: logging(name) for name in HOSTILE if name not in ("__getattribute__", "__call__")}
)


def test_t13_no_user_code_runs() -> None:
    things = [Hostile(), HostileList(), HostileDict(), HostileMeta("Made", (), {})]
    wrapped = [things]
    LOG.clear()
    heap = memprobe.capture()
    memprobe.summary()
    memprobe.count()
    memprobe.deep_sizeof(wrapped)
    memprobe.referrers(wrapped)
    memprobe.refcount(wrapped)
    assert LOG == []
    assert good(heap).at(id(things[0])) is not None


def test_t25_a_lazy_import_stays_lazy() -> None:
    if sys.version_info < (3, 15):
        pytest.skip("lazy imports are of 3.15")
    import types

    module = types.ModuleType("lazy_probe")
    exec("lazy import colorsys", module.__dict__)
    sys.modules.pop("colorsys", None)
    good(memprobe.capture())
    assert "colorsys" not in sys.modules


# ---- law 5 and 6: traversal ---------------------------------------------------------------------------------------------


def test_t1_and_t11_static_types_are_entered_safely() -> None:
    heap = good(memprobe.capture())
    node = node_of(heap, int)
    namespace = [edge.target for edge in node.references() if edge.label == ".__dict__"]
    assert len(namespace) == 1
    assert "['from_bytes']" in {edge.label for edge in namespace[0].references()}


def test_a_chain_of_five_million() -> None:
    chain: Any = None
    for _ in range(5_000_000):
        chain = [chain]
    try:
        assert memprobe.deep_sizeof(chain) > 5_000_000 * 56
        assert memprobe.capture().info.objects > 5_000_000
    finally:
        while chain:  # a deep chain must not be freed by recursion
            chain = chain.pop()


# ---- moments: in the middle of things --------------------------------------------------------------------------------


def test_t2_inside_a_generator_that_feeds_tuple() -> None:
    def numbers(count: int) -> Iterator[int]:
        for i in range(count):
            if i in (0, 1, 11):
                good(memprobe.capture())
            yield i

    assert tuple(numbers(15)) == tuple(range(15))
    assert [*numbers(15)] == list(range(15))


ASKED = {
    "referrers": memprobe.referrers,
    "refcount": memprobe.refcount,
    "why_alive": lambda one: memprobe.why_alive(one, limit=10),
    "show_backrefs": memprobe.show_backrefs,
    "by_type": lambda one: memprobe.objgraph.by_type("tuple"),
    "find_backref_chain": lambda one: memprobe.objgraph.find_backref_chain(one, lambda holder: isinstance(holder, tuple)),
    "get_leaking_objects": lambda one: memprobe.objgraph.get_leaking_objects(),
}


@pytest.mark.parametrize("name", ASKED)
def test_t2_the_answer_has_no_tuple_that_is_being_made(name: str) -> None:
    """tuple() could not resize it: SystemError in who called it, until 3.14."""
    answers = []
    wanted: list[int] = []

    def numbers(count: int) -> Iterator[list[int]]:
        for i in range(count):
            if i == 11:
                answers.append(ASKED[name](wanted))
            yield wanted if i == 3 else [i]

    assert len(tuple(numbers(15))) == 15
    if name == "referrers":
        assert sum(one.holder == "a tuple that is being made" for one in answers[0]) == (sys.version_info < (3, 14))


def test_t15_inside_del_a_weakref_callback_and_a_gc_callback() -> None:
    heaps: list[memprobe.Heap] = []

    def take(*arguments: object) -> None:
        if len(heaps) < 6:
            heaps.append(memprobe.capture())

    class Dying:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            take()

    class Watched:
        pass

    things = [Dying() for _ in range(3)]
    cycle: list[Any] = [Watched()]
    cycle.append(cycle)
    reference = weakref.ref(cycle[0], take)
    gc.callbacks.append(take)
    try:
        del things, cycle
        gc.collect()
    finally:
        gc.callbacks.remove(take)
    assert len(heaps) >= 5 and reference() is None
    for heap in heaps:
        good(heap)


def test_four_threads_that_change_everything() -> None:
    stop = threading.Event()

    def work() -> None:
        kept: dict[int, Any] = {}
        i = 0
        while not stop.is_set():
            i += 1
            kept[i % 100] = [Holder(i), {i: str(i)}, (i,)]

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            good(memprobe.capture())
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_t24_inside_greenlets() -> None:
    """A greenlet's frames hang from a piece of C stack that is copied away: following them further would read garbage."""
    greenlet = pytest.importorskip("greenlet")
    taken: list[memprobe.Heap] = []

    def deep(levels: int, last: Any) -> Any:
        local = Marker()
        return deep(levels - 1, last) if levels else (last(), local)[0]

    def body(number: int) -> None:
        def last() -> None:
            taken.append(good(memprobe.capture()))
            following = greenlets[(number + 1) % len(greenlets)]
            if not following.dead:
                following.switch(number + 1)

        deep(15 * number, last)

    greenlets = [greenlet.greenlet(body) for _ in range(4)]
    for number, one in enumerate(greenlets):
        if not one.dead:
            one.switch(number)
    assert len(taken) >= 4
    good(memprobe.capture())


# ---- what must be seen ----------------------------------------------------------------------------------------------------


def test_t3_frozen_objects_are_there() -> None:
    things = [Holder(Marker()) for _ in range(5)]
    gc.collect()
    gc.freeze()
    try:
        heap = good(memprobe.capture())
        assert all("frozen" in node_of(heap, thing).flags for thing in things)
        assert memprobe.count(f"{Holder.__module__}.Holder") >= 5
        assert memprobe.gc_stats().frozen >= 5
    finally:
        gc.unfreeze()


def test_t9_and_t10_locals_of_a_blocked_thread() -> None:
    started, release = threading.Event(), threading.Event()
    seen: list[int] = []

    def blocked(argument: object) -> None:
        in_local = Marker()
        in_cell = Marker()

        def inner() -> object:
            return in_cell

        seen.extend([id(argument), id(in_local), id(in_cell)])
        started.set()
        release.wait()
        inner()

    thread = threading.Thread(target=blocked, args=(Marker(),))
    thread.start()
    started.wait()
    heap = good(memprobe.capture())
    release.set()
    thread.join()
    argument, in_local, in_cell = (heap.at(address) for address in seen)
    assert argument and in_local and in_cell
    assert "local argument" in {edge.label for edge in argument.referrers()}
    assert {edge.label for edge in in_local.referrers()} == {"local in_local"}
    assert {edge.label for edge in in_cell.referrers()} == {".cell_contents"}
    assert in_local.residual == 0


def test_locals_of_generators() -> None:
    def suspended(argument: object) -> Iterator[int]:
        local = Marker()
        seen.append(id(local))
        yield 1
        yield id(local)

    def running() -> Iterator[memprobe.Heap]:
        local = Marker()
        seen.append(id(local))
        yield memprobe.capture()
        yield local  # type: ignore[misc]

    seen: list[int] = []
    one = suspended(Marker())
    next(one)
    other = running()
    heap = good(next(other))
    for address in seen:
        node = heap.at(address)
        assert node is not None
        assert {edge.label for edge in node.referrers()} == {"local local"}, node
        assert node.residual == 0


def test_t14_immortal_objects_have_no_residual() -> None:
    heap = good(memprobe.capture())
    if sys.version_info >= (3, 12):
        for thing in (None, True, (), 1):
            assert "immortal" in node_of(heap, thing).flags
            assert node_of(heap, thing).residual == 0
            assert memprobe.is_immortal(thing)
    assert not memprobe.is_immortal(Marker())
    assert memprobe.is_interned("identifier") and not memprobe.is_interned("not" + str(id(heap)))


def test_t16_every_private_layout_is_proved_here() -> None:
    if "MEMPROBE_FALLBACK" not in os.environ:
        lacks = ("pools",) if "t" in sys.abiflags else ()  # a free-threaded build has its objects in mimalloc
        assert all(proved == (name not in lacks) for name, proved in _core.capabilities().items()), _core.capabilities()
        import array, collections, ctypes, datetime, decimal, functools, io, struct  # noqa: E401, F401, I001

        assert memprobe.capture().accounting().fallbacks == lacks


def test_t23_numpy_arrays() -> None:
    numpy = pytest.importorskip("numpy")
    marker = Marker()
    objects = numpy.empty(10, dtype=object)
    objects[3] = marker
    numbers = numpy.zeros((100, 50))
    view = numbers[10:20]
    heap = good(memprobe.capture())
    assert "[3]" in labels_to(heap, marker)
    assert 40_000 <= node_of(heap, numbers).size <= 40_400
    assert node_of(heap, view).size < 400
    assert ".base" in labels_to(heap, numbers)


def test_law_7_memprobe_is_in_no_answer() -> None:
    held = memprobe.capture()
    heap = good(memprobe.capture())
    assert not [row for row in heap.types(None).rows if row.type.startswith("memprobe.")], heap.types(None)
    assert not [row for row in memprobe.summary().rows if row.type.startswith("memprobe.")]
    assert heap.accounting().own_objects > 0
    del held


def test_garbage_is_unreachable() -> None:
    gc.collect()
    gc.disable()
    try:
        cycle: list[Any] = [Marker()]
        cycle.append(cycle)
        address = id(cycle[0])
        del cycle
        heap = good(memprobe.capture())
    finally:
        gc.enable()
    node = heap.at(address)
    assert node is not None and "unreachable" in node.flags
    assert heap.accounting().unreachable_objects >= 2


def test_edges_have_names() -> None:
    class Slotted:
        __slots__ = ("slot",)

    thing, slotted = Marker(), Slotted()
    slotted.slot = thing  # type: ignore[attr-defined]
    keyed = {"key": thing, 7: [thing]}
    inside = (thing,)
    bound = Holder(thing)
    function = lambda: bound  # noqa: E731
    heap = good(memprobe.capture())
    assert {".slot", "['key']", "[0]", ATTRIBUTE} <= labels_to(heap, thing)
    assert "[<int>]" in labels_to(heap, keyed[7])
    assert ".cell_contents" in labels_to(heap, bound)
    assert ".__closure__" in labels_to(heap, function.__closure__)
    del inside


def test_refcount_and_referrers() -> None:
    thing = Marker()
    holder = Holder(thing)
    counted = memprobe.refcount(thing)
    assert counted.found >= 2 and counted.count >= counted.found
    found = {(type(reference.holder).__name__, reference.label) for reference in memprobe.referrers(thing)}
    assert ("Holder" if ATTRIBUTE == ".value" else "dict", ATTRIBUTE) in found and ("list", "[0]") in found
    del holder


def number_after(text: str, words: str) -> int:
    line = next(line for line in text.splitlines() if words in line)
    return int(line.split("=")[-1].replace(",", ""))


PYMALLOC = "t" not in sys.abiflags and os.environ.get("PYTHONMALLOC", "pymalloc") == "pymalloc"


def test_pymalloc_agrees_with_the_interpreter() -> None:
    """Against what the interpreter prints of itself, in a process where nothing happens between the two."""
    if not PYMALLOC or sys.flags.dev_mode or hasattr(sys, "gettotalrefcount"):
        pytest.skip("pymalloc is not in use, or its blocks are padded")
    program = """
import sys, memprobe
kept = [[i, str(i), {i: i}] for i in range(20000)]
del kept[::3]
s = memprobe.pymalloc_stats()
sys._debugmallocstats()
print(s.arena_bytes, s.used_bytes, s.free_bytes, s.lost_bytes, s.pools, sum(c.used for c in s.classes) == s.used_blocks)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    arenas, used, free, lost, pools, sums = done.stdout.split()
    theirs = number_after(done.stderr, "# bytes in allocated blocks")
    assert abs(int(used) - theirs) < 0.005 * theirs, (used, theirs)
    assert sums == "True" and int(pools) > 100
    assert int(used) + int(free) + int(lost) == pytest.approx(int(arenas), rel=0.03)


def test_an_arena_of_which_nothing_is_in_use(tmp_path: Path) -> None:
    """pymalloc keeps one: it is its own, and free. Arenas as the interpreter counts them; one of which less than 16 pools were ever
    in use is not known by so few headers."""
    if not PYMALLOC or sys.flags.dev_mode or hasattr(sys, "gettotalrefcount"):
        pytest.skip("pymalloc is not in use, or its blocks are padded")
    program = """
import sys, memprobe
memprobe.snapshot("a.snap")
peak = [object() for _ in range(int(sys.argv[1]))]
del peak
before = after = None
while before is None or before != after:  # a snapshot's own objects may need one more
    before = memprobe.pymalloc_stats().arenas
    memprobe.snapshot("b.snap")
    after = memprobe.pymalloc_stats().arenas
sys._debugmallocstats()
print(after)
"""
    missed, found_empty = [], 0
    for more in range(6):
        words = [sys.executable, "-c", program, str(2_000_000 + 10_000 * more)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
        facts = memprobe.load(tmp_path / "b.snap")._graph.infos()
        assert int(done.stdout) == facts["mem_pools_arenas"]
        missed.append(number_after(done.stderr, "# arenas allocated current") - int(done.stdout))
        found_empty += missed[-1] == 0 and len(str(facts["mem_arenas"]).split()) == int(done.stdout) - 1
    assert set(missed) <= {0, 1} and found_empty, (missed, found_empty)


def test_generations_agree_with_gc() -> None:
    gc.collect()
    stats = memprobe.gc_stats()
    assert abs(sum(row.objects for row in stats.generations) - len(gc.get_objects())) < 200


WAITS_IN_INIT = """
import sys, threading
import memprobe

class Waits:
    def __init__(self, gates):
        if gates:
            gates[0].set()
            gates[1].wait()

def make(gates):
    return Waits(gates)  # after some calls the interpreter makes a frame of its own here, which waits for __init__

for _ in range(100):
    make(None)

def fill(depth, *rest):  # what is left on the stack of frames: pointers to objects that are gone, and words that are none
    gone = [object() for _ in range(3)]
    a = b = c = gone[0]
    return fill(depth - 1, *rest) if depth else len(rest)

def shift(depth, gates):
    one = two = None
    return shift(depth - 1, gates) if depth else make(gates)

for depth in range(24):
    gates = threading.Event(), threading.Event()
    def work():
        fill(40, *range(depth % 5))
        shift(depth, gates)
    thread = threading.Thread(target=work)
    thread.start()
    gates[0].wait()
    try:
        heap = memprobe.capture()
    finally:
        gates[1].set()
        thread.join()
    assert heap._graph.check() is None and heap.accounting().residual_negative == 0
    (waiting,) = heap.find(type="__main__.Waits")
    frames = [edge.holder for edge in waiting.referrers() if edge.holder.type in ("<frame>", "frame")]
    globals_of = [edge.target.type for frame in frames for edge in frame.references() if edge.label == ".f_globals"]
    assert frames and set(globals_of) == {"dict"}, (depth, frames, globals_of, waiting)
print("done")
"""


def test_a_thread_that_waits_in_init(python) -> None:
    """Between the caller and __init__ CPython 3.12 and newer have a frame whose globals nobody sets."""
    done = python("-c", WAITS_IN_INIT)
    assert done.out == "done\n" and done.code == 0, done
