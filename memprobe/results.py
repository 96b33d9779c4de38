"""What memprobe's questions answer: frozen dataclasses and sequences of them. repr() is the readable text, bounded to a screen;
to_dict() is for JSON, and notebooks show the same as HTML. None of it runs code of the objects that an answer refers to.

Counts are objects, sizes are bytes, times are seconds unless the name ends in `_ms`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from memprobe import _text
from memprobe._labels import Label
from memprobe._readable import Answers, Json, Readable, Record, Row, describe, shown, type_words
from memprobe._text import number, size

if TYPE_CHECKING:
    from memprobe import _core
    from memprobe.heap import Heap


MARK = " *"  # behind a type whose sizes are perhaps not all: of rows that are `may_hold_native`
MARKED = "* may hold native memory that is not in these sizes"

# ---- objects by type ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class TypeRow(Row):
    """All objects of one type: how many, their bytes, and these as a share of all bytes."""

    type: str
    count: int
    bytes: int
    percent: float
    may_hold_native: bool = False  # memory of C code that no formula knows, beside these bytes


@dataclass(frozen=True, repr=False)
class TypeTable(Readable):
    """Objects by type, most bytes first. A sequence of its first `limit` rows; `every` has them all, and growth() uses those."""

    every: tuple[TypeRow, ...] = field(repr=False)
    limit: int | None = 20

    @classmethod
    def of(cls, counted: Iterable[tuple[Any, ...]], limit: int | None = 20) -> TypeTable:
        """From (type name, count, bytes) and, where it is known, whether they may hold native memory; types of the same name are
        added up, types without objects left out."""
        sums: dict[str, tuple[int, int, bool]] = {}
        for name, count, total, *native in counted:
            if count:
                old = sums.get(name, (0, 0, False))
                sums[name] = old[0] + count, old[1] + total, old[2] or any(native)
        whole = sum(total for _, total, _ in sums.values()) or 1
        rows = (TypeRow(name, count, total, 100.0 * total / whole, native) for name, (count, total, native) in sums.items())
        return cls(tuple(sorted(rows, key=lambda row: (-row.bytes, -row.count, row.type))), limit)

    @property
    def rows(self) -> tuple[TypeRow, ...]:
        """The first `limit` rows."""
        return self.every[: self.limit]

    @property
    def objects(self) -> int:
        """Objects of all types."""
        return sum(row.count for row in self.every)

    @property
    def bytes(self) -> int:
        """Bytes of all types."""
        return sum(row.bytes for row in self.every)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[TypeRow]:
        return iter(self.rows)

    def __getitem__(self, index: int) -> TypeRow:
        return self.rows[index]

    def to_dict(self) -> Json:
        """{objects, bytes, types, rows: [{type, count, bytes, percent, may_hold_native}]}; `types` says how many there are."""
        rows = [row.to_dict() for row in self.rows]
        return {"objects": self.objects, "bytes": self.bytes, "types": len(self.every), "rows": rows}

    def cells(self) -> list[tuple[str, ...]]:
        """The rows as text, under `headers`."""
        cells = [
            (f"{row.type}{MARK * row.may_hold_native}", number(row.count), size(row.bytes), f"{row.percent:.1f} %")
            for row in self.rows
        ]
        hidden = self.every[len(self.rows) :]
        if hidden:
            count, total = sum(row.count for row in hidden), sum(row.bytes for row in hidden)
            share = f"{sum(row.percent for row in hidden):.1f} %"
            cells.append((f"... {number(len(hidden))} more types", number(count), size(total), share))
        return [*cells, ("total", number(self.objects), size(self.bytes), "")]

    headers = ("type", "count", "bytes", "share")

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said below the table: what the mark means, if a row has it."""
        return (MARKED,) if any(row.may_hold_native for row in self.rows) else ()

    def __str__(self) -> str:
        return "\n".join([_text.plain(self.headers, self.cells()), *self.notes])

    def _repr_html_(self) -> str:
        return _text.html(self.headers, self.cells()) + "".join(f"<p>{_text.escape(note)}</p>" for note in self.notes)


@dataclass(frozen=True, repr=False)
class GrowthRow(Row):
    """How much more there is of one type."""

    type: str
    count: int
    bytes: int


@dataclass(frozen=True, repr=False)
class Growth(Readable):
    """What grew between two TypeTables, most bytes first: a sequence of its first `limit` rows. `objects` and `bytes` are the
    differences of the totals, types that shrank included."""

    every: tuple[GrowthRow, ...] = field(repr=False)
    objects: int
    bytes: int
    limit: int | None = 20

    @classmethod
    def between(cls, older: TypeTable, newer: TypeTable, limit: int | None = 20) -> Growth:
        """Compare two tables, all their types."""
        before = {row.type: row for row in older.every}
        rows = []
        for row in newer.every:
            was = before.get(row.type)
            change = GrowthRow(row.type, row.count - (was.count if was else 0), row.bytes - (was.bytes if was else 0))
            if change.count > 0 or change.bytes > 0:
                rows.append(change)
        rows.sort(key=lambda row: (-row.bytes, -row.count, row.type))
        return cls(tuple(rows), newer.objects - older.objects, newer.bytes - older.bytes, limit)

    @property
    def rows(self) -> tuple[GrowthRow, ...]:
        """The first `limit` rows."""
        return self.every[: self.limit]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[GrowthRow]:
        return iter(self.rows)

    def __getitem__(self, index: int) -> GrowthRow:
        return self.rows[index]

    def to_dict(self) -> Json:
        """{objects, bytes, types, rows: [{type, count, bytes}]}."""
        rows = [row.to_dict() for row in self.rows]
        return {"objects": self.objects, "bytes": self.bytes, "types": len(self.every), "rows": rows}

    def cells(self) -> list[tuple[str, ...]]:
        """The rows as text, under `headers`."""
        cells = [(row.type, f"{row.count:+,}", f"{'+' * (row.bytes >= 0)}{size(row.bytes)}") for row in self.rows]
        hidden = len(self.every) - len(self.rows)
        if hidden:
            cells.append((f"... {number(hidden)} more types", "", ""))
        return [*cells, ("whole heap", f"{self.objects:+,}", f"{'+' * (self.bytes >= 0)}{size(self.bytes)}")]

    headers = ("type", "count", "bytes")

    def __str__(self) -> str:
        return _text.plain(self.headers, self.cells())

    def _repr_html_(self) -> str:
        return _text.html(self.headers, self.cells())


# ---- a heap and how it was taken ------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class HeapInfo(Record):
    """What a heap is of. `mode` says how it was taken: in the process itself, or in a forked child. `cut` is None, or why only a
    part of the file could be read."""

    objects: int
    edges: int
    bytes: int
    pause_ms: float
    python: str
    pid: int
    time: float
    mode: str
    loaded_bytes: int  # memory that the heap takes in the process that analyses it
    duration_ms: float | None = None  # what a snapshot took in all
    fork_ms: float | None = None  # of a forked one: the part of the pause that the fork took
    cow_bytes: int | None = None  # of a forked one: memory copied because parent or child wrote to it, as of the child's end
    cut: str | None = None
    origins_ms: float | None = None  # of the pause: asking tracemalloc where objects were made; None: it was not asked
    origins_asked: int | None = None  # objects that it was asked about

    def lines(self) -> list[tuple[str, str]]:
        """Without what is not known."""
        return self.known_lines()


@dataclass(frozen=True, repr=False)
class Accounting(Record):
    """How much of the process a capture explains. A residual is an object's reference count less the references found: above zero
    something in C holds it, below zero would be a mistake. `fallbacks` names the private sources of truth that this interpreter did
    not confirm, so that a public, slower one was used."""

    objects: int
    immortal: int
    residual_zero: int
    residual_positive: int
    residual_negative: int
    estimated_sizes: int
    may_hold_native: int | None  # objects whose C type may own memory that no formula knows; None: an older file
    graph_bytes: int  # the sum of the objects' sizes
    traced_bytes: int | None  # what tracemalloc knew, when it was on
    rss_bytes: int | None  # of the whole process
    fallbacks: tuple[str, ...]
    unreachable_objects: int = 0
    unreachable_bytes: int = 0
    own_objects: int = 0  # memprobe's own, in no other number
    own_bytes: int = 0
    unseen_objects: int | None = None  # untracked, and held by C code alone: found by looking at each block in use
    unseen_rejected: int | None = None  # that looked like one, and were none
    dangling_edges: int = 0  # to memory that is no known object: dropped

    @property
    def explained(self) -> float:
        """The share of mortal objects whose reference count is found to the last reference, in percent."""
        mortal = self.residual_zero + self.residual_positive + self.residual_negative
        return 100.0 * self.residual_zero / mortal if mortal else 100.0

    def lines(self) -> list[tuple[str, str]]:
        """With the share that is explained."""
        return [*super().lines(), ("explained", f"{self.explained:.2f} % of mortal objects")]


@dataclass(frozen=True, repr=False)
class SnapshotInfo(Record):
    """A snapshot file that was written: `bytes` is its size, `pause_ms` how long the process could not run Python. `objects` and
    `edges` are what the writer recorded, memprobe's own and root groups among them, which the info of the loaded file excludes; of
    the command they are those of the file.

    `mode` is "forked" (a child wrote it while the process went on: making it took `fork_ms` of the pause, and `cow_bytes` of
    memory were copied because one of them wrote to it) or "streamed" (the process wrote it itself; `reason` says why, unless it
    was asked to). `attached`
    says how another process was asked: its "agent" was there, or was started by "sys.remote_exec" or "gdb"."""

    path: str
    objects: int
    edges: int
    bytes: int
    pause_ms: float
    mode: str
    duration_ms: float | None = None
    fork_ms: float | None = None
    cow_bytes: int | None = None
    reason: str | None = None
    attached: str | None = None

    def lines(self) -> list[tuple[str, str]]:
        """Without what is not of its mode."""
        return self.known_lines()


# ---- one object -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False, slots=True)
class Reference(Readable):
    """`holder` refers to the object in question by `label`: '.name', "['key']", '[3]'. The holder is a living object, or the words
    for a frame or thread. `callers` says that it is a variable of the frame that asked."""

    holder: object
    label: Label
    callers: bool = False

    def to_dict(self) -> Json:
        """{holder: its type, or the words for a frame or thread, label, callers}: an object itself is no JSON."""
        holder = self.holder if type(self.holder) is str else type_name(self.holder)
        return {"holder": holder, "label": str(self.label), "callers": self.callers}

    def __str__(self) -> str:
        holder = self.holder if type(self.holder) is str else describe(self.holder)
        note = f"  ({self.variable})" if self.callers else ""
        return f"{holder}{'' if self.label[:1] in '.[' else ' '}{self.label}{note}"

    @property
    def variable(self) -> str:
        """What to call a variable of the caller's."""
        return f"the caller's own variable {self.label.name!r}" if self.label.name else "a variable of the caller's"


@dataclass(frozen=True, repr=False)
class RefCount(Readable):
    """An object's reference count, explained: `found` references, each in `holders`, and the rest (`residual`), which C code holds.

    Neither has what memprobe itself and the call refer to. Variables of the frame that asked are among them, and marked so. For
    an immortal object the count means nothing."""

    count: int
    found: int
    residual: int
    immortal: bool
    holders: Sequence[Reference]

    def to_dict(self) -> Json:
        """{count, found, residual, immortal, holders: [{holder, label, callers}]}."""
        numbers = {"count": self.count, "found": self.found, "residual": self.residual, "immortal": self.immortal}
        return {**numbers, "holders": [reference.to_dict() for reference in self.holders]}

    def __str__(self) -> str:
        return f"{self.line()}\n{self.holders}" if self.found else self.line()

    def line(self) -> str:
        """The sum alone."""
        own = self.callers()
        if self.immortal:
            return f"immortal; {number(self.found)} references found"
        parts = [f"{number(self.found - len(own))} found in the program", *(reference.variable for reference in own)]
        if len(own) > 3:
            parts[1:] = [f"{number(len(own))} variables of the caller's"]
        elif own:
            parts[1:] = [f"1 {words}" if words.startswith("the ") else words for words in parts[1:]]
        if self.residual > 0:
            parts.append(f"{number(self.residual)} held by C code")
        elif self.residual < 0:
            parts.append(f"{number(-self.residual)} of them not counted")
        return f"{number(self.count)} reference{'s' * (self.count != 1)}: {', '.join(parts)}"

    def callers(self) -> list[Reference]:
        """Those that are variables of the frame that asked."""
        return [self.holders[at] for at in getattr(self.holders, "callers", ())] if self.found else []


class Holders(Answers[Reference]):
    """References to an object. `callers` are the indexes of those that are variables of the frame that asked."""

    __slots__ = ("callers",)

    NOTHING = "no references"

    def __init__(self, rows: Sequence[tuple[Any, ...]], held: _core.Held, callers: Iterable[int]) -> None:
        self.callers = frozenset(callers)
        super().__init__(len(rows), lambda at: self._reference(at, rows[at]), held=held)

    def _reference(self, at: int, row: tuple[Any, ...]) -> Reference:
        holder: object = row[0] if type(row[0]) is str or self._held is None else self._held[row[0]]
        return Reference(holder, Label(*row[1:]), at in self.callers)


def type_name(value: object) -> str:
    """The name of an object's type, as tables have it: qualified by its module, unless that is builtins."""
    return type_words(type(value))


# What a node's flags say, by the bits of graph/sink.h.
FLAGS = {
    0x0001: "tracked",
    0x0002: "immortal",
    0x0004: "interned",
    0x0008: "frozen",
    0x0010: "estimated",
    0x0020: "static",
    0x0040: "synthetic",
    0x0080: "type",
    0x0100: "module",
    0x0400: "native",
    0x0800: "bounded",
    0x1000: "own",
    0x2000: "unreachable",
}


@dataclass(frozen=True, repr=False)
class Node(Readable):
    """One object of a heap, or one of its root groups. `text` is its contents or name where the heap has it."""

    id: int
    address: int
    type: str
    size: int
    flags: frozenset[str]
    residual: int
    text: str | None
    heap: Heap = field(repr=False, compare=False)

    def references(self, limit: int | None = None) -> Answers[Edge]:
        """What it refers to, in the order of the object, at most `limit`."""
        return self.heap.references(self.id, limit)

    def referrers(self, limit: int | None = None) -> Answers[Edge]:
        """What refers to it, at most `limit`. The first call on a heap indexes all its edges backwards."""
        return self.heap.referrers(self.id, limit)

    def to_dict(self) -> Json:
        """{id, address, type, size, flags, residual, text}."""
        return {
            "id": self.id,
            "address": self.address,
            "type": self.type,
            "size": self.size,
            "flags": sorted(self.flags),
            "residual": self.residual,
            "text": self.text,
        }

    def __str__(self) -> str:
        if "synthetic" in self.flags:
            return f"<{self.text or self.type}>"
        shown = "" if self.text is None else f" {self.text!r}" if len(self.text) <= 40 else f" {self.text[:37] + '...'!r}"
        return f"{self.type}{shown} at {self.address:#x}, {size(self.size)}"


@dataclass(frozen=True, repr=False)
class Edge(Readable):
    """`holder` refers to `target` by `label`."""

    holder: Node
    target: Node
    label: Label

    @property
    def kind(self) -> str:
        """What kind of reference it is: see Label."""
        return self.label.kind

    @property
    def weak(self) -> bool:
        """Whether it does not keep its target alive."""
        return self.label.weak

    @property
    def housekeeping(self) -> bool:
        """Whether it is one that every program has, such as from a function to its globals."""
        return self.label.housekeeping

    def to_dict(self) -> Json:
        """{holder: id, target: id, label, kind, weak, housekeeping}."""
        ends = {"holder": self.holder.id, "target": self.target.id}
        return {**ends, "label": str(self.label), "kind": self.kind, "weak": self.weak, "housekeeping": self.housekeeping}

    def __str__(self) -> str:
        note = " (weak)" if self.weak else ""
        return f"{self.holder} {self.label} -> {self.target}{note}"


# ---- what the interpreter does --------------------------------------------------------------------------------------


class Generation(NamedTuple):
    """One generation of the collector: objects on its list now, its threshold, and what its collections did so far."""

    objects: int
    threshold: int | None
    collections: int | None
    collected: int | None
    uncollectable: int | None


@dataclass(frozen=True, repr=False)
class GcStats(Readable):
    """The collector: its generations, youngest first, and the objects that gc.freeze() put out of its sight."""

    enabled: bool
    generations: tuple[Generation, ...]
    frozen: int

    def to_dict(self) -> Json:
        """{enabled, frozen, generations: [{objects, threshold, collections, collected, uncollectable}]}."""
        rows = [generation._asdict() for generation in self.generations]
        return {"enabled": self.enabled, "frozen": self.frozen, "generations": rows}

    def cells(self) -> list[tuple[str, ...]]:
        """The rows as text, under `headers`."""
        rows = [(str(index), *("" if n is None else number(n) for n in row)) for index, row in enumerate(self.generations)]
        return [*rows, ("frozen", number(self.frozen), "", "", "", "")]

    headers = ("generation", *Generation._fields)

    def __str__(self) -> str:
        return f"the collector is {'on' if self.enabled else 'off'}\n{_text.plain(self.headers, self.cells())}"

    def _repr_html_(self) -> str:
        return _text.html(self.headers, self.cells(), caption=f"the collector is {'on' if self.enabled else 'off'}")


class SizeClass(NamedTuple):
    """pymalloc's pools for blocks of one size: how many, and their blocks in use and free."""

    size: int
    pools: int
    used: int
    free: int


@dataclass(frozen=True, repr=False)
class PymallocStats(Readable):
    """CPython's allocator for blocks of up to 512 bytes. `lost_bytes` are pool headers and what is too small for one more block."""

    arenas: int
    arena_bytes: int
    pools: int
    free_pools: int
    used_blocks: int
    used_bytes: int
    free_bytes: int
    lost_bytes: int
    classes: tuple[SizeClass, ...] = field(repr=False)

    @classmethod
    def of(cls, counted: Mapping[str, Any]) -> PymallocStats:
        """From what the extension counted."""
        return cls(**{**counted, "classes": tuple(SizeClass(*row) for row in counted["classes"])})

    def _numbers(self) -> Json:
        return {name: value for name, value in vars(self).items() if name != "classes"}

    def _lines(self) -> list[tuple[str, str]]:
        return [(name.replace("_", " "), shown(name, value)) for name, value in self._numbers().items()]

    def to_dict(self) -> Json:
        """Every field; classes: [{size, pools, used, free}]."""
        return {**self._numbers(), "classes": [row._asdict() for row in self.classes]}

    def cells(self) -> list[tuple[str, ...]]:
        """The rows as text, under `headers`."""
        return [tuple(map(number, row)) for row in self.classes]

    def __str__(self) -> str:
        head = "\n".join(f"{name:<11}  {value}" for name, value in self._lines())
        return f"{head}\n\n{_text.plain(SizeClass._fields, self.cells(), left=-1)}"

    def _repr_html_(self) -> str:
        return _text.html(("", ""), self._lines()) + _text.html(SizeClass._fields, self.cells(), left=-1)
