"""Results on a terminal, as wide as that is: tables, a bar while one waits, and a next step. In a pipe they are plain, and nothing
is cut."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from memprobe import _width

NARROWEST = 60  # columns: tables need as many on a terminal that says it has fewer
HEIGHT = 40  # rows of a screen, in a pipe
AROUND = 8  # lines of a screen that are a title, headers and a next step


class Screen(Console):
    """When its reader leaves, the command ends as it does without rich, which has exit code 1 for that."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(stderr: bool = False) -> Console:
    """For stdout, or for what is said beside it."""
    return Screen(stderr=stderr, highlight=False, emoji=False, markup=False)


def width() -> int | None:
    """Columns of the terminal; None in a pipe, which has no width."""
    return max(NARROWEST, shutil.get_terminal_size().columns) if console().is_terminal else None


def height() -> int:
    """Rows that a list may have to be seen at once."""
    return max(10, shutil.get_terminal_size().lines - AROUND) if console().is_terminal else HEIGHT


def line(text: str, style: str | None = None) -> None:
    """Lines that are as wide as they are to be."""
    console().print(text, style=style, soft_wrap=True)


def text(words: str) -> None:
    """Lines of any length: on a terminal they are wrapped, each below its own indentation."""
    line(_width.wrapped(words, width()))


def as_json(schema: str, value: dict[str, Any]) -> None:
    """One JSON object; `schema` names its kind and version, see docs/CLI.md."""
    print(json.dumps({"schema": schema, **value}, indent=2))


def table(
    title: str,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    last_is_total: bool = False,
    texts: Collection[int] = (0,),
) -> None:
    """A table with its first column left, the others right; columns `texts` may be cut in the middle."""
    heading(title)
    head, *body = _width.table(headers, rows, width(), texts)
    line(head, style="bold")
    for index, row in enumerate(body):
        line(row, style="bold" if last_is_total and index == len(body) - 1 else None)


def facts(title: str, lines: Sequence[Sequence[str]]) -> None:
    """Names and their values, and a note on what they mean."""
    heading(title)
    names, values = (max(len(row[column]) for row in lines) for column in (0, 1))
    for name, value, *note in lines:
        row = f"{name:<{names}}  {value:<{values}}  {note[0] if note else ''}".rstrip()
        line(_width.wrapped(row, width(), names + 2))


def heading(title: str) -> None:
    """A line over a table."""
    line(_width.wrapped(title, width()), style="bold")


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
