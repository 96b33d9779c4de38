# SPDX-License-Identifier: MIT
"""docs/BENCHMARKS.md: run.py and servers.py each write their own part of it and leave the other as it is."""

from __future__ import annotations

import re
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent / "docs" / "BENCHMARKS.md"


def put(text: str, page: Path = BENCHMARKS) -> None:
    """A part reaches from its heading to the next one; it takes the place of the one with the same heading, or the last."""
    old = page.read_text() if page.exists() else ""
    parts = {part.partition("\n")[0]: part for part in re.split(r"^(?=##? )", old, flags=re.MULTILINE) if part}
    parts[text.partition("\n")[0]] = text
    page.write_text("\n".join(part.rstrip() + "\n" for part in parts.values()))
