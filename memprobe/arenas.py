"""Fragmentation of Python's own allocator: arenas that are thinly filled, and whose objects keep them from being given back."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memprobe import _names
from memprobe._readable import Json, Readable
from memprobe._text import number, size
from memprobe.balance import is_worth

if TYPE_CHECKING:
    from memprobe.heap import Heap

ARENA = 1 << 20  # bytes of one, and what is given back at once
PAGE = 4096
SPARSE = 4  # an arena is thinly filled when less than a quarter is in use
SHOWN = 3  # variables that a line has, ...
PINS = 0.2  # ... which have an object in that share of the thinly filled arenas


@dataclass(frozen=True, repr=False)
class Survivor(Readable):
    """A variable whose objects lie in thinly filled arenas: `objects` of `bytes`, most of which are of `count` objects of `type`.
    It has one in `arenas` of these, and in `alone` no other variable has one. `node` is the id of what the variable has."""

    name: str
    type: str
    count: int
    objects: int
    bytes: int
    arenas: int
    alone: int
    node: int

    def to_dict(self) -> Json:
        """The fields by name."""
        return dict(vars(self))

    def __str__(self) -> str:
        return f"{self.name} ({number(self.count)} {self.type})"


@dataclass(frozen=True, repr=False)
class Fragmentation(Readable):
    """Arenas of Python's allocator, of 1 MiB each: how many there are (`count`; None: the snapshot does not know), how many of them
    are `sparse` (less than a quarter is in use), how many bytes are in use of these, and which variables have objects there, most
    arenas first. `empty` of the sparse ones have no object: buffers, or what C code has."""

    count: int | None
    sparse: int
    sparse_used_bytes: int
    empty: int
    rows: tuple[Survivor, ...]

    @property
    def wasted_bytes(self) -> int:
        """What is not in use of the thinly filled arenas."""
        return self.sparse * ARENA - self.sparse_used_bytes

    def to_dict(self) -> Json:
        """{count, sparse, sparse_used_bytes, empty, wasted_bytes, rows: [Survivor.to_dict()]}."""
        counts = {"count": self.count, "sparse": self.sparse, "sparse_used_bytes": self.sparse_used_bytes, "empty": self.empty}
        return {**counts, "wasted_bytes": self.wasted_bytes, "rows": [row.to_dict() for row in self.rows]}

    def matters(self, resident: int | None) -> bool:
        """Whether it is worth a line on a first screen."""
        return is_worth(self.wasted_bytes, resident or 0)

    def brief(self) -> str:
        """One line: how much for how little, and what pins it."""
        whole = (
            f"{size(self.sparse * ARENA)} of Python's arenas are less than a quarter full: {size(self.sparse_used_bytes)} in use"
        )
        pins = [row for row in self.rows[:SHOWN] if row.arenas >= PINS * self.sparse]
        if not pins:
            return f"{whole}, of no variable in particular."
        return f"{whole}. What pins them: {', '.join(f'{row}, in {100 * row.arenas / self.sparse:.0f} %' for row in pins)}."

    def __str__(self) -> str:
        if self.count is None:
            return "This snapshot does not know how full Python's arenas are."
        if not self.sparse:
            return f"None of the {number(self.count)} arenas of Python's allocator is less than a quarter full."
        return self.brief()


def fragmentation(heap: Heap, limit: int) -> Fragmentation:
    """For Heap.fragmentation(). The names are looked for in a heap that has thinly filled arenas alone."""
    arenas = _arenas(heap)
    if arenas is None:
        return Fragmentation(None, 0, 0, 0, ())
    sparse = [(begin, used) for begin, used in arenas if used * SPARSE < ARENA]
    if not sparse:
        return Fragmentation(len(arenas), 0, 0, 0, ())
    empty, rows = heap._graph.survivors(array("Q", [begin for begin, _ in sparse]), ARENA, limit)
    names = _names.names(heap, [row[0] for row in rows])
    made = tuple(Survivor(name, *row[1:], row[0]) for name, row in zip(names, rows, strict=True))
    return Fragmentation(len(arenas), len(sparse), sum(used for _, used in sparse), empty, made)


def _arenas(heap: Heap) -> list[tuple[int, int]] | None:
    """Where each begins, and the bytes in use of it: docs/FORMAT.md, mem_arenas."""
    text = heap._graph.infos().get("mem_arenas")
    if not isinstance(text, str):
        return None
    found, begin = [], 0
    for word in text.split():
        pages, _, used = word.partition(":")
        begin += int(pages, 16) * PAGE
        found.append((begin, int(used, 16) * 1024))
    return found
