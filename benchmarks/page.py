# SPDX-License-Identifier: MIT
"""Pages that benchmarks write: of docs/BENCHMARKS.md run.py and servers.py each write their own part and leave the other as it is,
as memory.py and native.py do of docs/MEMORY.md, and native_planted.py, native_lost.py and native_cost.py of docs/NATIVE.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).resolve().parent.parent / "docs" / "BENCHMARKS.md"


def put(text: str, page: Path = BENCHMARKS) -> None:
    """A part reaches from its heading to the next one; it takes the place of the one with the same heading, or the last."""
    old = page.read_text() if page.exists() else ""
    parts = {part.partition("\n")[0]: part for part in re.split(r"^(?=##? )", old, flags=re.MULTILINE) if part}
    parts[text.partition("\n")[0]] = text
    page.write_text("\n".join(part.rstrip() + "\n" for part in parts.values()))


def each(script: str, names: Iterable[str]) -> Iterator[tuple[str, dict[str, Any] | None, str]]:
    """Run `script --one NAME`, a process for each: the JSON that it printed last, or None and why there is none."""
    for name in names:
        done = subprocess.run([sys.executable, script, "--one", name], capture_output=True, text=True)
        if done.returncode:
            yield name, None, f"not measured: {done.stderr.strip().splitlines()[-1][:80]}"
        else:
            yield name, json.loads(done.stdout.splitlines()[-1]), ""
