# SPDX-License-Identifier: MIT
"""Ctrl-C ends every analysis within 0.2 s, wherever it is, and the heap can be asked again."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import memprobe

SOON = 0.2  # seconds
TRIES = 3  # another program may have the processor just then


class Node:
    def __init__(self, before: Node | None) -> None:
        self.before, self.after, self.text = before, None, str(id(before))
        if before is not None:
            before.after = self  # type: ignore[assignment]


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A long list of objects that refer both ways, and a dict of many others."""
    first = last = Node(None)
    for _ in range(120_000):
        last = Node(last)
    table = {i: [i, str(i)] for i in range(150_000)}
    assert first is not last and table
    return Path(memprobe.snapshot(tmp_path_factory.mktemp("big") / "big.snap", hashes=True).path)


ANALYSES: dict[str, Callable[[Path], Any]] = {
    "load": memprobe.load,
    "dominators": lambda big: memprobe.load(big)._graph.retained(0),
    "cycles": lambda big: memprobe._core.cycles(memprobe.load(big)._graph, False, False, None),
    "cycles, housekeeping": lambda big: memprobe._core.cycles(memprobe.load(big)._graph, False, True, None),
    "suspects": lambda big: memprobe.load(big).suspects(),
    "diff": lambda big: memprobe.load(big).diff(memprobe.load(big)),
    "waste": lambda big: memprobe.load(big).waste(),
    "types": lambda big: memprobe.load(big)._graph.retained_types(),
    "paths": lambda big: (heap := memprobe.load(big))._graph.paths(heap.find(f"{__name__}.Node", limit=1)[0].id, 3),
}


def interrupted(work: Callable[[], Any], after: float) -> float | None:
    """Seconds from the signal to the exception; None when the work was done before."""

    working = True

    def raise_it(*_: object) -> None:
        if working:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, raise_it)
    start = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        work()
        working = False
        return None
    except KeyboardInterrupt:
        return time.monotonic() - start - after
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", ANALYSES)
def test_every_analysis_stops(name: str, big: Path) -> None:
    start = time.monotonic()
    ANALYSES[name](big)
    whole = time.monotonic() - start
    for share in (0.1, 0.35, 0.6, 0.85):
        delays = [interrupted(lambda: ANALYSES[name](big), share * whole) for _ in range(TRIES)]
        met = [delay for delay in delays if delay is not None]
        assert not met or min(met) < SOON, (share, delays)
    ANALYSES[name](big)
