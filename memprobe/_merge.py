"""Rows that read alike are one row: what has the same name and type is the same to a reader, whatever else differs.

All rows are merged and then cut, so that what one says does not depend on how many are wanted; of a diff at least the first
NAMED."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from memprobe import _origins, leaks, waste
from memprobe.leaks import BELOW, Below, Diff, DiffRow, Suspect, Suspects
from memprobe.waste import Waste, WasteRow

if TYPE_CHECKING:
    from memprobe.heap import Heap

Found = TypeVar("Found")

NAMED = 500  # rows of a diff that are looked at by name, where fewer are wanted


def suspects(heap: Heap, percent: float, limit: int | None, keep_stdlib: bool, native: bool) -> Suspects:
    """For Heap.suspects()."""
    found = leaks.suspects(heap, percent, keep_stdlib, native)
    rows = _merged(found.rows, lambda row: (row.kind, row.name, row.type), _suspect)
    rows = [replace(row, related=tuple(name for name in row.related if name != row.name)) for row in rows]
    return replace(found, rows=tuple(sorted(rows, key=lambda row: -row.bytes)[:limit]))


def wasted(heap: Heap, limit: int | None) -> Waste:
    """For Heap.waste()."""
    found = waste.waste(heap, limit)
    rows = sorted(_merged(found.rows, lambda row: (row.kind, row.name, row.type), _waste_row), key=lambda row: -row.bytes)
    return replace(found, rows=tuple(rows[:limit]))


def diff(heaps: Sequence[Heap], limit: int | None, native: bool) -> Diff:
    """For Heap.diff()."""
    grown = merged_diff(leaks.diff(heaps, None if limit is None else max(limit, NAMED), native))
    return replace(grown, rows=grown.rows[:limit], references=grown.references[:limit])


def merged_diff(grown: Diff) -> Diff:
    """A diff with one row for all that have the same name and type."""
    rows = _merged(grown.rows, lambda row: (row.name, row.type, row.in_use), _diff_row)
    if len(rows) == len(grown.rows):
        return grown
    rows.sort(key=lambda row: (row.in_use, -row.bytes))
    return replace(grown, rows=tuple(rows), found=grown.found - len(grown.rows) + len(rows))


def _merged(rows: Iterable[Found], key: Callable[[Found], Hashable], add: Callable[[list[Found]], Found]) -> list[Found]:
    alike: dict[Hashable, list[Found]] = {}
    for row in rows:
        alike.setdefault(key(row), []).append(row)
    return [add(same) if len(same) > 1 else same[0] for same in alike.values()]


def _suspect(rows: list[Suspect]) -> Suspect:
    """The biggest, with what all of them keep."""
    below: dict[str, tuple[int, int]] = {}
    for part in (part for row in rows for part in row.below):
        count, total = below.get(part.type, (0, 0))
        below[part.type] = count + part.count, total + part.bytes
    most = sorted((Below(type, *sums) for type, sums in below.items()), key=lambda part: -part.bytes)
    return replace(
        max(rows, key=lambda row: row.bytes),
        count=sum(row.count for row in rows),
        bytes=sum(row.bytes for row in rows),
        percent=sum(row.percent for row in rows),
        below=tuple(most[:BELOW]),
        parts=tuple(part for row in rows for part in row.parts),
        made_at=_origins.merged(row.made_at for row in rows),
        native_bytes=None if rows[0].native_bytes is None else sum(row.native_bytes or 0 for row in rows),
    )


def _waste_row(rows: list[WasteRow]) -> WasteRow:
    first = max(rows, key=lambda row: row.bytes)
    return replace(first, count=sum(row.count for row in rows), bytes=sum(row.bytes for row in rows))


def _diff_row(rows: list[DiffRow]) -> DiffRow:
    slopes = [row.slope for row in rows if row.slope is not None]
    news = [row.new for row in rows if row.new is not None]
    return replace(
        max(rows, key=lambda row: row.bytes),
        count=sum(row.count for row in rows),
        bytes=sum(row.bytes for row in rows),
        counts=tuple(map(sum, zip(*(row.counts for row in rows), strict=True))),
        sizes=tuple(map(sum, zip(*(row.sizes for row in rows), strict=True))),
        new=sum(news) if news else None,
        slope=sum(slopes) if slopes else None,
        owners=tuple(dict.fromkeys(owner for row in rows for owner in row.owners)),
        native_bytes=None if rows[0].native_bytes is None else sum(row.native_bytes or 0 for row in rows),
        made_at=_origins.merged(row.made_at for row in rows),
    )
