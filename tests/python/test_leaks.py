# SPDX-License-Identifier: MIT
"""Heap.suspects, Heap.diff and their verbs. Whether they find leaks is test_zoo.py's question."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from statistics import linear_regression

import pytest

import memprobe

PROGRAM = """
    import memprobe
    class Session:
        def __init__(self, n):
            self.n, self.data = n, [n, str(n)]
    sessions = {n: Session(n) for n in range(12000)}
    for name in "abc":
        memprobe.snapshot(name + ".snap")
        sessions.update((n, Session(n)) for n in range(len(sessions), len(sessions) + 2000))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("leaks")
    subprocess.run([sys.executable, "-c", textwrap.dedent(PROGRAM)], cwd=path, check=True)
    return path


def command(folder: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run([sys.executable, "-m", "memprobe", *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_suspects(folder: Path) -> None:
    heap = memprobe.load(folder / "a.snap")
    found = heap.suspects()
    first = found[0]
    assert (first.kind, first.name, first.type, first.count) == ("single", "__main__.sessions", "dict", 1)
    assert first.bytes > found.threshold >= found.bytes // 11
    assert first.bytes == heap.retained(first.node)
    assert sum(row.bytes for row in first.below) <= first.bytes
    assert {"dict", "__main__.Session", "list"} <= {row.type for row in first.below}
    assert "__main__.sessions" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["rows"][0]["name"] == "__main__.sessions"
    assert len(heap.suspects(limit=0)) == 0 and len(heap.suspects(99)) == 0
    assert "no suspects" in str(heap.suspects(99))


@pytest.mark.parametrize("percent", [0, -1, 101, float("nan")])
def test_a_share_is_a_share(folder: Path, percent: float) -> None:
    with pytest.raises(ValueError, match="percent"):
        memprobe.load(folder / "a.snap").suspects(percent)


def test_diff(folder: Path) -> None:
    a, b, c = (memprobe.load(folder / f"{name}.snap") for name in "abc")
    grown = b.diff(a)
    assert (grown[0].name, grown[0].type, grown[0].count) == ("__main__.sessions", "__main__.Session", 2000)
    assert grown[0].counts == (12000, 14000) and grown.bytes == (grown.bytes[0], grown.bytes[0] + grown.growth)
    assert 200_000 < grown[0].bytes < 2_000_000
    three = c.diff(b, a, limit=1)
    assert (three[0].name, three[0].count, three[0].counts, len(three)) == ("__main__.sessions", 4000, (12000, 14000, 16000), 1)
    assert "__main__.sessions" in str(three) and json.dumps(three.to_dict())
    assert not a.diff(b).rows or a.diff(b)[0].name != "__main__.sessions"
    assert a.diff(a).rows == () and a.diff(a).growth == 0


def test_what_is_new_and_how_fast(folder: Path, tmp_path: Path) -> None:
    a, b, c = (memprobe.load(folder / f"{name}.snap") for name in "abc")
    assert b.diff(a)[0].new == 2000 and c.diff(b, a)[0].new == 4000 and b.diff(a)[0].slope is None
    row, times = c.diff(b, a)[0], [heap.info.time for heap in (a, b, c)]
    slope = linear_regression(times, row.sizes).slope * 3600
    assert row.slope == pytest.approx(slope) and row.slope > 0
    said = command(folder, "diff", "a.snap", "b.snap", "c.snap")
    assert " new " in said and "an hour" in said
    source = """
        import memprobe
        sessions = {n: [n, str(n)] for n in range(1000)}
        memprobe.snapshot("a.snap")
        kept = list(sessions.values())  # no address is used again
        sessions.update((n, [n, str(n)]) for n in range(500, 1100))
        del kept[:]
        memprobe.snapshot("b.snap")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source)], cwd=tmp_path, check=True)
    churn = memprobe.load(tmp_path / "b.snap").diff(memprobe.load(tmp_path / "a.snap"))
    row = next(row for row in churn.rows if row.name == "__main__.sessions")
    assert row.type == "list" and 95 <= row.count <= 100 and 590 <= row.new <= 600  # an address may be used again
    assert all(row.new is None for row in memprobe.load(tmp_path / "b.snap").diff(a).rows)


def test_heaps_of_other_processes_compare(folder: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", textwrap.dedent(PROGRAM)], cwd=tmp_path, check=True)
    grown = memprobe.load(tmp_path / "b.snap").diff(memprobe.load(folder / "a.snap"))
    assert (grown[0].name, grown[0].count) == ("__main__.sessions", 2000)
    assert sum(row.bytes for row in grown.rows[1:]) < grown[0].bytes / 10


def test_the_verbs(folder: Path) -> None:
    said = command(folder, "suspects", "a.snap")
    assert "__main__.sessions" in said and "Next: memprobe paths a.snap" in said
    assert command(folder, "suspects", "--json", "--fail-on-suspect", "10", "a.snap", code=1).startswith(
        '{\n  "schema": "memprobe.suspects/1"'
    )
    command(folder, "suspects", "--fail-on-suspect", "99.9", "a.snap")
    said = command(folder, "diff", "a.snap", "b.snap")
    assert "__main__.sessions" in said and "Next: memprobe paths b.snap" in said
    assert "from a.snap to c.snap by way of b.snap" in command(folder, "diff", "a.snap", "b.snap", "c.snap", "--limit", "1")
    answer = json.loads(command(folder, "diff", "--json", "a.snap", "b.snap", "--fail-on-growth", "1000", code=1))
    assert answer["schema"] == "memprobe.diff/2" and answer["rows"][0]["count"] == 2000
    command(folder, "diff", "a.snap", "b.snap", "--fail-on-growth", "1000000000")
    command(folder, "diff", "a.snap", "none.snap", code=3)
    command(folder, "suspects", "--percent", "0", "a.snap", code=2)


def test_what_came_in_a_container_that_is_new(tmp_path: Path) -> None:
    """The lists keep the new one from the address of an older one, which would be taken for it."""
    source = """
        import memprobe
        class Conn: pass
        held, other = {}, {}
        memprobe.snapshot("a.snap")
        free = [[] for _ in range(1000)]
        held["later"] = [Conn() for _ in range(5000)]
        other["numbers"] = [*range(1000, 100_000), Conn()]
        memprobe.snapshot("b.snap")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source)], cwd=tmp_path, check=True)
    grown = memprobe.load(tmp_path / "b.snap").diff(memprobe.load(tmp_path / "a.snap"))
    rows = {row.name: (row.type, row.count, row.of) for row in grown.rows}
    assert rows["__main__.held"] == ("list", 1, "__main__.Conn") and rows["__main__.other"] == ("list", 1, None), rows
    assert "list of __main__.Conn" in str(grown)
    said = command(tmp_path, "diff", "a.snap", "b.snap", "--type", "Conn")
    assert "__main__.held" in said and "__main__.other" not in said


def test_whoever_uses_it_at_the_moment(tmp_path: Path) -> None:
    """A frame that runs in the module, and holds the container in a local variable, when the second snapshot is taken."""
    source = """
        import memprobe
        def work(sessions):
            sessions.update((n, [n, str(n)]) for n in range(10000, 11000))
            memprobe.snapshot("b.snap")
        exec('''
        sessions = {n: [n, str(n)] for n in range(10000)}
        other = [[n] for n in range(20000)]
        '''.replace("        ", ""), globals())
        memprobe.snapshot("a.snap")
        work(sessions)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source)], cwd=tmp_path, check=True)
    grown = memprobe.load(tmp_path / "b.snap").diff(memprobe.load(tmp_path / "a.snap"))
    assert grown[0].name == "__main__.sessions" and 990 <= grown[0].count <= 1000
    assert grown[0].bytes < 500_000


def test_locals_of_a_thread(tmp_path: Path) -> None:
    source = """
        import memprobe, threading
        def consume(ready, done):
            backlog = [[n, str(n)] for n in range(20000)]
            small = [1, 2, 3]
            second = {n: str(n) for n in range(9000)}
            ready.set()
            done.wait()
        ready, done = threading.Event(), threading.Event()
        thread = threading.Thread(target=consume, args=(ready, done))
        thread.start()
        ready.wait()
        memprobe.snapshot("a.snap")
        done.set()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source)], cwd=tmp_path, check=True)
    heap = memprobe.load(tmp_path / "a.snap")
    first = heap.suspects()[0]
    assert first.frame is not None and "consume" in first.frame
    if sys.version_info >= (3, 11):
        assert "<string>:3" in first.frame
    names = {local.name: local for local in first.locals}
    assert "backlog" in names and "second" in names and "small" not in names
    assert names["backlog"].type == "list" and first.point is not None
    assert names["backlog"].bytes == heap.retained(first.point)
    assert "backlog (list)" in str(first)
    assert first.to_dict()["locals"][0]["name"] == "backlog"


def kept_by(question: Callable[[memprobe.Heap], object], heap: memprobe.Heap) -> int:
    """Bytes that stay beside the graph after a question."""
    before = heap._graph.memory
    question(heap)
    return heap._graph.memory - before


def test_a_question_computes_its_own_answer_only(folder: Path) -> None:
    def load() -> memprobe.Heap:
        return memprobe.load(folder / "a.snap")

    questions: dict[str, Callable[[memprobe.Heap], object]] = {
        "types": lambda heap: heap.types(),
        "find": lambda heap: heap.find("dict", limit=3),
        "deep_sizeof": lambda heap: heap.deep_sizeof(heap.find(limit=1)[0]),
        "cycles": lambda heap: heap.cycles(),
        "waste": lambda heap: heap.waste(),
        "retained": lambda heap: heap.retained(heap.node(0)),
        "suspects": lambda heap: heap.suspects(),
        "paths": lambda heap: heap.paths(heap.find(limit=1)[0]),
        "referrers": lambda heap: heap.referrers(heap.find(limit=1)[0].id),
        "dominators": lambda heap: heap.dominators(),
    }
    alone = {name: kept_by(question, load()) for name, question in questions.items()}
    nodes, edges = load().nodes, load().info.edges
    assert not any(alone[name] for name in ("types", "find", "deep_sizeof")), alone
    assert alone["cycles"] < nodes, alone  # who is in a cycle, and the order of the rows
    assert alone["waste"] <= 14 * nodes, alone  # names
    assert 0 < alone["retained"] < alone["suspects"] <= 44 * nodes, (
        alone
    )  # dominators; ranks, their tree and names; no reverse index
    assert 4 * edges <= alone["referrers"] <= 8 * (nodes + 4) + 4 * edges, alone  # the index
    assert alone["referrers"] < alone["paths"] <= alone["referrers"] + 14 * nodes, alone  # and names
    heap = load()
    together = {name: kept_by(question, heap) for name, question in questions.items()}
    assert sum(together.values()) <= alone["suspects"] + alone["retained"] + alone["referrers"] + 8 * nodes, together
    again = {name: kept_by(question, heap) for name, question in questions.items()}
    assert not any(again.values()), again  # and nothing twice


def test_an_answer_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heap = memprobe.load(folder / "a.snap")
    suspects, waste, cycles, tree = heap.suspects(), heap.waste(), heap.cycles(), heap.dominators(grouped=True)
    for module in ("analysis", "leaks", "waste"):
        monkeypatch.delattr(f"memprobe.{module}._core", raising=False)  # nobody may compute
    assert heap.suspects() is suspects and heap.waste() is waste and heap.dominators(grouped=True) is tree
    assert heap.cycles() is cycles
