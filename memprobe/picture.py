"""Pictures of references, for Graphviz: what an object refers to, what refers to it, or a chain of them; of living objects, or of
the nodes of a heap.

    memprobe.show_backrefs(thing)                   in a notebook, the picture
    memprobe.show_refs(thing, filename="thing.svg")     .dot needs nothing; other formats the package graphviz and the program dot
    memprobe.show_backrefs(heap.find("app.Order")[0])

A namespace is drawn as part of its owner, so an edge reads as a program would write it. Nothing of the program runs to draw it
but the functions that are given."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby, pairwise
from types import FunctionType
from typing import TYPE_CHECKING, Any

from memprobe import _core, _names
from memprobe._labels import EdgeRow, Label
from memprobe._readable import Json
from memprobe._text import number, size
from memprobe.errors import Error
from memprobe.results import Node

if TYPE_CHECKING:
    from memprobe.heap import Heap

MISSING = (
    "pictures need the package graphviz (`pip install graphviz`) and the program dot (`apt install graphviz`, "
    "`brew install graphviz`); the picture's source is in {}."
)
LONGEST = 40  # characters of a value or label
LABELS = 3  # shown of parallel edges
ALIKE = 3  # siblings of one kind that are still drawn one by one
COMPARED = 100_000  # neighbours of a node that are compared with each other; the rest is only counted
EXPANDED = 1000  # members of a merged node whose neighbours are looked for
LONG_RUN = 8  # equal steps of a path that are still drawn one by one
LONG_PATH = 20  # any steps
END = 3  # steps that are drawn at each end of a longer one
WINDOW = 64  # steps at each end of a path that are looked at

# Fills are light with dark text, lines and loose words of a middle grey: readable on white paper and on a dark screen.
STYLES = {
    "asked": 'fillcolor="#1f6feb", color="#1f6feb", fontcolor="#ffffff"',
    "plain": 'fillcolor="#eef2f6", color="#8c959f", fontcolor="#1f2328"',
    "code": 'fillcolor="#f4ebff", color="#8250df", fontcolor="#1f2328"',
    "module": 'fillcolor="#d7f5dd", color="#2da44e", fontcolor="#1f2328", penwidth=1.6',
    "root": 'fillcolor="#1a7f37", color="#1a7f37", fontcolor="#ffffff", style="filled"',
    "garbage": 'fillcolor="#ffe3e0", color="#cf222e", fontcolor="#1f2328", style="rounded,filled,dashed", penwidth=1.6',
    "highlight": 'fillcolor="#fff0a6", color="#bf8700", fontcolor="#1f2328", penwidth=2',
}
HEAD = """\
digraph memprobe {
  graph [rankdir=LR, bgcolor="transparent", ranksep=0.5, nodesep=0.18, pad=0.2, fontname="Helvetica,Arial,sans-serif"];
  node [shape=box, style="rounded,filled", fontname="Helvetica,Arial,sans-serif", fontsize=11, margin="0.12,0.06", height=0.3];
  edge [color="#8c959f", fontcolor="#768390", fontname="Helvetica,Arial,sans-serif", fontsize=10, arrowsize=0.7];
"""


@dataclass(frozen=True)
class Picture:
    """A graph of `nodes` and `edges` in Graphviz's language, `dot`. A notebook shows it. `hidden` counts the references that
    `too_many` and `max_nodes` left out."""

    dot: str = field(repr=False)
    nodes: int
    edges: int
    hidden: int

    @property
    def svg(self) -> str:
        """The picture as SVG. Raises Error where it cannot be drawn."""
        return self._drawn("svg").decode()

    @property
    def png(self) -> bytes:
        """The picture as PNG. Raises Error where it cannot be drawn."""
        return self._drawn("png")

    def save(self, filename: str | os.PathLike[str]) -> None:
        """Write it in the format of the name's ending: .dot, or what Graphviz draws (.svg, .png, .pdf ...); then the .dot stays
        beside it. Raises Error where it cannot be drawn, and OSError."""
        stem, ending = os.path.splitext(os.fspath(filename))
        if len(ending) < 2:
            raise ValueError(f"{os.fspath(filename)!r} has no ending that says which format: try {stem}.svg.")
        source = f"{stem}.dot"
        with open(source, "w", encoding="utf-8") as text:
            text.write(self.dot)
        if ending != ".dot":
            drawn = self._drawn(ending[1:], source)
            with open(filename, "wb") as file:
                file.write(drawn)

    def to_dict(self) -> Json:
        """{nodes, edges, hidden, dot}."""
        return {"nodes": self.nodes, "edges": self.edges, "hidden": self.hidden, "dot": self.dot}

    def _drawn(self, format: str, source: str = "its attribute dot") -> bytes:
        try:
            import graphviz
        except ImportError:
            raise Error(MISSING.format(source)) from None
        try:
            drawn: bytes = graphviz.Source(self.dot, engine="dot").pipe(format=format)
        except graphviz.ExecutableNotFound:
            raise Error(MISSING.format(source)) from None
        except ValueError:
            raise ValueError(f"Graphviz draws no {format!r}: try svg, png or pdf; the source is in {source}.") from None
        except graphviz.CalledProcessError as problem:
            raise Error(f"dot could not draw {source}: {problem}") from None
        return drawn

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """SVG where it can be drawn; the source as text, in any case."""
        try:
            return {"image/svg+xml": self.svg, "text/plain": repr(self)}
        except Error as problem:
            return {"text/plain": f"{problem}\n{self.dot}"}

    def _repr_svg_(self) -> str | None:
        return self._repr_mimebundle_().get("image/svg+xml")

    def __str__(self) -> str:
        return self.dot


def show_refs(
    *objs: Any,
    depth: int = 3,
    too_many: int = 10,
    filter: Callable[[Any], object] | None = None,
    highlight: Callable[[Any], object] | None = None,
    extra_info: Callable[[Any], object] | None = None,
    refcounts: bool = False,
    sizes: bool = True,
    retained: bool = False,
    weak: bool = True,
    housekeeping: bool = False,
    merge: bool = True,
    max_nodes: int | None = 60,
    filename: str | os.PathLike[str] | None = None,
) -> Picture:
    """A picture of what objects refer to, and what that refers to, `depth` times. The objects are living ones, or nodes of one
    heap.

    `filter` leaves out what it denies, `highlight` colours, `extra_info` adds a line; they get what was given: objects, or nodes.
    Of an object's references `too_many` are drawn, and a node that says how many more there are. With `refcounts`, `sizes` and
    `retained`, nodes show their reference counts, bytes, and bytes that would be freed with them. Weak references are dashed,
    unless `weak` is false. `housekeeping` adds the references that every program has, such as from a function to its globals.

    With `merge`, more than three neighbours of one type that refer, or are referred to, by the same label are one node: "402
    frames, local self". Modules, classes and what `highlight` chooses stay apart. No neighbours are added beyond `max_nodes` nodes;
    None is any number.

    When tracemalloc is tracing, a living object shows the line that made it. With a `filename` the picture is saved, too."""
    asked = (depth, too_many, filter, highlight, extra_info, refcounts, sizes, retained, weak, housekeeping, merge, max_nodes)
    options = _Options(False, *asked)
    return _saved(_draw(objs, options), filename)


def show_backrefs(
    *objs: Any,
    depth: int = 3,
    too_many: int = 10,
    filter: Callable[[Any], object] | None = None,
    highlight: Callable[[Any], object] | None = None,
    extra_info: Callable[[Any], object] | None = None,
    refcounts: bool = False,
    sizes: bool = True,
    retained: bool = False,
    weak: bool = True,
    housekeeping: bool = False,
    merge: bool = True,
    max_nodes: int | None = 60,
    filename: str | os.PathLike[str] | None = None,
) -> Picture:
    """A picture of what refers to objects, and what refers to that, `depth` times; the rest as show_refs(). Modules, threads and
    other roots are not followed further.

    The path that names an object is drawn first, whatever its length, from the module or class where its name begins: who keeps it
    is in the picture."""
    asked = (depth, too_many, filter, highlight, extra_info, refcounts, sizes, retained, weak, housekeeping, merge, max_nodes)
    options = _Options(True, *asked)
    return _saved(_draw(objs, options), filename)


def show_chain(*chains: Sequence[Any], filename: str | os.PathLike[str] | None = None, **options: Any) -> Picture:
    """A picture of chains of objects, each of which refers to the next: lists of them, or what why_alive() and find_cycles()
    found. Other options as show_refs()."""
    ways = [way for way in map(_members, chains) if way]
    if not ways:
        raise ValueError("there is no chain with an object in it: give lists of objects, each of which refers to the next.")
    ids = {id(obj) if not isinstance(obj, Node) else obj for way in ways for obj in way}

    def inside(obj: object) -> bool:
        return (obj if isinstance(obj, Node) else id(obj)) in ids

    whole = {"depth": max(map(len, ways)), "too_many": sum(map(len, ways)), "merge": False, "max_nodes": None}
    given = {**whole, "filter": inside, "housekeeping": True, **options}
    return show_refs(*dict.fromkeys(_Same(way[0]) for way in ways).keys(), filename=filename, **given)


class _Same:
    """An object that is equal to itself alone."""

    def __init__(self, obj: Any) -> None:
        self.obj = obj

    def __hash__(self) -> int:
        return id(self.obj)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.obj is other.obj


def _members(chain: Any) -> list[Any]:
    """The objects of a chain, a path or a cycle. Roots are words in a living path, and no objects."""
    if hasattr(chain, "steps"):
        return [obj for obj in (*(step.holder for step in chain.steps), chain.target) if not isinstance(obj, str)]
    return [edge[0] for edge in chain.edges] if hasattr(chain, "break_at") else list(chain)


def _saved(picture: Picture, filename: str | os.PathLike[str] | None) -> Picture:
    if filename is not None:
        picture.save(filename)
    return picture


# ---- which nodes and edges ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Options:
    back: bool
    depth: int
    too_many: int
    filter: Callable[[Any], object] | None
    highlight: Callable[[Any], object] | None
    extra_info: Callable[[Any], object] | None
    refcounts: bool
    sizes: bool
    retained: bool
    weak: bool
    housekeeping: bool
    merge: bool
    max_nodes: int | None


def _draw(objs: Sequence[Any], options: _Options) -> Picture:
    from memprobe.heap import Heap

    objs = [obj.obj if isinstance(obj, _Same) else obj for obj in objs]
    if not objs:
        raise TypeError("which objects? Give at least one, or nodes of a heap.")
    for name in ("depth", "too_many"):
        if not isinstance(getattr(options, name), int) or getattr(options, name) < 0:
            raise ValueError(f"{name} must be an int of 0 or more, not {getattr(options, name)!r}.")
    if options.max_nodes is not None and (not isinstance(options.max_nodes, int) or options.max_nodes < 1):
        raise ValueError(f"max_nodes must be an int of 1 or more, or None, not {options.max_nodes!r}.")
    if isinstance(objs[0], Node):
        heap = objs[0].heap
        if not all(isinstance(obj, Node) and obj.heap is heap for obj in objs):
            raise TypeError("nodes of different heaps are in no one picture: draw each heap's own.")
        return _Drawing(heap, None, options).draw([node.id for node in objs])
    if any(isinstance(obj, Node) for obj in objs):
        raise TypeError("living objects and nodes of a heap are in no one picture: draw one, then the other.")
    limit = -1 if options.filter else max(options.too_many, EXPANDED) if options.merge else options.too_many
    (graph, held), starts = _core.hold_around(tuple(objs), options.depth, options.back, options.housekeeping, options.weak, limit)
    return _Drawing(Heap(graph), held, options).draw(starts)


@dataclass(frozen=True)
class _Between:
    """An edge of the picture: one of the references that it stands for, and of how many members of a merged node it is."""

    holder: int
    target: int
    part: str = ""  # "3 of 402"
    fallback: str = ""  # the label where the extension has none: a step that is no reference of the picture
    silent: bool = False  # the merged node says it


class _Drawing:
    """One picture in the making. Its nodes are objects, or several that are merged: then by the id of the first."""

    def __init__(self, heap: Heap, held: dict[int, Any] | None, options: _Options) -> None:
        self.heap, self.graph, self.held, self.options = heap, heap._graph, held, options
        self.depth: dict[int, int] = {}  # the nodes of the picture
        self.members: dict[int, tuple[int, ...]] = {}  # of a merged node
        self.merged: dict[int, str] = {}  # how they refer, or are referred to
        self.node_of: dict[int, int] = {}  # the node of the picture that an object is in
        self.edges: dict[tuple[int, int], _Between] = {}
        self.gaps: dict[tuple[int, int], tuple[int, str, str]] = {}  # steps left out of a path, labels into and out of them
        self.folded: set[int] = set()  # the last of them
        self.more: dict[int, int] = {}
        self.unsaid = 0  # references hidden where there was no room for a node that says so

    def draw(self, starts: Iterable[int]) -> Picture:
        """Choose, then write."""
        self.choose(starts)
        ids = tuple(self.depth)
        cycle = dict(zip(ids, _core.components(self.graph, ids, self.options.housekeeping), strict=True))
        lines = [HEAD]
        lines += (self.node(id) for id in ids)
        lines += (self.edge(holder, target, cycle[holder] == cycle[target] < 0xFFFFFFFF) for holder, target in self.edges)
        lines += (self.rest(id, hidden) for id, hidden in self.more.items())
        lines += (self.gap(ends, *gap) for ends, gap in self.gaps.items())
        return Picture("".join((*lines, "}\n")), len(ids), len(self.edges), sum(self.more.values()) + self.unsaid)

    # ---- choose ----

    def choose(self, starts: Iterable[int]) -> None:
        """What names the objects; then breadth first, to the depth, of each node `too_many` neighbours."""
        for id in starts:
            self.add((id,), 0)
        if self.options.back:
            for id in tuple(self.depth):
                self.add_name(id)
        for level in range(self.options.depth):
            for id in [id for id, depth in self.depth.items() if depth == level]:
                if not self.ends(id):
                    self.expand(id)

    def add(self, members: tuple[int, ...], depth: int) -> None:
        id = members[0]
        self.depth[id] = min(depth, self.depth.get(id, depth))
        self.node_of.update(dict.fromkeys(members, id))
        if len(members) > 1:
            self.members[id] = members

    def room(self) -> float:
        most = self.options.max_nodes
        return float("inf") if most is None else most - len(self.depth) - len(self.more) - len(self.gaps)

    # ---- the path that names an object ----

    def add_name(self, start: int) -> None:
        steps = _names.steps(self.heap, [start])[0]
        path = self.shown_path(steps)
        if self.edges and self.room() < len(path):
            return  # another object's path is there, and this one leaves no room
        for place, at in enumerate(path):
            self.add((steps.ids[at],), len(path) - 1 - place)
        for before, at in pairwise(path):
            ends = steps.ids[before], steps.ids[at]
            folded = _is_namespace(steps.label(before))
            if at - before == 1 + (folded and at - before > 1):
                self.edges.setdefault(ends, _Between(*ends, fallback=self.label_to(steps, at)))
            else:
                self.gaps[ends] = (
                    self.between(steps, before, at),
                    self.label_to(steps, before + 1 + folded),
                    self.label_to(steps, at),
                )
                self.folded.update(steps.ids[max(at - 2, before + 1) : at])

    @staticmethod
    def label_to(steps: _names.Steps, at: int) -> str:
        """By what the step before refers to this one; of a namespace, its owner."""
        label = steps.label(at - 1)
        return str(label) if at < 2 or not _is_namespace(steps.label(at - 2)) else _as_attribute(label)

    def between(self, steps: _names.Steps, before: int, at: int) -> int:
        """How many objects are left out between two steps: namespaces are no objects of a picture."""
        near = range(before, min(before + WINDOW, at))
        if not any(_is_namespace(steps.label(step)) for step in near):
            return at - before - 1
        return at - before - 1 - sum(_is_namespace(steps.label(step)) for step in range(before, at - 1))

    def shown_path(self, steps: _names.Steps) -> list[int]:
        """The steps that are drawn: from where the name begins, without namespaces and what is denied, and long parts folded."""
        count = len(steps.ids)
        ends = range(count) if count <= 2 * WINDOW else (*range(WINDOW), *range(count - WINDOW, count))
        path = [at for at in ends if at in (0, count - 1) or not _is_namespace(steps.label(at - 1))]
        path = path[self.beginning(steps, path) :]
        denied = [place for place, at in enumerate(path[:-1]) if not self.wanted(steps.ids[at])]
        path = path[denied[-1] + 1 :] if denied else path
        labels = [self.label_to(steps, at) for at in path[1:]]  # by what each refers to the next
        kinds = [(self.graph.node(steps.ids[at])[1], label) for at, label in zip(path, [*labels, ""], strict=True)]
        shown: list[int] = []
        for _, run in groupby(range(len(path)), lambda place: kinds[place]):
            places = list(run)
            shown += [path[at] for at in (places if len(places) <= LONG_RUN else [*places[:END], *places[-END:]])]
        return shown if len(shown) <= LONG_PATH else [*shown[:END], *shown[-END:]]

    def beginning(self, steps: _names.Steps, path: list[int]) -> int:
        """The place in `path` of a thread's frame or a root group; of the module or class that a root group has."""
        nodes = [self.heap.node(steps.ids[at]) for at in path]
        first = next((place for place, node in enumerate(nodes) if "synthetic" not in node.flags), len(nodes))
        if first < 2:
            return first if first < len(nodes) else 0  # the super-root is no part of a picture
        named = (place for place in (first, first + 1) if nodes[place : place + 1] and nodes[place].flags & {"module", "type"})
        return next(named, first - 1) if nodes[first - 1].type == "<root>" else first - 1

    # ---- neighbours ----

    def expand(self, id: int) -> None:
        """Draw the neighbours of a node, at most `too_many` and as long as there is room; first those that are drawn already."""
        options, back = self.options, self.options.back
        members = self.members.get(id, (id,))
        found: dict[int, list[int]] = {}
        for member in members[:EXPANDED]:
            for other in _core.neighbours(self.graph, member, back, options.housekeeping, options.weak):
                found.setdefault(other, []).append(member)
        left_out = self.folded - self.node_of.keys() if back else ()
        wanted = {other: by for other, by in found.items() if other not in left_out and self.wanted(other)}
        rows = sorted(self.together(wanted), key=lambda row: row[0] not in self.node_of)
        drawn = hidden = 0
        for place, row in enumerate(rows):
            other = row[0]
            is_new = other not in self.node_of
            if drawn >= options.too_many or (is_new and self.room() < 1 + (place + 1 < len(rows) or hidden > 0)):
                hidden += len(row)
                continue
            drawn += 1
            self.add(row if is_new else (self.node_of[other],), self.depth[id] + 1)
            merges = is_new and len(row) > 1
            if merges:
                self.merged[other] = self.alike(other, wanted[other][0])
            node, member = self.node_of[other], wanted[other][0]
            concerned = {one for each in row for one in wanted[each]}
            part = "" if node == id else self.part(members, concerned) or self.part(self.members.get(node, row), row)
            ends = (node, id) if back else (id, node)
            self.edges.setdefault(ends, _Between(*((other, member) if back else (member, other)), part, silent=merges))
        if hidden and self.room() >= 1:
            self.more[id] = hidden
        else:
            self.unsaid += hidden

    @staticmethod
    def part(members: Sequence[int], some: Collection[int]) -> str:
        return f"{number(len(some))} of {number(len(members))}" if len(some) < min(len(members), EXPANDED) else ""

    def together(self, found: dict[int, list[int]]) -> Iterable[tuple[int, ...]]:
        """The neighbours by nodes of the picture: those that are in one already, those that are alike, each of the others."""
        kinds: dict[object, list[int]] = {}
        alike = self.options.merge and len(found) > ALIKE
        labels = {} if self.options.back or not alike else self.labels_out({member for by in found.values() for member in by[:1]})
        for place, (other, by) in enumerate(found.items()):
            kind: object = self.node_of.get(other)
            if kind is None and alike and place < COMPARED and self.can_merge(other):
                words = self.alike(other, by[0]) if self.options.back else labels.get((by[0], other), "")
                kind = (self.graph.node(other)[1], words)
            kinds.setdefault(("one", other) if kind is None else kind, []).append(other)
        for kind, others in kinds.items():
            if isinstance(kind, int) or len(others) > ALIKE:
                yield tuple(others)
            else:
                yield from ((other,) for other in others)

    def can_merge(self, id: int) -> bool:
        named = self.heap.node(id).flags & {"module", "type"}
        return not named and not (self.options.highlight and self.options.highlight(self.thing(id)))

    def alike(self, other: int, member: int) -> str:
        """By what a neighbour refers, or is referred to, without indices and keys."""
        holder, target = (other, member) if self.options.back else (member, other)
        rows, _ = _core.between(self.graph, holder, target, self.options.housekeeping, self.options.weak, LABELS)
        return ", ".join(dict.fromkeys(self.masked(row, holder, target) for row in rows))

    def masked(self, row: EdgeRow, holder: int, target: int) -> str:
        """The label without index and key; an attribute whose name is not known is like no other."""
        if row[2] in ("value", "index") and row[0] == holder:
            return "[…]"  # without looking for the key, which would be quadratic
        if row[2] == "value" and row[5] is None:
            return f"<attribute {row[7]}>"
        return _names.masked(self.word(row, holder, target), keys=True)

    def labels_out(self, holders: Iterable[int]) -> dict[tuple[int, int], str]:
        """The same for all that some nodes refer to, each reference looked at once."""
        found: dict[tuple[int, int], dict[str, None]] = {}
        for holder in holders:
            rows = self.graph.edges_out(holder, 2 * COMPARED)
            spaces = [row[0] for row in rows if _is_namespace(Label.of(row))]
            for owner, row in [(holder, row) for row in rows] + [
                (space, row) for space in spaces for row in self.graph.edges_out(space, 2 * COMPARED)
            ]:
                if row[2] != "key" and (self.options.housekeeping or not row[4]):
                    word = self.masked((owner, *row[1:]), holder, row[0])
                    found.setdefault((holder, row[0]), {})[word] = None
        return {ends: ", ".join(words) for ends, words in found.items()}

    def ends(self, id: int) -> bool:
        """Is it a root, where a way back ends?"""
        return self.options.back and self.depth[id] > 0 and bool({"module", "synthetic"} & self.heap.node(id).flags)

    def thing(self, id: int) -> Any:
        """What the functions that were given see: the object or the node; the node for a thread or frame of a living heap."""
        return self.heap.node(id) if self.held is None else self.held.get(id, self.heap.node(id))

    def wanted(self, id: int) -> bool:
        return self.options.filter is None or bool(self.options.filter(self.thing(id)))

    # ---- as text ----

    def node(self, id: int) -> str:
        node, members = self.heap.node(id), self.members.get(id)
        title, *more = (self.title(node), *self.lines(node)) if members is None else self.merged_lines(node, members)
        label = f"<b>{_safe(title)}</b>" + "".join(
            f'<br/><font point-size="9">{_safe(line)}</font>' for line in more if line.strip()
        )
        return f"  n{id} [label=<{label}>, {STYLES[self.style(node)]}];\n"

    def title(self, node: Node) -> str:
        if node.type in _RUN:
            return _what(self.graph.what(node.id))
        if "synthetic" in node.flags:
            return node.text or node.type.strip("<>")
        named = node.text if node.flags & {"module", "type"} else None
        return f"{node.type.rpartition('.')[2]}{f' {_cut(named)}' if named else ''}"

    def merged_lines(self, node: Node, members: tuple[int, ...]) -> Iterable[str]:
        words = re.sub(r"<attribute \d+>", "<attribute>", self.merged[node.id])
        yield f"{number(len(members))} {_plural_type(node.type)}{f', {_cut(words)}' if words else ''}"
        if node.type in _RUN:
            said = {self.graph.what(id) for id in members[:EXPANDED]}
            if len(said) == 1 and len(members) <= EXPANDED:
                yield _what(said.pop()).partition(" ")[2]
        if self.options.sizes and "synthetic" not in node.flags:
            yield size(sum(self.graph.node(id)[2] for id in members))

    def lines(self, node: Node) -> Iterable[str]:
        options, obj = self.options, None if self.held is None else self.held.get(node.id)
        if "synthetic" in node.flags:
            return
        value = _value(obj) if node.id in (self.held or ()) else _text(node)
        if value:
            yield value
        about = [size(node.size)] if options.sizes and node.size else []  # static objects own no memory
        if options.retained and self.heap.retained(node) > node.size:
            about.append(f"{size(self.heap.retained(node))} retained")
        if options.refcounts:
            about.append("immortal" if "immortal" in node.flags else _plural(self.references_to(node), "reference"))
        if about:
            yield ", ".join(about)
        made = _core.allocated(obj) if obj is not None else None
        if made:
            yield f"made in {os.path.basename(made[0][0])}:{made[0][1]}"
        if options.extra_info:
            yield from str(options.extra_info(self.thing(node.id))).split("\n")

    def references_to(self, node: Node) -> int:
        return node.residual + sum(not row[3] for row in self.graph.edges_in(node.id))

    def style(self, node: Node) -> str:
        if self.depth[node.id] == 0:
            return "asked"
        if self.options.highlight and self.options.highlight(self.thing(node.id)):
            return "highlight"
        if "synthetic" in node.flags:
            return "root"
        if "unreachable" in node.flags:
            return "garbage"
        if "module" in node.flags:
            return "module"
        return "code" if "type" in node.flags or node.type in ("function", "method", "code", "cell") else "plain"

    def words(self, holder: int, target: int, housekeeping: bool = False) -> tuple[list[str], int, bool]:
        """What the references from one object to another are called, how many there are, and whether all are weak."""
        options = self.options
        rows, count = _core.between(self.graph, holder, target, options.housekeeping or housekeeping, options.weak, LABELS)
        weak = bool(rows) and all(row[3] for row in rows)
        return list(dict.fromkeys(_cut(self.word(row, holder, target)) for row in rows)), count, weak

    def edge(self, holder: int, target: int, in_cycle: bool) -> str:
        edge = self.edges[holder, target]
        words, count, weak = self.words(edge.holder, edge.target)
        if not count and edge.fallback:
            words, count, weak = self.words(edge.holder, edge.target, True)
            words = words if count else [edge.fallback]
        if count > LABELS:
            words.append(f"{number(count - LABELS)} more")
        if holder in self.members or target in self.members:
            words = [] if edge.silent else list(dict.fromkeys(_names.masked(word, keys=True) for word in words))
        text = ", ".join(filter(None, words))
        attributes = [f'label="{_quoted(": ".join(filter(None, (edge.part, text))))}"']
        if weak:
            attributes.append("style=dashed")
        elif in_cycle:
            attributes.append('color="#cf222e", fontcolor="#cf222e", penwidth=1.8')
        return f"  n{holder} -> n{target} [{', '.join(attributes)}];\n"

    def word(self, row: EdgeRow, holder: int, target: int) -> str:
        """A label as a program has it: what is in a namespace is an attribute, and a key that a file would mask is known here. The
        row's node is the holder or its namespace."""
        label = Label.of(row)
        if label.kind in ("child", "element") or (label.kind == "offset" and self.heap.node(holder).type in ("set", "frozenset")):
            return ""
        if row[0] != holder and label.kind == "value" and label.name is not None:
            return _as_attribute(label)
        owner: Any = self.held.get(holder) if self.held else None
        if label.startswith("[<") and issubclass(type(owner), dict) and target in (self.held or ()):
            for key, value in dict.items(owner):
                if value is (self.held or {})[target] and type(key).__name__ == label[2:-2] and type(key) in _SIMPLE:
                    return f"[{key[:LONGEST]!r}]" if isinstance(key, (str, bytes)) else f"[{_value(key)}]"
        return str(label)

    def rest(self, id: int, hidden: int) -> str:
        ends = f"n{id}_more -> n{id}" if self.options.back else f"n{id} -> n{id}_more"
        return (
            f'  n{id}_more [label="{number(hidden)} more", shape=plaintext, style="", fontcolor="#cf222e"];\n'
            f'  {ends} [style=dotted, color="#cf222e"];\n'
        )

    @staticmethod
    def gap(ends: tuple[int, int], hidden: int, first: str, last: str) -> str:
        holder, target = ends
        name = f"n{holder}_to_n{target}"
        return (
            f'  {name} [label="… {number(hidden)} more", shape=plaintext, style="", fontcolor="#768390"];\n'
            f'  n{holder} -> {name} [style=dotted, label="{_quoted(_cut(first))}"];\n'
            f'  {name} -> n{target} [style=dotted, label="{_quoted(_cut(last))}"];\n'
        )


_SIMPLE = (str, bytes, int, float, bool)

# ---- words ------------------------------------------------------------------------------------------------------------


# What runs, or can: what it is is said in the words of the namer.
_RUN = frozenset(("function", "method", "frame", "<frame>", "generator", "coroutine", "async_generator"))
_PLACE = re.compile(r"\(([^()]*):(\d+)\)$")


def _what(text: str) -> str:
    """What the namer says of it, as "coroutine main (app.py:5)": without folders, and its name cut before its place."""
    text = text.replace("<frame>", "frame", 1)
    place = _PLACE.search(text)
    if place is None:
        return _cut(text)
    return f"{_cut(text[: place.start()].rstrip())} ({os.path.basename(place[1])}:{place[2]})"


def _plural_type(name: str) -> str:
    last = name.strip("<>").rpartition(".")[2]
    return f"{last}s" if last.islower() and not last.endswith("s") else f"{last} objects"


def _as_attribute(label: Label) -> str:
    """What is in a namespace, as its owner's."""
    named = label.kind == "value" and label.name is not None and label.name.isidentifier()
    return f".{label.name}" if named else str(label)


def _is_namespace(label: Label) -> bool:
    return label.kind == "field" and label.name == "__dict__"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _plural(count: int, word: str) -> str:
    return f"{number(count)} {word}{'s' * (count != 1)}"


def _text(node: Node) -> str:
    return "" if node.text is None or node.flags & {"module", "type"} or node.type in _RUN else _cut(repr(node.text[: LONGEST + 1]))


def _value(obj: Any) -> str:
    """What a living object contains, in a line; nobody's code runs for it."""
    kind = type(obj)
    if kind in (str, bytes):
        return _cut(repr(obj[: LONGEST + 1]))
    if kind is int:
        return f"{obj}" if obj.bit_length() < 100 else f"{obj.bit_length()} bits"
    if kind in (float, complex, bool):
        return repr(obj)
    if kind in (list, tuple, dict, set, frozenset, deque, bytearray):
        return _plural(len(obj), "item")
    if kind is FunctionType:
        return f"{os.path.basename(obj.__code__.co_filename)}:{obj.__code__.co_firstlineno}"
    return ""


# What is not a character of XML: controls, half surrogates, non-characters.
_FORBIDDEN = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010fffd]")


def _safe(text: str) -> str:
    """Text within an HTML-like label."""
    return escape(_FORBIDDEN.sub("\ufffd", text).replace("\n", " "))


def _quoted(text: str) -> str:
    """Text within double quotes."""
    return _FORBIDDEN.sub("\ufffd", text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
