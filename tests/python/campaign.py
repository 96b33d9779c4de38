# SPDX-License-Identifier: MIT
"""`make campaign` runs the sampled tests in full, and keeps what they found: each line goes to the folder that CAMPAIGN names.
Run as a program, it writes docs/TRUTH.md of them: python campaign.py FOLDER DOCUMENT."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

HEADS = {
    "stable": (
        "Stable programs",
        "Three snapshots at random moments: how often no row (but *in use by*) said that it grew.",
    ),
    "leaking": ("Leaking programs, in use", "A function runs in the culprit at random: how often the culprit came first."),
    "names": ("One name", "Nodes whose name is the same in every answer; evaluable names that evaluate to the object."),
    "ranks": ("Ranks", "Nodes whose rank and dominator are those of networkx."),
    "advice": ("Advice", "Programs that get the advice that is right, or none."),
}
TITLE = """# Whether what memprobe says is true

Written by `make campaign`: oracles that are not memprobe's code, in full. CPython {}, {}.
"""


def record(part: str, name: str, result: str) -> None:
    """A line of the report, when there is to be one."""
    folder = os.environ.get("CAMPAIGN")
    if folder:
        with open(Path(folder) / f"{part}.jsonl", "a") as file:
            file.write(json.dumps([name, result]) + "\n")


def outcomes(folder: Path) -> str:
    """What pytest says of each file of tests (results.xml)."""
    counts: dict[str, Counter[str]] = {}
    for test in ElementTree.parse(folder / "results.xml").iter("testcase"):
        (outcome,) = {child.tag for child in test} & {"failure", "error", "skipped"} or {"passed"}
        counts.setdefault(test.get("classname", "").rpartition(".")[2], Counter())[outcome] += 1
    columns = ("passed", "failure", "error", "skipped")
    rows = (f"| {name} | {' | '.join(str(count[column]) for column in columns)} |" for name, count in sorted(counts.items()))
    return "\n".join(["## Tests\n", "| | passed | failed | broken | skipped |", "|---|---|---|---|---|", *rows, ""])


def without_this_machine(text: str) -> str:
    """A line without the folders of whoever ran it."""
    for place in (str(Path(__file__).parents[2]), sys.prefix, sys.base_prefix, tempfile.gettempdir(), str(Path.home())):
        text = text.replace(f"{place}/", "")
    return text


def report(folder: Path) -> str:
    parts = [TITLE.format(platform.python_version(), platform.machine()), outcomes(folder)]
    for part, (head, words) in HEADS.items():
        path = folder / f"{part}.jsonl"
        rows = [json.loads(without_this_machine(line)) for line in path.read_text().splitlines()] if path.exists() else []
        shown = (f"| {name} | {result.replace('|', '¦')} |" for name, result in rows)
        parts.append("\n".join([f"## {head}\n", f"{words}\n", "| | |", "|---|---|", *(shown if rows else ["| not run | |"]), ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(report(Path(sys.argv[1])), encoding="utf-8")
