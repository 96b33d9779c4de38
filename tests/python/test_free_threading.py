# SPDX-License-Identifier: MIT
"""Threads that run beside questions: on every version, and what a free-threaded build has of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import memprobe

FREE = "t" in sys.abiflags
only_free = pytest.mark.skipif(not FREE, reason="this Python has a GIL")

# Eight threads that allocate, link, free, start others and end, while `ask` runs.
BESIDE = """
import gc, random, sys, threading
import memprobe

class Node: pass

stop = threading.Event()
failures = []

def mutate(seed):
    try:
        choose, kept, table = random.Random(seed), [], {}
        while not stop.is_set():
            node = Node()
            node.pair, node.rest = [node, seed], {"self": node, seed: kept[-3:]}
            kept.append(node)
            table[choose.randrange(500)] = (node, str(seed), tuple(kept[-4:]))
            if len(kept) > 2000:
                kept.clear()
            if choose.random() < 0.002:
                thread = threading.Thread(target=lambda: [Node() for _ in range(50)])
                thread.start()
                thread.join()
    except BaseException as problem:
        failures.append(problem)

threads = [threading.Thread(target=mutate, args=(seed,)) for seed in range(8)]
for thread in threads: thread.start()
try:
    ask()
finally:
    stop.set()
    for thread in threads: thread.join()
assert not failures, failures
"""


def run(program: str, *arguments: str, seconds: float = 240) -> str:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore", "-c", textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_question_beside_threads_that_mutate(tmp_path: Path) -> None:
    """No crash, no deadlock, and what nothing explains stays rare: counts that another thread is to merge are one too large."""
    ask = """
    def ask():
        mark = Node()
        holder = [mark]
        for turn in range(4):
            a = memprobe.capture().accounting()
            known = a.residual_zero + a.residual_positive + a.residual_negative
            assert a.residual_zero / known > 0.97, a
            memprobe.snapshot(sys.argv[1])
            assert memprobe.load(sys.argv[1]).find("__main__.Node")
            assert memprobe.count("__main__.Node") > 0 and memprobe.summary()
            assert memprobe.refcount(mark).residual == 0, memprobe.refcount(mark)
            assert [r.holder for r in memprobe.referrers(mark)].count(holder) == 1
            memprobe.find_cycles(limit=3), memprobe.why_alive(mark), memprobe.deep_sizeof(holder), memprobe.retained_sizeof(mark)
    """
    run(textwrap.dedent(ask) + BESIDE, str(tmp_path / "a.snap"))


def test_threads_that_ask_at_once() -> None:
    """Questions wait for each other; none sees another one's objects as the program's. The first of them finds the heaps in the
    order in which the interpreter visits them, though one thread has freed what another made."""
    run("""
    import threading, memprobe
    class Mark: pass
    problems = []
    def ask():
        try:
            for _ in range(5):
                mark = Mark()
                assert memprobe.refcount(mark).residual == 0
                heap = memprobe.capture()
                assert heap.find("__main__.Mark") and heap.suspects() is not None and heap.dominators() is not None
        except BaseException as problem:
            problems.append(problem)
    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert not problems, problems
    assert memprobe.capture().accounting().fallbacks in ((), ("pools",))
    """)


@only_free
def test_the_gil_stays_off(tmp_path: Path) -> None:
    """After importing, after each public function, and while the agent runs (T21)."""
    run(
        """
    import gc, sys
    def off(): assert not sys._is_gil_enabled()
    import memprobe; off()
    import memprobe.agent, memprobe.objgraph; off()
    memprobe.agent.start(); off()
    held = [[i] for i in range(10)]
    heap = memprobe.capture(); off()
    memprobe.snapshot(sys.argv[1]); off()
    for ask in (memprobe.summary, memprobe.count, memprobe.gc_stats, memprobe.memory, memprobe.find_cycles): ask(); off()
    for ask in (memprobe.deep_sizeof, memprobe.retained_sizeof, memprobe.refcount): ask(held); off()
    for ask in (memprobe.referrers, memprobe.why_alive): ask(held); off()
    loaded = memprobe.load(sys.argv[1])
    for ask in (loaded.suspects, loaded.dominators, loaded.waste, loaded.types, loaded.cycles, loaded.accounting): ask(); off()
    memprobe.objgraph.count("list"); off()
    memprobe.agent.stop(); off()
    """,
        str(tmp_path / "a.snap"),
    )


@only_free
def test_tracked_objects_are_those_of_the_interpreter() -> None:
    """Each type, against gc.get_objects(): the heaps of all threads, and of those that have ended."""
    run("""
    import gc, threading, collections, memprobe
    class Mark: pass
    kept = []
    def work(): kept.extend(Mark() for _ in range(1000))
    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    gc.disable(); gc.collect()
    ours = memprobe.count()
    theirs = collections.Counter(f"{type(o).__module__}.{type(o).__qualname__}" for o in gc.get_objects())
    assert ours["__main__.Mark"] == theirs["__main__.Mark"] == 5000
    gc.freeze()
    assert memprobe.count("__main__.Mark") == 5000 and memprobe.gc_stats().frozen > 5000
    assert all("frozen" in node.flags for node in memprobe.capture().find("__main__.Mark"))
    """)


@pytest.mark.skipif(not FREE or sys.version_info < (3, 14), reason="threads do not count by themselves")
def test_what_threads_count_on_their_own() -> None:
    """From 3.14 on each thread counts references to classes, code and namespaces by itself: the sum is right, C's are seen."""
    run("""
    import ctypes, threading, memprobe
    kept, gate, end = [], threading.Barrier(5), threading.Event()
    class Mark: pass
    def make(): return lambda: None
    def work():
        kept.extend(Mark() for _ in range(1000)), kept.extend(make() for _ in range(1000))
        gate.wait(), end.wait()
    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads: thread.start()
    gate.wait()
    heap = memprobe.capture()
    for one in (Mark, make.__code__, make().__code__, globals()):
        assert heap.at(id(one)).residual == 0, (one, heap.at(id(one)))
    ctypes.pythonapi.Py_IncRef.argtypes = [ctypes.py_object]
    for _ in range(3): ctypes.pythonapi.Py_IncRef(Mark)
    assert memprobe.capture().at(id(Mark)).residual == 3 == memprobe.refcount(Mark).residual
    end.set()
    for thread in threads: thread.join()
    """)


@only_free
def test_a_function_that_lives_by_a_stack_alone(tmp_path: Path) -> None:
    """What a frame, or a generator, refers to need not be counted: it is nobody's garbage, and has a name."""
    run(
        """
    import sys, memprobe
    def frame():
        def only(): pass
        mine = only
        del only
        return ask(id(mine))
    def generator():
        def only(): pass
        mine = only
        del only
        yield id(mine)
    def ask(address):
        memprobe.snapshot(sys.argv[1])
        for heap in (memprobe.capture(), memprobe.load(sys.argv[1])):
            node = heap.at(address)
            assert node.residual == 0 and "unreachable" not in node.flags, node
            assert "mine" in str(heap.paths(node)), heap.paths(node)
            assert heap.accounting().residual_negative == 0
    frame()
    kept = generator()
    ask(next(kept))
    """,
        str(tmp_path / "a.snap"),
    )


@only_free
def test_most_counts_are_explained() -> None:
    """99 % of the mortal objects whose count is exact."""
    held = [[number, str(number), {"number": number}] for number in range(20_000)]
    heap = memprobe.capture()
    accounting = heap.accounting()
    known = accounting.residual_zero + accounting.residual_positive + accounting.residual_negative
    assert accounting.residual_zero / known > 0.99, accounting
    assert accounting.fallbacks == ("pools",)
    assert memprobe.deep_sizeof(held) > 20_000 * 100


@only_free
def test_what_only_c_code_holds_is_found(tmp_path: Path) -> None:
    """Objects that the collector does not track, in the heaps of this thread and of one that has ended."""
    run(
        """
    import ctypes, gc, sys, threading, memprobe
    incref = ctypes.pythonapi.Py_IncRef
    incref.argtypes, incref.restype = [ctypes.py_object], None
    forgotten = {"str": [], "bytes": []}
    def forget():
        for number in range(1000):
            for one in (f"value {number:09}", b"%05000d" % number):
                incref(one)
                forgotten[type(one).__name__].append(id(one))
    def found():
        gc.collect()
        memprobe.snapshot(sys.argv[1])
        return memprobe.load(sys.argv[1])
    before = found()
    forget()
    thread = threading.Thread(target=forget)
    thread.start(), thread.join()
    after = found()
    assert after.accounting().unseen_objects - before.accounting().unseen_objects > 3960
    for kind, addresses in forgotten.items():
        nodes = [after.at(address) for address in addresses]
        assert {node.type for node in nodes} == {kind} and {node.residual for node in nodes} == {1}
    assert {row.type for row in after.diff(before)} >= {"str", "bytes"}
    """,
        str(tmp_path / "a.snap"),
    )


@only_free
def test_the_balance_of_the_heaps(tmp_path: Path) -> None:
    """All that is resident has an owner: objects, and what is free in the heaps that they were in, of ended threads, too."""
    run(
        """
    import sys, threading, memprobe
    kept = []
    def make(): kept.append([[number, str(number), {"number": number}] for number in range(100_000)])
    def balance(most=0.03):
        memprobe.snapshot(sys.argv[1])
        found = memprobe.load(sys.argv[1]).memory()
        assert sum(part.bytes for part in found.parts) + found.unexplained_bytes == found.rss_bytes
        assert -0.01 < found.unexplained_bytes / found.rss_bytes < most, found
        assert not any("free-threaded" in note for note in found.notes)
        live = memprobe.capture().memory()
        assert -0.01 < live.unexplained_bytes / live.rss_bytes < most, live
        return {part.name: part.bytes for part in found.parts}
    before = balance()
    make()
    thread = threading.Thread(target=make)
    thread.start(), thread.join()
    full = balance()
    grown = full["Python objects"] - before["Python objects"]
    assert abs(grown - memprobe.deep_sizeof(kept)) < grown / 10, (grown, memprobe.deep_sizeof(kept))
    kept.clear()
    empty = balance()
    free = "Python's allocator, free"
    assert empty["Python objects"] - before["Python objects"] < grown / 20
    assert empty[free] - full[free] + sum(full.values()) - sum(empty.values()) > 0.9 * grown
    gate, end = threading.Barrier(201), threading.Event()
    def wait(deep): wait(deep - 1) if deep else (gate.wait(), end.wait())
    for _ in range(200): threading.Thread(target=wait, args=(50,), daemon=True).start()
    gate.wait()
    # since 3.15 PyMem_RawMalloc() has heaps of mimalloc, too, of which nobody knows
    stacks = balance(0.03 if sys.version_info < (3, 15) else 0.6)["thread stacks"] - empty["thread stacks"]
    assert 200 * 8192 < stacks < 200 * 65536, stacks  # segments lie beside them
    """,
        str(tmp_path / "a.snap"),
    )
