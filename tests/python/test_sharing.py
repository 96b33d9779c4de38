# SPDX-License-Identifier: MIT
"""What a worker shares with the process that forked it, and what was copied since. The oracle is the program, which knows what it
did after the fork, and the kernel's own sums."""

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

import memprobe
from memprobe.sharing import Sharing

MIB = 1 << 20
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is much more than the program's")

# A catalogue that the collector tracks, and texts that it does not: some 40 and 30 MiB. The child does one thing to them.
PROGRAM = """
    import gc, memprobe, os, sys
    class Item:
        def __init__(self, i):
            self.i, self.tags = i, [i]
    def sums():
        rows = (line.split() for line in open("/proc/self/smaps_rollup"))
        return {row[0]: int(row[1]) << 10 for row in rows if row[-1] == "kB"}
    def work(what):
        if what in ("collect", "frozen"):
            gc.collect()
        elif what == "read":
            for text in texts:
                pass
        elif what == "read all":
            for item in catalogue:
                for tag in item.tags:
                    pass
        elif what == "write":
            for item in catalogue:
                item.i = None
        elif what == "make":
            sys.made = [[i] for i in range(300_000)]
    catalogue = [Item(i + 10**6) for i in range(200_000)]
    texts = [f"text number {i:020}" for i in range(400_000)]
    memprobe.capture()  # what it loads is loaded before the fork
    gc.collect()
    gc.disable()
    if sys.argv[1] == "frozen":
        gc.freeze()
    if os.fork() == 0:
        work(sys.argv[1])
        if len(sys.argv) > 2:
            os.setuid(int(sys.argv[2]))
        before = sums()
        memprobe.snapshot("a.snap")
        print(before["Anonymous:"], before["Private_Dirty:"], os.getppid(), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0
"""


def after(folder: Path, what: str, *more: str) -> tuple[memprobe.Heap, list[int]]:
    """The heap of the child, and what the kernel said: anonymous memory, what it had alone of that, and its parent."""
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), what, *more]
    said = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    return memprobe.load(folder / "a.snap"), [int(word) for word in said.split()]


def shared(heap: memprobe.Heap) -> Sharing:
    found = heap.sharing()
    assert found.parent is not None, heap._graph.infos().keys()
    return found


# What the child did; MiB that this copies at least and at most; of these, that differ; and that a collection writes to.
@pytest.mark.parametrize(
    ("what", "copied", "written", "noted"),
    [
        ("nothing", (0, 14), (0, 8), (0, 6)),
        ("collect", (25, 70), (0, 9), (22, 65)),
        ("frozen", (0, 16), (0, 10), (0, 6)),
        ("read", (25, 50), (0, 10), (0, 12)),
        ("read all", (10, 70), (0, 10), (8, 65)),
        ("write", (10, 60), (9, 60), (0, 40)),
        ("make", (0, 14), (0, 9), (0, 6)),
    ],
)
def test_what_was_copied(tmp_path: Path, what: str, copied: Any, written: Any, noted: Any) -> None:
    heap, (anonymous, alone, parent) = after(tmp_path, what)
    found = shared(heap)
    assert found.parent == parent
    assert found.copied_bytes is not None and found.written_bytes is not None and found.noted_bytes is not None
    assert found.shared_bytes is not None and found.new_bytes is not None
    assert copied[0] * MIB <= found.copied_bytes <= copied[1] * MIB, found
    assert written[0] * MIB <= found.written_bytes <= written[1] * MIB, found
    assert noted[0] * MIB <= found.noted_bytes <= noted[1] * MIB, found
    assert (found.new_bytes > 15 * MIB) == (what == "make"), found
    # the kernel's sums are of a moment before
    assert abs(found.copied_bytes + found.new_bytes - alone) < 5 * MIB + alone // 20
    assert abs(found.copied_bytes + found.new_bytes + found.shared_bytes - anonymous) < 2 * MIB
    assert found.noted_shared_bytes is not None and (found.noted_shared_bytes < 16 * 4096) == (what in ("collect", "frozen")), found


def test_whose_objects_lie_there(tmp_path: Path, command: Callable[..., Any]) -> None:
    heap, _ = after(tmp_path, "collect")
    found = shared(heap)
    first = found.rows[0]
    assert first.name == "__main__.catalogue" and first.pages * 4096 > 0.7 * (found.copied_bytes or 0), found.rows
    assert [row.pages for row in found.rows] == sorted((row.pages for row in found.rows), reverse=True)
    said = "\n".join(heap.findings())
    assert "gc.freeze() before the fork" in said and "__main__.catalogue" in said, said
    for words in (("memory",), ("info",), ("suspects",)):
        assert "gc.freeze()" in command(*words, tmp_path / "a.snap").out
    told = json.loads(command("memory", "--json", tmp_path / "a.snap").out)["sharing"]
    assert told["parent"] == found.parent and told["rows"][0] == first.to_dict()


@pytest.mark.parametrize(
    ("what", "name"), [("read", "__main__.texts"), ("read all", "__main__.catalogue"), ("write", "__main__.catalogue")]
)
def test_reading_and_writing_are_no_reason_to_freeze(tmp_path: Path, what: str, name: str) -> None:
    heap, _ = after(tmp_path, what)
    assert heap.sharing().rows[0].name == name
    said = "\n".join(heap.findings())
    assert "were copied since" in said and "gc.freeze" not in said, said


def test_little_is_no_finding_but_memory_says_it(tmp_path: Path, command: Callable[..., Any]) -> None:
    heap, _ = after(tmp_path, "nothing")
    assert not any("copied since" in line for line in heap.findings())
    assert "were copied since process" in command("memory", tmp_path / "a.snap").out


def test_a_parent_that_may_not_be_looked_at(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("another user's process is needed")
    tmp_path.chmod(0o777)
    heap, _ = after(tmp_path, "collect", "65534")
    assert heap.sharing().parent is None and heap.sharing().lines(None) == ()


def test_a_program_of_its_own_is_no_fork(tmp_path: Path) -> None:
    source = "import memprobe; memprobe.snapshot('a.snap')"
    subprocess.run([sys.executable, "-c", source], cwd=tmp_path, check=True)
    found = memprobe.load(tmp_path / "a.snap").sharing()
    assert found.parent is None and found.rows == () and str(found) == "This process was not forked by one that is known."


def test_the_heap_of_malloc_of_a_fork_can_be_followed(tmp_path: Path) -> None:
    """What it grows by after the fork is a mapping of its own."""
    source = """
        import memprobe, os
        if os.fork() == 0:
            kept = [bytearray(1000) for _ in range(2000)]
            memprobe.snapshot("a.snap")
            os._exit(0)
        os.wait()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source)], cwd=tmp_path, check=True)
    facts = memprobe.load(tmp_path / "a.snap")._graph.infos()
    assert facts["mem_malloc_unread"] == 0


def test_without_the_parents_memory() -> None:
    found = Sharing(7, 90 * MIB, 50 * MIB, None, 40 * MIB, 8192, MIB, ())
    copied = "50.0 MiB were copied since process 7 forked this one, 90.0 MiB are shared still."
    assert found.lines(100 * MIB) == (
        copied,
        "The collector wrote to all objects that it tracks: their pages were copied, to the last. gc.freeze() before the fork "
        "keeps it from them: up to 40.0 MiB would be shared still.",
    )
    assert dataclasses.replace(found, noted_shared_bytes=MIB).lines(100 * MIB) == (copied,)
