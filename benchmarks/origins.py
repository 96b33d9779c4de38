# SPDX-License-Identifier: MIT
"""What it costs to ask tracemalloc where objects were made, and what comes of it: `make bench-origins` writes that part of
docs/BENCHMARKS.md.

The service-like heap of heap.py, made while tracemalloc traces. Two leaks: dicts in a list, and bytes in a dict that is as old as
the heap. Snapshots are forked."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import tracemalloc

from heap import Service
from page import put

import memprobe

BUDGETS = (5, 20, 100)  # milliseconds
LEAKED = 1000  # objects of each kind, between two snapshots
HEAD = """## Where objects were made

Made by `make bench-origins` on a machine with {cores} processors: {objects:,} objects, all made while tracemalloc traced. {runs}
forked snapshots for each budget (`origins_ms`); {leaked:,} dicts and {leaked:,} bytes objects leak between two of them, and
*asked* are those of them for which `diff` from the last snapshot but one to the last knows the line.

| budget | asking took, median | longest | objects asked | asked of the dicts | of the bytes | lines right |
|---:|---:|---:|---:|---:|---:|---|
"""

recent: list[dict[str, int]] = []
bodies: dict[str, bytes] = {}


def leak() -> None:
    for number in range(LEAKED):
        recent.append({"number": number, "half": number // 2})
        bodies[f"body {len(bodies)}"] = b"%d" % number * 1000


LINES = {kind: f"{__file__}:{leak.__code__.co_firstlineno + line}" for kind, line in (("dict", 2), ("bytes", 3))}


def measure(budget: int, runs: int, folder: str) -> str:
    """A row of the table."""
    path = os.path.join(folder, "a.snap")
    times, asked, heap, older = [], [], None, None
    for _ in range(runs):
        leak()
        memprobe.snapshot(path, origins_ms=budget)
        older, heap = heap, memprobe.load(path)
        times.append(heap.info.origins_ms or 0.0)
        asked.append(heap.info.origins_asked or 0)
    assert heap is not None and older is not None
    made = {row.type: row.made_at for row in heap.diff(older) if row.name in ("__main__.recent", "__main__.bodies")}
    rows = {kind: made.get(kind, ()) for kind in LINES}
    right = all(all(row.place == LINES[kind] for row in found) for kind, found in rows.items())
    of = [found[0].asked if found else 0 for found in rows.values()]
    spent = f"{statistics.median(times):.1f} ms | {max(times):.1f} ms"
    return f"| {budget} ms | {spent} | {statistics.median(asked):,.0f} | {of[0]} | {of[1]} | {'yes' if right else 'NO'} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=11)
    options = parser.parse_args()
    tracemalloc.start()
    service = Service(options.objects)
    objects = memprobe.capture(origins_ms=0).info.objects
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(budget, options.runs, folder) for budget in BUDGETS]
    del service
    text = HEAD.format(cores=os.cpu_count(), objects=objects, runs=options.runs, leaked=LEAKED) + "".join(rows)
    print(text)
    put(text)


if __name__ == "__main__":
    main()
