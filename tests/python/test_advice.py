# SPDX-License-Identifier: MIT
"""Advice names evidence, and is silent without it: the programs of advice_programs.py, half of which are traps."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import advice_programs
import pytest
from campaign import record

BOUND = re.compile(r"[^.]*\bwith a (bound|maxsize|maxlen)\b.*")  # to say that there is one is no advice to give it one
# Words of every line that names a cause.
SPECIFIC = re.compile(
    r"maxsize|maxlen|WeakMethod|subscribe|atexit|traceback|weak|\bclose\(\)|\bawait\b|[Tt]hread-local|[Cc]ontext variable|functools"
    r"|logging|\bviews?\b|closure|gc\.garbage|\bC code\b|Reference cycles|local variable|[Tt]asks?\b|[Gg]enerators?\b|copy the part"
)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """The first suspect's name and the advice, by program."""
    command = [sys.executable, str(Path(__file__).with_name("advice_programs.py"))]
    done = subprocess.run(command, cwd=tmp_path_factory.mktemp("advice"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(advice_programs.PROGRAMS), done.stderr
    return {name: (suspect, advice) for name, suspect, advice in rows}


def skip_without_numpy(source: str) -> None:
    if "numpy" in source:
        pytest.importorskip("numpy")


def test_there_are_enough() -> None:
    right, none = len(advice_programs.RIGHT), len(advice_programs.NONE)
    assert len(advice_programs.PROGRAMS) == right + none >= 40 and none >= right


@pytest.mark.parametrize(("name", "source", "words"), advice_programs.RIGHT, ids=[row[0] for row in advice_programs.RIGHT])
def test_the_line_that_is_right(answers: dict[str, tuple[str, str]], name: str, source: str, words: str) -> None:
    skip_without_numpy(source)
    suspect, advice = answers[name]
    record("advice", name, advice)
    assert re.search(words, advice), f"{suspect}: {advice}"


@pytest.mark.parametrize(("name", "source", "culprit"), advice_programs.NONE, ids=[row[0] for row in advice_programs.NONE])
def test_no_line_without_evidence(answers: dict[str, tuple[str, str]], name: str, source: str, culprit: str) -> None:
    skip_without_numpy(source)
    suspect, advice = answers[name]
    record("advice", f"trap: {name}", advice or "none")
    assert suspect.startswith(culprit), f"{suspect}: {advice}"
    assert not SPECIFIC.search(BOUND.sub("", advice)), f"{suspect}: {advice}"
