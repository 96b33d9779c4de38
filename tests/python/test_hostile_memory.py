# SPDX-License-Identifier: MIT
"""The account of a process whose memory is damaged, forged, or changes while it is looked at, and of one that may not look: parts
are missing, and it is said so; nothing else happens. The parts add up to the kernel's number, and the objects are all there."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

CHECK = """
import ctypes, json, os, random, struct, sys, threading
import memprobe
libc = ctypes.CDLL(None, use_errno=True)
libc.malloc.restype = libc.mmap.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
class Kept: pass
kept = [Kept() for _ in range(5000)]
said = []

def mapped(size):
    at = libc.mmap(None, size, 3, 0x22, -1, 0)
    assert at != 2**64 - 1
    return at

def word(address):
    return ctypes.c_uint64.from_address(address)

def look():
    for fork in (True, False):
        info = memprobe.snapshot("a.snap", fork=fork)
        heap = memprobe.load("a.snap")
        memory = heap.memory()
        assert heap.info.cut is None and len(heap.find(type="__main__.Kept")) == 5000
        a = heap.accounting()
        assert a.residual_negative == 0, [heap.node(i) for i in range(heap.nodes) if heap._graph.node(i)[4] < 0][:5]
        parts = {part.name: part.bytes for part in memory.parts}
        if memory.rss_bytes is not None and memory.unexplained_bytes is not None:
            assert sum(parts.values()) + memory.unexplained_bytes == memory.rss_bytes
        heap.findings(heap), heap.suspects(), str(memory)
        said.append({"mode": info.mode, "parts": parts, "notes": memory.notes, "rss": memory.rss_bytes, "unseen": a.unseen_objects})

def end():
    print(json.dumps(said), flush=True)
    os._exit(0)  # without malloc, which may find the damage
"""


def run(folder: Path, source: str, *before: str) -> list[dict[str, Any]]:
    (folder / "program.py").write_text(CHECK + textwrap.dedent(source) + "\nend()\n")
    words = [*before, sys.executable, "-X", "faulthandler", "program.py"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_heads_of_chunks_that_were_overwritten(tmp_path: Path) -> None:
    """As a C extension does that writes behind its block. What cannot be followed is in use or free."""
    found = run(
        tmp_path,
        """
        blocks = [libc.malloc(1000) for _ in range(4000)]
        middle = word(blocks[2000] - 8)
        right = middle.value
        for size in (0, 1, 8, 16, 17, right + 16, right + 8, 1 << 40, 2**63, 2**64 - 15, 2**64 - 8, right ^ 1, 0xFDFDFDFDFDFDFDFD):
            middle.value = size
            look()
        middle.value = right
        look()
        """,
    )
    unread = [one["parts"]["malloc, in use or free"] for one in found if one["mode"] == "forked"]
    assert unread[-1] == 0, "the last has nothing wrong"
    assert sum(bytes > 4_000_000 for bytes in unread) >= len(unread) // 2, unread


def test_memory_that_looks_like_an_allocator_s(tmp_path: Path) -> None:
    """Regions that begin as a heap of malloc's, a mapping of its, an arena of pymalloc's or mimalloc's, a block of jemalloc's, and
    go on at random."""
    found = run(
        tmp_path,
        """
        random.seed(3)
        HEAP = 64 << 20
        region = mapped(3 * HEAP)
        first = (region + HEAP - 1) // HEAP * HEAP
        size = 1 << 20
        addresses = [id(one) for one in kept[:50]] + [id(Kept), first, first + 4096, 0, 1, 2**47, 2**64 - 1]
        heads = [
            lambda at: (at + 32, 0, random.choice((size, 4096, HEAP, HEAP * 2, 0, 4097)), size),
            lambda at: (at + 48, at, size, HEAP),
            lambda at: (0, random.choice((size, 2 * size, 1 << 17, 1 << 40)) | 2, 0, 0),
            lambda at: (random.randrange(1, 20), at + 64, 0, 0),
            lambda at: (at, HEAP, 0, 0),
            lambda at: (random.choice((2 << 20, 1 << 40)), random.choice((0, first)), 7, at + 4096),
            lambda at: (0, 1 << 20, random.randrange(1 << 17), 0),
        ]
        for turn in range(15):
            for page in range(first, first + size, 4096):
                for offset in range(0, 4096, 8):
                    value = random.choice((0, 32 | 1, 33, 64, 4096, 16, random.getrandbits(64), *addresses))
                    if offset < 1024 or turn % 5 == 0:
                        word(page + offset).value = value
                if random.random() < 0.3:
                    for index, value in enumerate(random.choice(heads)(page)):
                        word(page + 8 * index).value = value & (2**64 - 1)
            if turn < 2 or turn % 7 == 0:
                look()
        """,
    )
    assert {one["mode"] for one in found} == {"forked", "streamed"}


def test_memory_that_moves_meanwhile(tmp_path: Path) -> None:
    """Threads that map, unmap, take, free, trim and move the break without the GIL while it is looked at."""
    found = run(
        tmp_path,
        """
        stop = threading.Event()
        def maps():
            while not stop.is_set():
                at = mapped(300 << 12)
                ctypes.memset(at, 1, 300 << 12)
                libc.munmap(at + (100 << 12), 7 << 12)
                libc.munmap(at, 100 << 12), libc.munmap(at + (107 << 12), 193 << 12)  # in the hole another may be by now
        def mallocs():
            while not stop.is_set():
                some = [libc.malloc(random.choice((24, 600, 5000, 200_000))) for _ in range(50)]
                for at in some: libc.free(at)
        def trims():
            while not stop.is_set():
                large = [libc.malloc(120_000) for _ in range(40)]  # the break moves, and back
                for at in large: libc.free(at)
                libc.malloc_trim(0)
        def bytes_come_and_go():
            while not stop.is_set():
                [bytes(random.choice((24, 600, 5000, 200_000))) for _ in range(50)]
        threads = [threading.Thread(target=work, daemon=True) for work in (maps, mallocs, mallocs, trims, bytes_come_and_go)]
        for thread in threads: thread.start()
        for _ in range(4): look()
        stop.set()
        """,
    )
    assert len(found) == 8 and all(one["rss"] for one in found)


SECCOMP = """
def refuse(*numbers):
    code = [(0x20, 0, 0, 0)]
    for number in numbers:
        code += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | 1)]  # EPERM
    code += [(0x06, 0, 0, 0x7FFF0000)]
    buffer = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in code))
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.byref(Program(len(code), ctypes.addressof(buffer))), 0, 0) == 0
"""
CALLS = {"process_vm_readv": 310, "mincore": 27, "madvise": 28, "statx": 332, "ioctl": 16}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64")
@pytest.mark.parametrize("calls", [*((call,) for call in CALLS), tuple(CALLS)])
def test_calls_that_the_kernel_refuses(tmp_path: Path, calls: tuple[str, ...]) -> None:
    """As in a container with a strict seccomp profile."""
    numbers = ", ".join(str(CALLS[call]) for call in calls)
    found = run(tmp_path, textwrap.dedent(SECCOMP) + f"\nrefuse({numbers})\nlook()\n")
    assert len(found) == 2
    for one in found:
        if "mincore" in calls:
            assert any("Only Python objects are known" in note for note in one["notes"]), one
        assert one["parts"]["Python objects"] > 4_000_000, one


def test_without_proc(tmp_path: Path) -> None:
    """Where nobody says what is resident only the objects are known."""
    hidden = ("unshare", "--mount", "--propagation", "private", "--", "sh", "-ec", 'mount -t tmpfs none /proc; exec "$@"', "sh")
    if shutil.which("unshare") is None or subprocess.run([*hidden, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace can be had here")
    found = run(tmp_path, "look()", *hidden)
    assert all(one["notes"] for one in found), found
    assert all(one["parts"]["Python objects"] > 1_000_000 for one in found), found
