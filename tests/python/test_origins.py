# SPDX-License-Identifier: MIT
"""Where objects were made. The oracle is tracemalloc.get_object_traceback(), asked by the program about its own objects."""

from __future__ import annotations

import gc
import json
import sys
import textwrap
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Program, Result

import memprobe
from memprobe import _core, _origins

MODES = ("forked", "streamed", "in process")
EVERYTHING = 60_000  # milliseconds: for as many as are chosen

# A program makes `leaked()` more of something between two heaps, and says what both say of it, beside what tracemalloc says.
PROGRAM = """
import collections, json, sys, tracemalloc
tracemalloc.start(FRAMES)
import memprobe

SETUP

def heap(mode, name):
    if mode == "in process":
        return memprobe.capture(origins_ms=BUDGET)
    memprobe.snapshot(name, fork=mode == "forked", origins_ms=BUDGET)
    return memprobe.load(name)

out = []
for mode in MODES:
    older = heap(mode, "a.snap")
    leak()
    newer = heap(mode, "b.snap")
    traces = [tracemalloc.get_object_traceback(one) for one in leaked()]
    lines = collections.Counter(f"{trace[-1].filename}:{trace[-1].lineno}" for trace in traces if trace)
    diff, suspects = newer.diff(older), newer.suspects(1)
    said = str(diff), str(suspects), diff._repr_html_(), suspects._repr_html_(), repr(diff[0])
    out.append({"diff": diff.to_dict(), "suspects": suspects.to_dict(), "lines": dict(lines), "said": said,
                "asked": newer.info.origins_asked, "ms": newer.info.origins_ms})
json.dump(out, sys.stdout)
"""

DICTS = """
rows = []
def leak():
    for i in range(2000):
        rows.append({"id": i, "of": (i,)})  # HERE
def leaked():
    return rows
"""

VALUES = """
CACHE = {}
OLD = [{"n": (i,)} for i in range(500_000)]
def leak():
    for i in range(1000):
        CACHE[f"k{len(CACHE)}"] = bytes(10_000)  # HERE
def leaked():
    return CACHE.values()
"""

BUFFERS = """
class State:
    def __init__(self):
        self.buffers = []
state = State()
OLD = [{"n": (i,)} for i in range(100_000)]
def leak():
    state.buffers += [bytearray(30_000_000)]  # HERE
def leaked():
    return state.buffers
"""

INSTANCES = """
class Session:
    def __init__(self, n):
        self.n = n
        self.data = [n]
sessions = {}
def leak():
    for i in range(2000):
        sessions[len(sessions)] = Session(i)  # HERE
def leaked():
    return sessions.values()
"""

TWO_LINES = """
rows = []
def leak():
    for i in range(2000):
        rows.append({"id": i, "of": (i,)})  # HERE
        rows.append({"id": i, "to": (i,)})  # HERE
def leaked():
    return rows
"""

VARIABLES_OF_A_FUNCTION = """
def main():
    kept = []
    def leak():
        kept.extend(b"%d" % i * 1000 for i in range(1000))  # HERE
    return leak, kept
leak, kept = main()
def leaked():
    return kept
"""

VARIABLE = """
BUFFER = b"little"
def leak():
    global BUFFER
    BUFFER = bytes(len(BUFFER) + 3_000_000)  # HERE
def leaked():
    return [BUFFER]
"""

ATTRIBUTES = """
class Session:
    def __init__(self):
        self.parts = {"head": 1, "body": b"." * 5000}  # HERE
sessions = []
def leak():
    sessions.extend(Session() for _ in range(500))
def leaked():
    return [one.parts["body"] for one in sessions]
"""

PROGRAMS = {
    "dicts": (DICTS, "__main__.rows", "dict"),
    "values": (VALUES, "__main__.CACHE", "bytes"),
    "buffers": (BUFFERS, "__main__.state.buffers", "bytearray"),
    "instances": (INSTANCES, "__main__.sessions", "__main__.Session"),
    "two lines": (TWO_LINES, "__main__.rows", "dict"),
    "a variable": (VARIABLE, "__main__.BUFFER", "bytes"),
    "a function's": (VARIABLES_OF_A_FUNCTION, "__main__.kept", "bytes"),
}


def source(setup: str, frames: int = 1, budget: int = EVERYTHING, modes: tuple[str, ...] = MODES) -> str:
    values = {"FRAMES": str(frames), "SETUP": setup, "BUDGET": str(budget), "MODES": repr(modes)}
    text = PROGRAM
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def here(script: Path) -> set[str]:
    """The lines of a script that are marked."""
    lines = script.read_text().splitlines()
    return {f"{script}:{number}" for number, line in enumerate(lines, 1) if line.endswith("# HERE")}


@pytest.fixture
def told(python: Callable[..., Result], tmp_path: Path) -> Callable[..., tuple[set[str], list[dict[str, Any]]]]:
    """What a program says, and its marked lines."""

    def run(text: str, *options: str) -> tuple[set[str], list[dict[str, Any]]]:
        script = tmp_path / "program.py"
        script.write_text(text)
        done = python(*options, script)
        assert done.code == 0, done
        return here(script), json.loads(done.out)

    return run


def row_of(rows: list[dict[str, Any]], name: str, type: str | None = None) -> dict[str, Any]:
    return next(row for row in rows if row["name"] == name and type in (None, row["type"]))


@pytest.mark.parametrize("which", PROGRAMS)
def test_lines_are_those_that_tracemalloc_knows(which: str, told: Callable[..., Any]) -> None:
    setup, name, type = PROGRAMS[which]
    marked, answers = told(source(setup, modes=("forked",) if which == "values" else MODES))
    for answer in answers:
        made = row_of(answer["diff"]["rows"], name, type)["made_at"]
        assert {row["place"] for row in made} == marked, answer
        assert set(answer["lines"]) in (marked, set())  # 3.11 forgets its own instances
        assert all(row["type"] == type and row["caller"] is None for row in made)
        assert sum(row["count"] for row in made) == made[0]["asked"], made  # and no other line
        if which not in ("buffers", "a variable"):
            assert made[0]["asked"] >= 8, made
        suspect = next(row for row in answer["suspects"]["rows"] if row["name"].startswith(name))
        if suspect["below"][0]["type"] == type:
            assert {row["place"] for row in suspect["made_at"]} == marked, suspect
        words = f"{type}: made at {made[0]['place']} ({made[0]['count']:,} of {made[0]['asked']:,} asked)"
        assert all(words in said for said in (answer["said"][0], answer["said"][2], answer["said"][4]))
        if suspect["made_at"]:
            assert "made at" in answer["said"][1] and "made at" in answer["said"][3]


def test_the_default_budget_is_enough(told: Callable[..., Any]) -> None:
    """How much is asked then depends on the machine; the line does not."""
    marked, answers = told(source(VALUES, budget=500, modes=("forked",)))
    assert {row["place"] for row in row_of(answers[0]["diff"]["rows"], "__main__.CACHE", "bytes")["made_at"]} == marked


def test_what_rows_have_below_them(told: Callable[..., Any]) -> None:
    """Instances are made at one line, and what they have mostly, in dicts that the collector does not track, at another."""
    marked, answers = told(source(ATTRIBUTES))
    for answer in answers:
        (sessions,) = row_of(answer["diff"]["rows"], "__main__.sessions")["made_at"]
        assert sessions["type"] == "__main__.Session" and sessions["place"] not in marked
        (bodies,) = row_of(answer["suspects"]["rows"], "__main__.sessions")["made_at"]
        assert (bodies["type"], {bodies["place"]}) == ("bytes", marked) and bodies["asked"] >= 8


def test_two_lines_are_two(told: Callable[..., Any]) -> None:
    marked, answers = told(source(TWO_LINES, modes=("forked",)))
    made = row_of(answers[0]["diff"]["rows"], "__main__.rows")["made_at"]
    assert len(made) == len(marked) == 2 and 0.3 < made[1]["count"] / made[0]["asked"] <= 0.5
    assert f" and {made[1]['place']} ({made[1]['count']:,})" in answers[0]["said"][0]


def test_who_called_the_library(told: Callable[..., Any]) -> None:
    setup = """
import json
rows = []
def leak():
    for i in range(1000):
        rows.append(json.loads('{"a": [1, 2, 3]}'))  # HERE
def leaked():
    return rows
"""
    marked, answers = told(source(setup, frames=10, modes=("forked",)))
    (made,) = row_of(answers[0]["diff"]["rows"], "__main__.rows")["made_at"]
    assert "json" in made["place"] and {made["caller"]} == marked
    assert f"{made['place']}, called from {made['caller']} (" in answers[0]["said"][0]
    _, answers = told(source(setup, modes=("forked",)))
    (made,) = row_of(answers[0]["diff"]["rows"], "__main__.rows")["made_at"]
    assert "json" in made["place"] and made["caller"] is None


# ---- when it is on ------------------------------------------------------------------------------------------------------


def test_without_tracemalloc(told: Callable[..., Any]) -> None:
    off = source(DICTS, modes=("forked", "in process")).replace("tracemalloc.start(1)", "")
    _, answers = told(off.replace("leaked()]", "()]"))
    for answer in answers:
        assert (answer["asked"], answer["ms"], answer["lines"]) == (None, None, {})
        assert not any(row["made_at"] for row in answer["diff"]["rows"] + answer["suspects"]["rows"])
        assert not any("made at" in said for said in answer["said"])


def test_started_late(told: Callable[..., Any]) -> None:
    late = DICTS.replace("rows = []", "tracemalloc.stop()\nrows = [{'old': (i,)} for i in range(1000)]\ntracemalloc.start()")
    marked, answers = told(source(late, modes=("forked",)))
    (made,) = row_of(answers[0]["suspects"]["rows"], "__main__.rows")["made_at"]
    assert {made["place"]} == marked and made["count"] == made["asked"] <= 2000  # the older ones have no trace
    assert sum(answers[0]["lines"].values()) == 2000


@pytest.mark.parametrize("environment", [{}, {"PYTHONTRACEMALLOC": "1"}])
def test_started_with_the_interpreter(environment: dict[str, str], python: Callable[..., Result], tmp_path: Path) -> None:
    """The module is not imported then: nobody did."""
    script = tmp_path / "program.py"
    script.write_text(
        f"import sys\nassert '_tracemalloc' not in sys.modules\nimport memprobe\nrows = []\na = memprobe.capture()\n"
        f"for i in range(999): rows.append([i])\nb = memprobe.capture(origins_ms={EVERYTHING})\n"
        "print(next(row for row in b.diff(a) if row.name == '__main__.rows').made_at[0].place)\n"
    )
    done = python(*([] if environment else ["-X", "tracemalloc"]), script, **environment)
    assert done.out.strip() == f"{script}:6", done


def test_the_agent(command: Callable[..., Result], program: Callable[..., Program], tmp_path: Path) -> None:
    text = textwrap.dedent("""
        import memprobe.agent
        memprobe.agent.start()
        rows = []
        print("ready", flush=True)
        while True:
            input()
            rows.extend({"n": i} for i in range(1000))
            print("more", flush=True)
    """)
    running = program(text, "-X", "tracemalloc")
    for name, budget in (("a.snap", 20), ("b.snap", EVERYTHING), ("c.snap", 0)):
        done = command("snapshot", "-o", name, "--origins-ms", budget, running.pid)
        assert done.code == 0, done
        running.go_on()
        running.line()
    done = command("diff", "a.snap", "b.snap")
    assert "__main__.rows: dict: made at " in done.out and "program-0.py:8 (" in done.out, done
    rows = json.loads(command("diff", "--json", "a.snap", "b.snap").out)["rows"]
    assert row_of(rows, "__main__.rows")["made_at"][0]["place"].endswith("program-0.py:8")
    assert not any(row["made_at"] for row in json.loads(command("diff", "--json", "a.snap", "c.snap").out)["rows"])
    facts = json.loads(command("info", "--json", "b.snap").out)["info"]
    assert facts["origins_asked"] > 0 and 0 < facts["origins_ms"] < facts["pause_ms"]


# ---- what it leaves ------------------------------------------------------------------------------------------------------


@pytest.fixture
def tracing() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


class Kept:
    pass


@pytest.mark.usefixtures("tracing")
def test_nothing_is_left(tmp_path: Path) -> None:
    """Neither objects nor references, and the collector is as it was."""
    kept = [Kept() for _ in range(1000)]
    for collects in (True, False):
        (gc.enable if collects else gc.disable)()
        try:
            memprobe.snapshot(tmp_path / "a.snap")
            before = [sys.getrefcount(one) for one in kept]
            blocks = []
            for n in range(8):
                memprobe.snapshot(tmp_path / "a.snap", fork=n % 2 == 0)
                blocks.append(sys.getallocatedblocks())
            assert gc.isenabled() == collects
            assert [sys.getrefcount(one) for one in kept] == before
            assert blocks[-1] - blocks[2] < 50, blocks
        finally:
            gc.enable()
    heap = memprobe.load(tmp_path / "a.snap")
    assert heap.accounting().residual_negative == 0
    assert all(heap.at(id(one)).residual == 0 for one in kept)  # type: ignore[union-attr]


@pytest.mark.usefixtures("tracing")
def test_it_asks_no_longer_than_it_may() -> None:
    """How long that is, benchmarks/origins.py measures: here, that it ends."""
    kept = [[(i,)] for i in range(100_000)]
    little, much = (memprobe.capture(origins_ms=budget).info.origins_asked for budget in (1, EVERYTHING))
    assert little is not None and much is not None and little < much <= 20_000 and kept


@pytest.mark.usefixtures("tracing")
def test_not_at_all() -> None:
    heap = memprobe.capture(origins_ms=0)
    assert heap.info.origins_asked is None and "origins_lines" not in heap._graph.infos()
    for wrong in (-1, 60_001):
        with pytest.raises(ValueError, match="origins_ms"):
            memprobe.capture(origins_ms=wrong)


@pytest.mark.usefixtures("tracing")
def test_during_a_collection() -> None:
    """The collector's links are in other use."""
    heaps: list[memprobe.Heap] = []

    class Last:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            heaps.append(memprobe.capture())

    Last()
    gc.collect()
    assert len(heaps) == 1 and heaps[0].info.objects > 1000


THREADS = """
import hashlib, sys, threading, zlib
import memprobe
from memprobe import _origins
data, ends, rows = bytes(range(256)) * 4000, threading.Event(), []
def work():
    while not ends.is_set():
        zlib.decompress(zlib.compress(data, 1))
        hashlib.sha256(data).digest()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for n in range(50):
    rows.extend({"n": i} for i in range(100))
    memprobe.snapshot(f"{n % 8}.snap", fork=n % 2 == 0)
ends.set()
for thread in threads: thread.join()
print(max(len(_origins.of(memprobe.load(f"{n}.snap")).nodes) for n in range(8)))  # while a thread has the lock, none is asked
"""


def test_threads_that_allocate_without_the_interpreter(python: Callable[..., Result], tmp_path: Path) -> None:
    """zlib and hashlib hold tracemalloc's lock now and then, beside us: fifty snapshots end all the same."""
    (tmp_path / "program.py").write_text(THREADS)
    done = python("-X", "dev", "-X", "tracemalloc", "program.py")
    assert done.code == 0 and int(done.out) > 0, done


# ---- the file ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tracing")
def test_saved_and_loaded(tmp_path: Path) -> None:
    older = memprobe.capture()
    kept = [[i] for i in range(3000)]
    heap = memprobe.capture(origins_ms=EVERYTHING)
    heap.save(tmp_path / "a.snap")
    again = memprobe.load(tmp_path / "a.snap")
    nodes = _origins.of(heap).nodes
    assert len(nodes) > 100 and nodes == _origins.of(again).nodes and kept
    assert [row.to_dict() for row in again.diff(older)] == [row.to_dict() for row in heap.diff(older)]
    facts = again._graph.infos()
    assert len(str(facts["origins_objects"])) < 12 * len(nodes)


@pytest.mark.usefixtures("tracing")
def test_names_of_files_are_one_line() -> None:
    before = memprobe.capture()
    made: dict[str, Any] = {}
    exec(compile("rows = [[i] for i in range(5000)]", "a\nb \u00e9\udc80.py", "exec"), made)
    row = next(
        row for row in memprobe.capture(origins_ms=EVERYTHING).diff(before) if row.made_at and "b \u00e9" in row.made_at[0].place
    )
    assert row.made_at[0].place == "a?b \u00e9?.py:1"


@pytest.mark.parametrize("objects", ["", " ", "0", "zz 1", "0 -5", "7 1", f"0 {'f' * 40}", "0,9 1", "0  1", "0 1\n\n", "\ud800"])
def test_what_is_no_answer_is_none(objects: str) -> None:
    class Graph:
        def infos(self) -> dict[str, str]:
            return {"origins_lines": "a.py:1\n", "origins_objects": objects}

        def at(self, address: int) -> int | None:
            return address // 8

    class Heap:
        _graph = Graph()

    assert len(_origins.Origins(Heap()).nodes) <= 1  # type: ignore[arg-type]


def test_rows_that_are_merged() -> None:
    made = _origins.MadeAt
    first = (made("dict", "a.py:1", None, 50, 60), made("dict", "b.py:2", "c.py:3", 10, 60))
    assert _origins.merged([first, ()]) == first[:1]
    both = _origins.merged([first, (made("dict", "b.py:2", "c.py:3", 60, 60),), (made("list", "d.py:1", None, 5, 5),)])
    assert both == (made("dict", "b.py:2", "c.py:3", 70, 120), made("dict", "a.py:1", None, 50, 120))
    assert _origins.text(both) == "dict: made at b.py:2, called from c.py:3 (70 of 120 asked) and a.py:1 (50)"
    assert _origins.merged([(), ()]) == ()


def test_the_core_checks_what_is_asked() -> None:
    graph = _core.capture()
    for wrong in ((graph.nodes,), (-1,), ("a",)):
        with pytest.raises((TypeError, ValueError, IndexError, OverflowError)):
            _core.suspects(graph, 100, wrong)  # type: ignore[arg-type]
        with pytest.raises((TypeError, ValueError, IndexError, OverflowError)):
            _core.growth((graph, graph), wrong)  # type: ignore[arg-type]
