"""The verbs that say what leaks."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from memprobe import _text
from memprobe._select import Selection
from memprobe.cli import show
from memprobe.cli.files import chosen, opened, require_native, say_memory
from memprobe.cli.sentences import Cannot
from memprobe.heap import Heap
from memprobe.leaks import Diff, DiffRow, Suspect, Suspects
from memprobe.native import LOST
from memprobe.waste import Waste, WasteRow

Found = TypeVar("Found", DiffRow, WasteRow)
MOSTLY = 3  # types below a suspect that its text names


def suspects(options: argparse.Namespace) -> int:
    """memprobe suspects FILE"""
    heap = opened(options.file, "--fail-on-suspect" if options.fail_on_suspect is not None else None)
    wanted = chosen(heap, options)
    if options.native:
        require_native(options.file, heap)
    least = options.percent if options.fail_on_suspect is None else min(options.percent, options.fail_on_suspect)
    with show.waiting("finding suspects"):
        found = heap.suspects(
            least, options.limit if wanted.takes_all else None, keep_stdlib=options.keep_stdlib, native=options.native
        )
    found = _selected_suspects(found, wanted)
    worst = max((row.percent for row in found.rows), default=0.0)
    found = replace(found, rows=found.rows[: options.limit])
    code = 1 if options.fail_on_suspect is not None and worst > options.fail_on_suspect else 0
    if options.json:
        show.as_json("memprobe.suspects/1", found.to_dict())
        return code
    say_memory(heap)
    show.heading(f"{options.file}: suspects, of {_text.size(found.bytes)} that are in use")
    show.text(str(found))
    _after_suspects(options.file, found)
    return code


def _selected_suspects(found: Suspects, wanted: Selection) -> Suspects:
    if wanted.takes_all:
        return found
    rows = wanted.chosen(found.rows, types=_types_of, name=_name, count=_count, bytes=_bytes)
    return replace(found, rows=tuple(rows))


def _types_of(row: Suspect) -> list[str]:
    """The types of a suspect: its own, that of its point, and what it mostly keeps."""
    point = [] if row.point is None else [row.point.type]
    return [row.type, *point, *(below.type for below in row.below[:MOSTLY])]


def _after_suspects(path: str, found: Suspects) -> None:
    file = shlex.quote(path)
    if not found.rows:
        show.next_step(f"memprobe diff {file} LATER.snap", "take another snapshot after some work, and see what grew")
        return
    first = found.rows[0]
    if first.kind == "garbage":
        show.next_step(f"memprobe cycles --garbage {file}", "shows the cycles, and where to cut them")
        return
    node = first.node if first.point is None else first.point
    show.next_step(f"memprobe paths {file} {node.id}", "shows the paths that keep it alive, and so where to cut")


# ---- diff -------------------------------------------------------------------------------------------------------------


def diff(options: argparse.Namespace) -> int:
    """memprobe diff A B [C]"""
    check = "--fail-on-growth" if options.fail_on_growth is not None else None
    names = [path for path in (options.older, options.newer, options.newest) if path is not None]
    opened_heaps = [(opened(path, check), path) for path in names]
    ordered = in_order(opened_heaps)
    heaps, names = [heap for heap, _ in ordered], [path for _, path in ordered]
    for heap, name in zip(heaps, names, strict=True):
        if options.native:
            require_native(name, heap)
    grown = _compared(heaps, options)
    code = 0
    if options.fail_on_growth is not None:
        code = int(measured(heaps[-1], options.of) - measured(heaps[0], options.of) > options.fail_on_growth)
    if options.json:
        show.as_json("memprobe.diff/2", grown.to_dict())
        return code
    span = f"from {names[0]} to {names[-1]}{f' by way of {names[1]}' if len(names) == 3 else ''}"
    say_memory(heaps[-1], heaps[0])
    headers, cells = grown.headers[: -len(names)], [cell[: -len(names)] for cell in grown.cells()]
    show.table(f"What grew {span}", headers, cells, last_is_total=True, texts=(0, 1))
    for note in grown.notes:
        show.text(note)
    if grown.rows and grown.rows[0].name == LOST:
        show.next_step(f"memprobe lost {shlex.quote(names[-1])} {shlex.quote(names[0])}", "shows what is lost, by size and library")
    elif grown.rows or not heaps[-1].memory(heaps[0]).grew:
        nothing = "nothing grew: shows what keeps most alive"
        _after(names[-1], grown.rows, "shows the paths that keep the first of them alive", nothing)
    else:
        command = f"memprobe memory {shlex.quote(names[-1])} {shlex.quote(names[0])}"
        show.next_step(command, "no object grew: shows which part of the process did")
    return code


def measured(heap: Heap, of: str) -> int:
    """The bytes that a limit of growth is of: resident and swapped ones of the process, or those of its objects."""
    if of == "objects":
        return heap.info.bytes
    taken = heap.memory().taken_bytes
    if taken is None:
        raise Cannot("A snapshot does not say how much memory its process had: give the limit --of objects.")
    return taken


def in_order(heaps: Sequence[tuple[Heap, str]]) -> list[tuple[Heap, str]]:
    """Heaps and their files, the oldest first; a sentence on stderr when they were named in another order."""
    times = [heap.info.time for heap, _ in heaps]
    ordered = sorted(heaps, key=lambda pair: pair[0].info.time)
    if times == sorted(times) or not all(times):
        return list(heaps)
    names = ", ".join(path for _, path in ordered)
    print(f"memprobe: these snapshots were not named in the order of their times; compared as {names}.", file=sys.stderr)
    return ordered


def _compared(heaps: Sequence[Heap], options: argparse.Namespace) -> Diff:
    """What grew, of what is wanted. Rows that are not among it are counted with those beyond the limit."""
    wanted = chosen(heaps[-1], options)
    with show.waiting("comparing"):
        newest, *older = reversed(heaps)
        try:
            grown = newest.diff(*older, limit=options.limit if wanted.takes_all else None, native=options.native)
        except ValueError as error:
            raise Cannot(f"{str(error)[0].upper()}{str(error)[1:]}") from None
    if wanted.takes_all:
        return grown
    return replace(grown, rows=_selected(grown.rows, wanted, options.limit))


def _selected(rows: Iterable[Found], wanted: Selection, limit: int | None) -> tuple[Found, ...]:
    found = wanted.chosen(rows, types=_types, name=_name, count=_count, bytes=_bytes)
    return tuple(found[:limit])


def _types(row: Any) -> tuple[str, ...]:
    """Of a suspect, of waste, or of what grew: there with the class that a container of it is called after."""
    of = getattr(row, "of", None)
    return (row.type,) if of is None else (row.type, of)


def _name(row: Any) -> str:
    return str(row.name)


def _count(row: Any) -> int:
    return int(row.count)


def _bytes(row: Any) -> int:
    return int(row.bytes)


# ---- waste ------------------------------------------------------------------------------------------------------------


def waste(options: argparse.Namespace) -> int:
    """memprobe waste FILE"""
    heap = opened(options.file)
    wanted = chosen(heap, options)
    with show.waiting("finding waste"):
        found = _wasted(heap, wanted, options.limit)
    if options.json:
        show.as_json("memprobe.waste/1", found.to_dict())
        return 0
    show.heading(f"{options.file}: what could be saved, of {_text.size(heap.info.bytes)}")
    for index, row in enumerate(found.rows, 1):
        show.text(f"{index}. {row}")
    if found.cells():
        print()
        show.table("In all (an object may be in several)", found.headers, found.cells())
    for sentence in found.notes:
        show.text(sentence)
    _after(
        options.file, found.rows, "shows what holds the one that wastes most", "nothing much is wasted: shows what keeps most alive"
    )
    return 0


def _wasted(heap: Heap, wanted: Selection, limit: int | None) -> Waste:
    if wanted.takes_all:
        return heap.waste(limit)
    found = heap.waste(None)
    rows, values = _selected(found.rows, wanted, limit), tuple(row for row in found.values if wanted.matches(row.type, row.name))
    return replace(found, rows=rows, values=values[:limit])


def _after(path: str, rows: Sequence[DiffRow | WasteRow], shown: str, nothing: str) -> None:
    """What to ask next: about the first row, or without rows something else."""
    file = shlex.quote(path)
    if rows:
        show.next_step(f"memprobe paths {file} {rows[0].node}", shown)
    else:
        show.next_step(f"memprobe suspects {file}", nothing)
