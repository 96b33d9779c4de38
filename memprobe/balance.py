"""The balance of a process's memory: each resident byte once, by who has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from memprobe import _text
from memprobe._readable import Json, Readable
from memprobe._text import number, size

if TYPE_CHECKING:
    from memprobe.heap import Heap

NOT_EXPLAINED = "not explained"
WORTH = 8 << 20  # bytes that are worth advice, if they are a tenth of what is resident
BRIEF = 0.02  # of what is resident: parts below it stand together in a brief line


@dataclass(frozen=True, repr=False)
class MemoryPart(Readable):
    """A part of a process's resident memory; `objects` counts the Python objects that it consists of, if it does."""

    name: str
    bytes: int
    objects: int | None = None

    def to_dict(self) -> Json:
        """{name, bytes, objects}."""
        return {"name": self.name, "bytes": self.bytes, "objects": self.objects}

    def __str__(self) -> str:
        return f"{self.name}: {size(self.bytes)}"


@dataclass(frozen=True, repr=False)
class Memory(Readable):
    """A process's resident memory: `rss_bytes` is the sum of the `parts` and `unexplained_bytes`, exactly.

    Beside it, of the whole process and None where it is not known: `swap_bytes` that are swapped out, `pss_bytes` with shared pages
    by their share, `private_bytes` and `shared_bytes`, and `hugetlb_bytes`, which no other number contains. `cgroup_used_bytes` are
    those of all processes of the control group with the least limit, `cgroup_limit_bytes`. `notes` say what is not known. With
    `older`, the balance of an older snapshot, str() shows what changed."""

    rss_bytes: int | None
    parts: tuple[MemoryPart, ...]
    unexplained_bytes: int | None
    swap_bytes: int | None = None
    pss_bytes: int | None = None
    private_bytes: int | None = None
    shared_bytes: int | None = None
    hugetlb_bytes: int | None = None
    cgroup_used_bytes: int | None = None
    cgroup_limit_bytes: int | None = None
    notes: tuple[str, ...] = ()
    older: Memory | None = None

    def since(self, older: Memory) -> Memory:
        """This balance beside an older one."""
        return replace(self, older=replace(older, older=None))

    @property
    def taken_bytes(self) -> int | None:
        """Resident and swapped bytes: a leak that is swapped out is a leak."""
        return None if self.rss_bytes is None else self.rss_bytes + (self.swap_bytes or 0)

    @property
    def growth(self) -> int | None:
        """By how much taken_bytes grew since the older balance."""
        was, now = None if self.older is None else self.older.taken_bytes, self.taken_bytes
        return None if was is None or now is None else now - was

    @property
    def grew(self) -> bool:
        """Whether the growth is more than 1 MiB and 0.5 % of what is resident: memory always wavers a little."""
        return self.growth is not None and self.growth >= max(1 << 20, (self.rss_bytes or 0) // 200)

    @property
    def largest(self) -> str | None:
        """The name of the part that has more than half of the resident memory, or of its growth; None when nothing grew, or none
        has."""
        if self.rss_bytes is None or (self.older is not None and not self.grew):
            return None
        was = {} if self.older is None else dict(self.older._shares())
        whole = self.rss_bytes if self.growth is None else self.growth
        return next((name for name, count in self._shares() if 2 * (count - was.get(name, 0)) > whole), None)

    def to_dict(self) -> Json:
        """The numbers by name, parts as a list; `older` likewise, or None."""
        return {
            "rss_bytes": self.rss_bytes,
            "parts": [part.to_dict() for part in self.parts],
            "unexplained_bytes": self.unexplained_bytes,
            "swap_bytes": self.swap_bytes,
            "pss_bytes": self.pss_bytes,
            "private_bytes": self.private_bytes,
            "shared_bytes": self.shared_bytes,
            "hugetlb_bytes": self.hugetlb_bytes,
            "cgroup_used_bytes": self.cgroup_used_bytes,
            "cgroup_limit_bytes": self.cgroup_limit_bytes,
            "growth_bytes": self.growth,
            "notes": list(self.notes),
            "older": None if self.older is None else self.older.to_dict(),
        }

    # ---- as a table -------------------------------------------------------------------------------------------------

    @property
    def headers(self) -> tuple[str, ...]:
        """Of cells()."""
        return ("", "bytes", *(["since the older"] if self.older else []), "share", "objects")

    def cells(self) -> list[tuple[str, ...]]:
        """The rows as text: the whole, its parts, and what else is known of the process. That all is explained is said, too."""
        was = {} if self.older is None else {name: count for name, count, _ in self.older._rows()}
        rows = [row for row in self._rows() if row[1] or was.get(row[0]) or (row[1] == 0 and row[0].endswith(NOT_EXPLAINED))]
        return [self._cell(name, count or 0, objects, was.get(name)) for name, count, objects in rows]

    def _rows(self) -> Iterator[tuple[str, int | None, int | None]]:
        """Name, bytes, objects; rows within the resident bytes are indented."""
        yield "resident", self.rss_bytes, None
        for part in self.parts:
            yield f"  {part.name}", part.bytes, part.objects
        yield f"  {NOT_EXPLAINED}", self.unexplained_bytes, None
        yield "swapped out", self.swap_bytes, None
        yield "huge pages (hugetlbfs)", self.hugetlb_bytes, None
        yield "private", self.private_bytes, None
        yield "shared with other processes", self.shared_bytes, None
        yield "proportional set size (PSS)", self.pss_bytes, None
        yield "its control group, all processes", self.cgroup_used_bytes, None
        yield "limit of the control group", self.cgroup_limit_bytes, None

    def _cell(self, name: str, count: int, objects: int | None, was: int | None) -> tuple[str, ...]:
        share = f"{100 * count / self.rss_bytes:.1f} %" if self.rss_bytes and name.startswith(" ") else ""
        since = [] if self.older is None else [_signed(count - (was or 0))]
        return (name, size(count), *since, share, "" if objects is None else number(objects))

    def __str__(self) -> str:
        return "\n".join([_text.plain(self.headers, self.cells()), *self.notes])

    def _repr_html_(self) -> str:
        notes = "".join(_text.html_text(note) for note in self.notes)
        return _text.html(self.headers, self.cells()) + notes

    # ---- in two lines -----------------------------------------------------------------------------------------------

    def brief(self) -> tuple[str, ...]:
        """What a first screen says of the process: its resident memory, and the parts of it, or of its growth, that matter."""
        if self.rss_bytes is None:
            return ()
        if self.growth is not None:
            return self._brief_growth(self.growth)
        whole = f"resident {size(self.rss_bytes)}"
        swapped = f", and {size(self.swap_bytes)} swapped out" if self.swap_bytes else ""
        return f"{whole}{swapped}{self._limit()}:", f"  {_listed(self._shares(), self.rss_bytes)}"

    def _limit(self) -> str:
        """How near the control group is to its limit, if it has one."""
        if self.cgroup_limit_bytes is None or self.cgroup_used_bytes is None:
            return ""
        return f", in a control group that uses {size(self.cgroup_used_bytes)} of {size(self.cgroup_limit_bytes)}"

    def _shares(self) -> list[tuple[str, int]]:
        unexplained = [] if self.unexplained_bytes is None else [(NOT_EXPLAINED, self.unexplained_bytes)]
        return [*((part.name, part.bytes) for part in self.parts), *unexplained]

    def _brief_growth(self, growth: int) -> tuple[str, ...]:
        assert self.rss_bytes is not None and self.older is not None
        whole = f"resident {size(self.rss_bytes)}, {_signed(growth)}{' with what is swapped out' if self.swap_bytes else ''}"
        whole += self._limit()
        if not self.grew and growth > -(1 << 20):
            return (f"{whole}: no growth",)
        was = dict(self.older._shares())
        changes = [(name, count - was.get(name, 0)) for name, count in self._shares()]
        return f"{whole}:", f"  {_listed(changes, abs(growth), signed=True)}"


def _signed(more: int) -> str:
    return f"{'+' * (more > 0)}{size(more)}"


def _listed(shares: list[tuple[str, int]], whole: int, signed: bool = False) -> str:
    """The parts that are not small, the largest first, and the sum of the others."""
    shares = sorted(shares, key=lambda share: -abs(share[1]))
    shown = [share for share in shares if abs(share[1]) >= whole * BRIEF]
    rest = sum(count for _, count in shares) - sum(count for _, count in shown)
    words = [f"{name} {_signed(count) if signed else size(count)}" for name, count in shown]
    return "; ".join([*words, *([f"other {_signed(rest) if signed else size(rest)}"] if rest else [])])


# ---- from a heap ----------------------------------------------------------------------------------------------------


def balance(heap: Heap) -> Memory:
    """The balance of the process that a heap is of, as far as its snapshot knows."""
    graph = heap._graph
    facts = {name: value for name, value in graph.infos().items() if isinstance(value, int)}
    known = _with_other_malloc({name.removeprefix("mem_"): value for name, value in facts.items() if name.startswith("mem_")})
    in_heaps = "pools" in str(graph.infos().get("fallbacks", "")).split()
    footprint: Footprint = graph.footprint(HEAPS if in_heaps else POOLS if known.get("pools_arenas", 1) else MALLOC)
    if in_heaps:
        known = _in_heaps(known)
    if "resident" not in known:
        return _without_account(footprint, facts, known)
    parts = _parts(known, footprint)
    return Memory(
        rss_bytes=known["resident"],
        parts=parts,
        unexplained_bytes=known["resident"] - sum(part.bytes for part in parts),
        swap_bytes=known.get("swapped"),
        pss_bytes=known.get("proportional"),
        private_bytes=known.get("private"),
        shared_bytes=known.get("shared"),
        hugetlb_bytes=known.get("hugetlb"),
        cgroup_used_bytes=known.get("cgroup_used"),
        cgroup_limit_bytes=known.get("cgroup_limit"),
        notes=tuple(_notes(known, in_heaps)),
    )


Footprint = Mapping[str, tuple[int, int, int, int]]  # owner -> objects, bytes, bytes in pools, bytes in chunks of malloc

MALLOC, POOLS, HEAPS = range(3)  # who serves small blocks, for footprint()

OWNERS = {
    "program": "Python objects",
    "c": "Python objects held by C code alone",
    "unreachable": "Python objects, unreachable and not yet collected",
}


def _in_heaps(known: Mapping[str, int]) -> dict[str, int]:
    """A free-threaded interpreter has all objects in heaps of mimalloc: these are its allocator, where a snapshot knows them.

    Its segments lie side by side with stacks of threads, and the account, which does not know them, takes parts of them for stacks:
    what is counted twice is the heaps'."""
    others = {name: value for name, value in known.items() if not name.startswith("pools")}
    if "heaps" not in known:
        return others
    others |= {"pools": known["heaps"], "pools_used": known["heaps_used"]}
    if "stacks" in known:
        twice = sum(others.get(part, 0) for part in RESIDENT) - known["resident"]
        others["stacks"] -= min(max(0, twice), known["stacks"])
    return others


# Parts of what is resident, as an account has them.
RESIDENT = ("images", "stacks", "files", "shared_memory", "pools", "malloc", "mimalloc", "jemalloc", "self")


def _with_other_malloc(known: Mapping[str, int]) -> dict[str, int]:
    """A malloc that took the place of glibc's is the malloc. What a jemalloc has is known by its extents; of another one there is
    its own count alone, which has pages that were never touched, and is no more than what nobody else has."""
    found = dict(known)
    if "other" in found and "malloc" in found:
        extents, found["jemalloc"] = found.get("jemalloc", 0), 0  # it is this one
        left = max(0, found["resident"] - sum(found.get(part, 0) for part in RESIDENT if part != "jemalloc"))
        other = min(extents or found["other"], left)
        found["malloc"] += other
        found["malloc_used"] = found.get("malloc_used", 0) + min(found["other_used"], other)
    return found


def _without_account(footprint: Footprint, facts: Mapping[str, int], known: Mapping[str, int]) -> Memory:
    """Of a file of an older memprobe, or a process whose smaps cannot be read."""
    parts = tuple(MemoryPart(title, sum(footprint[owner][2:]), footprint[owner][0]) for owner, title in OWNERS.items())
    rss = facts.get("rss_bytes") or None
    return Memory(
        rss_bytes=rss,
        parts=parts,
        unexplained_bytes=None if rss is None else rss - sum(part.bytes for part in parts),
        pss_bytes=known.get("proportional"),
        private_bytes=known.get("private"),
        shared_bytes=known.get("shared"),
        notes=("Only Python objects are known: the snapshot has no account of the process's mappings.",),
    )


def _parts(known: Mapping[str, int], footprint: Footprint) -> tuple[MemoryPart, ...]:
    """Objects are taken out of what their allocators have in use, and can be no more than that: memory that was asked for and
    never touched, as numpy's zeros, is not resident."""
    pools, used = known.get("pools"), known.get("malloc_used")
    in_pools, in_chunks = (sum(footprint[owner][column] for owner in (*OWNERS, "self")) for column in (2, 3))
    fit_pools = 1.0 if pools is None else _share(min(known["pools_used"], pools), in_pools)
    fit_chunks = 1.0 if used is None else _share(used, in_chunks)
    taken = {name: (int(row[2] * fit_pools), int(row[3] * fit_chunks)) for name, row in footprint.items()}
    objects = [MemoryPart(title, sum(taken[owner]), footprint[owner][0]) for owner, title in OWNERS.items()]
    in_pools, in_chunks = (sum(taken[owner][column] for owner in (*OWNERS, "self")) for column in (0, 1))
    return (*objects, *_allocators(known, in_pools, in_chunks), *_mappings(known, sum(taken["self"])))


def _share(there: int, wanted: int) -> float:
    return min(1.0, there / wanted) if wanted else 1.0


def _allocators(known: Mapping[str, int], in_pools: int, in_chunks: int) -> Iterator[MemoryPart]:
    """What is not the objects' own, who take so many bytes of each."""
    pools, used = known.get("pools"), known.get("malloc_used")
    if pools is not None:
        in_use = min(known["pools_used"], pools)
        yield MemoryPart("Python's allocator, blocks that are no objects", in_use - in_pools)
        yield MemoryPart("Python's allocator, free", pools - in_use)
    unread = known.get("malloc_unread", 0)
    if used is None:
        yield MemoryPart("malloc, in use or free", known["malloc"] - in_chunks)
        return
    yield MemoryPart("malloc, in use by C code", used - in_chunks)
    yield MemoryPart("malloc, free and not returned", known["malloc"] - unread - used)
    yield MemoryPart("malloc, in use or free", unread)


def _mappings(known: Mapping[str, int], own_objects: int) -> Iterator[MemoryPart]:
    yield MemoryPart("mimalloc of a library, in use or free", known.get("mimalloc", 0))
    yield MemoryPart("jemalloc of a library, in use or free", known.get("jemalloc", 0))
    yield MemoryPart("program and libraries", known["images"])
    yield MemoryPart("thread stacks", known["stacks"])
    yield MemoryPart("files", known["files"])
    yield MemoryPart("shared memory", known["shared_memory"])
    yield MemoryPart("memprobe itself", own_objects + known.get("self", 0))


def is_worth(count: int, resident: int) -> bool:
    """Whether so many bytes are worth a sentence."""
    return count >= max(WORTH, resident // 10)


def _notes(known: Mapping[str, int], in_heaps: bool) -> Iterator[str]:
    if "pools" not in known and in_heaps:
        yield "Of the heaps of a free-threaded Python only the objects are known: the rest is not explained."
    elif "pools" not in known:
        yield "The kernel does not let a process look for Python's arenas: what is free in them is not explained."
    if "malloc_used" not in known:
        yield "This C library does not say how much of malloc's memory is in use."
    elif "malloc_chunks" not in known:
        yield "Taken without a fork: what malloc has in use is its own count, which takes part in memory that was never touched."
