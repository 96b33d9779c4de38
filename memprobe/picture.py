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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from types import FunctionType
from typing import TYPE_CHECKING, Any

from memprobe import _core
from memprobe._labels import EdgeRow
from memprobe._text import number, size
from memprobe.errors import Error
from memprobe.results import Json, Node

if TYPE_CHECKING:
    from memprobe.heap import Heap

MISSING = (
    "pictures need the package graphviz (`pip install graphviz`) and the program dot (`apt install graphviz`, "
    "`brew install graphviz`); the picture's source is in {}."
)
LONGEST = 40  # characters of a value or label
LABELS = 3  # shown of parallel edges

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
    `too_many` left out."""

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
    filename: str | os.PathLike[str] | None = None,
) -> Picture:
    """A picture of what objects refer to, and what that refers to, `depth` times. The objects are living ones, or nodes of one
    heap.

    `filter` leaves out what it denies, `highlight` colours, `extra_info` adds a line; they get what was given: objects, or nodes.
    Of an object's references `too_many` are drawn, and a node that says how many more there are. With `refcounts`, `sizes` and
    `retained`, nodes show their reference counts, bytes, and bytes that would be freed with them. Weak references are dashed,
    unless `weak` is false. `housekeeping` adds the references that every program has, such as from a function to its globals.

    When tracemalloc is tracing, a living object shows the line that made it. With a `filename` the picture is saved, too."""
    options = _Options(False, depth, too_many, filter, highlight, extra_info, refcounts, sizes, retained, weak, housekeeping)
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
    filename: str | os.PathLike[str] | None = None,
) -> Picture:
    """A picture of what refers to objects, and what refers to that, `depth` times; the rest as show_refs(). Modules, threads and
    other roots end the way."""
    options = _Options(True, depth, too_many, filter, highlight, extra_info, refcounts, sizes, retained, weak, housekeeping)
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

    given = {"depth": max(map(len, ways)), "too_many": sum(map(len, ways)), "filter": inside, "housekeeping": True, **options}
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


def _draw(objs: Sequence[Any], options: _Options) -> Picture:
    from memprobe.heap import Heap

    objs = [obj.obj if isinstance(obj, _Same) else obj for obj in objs]
    if not objs:
        raise TypeError("which objects? Give at least one, or nodes of a heap.")
    for name in ("depth", "too_many"):
        if not isinstance(getattr(options, name), int) or getattr(options, name) < 0:
            raise ValueError(f"{name} must be an int of 0 or more, not {getattr(options, name)!r}.")
    if isinstance(objs[0], Node):
        heap = objs[0].heap
        if not all(isinstance(obj, Node) and obj.heap is heap for obj in objs):
            raise TypeError("nodes of different heaps are in no one picture: draw each heap's own.")
        return _Drawing(heap, None, options).draw([node.id for node in objs])
    if any(isinstance(obj, Node) for obj in objs):
        raise TypeError("living objects and nodes of a heap are in no one picture: draw one, then the other.")
    limit = -1 if options.filter else options.too_many
    (graph, held), starts = _core.hold_around(tuple(objs), options.depth, options.back, options.housekeeping, options.weak, limit)
    return _Drawing(Heap(graph), held, options).draw(starts)


class _Drawing:
    """One picture in the making."""

    def __init__(self, heap: Heap, held: dict[int, Any] | None, options: _Options) -> None:
        self.heap, self.graph, self.held, self.options = heap, heap._graph, held, options
        self.depth: dict[int, int] = {}
        self.edges: dict[tuple[int, int], None] = {}
        self.more: dict[int, int] = {}

    def draw(self, starts: Iterable[int]) -> Picture:
        """Choose, then write."""
        self.choose(starts)
        ids = tuple(self.depth)
        circle = dict(zip(ids, _core.components(self.graph, ids, self.options.housekeeping), strict=True))
        lines = [HEAD]
        lines += (self.node(id) for id in ids)
        lines += (self.edge(holder, target, circle[holder] == circle[target] < 0xFFFFFFFF) for holder, target in self.edges)
        lines += (self.rest(id, hidden) for id, hidden in self.more.items())
        return Picture("".join((*lines, "}\n")), len(ids), len(self.edges), sum(self.more.values()))

    def choose(self, starts: Iterable[int]) -> None:
        """Breadth first, to the depth, of each node `too_many` neighbours."""
        options = self.options
        self.depth = dict.fromkeys(starts, 0)
        queue = deque(self.depth)
        while queue:
            id = queue.popleft()
            below = self.depth[id] + 1
            if below > options.depth or self.ends(id):
                continue
            found = _core.neighbours(self.graph, id, options.back, options.housekeeping, options.weak)
            shown = found if options.filter is None else [other for other in found if self.wanted(other)]
            for other in shown[: options.too_many]:
                self.edges[(other, id) if options.back else (id, other)] = None
                if other not in self.depth:
                    self.depth[other] = below
                    queue.append(other)
            if len(shown) > options.too_many:
                self.more[id] = len(shown) - options.too_many

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
        node = self.heap.node(id)
        lines = [f"<b>{_safe(self.title(node))}</b>", *map(_safe, self.lines(node))]
        label = lines[0] + "".join(f'<br/><font point-size="9">{line}</font>' for line in lines[1:] if line.strip())
        return f"  n{id} [label=<{label}>, {STYLES[self.style(node)]}];\n"

    def title(self, node: Node) -> str:
        if "synthetic" in node.flags:
            return node.text or node.type.strip("<>")
        named = node.text if node.flags & {"module", "type"} else None
        return f"{node.type.rpartition('.')[2]}{f' {_cut(named)}' if named else ''}"

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

    def edge(self, holder: int, target: int, circle: bool) -> str:
        rows, count = _core.between(self.graph, holder, target, self.options.housekeeping, self.options.weak, LABELS)
        weak = bool(rows) and all(row[3] for row in rows)
        words = list(dict.fromkeys(_cut(self.word(row, holder, target)) for row in rows))
        if count > LABELS:
            words.append(f"{count - LABELS} more")
        attributes = [f'label="{_quoted(", ".join(filter(None, words)))}"']
        if weak:
            attributes.append("style=dashed")
        elif circle:
            attributes.append('color="#cf222e", fontcolor="#cf222e", penwidth=1.8')
        return f"  n{holder} -> n{target} [{', '.join(attributes)}];\n"

    def word(self, row: EdgeRow, holder: int, target: int) -> str:
        """A label as a program has it: what is in a namespace is an attribute, and a key that a file would mask is known here."""
        label, kind = row[1], row[2]
        if kind in ("child", "element") or (kind == "offset" and self.heap.node(holder).type in ("set", "frozenset")):
            return ""
        if kind == "value" and self.heap.node(holder).type != "dict" and _is_attribute(label):
            return f".{label[2:-2]}"
        owner: Any = self.held.get(holder) if self.held else None
        if label.startswith("[<") and issubclass(type(owner), dict) and target in (self.held or ()):
            for key, value in dict.items(owner):
                if value is (self.held or {})[target] and type(key).__name__ == label[2:-2] and type(key) in _SIMPLE:
                    return f"[{key[:LONGEST]!r}]" if isinstance(key, (str, bytes)) else f"[{_value(key)}]"
        return label

    def rest(self, id: int, hidden: int) -> str:
        ends = f"n{id}_more -> n{id}" if self.options.back else f"n{id} -> n{id}_more"
        return (
            f'  n{id}_more [label="{number(hidden)} more", shape=plaintext, style="", fontcolor="#cf222e"];\n'
            f'  {ends} [style=dotted, color="#cf222e"];\n'
        )


_SIMPLE = (str, bytes, int, float, bool)

# ---- words ------------------------------------------------------------------------------------------------------------


def _is_attribute(label: str) -> bool:
    return label[:2] == "['" and label[2:-2].isidentifier()


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _plural(count: int, word: str) -> str:
    return f"{number(count)} {word}{'s' * (count != 1)}"


def _text(node: Node) -> str:
    return "" if node.text is None or node.flags & {"module", "type"} else _cut(repr(node.text[: LONGEST + 1]))


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
        return f"{_cut(obj.__qualname__)} ({os.path.basename(obj.__code__.co_filename)}:{obj.__code__.co_firstlineno})"
    return ""


# What is not a character of XML: controls, half surrogates, non-characters.
_FORBIDDEN = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010fffd]")


def _safe(text: str) -> str:
    """Text within an HTML-like label."""
    return escape(_FORBIDDEN.sub("\ufffd", text).replace("\n", " "))


def _quoted(text: str) -> str:
    """Text within double quotes."""
    return _FORBIDDEN.sub("\ufffd", text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
