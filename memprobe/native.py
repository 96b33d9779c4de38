"""Native blocks: memory of malloc and of Python's own allocator that no object has; and those of them that are lost."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memprobe import _text
from memprobe._readable import Json, Readable, Row
from memprobe._symbols import resolve
from memprobe._text import number, size
from memprobe.errors import Error

if TYPE_CHECKING:
    from memprobe.heap import Heap
    from memprobe.results import Node

LOST = "<lost native memory>"  # the root group of what nothing refers to, as it is called
FOUND = ("native", "doubted")  # kinds of labels of references that were found in memory
UNKNOWN = "native blocks are not known: take the snapshot with --native, of a process that can fork"


def is_known(heap: Heap) -> bool:
    """Whether the heap knows of native blocks."""
    return "native_blocks" in heap._graph.infos()


@dataclass(frozen=True, repr=False)
class Blocks(Row):
    """Native blocks that begin alike and have one size: `count` of `size` bytes, `bytes` in all. `begins` is what their first
    word leads to, a place in a program or library, "libssl.so.3+0x1a0", or None: it leads to none. `symbol` is what the library
    calls that place, "vtable for Session", where its file is here and says so. `before` of them were lost in an older heap, too,
    where one was asked for. `node` is the id of one of them."""

    begins: str | None
    symbol: str | None
    size: int
    count: int
    bytes: int
    before: int | None
    node: int

    @property
    def place(self) -> str:
        """`begins` by its symbol, "libssl.so.3: vtable for Session"; "" where it leads to none."""
        return named(self.begins, self.symbol)

    def __str__(self) -> str:
        known = "" if self.begins is None else f", beginning in {self.place}"
        return f"{number(self.count)} block{'s'[: self.count != 1]} of {size(self.size)}{known}"


@dataclass(frozen=True, repr=False)
class BlockTable(Readable):
    """Native blocks by what they begin with and their size, most bytes first: `rows` are the first `limit` of `every`. `blocks`
    and `bytes` are of all; None where the heap does not know of native blocks. `estimated_bytes` of the heap's are in slots of
    other allocators (jemalloc, mimalloc), as large as the slots are: one to which an object, a block or a library refers is a
    block, and none is lost.

    Of those that are lost, nothing refers to them: no object, no other block that something refers to, no data of the program and
    its libraries, no stack. What refers to a block is found by looking for its address, so a stale one may keep it from being
    lost; with an older heap of the process, those that were lost in it, too, come first, and `before_blocks` and `before_bytes`
    are of them."""

    blocks: int | None
    bytes: int | None
    every: tuple[Blocks, ...]
    limit: int | None
    lost: bool
    before_blocks: int | None = None
    before_bytes: int | None = None
    estimated_bytes: int = 0

    @property
    def rows(self) -> tuple[Blocks, ...]:
        """The first `limit`."""
        return self.every[: self.limit]

    @property
    def headers(self) -> tuple[str, ...]:
        """Of cells()."""
        before = () if self.before_blocks is None else ("lost before",)
        return ("begins in", "size", "blocks", "bytes", *before)

    def cells(self) -> list[tuple[str, ...]]:
        """The rows as text, one for what is beyond the limit, and one for all."""
        cells = [self._cell(row.place, size(row.size), row.count, row.bytes, row.before) for row in self.rows]
        rest = self.every[len(cells) :]
        if rest:
            before = sum(row.before or 0 for row in rest)
            cells.append(self._cell(f"… {number(len(rest))} more", "", sum(row.count for row in rest), _bytes(rest), before))
        cells.append(self._cell("all", "", self.blocks or 0, self.bytes or 0, self.before_blocks))
        return cells

    def _cell(self, begins: str, each: str, count: int, total: int, before: int | None) -> tuple[str, ...]:
        more = () if self.before_blocks is None else (number(before or 0),)
        return (begins, each, number(count), size(total), *more)

    def to_dict(self) -> Json:
        """{blocks, bytes, estimated_bytes, before_blocks, before_bytes, rows: [Blocks.to_dict()]}."""
        counts = {
            "blocks": self.blocks,
            "bytes": self.bytes,
            "estimated_bytes": self.estimated_bytes,
            "before_blocks": self.before_blocks,
            "before_bytes": self.before_bytes,
        }
        return {**counts, "rows": [row.to_dict() for row in self.rows]}

    def brief(self) -> str:
        """One line."""
        if self.blocks is None:
            return UNKNOWN
        words = f"{number(self.blocks)} native blocks of {size(self.bytes or 0)}"
        if not self.lost:
            estimated = f", {size(self.estimated_bytes)} of it estimated: in slots of jemalloc or mimalloc"
            return words + estimated * (self.estimated_bytes > 0)
        never = f"; of {size(self.estimated_bytes)} in slots of jemalloc or mimalloc that is not known" * (self.estimated_bytes > 0)
        if self.before_blocks is None:
            return (f"{words} are lost: nothing refers to them" if self.blocks else "no native block is lost") + never
        return f"{words} are lost, {size(self.before_bytes or 0)} of it in the older snapshot already{never}"

    def __str__(self) -> str:
        if not self.blocks:
            return self.brief()
        return "\n".join([self.brief(), _text.plain(self.headers, self.cells())])


# ---- who may hold an object --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class PossibleHolder(Readable):
    """A native block that has an object's address in it, so many bytes from its beginning: perhaps one of the references that C
    code holds, perhaps left behind. `owner` is the nearest that keeps the block and is none: an object, the data of a library, or
    what is lost; `name` is what it is called, `steps` how many blocks lie between. An object of a C type that tells no collector
    what it refers to may have the address itself: then it is owner and block, and `steps` is 0."""

    owner: Node
    name: str
    steps: int
    block: Node
    place: str

    def to_dict(self) -> Json:
        """{owner: id, name, steps, block: id, size, place}."""
        return {
            "owner": self.owner.id,
            "name": self.name,
            "steps": self.steps,
            "block": self.block.id,
            "size": self.block.size,
            "place": self.place,
        }

    def __str__(self) -> str:
        if self.steps == 0:
            return f"{self.name}: in the object itself at {self.place}"
        between = "" if self.steps == 1 else f", {number(self.steps - 1)} block{'s'[: self.steps != 2]} away"
        return f"{self.name}: in a native block of {size(self.block.size)} at {self.place}{between}"


def possible_holders(heap: Heap, node: Node) -> tuple[PossibleHolder, ...]:
    """For Heap.possible_holders()."""
    found = (edge for edge in node.referrers() if edge.label.kind in FOUND)
    return tuple(_holder(heap, edge.holder, str(edge.label)) for edge in found)


def _holder(heap: Heap, block: Node, place: str) -> PossibleHolder:
    """Up the dominator tree, to what is no block. What is lost has a root group above it."""
    at, steps = block, 0
    while "native" in at.flags:
        above = heap._graph.dominator(at.id)
        if above is None:
            break
        at, steps = heap.node(above), steps + 1
    name = at.text or at.type if "synthetic" in at.flags else heap.name(at)
    return PossibleHolder(at, name, steps, block, place)


# ---- of this process, now ----------------------------------------------------------------------------------------------------


def lost(*, limit: int | None = 20) -> BlockTable:
    """The native blocks of this process that nothing refers to, now: Heap.lost() of a snapshot that a forked child takes. What is
    lost in two of them was no accident of a moment. Raises memprobe.Error where there can be no such child."""
    return now().lost(limit=limit)


def now() -> Heap:
    """This process's heap with its native blocks. Only a forked child may look at them, for other threads use malloc meanwhile."""
    import tempfile

    from memprobe.heap import load, snapshot

    with tempfile.TemporaryDirectory(prefix="memprobe-") as folder:
        path = os.path.join(folder, "now.snap")
        done = snapshot(path, native=True)
        heap = load(path)
    if not is_known(heap):
        raise Error(f"Native blocks are not known: {done.reason or 'this process may not look at its own memory'}.")
    return heap


def nodes_of(heap: Heap, objects: Iterable[object]) -> list[Node]:
    """The nodes of living objects; ValueError for one that nothing holds that the walk sees."""
    nodes = [heap.at(id(one)) for one in objects]
    if any(node is None for node in nodes):
        raise ValueError("an object is in no container, frame or module that the walk sees: keep it in a variable.")
    return [node for node in nodes if node is not None]


def _bytes(rows: tuple[Blocks, ...]) -> int:
    return sum(row.bytes for row in rows)


def _name(kind: str) -> str | None:
    """From the name of a type of native blocks, "<libz.so.1+0x120>"."""
    return None if kind == "<native>" else kind.strip("<>")


def named(begins: str | None, symbol: str | None) -> str:
    """A place by the file and the symbol, or by the file and how far in it; "" for none."""
    return begins or "" if symbol is None else f"{(begins or '').rpartition('+')[0]}: {symbol}"


def table(heap: Heap, lost: bool, older: Heap | None, limit: int | None) -> BlockTable:
    """For Heap.native() and Heap.lost()."""
    if not is_known(heap):
        return BlockTable(None, None, (), limit, lost)
    found = heap._graph.native(lost) if older is None else heap._graph.native(lost, older._graph)
    symbols = resolve(heap, {row[0] for row in found})
    rows = []
    for kind, each, count, before, node in found:
        begins = _name(kind)
        symbol = symbols.get(begins or "")
        rows.append(Blocks(begins, symbol, each, count, each * count, None if older is None else before, node))
    old_count: int | None = None
    old_bytes: int | None = None
    if older is not None:
        rows.sort(key=lambda row: (-(row.before or 0) * row.size, -row.bytes))
        old_count, old_bytes = sum(row.before or 0 for row in rows), sum((row.before or 0) * row.size for row in rows)
    estimated = int(heap._graph.infos().get("native_estimated_bytes") or 0)
    count, total = sum(row.count for row in rows), _bytes(tuple(rows))
    return BlockTable(count, total, tuple(rows), limit, lost, old_count, old_bytes, estimated)
