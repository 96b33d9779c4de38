"""objgraph 3.7 by another engine: `from memprobe import objgraph`, and the rest of a program stays as it is.

Functions, arguments, defaults, return values and printed formats are objgraph's. So is what they see: the objects that the
collector tracks, in its order. docs/objgraph.md compares call by call, and names what memprobe itself offers instead."""

from __future__ import annotations

import builtins
import gc
import importlib.util
import inspect
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from operator import itemgetter
from types import BuiltinMethodType, FrameType, FunctionType, MethodType, ModuleType
from typing import IO, Any

from memprobe import _core

Predicate = Callable[[Any], object]


def _draws_inline() -> bool:
    """True in a notebook that can show pictures; not in IPython or another shell of a terminal."""
    shell = vars(builtins).get("get_ipython")
    if shell is None or importlib.util.find_spec("graphviz") is None:
        return False
    return "TerminalInteractiveShell" not in type(shell()).__name__


IS_INTERACTIVE = _draws_inline()


# ---- names ------------------------------------------------------------------------------------------------------------


def _short_name(kind: type) -> str:
    return kind.__name__


def _long_name(kind: type) -> str:
    module = getattr(kind, "__module__", None)
    return f"{module}.{kind.__name__}" if module else kind.__name__


def _namer(shortnames: object) -> Callable[[type], str]:
    return _short_name if shortnames else _long_name


def _is_a(obj: object, kind: type | tuple[type, ...]) -> bool:
    """By the type alone: `__class__` may say what it likes."""
    return issubclass(type(obj), kind)


# Functions that look at the whole heap have no closures and comprehensions: their cells would be in the answer.

# ---- counting ---------------------------------------------------------------------------------------------------------


def count(typename: str, objects: Iterable[Any] | None = None) -> int:
    """How many tracked objects there are of a type, by its name alone or qualified by its module; or how many of `objects`."""
    return typestats(objects, "." not in typename).get(typename, 0)


def typestats(objects: Iterable[Any] | None = None, shortnames: bool = True, filter: Predicate | None = None) -> dict[str, int]:
    """How many tracked objects (or of `objects`) there are of each type, by name. Those that `filter` denies are left out."""
    name = _namer(shortnames)
    if objects is None and not filter:
        counted = _core.tracked_types()  # before there is a dict of ours
        stats: dict[str, int] = {}
        for kind, number in counted:
            called = name(kind)
            stats[called] = stats.get(called, 0) + number
        return stats
    if objects is None:
        objects = gc.get_objects()
    stats = {}
    for obj in objects:
        if not filter or filter(obj):
            called = name(type(obj))
            stats[called] = stats.get(called, 0) + 1
    return stats


def most_common_types(
    limit: int | None = 10, objects: Iterable[Any] | None = None, shortnames: bool = True, filter: Predicate | None = None
) -> list[tuple[str, int]]:
    """(name, count) of the types with most objects, most first; at most `limit` of them."""
    rows = sorted(typestats(objects, shortnames, filter).items(), key=itemgetter(1), reverse=True)
    return rows[:limit] if limit else rows


def show_most_common_types(
    limit: int | None = 10,
    objects: Iterable[Any] | None = None,
    shortnames: bool = True,
    file: IO[str] | None = None,
    filter: Predicate | None = None,
) -> None:
    """Print most_common_types() as a table."""
    rows = most_common_types(limit, objects, shortnames, filter)
    width = max(len(name) for name, _ in rows)
    for name, number in rows:
        print(f"{name:<{width}} {number}", file=file)


_PEAKS: dict[str, int] = {}


def growth(
    limit: int | None = 10, peak_stats: dict[str, int] = _PEAKS, shortnames: bool = True, filter: Predicate | None = None
) -> list[tuple[str, int, int]]:
    """(name, count, increase) of the types with more objects than ever in a call before; biggest increase first. `peak_stats`
    remembers the highest counts."""
    gc.collect()
    stats = typestats(shortnames=shortnames, filter=filter)
    grown = []
    for name, now in stats.items():
        more = now - peak_stats.get(name, 0)
        if more > 0:
            grown.append((name, now, more))
            peak_stats[name] = now
    grown.sort(key=itemgetter(2), reverse=True)
    return grown[:limit] if limit else grown


def show_growth(
    limit: int | None = 10,
    peak_stats: dict[str, int] | None = None,
    shortnames: bool = True,
    file: IO[str] | None = None,
    filter: Predicate | None = None,
) -> None:
    """Print growth() as a table."""
    rows = growth(limit, _PEAKS if peak_stats is None else peak_stats, shortnames, filter)
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, now, more in rows:
        print(f"{name:<{width}}{now:9} {more:+9}", file=file)


# ---- finding ----------------------------------------------------------------------------------------------------------


def get_new_ids(
    skip_update: bool = False,
    limit: int | None = 10,
    sortby: str = "deltas",
    shortnames: bool | None = None,
    file: IO[str] | None = None,
    _state: dict[str, Any] = {},  # noqa: B006
) -> dict[str, set[int]]:
    """Addresses of the objects that are new since the last call, by type name; prints a table of `limit` rows by `sortby` ('old',
    'current', 'new' or 'deltas'). With `skip_update` the answer of the last call, again."""
    if not _state:
        _state.update(old={}, current={}, new={}, shortnames=True)
    new: dict[str, set[int]] = _state["new"]
    if skip_update:
        return new
    if shortnames is not None:
        _state["shortnames"] = shortnames
    gc.collect()
    old, current = _state["current"], _ids_by_name(_namer(_state["shortnames"]))
    _state.update(old=old, current=current)
    nothing: set[int] = set()
    rows = []
    new.clear()
    for name in dict.fromkeys((*old, *current)):
        before, now = old.get(name, nothing), current.get(name, nothing)
        new[name] = now - before
        rows.append((name, len(before), len(now), len(new[name]), len(now) - len(before)))
    column = {"old": 1, "current": 2, "new": 3, "deltas": 4}[sortby]
    rows.sort(key=itemgetter(column, 0), reverse=True)
    _print_new(rows if limit is None else rows[:limit], file)
    return new


def _ids_by_name(name: Callable[[type], str]) -> dict[str, set[int]]:
    objects = gc.get_objects()
    kinds: dict[type, list[int]] = {}
    for kind, address in zip(map(type, objects), map(id, objects), strict=True):
        try:
            kinds[kind].append(address)
        except KeyError:
            kinds[kind] = [address]
    ids: dict[str, set[int]] = {}
    for kind, addresses in kinds.items():
        ids.setdefault(name(kind), set()).update(addresses)
    return ids


def _print_new(rows: Sequence[tuple[str, int, int, int, int]], file: IO[str] | None) -> None:
    if not rows:
        return
    width = max(len(row[0]) for row in rows)
    rule = "=" * (width + 52)
    lines = [f"{name:<{width}}{old:13}{now:13}{new:+13}{delta:+13}" for name, old, now, new, delta in rows]
    head = f"{'Type':<{width}}{'Old_ids':>13}{'Current_ids':>13}{'New_ids':>13}{'Count_Deltas':>13}"
    print(rule, head, rule, *lines, rule, sep="\n", file=file)


def get_leaking_objects(objects: Iterable[Any] | None = None) -> list[Any]:
    """The tracked objects (or those of `objects`) that no tracked object refers to."""
    gc.collect()
    return _core.tracked_unheld(None if objects is None else list(objects), objects)


def by_type(typename: str, objects: Iterable[Any] | None = None) -> list[Any]:
    """The tracked objects (or those of `objects`) of a type, by its name alone or qualified by its module."""
    name = _namer("." not in typename)
    if objects is None:
        kinds: tuple[type, ...] = ()
        for kind, _ in _core.tracked_types():
            if name(kind) == typename:
                kinds += (kind,)
        return _core.tracked_of(kinds)
    found = []
    for obj in objects:
        if name(type(obj)) == typename:
            found.append(obj)
    return found


def at(addr: int) -> Any:
    """The tracked object at an address, or None."""
    found = at_addrs((addr,))
    return found[0] if found else None


def at_addrs(address_set: Iterable[int]) -> list[Any]:
    """The tracked objects at some addresses."""
    return _core.tracked_at(tuple(address for address in address_set if _is_a(address, int) and 0 < address < 1 << 63))


def is_proper_module(obj: object) -> bool:
    """Whether it is a module, and that of sys.modules."""
    return inspect.ismodule(obj) and obj is sys.modules.get(getattr(obj, "__name__", ""))


# ---- chains -----------------------------------------------------------------------------------------------------------


class _Referrers:
    """gc.get_referrers() for all objects of a queue at once, garbage left out. In a small heap that is a collection, and one
    pass over the heap for a level of the search, not for an object; in a large one it is an index of everything, which tells
    garbage by itself."""

    LARGE = 500_000  # blocks of memory

    def __init__(self, queue: Iterable[Any]) -> None:
        self.queue = queue
        self.index: _core.Holders | None = None
        self.large = sys.getallocatedblocks() >= self.LARGE
        if not self.large:
            gc.collect()

    def of(self, target: object) -> list[Any]:  # called as a method: __call__ would be given a tuple, which refers to the target
        found = None if self.index is None else self.index.of(target)
        if found is None:
            self.index = _core.holders(None if self.large else [target, *self.queue])
            found = self.index.of(target)
        assert found is not None
        return found

    def references_to(self, target: object) -> int:
        """How many the index has."""
        return 0 if self.index is None else int(self.index.holds(target))


def find_ref_chain(obj: Any, predicate: Predicate, max_depth: int = 20, extra_ignore: Collection[int] = ()) -> list[Any]:
    """A shortest chain of references from `obj` to an object that `predicate` accepts; [obj] when there is none within `max_depth`
    that avoids the addresses in `extra_ignore`."""
    return _chain(obj, predicate, False, max_depth, extra_ignore)[::-1]


def find_backref_chain(obj: Any, predicate: Predicate, max_depth: int = 20, extra_ignore: Collection[int] = ()) -> list[Any]:
    """A shortest chain of references to `obj` from an object that `predicate` accepts; [obj] when there is none within `max_depth`
    that avoids the addresses in `extra_ignore`."""
    return _chain(obj, predicate, True, max_depth, extra_ignore)


def _chain(obj: Any, predicate: Predicate, back: bool, max_depth: int, extra_ignore: Collection[int]) -> list[Any]:
    """Breadth first; the object that is found comes first."""
    queue, depth, parent = deque([obj]), {id(obj): 0}, {id(obj): None}
    neighbours = _Referrers(queue).of if back else gc.get_referents
    ignore = set(extra_ignore)
    ignore.update(map(id, (extra_ignore, queue, depth, parent, ignore)))
    while queue:
        target = queue.popleft()
        if predicate(target):
            chain = [target]
            while (target := parent[id(target)]) is not None:
                chain.append(target)
            return chain
        below = depth[id(target)] + 1
        if below > max_depth:
            continue
        found = neighbours(target)
        ignore.add(id(found))
        for other in found:
            if id(other) not in ignore and id(other) not in depth:
                depth[id(other)] = below
                parent[id(other)] = target
                queue.append(other)
    return [obj]


# ---- pictures ---------------------------------------------------------------------------------------------------------


def show_backrefs(
    objs: Any,
    max_depth: int = 3,
    extra_ignore: Collection[int] = (),
    filter: Predicate | None = None,
    too_many: int = 10,
    highlight: Predicate | None = None,
    filename: str | None = None,
    extra_info: Callable[[Any], object] | None = None,
    refcounts: bool = False,
    shortnames: bool = True,
    output: IO[str] | None = None,
    extra_node_attrs: Callable[[Any], dict[str, str | None]] | None = None,
    *,
    named: bool = False,
) -> Any:
    """Draw what refers to an object (or to each of a list or tuple of them), and what refers to that, `max_depth` times.

    Left out are addresses in `extra_ignore` and what `filter` denies; of what refers to one object, `too_many` are shown. Modules
    end the way. `highlight` chooses nodes to colour, `extra_info` adds a line, `extra_node_attrs` Graphviz attributes.

    Graphviz's text goes to `output`; or to a file for a `filename` in .dot; or `dot` makes the file in the format of its ending.
    With neither it is shown by xdot, or becomes a .png in the folder for temporary files; a notebook gets the picture.

    `named=True`, which objgraph has not, draws and returns memprobe's own picture: every reference named on every Python,
    with objects that the collector does not track."""
    what = (max_depth, extra_ignore, filter, too_many, highlight, extra_info, refcounts, shortnames, extra_node_attrs)
    return _show_named(True, objs, filename, output, what) if named else _show(True, objs, filename, output, what)


def show_refs(
    objs: Any,
    max_depth: int = 3,
    extra_ignore: Collection[int] = (),
    filter: Predicate | None = None,
    too_many: int = 10,
    highlight: Predicate | None = None,
    filename: str | None = None,
    extra_info: Callable[[Any], object] | None = None,
    refcounts: bool = False,
    shortnames: bool = True,
    output: IO[str] | None = None,
    extra_node_attrs: Callable[[Any], dict[str, str | None]] | None = None,
    *,
    named: bool = False,
) -> Any:
    """Draw what an object (or each of a list or tuple of them) refers to; the rest as show_backrefs(), but modules do not end the
    way."""
    what = (max_depth, extra_ignore, filter, too_many, highlight, extra_info, refcounts, shortnames, extra_node_attrs)
    return _show_named(False, objs, filename, output, what) if named else _show(False, objs, filename, output, what)


def show_chain(*chains: Sequence[Any], **kw: Any) -> Any:
    """Draw chains that find_ref_chain() or find_backref_chain() found. With `backrefs=False` references are followed from the first
    object, otherwise backwards from the last; the rest as show_backrefs()."""
    backrefs = kw.pop("backrefs", True)
    full = [chain for chain in chains if chain]
    ids = {id(obj) for obj in itertools.chain(*full)}
    depth = max(map(len, full)) - 1
    show, end = (show_backrefs, -1) if backrefs else (show_refs, 0)
    return show([chain[end] for chain in full], max_depth=depth, filter=lambda obj: id(obj) in ids, **kw)


def _show(back: bool, objs: Any, filename: str | None, output: IO[str] | None, what: tuple[Any, ...]) -> Any:
    objs = objs if _is_a(objs, (list, tuple)) else [objs]
    if filename and output:
        raise ValueError("give a filename or an output, not both.")
    if output:
        _draw(output.write, back, objs, *what)
        return None
    if IS_INTERACTIVE and not filename:
        import graphviz

        text = io.StringIO()
        _draw(text.write, back, objs, *what)
        return graphviz.Source(text.getvalue())
    dot_file = filename
    if not filename or not filename.endswith(".dot"):
        descriptor, dot_file = tempfile.mkstemp(".dot", "objgraph-")
        os.close(descriptor)
    assert dot_file is not None
    with open(dot_file, "w", encoding="utf-8") as file:
        nodes = _draw(file.write, back, objs, *what)
    print(f"Graph written to {dot_file} ({nodes} nodes)")
    if dot_file != filename:
        _render(dot_file, filename)
    return None


def _show_named(back: bool, objs: Any, filename: str | None, output: IO[str] | None, what: tuple[Any, ...]) -> Any:
    """memprobe's own picture of the same, which is also returned."""
    from memprobe import picture

    max_depth, extra_ignore, filter, too_many, highlight, extra_info, refcounts = what[:7]
    ignored = set(extra_ignore)

    def wanted(obj: Any) -> object:
        return id(obj) not in ignored and (filter is None or filter(obj))

    drawn = (picture.show_backrefs if back else picture.show_refs)(
        *(objs if _is_a(objs, (list, tuple)) else [objs]),
        depth=max_depth,
        too_many=too_many,
        filter=wanted if ignored or filter else None,
        highlight=highlight,
        extra_info=extra_info,
        refcounts=refcounts,
        filename=filename,
    )
    if output:
        output.write(drawn.dot)
    return drawn


def _render(dot_file: str, filename: str | None) -> None:
    """Make the picture that was asked for, or show one."""
    if not filename and shutil.which("xdot"):
        print("Spawning graph viewer (xdot)")
        subprocess.Popen(["xdot", dot_file], close_fds=True)
        return
    if not shutil.which("dot"):
        missing = "Image renderer (dot)" if filename else "Graph viewer (xdot) and image renderer (dot)"
        print(f"{missing} not found, not doing anything else")
        return
    if not filename:
        print("Graph viewer (xdot) not found, generating a png instead")
        filename = f"{dot_file[:-4]}.png"
    command = ["dot", f"-T{os.path.splitext(filename)[1][1:]}", f"-o{filename}", dot_file]
    code = subprocess.run(command, close_fds=False).returncode
    if code:
        print(f'dot failed (exit code {code}) while executing "{" ".join(command)}"')
    else:
        print(f"Image generated as {filename}")


def _draw(
    write: Callable[[str], object],
    back: bool,
    objs: Sequence[Any],
    max_depth: int,
    extra_ignore: Collection[int],
    filter: Predicate | None,
    too_many: int,
    highlight: Predicate | None,
    extra_info: Callable[[Any], object] | None,
    refcounts: bool,
    shortnames: bool,
    extra_node_attrs: Callable[[Any], dict[str, str | None]] | None,
) -> int:
    """Write the graph; the number of its nodes. What is local here would be found as a referrer: it is ignored by its address."""
    queue, depth = deque(objs), dict.fromkeys(map(id, objs), 0)
    referrers, name = _Referrers(queue) if back else None, _namer(shortnames)
    neighbours = referrers.of if referrers else gc.get_referents
    ignore = set(extra_ignore)
    ignore.update(map(id, (objs, extra_ignore, queue, depth, ignore)))
    write("digraph ObjectGraph {\n  node[shape=box, style=filled, fillcolor=white];\n")
    for address in map(id, objs):
        write(f"  o{address}[fontcolor=red];\n")
    nodes = 0
    while queue:
        target = queue.popleft()
        here, at_depth = f"o{id(target)}", depth[id(target)]
        nodes += 1
        label = _label(target, extra_info, name, refcounts, referrers)
        write(f'  {here}[label="{label}"{_attributes(extra_node_attrs, target)}];\n')
        write(_colours(here, target, highlight, at_depth / max_depth if max_depth else 0.0))
        if at_depth >= max_depth or (back and is_proper_module(target)):
            continue
        found = neighbours(target)
        ignore.add(id(found))
        shown = hidden = 0
        for other in found:
            if id(other) in ignore or (filter and not filter(other)):
                continue
            if shown >= too_many:
                hidden += 1
                continue
            shown += 1
            source, sink = (other, target) if back else (target, other)
            write(f"  o{id(source)} -> o{id(sink)}{_edge_label(source, sink, name)};\n")
            if id(other) not in depth:
                depth[id(other)] = at_depth + 1
                queue.append(other)
            other = None
        found = []
        if hidden:
            write(_more(here, hidden, back, (at_depth + 1) / max_depth))
    write("}\n")
    return nodes


def _shade(depth: float) -> float:
    """Brightness: white at the objects that were asked about, darker with the share of the depth."""
    return 1.0 - 0.7 * depth


def _colours(here: str, target: Any, highlight: Predicate | None, depth: float) -> str:
    hue, strength, value = 0.0, 0.0, _shade(depth)
    if inspect.ismodule(target):
        hue, strength = 0.3, 1.0
    if highlight and highlight(target):
        hue, strength, value = 0.6, 0.6, 0.5 + value * 0.5
    text = f'  {here}[fillcolor="{hue:g},{strength:g},{value:g}"];\n'
    if value < 0.5:
        text += f"  {here}[fontcolor=white];\n"
    if hasattr(getattr(target, "__class__", None), "__del__"):
        text += (
            f"  {here}->{here}_has_a_del[color=red,style=dotted,len=0.25,weight=10];\n"
            f'  {here}_has_a_del[label="__del__",shape=doublecircle,height=0.25,color=red,fillcolor="0,.5,1",fontsize=6];\n'
        )
    return text


def _more(here: str, hidden: int, back: bool, depth: float) -> str:
    there = f"too_many_{here}"
    edge, label = (f"{there}->{here}", "backreferences") if back else (f"{here}->{there}", "references")
    return (
        f"  {edge}[color=red,style=dotted,len=0.25,weight=10];\n"
        f'  {there}[label="{hidden} more {label}",shape=box,height=0.25,color=red,fillcolor="0,1,{_shade(depth):g}",fontsize=6];\n'
        f"  {there}[fontcolor=white];\n"
    )


# ---- labels -----------------------------------------------------------------------------------------------------------


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\0", "\\\\0")


def _label(
    obj: Any, extra_info: Callable[[Any], object] | None, name: Callable[[type], str], refcounts: bool, referrers: _Referrers | None
) -> str:
    first = name(type(obj))
    if refcounts:  # less the references of this function, its caller and the call, and one that has always been taken off
        first += f" [{sys.getrefcount(obj) - 4 - (referrers.references_to(obj) if referrers else 0)}]"
    lines = [first, _contents(obj)]
    if extra_info:
        lines.append(str(extra_info(obj)))
    return _quoted("\n".join(lines))


def _attributes(extra_node_attrs: Callable[[Any], dict[str, str | None]] | None, obj: Any) -> str:
    if extra_node_attrs is None:
        return ""
    given = sorted(extra_node_attrs(obj).items())
    return ", " + ", ".join(f'{name}="{_quoted(value)}"' for name, value in given if value is not None)


def _contents(obj: Any) -> str:
    try:
        return _shown(obj)
    except Exception:
        return "(unrepresentable)"


def _name_of(obj: Any) -> str:
    name = getattr(obj, "__name__", None)
    return name if isinstance(name, str) else repr(obj)[:40]


def _shown(obj: Any) -> str:
    if _is_a(obj, (type, ModuleType, BuiltinMethodType)):
        return _name_of(obj)
    if _is_a(obj, MethodType):
        return _name_of(obj.__func__) + (" (bound)" if obj.__self__ else "")
    if _is_a(obj, FunctionType) and obj.__name__ == "<lambda>":
        return f"lambda: {os.path.basename(obj.__code__.co_filename)}:{obj.__code__.co_firstlineno}"
    if _is_a(obj, FrameType):
        return f"{obj.f_code.co_filename}:{obj.f_lineno}"
    if _is_a(obj, (tuple, list, dict, set)):
        return f"{len(obj)} items"
    return repr(obj)[:40]


_is_identifier = re.compile("[a-zA-Z_][a-zA-Z_0-9]*$").match


def _edge_label(source: Any, target: Any, name: Callable[[type], str]) -> str:
    """The attributes of an edge, as far as the public API tells what the reference is called."""
    called = _called(source, target)
    if called:
        return f' [label="{_quoted(called)}",weight=10]'
    if not _is_a(source, dict):
        return ""
    for key, value in source.items():
        if value is target:
            if _is_a(key, str) and _is_identifier(key):
                return f' [label="{_quoted(key)}",weight=2]'
            return f' [label="{_quoted(name(type(key)))}\\n{_quoted(_contents(key))}"]'
    return ""


def _called(source: Any, target: Any) -> str | None:
    if _is_a(target, dict) and target is getattr(source, "__dict__", None):
        return "__dict__"
    if _is_a(source, FrameType):
        places: Iterable[str] = ("f_locals", "f_globals")
    elif _is_a(source, MethodType):
        places = ("__self__", "__func__")
    elif _is_a(source, FunctionType):
        places = dir(source)
    else:
        return None
    return next((place for place in places if target is getattr(source, place)), None)
