"""Leaking programs in tests/zoo, each with one planted leak of its own kind: the culprit is named first.

Of each program one snapshot is asked for suspects, two or three for what grew."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import memprobe

ZOO = Path(__file__).parents[1] / "zoo"

# What a programmer would call the culprit: the answer may go on from there. … is any word.
CULPRITS = {
    "at_exit": "held by C code: …,… method Connection.close" if sys.version_info < (3, 14) else "atexit",
    "bound_methods": "bound_methods.timer.callbacks",
    "buffer_views": "buffer_views.columns['price']",
    "c_references": "held by C code: …,… c_references.Frame",
    "callback_closures": "callback_closures.on_shutdown",
    "class_registry": "class_registry.Widget.instances",
    "closure_cell": "closure_cell.translate: closure memo",
    "context_variable": "ContextVar 'trail'",
    "cycles_gc_off": "garbage: cycles_gc_off.Element",
    "default_argument": "default_argument.record.__defaults__[0]",
    "event_subscribers": "event_subscribers.paid.receivers",
    "gc_garbage": "gc.garbage",
    "growing_deque": "growing_deque.measured",
    # each interned string is immortal in 3.12: nobody keeps it
    "interned_strings": "all str" if sys.version_info[:2] == (3, 12) else "interned_strings.seen",
    "kept_exception": "kept_exception.last_failure",
    "local_backlog": "consume",
    "logging_handler": "logging_handler.buffered.buffer",
    "lru_method": "lru_method.Report.total",
    "module_cache": "module_cache.responses",
    "open_generators": "open_generators.streams",
    "pending_tasks": "pending_tasks.background",
    "queue_backlog": "queue_backlog.jobs.queue",
    "session_state": "session_state.application.state.sessions",
    "settings_dict": "settings_dict.STATE['audit']",
    "thread_local": "thread_local.session.journal",
    "two_indexes": "two_indexes.by_n",
    "weak_cycle": "weak_cycle.metadata",
}


def run(name: str, folder: Path) -> list[Path]:
    command = [sys.executable, str(ZOO / "run.py"), name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return sorted(folder.glob(f"{name}.*.snap"))


def answers(files: list[Path]) -> list[tuple[str, str]]:
    """(name, the rest of the line) of the first answers."""
    heaps = [memprobe.load(file) for file in reversed(files)]
    if len(heaps) == 1:
        return [(row.name, f"{row.percent:.0f} %  {row.advice}") for row in heaps[0].suspects().rows]
    return [(row.name, f"+{row.bytes:,} B  {row.count:+,} {row.type}") for row in heaps[0].diff(*heaps[1:]).rows]


def rank(name: str, found: list[tuple[str, str]]) -> int:
    """1 for the first answer; 0 when the culprit is not among them."""
    expected = re.compile(re.escape(CULPRITS[name]).replace("…", r"\w+") + r"(?!['\]])")
    return next((place for place, (answer, _) in enumerate(found, 1) if expected.match(answer)), 0)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, str]]]:
    folder = tmp_path_factory.mktemp("zoo")
    with ThreadPoolExecutor(2) as pool:
        return {
            name: answers(files) for name, files in zip(CULPRITS, pool.map(lambda name: run(name, folder), CULPRITS), strict=True)
        }


def test_every_program_is_here() -> None:
    assert {path.stem for path in ZOO.glob("*.py")} == {*CULPRITS, "run"}


def test_the_culprits_are_named(results: dict[str, list[tuple[str, str]]], capsys: pytest.CaptureFixture[str]) -> None:
    ranks = {name: rank(name, found) for name, found in results.items()}
    with capsys.disabled():
        print(f"\n{'program':<18} place  first answer")
        for name, found in results.items():
            first = found[0] if found else ("nothing", "")
            print(f"{name:<18} {ranks[name] or '-':>5}  {first[0]}  {first[1]}")
    first = sum(place == 1 for place in ranks.values())
    assert first >= 0.9 * len(ranks), ranks
    assert all(1 <= place <= 3 for place in ranks.values()), ranks
