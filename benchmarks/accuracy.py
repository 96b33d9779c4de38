# SPDX-License-Identifier: MIT
"""How true sizes are: `make accuracy` writes docs/ACCURACY.md.

Every structure of tests/python/structures.py is made a hundred times; what tracemalloc saw is the truth. Beside it what memprobe
says, and Pympler, objsize and sys.getsizeof where they are installed. All ask for one copy and for a hundred, and give the
difference, so that what the copies share is in nobody's number."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "python"))

from structures import STRUCTURES  # noqa: E402
from test_sizes import COPIES, measured  # noqa: E402

import memprobe  # noqa: E402

NATIVE = "\n## Native memory\n"
HEAD = """# Accuracy

Bytes of one copy of each structure, on {python}: what tracemalloc saw the allocator asked for, what `memprobe.deep_sizeof` says,
and what other tools say. A tool that is more than 1 % + 64 bytes off is *marked*. Made by `make accuracy`; the same comparison is a
test (`tests/python/test_sizes.py`) that runs on every supported version.

"""


def peers() -> dict[str, Callable[..., int]]:
    """The tools that are here: name -> a function of several objects."""
    found: dict[str, Callable[..., int]] = {}
    try:
        from pympler import asizeof

        found["Pympler"] = asizeof.asizeof
    except ImportError:
        pass
    try:
        import objsize

        found["objsize"] = objsize.get_deep_size
    except ImportError:
        pass
    found["sys.getsizeof"] = lambda *things: sum(map(sys.getsizeof, things))
    return found


def asked(tool: Callable[..., int], make: Callable[[], Any]) -> float | None:
    """Bytes of one copy by a tool, or None where it fails."""
    first = make()
    more = [make() for _ in range(COPIES)]
    try:
        return (tool(first, *more) - tool(first)) / COPIES
    except Exception:
        return None


def cell(value: float | None, truth: float) -> str:
    if value is None:
        return "*fails*"
    shown = f"{value:,.0f}"
    return shown if abs(value - truth) <= 0.01 * truth + 64 else f"*{shown}*"


def main() -> None:
    tools = peers()
    lines = [f"| structure | tracemalloc | memprobe | {' | '.join(tools)} |", f"|---|---:|---:|{'---:|' * len(tools)}"]
    right = dict.fromkeys(["memprobe", *tools], 0)
    for name, make in STRUCTURES.items():
        truth, ours = measured(make)
        values = {"memprobe": ours, **{tool: asked(function, make) for tool, function in tools.items()}}
        cells = {tool: cell(value, truth) for tool, value in values.items()}
        for tool, shown in cells.items():
            right[tool] += "*" not in shown
        lines.append(f"| {name} | {truth:,.0f} | {' | '.join(cells.values())} |")
    lines.append(f"| **right, of {len(STRUCTURES)}** | | {' | '.join(f'**{count}**' for count in right.values())} |")
    text = HEAD.format(python=f"{platform.python_implementation()} {platform.python_version()}") + "\n".join(lines) + "\n"
    page = ROOT / "docs" / "ACCURACY.md"
    written = page.read_text().partition(NATIVE)  # what is behind the table was not made here
    page.write_text(text + "".join(written[1:]))
    print(lines[-1], memprobe.__version__)


if __name__ == "__main__":
    main()
