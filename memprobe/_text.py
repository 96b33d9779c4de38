"""Numbers and tables as text and HTML, for the str() and _repr_html_() of results, and sizes from text. Nothing here knows what a
number means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape as escape

Cells = Sequence[Sequence[str]]
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def size(count: int) -> str:
    """Bytes for a reader: '812 B', '1.4 KiB', '3.2 GiB'; with its sign for a difference."""
    value = float(count)
    if abs(value) < 1024:
        return f"{count} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if abs(value) < 1024 or unit == "TiB":
            break
    return f"{value:.1f} {unit}"


def parse_size(text: str | int) -> int:
    """Bytes from 2147483648, "2147483648", "2GiB", "1.5 GB" or "512m" (units are powers of 1024). ValueError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", str(text).lower())
    if found is None:
        raise ValueError(f"{text!r} is no size: write bytes, or '2GiB'.")
    return int(float(found[1]) * UNITS[found[2]])


def number(count: int) -> str:
    """An integer with its thousands apart: '1,234,567'."""
    return f"{count:,}"


def counted(count: int, type: str) -> str:
    """So many objects of a type: '5,500 dict'; of bytes '12 bytes objects', for '12 bytes' is a size."""
    return f"{number(count)} {type}{' objects' if type == 'bytes' else ''}"


def plain(headers: Sequence[str], rows: Cells, left: int = 0) -> str:
    """A table of monospaced text; column `left` is aligned left, the others right."""
    lines = [tuple(headers), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(
            cell.ljust(width) if column == left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()

    return "\n".join(map(line, lines))


SCREEN = 50  # lines that a result shows at a prompt
LINE = 500  # characters of one of them


def line(text: str, width: int = LINE) -> str:
    """A text on one line of at most `width` characters: what is cut is the middle."""
    flat = (
        text[: 2 * width].replace("\n", " ") + text[-width:].replace("\n", " ")
        if len(text) > 3 * width
        else text.replace("\n", " ")
    )
    half = (width - 1) // 2
    return flat if len(flat) <= width else f"{flat[:half]}…{flat[-half:]}"


def screen(text: str) -> str:
    """A text of at most SCREEN lines of at most LINE characters; the last says how many lines more there are."""
    lines = text.split("\n", SCREEN)
    shown = [cut if len(cut) <= LINE else line(cut) for cut in lines[:SCREEN]]
    if len(lines) > SCREEN:
        shown[-1] = f"… {number(lines[SCREEN].count(chr(10)) + 2)} more lines"
    return "\n".join(shown)


def html_text(text: str) -> str:
    """Text as it is, for a notebook."""
    return f"<pre>{escape(text)}</pre>"


def html(headers: Sequence[str], rows: Cells, left: int = 0, caption: str = "") -> str:
    """The same as an HTML table."""

    def cells(tag: str, line: Sequence[str]) -> str:
        return "".join(
            f'<{tag} style="text-align:{"left" if column == left else "right"}">{escape(cell)}</{tag}>'
            for column, cell in enumerate(line)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{cells('th', headers)}</tr></thead><tbody>{body}</tbody></table>"
