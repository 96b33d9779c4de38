"""Run one of CPython's own test modules in this process, as `beside.py MODULE [captures]`: with a thread that captures the heap
and takes snapshots of it all the time, with native blocks and without, or with one that only waits. The last line says how each
test ended, and how many captures there were."""

from __future__ import annotations

import io
import json
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import memprobe

PAUSE = 0.005  # seconds between two captures
LEAST = 20  # of them; a short test is done again until then, ...
SECONDS = 10  # ... but no longer


class Outcome(unittest.TextTestResult):
    """How each test ended, by its id; subtests count as their test."""

    ends: dict[str, str]

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 -- unittest's name
        super().startTest(test)
        self.ends = getattr(self, "ends", {})
        self.ends[test.id()] = "ok"


def done(result: Outcome) -> dict[str, str]:
    ends = dict(getattr(result, "ends", {}))
    for kind, rows in (("failed", result.failures), ("error", result.errors)):
        for test, text in rows:
            at = getattr(test, "test_case", test).id()
            ends[at] = f"{kind}: {text.strip().splitlines()[-1]}"
    return ends


def keep_at_it(stop: threading.Event, captures: bool, folder: Path, counts: list[int]) -> None:
    while not stop.wait(PAUSE):
        if captures:
            heap = memprobe.capture()
            problem = heap._graph.check()
            assert problem is None, problem
            memprobe.snapshot(folder / "a.snap")
            taken = memprobe.snapshot(folder / "b.snap", native=True)
            native = memprobe.load(folder / "b.snap")
            problem = native._graph.check()
            assert problem is None, problem
            assert taken.mode != "forked" or native.lost().blocks is not None
            counts[0] += 3


def main(module: str, captures: bool) -> int:
    stop, counts = threading.Event(), [0]
    with tempfile.TemporaryDirectory() as folder:
        thread = threading.Thread(target=keep_at_it, args=(stop, captures, Path(folder), counts), daemon=True)
        memprobe.snapshot(Path(folder) / "a.snap")  # what this loads is loaded
        thread.start()
        ends, until = {}, time.monotonic() + SECONDS
        while not ends or (captures and counts[0] < LEAST and thread.is_alive() and time.monotonic() < until):
            suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{module}")
            now = done(unittest.TextTestRunner(stream=io.StringIO(), resultclass=Outcome).run(suite))
            ends |= {test: end for test, end in now.items() if ends.get(test, "ok") == "ok"}
        alive = thread.is_alive()
        stop.set()
        thread.join()
    print(json.dumps({"ends": ends, "captures": counts[0], "thread": alive}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2:] == ["captures"]))
