"""Fragmentation: memory of Python's own allocator and of glibc's malloc that is thinly filled, and whose objects lie there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memprobe._pieces import Variable, places, survivors
from memprobe._readable import Json, Readable
from memprobe._text import number, size
from memprobe.balance import is_worth

if TYPE_CHECKING:
    from memprobe.heap import Heap

ARENA = 1 << 20  # bytes of one, and what is given back at once; of malloc's regions, a piece
KIB = 1024
SPARSE = 4  # an arena is thinly filled when less than a quarter is in use
SHOWN = 3  # variables that a line has, ...
ARENAS_MOST = 2  # of malloc's, that a program with threads needs to have
PINS = 0.2  # ... which have an object in that share of the thinly filled arenas


@dataclass(frozen=True, repr=False)
class Survivor(Variable):
    """A variable whose objects lie in thinly filled arenas: `objects` of `bytes`, most of which are of `count` objects of `type`.
    It has one in `arenas` of these, and in `alone` no other variable has one. `node` is the id of what the variable has."""

    arenas: int
    alone: int
    node: int


@dataclass(frozen=True, repr=False)
class MallocFragmentation(Readable):
    """Memory that is free in glibc's malloc and resident: `free_bytes`, of which malloc_trim(0) would give `returnable_bytes` back.
    `others_free_bytes` of it are not in the main one of its `arenas`, but in those that it made for threads. In `sparse` pieces of
    1 MiB less than a quarter is in use: `sparse_used_bytes`, beside `sparse_free_bytes`; `rows` are the variables that have objects
    there, most pieces first, and `empty` of them have no object."""

    free_bytes: int
    returnable_bytes: int
    arenas: int
    others_free_bytes: int
    sparse: int
    sparse_used_bytes: int
    sparse_free_bytes: int
    empty: int
    rows: tuple[Survivor, ...]

    def to_dict(self) -> Json:
        """The fields by name; rows as a list of Survivor.to_dict()."""
        return {**vars(self), "rows": [row.to_dict() for row in self.rows]}

    def matters(self, resident: int | None) -> bool:
        """Whether it is worth a line on a first screen."""
        return is_worth(self.free_bytes, resident or 0)

    def lines(self, resident: int | None) -> tuple[str, ...]:
        """How much is free, what lies among it, and what would help, with numbers; of what is resident only what is worth it."""
        return tuple(self._sentences(resident or 0))

    def _sentences(self, resident: int) -> Iterator[str]:
        trim = f"malloc_trim(0) would give {size(self.returnable_bytes)} back: ctypes.CDLL(None).malloc_trim(0)"
        whole = f"{size(self.free_bytes)} are free in malloc, in {number(self.arenas)} arena{'s'[: self.arenas > 1]}"
        yield f"{whole}; {trim}." if is_worth(self.returnable_bytes, resident) else f"{whole}."
        pins = _pins(self.rows, self.sparse)
        if pins and is_worth(self.sparse_free_bytes, resident):
            yield f"{size(self.sparse_free_bytes)} of it are thinly filled. What lies there: {pins} of the pieces of 1 MiB."
        if self.arenas > ARENAS_MOST and is_worth(self.others_free_bytes, resident):
            others = f"{size(self.others_free_bytes)} of it are in arenas that malloc made for threads"
            yield f"{others}: MALLOC_ARENA_MAX={ARENAS_MOST} in the environment bounds how many it makes."

    def __str__(self) -> str:
        return "\n".join(self.lines(None))


@dataclass(frozen=True, repr=False)
class Fragmentation(Readable):
    """Arenas of Python's allocator, of 1 MiB each: how many there are (`count`; None: the snapshot does not know), how many of them
    are `sparse` (less than a quarter is in use), how many bytes are in use of these, and which variables have objects there, most
    arenas first. `empty` of the sparse ones have no object: buffers, or what C code has. `malloc` is the same of glibc's malloc, or
    None where its chunks could not be followed."""

    count: int | None
    sparse: int
    sparse_used_bytes: int
    empty: int
    rows: tuple[Survivor, ...]
    malloc: MallocFragmentation | None = None

    @property
    def wasted_bytes(self) -> int:
        """What is not in use of the thinly filled arenas."""
        return self.sparse * ARENA - self.sparse_used_bytes

    def to_dict(self) -> Json:
        """{count, sparse, sparse_used_bytes, empty, wasted_bytes, rows: [Survivor.to_dict()], malloc}."""
        counts = {"count": self.count, "sparse": self.sparse, "sparse_used_bytes": self.sparse_used_bytes, "empty": self.empty}
        malloc = None if self.malloc is None else self.malloc.to_dict()
        return {**counts, "wasted_bytes": self.wasted_bytes, "rows": [row.to_dict() for row in self.rows], "malloc": malloc}

    def matters(self, resident: int | None) -> bool:
        """Whether it is worth a line on a first screen."""
        return is_worth(self.wasted_bytes, resident or 0)

    def brief(self) -> str:
        """One line: how much for how little, and what pins it."""
        whole = (
            f"{size(self.sparse * ARENA)} of Python's arenas are less than a quarter full: {size(self.sparse_used_bytes)} in use"
        )
        pins = _pins(self.rows, self.sparse)
        return f"{whole}. What pins them: {pins}." if pins else f"{whole}, of no variable in particular."

    def __str__(self) -> str:
        if self.count is None:
            return "This snapshot does not know how full Python's arenas are."
        if not self.sparse:
            return f"None of the {number(self.count)} arenas of Python's allocator is less than a quarter full."
        return self.brief()


def _pins(rows: tuple[Survivor, ...], sparse: int) -> str:
    """The variables that have objects in a good part of the thinly filled places; nothing when none has."""
    pins = [row for row in rows[:SHOWN] if row.arenas >= PINS * sparse]
    return ", ".join(f"{row}, in {100 * row.arenas / sparse:.0f} %" for row in pins)


def fragmentation(heap: Heap, limit: int) -> Fragmentation:
    """For Heap.fragmentation(). The names are looked for in a heap that has thinly filled places alone."""
    malloc = _malloc(heap, limit)
    arenas = places(heap, "mem_arenas")
    if arenas is None:
        return Fragmentation(None, 0, 0, 0, (), malloc)
    sparse = [(begin, used * KIB) for begin, used in arenas if used * KIB * SPARSE < ARENA]
    empty, rows = survivors(heap, [begin for begin, _ in sparse], ARENA, limit)
    used = sum(used for _, used in sparse)
    return Fragmentation(len(arenas), len(sparse), used, empty, tuple(Survivor(*row) for row in rows), malloc)


def _malloc(heap: Heap, limit: int) -> MallocFragmentation | None:
    facts = {name: value for name, value in heap._graph.infos().items() if isinstance(value, int)}
    arenas, others = facts.get("mem_malloc_arenas"), facts.get("mem_malloc_others_free")
    if arenas is None or others is None:
        return None
    pieces = places(heap, "mem_malloc_sparse") or []
    empty, found = survivors(heap, [begin for begin, *_ in pieces], ARENA, limit)
    used, free = (KIB * sum(piece[column] for piece in pieces) for column in (1, 2))
    all_free = facts["mem_malloc"] - facts["mem_malloc_unread"] - facts["mem_malloc_used"]
    rows = tuple(Survivor(*row) for row in found)
    return MallocFragmentation(all_free, facts["mem_malloc_returnable"], arenas, others, len(pieces), used, free, empty, rows)
