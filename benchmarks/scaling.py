# SPDX-License-Identifier: MIT
"""How cost grows with the heap: `make bench-scaling` writes docs/SCALING.md.

The service-like heap of heap.py in several sizes, each in a process of its own: seconds of one run of each job, and nanoseconds an
object. Then the synthetic heap of benchmarks/c/synthetic.c, which needs no Python."""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIZES = (1_000_000, 3_000_000, 10_000_000, 30_000_000)
HEAD = """# Scaling

Made by `make bench-scaling` on a machine with {cores} processors. Seconds of processor time in the program itself, the better of
two runs, and in brackets nanoseconds an object; C is one full `gc.collect()`. *Pages* is the time that the kernel takes to hand out
the memory of a capture: it depends on the machine, is very long on a virtual one whose host takes free pages back, and C has
nothing of it.

| objects | C | count | deep_sizeof | capture | pages | snapshot |
|---:|---:|---:|---:|---:|---:|---:|
"""
BETWEEN = """
A made snapshot of {objects:,} objects and {edges:,} edges (`benchmarks/c/synthetic.c`), loaded and asked in one process; peak
is its resident set's high-water mark:

```
{text}```
"""


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Processor time in the program and in the kernel, of the better of two runs."""
    times = []
    for _ in range(2):
        start = resource.getrusage(resource.RUSAGE_SELF)
        result = work()
        end = resource.getrusage(resource.RUSAGE_SELF)
        del result
        times.append((end.ru_utime - start.ru_utime, end.ru_stime - start.ru_stime))
    return min(times)


def one_size(objects: int) -> dict[str, float]:
    """All jobs on a heap of this size, in this process."""
    from heap import Service

    import memprobe

    gc.disable()
    service = Service(objects)
    gc.enable()
    gc.collect()
    sink = os.open(os.devnull, os.O_WRONLY)
    capture, pages = seconds(memprobe.capture)
    return {
        "C": seconds(gc.collect)[0],
        "count": seconds(memprobe.count)[0],
        "deep_sizeof": seconds(lambda: memprobe.deep_sizeof(service))[0],
        "capture": capture,
        "pages": pages,
        "snapshot": seconds(lambda: memprobe._core.snapshot(sink))[0],
        "objects": memprobe.summary().objects,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", type=int, help="measure one size, and print JSON")
    parser.add_argument("--synthetic", type=Path, help="the program built from benchmarks/c/synthetic.c")
    parser.add_argument("--objects", type=int, default=100_000_000, help="of the synthetic heap")
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(one_size(options.one)))
        return
    text = HEAD.format(cores=os.cpu_count())
    for size in SIZES:
        done = subprocess.run([sys.executable, __file__, "--one", str(size)], stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout)
        objects = found.pop("objects")
        cells = (f"{value:.2f} ({value / objects * 1e9:.0f})" for value in found.values())
        text += f"| {objects:,} | {' | '.join(cells)} |\n"
        print(text.splitlines()[-1], flush=True)
    if options.synthetic is not None:
        file = options.synthetic.with_suffix(".snap")
        command = [str(options.synthetic), str(options.objects), str(file)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        file.unlink()
        text += BETWEEN.format(objects=options.objects, edges=2 * options.objects, text=done.stdout)
        print(done.stdout)
    (ROOT / "docs" / "SCALING.md").write_text(text)


if __name__ == "__main__":
    main()
