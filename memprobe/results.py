"""What memprobe's questions answer: frozen dataclasses, with a readable str(), to_dict() for JSON and tables for notebooks.

Counts are objects, sizes are bytes, times are seconds unless the name ends in `_ms`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from memprobe import _text
from memprobe._labels import Label
from memprobe._text import number, size

if TYPE_CHECKING:
    from memprobe.heap import Heap

Json = dict[str, Any]


class Record:
    """A result that is a handful of named values: a line for each."""

    __slots__ = ()

    def to_dict(self) -> Json:
        """The values by name, as JSON knows them."""
        return asdict(self)  # type: ignore[call-overload,no-any-return]

    def lines(self) -> list[tuple[str, str]]:
        """The values as a reader wants them, each with its name."""
        return [(name.removesuffix("_ms").replace("_", " "), _shown(name, value)) for name, value in self.to_dict().items()]

    def known_lines(self) -> list[tuple[str, str]]:
        """The same without the values that are None."""
        return [line for line, value in zip(Record.lines(self), self.to_dict().values(), strict=True) if value is not None]

    def __str__(self) -> str:
        lines = self.lines()
        width = max(len(name) for name, _ in lines)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)

    def _repr_html_(self) -> str:
        return _text.html(("", ""), self.lines(), caption=type(self).__name__)


def _shown(name: str, value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("bytes") and isinstance(value, int):
        return f"{size(value)} ({number(value)})" if value >= 1024 else size(value)
    if name.endswith("_ms") and isinstance(value, (int, float)):
        return f"{value:.2f} ms"
    if name == "time" and isinstance(value, (int, float)):
        return datetime.fromtimestamp(value).isoformat(" ", "seconds")
    if isinstance(value, int) and name != "pid":
        return number(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value)


# ---- objects by type ------------------------------------------------------------------------------------------------


class Row:
    """A line of a table: named values, in their order."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(vars(self).values())

    def to_dict(self) -> Json:
        """The values by name."""
        return dict(vars(self))


@dataclass(frozen=True)
class TypeRow(Row):
    """All objects of one type: how many, their bytes, and these as a share of all bytes."""

    type: str
    count: int
    bytes: int
    percent: float


@dataclass(frozen=True)
class TypeTable:
    """Objects by type, most bytes first. A sequence of its first `limit` rows; `every` has them all, and growth() uses those."""

    every: tuple[TypeRow, ...] = field(repr=False)
    limit: int | None = 20

    @classmethod
    def of(cls, counted: Iterable[tuple[str, int, int]], limit: int | None = 20) -> TypeTable:
        """From (type name, count, bytes); types of the same name are added up, types without objects left out."""
        sums: dict[str, tuple[int, int]] = {}
        for name, count, total in counted:
            if count:
                old = sums.get(name, (0, 0))
                sums[name] = old[0] + count, old[1] + total
        whole = sum(total for _, total in sums.values()) or 1
        rows = (TypeRow(name, count, total, 100.0 * total / whole) for name, (count, total) in sums.items())
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
        """{objects, bytes, types, rows: [{type, count, bytes, percent}]}; `types` says how many there are in all."""
        rows = [row.to_dict() for row in self.rows]
        return {"objects": self.objects, "bytes": self.bytes, "types": len(self.every), "rows": rows}

    def cells(self) -> list[tuple[str, ...]]:
        """The rows as text, under `headers`."""
        cells = [(row.type, number(row.count), size(row.bytes), f"{row.percent:.1f} %") for row in self.rows]
        hidden = self.every[len(self.rows) :]
        if hidden:
            count, total = sum(row.count for row in hidden), sum(row.bytes for row in hidden)
            share = f"{sum(row.percent for row in hidden):.1f} %"
            cells.append((f"... {number(len(hidden))} more types", number(count), size(total), share))
        return [*cells, ("total", number(self.objects), size(self.bytes), "")]

    headers = ("type", "count", "bytes", "share")

    def __str__(self) -> str:
        return _text.plain(self.headers, self.cells())

    def _repr_html_(self) -> str:
        return _text.html(self.headers, self.cells())


@dataclass(frozen=True)
class GrowthRow(Row):
    """How much more there is of one type."""

    type: str
    count: int
    bytes: int


@dataclass(frozen=True)
class Growth:
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


@dataclass(frozen=True)
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

    def lines(self) -> list[tuple[str, str]]:
        """Without what is not known."""
        return self.known_lines()


@dataclass(frozen=True)
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
    graph_bytes: int  # the sum of the objects' sizes
    traced_bytes: int | None  # what tracemalloc knew, when it was on
    rss_bytes: int | None  # of the whole process
    fallbacks: tuple[str, ...]
    unreachable_objects: int = 0
    unreachable_bytes: int = 0
    own_objects: int = 0  # memprobe's own, in no other number
    own_bytes: int = 0
    dangling_edges: int = 0  # to memory that is no known object: dropped

    @property
    def explained(self) -> float:
        """The share of mortal objects whose reference count is found to the last reference, in percent."""
        mortal = self.residual_zero + self.residual_positive + self.residual_negative
        return 100.0 * self.residual_zero / mortal if mortal else 100.0

    def lines(self) -> list[tuple[str, str]]:
        """With the share that is explained."""
        return [*super().lines(), ("explained", f"{self.explained:.2f} % of mortal objects")]


@dataclass(frozen=True)
class SnapshotInfo(Record):
    """A snapshot file that was written: `bytes` is its size, `pause_ms` how long the process could not run Python.

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


@dataclass(frozen=True)
class Reference:
    """`holder` refers to the object in question by `label`: '.name', "['key']", '[3]'."""

    holder: object
    label: str

    def to_dict(self) -> Json:
        """{holder: its type, label}: an object itself is no JSON."""
        return {"holder": type_name(self.holder), "label": self.label}

    def __str__(self) -> str:
        return f"{type_name(self.holder)} at {id(self.holder):#x} {self.label}"


@dataclass(frozen=True)
class RefCount:
    """An object's reference count, explained: `found` references by `holders`, the rest (`residual`) by C code and by whoever asks.
    For an immortal object the count means nothing."""

    count: int
    found: int
    residual: int
    immortal: bool
    holders: tuple[Reference, ...]

    def to_dict(self) -> Json:
        """{count, found, residual, immortal, holders: [{holder, label}]}."""
        numbers = {"count": self.count, "found": self.found, "residual": self.residual, "immortal": self.immortal}
        return {**numbers, "holders": [reference.to_dict() for reference in self.holders]}

    def __str__(self) -> str:
        if self.immortal:
            head = f"immortal; {number(self.found)} references found"
        else:
            head = f"{number(self.count)} references: {number(self.found)} found, {number(self.residual)} held by C code"
        return "\n".join([head, *(f"  {reference}" for reference in self.holders)])


def type_name(value: object) -> str:
    """The name of an object's type, as tables have it: qualified by its module, unless that is builtins."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


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
    0x0400: "namespace",
    0x0800: "bounded",
    0x1000: "own",
    0x2000: "unreachable",
}


@dataclass(frozen=True)
class Node:
    """One object of a heap, or one of its root groups. `text` is its contents or name where the heap has it."""

    id: int
    address: int
    type: str
    size: int
    flags: frozenset[str]
    residual: int
    text: str | None
    heap: Heap = field(repr=False, compare=False)

    def references(self, limit: int | None = None) -> list[Edge]:
        """What it refers to, in the order of the object, at most `limit`."""
        return self.heap.references(self.id, limit)

    def referrers(self, limit: int | None = None) -> list[Edge]:
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


@dataclass(frozen=True)
class Edge:
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


@dataclass(frozen=True)
class GcStats:
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


@dataclass(frozen=True)
class PymallocStats:
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

    def to_dict(self) -> Json:
        """Every field; classes: [{size, pools, used, free}]."""
        return {**self._numbers(), "classes": [row._asdict() for row in self.classes]}

    def cells(self) -> list[tuple[str, ...]]:
        """The rows as text, under `headers`."""
        return [tuple(map(number, row)) for row in self.classes]

    def __str__(self) -> str:
        head = "\n".join(f"{name.replace('_', ' '):<11}  {_shown(name, value)}" for name, value in self._numbers().items())
        return f"{head}\n\n{_text.plain(SizeClass._fields, self.cells(), left=-1)}"

    def _repr_html_(self) -> str:
        return _text.html(SizeClass._fields, self.cells(), left=-1)
