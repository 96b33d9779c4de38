"""What leaks: suspects of one heap, and what grew between two or among three, named as a programmer would.

The rules for suspects are Eclipse MAT's; the C files in src/algo say more. Shares are of the whole heap's bytes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from memprobe import _core, _names, _text, analysis
from memprobe._text import number, size
from memprobe.results import Json, Node, Row

if TYPE_CHECKING:
    from memprobe.heap import Heap

Route = Sequence[analysis.Row]

BELOW = 20  # types shown below a suspect
MANY = ("group", "C references")
NAMELESS = ("C references", "static and immortal objects", "interned strings", "unreachable")
HIDDEN = ("below", "locals", "node", "parts", "point", "related")
PATHLIKE = ("index", "element", "key", "value")


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


@dataclass(frozen=True)
class Suspect:
    """Something that keeps much of the heap alive. `name` is where it piles up, as a program would write it; `kind` is 'single'
    (one object), 'group' (many of one type), 'C references' (objects that only C code holds) or 'garbage' (cycles that wait for the
    collector). `holder` is the nearest module, class, function or instance on the way to it that is not of the standard library.
    `frame` is the running function whose local variables hold it, with file and line, or None; `locals` are those variables.
    `node` is the object, or the biggest of many; `point` where it piles up, or None."""

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

    def to_dict(self) -> Json:
        """Every field; nodes by their ids."""
        plain = {name: value for name, value in vars(self).items() if name not in HIDDEN}
        below = [row.to_dict() for row in self.below]
        ends = {"node": self.node.id, "point": None if self.point is None else self.point.id}
        parts = [row.to_dict() for row in self.parts]
        variables = [row.to_dict() for row in self.locals]
        return {**plain, "locals": variables, "below": below, "parts": parts, "related": list(self.related), **ends}

    def __str__(self) -> str:
        one = self.type if self.point is None else self.point.type
        what = f"{number(self.count)} {self.type}" if self.count > 1 else one
        lines = [f"{self.name}  ({what}) keeps {size(self.bytes)}, {self.percent:.1f} % of the heap"]
        if self.below:
            top = ", ".join(f"{number(row.count)} {row.type} {size(row.bytes)}" for row in self.below[:3])
            lines.append(f"    mostly {top}")
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


@dataclass(frozen=True)
class Suspects:
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


def suspects(heap: Heap, percent: float, limit: int | None, keep_stdlib: bool) -> Suspects:
    """For Heap.suspects()."""
    if not 0.1 <= percent <= 100:
        raise ValueError(f"percent is {percent}: a suspect keeps 0.1 to 100 percent of the heap.")
    whole, threshold, found = _core.suspects(heap._graph, round(10 * percent))
    rows = [_suspect(heap, whole, row, keep_stdlib) for row in found[:limit]]
    return Suspects(tuple(_related(rows)), whole, threshold)


def _suspect(
    heap: Heap, whole: int, row: tuple[str, int, str, int | None, int, int, Route, tuple[int, ...]], keep_stdlib: bool
) -> Suspect:
    kind, id, type, point, count, total, route, members = row
    hops = _hops(heap, route)
    if kind == "garbage":
        members = (heap.roots()["unreachable"].id,)
    below = _below(heap, members or (id if point is None else point,), max(1.0, count / len(members)) if kind in MANY else 1.0)
    name = _name_of(kind, _whose(type, below), point, hops)
    frame, variables = _locals(heap, route, total)
    types = {hop.type for hop in hops} | {type} | ({heap.node(point).type} if point is not None else set())
    return Suspect(
        kind=kind,
        name=name,
        holder=None if kind == "garbage" else _holder(hops, keep_stdlib),
        type=type,
        count=count,
        bytes=total,
        percent=100.0 * total / (whole or 1),
        advice=_advice(kind, name, types, {entry.type for entry in below}, hops),
        frame=frame,
        locals=variables,
        below=below,
        parts=_parts(heap, whole, kind, id if point is None else point),
        related=(),
        node=heap.node(id),
        point=None if point is None else heap.node(point),
    )


def _name_of(kind: str, type: str, point: int | None, hops: Sequence[_names.Hop]) -> str:
    if kind == "garbage":
        return f"garbage: {type}"
    if kind in MANY and point is None:
        return f"C references: {type}" if kind == "C references" else f"all {type}"
    return _words(hops, type)


def _words(hops: Sequence[_names.Hop], type: str) -> str:
    """A route in words. One that begins at no name is told with its root group and first object; `type` is that of its end."""
    name = _names.join(hops).text
    group = hops[1].name if len(hops) > 1 and hops[1].name in NAMELESS else None
    if group is not None and name[:1] in ("", "[", ".", "+", "<"):
        return f"{group}: {hops[2].type if len(hops) > 2 else type}{name}"
    return f"{name} {type}".strip() if not name or name.endswith(":") else name


def route_words(heap: Heap, route: Route, type: str) -> str:
    """A route from the super-root in words; `type` is that of its end."""
    return _words(_hops(heap, route), type)


def _whose(type: str, below: Sequence[Below]) -> str:
    """A builtin type says little: with the first class below it."""
    owner = next((row.type for row in below if "." in row.type), None)
    return type if "." in type or owner is None else f"{type} of {owner}"


def _hops(heap: Heap, route: Route) -> list[_names.Hop]:
    """A route's hops, where CPython's own structures are told in the words of their users."""
    hops = analysis.hops(heap, heap.roots()["roots"].id, route)
    for index, hop in enumerate(hops):
        if hop.type == "frame" and index > 0 and hops[index - 1].type == "<thread>":
            hops[index] = hop._replace(name=_function(heap, route[index - 1][0]), flags=hop.flags | {"synthetic"})
        if hop.type == "_thread._local" and hop.label.startswith("+0x"):
            rest = [after for after in hops[index + 1 :] if not after.label.startswith("[<")]
            return [*hops[:index], hop._replace(label=".__dict__", kind="field"), *rest]
        if hop.label == "<context>":
            return _of_context(heap, route) or hops
    while hops and (hops[-1].label.startswith("+0x") or hops[-1].label in ("<cache>", "<cache entry>", "<buffer>")):
        hops.pop()
    return hops


def _function(heap: Heap, frame: int) -> str | None:
    """What a frame object runs: before 3.11 threads have these."""
    code = next((row[0] for row in heap._graph.edges_out(frame) if row[1] == ".f_code"), None)
    return None if code is None else heap.node(code).text


def _locals(heap: Heap, route: Route, total: int) -> tuple[str | None, tuple[Local, ...]]:
    """The running function on a route, and its variables that matter for `total` bytes."""
    for step, after in pairwise(route):
        node = heap.node(step[0])
        if node.type not in ("<frame>", "frame"):
            continue
        rows = [row for row in heap._graph.edges_out(node.id) if row[2] in ("local", "cell")]
        kept = [(row, heap._graph.retained(row[0])) for row in rows]
        found = [
            Local(row[1].partition(" ")[2], heap.node(row[0]).type, retained)
            for row, retained in kept
            if row[0] == after[0] or 10 * retained > total
        ]
        name = node.text or _function(heap, node.id)
        return name, tuple(sorted(found, key=lambda local: -local.bytes))
    return None, ()


def _of_context(heap: Heap, route: Route) -> list[_names.Hop]:
    """From the variable on whose value it is: a context maps it to the value, side by side in one node."""
    for step, after in pairwise(route):
        rows = heap._graph.edges_out(step[0])
        found = [index for index, row in enumerate(rows) if row[0] == after[0]]
        near = [rows[index][0] for index in (*(i + 1 for i in found), *(i - 1 for i in found)) if 0 <= index < len(rows)]
        variable = next((id for id in near if heap.node(id).type.endswith("ContextVar")), None)
        if variable is not None:
            (way,) = _core.routes(heap._graph, [variable])
            hops = analysis.hops(heap, heap.roots()["roots"].id, way)
            get = _names.Hop("_contextvars.ContextVar", None, frozenset(), ".get()", "call")
            return [*hops, get, *analysis.hops(heap, after[0], route[route.index(after) + 1 :])]
    return []


def _below(heap: Heap, ids: tuple[int, ...], times: float) -> tuple[Below, ...]:
    """The biggest types; `times` is how many objects each of the ids stands for."""
    rows = sorted(_core.below(heap._graph, ids), key=lambda row: -row[2])
    return tuple(Below(type, round(times * count), round(times * total)) for type, count, total in rows[:BELOW])


def _holder(hops: Sequence[_names.Hop], keep_stdlib: bool) -> str | None:
    """The nearest that a programmer wrote: no container, and nothing of the standard library unless that is to be kept."""
    for hop in reversed(hops):
        if hop.flags & {"module", "type"} or (hop.type in ("<frame>", "function") and hop.name):
            found = hop.name
        else:
            found = hop.type if "." in hop.type else None
        if found and (keep_stdlib or found.split(".")[0] not in sys.stdlib_module_names or hop.type in ("<frame>", "function")):
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


# ---- advice -----------------------------------------------------------------------------------------------------------

# The first line whose words are met decides: words of types and labels on the way to the suspect, or below it.
ON_THE_WAY = (
    (("queue.", "asyncio.queues."), "A queue that is filled faster than it is emptied: give it a maxsize."),
    (
        ("functools._lru_cache_wrapper",),
        "A functools cache: give it a maxsize or clear it; on a method it keeps every instance alive.",
    ),
    (("gc.garbage",), "gc.garbage: empty it, and switch DEBUG_SAVEALL off."),
    (("atexit",), "A function given to atexit: unregister() it when its object is closed."),
    (
        ("traceback", "__traceback__"),
        "An exception keeps the frames of its traceback, with all their locals: keep its text instead.",
    ),
    (("logging.", "logging.Handler"), "A logging handler: remove or flush it; MemoryHandler and caplog keep their records."),
    (
        ("<thread-local data>", "_thread._local"),
        "Thread-local data lives as long as its thread: clear it after each piece of work.",
    ),
    (("<context>", "Context", "_contextvars.ContextVar", "hamt"), "A context variable: reset() it with its token."),
    (
        ("_asyncio.Task", "_asyncio.Future", "asyncio."),
        "asyncio tasks that never end: await or cancel them, and drop them when done.",
    ),
    (
        ("weakref.WeakKeyDictionary", "weakref.WeakValueDictionary"),
        "In a weak dictionary a value that refers to its own key keeps both: use a weakref.",
    ),
    (("collections.deque",), "A deque without an end: give it a maxlen."),
    (("<frame>", "frame"), "A local variable of a running function: del it, or let the function end."),
    (("generator", "async_generator", "coroutine"), "A generator that is never closed keeps its locals: close() it."),
)
UNDER = (
    (("_asyncio.Task", "coroutine"), "Tasks that never end: await or cancel them, and drop them from here when they are done."),
    (("generator", "async_generator"), "Generators that are never closed keep their locals: close() them."),
    (("traceback",), "Stored exceptions keep the frames of their tracebacks: keep their texts, or clear __traceback__."),
    (("method",), "Bound methods keep their objects alive: unsubscribe, or hold them by weakref.WeakMethod."),
    (("function", "cell"), "Functions with closures keep what they use: unsubscribe them when they are done."),
    (("memoryview", "numpy.ndarray"), "Small views keep whole buffers alive: copy the part that is needed."),
)
CALLED = ("function", "method", "functools.partial", "builtin_function_or_method")
OF_A_KIND = {
    "garbage": "Reference cycles: gc.collect() frees them, unless the collector is off; cut one edge with a weakref.",
    "C references": "No Python object holds them: C code keeps a reference, or forgot to give one back (Py_DECREF).",
}


def _advice(kind: str, name: str, types: set[str], below: set[str], hops: Sequence[_names.Hop]) -> str:
    if name.startswith("C references") and (types | below).intersection(CALLED):
        return "Functions that only C code holds: was each atexit.register() undone, and each callback of a library?"
    if kind in OF_A_KIND:
        return OF_A_KIND[kind]
    words = [*types, *(hop.label for hop in hops), name]
    for known, line in ON_THE_WAY:
        if any(
            word == key or word.strip(".") == key or (key.endswith(".") and word.startswith(key)) for key in known for word in words
        ):
            return line
    for known, line in UNDER:
        if below.intersection(known):
            return line
    return "Does it ever shrink? Bound it, or remove entries when their work is done."


# ---- diff -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DiffRow(Row):
    """What `name` holds more of: `count` objects of `type` (0: the object itself grew) and `bytes`, with all that they keep.
    `counts` and `sizes` of these objects, with all that they keep, are those of each heap. `new` are objects that were not there
    before, however many went (of three heaps: and stayed), known of heaps of one process, else None. `slope` is how fast their
    sizes grow, in bytes an hour: the straight line that fits three heaps best; None for two, or when their times do not rise.
    `node` is the id of the holder, in the newest heap that has it."""

    name: str
    type: str
    count: int
    bytes: int
    counts: tuple[int, ...]
    sizes: tuple[int, ...]
    new: int | None
    slope: float | None
    node: int


@dataclass(frozen=True)
class Diff:
    """What grew between two heaps; of three, what is new in the second and still there in the third. Most bytes first: a sequence
    of the first `limit` rows of `found`. `bytes` are those of each heap."""

    rows: tuple[DiffRow, ...]
    bytes: tuple[int, ...]
    found: int

    @property
    def growth(self) -> int:
        """Bytes by which the whole heap grew from the first to the last."""
        return self.bytes[-1] - self.bytes[0]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> DiffRow:
        return self.rows[index]

    def to_dict(self) -> Json:
        """{bytes, growth, found, rows: [{name, type, count, bytes, counts, sizes, new, slope, node}]}."""
        rows = [row.to_dict() for row in self.rows]
        return {"bytes": list(self.bytes), "growth": self.growth, "found": self.found, "rows": rows}

    def cells(self) -> list[tuple[str, ...]]:
        """The rows as text, under `headers`."""
        known, three = any(row.new is not None for row in self.rows), len(self.bytes) > 2
        cells = [
            (
                *(row.name, row.type, f"{row.count:+,}"),
                *(("" if row.new is None or not row.count else f"{row.new:,}",) if known else ()),
                f"+{size(row.bytes)}",
                *((_slope_text(row.slope),) if three else ()),
                *map(size, row.sizes),
            )
            for row in self.rows
        ]
        whole = ("whole heap", "", "", *(("",) if known else ()), _signed(self.growth), *(("",) if three else ()))
        return [*cells, (*whole, *map(size, self.bytes))]

    @property
    def headers(self) -> tuple[str, ...]:
        """Of cells()."""
        known, three = any(row.new is not None for row in self.rows), len(self.bytes) > 2
        more = (*(("new",) if known else ()), "growth", *(("an hour",) if three else ()))
        return ("held by", "type", "objects", *more, *"ABC"[: len(self.bytes)])

    def __str__(self) -> str:
        return _text.plain(self.headers, self.cells())

    def _repr_html_(self) -> str:
        return _text.html(self.headers, self.cells())


def _signed(total: int) -> str:
    return f"{'+' if total >= 0 else ''}{size(total)}"


def _slope_text(slope: float | None) -> str:
    return "" if slope is None else _signed(round(slope))


def diff(heaps: Sequence[Heap], limit: int | None) -> Diff:
    """For Heap.diff(): two or three heaps, the oldest first."""
    graphs = tuple(heap._graph for heap in heaps)
    totals, one_process, found, rows = _core.diff(graphs, -1 if limit is None else limit)
    places = [(holder or grown) for holder, grown, _, _ in rows]
    routes = _routes(heaps, places)
    made = (_row(heaps, row, place, route, one_process) for row, place, route in zip(rows, places, routes, strict=True))
    return Diff(tuple(made), totals, found)


def _slope(times: Sequence[float], sizes: Sequence[int]) -> float | None:
    """Bytes an hour, by least squares; None for fewer than three, or when time does not rise."""
    if len(times) < 3 or any(after <= before for before, after in pairwise(times)):
        return None
    middle, level = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((time - middle) ** 2 for time in times)
    return 3600.0 * sum((time - middle) * (total - level) for time, total in zip(times, sizes, strict=True)) / spread


def _routes(heaps: Sequence[Heap], places: Sequence[tuple[Any, ...]]) -> list[Route]:
    """The way to each place, by one search of each heap."""
    ways: dict[tuple[int, int], Route] = {}
    for index, heap in enumerate(heaps):
        ids = sorted({place[1] for place in places if place[0] == index})
        if ids:
            ways.update(((index, id), way) for id, way in zip(ids, _core.routes(heap._graph, ids), strict=True))
    return [ways[place[0], place[1]] for place in places]


def _row(heaps: Sequence[Heap], row: tuple[Any, ...], place: tuple[int, int], route: Route, one_process: bool) -> DiffRow:
    holder, grown, _, total = row
    heap = heaps[place[0]]
    if holder is None and route and route[-1][2] in PATHLIKE and not _in_namespace(heap, route):
        route = route[:-1]  # one of many: their holder says where they are
    _, _, kind, counts, _, new = grown or holder
    sizes = (grown or holder)[4]
    more = min(counts[1:]) - counts[0] if grown else 0
    garbage = place[1] == heap.roots()["unreachable"].id
    name = f"garbage: {kind}" if garbage else _words(_hops(heap, route), kind)
    slope = _slope([heap.info.time for heap in heaps], sizes)
    return DiffRow(name, kind, more, total, counts, sizes, new if one_process and grown else None, slope, place[1])


def _in_namespace(heap: Heap, route: Route) -> bool:
    return len(route) > 1 and route[-2][1] == ".__dict__"
