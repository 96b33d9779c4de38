# SPDX-License-Identifier: MIT
"""Objects that only C code holds and the collector does not track: found, measured and called what they are; and what only looks
like one."""

from __future__ import annotations

import ctypes
import gc
import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import memprobe

incref, decref = ctypes.pythonapi.Py_IncRef, ctypes.pythonapi.Py_DecRef
incref.argtypes = decref.argtypes = [ctypes.py_object]
incref.restype = decref.restype = None

FREE = "t" in sys.abiflags
MANY = 2000
# What a C function forgets to give back, and how many objects that are not tracked each leaves behind.
KINDS: dict[str, tuple[Callable[[int], Any], int]] = {
    "str": (lambda n: f"header value {n:09}", 1),
    "wide str": (lambda n: f"\u1234 value {n:09}", 1),
    "large str": (lambda n: f"{n:02000}", 1),
    "bytes": (lambda n: b"%020000d" % n, 1),
    "int": (lambda n: 10**12 + n, 1),
    "large int": (lambda n: 10**1000 + n, 1),
    "float": (lambda n: n * 1.5, 1),
    "complex": (lambda n: complex(n, 1), 1),
    "tuple": (lambda n: (10**9 + n, f"row {n}", float(n)), 4),
    "bytearray": (lambda n: bytearray(100), 2 if sys.version_info >= (3, 15) else 1),  # whose buffer is an object
}


class Leaked:
    """Objects with a reference too many, until the block ends. Of their values they are made again: nothing here holds them."""

    def __init__(self, make: Callable[[int], Any], many: int) -> None:
        self.make, self.many = make, many
        self.addresses: list[int] = []

    def __enter__(self) -> Leaked:
        for n in range(self.many):
            one = self.make(n)
            incref(one)
            self.addresses.append(id(one))
        return self

    def __exit__(self, *problem: object) -> None:
        for address in self.addresses:
            decref(ctypes.cast(address, ctypes.py_object).value)


def unseen(heap: memprobe.Heap) -> int:
    found = heap.accounting().unseen_objects
    assert found is not None
    return found


def told_last(heap: memprobe.Heap) -> list[Any]:
    """The nodes of what was found: they are told when all others have been, but for the root groups."""
    nodes = (heap.node(id) for id in range(len(heap.columns()["address"]) - 1, -1, -1))
    return list(islice((node for node in nodes if "synthetic" not in node.flags), unseen(heap)))


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_found_with_its_size(kind: str, tmp_path: Path) -> None:
    make, objects = KINDS[kind]
    make(0)
    gc.collect()  # 3.13t then has code that is neither tracked nor freed
    memprobe.snapshot(tmp_path / "a.snap")
    with Leaked(make, MANY) as leaked:
        truth = sum(sys.getsizeof(ctypes.cast(address, ctypes.py_object).value) for address in leaked.addresses)
        gc.collect()  # tuples are tracked until it has looked at them
        memprobe.snapshot(tmp_path / "b.snap")
    a, b = memprobe.load(tmp_path / "a.snap"), memprobe.load(tmp_path / "b.snap")
    assert abs(unseen(b) - unseen(a) - objects * MANY) <= MANY / 100, (unseen(a), unseen(b), b.accounting())
    assert {b.at(address).type for address in leaked.addresses} == {type(make(0)).__name__}
    row = b.diff(a)[0]
    assert row.name.startswith("held by C code") and abs(row.count - MANY) <= MANY / 100 and row.type == type(make(0)).__name__
    if kind != "tuple":  # which keeps others
        assert abs(row.bytes - truth) <= truth / 20, (row, truth)
    if kind == "str":
        assert any("held by C code" in suspect.name for suspect in b.suspects(percent=0.1))


def test_references_lead_to_what_is_known() -> None:
    class Pool:
        pass

    pool = Pool()
    with Leaked(lambda n: (pool, f"key {n}"), 100) as leaked:
        untrack, track = ctypes.pythonapi.PyObject_GC_UnTrack, ctypes.pythonapi.PyObject_GC_Track
        untrack.argtypes = track.argtypes = [ctypes.c_void_p]
        untrack.restype = track.restype = None
        for address in leaked.addresses:
            untrack(address)
        heap = memprobe.capture()
        for address in leaked.addresses:
            track(address)
        held = [heap.at(address) for address in leaked.addresses]
    assert {node.references()[0].target.address for node in held} == {id(pool)}
    assert {node.references()[1].target.type for node in held} == {"str"}
    assert all("C code" in heap.name(node) for node in held)


def test_code_and_what_it_holds() -> None:
    """As Cython makes it for each function, for tracebacks: what it has is its own, and no object of its own account."""
    make = lambda n: compile(f"first = {n}.5; second = ({n}, 'word {n}')", f"file {n}.py", "exec")  # noqa: E731
    with Leaked(make, 200) as leaked:
        gc.collect()
        heap = memprobe.capture()
        codes = [heap.at(address) for address in leaked.addresses]
        truth = [ctypes.cast(address, ctypes.py_object).value for address in leaked.addresses]
    assert {node.type for node in codes} == {"code"} and all("C code" in heap.name(node) for node in codes)
    for node, code in zip(codes, truth, strict=True):
        assert abs(node.size - sys.getsizeof(code)) <= (160 if FREE else 64)  # with what threads have of it
        held = {reference.target.address for reference in node.references()}
        assert {id(code.co_consts), id(code.co_filename), id(code.co_name)} <= held
    assert not [residual for node in codes for residual in [heap.columns()["residual"][node.id]] if residual < 0]


def test_nothing_leaks_nothing_is_found(tmp_path: Path) -> None:
    """Freed objects, entries of free lists, buffers that begin like objects: none is taken for one."""
    source = """
        import array, ctypes, gc, memprobe, sys
        def peak():
            kinds = [[(n, str(n)) for n in range(40000)], [{n: str(n)} for n in range(20000)], [n * 1.5 for n in range(40000)]]
            return kinds, [bytearray(n) for n in range(500)], [b"x" * n for n in range(3000)], [10**n for n in range(600)]
        peak()
        gc.collect()
        memprobe.snapshot("a.snap")
        for _ in range(3):
            peak()
        gc.collect()
        # arrays of words that look like a count and a class, at each place where an object could begin
        lies = [array.array("Q", [word, id(kind)] * words) for kind in (str, tuple, dict, int, bytes) for word in (0, 1, 3)
                for words in range(1, 30)]
        code = type(peak.__code__)
        lies += [array.array("Q", [1, id(code), size, *[word] * 40]) for size in (0, 1, 8, 100) for word in (0, 1, 8, id(code))]
        lies += [array.array("Q", [1, id(code), 0, *[id(code)] * k, 3, *[id(code)] * (words - k)]) for words in range(20, 40)
                 for k in range(words)]
        kinds = (str, tuple, dict, bytes, int)
        lies += [array.array("Q", [0] * lead + [1, id(kind), 2**60, 7, 9]) for kind in kinds for lead in (0, 2, 4)]
        memprobe.snapshot("b.snap")
        print(len(lies))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(source)], cwd=tmp_path, check=True, capture_output=True, text=True)
    a, b = memprobe.load(tmp_path / "a.snap"), memprobe.load(tmp_path / "b.snap")
    assert unseen(b) - unseen(a) <= 50, (done.stdout, b.accounting())
    found = {node.id for node in told_last(b)}
    counted_less = [node for node, residual in enumerate(b.columns()["residual"]) if residual < 0]
    assert not [row for node in counted_less for row in b._graph.edges_in(node) if row[0] in found]  # by no reference that is none


def test_at_most_a_thousandth_of_a_program(tmp_path: Path) -> None:
    """But for strings that the interpreter interned for good (3.12 and newer): these only it holds."""
    source = "import asyncio, json, ssl, sqlite3, email, unittest, xml.dom.minidom, decimal, memprobe; memprobe.snapshot('a.snap')"
    subprocess.run([sys.executable, "-c", source], cwd=tmp_path, check=True)
    heap = memprobe.load(tmp_path / "a.snap")
    interned = sum({"interned", "immortal"} <= node.flags for node in told_last(heap))
    assert unseen(heap) - interned <= heap.info.objects / 500, (unseen(heap), interned, heap.info.objects)


@pytest.mark.parametrize("allocator", ["debug"] if FREE else ["malloc", "debug", "malloc_debug", "pymalloc"])
def test_allocators(allocator: str, tmp_path: Path) -> None:
    source = """
        import ctypes, memprobe
        incref = ctypes.pythonapi.Py_IncRef
        incref.argtypes, incref.restype = [ctypes.py_object], None
        memprobe.snapshot("a.snap")
        for n in range(2000):
            incref(f"value {n:09}")
            incref(b"%05000d" % n)
        memprobe.snapshot("b.snap")
    """
    command = [sys.executable, "-c", textwrap.dedent(source)]
    subprocess.run(["env", f"PYTHONMALLOC={allocator}", *command], cwd=tmp_path, check=True)
    a, b = memprobe.load(tmp_path / "a.snap"), memprobe.load(tmp_path / "b.snap")
    assert 3960 <= unseen(b) - unseen(a) <= 4040, (unseen(a), unseen(b))
    assert {row.type for row in b.diff(a)} >= {"str", "bytes"}


def test_without_a_fork(tmp_path: Path) -> None:
    """Then malloc's chunks cannot be followed, for other threads may use it: what is small is found."""
    with Leaked(lambda n: f"small {n}", 500):
        before = unseen(memprobe.capture())
    assert 480 <= before - unseen(memprobe.capture()) <= 520


def test_several_interpreters(tmp_path: Path) -> None:
    """All of another interpreter's objects are unseen."""
    source = """
        import memprobe
        try:
            import _interpreters as interpreters
        except ImportError:
            try:
                import _xxsubinterpreters as interpreters
            except ImportError:
                raise SystemExit(7)
        other = interpreters.create()
        memprobe.snapshot("a.snap")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(source)], cwd=tmp_path, check=False)
    if done.returncode == 7:
        pytest.skip("no interpreters can be made here")
    assert done.returncode == 0
    assert memprobe.load(tmp_path / "a.snap").accounting().unseen_objects is None


def test_what_c_types_keep_is_theirs(tmp_path: Path) -> None:
    """A text that is being written, the buffer of a bytearray: known by whom they are."""
    source = """
        import io, memprobe
        memprobe.snapshot("a.snap")
        texts, arrays = [io.StringIO() for _ in range(300)], [bytearray(b"x" * 100) for _ in range(300)]
        for text in texts:
            text.write("x" * 100)
            text.write("y")
        memprobe.snapshot("b.snap")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source)], cwd=tmp_path, check=True)
    a, b = memprobe.load(tmp_path / "a.snap"), memprobe.load(tmp_path / "b.snap")
    assert abs(unseen(b) - unseen(a)) <= 50  # of 600


POINTERS = """
import ctypes, datetime
import memprobe
end = ctypes.CDLL(None, use_errno=True)
end.sbrk.restype = ctypes.c_void_p
address = (end.sbrk(0) - 4096) // 16 * 16
if address >= 100_000_000:
    print("high")
else:
    malloc = ctypes.pythonapi.PyObject_Malloc
    malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    for count in (address, 100_001):
        block = (ctypes.c_size_t * 5).from_address(malloc(40))
        block[:] = [count, id(datetime.timedelta), 0, 0, 0]
        heap = memprobe.capture()
        print(sum(node.type == "datetime.timedelta" and "tracked" not in node.flags and node.address == ctypes.addressof(block)
                  for node in heap.find(type="datetime.timedelta", limit=None)), heap.accounting().residual_negative)
"""


def test_pointers_into_a_low_heap_are_no_counts(tmp_path: Path) -> None:
    """As the state of a module: a pointer to one class, and then to another. Of the same block a small count makes an object."""
    low = [] if shutil.which("setarch") is None else ["setarch", "-R"]
    done = subprocess.run([*low, sys.executable, "-c", POINTERS], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done
    if done.stdout == "high\n":
        pytest.skip("this program's heap begins at a high address")
    assert done.stdout.splitlines() == ["0 0", "1 0"], done.stdout


def test_info_says_it(tmp_path: Path, command: Callable[..., Any]) -> None:
    memprobe.snapshot(tmp_path / "a.snap")
    heap = memprobe.load(tmp_path / "a.snap")
    done = command("info", "--json", tmp_path / "a.snap")
    assert json.loads(done.out)["accounting"]["unseen_objects"] == unseen(heap)
    assert "unseen objects" in command("info", tmp_path / "a.snap").out


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="small ints are static objects since 3.11")
def test_what_there_is_one_of_is_the_interpreters() -> None:
    """Small ints, characters, bytes of length one: an array of the interpreter state has each, whoever else uses it."""
    source = """
        import memprobe
        ones = [*range(-5, 257), b"ab"[:1], "ab"[:1], b"", ""]
        heap = memprobe.capture()
        print([one for one in ones if all(edge.holder.type != "<root>" for edge in heap.at(id(one)).referrers())])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True)
    assert done.stdout == "[]\n", done


@pytest.mark.skipif(sys.version_info[:2] != (3, 12), reason="in 3.12 alone every interned string is immortal")
def test_interned_for_good(tmp_path: Path, command: Callable[..., Any]) -> None:
    source = """
        import memprobe, sys
        done = 0
        for name in "abc":
            memprobe.snapshot(name + ".snap")
            for n in range(done, done + 20_000):
                sys.intern(f"header-value-{n:07}")
            done += 20_000
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source)], cwd=tmp_path, check=True)
    a, b, c = (memprobe.load(tmp_path / f"{name}.snap") for name in "abc")
    grown = c.diff(b, a)
    assert grown[0].name == "interned for good: str" and abs(grown[0].count - 40_000) <= 400, grown
    assert {row.name for row in grown} == {"interned for good: str", "interpreter: interned strings"}
    first = c.suspects()[0]
    assert first.type == "str" and first.advice.startswith("Interned for good")
