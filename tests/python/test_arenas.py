# SPDX-License-Identifier: MIT
"""Arenas of Python's allocator that are thinly filled, and what pins them. The oracle is the program: it knows what it kept."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import memprobe
from memprobe.arenas import Fragmentation, Survivor

PYMALLOC = os.environ.get("PYTHONMALLOC", "pymalloc") in ("pymalloc", "pymalloc_debug", "debug")
pytestmark = pytest.mark.skipif(not PYMALLOC, reason="there are no arenas without pymalloc")

# Two variables keep a little of what is made, one much more of it than the other.
PROGRAM = """
    import gc, memprobe
    kept, others = [], []
    def work(n):
        rows = [{"id": i + 10**6, "name": f"row {n} {i}"} for i in range(60_000)]
        kept.extend(rows[::1500])
        others.extend(rows[:1])
    for n in range(6):
        many = [work(k) for k in range(8 * n, 8 * n + 8)]
    full = [(n, str(n)) for n in range(FULL)]
    gc.collect()
    memprobe.snapshot("a.snap")
"""


def made(folder: Path, full: int = 1) -> memprobe.Heap:
    source = textwrap.dedent(PROGRAM).replace("FULL", str(full))
    subprocess.run([sys.executable, "-c", source], cwd=folder, check=True)
    return memprobe.load(folder / "a.snap")


def test_what_pins_them(tmp_path: Path, command: Callable[..., Any]) -> None:
    heap = made(tmp_path)
    found = heap.fragmentation()
    assert found.count is not None and found.sparse > 5 and found.sparse <= found.count
    assert 0 < found.sparse_used_bytes < found.sparse << 18
    first = found.rows[0]
    assert first.name == "__main__.kept" and first.type == "dict" and first.arenas > 0.8 * found.sparse, found
    assert first.alone <= first.arenas and first.objects >= first.count
    assert [row.arenas for row in found.rows] == sorted((row.arenas for row in found.rows), reverse=True)
    memory = heap.memory()
    assert found.wasted_bytes <= sum(part.bytes for part in memory.parts if part.name == "Python's allocator, free") * 1.1
    if found.matters(memory.rss_bytes):
        for words in (("suspects",), ("memory",), ("info",)):
            said = command(*words, tmp_path / "a.snap").out
            assert "less than a quarter full" in said and "__main__.kept" in said, said
    told = json.loads(command("memory", "--json", tmp_path / "a.snap").out)["arenas"]
    assert told["sparse"] == found.sparse and told["rows"][0]["name"] == "__main__.kept"


def test_the_number_of_arenas_is_that_of_the_balance(tmp_path: Path) -> None:
    heap = made(tmp_path)
    assert heap.fragmentation().count == heap._graph.infos()["mem_pools_arenas"]


def test_a_heap_that_is_full_has_few(tmp_path: Path) -> None:
    heap = made(tmp_path, 400_000)
    found = heap.fragmentation()
    assert found.count is not None and found.sparse <= 0.3 * found.count, found
    assert not found.matters(heap.memory().rss_bytes)


def test_this_process() -> None:
    found = memprobe.capture().fragmentation(limit=3)
    assert found.count and len(found.rows) <= 3


def test_words() -> None:
    row = Survivor("app.kept", "dict", 1440, 4000, 1 << 20, 97, 80, 7)
    found = Fragmentation(118, 116, 7 << 20, 3, (row, row, row, row))
    assert found.brief().startswith("116.0 MiB of Python's arenas are less than a quarter full: 7.0 MiB in use.")
    assert found.brief().count("app.kept (1,440 dict), in 84 %") == 3
    assert found.matters(200 << 20) and not found.matters(2 << 30) and found.wasted_bytes == 109 << 20
    assert "no variable in particular" in Fragmentation(118, 116, 7 << 20, 116, ()).brief()
    assert "does not know" in str(Fragmentation(None, 0, 0, 0, ()))
    assert str(Fragmentation(8, 0, 0, 0, ())) == "None of the 8 arenas of Python's allocator is less than a quarter full."


def test_what_lies_in_malloc_s_holes(tmp_path: Path) -> None:
    """A big answer of which little survives, in an arena of each thread: the variable that has it, and both ways out."""
    source = """
    import threading
    kept, gate, end = [], threading.Barrier(5), threading.Event()
    def work():
        rows = [bytes(700 + i * 37 % 3000) for i in range(12_000)]
        kept.append(rows[::400])
        del rows
        gate.wait()
        end.wait()
    for _ in range(4): threading.Thread(target=work, daemon=True).start()
    gate.wait()
    memprobe.snapshot("a.snap")
    """
    subprocess.run([sys.executable, "-c", "import memprobe\n" + textwrap.dedent(source)], cwd=tmp_path, check=True)
    heap = memprobe.load(tmp_path / "a.snap")
    found = heap.fragmentation().malloc
    if found is None:
        pytest.skip("not glibc's malloc")
    assert found.arenas == 5 and found.others_free_bytes > 0.9 * found.free_bytes > 60 << 20, found.to_dict()
    first = found.rows[0]
    assert (
        (first.name, first.type) == ("__main__.kept", "bytes")
        and "bytes objects)" in str(first)
        and first.arenas > 0.9 * found.sparse
    ), found
    said = heap.findings()
    assert any("malloc_trim(0) would give" in line for line in said), said
    assert any("__main__.kept (" in line and "thinly filled" in line for line in said), said
    assert any("MALLOC_ARENA_MAX=2" in line for line in said), said
    assert heap.findings(heap)[: len(said)] == said  # whether it grew or not


def test_what_c_code_took(tmp_path: Path) -> None:
    """What has most of the growth is spoken of first: so many blocks, of such a size."""
    source = """
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    memprobe.snapshot("a.snap")
    for _ in range(500):
        ctypes.memset(libc.malloc(100_000), 1, 100_000)
    innocent = [str(i) for i in range(10_000)]
    memprobe.snapshot("b.snap")
    """
    subprocess.run([sys.executable, "-c", "import ctypes, memprobe\n" + textwrap.dedent(source)], cwd=tmp_path, check=True)
    a, b = (memprobe.load(tmp_path / name) for name in ("a.snap", "b.snap"))
    if b.fragmentation().malloc is None:
        pytest.skip("not glibc's malloc")
    said, *more = b.findings(a)
    assert not more, more  # nothing that may hold it
    blocks = int(said.split("malloc has ")[1].split()[0])
    assert 500 <= blocks < 550 and "more blocks in use" in said, said
    assert a.findings(a) == a.findings(b) == ()


def test_what_may_hold_it(tmp_path: Path) -> None:
    """What objects of C types own is in no size: which of these there are more of."""
    source = """
    memprobe.snapshot("a.snap")
    tenants = [(sqlite3.connect(":memory:"), zlib.compressobj()) for _ in range(80)]
    memprobe.snapshot("b.snap")
    """
    subprocess.run([sys.executable, "-c", "import sqlite3, zlib, memprobe\n" + textwrap.dedent(source)], cwd=tmp_path, check=True)
    a, b = (memprobe.load(tmp_path / name) for name in ("a.snap", "b.snap"))
    if b.fragmentation().malloc is None:
        pytest.skip("not glibc's malloc")
    found = [line for line in b.findings(a) if "may hold it" in line]
    assert len(found) == 1 and "80 sqlite3.Connection" in found[0] and "80 zlib.Compress" in found[0], b.findings(a)


def test_an_older_file(tmp_path: Path) -> None:
    """Without the fact nothing is said."""
    packed = Path(__file__).parents[1] / "fixtures" / "d1ccbf8" / "growth-1-3.13.memprobe.gz"
    (tmp_path / "old.snap").write_bytes(gzip.decompress(packed.read_bytes()))
    heap = memprobe.load(tmp_path / "old.snap")
    assert heap.fragmentation().count is None and heap.fragmentation().rows == ()
