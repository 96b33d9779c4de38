"""What a program could do without while it keeps the same data, and how: the answers of Heap.waste().

The C files src/algo/waste* find it; here it is named and told what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from memprobe import _names, _text
from memprobe._labels import EdgeRow, Label
from memprobe._names import Steps
from memprobe._readable import Json, Readable, Row
from memprobe._text import number, size
from memprobe.results import MARK, MARKED, Node

if TYPE_CHECKING:
    from memprobe.heap import Heap

# What each kind is called when there are several.
KINDS = {
    "duplicate": "duplicates",
    "sparse": "sparse containers",
    "empty": "empty containers",
    "boxed": "numbers in lists",
    "slots": "classes without __slots__",
    "unshared": "lost key sharing",
}
WITHOUT_HASHES = "duplicates are not known: take the snapshot with --hashes, capture(hashes=True)"
WITHOUT_COSTS = "containers and instances are not known: this snapshot is from an older memprobe, take a new one"
SHOWN_NAMES = 6  # attributes of a class that are spelled out
TEXT = 40  # characters of a value that are shown


@dataclass(frozen=True, repr=False)
class WasteRow(Row):
    """One finding. `kind` is one of duplicate, sparse, empty, boxed, slots and unshared; `name` is who holds the `count` objects of
    `type`, or their class; `bytes` would be saved by what `advice` says. Of duplicates those are counted that are too many. `node`
    is the id of the one that wastes most."""

    kind: str
    name: str
    type: str
    count: int
    bytes: int
    advice: str
    node: int
    may_hold_native: bool = False  # the type, memory of C code that no formula knows, beside these bytes

    def __str__(self) -> str:
        return f"{size(self.bytes)}  {_words(self)}{MARK * self.may_hold_native}\n    {self.advice}"


@dataclass(frozen=True)
class Duplicate(Row):
    """One value that `count` objects of `type` have: `name` is the value, where the heap has it, or the way to one of them, `node`.
    With one object instead of all, `bytes` would be saved."""

    name: str
    type: str
    count: int
    bytes: int
    node: int


@dataclass(frozen=True)
class WasteTotal(Row):
    """All findings of a kind: how many objects, and the bytes that would be saved. Kinds overlap: one object may be in several."""

    kind: str
    count: int
    bytes: int


@dataclass(frozen=True, repr=False)
class Waste(Readable):
    """What could be saved, most bytes first: a sequence of at most `limit` rows. `totals` count all that was found, also what is
    not among the rows; `values` are the duplicates by value, likewise; `unknown` says what could not be looked for, and how it
    can."""

    rows: tuple[WasteRow, ...]
    values: tuple[Duplicate, ...]
    totals: tuple[WasteTotal, ...]
    unknown: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[WasteRow]:
        return iter(self.rows)

    def __getitem__(self, index: int) -> WasteRow:
        return self.rows[index]

    def total(self, kind: str) -> WasteTotal:
        """The total of a kind."""
        return next(row for row in self.totals if row.kind == kind)

    def to_dict(self) -> Json:
        """{rows: [{kind, name, type, count, bytes, advice, node, may_hold_native}], values: [{name, type, count, bytes, node}],
        totals: [{kind, count, bytes}], unknown: [sentence]}."""
        parts = {"rows": self.rows, "values": self.values, "totals": self.totals}
        return {**{name: [row.to_dict() for row in part] for name, part in parts.items()}, "unknown": list(self.unknown)}

    @property
    def headers(self) -> tuple[str, ...]:
        """Of cells()."""
        return ("waste", "objects", "bytes")

    def cells(self) -> list[tuple[str, ...]]:
        """The totals as text, under `headers`."""
        return [(KINDS[row.kind], number(row.count), size(row.bytes)) for row in self.totals if row.count]

    def __str__(self) -> str:
        table = [_text.plain(self.headers, self.cells())] if self.cells() else []
        return "\n".join([self._findings(), *table, *self.notes])

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said below: what the mark means, if a row has it, and what is unknown."""
        marked = any(row.may_hold_native for row in self.rows)
        return ((MARKED,) if marked else ()) + self.unknown

    def _findings(self) -> str:
        rows = [f"{index}. {row}" for index, row in enumerate(self.rows, 1)]
        return "\n".join(rows or ["nothing that is worth a change was found"])

    def _repr_html_(self) -> str:
        table = _text.html(self.headers, self.cells()) if self.cells() else ""
        notes = "".join(f"<p>{_text.escape(sentence)}</p>" for sentence in self.notes)
        return _text.html_text(_text.screen(self._findings())) + table + notes


def waste(heap: Heap, limit: int | None) -> Waste:
    """All rows, some of which may read alike, and the first `limit` values."""
    hashed, costs, totals, found = heap._graph.waste(-1 if limit is None else max(limit, 1))
    rows = [row for row in found if row[0] != "duplicate"]
    values = [row for row in found if row[0] == "duplicate"][:limit]
    ids = [row[2] for row in (*rows, *values)]
    named = _names.named(heap, ids)
    above = list({steps.ids[-2] for _, steps in named[: len(rows)] if steps})
    holders = dict(zip(above, _names.names(heap, above), strict=True))
    native = {row[1] for row in heap._graph.types() if row[4]}
    unknown = (*(() if hashed else (WITHOUT_HASHES,)), *(() if costs else (WITHOUT_COSTS,)))
    return Waste(
        tuple(
            replace(_row(heap, row, *place, holders), may_hold_native=row[1] in native)
            for row, place in zip(rows, named, strict=False)
        ),
        tuple(_duplicate(heap, row, name) for row, (name, _) in zip(values, named[len(rows) :], strict=True)),
        tuple(WasteTotal(kind, *totals[kind]) for kind in KINDS),
        unknown,
    )


def _duplicate(heap: Heap, found: tuple[Any, ...], called: str) -> Duplicate:
    _, type, node, *_, count, total = found
    return Duplicate(_value(heap.node(node)) or called, type, count, total, node)


def _row(heap: Heap, found: tuple[Any, ...], called: str, steps: Steps, holders: dict[int, str]) -> WasteRow:
    kind, type, node, owner, held, detail, slots, weakrefs, count, total = found
    if kind in ("slots", "unshared"):
        advice = _slots(heap, heap.node(node), slots, weakrefs) if kind == "slots" else _unshared(detail)
        return WasteRow(kind, type, type, count, total, advice, node)
    name = _place(heap, owner, held, count, called, holders[steps.ids[-2]] if steps else "")
    if kind == "copies":
        return WasteRow("duplicate", name, type, count, total, DUPLICATES[type], node)
    advice = ARRAYS[detail] if kind == "boxed" else CONTAINERS[kind].format(type=type)
    return WasteRow(kind, name, type, count, total, advice, node)


def _words(row: WasteRow) -> str:
    many = number(row.count)
    plural = "" if row.count == 1 else "s"
    if row.kind == "duplicate":
        return f"{row.name}: {many} {row.type} of which there is another with the same contents"
    if row.kind == "slots":
        return f"{row.name}: {many} instances without __slots__"
    if row.kind == "unshared":
        return f"{row.name}: {many} instance{plural} with a dict of its own keys"
    adjective = {"sparse": "sparse ", "empty": "empty ", "boxed": ""}[row.kind]
    return f"{row.name}: {many} {adjective}{row.type}{plural}{' of numbers' if row.kind == 'boxed' else ''}"


# ---- names --------------------------------------------------------------------------------------------------------------


def _value(node: Node) -> str | None:
    """What a str or bytes contains, where the heap has that."""
    if node.text is None:
        return None
    shown = node.text if node.type == "bytes" else repr(node.text)
    return shown if len(shown) <= TEXT else f"{shown[: TEXT - 1]}…"


def _place(heap: Heap, owner: str | None, held: Sequence[EdgeRow], count: int, called: str, holder: str) -> str:
    """An attribute of a class, `app.Session.data`; of others the name of the first, its last step masked for many."""
    if not held or owner is None:
        return called
    label = Label.of(held[0])
    if label.name and "." in owner and not heap.node(held[0][0]).flags & {"synthetic"} and label.kind in ("value", "attr", "field"):
        return f"{owner}.{label.name}"
    return called if count == 1 or not holder else f"{holder}[…]"


# ---- advice -------------------------------------------------------------------------------------------------------------

DUPLICATES = {
    "str": "sys.intern() it where it is made, or keep one of each in a dict and hand that out.",
    "bytes": "Keep one of each in a dict, and hand that out.",
    "tuple": "Keep one of each in a dict, and hand that out.",
}
CONTAINERS = {
    "sparse": "It has room for more than is in it: replace it by a copy, {type}(it), once it has shrunk or is complete.",
    "empty": "Nothing is ever put in: begin with None, or a shared (), and make the {type} when it is first needed.",
}
ARRAYS = {
    "float": "array.array('d', it), or a numpy array of float64, keeps the numbers and not an object for each.",
    "int": "array.array('q', it), or a numpy array of int64, keeps the numbers and not an object for each.",
    "complex": "A numpy array of complex128 keeps the numbers and not an object for each.",
}


def _slots(heap: Heap, instance: Node, count: int, weakrefs: bool) -> str:
    names = [repr(name) for name in _attributes(heap, instance)]
    shown = ", ".join(names[:SHOWN_NAMES]) + (", …" if len(names) > SHOWN_NAMES else "")
    weakly = " and '__weakref__', for they are weakly referenced" if weakrefs else ""
    if not names:
        return f"None has an attribute: __slots__ = (){weakly}."
    return f"They have the same {number(count)} attributes: __slots__ for {shown}{weakly}."


def _attributes(heap: Heap, instance: Node) -> list[str]:
    """The names that an instance has in its dict, or would."""
    edges = instance.references()
    own = next((edge.target for edge in edges if edge.label.name == "__dict__"), None)
    values = [] if own is None else own.references()
    inline = [edge.label.name for edge in edges if edge.kind == "attr" and edge.label.name]
    return inline or [edge.label.name for edge in values if edge.kind == "value" and edge.label.name]


def _unshared(odd: str | None) -> str:
    if odd is None:
        return "Attributes were deleted, or set in another order: set all in __init__, and None instead of del."
    return (
        f"The class's table of names, at most 30, lacks .{odd}, which most have: set it in __init__ for all, or keep it elsewhere."
    )
