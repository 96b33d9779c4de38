# SPDX-License-Identifier: MIT
"""The balance of a process: each resident byte once. What the kernel (smaps_rollup) and malloc (mallinfo2) say is the oracle, and
programs that have so much of one kind of memory."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import JEMALLOC, needs_jemalloc
from services import Service

import memprobe
from memprobe import _text
from memprobe._capture import Options
from memprobe.balance import Memory, MemoryPart

MIB = 1 << 20
# Debug builds, debug hooks and sanitizers pad blocks, so that more of an allocator is in use than objects take.
PLAIN = (
    os.environ.get("PYTHONMALLOC", "pymalloc") in ("pymalloc", "")
    and not sys.flags.dev_mode
    and not hasattr(sys, "gettotalrefcount")
)
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer's malloc is not glibc's")

START = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
def here():
    print("here", flush=True)
    sys.stdin.readline()
"""
MMAP = """
libc.mmap.restype = ctypes.c_void_p
def anonymous(size):
    at = libc.mmap(None, ctypes.c_size_t(size), 3, 0x22, -1, ctypes.c_long(0))
    ctypes.memset(at, 1, size)
    return at
"""
# Programs, and the part that 64 MiB more are of at the second moment.
PROGRAMS = {
    "objects": ("here(); kept = [b'x' * (1 << 20) for _ in range(64)]; here()", "Python objects"),
    "small objects": ("here(); kept = [(i, i + 0.5) for i in range(485_000)]; here()", "Python objects"),
    "malloc": (
        "here(); libc.malloc.restype = ctypes.c_void_p; kept = ctypes.c_void_p * 16384; kept = kept()\n"
        "for i in range(16384): kept[i] = libc.malloc(4080); ctypes.memset(kept[i], 1, 4080)\n"
        "here()",
        "malloc, in use by C code",
    ),
    "freed by malloc": (
        "libc.malloc.restype = ctypes.c_void_p; libc.free.argtypes = [ctypes.c_void_p]; here()\n"
        "kept = [libc.malloc(4080) for _ in range(16400)]\n"
        "for at in kept: ctypes.memset(at, 1, 4080)\n"
        "last = kept.pop()\n"
        "for at in kept: libc.free(at)\n"
        "here()",
        "malloc, free and not returned",
    ),
    "freed by Python": (
        "here(); kept = [object() for _ in range(64 * 65536)]; kept = kept[::2000]; here()",
        "Python's allocator, free",
    ),
    "a file": (
        "import mmap; here(); file = open('big', 'w+b'); file.truncate(64 << 20); kept = mmap.mmap(file.fileno(), 64 << 20)\n"
        "kept[:: 4096] = bytes(64 * 256); here()",
        "files",
    ),
    "shared memory": (
        "import mmap; here(); kept = mmap.mmap(-1, 64 << 20); kept[:: 4096] = bytes(64 * 256); here()",
        "shared memory",
    ),
    "stacks": (
        "import threading; end = threading.Event(); deep = lambda n: deep(n - 1) if n else (gate.wait(), end.wait())\n"
        "here(); threading.stack_size(2 << 20); gate = threading.Barrier(201)\n"
        "for _ in range(200): threading.Thread(target=deep, args=(100,), daemon=True).start()\n"
        "gate.wait(); here()",
        "thread stacks",
    ),
    "of nobody": (f"{MMAP}\nhere(); kept = anonymous(64 << 20); here()", "not explained"),
}
FEWER = {"stacks": 2 * MIB}  # of the part


def rollup(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}


def check_balance(found: Memory, unexplained: float = 0.02) -> None:
    """Parts and what is not explained are the whole; the latter is little."""
    assert found.rss_bytes is not None and found.unexplained_bytes is not None
    assert sum(part.bytes for part in found.parts) + found.unexplained_bytes == found.rss_bytes
    assert abs(found.unexplained_bytes) <= unexplained * found.rss_bytes, found
    assert all(part.bytes >= -64 * 1024 for part in found.parts), found  # sizes by formula may be a little too large


def of(found: Memory, name: str) -> int:
    return (
        (found.unexplained_bytes or 0) if name == "not explained" else next(part.bytes for part in found.parts if part.name == name)
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_grew_is_the_part_that_has_it(name: str, tmp_path: Path) -> None:
    source, part = PROGRAMS[name]
    (tmp_path / "program.py").write_text(START + source)
    with Service(tmp_path, tmp_path / "program.py") as service:
        before = service.snapshot().memory()
        check_balance(before)
        service.go_on()
        kernel = rollup(service.process.pid)
        heap = service.snapshot()
        after = heap.memory()
    check_balance(after, 1.0 if part == "not explained" else 0.02)
    assert after.rss_bytes is not None and after.pss_bytes is not None
    assert abs(after.rss_bytes - kernel["Rss"]) <= MIB + kernel["Rss"] // 50
    assert abs(after.pss_bytes - kernel["Pss"]) <= MIB + kernel["Pss"] // 50
    grown = after.since(before)
    least = FEWER.get(name, 60 * MIB)
    if PLAIN or "Python" not in part and "object" not in name:
        assert of(after, part) - of(before, part) >= least, grown
        assert grown.growth is not None and grown.growth >= least
        if name not in FEWER:
            assert f"{part} +" in grown.brief()[1].split(";")[0], grown.brief()  # it is the first that is said


def test_malloc_in_use(tmp_path: Path) -> None:
    """As mallinfo2() counts it, with arenas of threads, mmapped chunks and holes; freed chunks that are cached count as in use."""
    source = """
    import threading
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keep"
    class Info(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in names.split()]
    if not hasattr(libc, "mallinfo2"):
        print("none", flush=True); sys.stdin.readline()
    libc.mallinfo2.restype = Info
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    gate, end = threading.Barrier(5), threading.Event()
    def work():
        blocks = [libc.malloc(100 + 97 * i % 9000) for i in range(4000)]
        for at in blocks[::3]: libc.free(at)
        blocks = [libc.malloc(300_000) for _ in range(10)]
        gate.wait(), end.wait()
    for _ in range(4): threading.Thread(target=work, daemon=True).start()
    gate.wait()
    info = libc.mallinfo2()
    print(info.uordblks + info.hblkhd + info.fsmblks, info.hblks, flush=True)
    sys.stdin.readline()
    """
    (tmp_path / "program.py").write_text(START + textwrap.dedent(source))
    with Service(tmp_path, tmp_path / "program.py") as service:
        if service.said == "none":
            pytest.skip("this C library has no mallinfo2()")
        in_use, mapped = map(int, service.said.split())
        facts = service.snapshot()._graph.infos()
    assert mapped >= 40 and facts["mem_malloc_unread"] == 0
    assert abs(int(facts["mem_malloc_given"]) - in_use) <= 512 * 1024 + in_use // 200  # what the agent itself took meanwhile


def test_memory_that_was_only_read(tmp_path: Path) -> None:
    """As an array of zeros of numpy's: its pages are the kernel's page of zeros. They were 240 % of such a process."""
    source = """
    libc.calloc.restype = ctypes.c_void_p
    kept = [b"x" * 2000 for _ in range(20_000)]
    blocks = [libc.calloc(1, 10 << 20) for _ in range(40)]
    more = [b"y" * 2000 for _ in range(20_000)]
    for at in blocks:
        for page in range(4096, 10 << 20, 4096): ctypes.string_at(at + page, 1)
    try:
        import numpy
        zeros = numpy.zeros(32 << 20); zeros.sum()
    except ImportError: pass
    here()
    """
    (tmp_path / "program.py").write_text(START + textwrap.dedent(source))
    with Service(tmp_path, tmp_path / "program.py") as service:
        kernel = rollup(service.process.pid)
        found = [service.snapshot().memory() for _ in range(2)]  # the second child gives an array's memory back before it counts
    for one in found:
        check_balance(one)
        assert abs((one.rss_bytes or 0) - kernel["Rss"]) <= MIB + kernel["Rss"] // 50
        assert of(one, "malloc, in use by C code") < 20 * MIB and of(one, "malloc, free and not returned") < 20 * MIB


@needs_jemalloc
def test_extents_of_jemalloc(tmp_path: Path) -> None:
    """Found in memory, as of a library that has one of its own. This one is asked, too, and says what it has at most: what else the
    program has mapped is not its."""
    source = """
    import ctypes, mmap, memprobe
    kept = [b'x' * (1000 + i % 5000) for i in range(30_000)]
    memprobe.snapshot("a.snap")
    other = mmap.mmap(-1, 32 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    other[::4096] = bytes(32 << 8)
    memprobe.snapshot("b.snap")
    """
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(source))
    environment = {**os.environ, "LD_PRELOAD": str(JEMALLOC)}
    subprocess.run([sys.executable, program], cwd=tmp_path, env=environment, check=True)
    heap = memprobe.load(tmp_path / "a.snap")
    facts = heap._graph.infos()
    found, said = int(facts["mem_jemalloc"]), int(facts["mem_other"])
    assert 80 * MIB < found <= said + MIB and found > 0.9 * said
    check_balance(heap.memory())
    grown = memprobe.load(tmp_path / "b.snap").memory().since(heap.memory())
    assert "not explained +3" in grown.brief()[1], grown.brief()


def test_what_malloc_trim_would_give_back(tmp_path: Path) -> None:
    """Holes and tops of the main arena and of threads' arenas: the advice has the number that malloc_trim(0) then gives."""
    source = """
    import threading
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    gate, end = threading.Barrier(4), threading.Event()
    def work():
        blocks = [libc.malloc(9000) for _ in range(3000)]
        for at in blocks: ctypes.memset(at, 1, 9000)
        for at in blocks[:-1]:
            if at % 7: libc.free(at)
    def thread(): work(), gate.wait(), end.wait()
    for _ in range(3): threading.Thread(target=thread, daemon=True).start()
    work(), gate.wait()
    libc.fopen.restype = ctypes.c_void_p
    file = ctypes.c_void_p(libc.fopen(b"info.xml", b"w"))
    libc.malloc_info(0, file), libc.fclose(file)
    here()
    libc.malloc_trim(0)
    here()
    """
    (tmp_path / "program.py").write_text(START + textwrap.dedent(source))
    with Service(tmp_path, tmp_path / "program.py") as service:
        heap = service.snapshot()
        before = rollup(service.process.pid)["Rss"]
        service.go_on()
        given = before - rollup(service.process.pid)["Rss"]
    returnable = int(heap._graph.infos()["mem_malloc_returnable"])
    assert given > 16 * MIB and abs(given - returnable) < 2 * MIB + given // 20, (given, returnable)
    found = heap.fragmentation().malloc
    assert found is not None and found.returnable_bytes == returnable and found.sparse > 16
    assert found.arenas == (tmp_path / "info.xml").read_text().count("<heap nr=") >= 4
    assert 0 < found.sparse_used_bytes * 3 < found.sparse_free_bytes <= found.free_bytes
    assert found.others_free_bytes < found.free_bytes
    assert f"malloc_trim(0) would give {_text.size(returnable)} back" in str(found)
    assert any("malloc_trim(0)" in line for line in heap.findings()), heap.findings()


def test_without_pymalloc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONMALLOC", "malloc")
    (tmp_path / "program.py").write_text(START + "kept = [(i, i + 0.5) for i in range(200_000)]; here()")
    with Service(tmp_path, tmp_path / "program.py") as service:
        found = service.snapshot().memory()
    check_balance(found)
    assert of(found, "Python objects") >= 200_000 * (64 + 32 + 32) and of(found, "Python's allocator, free") == 0
    assert of(found, "malloc, in use by C code") < 8 * MIB


def test_buffers_that_the_child_gives_back(tmp_path: Path) -> None:
    """The second snapshot's child gives large data back before it looks at memory: it is in the balance all the same."""
    (tmp_path / "program.py").write_text(START + "kept = [bytearray(b'x') * (8 << 20) for _ in range(16)]; here()")
    with Service(tmp_path, tmp_path / "program.py") as service:
        first, second, third = (service.snapshot().memory() for _ in range(3))
        kernel = rollup(service.process.pid)["Rss"]
    for found in (first, second, third):
        check_balance(found)
        assert of(found, "Python objects") >= 128 * MIB and abs((found.rss_bytes or 0) - kernel) < 4 * MIB, found


def test_memory_that_was_never_touched(tmp_path: Path) -> None:
    """bytes(n) asks for zeroed memory: it is in the sizes of objects, and not in what is resident."""
    (tmp_path / "program.py").write_text(START + "kept = [bytes(1 << 20) for _ in range(256)]; here()")
    with Service(tmp_path, tmp_path / "program.py") as service:
        heap = service.snapshot()
    check_balance(heap.memory())
    assert heap.info.bytes > 256 * MIB > 5 * of(heap.memory(), "Python objects")


def test_without_a_fork(tmp_path: Path) -> None:
    """Chunks cannot be followed then; malloc says how much is in use."""
    (tmp_path / "program.py").write_text(START + "kept = [b'x' * (1 << 20) for _ in range(20)]; here()")
    with Service(tmp_path, tmp_path / "program.py") as service:
        memprobe.snapshot_process(service.process.pid, tmp_path / "a.snap", Options(fork=False))
    found = memprobe.load(tmp_path / "a.snap").memory()
    check_balance(found)
    assert "without a fork" in str(found) and of(found, "Python objects") >= 20 * MIB


def test_of_this_process() -> None:
    heap = memprobe.capture()
    first, second = heap.memory(), memprobe.memory()
    check_balance(first, 0.2)  # pytest has imported what it likes
    check_balance(second, 0.2)
    assert of(second, "memprobe itself") > of(first, "memprobe itself")  # the graph of the first capture
    assert abs((second.private_bytes or 0) + (second.shared_bytes or 0) - (second.rss_bytes or 0)) < 8 * MIB


def test_of_an_older_file(tmp_path: Path) -> None:
    """Which has no account: the objects are known, and it is said."""
    import gzip

    packed = Path(__file__).parents[1] / "fixtures" / "d1ccbf8" / "caches.memprobe.gz"
    packed = packed if packed.exists() else next(packed.parent.glob("*.gz"))
    (tmp_path / "old.snap").write_bytes(gzip.decompress(packed.read_bytes()))
    found = memprobe.load(tmp_path / "old.snap").memory()
    check_balance(found, 1.0)
    assert "Only Python objects are known" in str(found) and found.swap_bytes is None


def test_the_verb(tmp_path: Path, command: Callable[..., Any]) -> None:
    (tmp_path / "program.py").write_text("kept = [b'x' * (1 << 20) for _ in range(32)]\n")
    (tmp_path / "small.py").write_text("kept = []\n")
    assert command("snapshot", "-o", "b.snap", "--", "program.py").code == 0
    assert command("snapshot", "-o", "a.snap", "--", "small.py").code == 0
    done = command("memory", "b.snap", "a.snap")
    assert done.code == 0 and "since the older" in done.out and "Next:" in done.out, done
    assert "not explained" in done.out and "Python objects" in done.out
    found = memprobe.load(tmp_path / "b.snap").memory()
    first = dataclasses.replace(found.parts[0], bytes=found.parts[0].bytes + (found.unexplained_bytes or 0))
    assert "not explained" in str(dataclasses.replace(found, parts=(first, *found.parts[1:]), unexplained_bytes=0))
    answer = json.loads(command("memory", "--json", "b.snap", "a.snap").out)
    assert answer["schema"] == "memprobe.memory/1" and answer["growth_bytes"] >= 30 * MIB
    assert sum(part["bytes"] for part in answer["parts"]) + answer["unexplained_bytes"] == answer["rss_bytes"]
    assert answer["older"]["rss_bytes"] < answer["rss_bytes"] and answer["older"]["older"] is None
    assert command("memory").code == 2 and command("memory", "none.snap").code == 3


@pytest.mark.parametrize("words", [("info",), ("summary",), ("suspects",), ("summary", "--since", "a.snap"), ("diff", "a.snap")])
def test_first_screens_speak_of_the_process(words: tuple[str, ...], tmp_path: Path, command: Callable[..., Any]) -> None:
    for name, source in (("a", "pass"), ("b", "kept = [b'x' * (1 << 20) for _ in range(32)]")):
        (tmp_path / "program.py").write_text(source)
        assert command("snapshot", "-o", f"{name}.snap", "--", "program.py").code == 0
    first, second, *_ = command(*words, "b.snap").out.splitlines()
    assert first.startswith("resident ") and second.startswith("  Python objects "), (first, second)
    assert ("+" in first) == ("a.snap" in words)


# ---- what a balance says ------------------------------------------------------------------------------------------------


def made(rss: int, **parts: int) -> Memory:
    named = tuple(MemoryPart(name.replace("_", " "), count) for name, count in parts.items())
    return Memory(rss, named, rss - sum(parts.values()))


def test_brief() -> None:
    older = made(100 * MIB, objects=40 * MIB, libraries=50 * MIB, stacks=MIB)
    assert older.brief() == ("resident 100.0 MiB:", "  libraries 50.0 MiB; objects 40.0 MiB; not explained 9.0 MiB; other 1.0 MiB")
    grown = made(200 * MIB, objects=130 * MIB, libraries=50 * MIB, stacks=2 * MIB).since(older)
    assert grown.brief() == ("resident 200.0 MiB, +100.0 MiB:", "  objects +90.0 MiB; not explained +9.0 MiB; other +1.0 MiB")
    same = made(100 * MIB + 5000, objects=40 * MIB + 5000, libraries=50 * MIB, stacks=MIB).since(older)
    assert same.brief() == ("resident 100.0 MiB, +4.9 KiB: no growth",)
    assert Memory(None, (), None).brief() == ()


def test_a_leak_that_is_swapped_out_is_growth() -> None:
    older, newer = made(100 * MIB, objects=90 * MIB), made(100 * MIB, objects=90 * MIB)
    swapped = dataclasses.replace(newer, swap_bytes=50 * MIB).since(older)
    assert swapped.growth == 50 * MIB and "+50.0 MiB with what is swapped out" in swapped.brief()[0]
    assert "swapped out" in str(swapped)


def test_as_text_and_html() -> None:
    found = made(100 * MIB, objects=90 * MIB).since(made(50 * MIB, objects=45 * MIB, stacks=MIB))
    assert "+45.0 MiB" in str(found) and "-1.0 MiB" not in str(found)
    assert "90.0 %" in found._repr_html_() and repr(found) == str(found)
    assert found.to_dict()["growth_bytes"] == 50 * MIB
