"""The verbs that read a snapshot file."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace

from memprobe import _text
from memprobe._select import Selection, no_such_type
from memprobe.cli import show
from memprobe.cli.options import selection
from memprobe.cli.sentences import Cannot
from memprobe.heap import Heap, load
from memprobe.native import UNKNOWN, is_known
from memprobe.results import Growth, TypeTable

# What the numbers of an accounting mean to a reader.
NOTES = {
    "immortal": "their reference counts mean nothing",
    "residual zero": "every reference to them was found",
    "residual positive": "C code holds references to them, too",
    "residual negative": "more references were found than counted: there should be none",
    "estimated sizes": "objects of C types whose size has no formula",
    "may hold native": "objects of C types that may hold memory which is not in their sizes",
    "graph bytes": "the sum of all sizes",
    "traced bytes": "what tracemalloc knew",
    "rss bytes": "resident memory of the process",
    "fallbacks": "facts that were found by a slower, public interface",
    "unreachable objects": "garbage that was not collected yet",
    "own objects": "memprobe's own objects, excluded from all totals",
    "unseen objects": "untracked, and held by C code alone: found by looking at each block",
    "unseen rejected": "what looked like one, and was not",
    "dangling edges": "references to memory that is no known object",
}


def opened(path: str, check: str | None = None) -> Heap:
    """The heap in a file, with a bar while it is read, and a sentence when the file was cut: with that a check that was asked for
    (the option's name) cannot be answered."""
    with show.progress(f"reading {path}") as bar:
        heap = load(path, progress=bar)
    cut = heap.info.cut
    if cut and check:
        raise Cannot(f"Only a part of {path} could be read ({cut}): {check} needs a whole snapshot.")
    if cut:
        show.console(stderr=True).print(f"memprobe: only a part of {path} could be read: {cut}.", soft_wrap=True)
    return heap


def chosen(heap: Heap, options: argparse.Namespace, native: bool = False) -> Selection:
    """Which rows the options ask for; of a type that this heap has, or its native blocks have."""
    names = [row.type for row in heap.types(None, native=native).every]
    wanted = selection(options).among(names)
    if wanted.type is not None and not wanted.types:
        raise Cannot(no_such_type(wanted.type, names))
    return wanted


def say_memory(heap: Heap, older: Heap | None = None) -> None:
    """What a first screen says of the process before it speaks of objects: its memory, or that of growth since an older heap."""
    lines = [*heap.memory(older).brief(), *(f"  {line}" for line in heap.findings(older))]
    if lines:
        show.text("\n".join(lines))
        print()


def memory(options: argparse.Namespace) -> int:
    """memprobe memory FILE [OLDER]"""
    heap, older = opened(options.file), None if options.older is None else opened(options.older)
    found, findings = heap.memory(older), heap.findings(older)
    if options.json:
        more = {"arenas": heap.fragmentation().to_dict(), "sharing": heap.sharing().to_dict(), "findings": list(findings)}
        show.as_json("memprobe.memory/1", {**found.to_dict(), **more})
        return 0
    title = f"The memory of the process in {options.file}" + (f", and since {options.older}" if options.older else "")
    show.table(title, found.headers, found.cells())
    shared = () if heap.sharing().matters(found.rss_bytes) else heap.sharing().lines(found.rss_bytes)  # else it is a finding
    for note in [*found.notes, *findings, *shared]:
        show.text(note)
    show.next_step(f"memprobe suspects {shlex.quote(options.file)}", "shows which Python objects keep most of theirs")
    return 0


def require_native(path: str, heap: Heap) -> None:
    """For a question on native blocks."""
    if not is_known(heap):
        raise Cannot(f"{path}: {UNKNOWN}.")


def lost(options: argparse.Namespace) -> int:
    """memprobe lost FILE [OLDER]"""
    heap, older = opened(options.file), None if options.older is None else opened(options.older)
    for path, one in ((options.file, heap), (options.older, older)):
        if one is not None:
            require_native(path, one)
    found = heap.lost(older, limit=options.limit)
    if options.json:
        show.as_json("memprobe.lost/1", found.to_dict())
        return 0
    show.table(f"{options.file}: {found.brief()}", found.headers, found.cells(), last_is_total=True)
    if older is None:
        show.next_step(f"memprobe lost LATER.snap {shlex.quote(options.file)}", "a later snapshot says what stays lost")
    else:
        show.next_step(f"memprobe memory {shlex.quote(options.file)} {shlex.quote(options.older)}", "shows where memory grew")
    return 0


def info(options: argparse.Namespace) -> int:
    """memprobe info FILE"""
    heap = opened(options.file)
    about, account = heap.info, heap.accounting()
    if options.json:
        show.as_json("memprobe.info/1", {"info": about.to_dict(), "accounting": account.to_dict()})
        return 0
    say_memory(heap)
    show.facts(options.file, about.lines())
    print()
    show.facts("What the walk over objects explains", [(*line, NOTES.get(line[0], "")) for line in account.lines()])
    show.next_step(f"memprobe summary {shlex.quote(options.file)}", "shows which types the memory goes to")
    return 0


def summary(options: argparse.Namespace) -> int:
    """memprobe summary [--since OLDER] FILE"""
    if options.since is not None:
        return since(options)
    heap = opened(options.file)
    if options.native:
        require_native(options.file, heap)
    wanted = chosen(heap, options, options.native)
    types = heap.types(
        options.limit,
        type=wanted.type,
        module=wanted.module,
        stdlib=wanted.stdlib,
        sort=wanted.sort,
        min_bytes=wanted.min_bytes,
        native=options.native,
    )
    if options.json:
        show.as_json("memprobe.summary/1", types.to_dict())
        return 0
    say_memory(heap)
    what = "objects and native blocks" if options.native else "objects"
    title = f"{options.file}: {_text.number(types.objects)} {what}, {_text.size(types.bytes)}"
    show.table(title, types.headers, types.cells(), last_is_total=True)
    for note in types.notes:
        show.text(note)
    file = shlex.quote(options.file)
    show.next_step(f"memprobe summary --since {file} LATER.snap", "take another snapshot after some work, and see what grew")
    return 0


def since(options: argparse.Namespace) -> int:
    """What grew between two snapshots."""
    heaps = [opened(path) for path in (options.since, options.file)]
    for path, heap in zip((options.since, options.file), heaps, strict=True):
        if options.native:
            require_native(path, heap)
    older, newer = (_selected(heap, options) for heap in heaps)
    grown = _ordered(Growth.between(older, newer, options.limit), selection(options))
    if options.json:
        show.as_json("memprobe.growth/1", grown.to_dict())
        return 0
    say_memory(heaps[1], heaps[0])
    show.table(f"What grew from {options.since} to {options.file}", grown.headers, grown.cells(), last_is_total=True)
    file = shlex.quote(options.file)
    show.next_step(f"python -ic 'import memprobe; heap = memprobe.load(\"{options.file}\")'", grown_hint(grown, file))
    return 0


def _selected(heap: Heap, options: argparse.Namespace) -> TypeTable:
    """The types that are asked for, which an older snapshot need not have."""
    return heap.types(None, type=options.type, module=options.module, stdlib=not options.no_stdlib, native=options.native)


def _ordered(grown: Growth, wanted: Selection) -> Growth:
    """With the rows that grew by enough, in their order."""
    order = Selection(sort=wanted.sort, min_bytes=wanted.min_bytes)
    if order.takes_all:
        return grown
    return replace(grown, every=tuple(order.of_types(grown.every)))


def grown_hint(grown: Growth, file: str) -> str:
    """How to see who holds what grew."""
    if not grown.every:
        return "nothing grew: look at one object with heap.find(type=...)"
    kind = next((row.type for row in grown.every if "." in row.type), grown.every[0].type)
    return f"then print(*heap.find(type={kind!r})[0].referrers(), sep='\\n') says who holds one of them"
