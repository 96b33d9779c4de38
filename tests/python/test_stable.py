# SPDX-License-Identifier: MIT
"""Programs that do not grow (tests/stable): of three snapshots at random moments no row says that something did, other than what a
running function's own locals hold more of just then."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from campaign import record
from services import TESTS, Service, check_sum, newest

TIMES = int(os.environ.get("STABLE", "2"))  # of three snapshots each; `make campaign` takes 20
PROGRAMS = sorted(path.stem for path in (TESTS / "stable").glob("*.py"))


def test_there_are_enough() -> None:
    assert len(PROGRAMS) >= 10


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_grows(tmp_path: Path, name: str) -> None:
    dice = random.Random(f"{name} {TIMES}")
    wrong: list[str] = []
    with Service(tmp_path, TESTS / "stable" / f"{name}.py") as service:
        assert service.said == "warm"
        for _ in range(TIMES):
            found = newest(service.at_random(3, dice))
            wrong += [f"{row.name}  {row.type} {row.count:+} {row.bytes:+} B" for row in found.rows if not row.in_use]
            check_sum(found)
            for file in tmp_path.glob("*.snap"):
                file.unlink()
    record("stable", name, f"{TIMES} of {TIMES}" if not wrong else f"{len(wrong)} rows in {TIMES}: {'; '.join(wrong[:3])}")
    assert not wrong, "\n".join(wrong)
