"""Pieces of memory that a snapshot has noted, and the variables whose objects lie in them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memprobe import _names
from memprobe._readable import Json, Readable
from memprobe._text import counted

if TYPE_CHECKING:
    from memprobe.heap import Heap

PAGE = 4096


def places(heap: Heap, fact: str) -> list[tuple[int, ...]] | None:
    """Where each piece begins, and the numbers that are known of it (docs/FORMAT.md, mem_arenas and its like); None without the
    fact."""
    text = heap._graph.infos().get(fact)
    if not isinstance(text, str):
        return None
    found, begin = [], 0
    for word in text.split():
        pages, *numbers = (int(digits, 16) for digits in word.split(":"))
        begin += pages * PAGE
        found.append((begin, *numbers))
    return found


Row = tuple[str, str, int, int, int, int, int, int]


@dataclass(frozen=True, repr=False)
class Variable(Readable):
    """A variable that has objects in some pieces: `objects` of `bytes`, most of which are of `count` objects of `type`."""

    name: str
    type: str
    count: int
    objects: int
    bytes: int

    def to_dict(self) -> Json:
        """The fields by name."""
        return dict(vars(self))

    def __str__(self) -> str:
        return f"{self.name} ({counted(self.count, self.type)})"


def survivors(heap: Heap, begins: Sequence[int], size: int, limit: int) -> tuple[int, list[Row]]:
    """Of pieces of `size` bytes, ascending: how many have no object; and at most `limit` variables that have objects there, most
    pieces first: (name, type, objects of it, objects, bytes, pieces, pieces that no other has one in, node)."""
    if not begins:
        return 0, []
    empty, rows = heap._graph.survivors(array("Q", begins), size, limit)
    names = _names.names(heap, [row[0] for row in rows])
    return empty, [(name, *row[1:], row[0]) for name, row in zip(names, rows, strict=True)]


def noted(heap: Heap, begins: Sequence[int] | None, size: int) -> int:
    """How many of some pieces (None: of all) a collection writes to: they have objects that the collector tracks."""
    return heap._graph.noted(None if begins is None else array("Q", begins), size)
