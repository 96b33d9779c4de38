"""What leaks: suspects of one heap, and what grew between two or among three, named as a programmer would.

The rules for suspects are Eclipse MAT's; the C files in src/algo say more. Shares are of the whole heap's bytes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from memprobe import _core, _names, _origins, _text, advice
from memprobe._labels import Label
from memprobe._names import Steps
from memprobe._origins import MadeAt
from memprobe._readable import Json, Readable, Row
from memprobe._text import counted, number, size
from memprobe.native import is_known
from memprobe.results import Node

if TYPE_CHECKING:
    from memprobe.heap import Heap

BELOW = 20  # types shown below a suspect
FEW = 100  # what is less than a hundredth of the objects is not what a container is called after
MANY = ("group", "C references")
FUNCTIONS = ("<frame>", "frame", "generator", "coroutine", "async_generator")
HIDDEN = ("below", "locals", "made_at", "node", "parts", "point", "related")
PATHLIKE = ("index", "element", "key", "value")
FLOOR = 4096  # bytes: less is no row of a diff
NATIVE_MATTERS = 0.05  # of what objects grew by: native blocks of as much have a column
DEEPEST = 1000  # steps of a path that are looked at


@dataclass(frozen=True)
class Below(Row):
    """What a suspect alone keeps alive, of one type."""

    type: str
    count: int
    bytes: int


@dataclass(frozen=True)
class Part(Row):
    """One object that a suspect's point immediately keeps alive, and what it retains: at least 1 % of the heap."""

    node: int
    type: str
    bytes: int


@dataclass(frozen=True)
class Local(Row):
    """A local variable of a running function that is on the way to a suspect, or keeps more than 10 % of it alive."""

    name: str
    type: str
    bytes: int


@dataclass(frozen=True, repr=False)
class Suspect(Readable):
    """Something that keeps much of the heap alive. `name` is where it piles up, as a program would write it; `kind` is 'single'
    (one object), 'group' (many of one type), 'C references' (objects that only C code holds) or 'garbage' (cycles that wait for the
    collector). `holder` is the nearest module, class, function or instance on the way to it that is not of the standard library.
    `frame` is the running function whose local variables hold it, with file and line, or None; `locals` are those variables.
    `node` is the object, or the biggest of many; `point` where it piles up, or None. `made_at` are the lines that made most of what
    it keeps, of the type of most bytes that was asked about: one, or two where none made nearly all; empty where tracemalloc was
    not asked, or did not know. `native_bytes` of `bytes` are native blocks, or None: they were not asked for."""

    kind: str
    name: str
    holder: str | None
    type: str
    count: int
    bytes: int
    percent: float
    advice: str
    frame: str | None
    locals: tuple[Local, ...] = field(repr=False)
    below: tuple[Below, ...] = field(repr=False)
    parts: tuple[Part, ...] = field(repr=False)
    related: tuple[str, ...] = field(repr=False)  # names of suspects that are held by the same variable
    node: Node = field(repr=False)
    point: Node | None = field(repr=False)
    made_at: tuple[MadeAt, ...] = field(default=(), repr=False)
    native_bytes: int | None = field(default=None, repr=False)

    def to_dict(self) -> Json:
        """Every field; nodes by their ids."""
        plain = {name: value for name, value in vars(self).items() if name not in HIDDEN}
        below = [row.to_dict() for row in self.below]
        ends = {"node": self.node.id, "point": None if self.point is None else self.point.id}
        parts = [row.to_dict() for row in self.parts]
        variables = [row.to_dict() for row in self.locals]
        made = [row.to_dict() for row in self.made_at]
        lists = {"locals": variables, "below": below, "parts": parts, "related": list(self.related), "made_at": made}
        return {**plain, **lists, **ends}

    def __str__(self) -> str:
        one = self.type if self.point is None else self.point.type
        what = counted(self.count, self.type) if self.count > 1 else one
        native = "" if self.native_bytes is None else f", {size(self.native_bytes)} of it native"
        lines = [f"{self.name}  ({what}) keeps {size(self.bytes)}, {self.percent:.1f} % of the heap{native}"]
        if self.below:
            top = ", ".join(f"{counted(row.count, row.type)} {size(row.bytes)}" for row in self.below[:3])
            lines.append(f"    mostly {top}")
        if self.made_at:
            lines.append(f"    {_origins.text(self.made_at)}")
        if self.parts:
            shown = ", ".join(f"{row.type} {size(row.bytes)} (node {row.node})" for row in self.parts[:3])
            lines.append(f"    with {shown}")
        if self.locals:
            shown = ", ".join(f"{row.name} ({row.type}) {size(row.bytes)}" for row in self.locals[:3])
            lines.append(f"    in {self.frame}: {shown}")
        elif self.holder is not None and not self.name.startswith(self.holder):
            lines.append(f"    held by {self.holder}")
        if self.related:
            lines.append(f"    may be related: {', '.join(self.related)}")
        return "\n".join([*lines, f"    {self.advice}"])


@dataclass(frozen=True, repr=False)
class Suspects(Readable):
    """Leak suspects, most bytes first: a sequence. `bytes` is the whole heap without what only static objects or garbage hold;
    `threshold` is what a suspect must exceed."""

    rows: tuple[Suspect, ...]
    bytes: int
    threshold: int

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Suspect:
        return self.rows[index]

    def to_dict(self) -> Json:
        """{bytes, threshold, rows: [Suspect.to_dict()]}."""
        return {"bytes": self.bytes, "threshold": self.threshold, "rows": [row.to_dict() for row in self.rows]}

    def __str__(self) -> str:
        if not self.rows:
            return f"no suspects: nothing keeps more than {size(self.threshold)} of {size(self.bytes)} alive"
        return "\n".join(f"{index}. {row}" for index, row in enumerate(self.rows, 1))


def suspects(heap: Heap, percent: float, keep_stdlib: bool, native: bool) -> Suspects:
    """All of them, some of which may read alike."""
    if not 0.1 <= percent <= 100:
        raise ValueError(f"percent is {percent}: a suspect keeps 0.1 to 100 percent of the heap.")
    whole, threshold, found = _core.suspects(heap._graph, round(10 * percent), _origins.of(heap).nodes, native)
    rows = [_suspect(heap, whole, row, keep_stdlib) for row in found]
    if native:
        rows = [replace(row, native_bytes=_native(heap, row, whole[6])) for row, whole in zip(rows, found, strict=True)]
    return Suspects(tuple(_related(rows)), whole, threshold)


def _suspect(heap: Heap, whole: int, row: _core.SuspectRow, keep_stdlib: bool) -> Suspect:
    kind, id, type, point, count, total, members, asked = row
    point = None if point is None else _variable_of(heap, point)
    at = id if point is None else point
    (steps,) = _names.steps(heap, (at,))
    if kind == "garbage":
        members = (heap.roots()["unreachable"].id,)
    below = _below(heap, members or (at,), max(1.0, count / len(members)) if kind in MANY else 1.0)
    frame, variables = _locals(heap, steps, total)
    return Suspect(
        kind=kind,
        name=_name_of(heap, kind, _with_class(type, _class_of(type, below)), count, point, at),
        holder=None if kind == "garbage" else _holder(heap, steps, keep_stdlib),
        type=type,
        count=count,
        bytes=total,
        percent=100.0 * total / (whole or 1),
        advice=advice.of_suspect(heap, kind, type, None if kind in MANY and point is None else at, at, steps, members),
        frame=frame,
        locals=variables,
        below=below,
        parts=_parts(heap, whole, kind, at),
        related=(),
        node=heap.node(id),
        point=None if point is None else heap.node(point),
        made_at=_origins.of(heap).made_at(heap, asked, [row.type for row in below]),
    )


def _native(heap: Heap, row: Suspect, members: tuple[int, ...]) -> int:
    """The bytes of native blocks that a suspect keeps; of many objects by those that stand for them."""
    ids = members or ((row.node if row.point is None else row.point).id,)
    times = max(1.0, row.count / len(members)) if members else 1.0
    return min(row.bytes, round(times * sum(heap._graph.kept(id, native=True) for id in ids)))


def _variable_of(heap: Heap, point: int) -> int:
    """Of a running or suspended function that keeps much by several variables together, the one that a programmer would name: what
    the path to most of it goes through."""
    if heap.node(point).type not in FUNCTIONS:
        return point
    most = max(heap._graph.children(point), key=lambda row: row[2], default=None)
    (steps,) = _names.steps(heap, (most[3],)) if most is not None else ((),)
    if not steps or point not in steps.ids:
        return point
    at = steps.ids.index(point)
    return steps.ids[at + 1] if steps.label(at).kind in ("local", "cell") else point


def _name_of(heap: Heap, kind: str, type: str, count: int, point: int | None, at: int) -> str:
    if kind == "garbage":
        return f"garbage: {type}"
    if kind == "C references" and point is None:
        return f"held by C code: {counted(count, heap._graph.what(at))}"
    if kind == "group" and point is None:
        return f"all {type}"
    return _names.names(heap, (at,))[0]


def _class_of(type: str, below: Sequence[Below]) -> str | None:
    """A builtin type says little: the class of most bytes below it, unless that is one of very many objects there."""
    least = sum(row.count for row in below) / FEW
    return None if "." in type else next((row.type for row in below if "." in row.type and row.count >= least), None)


def _with_class(type: str, owner: str | None) -> str:
    return type if owner is None else f"{type} of {owner}"


def _locals(heap: Heap, steps: Steps, total: int) -> tuple[str | None, tuple[Local, ...]]:
    """The running function on a path, and its variables that matter for `total` bytes."""
    for index in range(min(len(steps), DEEPEST)):
        label = steps.label(index)
        if label.kind not in ("local", "cell"):
            continue
        frame = heap.node(steps.ids[index])
        rows = [row for row in heap._graph.edges_out(frame.id) if row[2] in ("local", "cell")]
        kept = [(row, heap._graph.kept(row[0])) for row in rows]
        found = [
            Local(Label.of(row).name or "?", heap.node(row[0]).type, retained)
            for row, retained in kept
            if row[0] == steps.ids[index + 1] or 10 * retained > total
        ]
        return heap._graph.what(frame.id), tuple(sorted(found, key=lambda local: -local.bytes))
    return None, ()


def _below(heap: Heap, ids: tuple[int, ...], times: float) -> tuple[Below, ...]:
    """The biggest types; `times` is how many objects each of the ids stands for."""
    rows = sorted(_core.below(heap._graph, ids), key=lambda row: -row[2])
    return tuple(Below(type, round(times * count), round(times * total)) for type, count, total in rows[:BELOW])


def _holder(heap: Heap, steps: Steps, keep_stdlib: bool) -> str | None:
    """The nearest that a programmer wrote: no container, and nothing of the standard library unless that is to be kept."""
    for id in reversed(steps.ids[max(len(steps) - DEEPEST, 0) : -1]):
        node = heap.node(id)
        called = node.flags & {"module", "type"} or (node.type in ("<frame>", "function") and node.text)
        found = node.text if called else node.type if "." in node.type else None
        own = node.type in ("<frame>", "function")
        if found and (keep_stdlib or own or found.split(".")[0] not in sys.stdlib_module_names):
            return found
    return None


def _parts(heap: Heap, whole: int, kind: str, id: int) -> tuple[Part, ...]:
    if kind in MANY or kind == "garbage":
        return ()
    large = ((child, total) for child, total in heap._graph.dominated(id, BELOW) if 100 * total >= whole)
    return tuple(Part(child, heap.node(child).type, total) for child, total in large)


def _related(rows: Sequence[Suspect]) -> list[Suspect]:
    """With the names of suspects that begin with the same variable."""
    from dataclasses import replace

    out = []
    for row in rows:
        start = _variable(row.name)
        others = tuple(other.name for other in rows if other is not row and start and _variable(other.name) == start)
        out.append(replace(row, related=others))
    return out


def _variable(name: str) -> str:
    """`app.state` of app.state.sessions['k']; nothing for a name that is short of that."""
    words = name.split("[")[0].split(".")
    return ".".join(words[:2]) if len(words) > 2 or (len(words) == 2 and "[" in name) else ""


# ---- diff -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class DiffRow(Row):
    """What `name` holds more of: `count` objects of `type` (0: the object itself grew) and `bytes`, with all that they keep: what
    came less what went. `counts` and `sizes` of these objects are those of each heap. `new` are objects that were not there before,
    however many went, known of heaps of one process, else None. `slope` is how fast their sizes grow, in bytes an hour: the
    straight line that fits three heaps best; None for two, or when their times do not rise. `owners` are the names of those that
    refer to what grew, where it is several or another than `name`. `in_use` says that a running function's own variables hold it.
    `of` is the class that most of what came belongs to, where `type` is one of Python's own (5,000 `app.Conn` that came in one new
    `list`), else None, as between processes. `node` is the id of the holder, in the newest heap that has it.

    `made_at` are the lines that made most of what came, of the class `of` or of `type` or of what else came with them: one, or two
    where none made nearly all; empty where tracemalloc was not asked, or did not know, and between processes.

    `native_bytes` are those of native blocks that came less those that went, of which the row's objects are the nearest that keep
    them: part of `bytes` where native blocks count, else beside them; None where they are not known."""

    name: str
    type: str
    count: int
    bytes: int
    counts: tuple[int, ...]
    sizes: tuple[int, ...]
    new: int | None
    slope: float | None
    owners: tuple[str, ...]
    in_use: bool
    of: str | None
    node: int
    made_at: tuple[MadeAt, ...] = ()
    native_bytes: int | None = None

    def to_dict(self) -> Json:
        """The values by name; made_at as a list of {type, place, caller, count, asked}."""
        return {**vars(self), "made_at": [row.to_dict() for row in self.made_at]}

    def __str__(self) -> str:
        made = f"; {_origins.text(self.made_at)}" if self.made_at else ""
        native = f", {_signed(self.native_bytes)} of native blocks" if self.native_bytes else ""
        return f"{_held_by(self)}: {self.count:+,} {_with_class(self.type, self.of)}, {_signed(self.bytes)}{native}{made}"


@dataclass(frozen=True, repr=False)
class MoreReferences(Row):
    """An object to which C code has `count` more references than before: what it is, its name, and its id in the newest heap."""

    what: str
    name: str
    count: int
    node: int

    def __str__(self) -> str:
        return f"C code keeps {number(self.count)} more references to {self.what} ({self.name})"


@dataclass(frozen=True, repr=False)
class Diff(Readable):
    """What grew between two heaps, or from the first to the last of three: a sequence of the first `limit` rows of `found`, what
    lasts before what is in use, most bytes first. `bytes` are those of each heap; `unattributed` is the growth that no row of
    `found` has, so that rows and it add up to `growth`. `references` are objects of which C code holds more references. `native`:
    native blocks count."""

    rows: tuple[DiffRow, ...]
    bytes: tuple[int, ...]
    found: int
    unattributed: int
    references: tuple[MoreReferences, ...] = ()
    native: bool = False

    @property
    def growth(self) -> int:
        """Bytes by which the whole heap grew from the first to the last."""
        return self.bytes[-1] - self.bytes[0]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> DiffRow:
        return self.rows[index]

    def to_dict(self) -> Json:
        """{bytes, growth, found, unattributed, native, rows: [DiffRow.to_dict()], references: [{what, name, count, node}]}."""
        rows = [row.to_dict() for row in self.rows]
        more = [row.to_dict() for row in self.references]
        facts = {"bytes": list(self.bytes), "growth": self.growth, "found": self.found, "unattributed": self.unattributed}
        return {**facts, "native": self.native, "rows": rows, "references": more}

    def cells(self) -> list[tuple[str, ...]]:
        """The rows as text, under `headers`."""
        known, native, three = self._columns()
        cells = [
            (
                *(_held_by(row), _with_class(row.type, row.of), f"{row.count:+,}"),
                *(("" if row.new is None or not row.count else f"{row.new:,}",) if known else ()),
                f"+{size(row.bytes)}",
                *(("" if not row.native_bytes else _signed(row.native_bytes),) if native else ()),
                *((_slope_text(row.slope),) if three else ()),
                *map(size, row.sizes),
            )
            for row in self.rows
        ]
        hidden = self.growth - self.unattributed - sum(row.bytes for row in self.rows)
        more = [self._line(f"... {number(self.found - len(self.rows))} more rows", hidden)] if self.found > len(self.rows) else []
        rest = [self._line("not attributed", self.unattributed)] if self.unattributed else []
        whole = self._line("whole heap", self.growth)[: -len(self.bytes)]
        return [*cells, *more, *rest, (*whole, *map(size, self.bytes))]

    def _columns(self) -> tuple[bool, bool, bool]:
        """Is it known which objects are new? Do native blocks count, or matter? Are there three heaps?"""
        native = sum(abs(row.native_bytes or 0) for row in self.rows)
        matters = native > NATIVE_MATTERS * sum(abs(row.bytes) for row in self.rows)
        return any(row.new is not None for row in self.rows), self.native or matters, len(self.bytes) > 2

    def _line(self, name: str, total: int) -> tuple[str, ...]:
        more = [""] * sum(self._columns()[1:])
        return (name, "", "", *(("",) if self._columns()[0] else ()), _signed(total), *more, *("" for _ in self.bytes))

    @property
    def headers(self) -> tuple[str, ...]:
        """Of cells()."""
        known, native, three = self._columns()
        blocks = ("of it native" if self.native else "native",) if native else ()
        more = (*(("new",) if known else ()), "growth", *blocks, *(("an hour",) if three else ()))
        return ("held by", "type", "objects", *more, *"ABC"[: len(self.bytes)])

    @property
    def notes(self) -> list[str]:
        """The sentences below the table: which lines made what came, and references of C code."""
        made = [f"{row.name}: {_origins.text(row.made_at)}" for row in self.rows if row.made_at]
        return [*made, *map(str, self.references)]

    def __str__(self) -> str:
        return "\n".join([_text.plain(self.headers, self.cells()), *self.notes])

    def _repr_html_(self) -> str:
        return _text.html(self.headers, self.cells()) + "".join(f"<p>{_text.escape(note)}</p>" for note in self.notes)


def _held_by(row: DiffRow) -> str:
    """The name, with what else is known of who holds it."""
    owners = ", ".join(owner.removeprefix(row.name).lstrip(".") for owner in row.owners)
    return f"{'in use by ' if row.in_use else ''}{row.name}{f' ({owners})' if owners else ''}"


def _signed(total: int) -> str:
    return f"{'+' if total >= 0 else ''}{size(total)}"


def _slope_text(slope: float | None) -> str:
    return "" if slope is None else _signed(round(slope))


def _slope(times: Sequence[float], sizes: Sequence[int]) -> float | None:
    """Bytes an hour, by least squares; None for fewer than three, or when time does not rise."""
    if len(times) < 3 or any(after <= before for before, after in pairwise(times)):
        return None
    middle, level = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((time - middle) ** 2 for time in times)
    return 3600.0 * sum((time - middle) * (total - level) for time, total in zip(times, sizes, strict=True)) / spread


def diff(heaps: Sequence[Heap], limit: int | None, native: bool) -> Diff:
    """For Heap.diff(): two or three heaps, the oldest first."""
    graphs = tuple(heap._graph for heap in heaps)
    found = _core.growth(graphs, _origins.of(heaps[-1]).nodes, native)
    if found is None and native:
        raise ValueError("native blocks are compared within one process: these heaps are of several.")
    if found is None:
        return _between_processes(heaps, limit)
    totals, unattributed, rows, references = found
    shown = rows[:limit]
    named = _places(heaps, [(row[1], row[2], row[0] == "variable") for row in shown])
    made = tuple(_grown(heaps, row, *place) for row, place in zip(shown, named, strict=True))
    return Diff(made, totals, len(rows), unattributed, _more_references(heaps[-1], references[:limit]), native)


def _places(heaps: Sequence[Heap], places: Sequence[tuple[int, int, bool]]) -> list[tuple[str, int]]:
    """Nodes of several heaps and their names, all of one by one search; their holders where that is asked for and the node is one
    of many: (index of the heap, node, ask)."""
    out: dict[tuple[int, int, bool], tuple[str, int]] = {}
    for index, heap in enumerate(heaps):
        ids = sorted({place[1] for place in places if place[0] == index})
        for id, (name, steps) in zip(ids, _names.named(heap, ids), strict=True):
            holder = id if _is_variable(heap, steps) else steps.ids[-2]
            out[index, id, False] = name, id
            out[index, id, True] = name if holder == id else _names.names(heap, (holder,))[0], holder
    return [out[place] for place in places]


def _is_variable(heap: Heap, steps: Steps) -> bool:
    """Whether the end of a path has a name of its own, and is not one of many in a container."""
    if len(steps) < 2 or steps.label(len(steps) - 1).kind not in PATHLIKE:
        return True
    above = steps.label(len(steps) - 2)
    return above.kind == "field" and above.name == "__dict__"


def _grown(heaps: Sequence[Heap], row: tuple[Any, ...], name: str, place: int) -> DiffRow:
    kind, index, node, type, several, counts, sizes, native, new, base_count, base_bytes, in_use, owners, examples, asked = row
    if kind == "C references":
        name = f"held by C code: {heaps[index]._graph.what(node)}"
    elif kind == "garbage":
        name = f"garbage: {type}"
    elif several:
        name = _names.masked(name, keys=True)
    spans = (0,) if len(heaps) == 2 else (0, 1)
    all_counts = (base_count, *(base_count + counts[span] for span in spans))
    all_sizes = (base_bytes, *(base_bytes + sizes[span] for span in spans))
    slope = _slope([heap.info.time for heap in heaps], all_sizes)
    named = _owners(heaps[-1], owners, name, several)
    of = _class_of(type, _below(heaps[-1], tuple(examples), 1.0)) if examples and "." not in type else None
    made = _origins.of(heaps[-1]).made_at(heaps[-1], asked, [type] if of is None else [of, type])
    blocks = native[1] if all(is_known(heap) for heap in heaps) else None
    return DiffRow(name, type, counts[1], sizes[1], all_counts, all_sizes, new, slope, named, in_use, of, place, made, blocks)


def _owners(heap: Heap, owners: Sequence[int], name: str, several: bool) -> tuple[str, ...]:
    """The names of who refers to what grew, when that says more than `name`."""
    found = tuple(dict.fromkeys(_names.masked(owner, keys=several) for owner in _names.names(heap, owners)))
    return () if found in ((name,), ()) else found


def _more_references(heap: Heap, rows: Sequence[tuple[int, int]]) -> tuple[MoreReferences, ...]:
    named = _names.names(heap, [node for node, _ in rows])
    return tuple(MoreReferences(heap._graph.what(node), name, more, node) for (node, more), name in zip(rows, named, strict=True))


# ---- between processes ------------------------------------------------------------------------------------------------


def _between_processes(heaps: Sequence[Heap], limit: int | None) -> Diff:
    """Objects of one path signature are one row, whichever process they lived in."""
    totals, rows = _core.diff(tuple(heap._graph for heap in heaps))
    rows = [row for row in rows if row[3] >= FLOOR]
    shown = rows[:limit]
    places = [(holder or grown) for holder, grown, _, _ in shown]
    named = _places(heaps, [(place[0], place[1], holder is None) for place, (holder, *_) in zip(places, shown, strict=True)])
    made = tuple(_matched(heaps, row, *place) for row, place in zip(shown, named, strict=True))
    unattributed = totals[-1] - totals[0] - sum(row[3] for row in rows)
    return Diff(made, totals, len(rows), unattributed)


def _matched(heaps: Sequence[Heap], row: tuple[Any, ...], name: str, node: int) -> DiffRow:
    holder, grown, _, total = row
    _, _, type, counts, sizes = grown or holder
    place = holder or grown
    if place[1] == heaps[place[0]].roots()["unreachable"].id:
        name = f"garbage: {type}"
    more = min(counts[1:]) - counts[0] if grown else 0
    slope = _slope([heap.info.time for heap in heaps], sizes)
    return DiffRow(name, type, more, total, counts, sizes, None, slope, (), False, None, node)
