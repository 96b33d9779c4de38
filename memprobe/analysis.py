"""Who keeps it alive, what would be freed, what is in a cycle: on a heap, and for live objects.

Dominators: Georgiadis, semi-NCA; components: Pearce; paths: breadth first, backwards. The C files in src/algo say more."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from memprobe import _core, _names, _text
from memprobe._labels import EdgeRow, Label
from memprobe._names import Step, Steps
from memprobe._readable import Answers, Json, Readable, describe
from memprobe._text import number, size
from memprobe.live import check_limit
from memprobe.native import FOUND, is_known
from memprobe.results import Node

if TYPE_CHECKING:
    from memprobe.heap import Heap

Row = EdgeRow
NAMED = 16  # objects of a cycle among which its name is looked for
PathRow = tuple[tuple[str, bool, int], bytes]  # a name, and steps as the extension has them

# What a programmer calls the way back: the edge of a cycle that may as well be weak.
BACKWARD = re.compile(
    r"\b_*(parent|owner|self|back|prev|previous|callback|handler|container|root|outer|manager|listener)\w*", re.IGNORECASE
)


@dataclass(frozen=True, repr=False, slots=True)
class Path(Readable):
    """One shortest way from a root to an object. `expression` reads as Python where it can; `evaluable` says that all of it is
    Python, starting at a module. `made` is the line that allocated a living object, "app.py:12", when tracemalloc was tracing;
    `target` is what the last step refers to. `asked` says that it is no path of the program: it leads through the variable that the
    question was asked with, or what a prompt keeps of its results."""

    steps: Sequence[Step] = field(repr=False)
    expression: str
    evaluable: bool
    made: str | None = None
    target: Any = field(default=None, compare=False)
    asked: bool = False

    def to_dict(self) -> Json:
        """{expression, evaluable, labels, made, asked}."""
        labels = [str(step.label) for step in self.steps]
        words = {"expression": self.expression, "evaluable": self.evaluable}
        return {**words, "labels": labels, "made": self.made, "asked": self.asked}

    def __str__(self) -> str:
        return self.expression if self.made is None else f"{self.expression}  (made in {self.made})"


class Link(tuple[Any, ...]):
    """An edge of a cycle: (holder, label, target), and for the one to cut a reason."""

    __slots__ = ()

    def __repr__(self) -> str:
        holder, label, target, *reason = self
        words = f"{_thing(holder)}{'' if label[:1] in '.[' else ' '}{label} → {_thing(target)}"
        return f"{words}: {reason[0]}" if reason else words


class Members(Answers[Any]):
    """The objects of a cycle: nodes, or living objects."""

    __slots__ = ()


class Cycle(Readable):
    """Objects that all refer to each other, by a shortest cycle among them. `count` is how many such cycles there are: of the same
    types and labels, indices and keys of data aside. `size` is the bytes of all their objects; `name`, `objects`, `edges` (holder,
    label, target) and `break_at` (the edge to make weak or to cut, with the reason) are those of one of them.

    Of a cycle that the collector cannot see `opaque_type` is the type that does not tell it what it refers to, as one of C without
    a tp_traverse; else None. It is garbage when nothing else refers to it, and is never collected."""

    __slots__ = ("_heap", "_links", "_shown", "_weakest", "count", "is_garbage", "objects", "opaque_type", "size", "text")

    def __init__(
        self, heap: Heap, found: _core.Cycles, index: int, held: _core.Held | None = None, is_opaque: bool = False
    ) -> None:
        self.count, self.size, self.is_garbage, members, first, rows = found[index]
        rows = rows if held is None else _with_keys(first, rows, held)
        self._links = _links(first, rows)
        self._heap = heap if held is None and not self.is_garbage else None
        self._shown = shown = heap.node if held is None else _shown(heap, held)
        types = [heap.node(holder).type for holder, _, _ in self._links]
        labels = [_masked(label) if self.count > 1 else label for _, label, _ in self._links]
        self.text = chain([*types, types[0]], labels)
        self.objects: Sequence[Any] = Members(members, lambda at: shown(found.members(index, at, at + 1)[0]))
        self._weakest = _weakest(types, labels)
        self.opaque_type = _opaque_type(heap, self._links) if is_opaque else None
        if self.opaque_type is not None:
            index, advice = self._weakest
            short = self.opaque_type.rpartition(".")[2]
            self._weakest = index, f"the collector never frees it, for {short} does not tell what it refers to: {advice}"

    @property
    def name(self) -> str | None:
        """What the heap calls the one of its objects that is nearest to a root. None for garbage, which has no name, and for
        living objects, of which find_cycles() sees no roots."""
        if self._heap is None:
            return None
        holders = [holder for holder, _, _ in self._links[:NAMED]]
        return min(_names.named(self._heap, holders), key=lambda found: len(found[1]))[0]

    @property
    def edges(self) -> tuple[Link, ...]:
        """(holder, label, target) round the cycle. The namespace of an instance, class or module is part of it."""
        return tuple(Link((self._shown(holder), label, self._shown(target))) for holder, label, target in self._links)

    @property
    def break_at(self) -> Link:
        """(holder, label, target, reason): the edge to cut."""
        return Link((*self.edges[self._weakest[0]], self.reason))

    @property
    def reason(self) -> str:
        """Which edge to cut, and why."""
        return self._weakest[1]

    def to_dict(self) -> Json:
        """{objects: how many a cycle has, count: how many such cycles, size, is_garbage, opaque_type, name, cycle, break_at,
        reason}."""
        numbers = {"objects": len(self.objects), "count": self.count, "size": self.size, "is_garbage": self.is_garbage}
        return {
            **numbers,
            "opaque_type": self.opaque_type,
            "name": self.name,
            "cycle": self.text,
            "break_at": str(self._links[self._weakest[0]][1]),
            "reason": self.reason,
        }

    def _about(self) -> str:
        kind = "garbage" if self.is_garbage else "alive"
        objects = f"{number(len(self.objects))} object{'s' * (len(self.objects) != 1)}"
        return f"{objects}{' each' * (self.count > 1)}, {size(self.size)}, {kind}; {self.reason}"

    def _title(self) -> str:
        return self.text if self.count == 1 else f"{self.text}  ×{number(self.count)}"

    def line(self) -> str:
        return f"{_text.line(self._title(), 300)}  ({_text.line(self._about(), 190)})"

    def __str__(self) -> str:
        name = self.name
        where = [] if name is None else [f"    {'at' if self.count == 1 else 'one of them at'} {name}"]
        return "\n".join([self._title(), *where, f"    {self._about()}"])

    def __eq__(self, other: object) -> bool:
        return self is other


class Cycles(Answers[Cycle]):
    """Rows of cycles, most bytes first. `cycles` is how many they stand for."""

    __slots__ = ("cycles",)

    NOTHING = "no cycles"

    def __init__(
        self,
        heap: Heap,
        found: _core.Cycles,
        limit: int | None,
        held: _core.Held | None = None,
        is_opaque: bool = False,
    ) -> None:
        rows = len(found) if limit is None else min(limit, len(found))
        self.cycles = found.components()
        super().__init__(rows, lambda at: Cycle(heap, found, at, held, is_opaque), more=len(found) - rows, held=held)


@dataclass(frozen=True, repr=False)
class Dominated(Readable):
    """A node of the dominator tree: what it alone keeps alive, `retained` bytes, and the biggest below it. `name` is its shortest
    path. Of a grouped tree it stands for `count` objects that are held in one way, and is the one that retains most. `native` is
    what it keeps of native blocks, beside `retained`; None in a grouped tree, and where the heap does not know of them."""

    node: Node
    name: str
    retained: int
    children: tuple[Dominated, ...] = field(repr=False)
    count: int = 1
    native: int | None = None

    def to_dict(self) -> Json:
        """{node, name, retained, native, count, children}."""
        return {
            "node": self.node.to_dict(),
            "name": self.name,
            "retained": self.retained,
            "native": self.native,
            "count": self.count,
            "children": [child.to_dict() for child in self.children],
        }

    def __str__(self) -> str:
        return "\n".join(self._lines(0))

    def _words(self) -> str:
        times = f"  ×{number(self.count)}" if self.count > 1 else ""
        native = f" and {size(self.native)} native" if self.native else ""
        return f"{_text.line(self.name, 120)}  {size(self.retained)}{native}{times}"

    def _lines(self, depth: int) -> Iterator[str]:
        yield f"{'  ' * depth}{self._words()}"
        for child in self.children:
            yield from child._lines(depth + 1)

    def _repr_html_(self) -> str:
        """Rows within rows that open and close, as many as a screen has."""
        out: list[str] = []
        waiting: list[Dominated | str] = [self]
        rows = 0
        while waiting:
            row = waiting.pop()
            if isinstance(row, str):
                out.append(row)
                continue
            rows += 1
            if rows > _text.SCREEN:
                continue
            words = _text.escape(row._words())
            out.append(f"<li><details open><summary>{words}</summary><ul>" if row.children else f"<li>{words}</li>")
            if row.children:
                waiting.append("</ul></details></li>")
            waiting.extend(reversed(row.children))
        more = f"<li>… {number(rows - _text.SCREEN)} more lines</li>" if rows > _text.SCREEN else ""
        return f"<ul>{''.join(out)}{more}</ul>"


# ---- on a heap --------------------------------------------------------------------------------------------------------


class Paths(Answers[Path]):
    """Paths from the roots to an object, the shortest first. `complete` says that there are no others."""

    __slots__ = ("complete",)

    def __init__(self, found: Sequence[Path], complete: bool) -> None:
        super().__init__(len(found), found.__getitem__)
        self.complete = complete


def paths(heap: Heap, node: Node, limit: int) -> Paths:
    """Up to `limit` different paths from the roots, those that read alike once."""
    if not issubclass(type(node), Node):
        raise TypeError(
            f"paths() takes a node of this heap, not a living object ({describe(node)}): find its node with heap.at(id(obj)), "
            "or ask memprobe.why_alive(obj)."
        )
    found, complete = heap._graph.paths(node.id, limit)
    return Paths(_different([_path(heap, row, heap.node) for row in found]), bool(complete))


def _different(found: list[Path]) -> list[Path]:
    first: dict[str, Path] = {}
    for path in found:
        first.setdefault(path.expression, path)
    return list(first.values())


def _path(heap: Heap, row: PathRow, shown: Callable[[int], Any], made: str | None = None) -> Path:
    (text, evaluable, _), data = row
    steps = Steps(heap._graph, data, shown)
    return Path(steps, text, evaluable, made, shown(steps.ids[-1]))


def dominators(heap: Heap, top: Node | None, depth: int, limit: int, native: bool) -> Dominated:
    """The dominator tree below a node (None: the whole heap), `limit` biggest children at each of `depth` levels."""
    id = heap.roots()["roots"].id if top is None else top.id
    below = heap._graph.dominated(id, limit, native) if depth > 0 else []
    children = tuple(dominators(heap, heap.node(child), depth - 1, limit, native) for child, _ in below)
    return Dominated(heap.node(id), name_of(heap, heap.node(id)), heap._graph.kept(id), children, native=native_kept(heap, id))


def native_kept(heap: Heap, id: int) -> int | None:
    """What a node keeps of native blocks; None where the heap does not know of them."""
    return heap._graph.kept(id, native=True) if is_known(heap) else None


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


def cycles(heap: Heap, garbage: bool, housekeeping: bool, native: bool, limit: int | None) -> Cycles:
    """The heap's cycles, biggest first; with `native` those that the collector cannot see."""
    return Cycles(heap, _core.cycles(heap._graph, garbage, housekeeping, None, native), limit, is_opaque=native)


def _links(first: int, rows: Sequence[Row]) -> list[tuple[int, Label, int]]:
    """(holder, label, target) round a cycle. The dict of an instance, class or module is part of it: x.__dict__['a'] is x.a."""
    links = [(id, Label.of(row), row[0]) for id, row in zip([first, *(row[0] for row in rows)], rows, strict=False)]
    if _is_dict(links[-1][1]):  # a namespace stands after its owner
        links = links[-1:] + links[:-1]
    out: list[tuple[int, Label, int]] = []
    for link in links:
        label = link[1]
        if out and label.kind == "value" and label.name and _is_dict(out[-1][1]):
            named = Label(f".{label.name}", "attr", name=label.name, node=label.node)
            out[-1] = (out[-1][0], named, link[2])
        else:
            out.append(link)
    return out


def _opaque_type(heap: Heap, links: Sequence[tuple[int, Label, int]]) -> str:
    """The type of the object that closes a cycle by a reference that was found in its memory, or in that of blocks it has."""
    at = next(i for i, (_, label, target) in enumerate(links) if label.kind in FOUND and not _is_block(heap, target))
    while _is_block(heap, links[at][0]):
        at -= 1
    return heap.node(links[at][0]).type


def _is_block(heap: Heap, id: int) -> bool:
    return "native" in heap.node(id).flags


def _is_dict(label: Label) -> bool:
    """Does an edge lead to the namespace of its holder?"""
    return label.kind == "field" and label.name == "__dict__"


def _masked(label: Label) -> str:
    """The label of many: without an index, or a key that is data."""
    return "[…]" if label.kind in ("index", "value") else label


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


def retained_sizeof(obj: object, *, native: bool = False) -> int:
    """Bytes that would be freed if the last references to `obj` went: of all objects that only it keeps alive, itself included.

    The whole heap is captured to know that. With `native` a forked child looks at the blocks of C code, too (docs/NATIVE.md).
    Raises ValueError for an object that no container or frame holds."""
    if not native:
        return _core.retained_sizeof(obj)
    from memprobe.native import nodes_of, now

    heap = now()
    return heap.retained(*nodes_of(heap, (obj,)), native=True)


def why_alive(obj: object, limit: int = 3) -> Answers[Path]:
    """Why `obj` is alive: up to `limit` (1 to 255) shortest paths of references to it, from a module, a frame or another root.

    The program's paths come first. The variable that the question was asked with, and what a prompt keeps of its results (_, Out),
    say nothing about the program: they come last, and are called so. Steps hold the objects themselves. While tracemalloc is
    tracing, paths say which line made the object. Raises ValueError for an object that nothing but this call holds."""
    if not 1 <= limit <= 255:
        raise ValueError(f"limit is {limit}: ask for 1 to 255 paths.")
    graph, held, node, found, prompts, callers = _core.why_alive(obj, limit)
    heap = _heap(graph)
    shown, line = _shown(heap, held), _core.allocated(obj)
    made = f"{line[0][0]}:{line[0][1]}" if line else None
    asked = [
        Path((Step(shown(row[0]), Label.of(row)),), f"the caller's variable {row[5] or row[1]}", False, made, shown(node), True)
        for row in callers
    ]
    if prompts and asked:
        words = " and ".join(path.expression for path in asked)
        return Answers.of(asked[:limit], head=f"Nothing in the program holds it, only {words}.", held=held)
    if not prompts:
        program = _different([_path(heap, path, shown, made) for path in found])
        return Answers.of([*program, *asked][:limit], held=held)
    other = _different([_of_prompt(_path(heap, path, shown, made)) for path in found])
    return Answers.of(
        other[:1], head=f"Nothing in the program holds it, only {other[0].expression if other else 'C code'}.", held=held
    )


_PROMPTS = re.compile(r"_{1,3}|_i{0,3}\d*|In|Out|_[iod]h|last_execution_result")  # names that a prompt gives to inputs and results


def _of_prompt(path: Path) -> Path:
    """A path through what a prompt keeps of its results, called so."""
    labels = [step.label for step in path.steps]
    at = next(
        (i for i, label in enumerate(labels) if label.kind in ("value", "attr") and _PROMPTS.fullmatch(label.name or "")), None
    )
    if at is None:
        return replace(path, asked=True)
    return replace(path, asked=True, evaluable=False, expression=f"the prompt's {labels[at].name}{''.join(labels[at + 1 :])}")


LIVE_LIMIT = 1000  # rows whose objects a live answer holds


def find_cycles(obj: object = None, *, garbage: bool = False, housekeeping: bool = False, limit: int | None = None) -> Cycles:
    """The reference cycles that can be reached from `obj`, or those of the whole heap, most bytes first. Cycles of the same types
    and labels are one row, with their count.

    With `garbage` those alone that nothing reaches: what gc.collect() would free now. Without `housekeeping` the edges that every
    program has, such as from a function to its globals, are left out: with them, nearly everything is one cycle. The answer holds
    the objects of its first `limit` rows (1,000 by default) and says how many `more` there are."""
    rows = check_limit(limit)
    rows = LIVE_LIMIT if rows is None else rows
    graph, found, held = _core.find_cycles(obj, garbage, housekeeping, rows)
    return Cycles(_heap(graph), found, rows, held)


def _heap(graph: _core.Graph) -> Heap:
    from memprobe.heap import Heap

    return Heap(graph)


def _shown(heap: Heap, held: _core.Held) -> Callable[[int], Any]:
    """From nodes to living objects; a root, thread or frame is given by its words."""
    return lambda id: held[id] if id in held else str(heap.node(id))


def _thing(holder: Any) -> str:
    kind = type(holder)  # compared by identity: a metaclass may have an __eq__
    return str(holder) if kind is str or kind is Node else describe(holder)


def _with_keys(start: int, rows: Sequence[Row], held: _core.Held) -> list[Row]:
    """The rows with the keys of living dicts, which a file would mask."""
    out, holder = [], start
    for row in rows:
        if row[2] == "value" and row[5] is None and issubclass(type(held.get(holder)), dict):
            text, name = _key(held[holder], held.get(row[0]), row[1])
            row = (row[0], text, *row[2:5], name, *row[6:])
        out.append(row)
        holder = row[0]
    return out


def _key(owner: Any, target: object, label: str) -> tuple[str, str | None]:
    """The label with the key under which a dict has the target, and a key that is a str. A key is shown if that runs no code of the
    program."""
    for key, value in dict.items(owner):
        if value is target and any(type(key) is kind for kind in (str, bytes, int, float, bool)):
            return f"[{_text.line(repr(key), 100)}]", key if type(key) is str else None
    return label, None
