# SPDX-License-Identifier: MIT
"""Which rows are wanted: by type, module, library, size and order; in Python and on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import memprobe
from memprobe import _select
from memprobe._merge import merged_diff
from memprobe._select import Selection
from memprobe.leaks import Diff, DiffRow

SHOP = """
class PriceWatcher:
    def __init__(self, n):
        self.n, self.prices = n, [n, n + 0.5, str(n)]
class Conn:
    pass
class Session:
    pass
watchers = {n: PriceWatcher(n) for n in range(3000)}
conns = [Conn() for _ in range(50)]
"""
OTHER = """
class Session:
    def __init__(self, n):
        self.data = [str(n)] * n
        self.me = self
sessions = [Session(n) for n in range(2000)]
"""
PROGRAM = """
import collections
import memprobe
import shop.prices, other
tables = collections.OrderedDict((n, [n]) for n in range(2000))
memprobe.snapshot("older.snap")
shop.prices.watchers.update((n, shop.prices.PriceWatcher(n)) for n in range(3000, 6000))
other.sessions.extend(other.Session(n) for n in range(1000))
memprobe.snapshot("newer.snap")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop")
    (path / "shop").mkdir()
    (path / "shop" / "__init__.py").write_text("")
    (path / "shop" / "prices.py").write_text(SHOP)
    (path / "other.py").write_text(OTHER)
    (path / "program.py").write_text(PROGRAM)
    subprocess.run([sys.executable, "program.py"], cwd=path, check=True)
    return path


@pytest.fixture(scope="module")
def heap(folder: Path) -> memprobe.Heap:
    return memprobe.load(folder / "newer.snap")


@pytest.fixture
def ask(folder: Path) -> Callable[..., Any]:
    """A command's JSON, or what it says with exit code `code`."""

    def run(*words: str, code: int = 0) -> Any:
        done = subprocess.run([sys.executable, "-m", "memprobe", *words], cwd=folder, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if "--json" in words else done.stdout + done.stderr

    return run


# ---- matching ---------------------------------------------------------------------------------------------------------

NAMES = ("dict", "collections.OrderedDict", "app.dict", "app.models.User", "app.User", "other.User", "app.f.<locals>.Item")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("dict", {"dict"}),
        ("OrderedDict", {"collections.OrderedDict"}),
        ("User", {"app.models.User", "app.User", "other.User"}),
        ("models.User", {"app.models.User"}),
        ("app.*", {"app.dict", "app.models.User", "app.User", "app.f.<locals>.Item"}),
        ("*er", {"app.models.User", "app.User", "other.User"}),
        ("It?m", {"app.f.<locals>.Item"}),
        ("user", set()),
    ],
)
def test_a_type_is_found_with_and_without_its_module(pattern: str, found: set[str]) -> None:
    assert _select.matching(pattern, NAMES) == found
    wanted = Selection(type=pattern).among(NAMES)
    assert {name for name in NAMES if wanted.matches(name)} == found


@pytest.mark.parametrize(
    ("wrong", "right"), [("Usr", "app.User"), ("ordereddict", "collections.OrderedDict"), ("app.Usr", "app.User")]
)
def test_near_misses(wrong: str, right: str) -> None:
    said = _select.no_such_type(wrong, NAMES)
    assert said.startswith(f"there is no type '{wrong}' in this snapshot; did you mean ") and right in said
    assert "wrong.Usr" in _select.no_such_type("wrong.Usr", NAMES) and _select.near("wrong.Usr", NAMES)[0] == "app.User"
    assert _select.near("no.such.Dict", ("dict", "list")) == []
    assert _select.no_such_type("Zebra", NAMES).endswith("`memprobe summary` lists its types.")


@pytest.mark.parametrize(
    ("type", "name", "hidden"),
    [
        ("dict", None, True),
        ("app.User", None, False),
        ("logging.Logger", None, True),
        ("dict", "app.cache", False),
        ("dict", "logging.root.handlers", True),
        ("app.User", "logging.root.handlers[3]", False),
        ("dict", "main (app.py:3): local tasks", False),
        ("dict", "interpreter: list", True),
    ],
)
def test_what_is_the_standard_librarys(type: str, name: str | None, hidden: bool) -> None:
    assert Selection(stdlib=False).matches(type, name) is not hidden


@pytest.mark.parametrize(
    ("module", "type", "name", "found"),
    [
        ("app", "app.models.User", None, True),
        ("app.models", "app.models.User", None, True),
        ("app.*", "app.User", None, False),
        ("app", "dict", "app.models.cache['k']", True),
        ("app", "dict", "application.cache", False),
        ("builtins", "dict", None, True),
        ("app", "dict", "garbage: app", False),
    ],
)
def test_a_module_has_what_its_names_and_types_begin_with(module: str, type: str, name: str | None, found: bool) -> None:
    assert Selection(module=module).matches(type, name) is found


@pytest.mark.parametrize("wrong", [{"sort": "size"}, {"min_bytes": -1}])
def test_a_selection_that_means_nothing(heap: memprobe.Heap, wrong: dict[str, Any]) -> None:
    for question in (heap.types, heap.find, heap.dominators):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            question(**wrong)


# ---- in Python --------------------------------------------------------------------------------------------------------


def test_types(heap: memprobe.Heap) -> None:
    assert {row.type for row in heap.types(None, type="shop.prices.*")} == {"shop.prices.PriceWatcher", "shop.prices.Conn"}
    assert [row.type for row in heap.types(type="Conn")] == ["shop.prices.Conn"]
    assert [row.type for row in heap.types(None, module="shop", sort="name")] == ["shop.prices.Conn", "shop.prices.PriceWatcher"]
    own = heap.types(None, stdlib=False)
    assert "dict" not in {row.type for row in own} and "other.Session" in {row.type for row in own}
    whole = heap.types(None)
    assert next(row for row in own if row.type == "other.Session") in whole.every  # shares are of the whole heap
    assert own.objects == sum(row.count for row in own) < whole.objects
    assert all(row.bytes >= 50_000 for row in heap.types(None, min_bytes=50_000))
    counts = [row.count for row in heap.types(None, sort="count")]
    assert counts == sorted(counts, reverse=True)
    assert len(heap.types(type="NoSuch")) == 0


def test_find(heap: memprobe.Heap) -> None:
    assert len(heap.find("PriceWatcher")) == 6000 and len(heap.find(type="shop.*")) == 6050
    found = heap.find(module="shop", limit=10)
    assert len(found) == 10 and [node.size for node in found] == sorted((node.size for node in found), reverse=True)
    assert {node.type for node in heap.find(stdlib=False, type="Session")} == {"other.Session"}
    assert [node.type for node in heap.find(module="shop", sort="name", limit=51)][49:] == [
        "shop.prices.Conn",
        "shop.prices.PriceWatcher",
    ]
    assert all(node.size >= 5000 for node in heap.find("list", min_bytes=5000))
    assert [node.id for node in heap.find("list", min_size=5000)] == [node.id for node in heap.find("list", min_bytes=5000)]
    assert len(heap.find("NoSuch")) == 0


def test_dominators(heap: memprobe.Heap) -> None:
    tree = heap.dominators(type="PriceWatcher", limit=5)
    assert len(tree.children) == 5 and {child.node.type for child in tree.children} == {"shop.prices.PriceWatcher"}
    kept = [child.retained for child in tree.children]
    assert kept == sorted(kept, reverse=True) and kept[0] > tree.children[0].node.size
    tree = heap.dominators(module="shop", depth=9)
    names = {tree.name, *(child.name for child in tree.children)}
    rows = [child for child in tree.children if child.name == "shop.prices"]
    assert rows and rows[0].children[0].name == "shop.prices.__dict__", names
    assert all(name.startswith("shop") or name == "<roots>" for name in names)
    assert not heap.dominators(type="NoSuch").children
    assert all(child.retained >= 400_000 for child in heap.dominators(min_bytes=400_000).children)
    with pytest.raises(ValueError, match="grouped"):
        heap.dominators(grouped=True, type="dict")


def test_dominators_below_a_node(heap: memprobe.Heap) -> None:
    watchers = next(node for node in heap.find("dict") if heap.name(node) == "shop.prices.watchers")
    below = heap.dominators(watchers, type="Session")
    assert below.node == watchers and not below.children
    assert len(heap.dominators(watchers, type="PriceWatcher", limit=7000).children) == 6000


# ---- on the command line ----------------------------------------------------------------------------------------------


def test_summary(ask: Callable[..., Any]) -> None:
    rows = ask("summary", "--json", "--type", "shop.*", "newer.snap")["rows"]
    assert {row["type"] for row in rows} == {"shop.prices.PriceWatcher", "shop.prices.Conn"}
    rows = ask("summary", "--json", "--since", "older.snap", "--no-stdlib", "newer.snap")["rows"]
    assert {row["type"]: row["count"] for row in rows} == {"shop.prices.PriceWatcher": 3000, "other.Session": 1000}
    rows = ask("summary", "--json", "--since", "older.snap", "--sort", "name", "--min", "10k", "newer.snap")["rows"]
    assert [row["type"] for row in rows] == sorted(row["type"] for row in rows) and all(row["bytes"] >= 10240 for row in rows)
    assert "did you mean shop.prices.PriceWatcher?" in ask("summary", "--type", "PriceWacher", "newer.snap", code=3)


@pytest.mark.parametrize("verb", ["suspects", "waste", "cycles"])
def test_rows_of_a_module(ask: Callable[..., Any], verb: str) -> None:
    key = "cycles" if verb == "cycles" else "rows"
    extra = ("--percent", "1") if verb == "suspects" else ()
    every = ask(verb, "--json", "--limit", "0", *extra, "newer.snap")[key]
    some = ask(verb, "--json", "--limit", "0", *extra, "--module", "other", "newer.snap")[key]
    assert 0 < len(some) <= len(every) - (verb != "cycles") and all(row in every for row in some)  # of cycles there is one kind
    assert all("other" in json.dumps(row) or "Session" in json.dumps(row) for row in some)
    assert ask(verb, "--json", "--limit", "0", *extra, "--min", "1TB", "newer.snap")[key] == []


def test_diff(ask: Callable[..., Any]) -> None:
    answer = ask("diff", "--json", "--type", "PriceWatcher", "older.snap", "newer.snap")
    assert answer["schema"] == "memprobe.diff/2" and [row["name"] for row in answer["rows"]] == ["shop.prices.watchers"]
    assert {"owners", "in_use", "count", "bytes", "name", "type"} <= set(answer["rows"][0])
    assert answer["growth"] == answer["bytes"][1] - answer["bytes"][0]
    everything = ask("diff", "--json", "--limit", "0", "older.snap", "newer.snap")
    assert all(row["bytes"] == row["sizes"][-1] - row["sizes"][0] for row in everything["rows"])
    assert everything["growth"] == everything["unattributed"] + sum(row["bytes"] for row in everything["rows"])
    assert len({(row["name"], row["type"]) for row in everything["rows"]}) == len(everything["rows"])
    shown = ask("diff", "--module", "other", "older.snap", "newer.snap")
    assert "other.sessions" in shown and "shop.prices" not in shown and "more rows" in shown, shown


def test_a_reversed_diff_is_noticed(ask: Callable[..., Any]) -> None:
    right = ask("diff", "older.snap", "newer.snap")
    wrong = ask("diff", "newer.snap", "older.snap")
    said = "memprobe: these snapshots were not named in the order of their times; compared as older.snap, newer.snap.\n"
    assert wrong == right + said and said not in right


def test_a_check_finds_what_it_is_asked_for(ask: Callable[..., Any], heap: memprobe.Heap) -> None:
    """A suspect of less than --percent, and one that --sort or --limit puts out of sight."""
    worst = heap.suspects(0.1)[0].percent
    for share in (f"{worst * 0.9:.2f}", f"{worst * 0.9:.2f}%"):
        ask("suspects", "--percent", "100%", "--fail-on-suspect", share, "newer.snap", code=1)
        ask("suspects", "--percent", "1", "--sort", "name", "--limit", "1", "--fail-on-suspect", share, "newer.snap", code=1)
    ask("suspects", "--fail-on-suspect", f"{worst * 1.1:.2f}%", "newer.snap", code=0)


def test_nothing_grew(ask: Callable[..., Any]) -> None:
    shown = ask("diff", "older.snap", "older.snap")
    assert "Next: memprobe suspects older.snap\n" in shown and "nothing grew" in shown, shown


def test_dominators_are_one_screen(ask: Callable[..., Any]) -> None:
    shown = ask("dominators", "newer.snap").splitlines()
    assert len(shown) <= 46 and shown[-4].startswith("… ") and "more objects" in shown[-4], shown
    watchers = next(line for line in shown if "shop.prices.watchers " in line)
    assert "dict" in watchers  # far down, and big: it is there
    assert len(ask("dominators", "--limit", "5", "newer.snap").splitlines()) == 2 + 5 + 1 + 3
    every = ask("dominators", "--all", "--depth", "2", "newer.snap").splitlines()
    assert len(every) > 500 and not any(line.startswith("… ") for line in every)
    some = ask("dominators", "--all", "--min", "100k", "newer.snap").splitlines()
    assert 5 < len(some) < 200 and not any(" B  " in line for line in some[2:-4]), some
    by_name = ask("dominators", "--all", "--type", "shop.*", "--sort", "name", "newer.snap").splitlines()
    assert by_name[3].split()[1] == "shop.prices.Conn" and by_name[-4].split()[1] == "shop.prices.PriceWatcher"


# ---- paths ------------------------------------------------------------------------------------------------------------


def test_paths_say_whether_they_are_all(ask: Callable[..., Any], heap: memprobe.Heap) -> None:
    watchers = next(node for node in heap.find("dict") if heap.name(node) == "shop.prices.watchers")
    assert "retained): the only path to it\n" in ask("paths", "newer.snap", str(watchers.id))
    none = next(iter(heap.find("NoneType")))
    shown = ask("paths", "newer.snap", str(none.id), "--limit", "3")
    assert "the 3 shortest paths to it" in shown, shown
    chosen = ask("paths", "newer.snap", str(watchers.id), "--module", "shop")
    assert "path that begins there" in chosen and all(line.startswith("  shop") for line in chosen.splitlines()[1:-3]), chosen
    assert "none of the 255 shortest paths to it begins there" in ask("paths", "newer.snap", str(none.id), "--module", "nowhere")
    assert "no path to it begins there" in ask("paths", "newer.snap", str(watchers.id), "--module", "nowhere")


GARBAGE = """
import gc, memprobe
gc.disable()
class Order: pass
class User: pass
order, user = Order(), User()
order.user, user.orders = user, [order]
user.note = ["something", 4]
del order, user
memprobe.snapshot("garbage.snap")
"""


def test_why_nothing_reaches_an_object(python: Callable[..., Any], command: Callable[..., Any], tmp_path: Path) -> None:
    assert python("-c", GARBAGE).code == 0
    answer = json.loads(command("paths", "--json", "garbage.snap", "Order").out)
    assert answer["paths"] == [] and "part of the cycle" in answer["why"]
    said = command("paths", "garbage.snap", "Order").out
    assert "no path" in said and "it is garbage, part of the cycle " in said, said
    said = said.replace("dict → ", "")  # of an instance, up to 3.10
    assert "Order → User → list → Order" in said or "User → list → Order" in said, said
    heap = memprobe.load(tmp_path / "garbage.snap")
    (user,) = heap.find("User")
    held = [edge for node in (user, *(edge.target for edge in user.references())) for edge in node.references()]
    note = next(edge.target for edge in held if edge.label.name in ("note", "'note'"))  # up to 3.10 in a dict
    said = command("paths", "garbage.snap", note.id).out
    assert "it is garbage, kept by the cycle " in said and "User" in said, said
    own = next(id for id in range(heap.nodes) if "own" in heap.node(id).flags)
    assert "one of memprobe's own objects" in command("paths", "garbage.snap", own).out
    roots = heap.roots()["roots"].id
    assert "it is a root" in command("paths", "garbage.snap", roots).out


# ---- equal rows -------------------------------------------------------------------------------------------------------


def test_equal_rows_of_a_diff_are_one() -> None:
    def row(name: str, total: int, in_use: bool = False) -> DiffRow:
        return DiffRow(name, "list", 2, total, (1, 3), (10, 10 + total), 2, None, (f"{name}.x",), in_use, None, total)

    grown = Diff((row("a", 50), row("b", 40), row("a", 30), row("a", 20, True)), (0, 200), 9, 60)
    merged = merged_diff(grown)
    assert [(found.name, found.bytes, found.in_use) for found in merged.rows] == [
        ("a", 80, False),
        ("b", 40, False),
        ("a", 20, True),
    ]
    first = merged.rows[0]
    assert (first.count, first.counts, first.sizes, first.new, first.owners, first.node) == (4, (2, 6), (20, 100), 4, ("a.x",), 50)
    assert merged.found == 8 and sum(found.bytes for found in merged.rows) == 140
    assert merged_diff(merged) is merged


def test_equal_rows_are_one(heap: memprobe.Heap) -> None:
    for rows in (heap.suspects(0.1).rows, heap.waste(None).rows):
        keys = [(row.kind, row.name, row.type) for row in rows]
        assert len(keys) == len(set(keys)) > 3
        assert [row.bytes for row in rows] == sorted((row.bytes for row in rows), reverse=True)
    whole = sum(row.bytes for row in heap.waste(None).rows if row.kind != "duplicate")
    assert whole == sum(total.bytes for total in heap.waste(None).totals if total.kind != "duplicate")
    assert heap.waste(3).rows == heap.waste(None).rows[:3]
