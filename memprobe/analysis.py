"""Who keeps it alive, what would be freed, what is in a circle: on a heap, and for live objects.

Dominators: Georgiadis, semi-NCA; components: Pearce; paths: breadth first, backwards. The C files in src/algo say more."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from memprobe import _core, _names
from memprobe._labels import EdgeRow
from memprobe._names import Step, Steps
from memprobe._text import size
from memprobe.results import Json, Node

if TYPE_CHECKING:
    from memprobe.heap import Heap

Row = EdgeRow
PathRow = tuple[tuple[str, bool, int], bytes]  # a name, and steps as the extension has them

# What a programmer calls the way back: the edge of a cycle that may as well be weak.
BACKWARD = re.compile(
    r"\b_*(parent|owner|self|back|prev|previous|callback|handler|container|root|outer|manager|listener)\w*", re.IGNORECASE
)


@dataclass(frozen=True)
class Path:
    """One shortest way from a root to an object. `expression` reads as Python where it can; `evaluable` says that all of it is
    Python, starting at a module. `made` is the line that allocated a living object, "app.py:12", when tracemalloc was tracing;
    `target` is what the last step refers to."""

    steps: Sequence[Step] = field(repr=False)
    expression: str
    evaluable: bool
    made: str | None = None
    target: Any = field(default=None, repr=False, compare=False)

    def to_dict(self) -> Json:
        """{expression, evaluable, labels, made}."""
        labels = [str(step.label) for step in self.steps]
        return {"expression": self.expression, "evaluable": self.evaluable, "labels": labels, "made": self.made}

    def __str__(self) -> str:
        return self.expression if self.made is None else f"{self.expression}  (made in {self.made})"


@dataclass(frozen=True)
class Cycle:
    """Objects that all refer to each other, by a shortest circle among them. `edges` are (holder, label, target); `break_at` is
    the one to make weak or to cut, with the reason. `size` is the bytes of all objects."""

    objects: tuple[Any, ...] = field(repr=False)
    edges: tuple[tuple[Any, str, Any], ...] = field(repr=False)
    size: int
    is_garbage: bool
    break_at: tuple[Any, str, Any, str] = field(repr=False)
    text: str

    def to_dict(self) -> Json:
        """{objects: count, size, is_garbage, cycle, break_at, reason}."""
        cut = {"break_at": self.break_at[1], "reason": self.break_at[3]}
        return {"objects": len(self.objects), "size": self.size, "is_garbage": self.is_garbage, "cycle": self.text, **cut}

    def __str__(self) -> str:
        kind = "garbage" if self.is_garbage else "alive"
        return f"{self.text}\n    {len(self.objects):,} objects, {size(self.size)}, {kind}; {self.break_at[3]}"


@dataclass(frozen=True)
class Dominated:
    """A node of the dominator tree: what it alone keeps alive, `retained` bytes, and the biggest below it. `name` is its shortest
    path. Of a grouped tree it stands for `count` objects that are held in one way, and is the one that retains most."""

    node: Node
    name: str
    retained: int
    children: tuple[Dominated, ...] = field(repr=False)
    count: int = 1

    def to_dict(self) -> Json:
        """{node, name, retained, count, children}."""
        return {
            "node": self.node.to_dict(),
            "name": self.name,
            "retained": self.retained,
            "count": self.count,
            "children": [child.to_dict() for child in self.children],
        }


# ---- on a heap --------------------------------------------------------------------------------------------------------


def paths(heap: Heap, node: Node, limit: int) -> list[Path]:
    """Up to `limit` different paths from the roots, those that read alike once."""
    found, _ = heap._graph.paths(node.id, limit)
    return _different([_path(heap, row, heap.node) for row in found])


def _different(found: list[Path]) -> list[Path]:
    first: dict[str, Path] = {}
    for path in found:
        first.setdefault(path.expression, path)
    return list(first.values())


def _path(heap: Heap, row: PathRow, shown: Callable[[int], Any]) -> Path:
    (text, evaluable, _), data = row
    steps = Steps(heap._graph, data, shown)
    return Path(steps, text, evaluable, target=shown(steps.ids[-1]))


def dominators(heap: Heap, top: Node | None, depth: int, limit: int) -> Dominated:
    """The dominator tree below a node (None: the whole heap), `limit` biggest children at each of `depth` levels."""
    id = heap.roots()["roots"].id if top is None else top.id
    below = heap._graph.dominated(id, limit) if depth > 0 else []
    children = tuple(dominators(heap, heap.node(child), depth - 1, limit) for child, _ in below)
    return Dominated(heap.node(id), name_of(heap, heap.node(id)), heap._graph.kept(id), children)


def grouped(heap: Heap, depth: int, limit: int) -> Dominated:
    """The dominator tree with nodes of one path signature as one: `limit` biggest groups at each of `depth` levels."""
    rows = _core.grouped(heap._graph)
    below: dict[int, list[int]] = {}
    for index, row in enumerate(rows[1:], 1):
        below.setdefault(row[0], []).append(index)

    def tree(index: int, depth: int) -> Dominated:
        _, id, _, count, retained = rows[index]
        biggest = sorted(below.get(index, ()), key=lambda child: -rows[child][4])[: limit if depth > 0 else 0]
        name = name_of(heap, heap.node(id))
        return Dominated(
            heap.node(id),
            _names.masked(name) if count > 1 else name,
            retained,
            tuple(tree(child, depth - 1) for child in biggest),
            count,
        )

    return tree(0, depth)


def name_of(heap: Heap, node: Node) -> str:
    """What a node is called."""
    return _names.names(heap, (node.id,))[0]


def cycles(heap: Heap, garbage: bool, housekeeping: bool, limit: int | None) -> list[Cycle]:
    """The heap's cycles, biggest first."""
    found = heap._graph.cycles(housekeeping, garbage, -1 if limit is None else limit)
    return [_cycle(heap, row, heap.node) for row in found]


def _cycle(heap: Heap, found: tuple[list[int], int, bool, int, list[Row]], shown: Callable[[int], Any]) -> Cycle:
    members, total, garbage, first, rows = found
    holders = [first, *(row[0] for row in rows)][: len(rows)]
    edges = tuple((shown(id), row[1], shown(row[0])) for id, row in zip(holders, rows, strict=True))
    types = [heap.node(id).type for id in holders]
    text = chain([*types, types[0]], [row[1] for row in rows])
    cut, reason = _weakest(types, [row[1] for row in rows])
    return Cycle(tuple(map(shown, members)), edges, total, garbage, (*edges[cut], reason), text)


def chain(types: Sequence[str], labels: Sequence[str]) -> str:
    """A cycle in words: Order.user → User.orders → list[3] → Order."""
    short = [type.rpartition(".")[2] for type in types]
    parts = [f"{type}{label if label[:1] in '.[' else f' {label} '}" for type, label in zip(short, labels, strict=False)]
    return " → ".join([*parts, short[-1]])


def _weakest(types: Sequence[str], labels: Sequence[str]) -> tuple[int, str]:
    """Which edge of a cycle to cut, and why."""
    for i, label in enumerate(labels):
        if not label.startswith(".__") and BACKWARD.search(label):
            return i, f"make `{types[i].rpartition('.')[2]}{label}` a weakref: it reads like a way back"
    last = next((i for i, label in enumerate(labels) if label.startswith(".") and not label.startswith(".__")), 0)
    return last, f"cut or weaken `{types[last].rpartition('.')[2]}{labels[last]}`"


# ---- live -------------------------------------------------------------------------------------------------------------


def retained_sizeof(obj: object) -> int:
    """Bytes that would be freed if the last references to `obj` went: of all objects that only it keeps alive, itself included.

    The whole heap is captured to know that. Raises ValueError for an object that no container or frame holds."""
    return _core.retained_sizeof(obj)


def why_alive(obj: object, limit: int = 3) -> list[Path]:
    """Why `obj` is alive: up to `limit` (1 to 255) shortest paths of references to it, from a module, a frame or another root.

    Steps hold the objects themselves. While tracemalloc is tracing, paths say which line made the object. Raises ValueError for
    an object that nothing but this call holds."""
    if not 1 <= limit <= 255:
        raise ValueError(f"limit is {limit}: ask for 1 to 255 paths.")
    (graph, objects), rows, _ = _core.why_alive(obj, limit)
    heap = _heap(graph)
    shown = _shown(heap, objects)
    line = _core.allocated(obj)
    made = f"{line[0][0]}:{line[0][1]}" if line else None
    return _different([replace(_path(heap, row, shown), made=made) for row in rows])


def find_cycles(obj: object = None, *, garbage: bool = False, housekeeping: bool = False, limit: int | None = None) -> list[Cycle]:
    """The reference cycles that can be reached from `obj`, or those of the whole heap, biggest first.

    With `garbage` those alone that nothing reaches: what gc.collect() would free now. Without `housekeeping` the edges that every
    program has, such as from a function to its globals, are left out: with them, nearly everything is one cycle."""
    graph, objects = _core.hold_cyclic(garbage, housekeeping)
    heap = _heap(graph)
    start = None if obj is None else graph.at(id(obj))
    if obj is not None and start is None:
        return []
    shown = _shown(heap, objects)
    found = graph.cycles(housekeeping, garbage, -1 if limit is None else limit, start)
    return [_cycle(heap, (*row[:4], _with_keys(row[3], row[4], objects)), shown) for row in found]


def _heap(graph: _core.Graph) -> Heap:
    from memprobe.heap import Heap

    return Heap(graph)


def _shown(heap: Heap, objects: dict[int, object]) -> Callable[[int], Any]:
    return lambda id: objects[id] if id in objects else str(heap.node(id))


def _with_keys(start: int, rows: Sequence[Row], objects: dict[int, object]) -> list[Row]:
    """The rows with the keys of live dicts, which a file would mask."""
    out, holder = [], start
    for row in rows:
        owner = objects.get(holder)
        if row[1].startswith("[<") and isinstance(owner, dict):
            row = (row[0], _key(owner, objects.get(row[0]), row[1]), *row[2:])
        out.append(row)
        holder = row[0]
    return out


def _key(owner: dict[object, object], target: object, label: str) -> str:
    for key, value in dict.items(owner):
        if value is target and type(key) in (str, bytes, int, float, bool):
            return f"[{key!r}]"
    return label
