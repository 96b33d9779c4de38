# SPDX-License-Identifier: MIT
"""What of native memory grew: who keeps more of it, beside what malloc says that was given out."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import memprobe
from memprobe.heap import load

PROGRAM = """
import ctypes, json, os, sqlite3, sys, zlib, memprobe

class Mallinfo(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Mallinfo
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]

def in_use():
    found = libc.mallinfo2()
    return found.uordblks + found.hblkhd

class Session:
    def __init__(self): self.packer = zlib.compressobj()

class Store:
    def __init__(self):
        self.db = sqlite3.connect(":memory:")
        self.db.execute("create table t(a)")
    def put(self, times): self.db.executemany("insert into t values(?)", [("x" * 500,)] * 2000 * times)

def serve(times): sessions.extend(Session() for _ in range(20 * times))

def forget(times):
    for _ in range(1000 * times): ctypes.memset(libc.malloc(3000), 7, 3000)

def grow(times):
    before = in_use()
    out = []
    for work in serve, store.put, forget:
        work(times)
        out.append(in_use() - before)
        before = in_use()
    return out

sessions, store = [], Store()
grow(1)
memprobe.snapshot(os.path.join(sys.argv[1], "a"), native=True)
second = grow(2)
memprobe.snapshot(os.path.join(sys.argv[1], "b"), native=True)
third = grow(1)
memprobe.snapshot(os.path.join(sys.argv[1], "c"), native=True)
print(json.dumps([second, third, libc.malloc(24) < 1 << 32]))
"""

Grown = tuple[Path, tuple[list[int], list[int], bool]]  # a folder, and what malloc gave out more for each kind of work

glibc = pytest.mark.skipif(not hasattr(__import__("ctypes").CDLL(None), "mallinfo2"), reason="mallinfo2 came with glibc 2.33")


def grow(folder: Path) -> Grown:
    """malloc fills what it gives out: deflate's states are not cleared, and what they had before led to pages of the database."""
    filled = {**os.environ, "MALLOC_PERTURB_": "165"}
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, timeout=300, env=filled)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    return grow(tmp_path_factory.mktemp("grown"))


def near(found: int | None, wanted: int) -> bool:
    return found is not None and abs(found - wanted) <= wanted // 20 + 65_536


@glibc
def test_who_keeps_more(grown: Grown, tmp_path: Path) -> None:
    """New objects with what they have, an object that has more than before, and what nothing refers to. A word that was left behind
    may have as good a claim to the database as its owner: not in three processes."""
    for again in ("second", "third"):
        with contextlib.suppress(AssertionError):
            check_who_keeps_more(grown)
            return
        (tmp_path / again).mkdir()
        grown = grow(tmp_path / again)
    check_who_keeps_more(grown)


def check_who_keeps_more(grown: Grown) -> None:
    """In a heap below 4 GiB numbers look like addresses: those in libcrypto's data gave it the database now and then."""
    folder, (second, third, lies_low) = grown
    a, b, c = (load(folder / name) for name in "abc")
    both = [sum(pair) for pair in zip(second, third, strict=True)]
    for found, wanted, sessions in ((b.diff(a, native=True), second, 40), (c.diff(b, a, native=True), both, 60)):
        rows = {row.name: row for row in found.rows}
        for name, more in zip(("__main__.sessions", "__main__.store.db", "<lost native memory>"), wanted, strict=True):
            there = name in rows and near(rows[name].native_bytes, more)
            assert there or (lies_low and "store" in name), f"{name}: {more} in\n{found}"
        assert rows["__main__.sessions"].count == sessions
        assert sum(row.bytes for row in found.rows) + found.unattributed == found.growth
        if not lies_low:
            assert rows["__main__.store.db"].type == "sqlite3.Connection" and rows["__main__.store.db"].count == 0
            assert abs(found.unattributed) < found.growth / 50


@glibc
def test_beside_what_objects_grew_by(grown: Grown) -> None:
    """What is said of objects stays as it is; a column says what native memory their rows have."""
    folder, (second, *_) = grown
    a, b = load(folder / "a"), load(folder / "b")
    plain = b.diff(a)
    assert plain.bytes == (a.info.bytes, b.info.bytes) or plain.growth < second[0] // 10
    assert [row.name for row in plain.rows] == ["__main__.sessions"]
    assert near(plain.rows[0].native_bytes, second[0]) and plain.rows[0].bytes < 40 * 1000
    assert "native" in plain.headers and "of it native" not in plain.headers
    assert "of it native" in b.diff(a, native=True).headers


@glibc
def test_the_verb(grown: Grown, command: Callable[..., Any]) -> None:
    folder, _ = grown
    files = [str(folder / name) for name in "abc"]
    said = command("diff", "--native", *files)
    assert said.code == 0 and "<lost native memory>" in said.out and "of it native" in said.out
    assert "__main__.sessions keeps" in said.out and "more of native blocks (memprobe diff --native)" in said.out
    assert "Next: memprobe lost" in said.out or "Next: memprobe paths" in said.out
    answer = json.loads(command("diff", "--native", "--json", *files).out)
    assert answer["native"] is True and all(row["native_bytes"] is not None for row in answer["rows"])
    assert "native" in command("diff", *files[:2]).out


def test_who_does_not_know_says_so(tmp_path: Path, command: Callable[..., Any]) -> None:
    memprobe.snapshot(tmp_path / "a")
    memprobe.snapshot(tmp_path / "b")
    a, b = load(tmp_path / "a"), load(tmp_path / "b")
    with pytest.raises(ValueError, match="--native"):
        b.diff(a, native=True)
    assert "native" not in b.diff(a).headers and all(row.native_bytes is None for row in b.diff(a).rows)
    done = command("diff", "--native", str(tmp_path / "a"), str(tmp_path / "b"))
    assert done.code == 3 and "--native" in done.err


def test_of_several_processes(tmp_path: Path, command: Callable[..., Any]) -> None:
    for name in "ab":
        source = f"import memprobe; memprobe.snapshot({str(tmp_path / name)!r}, native=True)"
        subprocess.run([sys.executable, "-c", source], check=True)
    with pytest.raises(ValueError, match="one process"):
        load(tmp_path / "b").diff(load(tmp_path / "a"), native=True)
    done = command("diff", "--native", str(tmp_path / "a"), str(tmp_path / "b"))
    assert done.code == 3 and "one process" in done.err
    assert command("diff", str(tmp_path / "a"), str(tmp_path / "b")).code == 0


def counted(program: str, folder: Path) -> int:
    """The number that a program prints last, of the snapshots that it takes."""
    done = subprocess.run([sys.executable, "-c", program, str(folder / "a")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


KEPT_READY = """
import ctypes, memprobe, sys
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
memprobe.snapshot(sys.argv[1], native=True)  # what it imports takes objects that are kept ready
memprobe.load(sys.argv[1]).lost()
pairs = [({n: n for n in range(20)}, bytearray(700)) for _ in range(80)]  # a table of malloc's, and what keeps others apart
apart = [pair[1] for pair in pairs]
del pairs
for _ in range(2000):
    ctypes.memset(libc.malloc(568), 7, 568)
memprobe.snapshot(sys.argv[1], native=True)
print(sum(row.count for row in memprobe.load(sys.argv[1]).lost(limit=None).rows if row.size >= 568))
"""


@glibc
def test_what_is_kept_ready_of_objects_refers_to_nothing(tmp_path: Path) -> None:
    """Dicts that have gone, in the interpreter's list of free ones, have the addresses of their tables: which are another's now."""
    assert 1990 <= counted(KEPT_READY, tmp_path) <= 2002


FREE_FLOATS = """
import array, ctypes, memprobe, struct, sys
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
memprobe.snapshot(sys.argv[1], native=True)
memprobe.load(sys.argv[1]).lost()
numbers, planted = array.array("d", range(5000)), array.array("Q", bytes(8 * 5000))
for n in range(5000):
    planted[n] = libc.malloc(1000)
    ctypes.memset(planted[n], 7, 1000)
stale = [complex(0, struct.unpack("d", struct.pack("Q", address))[0]) for address in planted]  # as large as a float's block
del stale
floats = list(numbers)  # have these blocks, but for their last word
del floats
memprobe.snapshot(sys.argv[1], native=True)
print(sum(row.count for row in memprobe.load(sys.argv[1]).lost(limit=None).rows if row.size == 1008))
"""


@glibc
def test_free_floats_refer_to_nothing(tmp_path: Path) -> None:
    """A hundred of them are kept ready. Until 3.13 nothing in one says that it is a float."""
    assert 4980 <= counted(FREE_FLOATS, tmp_path) <= 5002


LOOKALIKES = """
import ctypes, memprobe, sys
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
types, holders = [float, int, str, bytes, complex], []
for linked in (True, False):
    count, head = 500, 0
    table = libc.malloc(8 * count)
    for n in range(count):
        kept, node = libc.malloc(7000), libc.malloc(40)
        ctypes.memset(kept, 7, 7000)
        (ctypes.c_uint64 * 5).from_address(node)[:] = [head if linked else 0, id(types[n % 5]), kept, 0, 1]
        head = ctypes.c_uint64.from_address(table + 8 * n).value = node
    holders.append(ctypes.c_void_p(table))
memprobe.snapshot(sys.argv[1], native=True)
print(sum(row.count for row in memprobe.load(sys.argv[1]).lost(limit=None).rows if row.size >= 7000))
"""


@glibc
def test_structures_of_c_are_no_free_objects(tmp_path: Path) -> None:
    """Nodes { next, class, .. } of C code look like objects that are kept ready; what they keep is not lost."""
    assert counted(LOOKALIKES, tmp_path) == 0
