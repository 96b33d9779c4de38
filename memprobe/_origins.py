"""Where objects were made: what a snapshot has of tracemalloc's answers (src/cpython/origins.h), and what they say of many objects.

Only a sample was asked about: "118 of 120 asked" is of that sample, and of the objects that tracemalloc had seen being made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memprobe._readable import Row
from memprobe._text import number

if TYPE_CHECKING:
    from memprobe.heap import Heap

LIBRARY = re.compile(r"[/\\](?:site|dist)-packages[/\\]|[/\\]lib(?:64)?[/\\]python3\.\d+t?[/\\]|^<frozen ")
MOST = 0.75  # of those asked: one line that made so many is named alone
NAMED = 2  # lines that are named otherwise
REAL = 1 << 48  # addresses of objects are below


@dataclass(frozen=True)
class MadeAt(Row):
    """A line that made objects of a row: `count` of the `asked` objects of `type`. `place` is "file:line" as tracemalloc has it;
    where it is of a library and tracemalloc kept more frames, `caller` is the nearest of them that is not, else None."""

    type: str
    place: str
    caller: str | None
    count: int
    asked: int


class Origins:
    """The objects of a heap that tracemalloc knew."""

    __slots__ = ("_traces", "nodes")

    def __init__(self, heap: Heap) -> None:
        self._traces: dict[int, tuple[str, str | None]] = {}  # by node: the line, and its caller
        with suppress(ValueError, IndexError):  # the file is nobody's word: what can be read is used
            for address, where in _told(heap._graph.infos()):
                node = heap._graph.at(address)
                if node is not None:
                    self._traces[node] = where
        self.nodes = tuple(sorted(self._traces))

    def made_at(self, heap: Heap, nodes: Iterable[int], types: Sequence[str]) -> tuple[MadeAt, ...]:
        """The line that made most of these nodes, of the first of `types` that any of them has, else of the type of most of them;
        where none made nearly all, the two most frequent. Nothing for no node."""
        by_type: dict[str, Counter[tuple[str, str | None]]] = {}
        for node in nodes:
            by_type.setdefault(heap._graph.node(node)[1], Counter())[self._traces[node]] += 1
        if not by_type:
            return ()
        type = next((type for type in types if type in by_type), max(by_type, key=lambda type: sum(by_type[type].values())))
        found = by_type[type]
        total = sum(found.values())
        return _most([MadeAt(type, line, caller, count, total) for (line, caller), count in found.items()])


def of(heap: Heap) -> Origins:
    """Those of a heap, read once."""
    return heap._once(Origins)


def merged(parts: Iterable[tuple[MadeAt, ...]]) -> tuple[MadeAt, ...]:
    """Of several rows that are shown as one: of the type of which most was asked."""
    known = [rows for rows in parts if rows]
    asked: Counter[str] = Counter()
    for rows in known:
        asked[rows[0].type] += rows[0].asked
    if not asked:
        return ()
    (type, total), *_ = asked.most_common(1)
    lines: Counter[tuple[str, str | None]] = Counter()
    for row in (row for rows in known for row in rows if row.type == type):
        lines[row.place, row.caller] += row.count
    return _most([MadeAt(type, line, caller, count, total) for (line, caller), count in lines.items()])


def text(rows: Sequence[MadeAt]) -> str:
    """'dict: made at app.py:41 (118 of 120 asked)'; rows are not empty."""
    first, *rest = rows
    others = "".join(f" and {_place(row)} ({number(row.count)})" for row in rest)
    return f"{first.type}: made at {_place(first)} ({number(first.count)} of {number(first.asked)} asked){others}"


def _place(row: MadeAt) -> str:
    return row.place if row.caller is None else f"{row.place}, called from {row.caller}"


def _most(rows: Sequence[MadeAt]) -> tuple[MadeAt, ...]:
    ordered = sorted(rows, key=lambda row: (-row.count, row.place, row.caller or ""))
    return tuple(ordered[: 1 if ordered[0].count >= MOST * ordered[0].asked else NAMED])


def _caller(frames: Sequence[str]) -> str | None:
    if not LIBRARY.search(frames[0]):
        return None
    return next((line for line in frames[1:] if not LIBRARY.search(line)), None)


def _told(facts: Mapping[str, int | str]) -> Iterator[tuple[int, tuple[str, str | None]]]:
    """Addresses with lines and callers, from the facts of docs/FORMAT.md. ValueError or IndexError for what is none of that."""
    lines, rows = str(facts.get("origins_lines", "")).split("\n"), str(facts.get("origins_objects", ""))
    for row in rows.split("\n") if rows else ():
        trace, *distances = row.split(" ")
        frames = [lines[int(index, 16)] for index in trace.split(",")]
        where, address = (frames[0], _caller(frames)), 0
        for distance in distances:
            address += 8 * int(distance, 16)
            if not 0 <= address < REAL:
                raise ValueError(address)
            yield address, where
