"""The verbs that read a snapshot file."""

from __future__ import annotations

import argparse
import shlex

from memprobe import _text
from memprobe.cli import show
from memprobe.heap import Heap, load
from memprobe.results import Growth

# What the numbers of an accounting mean to a reader.
NOTES = {
    "immortal": "their reference counts mean nothing",
    "residual zero": "every reference to them was found",
    "residual positive": "something in C holds them, too",
    "residual negative": "more were found than counted: should be none",
    "estimated sizes": "objects of C types without a formula",
    "graph bytes": "the sum of all sizes",
    "traced bytes": "what tracemalloc knew",
    "rss bytes": "resident memory of the process",
    "fallbacks": "what was found by a slower, public way",
    "unreachable objects": "garbage that was not collected yet",
    "own objects": "memprobe's own, in no other number",
    "dangling edges": "to memory that is no known object",
}


def opened(path: str) -> Heap:
    """The heap in a file, with a bar while it is read, and a word when the file was cut."""
    with show.progress(f"reading {path}") as bar:
        heap = load(path, progress=bar)
    cut = heap.info.cut
    if cut:
        show.console(stderr=True).print(f"memprobe: only a part of {path} could be read: {cut}.")
    return heap


def info(options: argparse.Namespace) -> int:
    """memprobe info FILE"""
    heap = opened(options.file)
    about, account = heap.info, heap.accounting()
    if options.json:
        show.as_json("memprobe.info/1", {"info": about.to_dict(), "accounting": account.to_dict()})
        return 0
    show.facts(options.file, about.lines())
    print()
    show.facts("What this snapshot explains", [(*line, NOTES.get(line[0], "")) for line in account.lines()])
    show.next_step(f"memprobe summary {shlex.quote(options.file)}", "shows which types the memory goes to")
    return 0


def summary(options: argparse.Namespace) -> int:
    """memprobe summary [--since OLDER] FILE"""
    if options.since is not None:
        return since(options)
    types = opened(options.file).types(options.limit)
    if options.json:
        show.as_json("memprobe.summary/1", types.to_dict())
        return 0
    title = f"{options.file}: {_text.number(types.objects)} objects, {_text.size(types.bytes)}"
    show.table(title, types.headers, types.cells(), last_is_total=True)
    file = shlex.quote(options.file)
    show.next_step(f"memprobe summary --since {file} LATER.snap", "take another snapshot after some work, and see what grew")
    return 0


def since(options: argparse.Namespace) -> int:
    """What grew between two snapshots."""
    grown = Growth.between(opened(options.since).types(None), opened(options.file).types(None), options.limit)
    if options.json:
        show.as_json("memprobe.growth/1", grown.to_dict())
        return 0
    show.table(f"What grew from {options.since} to {options.file}", grown.headers, grown.cells(), last_is_total=True)
    file = shlex.quote(options.file)
    show.next_step(f"python -ic 'import memprobe; heap = memprobe.load(\"{options.file}\")'", grown_hint(grown, file))
    return 0


def grown_hint(grown: Growth, file: str) -> str:
    """How to see who holds what grew."""
    if not grown.every:
        return "nothing grew: look at one object with heap.find(type=...)"
    kind = next((row.type for row in grown.every if "." in row.type), grown.every[0].type)
    return f"then print(*heap.find(type={kind!r})[0].referrers(), sep='\\n') says who holds one of them"
