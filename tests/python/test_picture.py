# SPDX-License-Identifier: MIT
"""Pictures: what is on them, that Graphviz accepts them, and that nothing on them is believed."""

from __future__ import annotations

import collections
import gc
import random
import re
import shutil
import subprocess
import sys
import time
import tracemalloc
import weakref
import xml.etree.ElementTree
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

import memprobe
from memprobe.picture import STYLES, Picture

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz's program dot: apt install graphviz")


class Thing:
    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)

    def __repr__(self) -> str:
        raise AssertionError("a picture runs nobody's code")

    __str__ = __len__ = __bool__ = __eq__ = __repr__  # type: ignore[assignment]
    __hash__ = object.__hash__


class Slotted:
    __slots__ = ("field",)


registry: dict[str, Any] = {}


def edges(picture: Picture) -> dict[str, str]:
    """Attributes of each edge by its label."""
    return dict(re.findall(r'-> n\d+ \[label="([^"]*)"(.*)\];', picture.dot))


def styles(picture: Picture) -> dict[str, str]:
    """Style of each node by its name."""
    names = {text: name for name, text in STYLES.items()}
    return {title: names[style] for title, style in re.findall(r"label=<<b>([^<]*)</b>.*?>, (fill.*)\];", picture.dot)}


def accepted(dot: str) -> bool:
    return subprocess.run(["dot", "-Tcanon"], input=dot.encode(), capture_output=True).returncode == 0


def test_labels_are_what_a_program_has() -> None:
    value = ["value"]
    slotted = Slotted()
    slotted.field = value

    def closure() -> Any:
        return value

    thing = Thing(attribute=value, table={"a key": value, (1, 2): value}, things=[None, value], slotted=slotted, call=closure)
    found = edges(memprobe.show_refs(thing, depth=3))
    assert {".attribute", "['a key'], [<tuple>]", "[1]", ".field", ".__closure__", ".table"} <= found.keys()
    back = edges(memprobe.show_backrefs(value, depth=3))
    assert {".attribute", ".field", "local thing", ".cell_contents"} & back.keys() >= {".attribute", ".field", ".cell_contents"}
    assert "local thing" in back


def test_a_namespace_is_its_owners() -> None:
    registry["thing"] = thing = Thing()
    back = memprobe.show_backrefs(thing, depth=2)
    assert {"['thing']", ".registry"} <= edges(back).keys()
    assert styles(back)[f"module {__name__}"] == "module"
    registry.clear()


def test_cycles_garbage_and_weak_references() -> None:
    one, other = Thing(), Thing()
    one.other, other.one = other, one
    one.hint = weakref.ref(other)
    found = edges(memprobe.show_refs(one))
    assert "cf222e" in found[".other"] and "cf222e" in found[".one"] and "cf222e" not in found[".hint"]
    assert "dashed" in found["&lt;referent&gt;" if "&lt;referent&gt;" in found else "<referent>"]
    assert ".hint" in edges(memprobe.show_refs(one, weak=False))
    gc.collect()
    gc.disable()
    try:
        lost = Thing(kept=kept) if (kept := []) is None else Thing(kept=kept)
        lost.self = lost
        target = lost.kept
        del lost
        assert styles(memprobe.show_backrefs(target, depth=1))["Thing"] == "garbage"
    finally:
        gc.enable()
        gc.collect()


def test_too_many_are_counted() -> None:
    picture = memprobe.show_refs([Thing() for _ in range(25)], too_many=4, depth=1, merge=False)
    assert (picture.nodes, picture.edges, picture.hidden) == (5, 4, 21)
    assert '"21 more"' in picture.dot
    target = Thing()
    holders = [[target] for _ in range(25)]
    picture = memprobe.show_backrefs(target, too_many=4, depth=1, merge=False)
    assert len(edges(picture)) >= 2 and 21 <= picture.hidden <= len(holders) and picture.nodes <= 9  # with the path of its name
    wanted = memprobe.show_refs([[], {}, [], {}], depth=1, too_many=2, filter=lambda obj: type(obj) is dict)
    assert (wanted.nodes, wanted.hidden) == (3, 0)


def test_what_is_asked_for_is_shown() -> None:
    inner = ["x" * 1000]
    outer = [inner, inner, ["y" * 2000]]
    picture = memprobe.show_refs(
        outer, refcounts=True, retained=True, highlight=lambda obj: obj is inner, extra_info=lambda obj: f"<{type(obj).__name__}>"
    )
    assert "3 references" in picture.dot
    assert "retained" in picture.dot and "&lt;list&gt;" in picture.dot and '"[0], [1]"' in picture.dot
    assert STYLES["highlight"] in picture.dot and STYLES["asked"] in picture.dot


def test_chains() -> None:
    last = Thing()
    middle = [last, last]
    first = {"way": middle, "not": Thing()}
    picture = memprobe.show_chain([first, middle, last])
    assert (picture.nodes, picture.edges) == (3, 2)
    registry["chain"] = first
    path = next(path for path in memprobe.why_alive(last, 9) if "registry" in path.expression)
    assert memprobe.show_chain(path).edges >= 3
    last.way = first
    cycle = memprobe.find_cycles(last)[0]
    assert "cf222e" in memprobe.show_chain(cycle).dot
    with pytest.raises(ValueError):
        memprobe.show_chain([])
    registry.clear()


def test_a_file_has_the_same_picture(tmp_path: Path) -> None:
    registry["heap"] = thing = Thing(field=[Thing()])
    memprobe.snapshot(tmp_path / "heap.snap")
    heap = memprobe.load(tmp_path / "heap.snap")
    node = heap.at(id(thing))
    picture = memprobe.show_refs(node)
    assert picture.nodes == memprobe.show_refs(thing).nodes == 3 and ".field" in edges(picture)
    assert ".registry" in edges(memprobe.show_backrefs(node))
    with pytest.raises(TypeError):
        memprobe.show_refs(node, thing)
    with pytest.raises(TypeError):
        memprobe.show_refs(node, memprobe.capture().node(1))
    registry.clear()


def test_bad_arguments() -> None:
    with pytest.raises(TypeError):
        memprobe.show_refs()
    for wrong in ({"depth": -1}, {"too_many": "x"}):
        with pytest.raises(ValueError):
            memprobe.show_refs([], **wrong)
    with pytest.raises(ValueError, match="ending"):
        memprobe.show_refs([]).save("picture")


NASTY = [
    '"',
    "\\",
    "\n",
    "<script>alert(1)</script>",
    "]]>",
    "&amp;",
    "\0\x1b\x7f",
    "\ud800",
    "\ufffe",
    "é漢🐍",
    "\\N",
    "%s{}|<>",
    "x" * 10_000_000,
]


@needs_dot
def test_nothing_breaks_a_label() -> None:
    for text in NASTY:
        kind = type("a" + text.replace("\0", "").encode("utf-8", "replace").decode()[:50], (Thing,), {})
        thing = kind(**{text[:1000]: [text, text.encode("utf-8", "replace")]})
        picture = memprobe.show_refs(thing, {text: thing}, extra_info=lambda obj: text[:100])
        assert accepted(picture.dot), text[:50]
        assert len(picture.dot) < 20_000 and "\0" not in picture.dot
        drawn = subprocess.run(["dot", "-Tsvg"], input=picture.dot.encode(), capture_output=True).stdout
        assert b"<script" not in drawn and xml.etree.ElementTree.fromstring(drawn) is not None


def random_heap(choose: random.Random) -> Any:
    kinds = (list, dict, set, Thing, Slotted, lambda: (1, []))
    nodes: list[Any] = [choose.choice(kinds)() for _ in range(choose.randrange(2, 30))]
    for _ in range(60):
        holder, target = choose.choice(nodes), choose.choice(nodes)
        if type(holder) is list:
            holder.append(target)
        elif type(holder) is dict:
            holder[choose.choice([*NASTY[:-1], 1, 2.5, (1, "\n"), b"\\"])] = target
        elif type(holder) is Slotted:
            holder.field = target
        elif type(holder) is Thing:
            setattr(holder, choose.choice(NASTY[:-1]), target)
        elif type(target) in (Thing, Slotted):
            holder.add(target) if type(holder) is set else None
    return nodes


@needs_dot
def test_graphviz_accepts_a_thousand_heaps(tmp_path: Path) -> None:
    """One capture of twenty heaps, each drawn both ways; dot reads many graphs in one run."""
    texts = []
    for seed in range(25):
        choose = random.Random(seed)
        things = [random_heap(choose) for _ in range(20)]
        heap = memprobe.capture(values=seed % 2 == 0)
        for nodes in things:
            node = heap.at(id(choose.choice(nodes))) or heap.at(id(nodes))
            options: dict[str, Any] = {
                "depth": choose.randrange(5),
                "too_many": choose.randrange(1, 12),
                "refcounts": seed % 3 == 0,
            }
            texts += [memprobe.show_refs(node, **options).dot, memprobe.show_backrefs(node, weak=seed % 2 == 0, **options).dot]
    assert len(texts) == 1000
    done = subprocess.run(["dot", "-Tcanon"], input="\n".join(texts).encode(), capture_output=True)
    assert done.returncode == 0 and not done.stderr, done.stderr[:500]
    assert done.stdout.count(b"digraph memprobe") == 1000


@needs_dot
def test_files_and_notebooks(tmp_path: Path) -> None:
    pytest.importorskip("graphviz")
    picture = memprobe.show_refs([Thing()], filename=tmp_path / "thing.svg")
    assert b"<svg" in (tmp_path / "thing.svg").read_bytes() and (tmp_path / "thing.dot").read_text() == picture.dot
    assert picture.png.startswith(b"\x89PNG")
    picture.save(tmp_path / "thing.pdf")
    assert (tmp_path / "thing.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in (picture._repr_svg_() or "") and "<svg" in picture._repr_mimebundle_()["image/svg+xml"]
    with pytest.raises(ValueError, match="svg"):
        picture.save(tmp_path / "thing.nonsense")


def test_without_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to get it, and the source stays."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(memprobe.Error, match=r"apt install graphviz.*thing\.dot"):
        memprobe.show_refs([1], filename=tmp_path / "thing.svg")
    assert (tmp_path / "thing.dot").read_text().startswith("digraph")
    assert not (tmp_path / "thing.svg").exists()
    picture = memprobe.show_refs([1])
    assert picture._repr_svg_() is None and "digraph" in picture._repr_mimebundle_()["text/plain"]
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(memprobe.Error, match="pip install graphviz"):
        picture.svg


class Commanded(Thing):
    pass


def test_the_command(python: Callable[..., Any], tmp_path: Path) -> None:
    registry["command"] = Commanded(field=[1])
    file = tmp_path / "heap.snap"
    memprobe.snapshot(file)
    registry.clear()
    done = python("-m", "memprobe", "graph", file, f"{__name__}.Commanded", "--depth", 4)
    assert done.code == 0 and done.out.startswith("digraph") and ".registry" in done.out, done
    done = python("-m", "memprobe", "graph", "--json", "--refs", file, f"{__name__}.Commanded")
    assert done.code == 0 and '"memprobe.graph/1"' in done.out and ".field" in done.out, done
    done = python("-m", "memprobe", "graph", file, f"{__name__}.Commanded", "-o", tmp_path / "picture.dot")
    assert done.code == 0 and (tmp_path / "picture.dot").read_text().startswith("digraph"), done
    done = python("-m", "memprobe", "graph", file, f"{__name__}.Commanded", "-o", tmp_path / "picture.svg", PATH=str(tmp_path))
    assert done.code == 3 and "apt install graphviz" in done.err, done


# ---- who keeps it, and what is alike ----------------------------------------------------------------------------------


def nodes(picture: Picture) -> dict[str, str]:
    """The number of each node by its title."""
    return {unescape(title): number for number, title in re.findall(r"n(\d+) \[label=<<b>([^<]*)</b>", picture.dot)}


def arrows(picture: Picture) -> set[tuple[str, str, str]]:
    """(holder's title, label, target's title) of each edge."""
    titles = {number: unescape(title) for number, title in re.findall(r"n(\d+) \[label=<<b>([^<]*)</b>", picture.dot)}
    found = re.findall(r'n(\d+) -> n(\d+) \[label="([^"]*)"', picture.dot)
    return {(titles[holder], label, titles[target]) for holder, target, label in found}


def boxes(picture: Picture) -> int:
    """All that is drawn as a node, with those that say how many more there are."""
    return len(re.findall(r"^  n\w+ \[label=", picture.dot, re.MULTILINE))


def both_ways(thing: Any, draw: Callable[..., Picture] = memprobe.show_backrefs, **options: Any) -> list[Picture]:
    """The picture of a living object, and of its node."""
    node = memprobe.capture(values=True).at(id(thing))
    assert node is not None
    return [draw(thing, **options), draw(node, **options)]


class Owner:
    things: list[Any] = []


class Link:
    def __init__(self, next: Any) -> None:
        self.next = next


def test_the_owner_is_always_in_the_picture() -> None:
    """Also when it is further than the depth, among very many holders, and when the caller's variable is nearer."""
    thing = Thing()
    Owner.things.append({"a": [[[[thing]]]]})
    crowd = [{number: thing} if number % 2 else (thing, number) for number in range(500)]
    for picture in both_ways(thing, depth=1, too_many=2):
        assert {
            (f"module {__name__}", ".Owner", f"type {__name__}.Owner"),
            (f"type {__name__}.Owner", ".things", "list"),
        } <= arrows(picture)
        assert ("dict", "['a']", "list") in arrows(picture)
        assert styles(picture)["Thing"] == "asked" and styles(picture)[f"module {__name__}"] == "module"
    del crowd
    no_dicts = lambda obj: (obj.type if isinstance(obj, memprobe.Node) else type(obj).__name__) != "dict"  # noqa: E731
    for picture in both_ways(thing, filter=no_dicts):
        assert "module" not in picture.dot and "dict" not in nodes(picture)  # what is denied is left out there, too
    Owner.things.clear()


def test_the_callers_variable_comes_last() -> None:
    registry["kept"] = kept = [Thing()]
    thing = kept[0]
    assert (f"module {__name__}", ".registry", "dict") in arrows(memprobe.show_backrefs(thing, depth=0))
    registry.clear()
    mine = Thing()
    if sys.version_info >= (3, 11):  # on 3.10 the call's own reference comes first, as one of C code
        assert any(label == "local mine" for _, label, _ in arrows(memprobe.show_backrefs(mine, depth=0)))


@pytest.mark.parametrize("length", [9, 30_000])
def test_a_long_path_is_folded(length: int) -> None:
    target = Thing()
    chain: Any = target
    for _ in range(length):
        chain = Link(chain)
    registry["chain"] = chain
    del chain
    for picture in both_ways(target):
        [gap] = re.findall(r'label="… ([\d,]+) more"', picture.dot)
        shown = len(re.findall(r"<b>Link</b>", picture.dot))
        if length == 9:
            assert gap == "3" and shown == 6
        else:
            assert length - 8 <= int(gap.replace(",", "")) <= length - 6 and shown == 6 and picture.nodes < 20
        assert len(re.findall(r'-> n\d+(?:_to_n\d+)? \[style=dotted, label="\.next"\]', picture.dot)) == 2
        assert f"module {__name__}" in nodes(picture) and ("dict", "['chain']", "Link") in arrows(picture)
        assert boxes(picture) <= 60
    target = registry["chain"]
    while registry["chain"] is not None:  # link by link: nothing recurses
        registry["chain"] = getattr(registry["chain"], "next", None)
    registry.clear()


def test_at_most_sixty_nodes() -> None:
    kinds = [type(f"Kind{number}", (), {}) for number in range(30)]
    tree = {number: kind() for number, kind in enumerate(kinds)}
    for branch in tree.values():
        branch.below = {number: kind() for number, kind in enumerate(kinds)}  # type: ignore[attr-defined]
    registry["tree"] = tree
    for picture in both_ways(tree, memprobe.show_refs, too_many=50):
        assert 50 <= boxes(picture) <= 60 and picture.hidden > 0
    for picture in both_ways(tree, memprobe.show_refs, too_many=50, max_nodes=10):
        assert boxes(picture) == 10
    for picture in both_ways(tree, memprobe.show_refs, too_many=50, max_nodes=None):
        assert boxes(picture) > 900
    for wrong in (0, "x", 1.5):
        with pytest.raises(ValueError, match="max_nodes"):
            memprobe.show_refs(tree, max_nodes=wrong)  # type: ignore[arg-type]
    registry.clear()


class Table(dict):  # type: ignore[type-arg]
    pass


def test_items_of_any_dict_are_items() -> None:
    for kind in (lambda: collections.defaultdict(list), collections.OrderedDict, collections.Counter, Table):
        table: Any = kind()
        thing = table["price"] = Thing()
        if type(table) is Table:
            table.price, table.extra = [1], thing
        registry["table"] = table
        for picture in both_ways(table, memprobe.show_refs, depth=1):
            labels = {label for _, label, target in arrows(picture) if target == "Thing"}
            assert labels == ({"['price'], .extra"} if type(table) is Table else {"['price']"}), picture.dot
        for picture in both_ways(thing):
            assert any("['price']" in label for _, label, target in arrows(picture) if target == "Thing")
        registry.clear()
    for picture in both_ways(Thing(price=[1]), memprobe.show_refs, depth=1):
        assert ("Thing", ".price", "list") in arrows(picture)


class Parser:
    def error(self) -> None: ...

    async def handle(self, number: int) -> None:
        await Pause()

    def numbers(self) -> Any:
        yield self


class Pause:
    def __await__(self) -> Any:
        yield


def test_what_runs_says_what_it_runs() -> None:
    parser = Parser()
    waiting, numbers = parser.handle(1), parser.numbers()
    waiting.send(None)
    next(numbers)
    registry.update(parser=parser, error=parser.error, waiting=waiting, numbers=numbers, function=Parser.handle)
    file = Path(__file__).name
    lines = {function.__name__: function.__code__.co_firstlineno for function in (Parser.handle, Parser.numbers)}
    me = sys._getframe().f_code
    for picture in both_ways(parser, depth=3, too_many=20):
        titles = nodes(picture)
        assert any(re.fullmatch(r"method (Parser\.)?error", title) for title in titles)
        assert any(title.startswith("coroutine ") and title.endswith(f"handle ({file}:{lines['handle']})") for title in titles)
        assert any(title.startswith("generator ") and title.endswith(f"numbers ({file}:{lines['numbers']})") for title in titles)
        assert any(title.startswith("frame ") and title.endswith(f"{me.co_name} ({file}:{me.co_firstlineno})") for title in titles)
    for picture in both_ways(registry, memprobe.show_refs, depth=1):
        assert any(title.startswith("function ") and title.endswith("handle") for title in nodes(picture))
    waiting.close()
    registry.clear()


def test_siblings_of_one_kind_are_one_node() -> None:
    parser = Parser()
    waiting = [parser.handle(number) for number in range(402)]
    for one in waiting:
        one.send(None)
    registry.update(waiting=waiting, parser=parser)
    for picture in both_ways(parser, depth=2):
        if sys.version_info < (3, 11):  # the frame of a coroutine is an object of its own
            assert ("402 coroutines, .cr_frame", "", "402 frames, local self") in arrows(picture), picture.dot
            continue
        assert "402 coroutines, local self" in nodes(picture)
        assert ("402 coroutines, local self", "", "Parser") in arrows(picture)
        assert ("list", "[…]", "402 coroutines, local self") in arrows(picture)
        assert "coroutine" not in "".join(title for title in nodes(picture) if not title.startswith("402"))
        assert re.search(r"402 coroutines, local self</b><br/><font[^>]*>(Parser\.)?handle \(", picture.dot)
    for one in waiting:
        one.close()
    registry.clear()


class Walker:
    def walk(self, depth: int) -> list[Picture]:
        return self.walk(depth - 1) if depth else both_ways(self)


def test_frames_of_one_method_are_one_node() -> None:
    registry["walker"] = walker = Walker()
    for picture in walker.walk(401):
        assert "402 frames, local self" in nodes(picture) and f"module {__name__}" in nodes(picture)
    registry.clear()


def test_what_is_merged() -> None:
    many = [Thing() for _ in range(25)]
    few = {"a": Link(many[3]), "b": Link(many[4]), "c": Link(many[3])}
    registry.update(many=many, few=few)
    for picture in both_ways(registry, memprobe.show_refs, depth=4):
        assert "25 Thing objects, […]" in nodes(picture) and picture.dot.count("<b>Link</b>") == 3  # three are not many
        assert ("Link", "1 of 25: .next", "25 Thing objects, […]") in arrows(picture)
    several = [Thing(), {}, Thing(), [], Thing(), (many,), Thing(), Owner, Parser, Link, Table]
    for picture in both_ways(several, memprobe.show_refs, depth=1, too_many=20):
        assert {"4 Thing objects, […]", "dict", "list", "tuple", "type tests.Owner"} - nodes(picture).keys() <= {"type tests.Owner"}
        assert sum(title.startswith("type ") for title in nodes(picture)) == 4
    chosen = memprobe.show_refs(many, depth=1, highlight=lambda obj: obj is many[7])
    assert styles(chosen)["Thing"] == "highlight" and "24 Thing objects, […]" in nodes(chosen)
    assert memprobe.show_refs(many, depth=1, merge=False, too_many=30).nodes == 26
    assert memprobe.show_chain([many, many[0]], [many, many[1]], [many, many[2]], [many, many[3]]).nodes == 5
    registry.clear()


def test_of_attributes_each_has_its_node() -> None:
    """Different attributes are different labels; the same attribute of many is one."""
    one = Thing(**{f"field{number}": Thing() for number in range(6)})
    assert all(picture.nodes == 7 for picture in both_ways(one, memprobe.show_refs, depth=1))
    shared = Thing()
    registry["holders"] = holders = [Link(shared) for _ in range(9)]
    for picture in both_ways(shared, depth=2):
        kinds = [title for title in nodes(picture) if "Link" in title]
        assert sorted(kinds) == ["8 Link objects, .next", "Link"]  # one of them is on the path that names it
    assert len(holders) == 9
    registry.clear()


def test_many_neighbours_take_no_time() -> None:
    """Comparing siblings looks at each reference once."""
    registry["wide"] = wide = {f"key {number}": Thing() for number in range(50_000)}
    start = time.process_time()
    pictures = both_ways(wide, memprobe.show_refs, depth=1)
    assert time.process_time() - start < 20
    assert all("50,000 Thing objects, […]" in nodes(picture) for picture in pictures)
    registry.clear()


# ---- where it was made ------------------------------------------------------------------------------------------------


def test_allocation_sites() -> None:
    """Trap T20: the key of a trace is where the block starts, in front of the object."""
    made: list[Any] = []

    class Late:
        pass

    tracemalloc.start(2)
    try:
        line = sys._getframe().f_lineno
        made += [
            Late(),
            Slotted(),
            Thing(a=1),
            tuple(range(line, line + 40)),
            object(),
            type("Made", (), {}),
            lambda: made,
            1 << line * 30,
        ]
        end = sys._getframe().f_lineno
        for thing in made:
            site = memprobe._core.allocated(thing)
            assert site is not None and any(file == __file__ and line < at < end for file, at in site), type(thing)
            traced = tracemalloc.get_object_traceback(thing)
            if traced is not None and sys.version_info[:2] != (3, 11):
                assert (traced[-1].filename, traced[-1].lineno) == site[0]
        registry["made"] = made[0]
        path = memprobe.why_alive(made[0])[0]
        site = memprobe._core.allocated(made[0])
        assert (
            site is not None
            and path.made == f"{__file__}:{site[0][1]}"
            and path.made in str(path)
            and path.to_dict()["made"] == path.made
        )
        assert f"made in {Path(__file__).name}:{site[0][1]}" in memprobe.show_refs(made[0]).dot
    finally:
        tracemalloc.stop()
        registry.clear()
    assert memprobe.why_alive(made)[0].made is None
    assert memprobe._core.allocated(None) is None
