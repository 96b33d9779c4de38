"""Results on a terminal: rich tables, a bar while one waits, and a next step. In a pipe the tables are plain, at most 100 wide."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

WIDEST = 100


class Screen(Console):
    """When its reader leaves, the command ends as it does without rich, which has exit code 1 for that."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(stderr: bool = False) -> Console:
    """For stdout, or for what is said beside it."""
    plain = Console(stderr=stderr)
    width = min(WIDEST, shutil.get_terminal_size().columns if plain.is_terminal else WIDEST)
    return Screen(stderr=stderr, width=width, highlight=False, emoji=False, markup=False, soft_wrap=False)


def as_json(schema: str, value: dict[str, Any]) -> None:
    """One JSON object; `schema` names its kind and version, see docs/CLI.md."""
    print(json.dumps({"schema": schema, **value}, indent=2))


def table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]], last_is_total: bool = False) -> None:
    """A table with its first column left and wide, the others right."""
    made = Table(header_style="bold", box=None, pad_edge=False)
    for index, header in enumerate(headers):
        made.add_column(header, justify="right" if index else "left", overflow="fold", no_wrap=index > 0)
    for index, row in enumerate(rows):
        total = last_is_total and index == len(rows) - 1
        made.add_row(*row, style="bold" if total else None)
    heading(title)
    console().print(made)


def facts(title: str, lines: Sequence[Sequence[str]]) -> None:
    """Names and their values, and a note on what they mean."""
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="cyan", no_wrap=True)
    made.add_column(overflow="fold")
    made.add_column(style="dim", overflow="fold")
    for line in lines:
        made.add_row(*line)
    heading(title)
    console().print(made)


def heading(title: str) -> None:
    """A line over a table, however narrow that is."""
    console().print(title, style="bold", overflow="fold")


def next_step(command: str, why: str) -> None:
    """The last line of an output: what one would do now."""
    print(f"\nNext: {command}\n      {why}")


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar to tell (done, total) bytes to; None where nobody looks."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A sign of life for work of unknown length; nothing in a pipe."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield
        return
    with screen.status(what):
        yield
