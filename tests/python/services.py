# SPDX-License-Identifier: MIT
"""Programs that run under `memprobe run`, of which a test takes snapshots at moments that matter.

A program prints a line when it has come to such a moment, and goes on when it gets a line of input; or it prints one line and
works on, and the test asks at random moments."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import memprobe

TESTS = Path(__file__).parents[1]
PATIENCE = 120  # seconds
SETTLES = 0.5  # seconds at most: a program that works on never sleeps


class Service:
    """A running program. `said` is the line that it printed last."""

    def __init__(self, folder: Path, script: Path, *words: object) -> None:
        command = [sys.executable, "-m", "memprobe", "run", str(script), *map(str, words)]
        runtime = folder / "runtime"
        runtime.mkdir(mode=0o700, exist_ok=True)
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "PYTHONHASHSEED": "0"}
        environment.pop("MEMPROBE_AGENT", None)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=environment, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self.folder, self.numbers, self.said = folder, count(), ""

    def __enter__(self) -> Service:
        self.reach()
        return self

    def __exit__(self, *problem: object) -> None:
        self.process.kill()
        self.process.communicate()

    def reach(self) -> str:
        """Wait for the program's next line."""
        assert self.process.stdout is not None and self.process.stderr is not None
        self.said = self.process.stdout.readline().strip()
        assert self.said, self.process.stderr.read()
        self._let_it_wait()
        return self.said

    def _let_it_wait(self) -> None:
        """Until its first thread sleeps, for a line of input or until its work goes on. On its way there it makes the buffer that
        it reads into, which C code alone holds."""
        stat, asleep, until = Path(f"/proc/{self.process.pid}/stat"), 0, time.monotonic() + SETTLES
        while asleep < 3 and time.monotonic() < until:
            asleep = asleep + 1 if stat.read_text().rpartition(")")[2].split()[0] == "S" else 0
            time.sleep(0.005)

    def go_on(self) -> str:
        """Let it go on to its next line."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.reach()

    def file(self) -> Path:
        """A snapshot of now."""
        path = self.folder / f"{self.process.pid}-{next(self.numbers)}.snap"
        memprobe.snapshot_process(self.process.pid, path, timeout=PATIENCE)
        return path

    def snapshot(self) -> memprobe.Heap:
        return memprobe.load(self.file())

    def files(self, times: int) -> Iterator[Path]:
        """A snapshot at each of the program's next moments, the one that it is at first."""
        for index in range(times):
            if index:
                self.go_on()
            yield self.file()

    def at_random(self, times: int, dice: random.Random, seconds: float = 0.3) -> list[memprobe.Heap]:
        """Snapshots while it works, up to so many seconds apart."""
        heaps = []
        for _ in range(times):
            time.sleep(dice.uniform(0.02, seconds))
            heaps.append(self.snapshot())
        return heaps


def heaps_of(folder: Path, script: Path, *words: object, times: int = 3) -> list[memprobe.Heap]:
    """A heap of each of a program's first moments."""
    with Service(folder, script, *words) as service:
        return [memprobe.load(file) for file in service.files(times)]


def newest(heaps: Sequence[memprobe.Heap]) -> memprobe.Diff:
    """What grew from the first to the last: all rows."""
    *older, last = heaps
    return last.diff(*reversed(older), limit=None)


def check_sum(found: memprobe.Diff) -> None:
    """Rows, and what no row explains, are the growth."""
    assert found.found == len(found.rows), "ask for all rows"
    assert sum(row.bytes for row in found.rows) + found.unattributed == found.growth
