# SPDX-License-Identifier: MIT
"""The analyses against networkx, on random graphs that come in through snapshot files: what a heap says of itself as arrays is
given to networkx, and both must agree on dominators, retained sizes, components, shortest cycles and paths, and reachability."""

from __future__ import annotations

import os
import random
import struct
import sys
from pathlib import Path

import networkx
import numpy
import pytest

import memprobe

GRAPHS = int(os.environ.get("MEMPROBE_RANDOM_GRAPHS", "2000"))  # others on each version: 10,000 and more by `make matrix`
FIRST = sys.version_info.minor * 100_000
TABLE = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0x82F63B78 if _byte & 1 else 0)
    TABLE.append(_byte)


def crc(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ TABLE[(value ^ byte) & 255]
    return value ^ 0xFFFFFFFF


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def section(kind: bytes, contents: bytes) -> bytes:
    head = kind + struct.pack("<II", len(contents), crc(contents))
    return head + struct.pack("<I", crc(head)) + contents


FIXED = b"\x8fmprobe\n" + struct.pack("<II", 1, 0) + bytes(16)
BEGIN = FIXED + struct.pack("<I", crc(FIXED)) + section(b"FLDS", b"\x01\x04NONE")
BEGIN += section(b"TYPE", b"\x00\x01\x00\x05thing\x30\x00\x00\x00")


def snapshot(edges: list[list[int]], held: set[int]) -> bytes:
    """Objects with references to each other by index; C code holds some. docs/FORMAT.md says what each byte is."""
    counts = [0] * len(edges)
    for targets in edges:
        for target in targets:
            counts[target] += 1
    shapes, targets_column, labels = b"", b"", b""
    for i, targets in enumerate(edges):
        shapes += b"\x00" + varint(16 + 16 * i) + b"\x00" + varint(counts[i] + (i in held)) + varint(len(targets))
        for k, target in enumerate(targets):
            step = 8 * (target - i)  # in units of 8 bytes, from the node
            targets_column += varint((2 * step if step >= 0 else -2 * step - 1) << 2 | 3)
            labels += b"\x00" + varint(k << 6 | 2)
    addresses = varint(2 * 4096) + varint(2 * 4) * (len(edges) - 1)
    columns = [shapes, addresses, b"".join(map(varint, range(len(edges)))), targets_column, labels + b"\x00", b""]
    total = sum(map(len, edges))
    head = struct.pack("<Q4I6I", 0, len(edges), total, 0, len(edges), *map(len, columns))
    file = BEGIN + section(b"NODE", head + b"".join(columns))
    footer = varint(len(edges)) + varint(total) + b"\x01\x00\x00\x01" + varint(len(BEGIN)) + varint(len(edges)) + varint(total)
    return file + section(b"DONE", footer + struct.pack("<Q", len(file)))


def random_edges(dice: random.Random) -> tuple[list[list[int]], set[int]]:
    count = dice.randrange(1, 18)
    density = dice.choice((0.5, 1.0, 1.5, 3.0))
    edges: list[list[int]] = [[] for _ in range(count)]
    for _ in range(int(density * count)):
        edges[dice.randrange(count)].append(dice.randrange(count))
    return edges, {dice.randrange(count) for _ in range(dice.randrange(4))}


def compare(heap: memprobe.Heap, dice: random.Random, edges: list[list[int]]) -> None:
    columns = {name: numpy.asarray(view).tolist() for name, view in heap.columns().items()}
    root, objects = heap.roots()["roots"].id, range(len(edges))
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(heap.nodes))
    first = columns["first_edge"]
    for node in range(heap.nodes):
        for k in range(first[node], first[node + 1]):
            if not columns["edge_label"][k] & 1 << 27:  # not weak
                graph.add_edge(node, columns["edge_target"][k])
    assert sorted((i, t) for i in objects for t in graph[i]) == sorted({(i, t) for i, targets in enumerate(edges) for t in targets})

    ranks = ranks_of(heap, graph)
    assert {v: rank for v, rank in enumerate(columns["rank"]) if rank != 0xFFFF} == ranks
    kept = [(u, v) for u, v in graph.edges if ranks[v] >= ranks[u]]  # what a later rank holds does not count
    found = networkx.immediate_dominators(networkx.DiGraph(kept), root)
    found.pop(root, None)
    assert {v: d for v, d in enumerate(columns["dominator"]) if d != 0xFFFFFFFF} == found
    tree = networkx.DiGraph((d, v) for v, d in found.items())
    for node in [root, dice.choice(list(objects))]:
        below = networkx.descendants(tree, node) if node in tree else set()
        assert columns["retained"][node] == sum(columns["size"][v] for v in {node, *below})

    mine = graph.subgraph(objects)
    components = {frozenset(c) for c in networkx.strongly_connected_components(mine) if len(c) > 1 or mine.has_edge(*[*c] * 2)}
    numbered: dict[int, set[int]] = {}
    for id, number in enumerate(memprobe._core.components(heap._graph, tuple(range(heap.nodes)), False)):
        numbered.setdefault(number, set()).add(id)
    numbered.pop(0xFFFFFFFF, None)
    assert {frozenset(members) for members in numbered.values()} == components
    cycles = memprobe._core.cycles(heap._graph, False, False, None)
    assert cycles.components() == sum(row[0] for row in cycles) == len(components)
    assert sum(row[1] for row in cycles) == sum(columns["size"][v] for members in components for v in members)
    for index, (_, _, _, count, _, steps) in enumerate(cycles):
        members = cycles.members(index, 0, count)
        assert frozenset(members) in components
        inside = graph.subgraph(members)
        assert len(steps) == min(len(c) for c in networkx.simple_cycles(inside, length_bound=len(steps)))

    node = dice.choice(list(objects))
    assert heap.deep_sizeof(heap.node(node)) == sum(columns["size"][v] for v in {node, *networkx.descendants(mine, node)})
    groups = heap._graph.groups()
    for later in (
        ("static and immortal objects", "C references", "unreachable"),
        ("C references", "unreachable"),
        ("unreachable",),
        (),
    ):
        way = graph.subgraph(set(graph) - {groups[name] for name in later if name in groups})
        if networkx.has_path(way, root, node):
            break
    paths = heap.paths(heap.node(node), 3)
    if networkx.has_path(way, root, node):
        assert len(paths[0].steps) == networkx.shortest_path_length(way, root, node)
        for path in paths:
            ids = [step.holder.id for step in path.steps]
            assert all(graph.has_edge(u, v) for u, v in zip(ids, [*ids[1:], node], strict=True)) and len(set(ids)) == len(ids)
    else:
        assert not paths


def ranks_of(heap: memprobe.Heap, graph: networkx.DiGraph) -> dict[int, int]:
    """What lasts, what only C holds, garbage: each without what an earlier one reaches."""
    groups = heap._graph.groups()
    out = {id: 0 for name, id in groups.items() if name in ("roots", "threads", "interned strings")}
    last = 1  # beside frames, of which there are none
    for rank, names in (
        (0, ("modules", "interpreter", "static and immortal objects")),
        (last + 1, ("C references",)),
        (last + 2, ("unreachable",)),
    ):
        for name in names:
            if name in groups:
                reached = {groups[name], *networkx.descendants(graph, groups[name])}
                out.update((node, rank) for node in reached if node not in out)
    return out


@pytest.mark.parametrize("part", range(10))
def test_random_graphs(part: int, tmp_path: Path) -> None:
    file = tmp_path / "random.snap"
    for seed in range(FIRST + part, FIRST + GRAPHS, 10):
        dice = random.Random(seed)
        edges, held = random_edges(dice)
        file.write_bytes(snapshot(edges, held))
        try:
            compare(memprobe.load(file), dice, edges)
        except AssertionError as problem:
            raise AssertionError(f"seed {seed}: {edges}, held {held}") from problem
