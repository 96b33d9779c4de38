"""What a first screen says of a process's memory before it speaks of objects: which part has more than half of it, or of its
growth, what is known of that part and what helps, memory that is lost to fragmentation, and what was copied since a fork."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from memprobe._text import counted, number, size
from memprobe.balance import NOT_EXPLAINED
from memprobe.native import LOST, is_known

if TYPE_CHECKING:
    from memprobe.balance import Memory
    from memprobe.heap import Heap
    from memprobe.leaks import DiffRow

# Of parts that no row of a table of objects is about.
SENTENCES = {
    "malloc, in use or free": "Regions of malloc whose chunks could not be followed are in use or free: take another snapshot.",
    "mimalloc of a library, in use or free": "Of pyarrow it is its pool: pyarrow.default_memory_pool().release_unused().",
    "jemalloc of a library, in use or free": "Of polars it is what its frames have, and what is kept for the next ones.",
    "thread stacks": "Each thread has a stack: are there more threads than there should be?",
    "files": "The kernel drops pages of mapped files when memory is short.",
    "shared memory": "Shared mappings stay until they are unlinked, as of multiprocessing.shared_memory.",
    "memprobe itself": "Heaps that memprobe captured or loaded here stay as long as they are referred to.",
    NOT_EXPLAINED: "No allocator that memprobe knows has what is not explained: pmap -X lists the mappings of a process.",
}
SHOWN = 4  # types that a line has
PART = 0.1  # of native memory, that is worth a sentence
KEEPERS = 2  # who keeps native memory, that there are sentences of
MALLOC = "malloc, in use by C code"
OF_BLOCKS = (MALLOC, "mimalloc of a library, in use or free", "jemalloc of a library, in use or free")
NOBODYS = "No Python object is known to have the memory that C code has of malloc"


def findings(heap: Heap, older: Heap | None) -> tuple[str, ...]:
    """For Heap.findings()."""
    memory = heap.memory(older)
    shared = heap.sharing()
    copied = shared.lines(memory.rss_bytes) if shared.matters(memory.rss_bytes) else ()
    return (*_of_part(heap, older, memory), *_of_fragmentation(heap, memory), *copied)


def _of_part(heap: Heap, older: Heap | None, memory: Memory) -> Iterator[str]:
    """What is known of the part that has more than half."""
    part = memory.largest
    if part is None:
        return
    if part in OF_BLOCKS and is_known(heap) and (part == MALLOC or _is_in_blocks(heap, memory, part)):
        yield from _of_native(heap, older)
    elif part == MALLOC:
        yield _of_malloc(heap, older)
        yield from _may_hold_it(heap, older)
    elif part in SENTENCES:
        yield SENTENCES[part]


def _of_native(heap: Heap, older: Heap | None) -> Iterator[str]:
    """Who keeps native blocks, and what is lost, if it is a good part of them."""
    whole = heap.native().bytes or 0
    knows = older is not None and is_known(older)
    lost = heap.lost(older if knows else None)
    fresh = (lost.bytes or 0) - (lost.before_bytes or 0)
    if lost.every and max(fresh if knows else 0, lost.bytes or 0) >= PART * whole:
        since = f", {size(fresh)} of it since the older snapshot" if knows else ""
        words = f"{size(lost.bytes or 0)} of native blocks are lost, nothing refers to them{since}"
        most = max(lost.every, key=lambda row: row.bytes)
        yield f"{words}: {most}, {'mostly' if 2 * most.bytes > (lost.bytes or 0) else 'and others'} (memprobe lost)."
    grown = _grown(heap, older) if older is not None and knows else []
    for more in grown[:KEEPERS]:
        yield f"{more.name} keeps {size(more.native_bytes or 0)} more of native blocks (memprobe diff --native)."
    keepers = [row for row in heap.suspects(native=True).rows if (row.native_bytes or 0) >= PART * whole]
    for row in keepers[:KEEPERS]:
        if row.name not in {more.name for more in grown}:
            yield f"{row.name} keeps {size(row.native_bytes or 0)} of native blocks (memprobe suspects --native)."
    if not lost.every and not keepers and not grown:
        yield f"No Python object keeps a good part of the {size(whole)} of native blocks, and none is lost."


def _is_in_blocks(heap: Heap, memory: Memory, part: str) -> bool:
    """Whether most of what another allocator has is in slots that something refers to: else most of it is free."""
    return 2 * heap.native().estimated_bytes >= next(row.bytes for row in memory.parts if row.name == part)


def _grown(heap: Heap, older: Heap) -> list[DiffRow]:
    """Who keeps much more native memory than in an older heap of the process."""
    try:
        rows = heap.diff(older, native=True).rows
    except ValueError:  # another process
        return []
    whole = sum(max(0, row.native_bytes or 0) for row in rows)
    return [row for row in rows if row.name != LOST and 0 < (row.native_bytes or 0) >= PART * whole]


def _of_malloc(heap: Heap, older: Heap | None) -> str:
    """How many blocks there are, or how many more, and how large these are on average."""
    facts, before = heap._graph.infos(), {} if older is None else older._graph.infos()
    blocks, total = (_more(facts, before, name) for name in ("mem_malloc_chunks", "mem_malloc_given"))
    if blocks <= 0 or total <= 0:
        return f"{NOBODYS}."
    if older is None:
        return f"{NOBODYS}; malloc has {number(blocks)} blocks in use, those of Python objects among them."
    return f"{NOBODYS}; malloc has {number(blocks)} more blocks in use, of {size(total // blocks)} on average."


def _may_hold_it(heap: Heap, older: Heap | None) -> Iterator[str]:
    """The types of C that may own such memory, and of which there are more objects than before: most first."""
    if older is None:
        return
    before = {row.type: row.count for row in older.types(None).every}
    more = {row.type: row.count - before.get(row.type, 0) for row in heap.types(None).every if row.may_hold_native}
    grown = sorted((item for item in more.items() if item[1] > 0), key=lambda item: -item[1])[:SHOWN]
    if grown:
        yield f"What there is more of and may hold it: {', '.join(counted(count, type) for type, count in grown)}."


def _more(facts: Mapping[str, object], before: Mapping[str, object], name: str) -> int:
    now, was = facts.get(name), before.get(name, 0)
    return now - was if isinstance(now, int) and isinstance(was, int) else 0


def _of_fragmentation(heap: Heap, memory: Memory) -> Iterator[str]:
    found = heap.fragmentation()
    if found.matters(memory.rss_bytes):
        yield found.brief()
    if found.malloc is not None and found.malloc.matters(memory.rss_bytes):
        yield from found.malloc.lines(memory.rss_bytes)
