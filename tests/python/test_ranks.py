# SPDX-License-Identifier: MIT
"""What lasts and what runs, against networkx: ranks of reachability are computed here anew, from the edges of small real heaps;
the rank tree is that of networkx on the edges that do not lead into an earlier rank."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import networkx
import numpy
import pytest
from campaign import record
from services import heaps_of

import memprobe

WEAK = 1 << 27
NOWHERE = 0xFFFF
NO_NODE = 0xFFFFFFFF
LOOP = "asyncio/base_events.py:"
NUMBERED = ("modules", "interpreter", "static and immortal objects", "C references", "unreachable")
# Programs as small as can be: networkx takes its time.
PROGRAMS = {
    "threads": """
import threading
class Cache:
    def __init__(self): self.items = [[n] for n in range(50)]
    def run(self, ready, done):
        mine = {n: [n] for n in range(20)}
        self.wait(mine, ready, done)
    def wait(self, mine, ready, done):
        inner = [mine, [object()]]
        ready.set()
        done.wait()
lasting, done = Cache(), threading.Event()
for cache in (lasting, Cache()):
    ready = threading.Event()
    threading.Thread(target=cache.run, args=(ready, done), daemon=True).start()
    ready.wait()
del cache
def outer():
    shared = [[n] for n in range(20)]
    def inner(again):
        own = [again, [object()]]
        checkpoint()
        return own
    return inner(shared)
local = threading.local()
local.journal = [[n] for n in range(10)]
outer()
""",
    "asyncio": """
import asyncio
class Connection:
    def __init__(self, number): self.number, self.buffer = number, [[number]]
async def wait(number, answer):
    connection = Connection(number)
    await answer.wait()
async def stream():
    rows = [[n] for n in range(10)]
    for row in rows: yield row
async def main():
    answer = asyncio.Event()
    tasks = [asyncio.create_task(wait(number, answer)) for number in range(20)]
    rows = stream()
    await rows.__anext__()
    await asyncio.sleep(0)
    running = [[object()] for _ in range(5)]
    checkpoint()
asyncio.run(main())
""",
    "garbage, generators and C code": """
import atexit, gc
class Node:
    def __init__(self): self.me, self.rows = self, [[1], [2]]
    def close(self): pass
gc.collect()
gc.disable()
for _ in range(30): Node()
held = Node
for _ in range(10): atexit.register(Node().close)
def rows():
    kept = [[n] for n in range(10)]
    yield kept
    checkpoint()
    yield kept
open_streams = [rows() for _ in range(3)]
for stream in open_streams: next(stream)
del stream
def fail():
    local = [[n] for n in range(10)]
    raise ValueError(local)
try:
    fail()
except ValueError as problem:
    next(open_streams[0])
""",
}
CHECKPOINT = """
import sys
def checkpoint():
    print("here", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(scope="module", params=PROGRAMS)
def heap(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> memprobe.Heap:
    folder = tmp_path_factory.mktemp("ranks")
    script = folder / "program.py"
    script.write_text(CHECKPOINT + PROGRAMS[request.param])
    (made,) = heaps_of(folder, script, times=1)
    return made


class Graph:
    """The strong edges among nodes that are not memprobe's own, and the ranks of the nodes."""

    def __init__(self, heap: memprobe.Heap) -> None:
        self.heap = heap
        self.columns = {name: numpy.asarray(view).tolist() for name, view in heap.columns().items()}
        self.own = [bool(flags & 0x1000) for flags in self.columns["flags"]]
        self.classes = self.find_classes()
        self.out: list[list[int]] = [list(self.strong(node)) for node in range(heap.nodes)]
        self.groups = {name: node.id for name, node in heap.roots().items()}
        self.rank = [NOWHERE] * heap.nodes
        self.lasting_of_threads: list[tuple[int, int]] = []  # (thread, what it has for as long as it lives)
        self.find_ranks()

    def find_classes(self) -> dict[int, int]:
        """The node of the class of each type's instances, whose edges to it are the column `type`."""
        by_name: dict[str | None, list[int]] = {}
        for node, flags in enumerate(self.columns["flags"]):
            if flags & 0x0080 and not flags & (0x1000 | 0x0020):  # a static type is not held by its instances
                by_name.setdefault(self.heap.node(node).text, []).append(node)
        instances = {type: node for node, type in enumerate(self.columns["type"])}
        found = {type: by_name.get(self.heap.node(node).type, []) for type, node in instances.items()}
        return {type: nodes[0] for type, nodes in found.items() if len(nodes) == 1}

    def strong(self, node: int) -> Iterator[int]:
        if self.own[node]:
            return
        if self.columns["type"][node] in self.classes:
            yield self.classes[self.columns["type"][node]]
        first, labels, targets = self.columns["first_edge"], self.columns["edge_label"], self.columns["edge_target"]
        for k in range(first[node], first[node + 1]):
            if not labels[k] & WEAK and not self.own[targets[k]]:
                yield targets[k]

    def reach(self, roots: list[int], rank: int) -> None:
        """Give the rank to all that the roots lead to and that no earlier rank has."""
        open = [root for root in roots if self.rank[root] == NOWHERE and not self.own[root]]
        for root in open:
            self.rank[root] = rank
        while open:
            for target in self.out[open.pop()]:
                if self.rank[target] == NOWHERE:
                    self.rank[target] = rank
                    open.append(target)

    def find_ranks(self) -> None:
        heap, frames, others = self.heap, [], []
        for name in ("roots", "threads", "interned strings"):  # these lead to roots of several ranks, and are not followed
            self.rank[self.groups[name]] = 0
        threads = [edge.target for edge in heap.roots()["threads"].references()]
        for thread in threads:
            self.rank[thread.id] = 0
            mine, rest = [], []
            for edge in thread.references():
                if edge.kind == "child":
                    mine.append(edge.target)
                    self.lasting_of_threads += [(thread.id, id) for id in self.loop(edge.target)]
                elif str(edge.label) in ("<thread-local data>", "<context>"):
                    self.lasting_of_threads.append((thread.id, edge.target.id))
                elif not edge.weak:
                    rest.append(edge.target.id)
            frames.append([frame.id for frame in reversed(mine)])  # they stand innermost first
            others.append(rest)
        rank = 0
        lasting = [self.groups[name] for name in NUMBERED[:3] if name in self.groups]
        self.reach([*lasting, *(id for _, id in self.lasting_of_threads)], rank)
        for ids, rest in zip(frames, others, strict=True):
            for id in ids:
                rank += 1
                self.reach([id], rank)
            rank += 1
            self.reach(rest, rank)
        for name in NUMBERED[3:]:
            rank += 1
            if name in self.groups:
                self.reach([self.groups[name]], rank)

    def loop(self, frame: memprobe.Node) -> list[int]:
        """The event loop that a frame of asyncio's runs, and the callback that it is at."""
        edges = frame.references()
        code = next((edge.target.text for edge in edges if edge.label.name == "f_code" or str(edge.label) == ".f_code"), None)
        if LOOP not in f"{frame.text} {code}":
            return []
        return [
            edge.target.id for edge in edges if edge.kind == "local" and edge.label.name in ("self", "handle") and not edge.weak
        ]

    def rank_tree(self) -> dict[int, int]:
        """The immediate dominator of each node, by networkx."""
        graph = networkx.DiGraph()
        for node, targets in enumerate(self.out):
            graph.add_edges_from((node, target) for target in targets if self.rank[target] >= self.rank[node] != NOWHERE)
        graph.add_edges_from(self.lasting_of_threads)
        root = self.groups["roots"]
        found: dict[int, int] = networkx.immediate_dominators(graph, root)
        found.pop(root, None)
        return found


@pytest.fixture(scope="module")
def graph(heap: memprobe.Heap) -> Graph:
    return Graph(heap)


def test_ranks(graph: Graph, request: pytest.FixtureRequest) -> None:
    """The numbers may have gaps: what counts is which nodes have the same, and the order."""
    said = graph.columns["rank"]
    pairs = sorted(set(zip(graph.rank, said, strict=True)))
    names = {id: name for name, id in graph.groups.items()}
    wrong = [node for node in range(graph.heap.nodes) if (graph.rank[node] in (0, NOWHERE)) and said[node] != graph.rank[node]]
    shown = [f"{names.get(node) or graph.heap.node(node)}: {said[node]}, not {graph.rank[node]}" for node in wrong[:10]]
    record("ranks", f"ranks {request.node.callspec.id}", f"{graph.heap.nodes - len(wrong):,} of {graph.heap.nodes:,} nodes")
    assert not wrong, f"{len(wrong)} of {graph.heap.nodes}: {shown}"
    assert len({mine for mine, _ in pairs}) == len({theirs for _, theirs in pairs}) == len(pairs), pairs
    assert [theirs for _, theirs in pairs] == sorted(theirs for _, theirs in pairs), pairs


def test_the_rank_tree(graph: Graph, request: pytest.FixtureRequest) -> None:
    found = graph.rank_tree()
    said = {v: d for v, d in enumerate(graph.columns["dominator"]) if d != NO_NODE and not graph.own[v]}
    wrong = [node for node in found.keys() | said.keys() if found.get(node) != said.get(node)]
    shown = [f"{graph.heap.node(v)}: {said.get(v)}, not {found.get(v)}" for v in sorted(wrong)[:10]]
    record("ranks", f"dominators {request.node.callspec.id}", f"{len(found) - len(wrong):,} of {len(found):,} nodes")
    assert not wrong, f"{len(wrong)} of {len(found)}: {shown}"


def test_what_lasts_does_not_move(graph: Graph) -> None:
    """No lasting object is under a frame."""
    rank, dominator = graph.columns["rank"], graph.columns["dominator"]
    frames = {node for node in range(graph.heap.nodes) if rank[node] not in (0, NOWHERE)}
    assert not [node for node in range(graph.heap.nodes) if rank[node] == 0 and dominator[node] in frames]


WAITING = """
import asyncio
async def wait(answer):
    await answer.wait()
async def main():
    {shared}
    tasks = [asyncio.create_task(wait({answer})) for _ in range(20_000)]
    await asyncio.sleep(0.1)
    print("here", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("shared", "answer", "ending"),
    [("pass", "asyncio.Event()", ": local tasks"), ("answer = asyncio.Event()", "answer", "(: local tasks)?")],
    ids=["each waits for its own event", "two variables hold them"],
)
def test_suspects_of_waiting_tasks(tmp_path: Path, shared: str, answer: str, ending: str) -> None:
    script = tmp_path / "program.py"
    script.write_text(WAITING.format(shared=shared, answer=answer))
    (heap,) = heaps_of(tmp_path, script, times=1)
    first = heap.suspects()[0]
    assert re.fullmatch(rf"main \(.*program\.py:\d+\){ending}", first.name), first.name
