# SPDX-License-Identifier: MIT
"""The leaking programs of tests/zoo while functions run that have what leaks in a local variable, as `self`, in a generator or in
another thread: of three snapshots the culprit comes first all the same."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from campaign import record
from services import TESTS, check_sum, newest

import memprobe

# What a programmer would call the culprit; the answer may go on from there.
CULPRITS = {
    "at_exit": r"atexit\b" if sys.version_info >= (3, 14) else r"(C references|held by C code)\b.*\bConnection\b",
    "bound_methods": r"bound_methods\.timer\.callbacks",
    "buffer_views": r"buffer_views\.columns\['price'\]",
    "c_references": r"(C references|held by C code)\b.*\bFrame\b",
    "callback_closures": r"callback_closures\.on_shutdown",
    "class_registry": r"class_registry\.Widget\.instances",
    "closure_cell": r"closure_cell\.(translate\b.*(memo|cell_contents)|make_translator\b.*memo)",
    "context_variable": r"(context_variable\.trail\b|ContextVar 'trail')",
    "cycles_gc_off": r"(garbage|unreachable)\b.*\bcycles_gc_off\.Element",
    "default_argument": r"default_argument\.record\b",
    "event_subscribers": r"event_subscribers\.paid\.receivers",
    "gc_garbage": r"gc\.garbage",
    "growing_deque": r"growing_deque\.measured",
    "interned_strings": r"interned_strings\.seen",
    "kept_exception": r"kept_exception\.last_failure",
    "local_backlog": r"consume\b",
    "logging_handler": r"logging_handler\.buffered\.buffer",
    "lru_method": r"lru_method\.Report\.total",
    "module_cache": r"module_cache\.responses",
    "open_generators": r"open_generators\.streams",
    "pending_tasks": r"pending_tasks\.background",
    "queue_backlog": r"queue_backlog\.jobs\.queue",
    "session_state": r"session_state\.application\.state\.sessions",
    "settings_dict": r"settings_dict\.STATE\['audit'\]",
    "thread_local": r"thread_local\.session\.journal",
    "two_indexes": r"two_indexes\.by_n",
    "weak_cycle": r"weak_cycle\.metadata",
}
TRIPLES = max(1, int(os.environ.get("TRIPLES", "27")) // len(CULPRITS))  # of each program; `make campaign` takes 243 in all
IN_A_ROW = 3  # triples of one process
RUN: dict[str, int] = {}  # how many were wrong, by program
Triple = tuple[memprobe.Diff, list[str]]  # what grew, and what ran at each moment


def heaps(name: str, seed: int, moments: int, folder: Path) -> tuple[list[memprobe.Heap], list[str]]:
    """A heap of each moment, and what ran then."""
    command = [sys.executable, str(TESTS / "leaking" / "in_use.py"), name, str(seed), str(moments), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [memprobe.load(folder / f"{name}.{seed}.{index + 1}.snap") for index in range(moments)], done.stdout.split()


@pytest.fixture(scope="module", params=CULPRITS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Triple]]:
    """The name of a leaking program, and what grew in its triples."""
    name, triples = request.param, []
    for start in range(0, TRIPLES, IN_A_ROW):
        count = min(IN_A_ROW, TRIPLES - start)
        folder = tmp_path_factory.mktemp(name)
        found, uses = heaps(name, start, count + 2, folder)
        triples += [(newest(found[index : index + 3]), uses[index : index + 3]) for index in range(count)]
        shutil.rmtree(folder)
    return name, triples


def test_the_culprit_comes_first(program: tuple[str, list[Triple]]) -> None:
    name, triples = program
    wrong: list[str] = []
    for diff, uses in triples:
        first = f"{diff[0].name}  {diff[0].type} {diff[0].count:+}" if diff.rows else "no row"
        owners = getattr(diff[0], "owners", ()) if diff.rows else ()  # a thread's arguments are another, as long as it runs
        if not any(re.match(CULPRITS[name], words) for words in (first, *owners)):
            wrong.append(f"{first[:120]} ({', '.join(uses)})")
    RUN[name] = len(wrong)
    record("leaking", name, f"{TRIPLES - len(wrong)} of {TRIPLES}{': ' if wrong else ''}{'; '.join(wrong[:3])}")
    assert len(wrong) <= max(TRIPLES // 9, TRIPLES < 9), "\n".join(wrong)  # of one triple chance decides: see the sum below


def test_rows_add_up(program: tuple[str, list[Triple]]) -> None:
    for diff, _ in program[1]:
        check_sum(diff)


def test_ninety_five_of_a_hundred() -> None:
    if len(RUN) < len(CULPRITS):
        pytest.skip("not all programs were run")
    wrong, all = sum(RUN.values()), TRIPLES * len(CULPRITS)
    record("leaking", "in all", f"{all - wrong} of {all}")
    assert wrong <= 0.05 * all, {name: count for name, count in RUN.items() if count}
