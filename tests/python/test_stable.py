# SPDX-License-Identifier: MIT
"""Programs that do not grow (tests/stable): of three snapshots at random moments no row says that something did, other than what a
running function's own locals hold more of just then; and hardly any object is held by C code alone."""

from __future__ import annotations

import os
import random
from itertools import islice

import pytest
from campaign import record
from services import TESTS, Service, check_sum, newest

import memprobe

TIMES = int(os.environ.get("STABLE", "2"))  # of three snapshots each; `make campaign` takes 20
WRONG: list[str] = []
HELD = 0.001  # of all objects: the standard library's C code holds about a third of that
PROGRAMS = sorted(path.stem for path in (TESTS / "stable").glob("*.py"))


def test_there_are_enough() -> None:
    assert len(PROGRAMS) >= 10


def held_by_c(heap: memprobe.Heap) -> float:
    """The share of objects that only C code holds, without names that the interpreter interned for good (3.12 interns all so)."""
    newest_first = (heap.node(id) for id in range(len(heap.columns()["address"]) - 1, -1, -1))
    nodes = (node for node in newest_first if "synthetic" not in node.flags)
    found = list(islice(nodes, heap.accounting().unseen_objects or 0))
    return sum(not {"interned", "immortal"} <= node.flags for node in found) / heap.info.objects


@pytest.fixture(scope="module", params=PROGRAMS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[memprobe.Diff], float]:
    """The name of a program, what is said to have grown in it, and the share of what only C code holds."""
    name, found, held = request.param, [], 0.0
    folder = tmp_path_factory.mktemp(name)
    dice = random.Random(f"{name} {TIMES}")
    with Service(folder, TESTS / "stable" / f"{name}.py") as service:
        assert service.said == "warm"
        for _ in range(TIMES):
            heaps = service.at_random(3, dice)
            held = max(held, held_by_c(heaps[-1]))
            found.append(newest(heaps))
            for file in folder.glob("*.snap"):
                file.unlink()
    return name, found, held


def test_nothing_grows(program: tuple[str, list[memprobe.Diff], float]) -> None:
    name, found, _ = program
    rows = [row for diff in found for row in diff.rows if not row.in_use]
    wrong = [f"{row.name}  {row.type} {row.count:+} {row.bytes:+} B" for row in rows]
    record("stable", name, f"{TIMES} of {TIMES}" if not wrong else f"{len(wrong)} rows in {TIMES}: {'; '.join(wrong[:3])}")
    WRONG.extend(wrong)
    assert len(wrong) <= (TIMES < 20), "\n".join(wrong)  # moments are random: of a small sample one row may be a chance


def test_rows_add_up(program: tuple[str, list[memprobe.Diff], float]) -> None:
    for diff in program[1]:
        check_sum(diff)


def test_hardly_anything_is_held_by_c(program: tuple[str, list[memprobe.Diff], float]) -> None:
    assert program[2] <= HELD


def test_hardly_any_by_chance() -> None:
    """Of all the programs together, in a small sample; `make campaign` allows none."""
    assert len(WRONG) <= TIMES * len(PROGRAMS) // 20, "\n".join(WRONG)
