"""The verbs that say what leaks."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence

from memprobe import _text
from memprobe.cli import show
from memprobe.cli.files import opened
from memprobe.cli.questions import _cut
from memprobe.leaks import DiffRow, Suspects
from memprobe.waste import WasteRow


def suspects(options: argparse.Namespace) -> int:
    """memprobe suspects FILE"""
    heap = opened(options.file)
    with show.waiting("finding suspects"):
        found = heap.suspects(options.percent, options.limit, keep_stdlib=options.keep_stdlib)
    worst = max((row.percent for row in found.rows), default=0.0)
    code = 1 if options.fail_on_suspect is not None and worst > options.fail_on_suspect else 0
    if options.json:
        show.as_json("memprobe.suspects/1", found.to_dict())
        return code
    show.heading(f"{options.file}: suspects, of {_text.size(found.bytes)} that are in use")
    show.console().print(str(found), overflow="fold")
    _after_suspects(options.file, found)
    return code


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
    show.next_step(f"memprobe paths {file} {node.id}", "shows every way in which it is held: the place to cut")


def diff(options: argparse.Namespace) -> int:
    """memprobe diff A B [C]"""
    heaps = [opened(path) for path in (options.newest, options.newer, options.older) if path is not None]
    with show.waiting("comparing"):
        grown = heaps[0].diff(*heaps[1:], limit=options.limit)
    code = 1 if options.fail_on_growth is not None and grown.growth > options.fail_on_growth else 0
    if options.json:
        show.as_json("memprobe.diff/1", grown.to_dict())
        return code
    names = [path for path in (options.older, options.newer, options.newest) if path is not None]
    still = f" and is still in {names[2]}" if len(names) == 3 else ""
    headers, cells = grown.headers[: -len(names)], [cell[: -len(names)] for cell in grown.cells()]
    room = 100 - 22 - sum(2 + max(len(line[column]) for line in (headers, *cells)) for column in range(2, len(headers)))
    cells = [(_cut(cell[0], room), _cut(cell[1], 20), *cell[2:]) for cell in cells]
    show.table(f"What grew from {names[0]} to {names[1]}{still}", headers, cells, last_is_total=True)
    _after(names[-1], grown.rows, "shows every way in which the first of them is held", "nothing grew: see who keeps most")
    return code


def waste(options: argparse.Namespace) -> int:
    """memprobe waste FILE"""
    heap = opened(options.file)
    with show.waiting("finding waste"):
        found = heap.waste(options.limit)
    if options.json:
        show.as_json("memprobe.waste/1", found.to_dict())
        return 0
    show.heading(f"{options.file}: what could be saved, of {_text.size(heap.info.bytes)}")
    for index, row in enumerate(found.rows, 1):
        show.console().print(f"{index}. {row}", overflow="fold")
    if found.cells():
        show.table("\nIn all (an object may be in several)", found.headers, found.cells())
    for sentence in found.unknown:
        show.console().print(sentence, overflow="fold")
    _after(options.file, found.rows, "shows who holds the one that wastes most", "nothing much is wasted: see who keeps most")
    return 0


def _after(path: str, rows: Sequence[DiffRow | WasteRow], shown: str, nothing: str) -> None:
    """What to ask next: about the first row, or without rows something else."""
    file = shlex.quote(path)
    if rows:
        show.next_step(f"memprobe paths {file} {rows[0].node}", shown)
    else:
        show.next_step(f"memprobe suspects {file}", nothing)
