# SPDX-License-Identifier: MIT
"""What native blocks cost a snapshot: `make bench-native` writes it into docs/NATIVE.md.

    python benchmarks/native_cost.py [--output FILE] [HEAP ...]

A process of its own has a heap as a service has it (benchmarks/heap.py), and in one of them 1 GiB of blocks of malloc, too, which
lead to one another. Snapshots without native blocks and with them are taken in turn, five of each; numbers are medians. What
memory costs at least to read is what memcpy takes for the same blocks. Fails when a goal is missed where only the table has
addresses of blocks."""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import page
from heap import Service

import memprobe

ROOT = Path(__file__).resolve().parent.parent
HEADING = """## Cost

Snapshots without native blocks and with them, in turn, medians of five (`make bench-native`, CPython 3.13). The blocks are of
1,000 bytes, 1 GiB of them, which a table keeps: addresses of the next ones, zeros and small numbers are in them. One thread of a
forked child does the work.
"""
RATIOS = """
| objects | native blocks | without | with | ratio | of processor time |
|--:|--:|--:|--:|--:|--:|
"""
TABLE = """
Goals of the snapshots with that 1 GiB, where only the table has addresses of blocks, where a block has two, and where a third of
its words are such; what is missed is **bold**. The file has two to three bytes for each address of a block.
"""
GOALS = (
    "time to mark and write native blocks: ≤ 1.5 s a GiB",
    "… beside that of memcpy: ≤ 6 ×",
    "pause with and without: the same (≤ 1.1 × + 1 ms)",
    "memory of the child: ≤ 4 % of what is resident + 32 MiB",
    "bytes of the file a block: ≤ 6",
    "ratio of times: with ≤ 1.5 native blocks would be the default",
)
RUNS = 5
SIZE, WORDS = 1000, 125  # of a block
CHUNK = 1008  # bytes that malloc takes for it
PIECE = 64 << 20  # bytes that are copied at once: no cache has them
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class Heap:
    objects: int
    native: int = 0  # bytes of blocks
    apart: int = 0  # of so many words of a block one is an address; 0: none is


ALONE = "in a table alone"
HEAPS = {
    "60,000": Heap(60_000),
    "400,000": Heap(400_000),
    "3 million": Heap(3_000_000),
    ALONE: Heap(3_000_000, GIB),
    "two addresses a block": Heap(3_000_000, GIB, 63),
    "a third of the words": Heap(3_000_000, GIB, 3),
}


# ---- in a process of its own -----------------------------------------------------------------------------------------


class Native:
    """So many bytes of blocks; a table, itself a block, has their addresses, and this object the table's."""

    def __init__(self, bytes: int, apart: int) -> None:
        libc = ctypes.CDLL(None)
        libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        self.count = bytes // CHUNK
        self.table = ctypes.c_void_p(libc.malloc(8 * (self.count + WORDS)))
        assert self.table.value is not None
        addresses = self.addresses()
        for index in range(self.count):
            addresses[index] = libc.malloc(SIZE)
        for index in range(WORDS):  # the last ones lead to the first
            addresses[self.count + index] = addresses[index]
        self.fill(addresses, apart)

    def addresses(self) -> memoryview:
        assert self.table.value is not None
        return memoryview((ctypes.c_uint64 * (self.count + WORDS)).from_address(self.table.value)).cast("B").cast("Q")

    def fill(self, addresses: memoryview, apart: int) -> None:
        contents = (ctypes.c_uint64 * WORDS)(*((index % 2) * (index + 7) for index in range(WORDS)))
        words = memoryview(contents).cast("B").cast("Q")
        leading = len(words[::apart]) if apart else 0
        for index in range(self.count):
            if apart:
                words[::apart] = addresses[index + 1 : index + 1 + leading]
            ctypes.memmove(addresses[index], contents, SIZE)

    def copy(self) -> None:
        """From the first to the last: they lie one behind the other."""
        addresses = self.addresses()
        first, end = min(addresses), max(addresses) + SIZE
        assert end - first < 1.01 * CHUNK * self.count, "something else lies between the blocks"
        for begin in range(first, end, PIECE):
            ctypes.memmove(self.copied, begin, min(PIECE, end - begin))

    def time_copies(self) -> float:
        self.copied = ctypes.create_string_buffer(PIECE)
        self.copy()
        times = [timed(self.copy) for _ in range(RUNS)]
        del self.copied
        return statistics.median(times)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def processor() -> float:
    """Seconds of this process and the children that it waited for: beside others that are busy they stay the same."""
    parts = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in parts)


def resident() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * KIB for line in file if line.startswith("VmRSS:"))


def measure(heap: Heap) -> dict[str, Any]:
    """Medians: `times` of both, and what the snapshots said of themselves."""
    gc.disable()
    blocks = Native(heap.native, heap.apart) if heap.native else None  # first: then they lie one behind the other
    kept = Service(heap.objects)
    gc.enable()
    gc.collect()
    before = resident()
    costs: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        memprobe.snapshot(Path(folder, "first"), native=True)  # what is made once is made
        for run in range(RUNS):
            for native in (False, True) if run % 2 else (True, False):
                costs[native].append(cost(Path(folder, f"{run}" if native else "plain"), native))
        counted = memprobe.load(Path(folder, "plain")).info.objects
        infos = [memprobe.load(Path(folder, str(run)))._graph.infos() for run in range(RUNS)]  # at the end: it leaves much behind
    assert kept
    last = {key: int(value) for key, value in infos[-1].items() if key.startswith("native_") and key != "native_images"}
    return {
        "objects": counted,
        "blocks": last["native_blocks"] + last["native_lost"],
        "bytes": last["native_bytes"] + last["native_lost_bytes"],
        "marked": statistics.median(int(one["native_ns"]) for one in infos) / 1e9,
        "copied": blocks.time_copies() if blocks else 0.0,
        "resident": before,
        **{name: [statistics.median(one[name] for one in found) for found in costs.values()] for name in costs[True][0]},
    }


def cost(path: Path, native: bool) -> dict[str, float]:
    """Of one snapshot, as memprobe.snapshot() takes it, which does not say what memory the child had."""
    with open(path, "wb") as file:
        start, before = time.perf_counter(), processor()
        done = memprobe._core.snapshot(file.fileno(), fork=True, seconds=600, origins_ms=20, native=native)
        seconds, worked = time.perf_counter() - start, processor() - before
    assert done["mode"] == "forked", done["reason"]
    return {"seconds": seconds, "worked": worked, "pause": done["pause_ns"] / 1e6, "file": done["bytes"], "memory": done["memory"]}


# ---- the tables ------------------------------------------------------------------------------------------------------


def ratio_row(found: dict[str, Any]) -> str:
    without, with_them = found["seconds"]
    times = f"{1000 * without:,.0f} ms | {1000 * with_them:,.0f} ms | {with_them / without:.2f}"
    worked = found["worked"][1] / found["worked"][0]
    return f"| {found['objects']:,} | {found['blocks']:,} | {times} | {worked:.2f} |"


def goals(found: dict[str, Any]) -> list[tuple[str, bool]]:
    """What is measured, and whether it is as it should be: in the order of GOALS."""
    (plain, pause), (_, memory) = found["pause"], found["memory"]
    allowed = 0.04 * found["resident"] + 32 * MIB
    each = (found["file"][1] - found["file"][0]) / found["blocks"]
    copies, gib = found["marked"] / found["copied"], found["bytes"] / GIB
    ratio = found["seconds"][1] / found["seconds"][0]
    return [
        (f"{found['marked']:.2f} s", found["marked"] <= 1.5 * gib),
        (f"{copies:.1f} × {1000 * found['copied']:,.0f} ms", copies <= 6),
        (f"{pause:.1f} ms, {plain:.1f} ms", pause <= 1.1 * plain + 1),
        (f"{memory / MIB:,.1f} MiB of {allowed / MIB:,.1f} MiB", memory <= allowed),
        (f"{each:.1f}", each <= 6),
        (f"{ratio:.2f}", ratio <= 1.5),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "NATIVE.md")
    parser.add_argument("--one", choices=HEAPS, help=argparse.SUPPRESS)
    parser.add_argument("heaps", nargs="*", metavar="HEAP", help="these only, without writing the page")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(HEAPS[options.one])))
        return 0
    ratios, columns, missed = [], [], 0
    for name, found, problem in page.each(__file__, options.heaps or HEAPS):
        if found is None:
            ratios.append(f"| {name} | {problem} | | | | |")
            missed += 1
            continue
        ratios.append(ratio_row(found))
        if HEAPS[name].native:
            columns.append(goals(found))
            missed += name == ALONE and not all(met for _, met in columns[-1][:-1])  # the last is no goal that must be
    rows = ["| | " + " | ".join(name for name, heap in HEAPS.items() if heap.native) + " |", "|---|" + "--:|" * len(columns)]
    for goal, *cells in zip(GOALS, *columns, strict=True):
        rows.append(f"| {goal} | " + " | ".join(text if met else f"**{text}**" for text, met in cells) + " |")
    text = RATIOS + "\n".join([*ratios, TABLE, *rows, ""])
    print(text)
    if not options.heaps:
        page.put(HEADING + text, options.output)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
