"""Text that fits: names cut in the middle, lines wrapped where a reader would break them, tables of columns. A width of None is a
pipe's: nothing is cut there and nothing wrapped.

Cutting keeps the front of a name, for it says whose it is, and its end: `__main__.app.router…handlers[3]`."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

# Pieces of a text that are not torn apart: a line may break before '.' and '[', and after '/', ' ' and '→'.
PIECE = re.compile(r"[.\[]?[^.\[/ ]*(?:/| +)?")
NARROWEST = 12  # characters that a column of text keeps on a terminal


def shortened(name: str, width: int | None) -> str:
    """A name in at most `width` characters, its middle replaced by '…', cut at separators where there is one nearby."""
    if width is None or len(name) <= width:
        return name
    if width < 3:
        return "…"[:width] if width < 2 else f"{name[0]}…"
    front = (width - 1) * 3 // 5
    head, tail = name[:front], name[len(name) - (width - 1 - front) :]
    edge = max((at for at in range(3 * len(head) // 4, len(head) + 1) if _breaks(name, at)), default=len(head))
    head = head[:edge]
    tail = name[len(name) - (width - 1 - len(head)) :]
    start = len(name) - len(tail)
    edge = min((at for at in range(len(tail) // 4 + 1) if _breaks(name, start + at)), default=0)
    return f"{head}…{tail[edge:].lstrip('./ ')}"


def _breaks(text: str, at: int) -> bool:
    """Whether a line may break before character `at`."""
    return 0 < at < len(text) and (text[at] in ".[" or text[at - 1] in "/ ")


def wrapped(text: str, width: int | None, indent: int | None = None) -> str:
    """A text in lines of at most `width` characters. What is continued begins below the line's own indentation, or `indent` spaces
    from the left."""
    if width is None:
        return text
    return "\n".join(_wrapped_line(line, width, indent) for line in text.split("\n"))


def _wrapped_line(line: str, width: int, indent: int | None) -> str:
    if len(line) <= width:
        return line
    own = len(line) - len(line.lstrip())
    margin = " " * min(own + 2 if indent is None else indent, width // 2)
    lines, current = [], ""
    for piece in (found for found in PIECE.findall(line) if found):
        if len((current + piece).rstrip()) > width and current.strip():
            lines.append(current.rstrip())
            current, piece = margin, piece.lstrip()
        current += piece
        while len(current.rstrip()) > width:  # a piece that is longer than a line
            lines.append(current[:width])
            current = margin + current[width:]
    return "\n".join([*lines, current.rstrip()] if current.strip() else lines)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, texts: Collection[int] = (0,)) -> list[str]:
    """The lines of a table, the headers first: column 0 is aligned left, the others right. Columns `texts` are cut in the middle
    when the table is wider than `width`; numbers never are."""
    lines = [tuple(headers), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    if width is not None:
        _narrow(widths, width, texts)
    return [_table_line(line, widths, texts) for line in lines]


def _narrow(widths: list[int], width: int, texts: Collection[int]) -> None:
    """Take from the widest column of text until a line has at most `width` characters."""
    over = sum(widths) + 2 * (len(widths) - 1) - width
    while over > 0:
        widest = max(texts, key=lambda column: widths[column])
        if widths[widest] <= NARROWEST:
            return
        second = max((widths[column] for column in texts if column != widest), default=0)
        less = min(over, widths[widest] - max(second, NARROWEST) or 1)
        widths[widest] -= less
        over -= less


def _table_line(cells: Sequence[str], widths: Sequence[int], texts: Collection[int]) -> str:
    out = []
    for column, (cell, room) in enumerate(zip(cells, widths, strict=True)):
        shown = cell
        if column in texts and len(cell) > room:
            margin = len(cell) - len(cell.lstrip())
            margin = min(margin, room // 2)
            shown = " " * margin + shortened(cell.lstrip(), room - margin)
        out.append(shown.rjust(room) if column else shown.ljust(room))
    return "  ".join(out).rstrip()
