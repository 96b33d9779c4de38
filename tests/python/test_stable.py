# SPDX-License-Identifier: MIT
"""Programs that do not grow (tests/stable): of three snapshots at random moments no row says that something did, other than what a
running function's own locals hold more of just then."""

from __future__ import annotations

import os
import random

import pytest
from campaign import record
from services import TESTS, Service, check_sum, newest

import memprobe

TIMES = int(os.environ.get("STABLE", "2"))  # of three snapshots each; `make campaign` takes 20
WRONG: list[str] = []
PROGRAMS = sorted(path.stem for path in (TESTS / "stable").glob("*.py"))


def test_there_are_enough() -> None:
    assert len(PROGRAMS) >= 10


@pytest.fixture(scope="module", params=PROGRAMS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[memprobe.Diff]]:
    """The name of a program, and what is said to have grown in it."""
    name, found = request.param, []
    folder = tmp_path_factory.mktemp(name)
    dice = random.Random(f"{name} {TIMES}")
    with Service(folder, TESTS / "stable" / f"{name}.py") as service:
        assert service.said == "warm"
        for _ in range(TIMES):
            found.append(newest(service.at_random(3, dice)))
            for file in folder.glob("*.snap"):
                file.unlink()
    return name, found


def test_nothing_grows(program: tuple[str, list[memprobe.Diff]]) -> None:
    name, found = program
    rows = [row for diff in found for row in diff.rows if not row.in_use]
    wrong = [f"{row.name}  {row.type} {row.count:+} {row.bytes:+} B" for row in rows]
    record("stable", name, f"{TIMES} of {TIMES}" if not wrong else f"{len(wrong)} rows in {TIMES}: {'; '.join(wrong[:3])}")
    WRONG.extend(wrong)
    assert len(wrong) <= (TIMES < 20), "\n".join(wrong)  # moments are random: of a small sample one row may be a chance


def test_rows_add_up(program: tuple[str, list[memprobe.Diff]]) -> None:
    for diff in program[1]:
        check_sum(diff)


def test_hardly_any_by_chance() -> None:
    """Of all the programs together, in a small sample; `make campaign` allows none."""
    assert len(WRONG) <= TIMES * len(PROGRAMS) // 20, "\n".join(WRONG)
