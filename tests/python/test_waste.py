# SPDX-License-Identifier: MIT
"""Heap.waste() against the interpreter: fresh copies measured by sys.getsizeof, classes with __slots__ by tracemalloc, array.array,
and for duplicates a slow twin over objects that are known."""

from __future__ import annotations

import array
import gc
import json
import os
import random
import sys
import tracemalloc
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import memprobe
from memprobe.waste import WasteRow

PADDED = pytest.mark.skipif(
    os.environ.get("PYTHONMALLOC", "pymalloc") not in ("pymalloc", ""), reason="debug allocators pad blocks"
)


def found(kind: str, heap: memprobe.Heap | None = None, hashes: bool = False) -> list[WasteRow]:
    heap = heap or memprobe.capture(hashes=hashes)
    return [row for row in heap.waste(None) if row.kind == kind]


def named(rows: Iterable[WasteRow], end: str) -> WasteRow | None:
    return next((row for row in rows if row.name.endswith(end)), None)


# ---- duplicates ----------------------------------------------------------------------------------------------------------


PREFIX = "".join(["wa", "ste:"])  # no constant of the code, which would be one more
PREFIX_BYTES = PREFIX.encode()


def values(seed: int) -> list[Any]:
    """Random str, bytes and tuples of atoms, many of them equal and none the same object."""
    dice = random.Random(seed)
    letters = "ab", "aé", "aж", "a🌍"

    def text() -> str:
        return "".join([PREFIX, *dice.choices(dice.choice(letters), k=dice.randrange(0, 4))])

    atoms: list[Callable[[], Any]] = [
        text,
        lambda: text().encode(),
        lambda: dice.choice((1, -1)) * (1000 + dice.randrange(3)) * dice.choice((1, 1 << 70)),
        lambda: dice.choice((0.5, -0.5, 0.0, -0.0)) * 1.0,
        lambda: dice.choice((None, True, ...)),
        lambda: dice.randrange(3),
    ]
    made: list[Any] = []
    for _ in range(3000):
        kind = dice.randrange(3)
        if kind == 2:
            made.append((f"{PREFIX}tuple", *(dice.choice(atoms)() for _ in range(dice.randrange(4)))))
        else:
            made.append(text() if kind == 0 else b"".join([PREFIX_BYTES, bytes(dice.choices(range(3), k=dice.randrange(4)))]))
    return made


def sameness(value: Any) -> Any:
    """Equal, and of the same type and bits, all the way down."""
    return (type(value), tuple(map(sameness, value)) if isinstance(value, tuple) else repr(value))


@pytest.mark.parametrize("seed", range(5))
def test_duplicates_against_a_twin(seed: int) -> None:
    made = values(seed)
    heap = memprobe.capture(hashes=True)
    parts = [part for value in made if isinstance(value, tuple) for part in value if isinstance(part, (str, bytes))]
    objects = {id(value): value for value in [*made, *parts, PREFIX, PREFIX_BYTES]}
    groups: dict[Any, list[Any]] = {}
    for value in objects.values():
        groups.setdefault(sameness(value), []).append(value)
    answer = heap.waste(None)
    by_address = {heap.node(row.node).address: row for row in answer.values}
    told = 0
    for same in groups.values():
        sizes = [sys.getsizeof(value) for value in same]
        rows = [by_address[id(value)] for value in same if id(value) in by_address]
        if len(same) > 1:
            assert len(rows) == 1, same[0]
            assert rows[0].count == len(same) and rows[0].bytes == sum(sizes) - max(sizes), same[0]
            told += 1
        else:
            assert not rows, same[0]
    assert told > 50
    assert answer.total("duplicate").bytes == sum(row.bytes for row in answer.values)
    assert answer.total("duplicate").bytes == sum(row.bytes for row in answer.rows if row.kind == "duplicate")


def test_hashes_go_through_files(tmp_path: Path) -> None:
    keep = values(7)
    info = memprobe.snapshot(tmp_path / "a.snap", hashes=True)
    heap = memprobe.load(info.path)
    heap.save(tmp_path / "b.snap")
    again = memprobe.load(tmp_path / "b.snap")
    assert heap.waste(None) == again.waste(None) and heap.waste().total("duplicate").count > 1000
    assert PREFIX_BYTES not in (tmp_path / "a.snap").read_bytes()  # contents stay at home
    assert len(keep) == 3000


class Named:
    def __init__(self, number: int) -> None:
        self.label = f"{PREFIX}label {number % 10}"


def test_duplicates_by_holder() -> None:
    many = [Named(n) for n in range(1000)]
    row = named(found("duplicate", hashes=True), "Named.label")
    assert row is not None and (row.type, row.count) == ("str", 990)
    assert row.bytes == sum(sys.getsizeof(one.label) for one in many) - 10 * sys.getsizeof(many[0].label)


def test_without_hashes(tmp_path: Path) -> None:
    heap = memprobe.capture()
    assert heap.waste().total("duplicate").count == 0
    assert "--hashes" in heap.waste().unknown[0] and "--hashes" in str(heap.waste())
    assert not memprobe.capture(hashes=True).waste().unknown


# ---- containers ----------------------------------------------------------------------------------------------------------


def shrunk(kind: str, size: int, left: int, keys: Callable[[int], Any]) -> Any:
    """A container that had `size` items and has `left`."""
    if kind == "list":
        it: Any = [keys(i) for i in range(size)]
        while len(it) > max(left, size // 2 + 1):
            it.pop()
        return it
    it = {keys(i): None for i in range(size)} if kind == "dict" else {keys(i) for i in range(size)}
    for i in range(left, size):
        (it.pop if kind == "dict" else it.remove)(keys(i))
    return it


def fresh(it: Any) -> Any:
    if type(it) is list:
        return it[:]
    return dict(it.items()) if type(it) is dict else set(it)


SHAPES = [
    (kind, size, left, keys)
    for kind in ("list", "dict", "set")
    for size, left in (
        *((0, 0), (1, 0), (5, 5), (6, 6), (9, 1), (12, 11), (20, 10), (30, 5), (60, 10), (85, 85), (86, 86)),
        *((170, 171), (200, 20), (700, 341), (1000, 1000), (3000, 6), (70000, 65000), (70000, 10)),
    )
    for keys in (str, int)
]


def test_sparse_and_empty_against_fresh_copies() -> None:
    boxes = []
    for number, (kind, size, left, keys) in enumerate(SHAPES):
        box = type(f"Box{number}", (), {})()
        box.it = shrunk(kind, size, left, keys)
        boxes.append(box)
    heap = memprobe.capture()
    sparse, empty = found("sparse", heap), found("empty", heap)
    for number, box in enumerate(boxes):
        expected = sys.getsizeof(box.it) - sys.getsizeof(fresh(box.it))
        row = named(sparse, f".Box{number}.it")
        assert (row.bytes if row else 0) == (expected if expected > 64 else 0), SHAPES[number]
        row = named(empty, f".Box{number}.it")
        never = not box.it and sys.getsizeof(box.it) == sys.getsizeof(type(box.it)())
        assert (row.bytes if row else 0) == (sys.getsizeof(box.it) if never else 0), SHAPES[number]
    assert heap.waste().total("sparse").bytes == sum(row.bytes for row in sparse)


class Holder:
    def __init__(self) -> None:
        self.tags: list[str] = []
        self.index: dict[str, int] = {}
        self.rows = [set() for _ in range(3)]  # type: ignore[var-annotated]


def test_empty_ones_by_holder() -> None:
    many = [Holder() for _ in range(500)]
    rows = found("empty")
    for attribute, kind, one in ("tags", "list", []), ("index", "dict", {}):  # type: ignore[var-annotated]
        row = named(rows, f"Holder.{attribute}")
        assert row is not None and (row.type, row.count, row.bytes) == (kind, 500, 500 * sys.getsizeof(one))
    inner = [row for row in rows if row.type == "set" and row.count == 1500]
    assert len(inner) == 1 and inner[0].name.endswith(".rows[…]") and inner[0].bytes == 1500 * sys.getsizeof(set())
    assert len(many) == 500


# ---- numbers -------------------------------------------------------------------------------------------------------------


def test_numbers_in_lists() -> None:
    class Series:
        pass

    floats, ints, mixed, shared, large, few = (type(f"Series{n}", (Series,), {})() for n in range(6))
    floats.it = [n * 1.5 for n in range(5000)]
    ints.it = [n * 1000 + 10_000_000 for n in range(5000)]
    mixed.it = [None if n % 20 == 0 else n * 1.5 for n in range(5000)]
    shared.it = [value for value in floats.it for _ in range(2)][:3000]
    large.it = [n + (1 << 70) for n in range(5000)]
    few.it = [n * 1.5 for n in range(999)]
    rows = found("boxed")

    def saved(it: list[Any], alone: Iterable[Any]) -> int:
        return sys.getsizeof(it) + sum(map(sys.getsizeof, alone)) - sys.getsizeof(array.array("d", [0.0] * len(it)))

    row = named(rows, "Series0.it")
    assert row is not None and "array('d'" in row.advice
    assert abs(row.bytes - saved(floats.it, floats.it[1500:])) <= 64  # what the other list has, too, would stay
    row = named(rows, "Series1.it")
    assert row is not None and "array('q'" in row.advice and abs(row.bytes - saved(ints.it, ints.it)) <= 64 + 4 * 5000
    row = named(rows, "Series2.it")
    assert row is not None and abs(row.bytes - saved(mixed.it, (n for n in mixed.it if n is not None))) <= 64
    row = named(rows, "Series3.it")
    assert row is None or row.bytes <= 64
    assert named(rows, "Series4.it") is None and named(rows, "Series5.it") is None


# ---- instances -----------------------------------------------------------------------------------------------------------


def taken(make: Callable[[], Any], count: int = 3000) -> int:
    """Bytes of so many, by tracemalloc."""
    keep: list[Any] = [None] * count
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for i in range(count):
            keep[i] = make()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        gc.enable()


def make_class(name: str, attributes: str, **namespace: Any) -> type:
    lines = "\n".join(f"    self.{attribute} = None" for attribute in attributes) or "    pass"
    exec(f"def __init__(self):\n{lines}", {}, namespace)
    return type(name, (), namespace)


@PADDED
@pytest.mark.parametrize("attributes", ["a", "ab", "abcdefgh", "abcdefghijklmnopqrstuvwxyz"])
@pytest.mark.parametrize("weakly", [False, True])
def test_slots_against_a_class_with_slots(attributes: str, weakly: bool) -> None:
    plain = make_class(f"Plain{len(attributes)}{weakly}", attributes)
    slots = make_class("Slotted", attributes, __slots__=(*attributes, *(("__weakref__",) if weakly else ())))
    keep = [plain() for _ in range(3000)]
    one = weakref.ref(keep[0]) if weakly else None
    row = named(found("slots"), f".{plain.__name__}")
    saved = taken(plain) - taken(slots)
    # the first few instances were made before it was known how many attributes there would be
    assert row is not None and row.count == 3000 and abs(row.bytes - saved) <= 0.01 * saved + 8192, (row, saved)
    assert ("__weakref__" in row.advice) is weakly and "'a'" in row.advice
    assert one is None or one() is keep[0]


def test_classes_that_gain_nothing() -> None:
    class Slotted:
        __slots__ = ("a",)

    class Few:
        pass

    class Varied:
        pass

    keep: list[Any] = [Slotted() for _ in range(2000)] + [Few() for _ in range(900)]
    for i in range(2000):
        one = Varied()
        setattr(one, "abc"[i % 3], i)
        keep.append(one)
    names = {row.name.rpartition(".")[2] for row in found("slots")}
    assert not names & {"Slotted", "Few", "Varied"} and len(keep) == 4900


@PADDED
def test_lost_key_sharing() -> None:
    class Session:
        def __init__(self) -> None:
            self.user = None
            self.token = None

    def lost() -> Session:
        one = Session()
        one.__dict__ = {"user": None, "token": None, "odd": None}
        return one

    keep = [Session() for _ in range(500)] + [lost() for _ in range(2000)]
    row = named(found("unshared"), ".Session")
    expected = taken(lost) - taken(Session)
    assert row is not None and row.count == 2000 and ".odd" in row.advice
    assert abs(row.bytes - expected * 2000 / 3000) <= 0.02 * row.bytes, (row, expected)
    assert len(keep) == 2500


# ---- answers -------------------------------------------------------------------------------------------------------------


def test_the_answer(tmp_path: Path) -> None:
    keep = [Holder() for _ in range(100)]
    heap = memprobe.capture(hashes=True)
    answer = heap.waste(5)
    assert len(answer) == 5 and [row.bytes for row in answer] == sorted((row.bytes for row in answer), reverse=True)
    assert heap.waste(5) is answer  # a heap does not change
    assert json.loads(json.dumps(answer.to_dict()))["totals"][0]["kind"] == "duplicate"
    assert answer[0].name in str(answer) and "<table>" in answer._repr_html_()
    assert len(heap.waste(0)) == 0 and heap.waste(0).totals == answer.totals
    assert heap.waste(None).rows[:5] == answer.rows
    with pytest.raises(ValueError, match="negative"):
        heap.waste(-1)
    assert len(keep) == 100


def handlers() -> list[Callable[[], None]]:
    """Functions of one name, whose attributes of one name are empty: what is found of each attribute reads alike."""

    def make(attributes: int) -> Callable[[], None]:
        def handler() -> None: ...

        for n in range(attributes):
            setattr(handler, "attribute" + "x" * n, set())
        return handler

    return [make(n) for n in range(1, 40)]


def test_a_row_does_not_depend_on_how_many_are_wanted() -> None:
    keep = handlers()
    heap = memprobe.capture()
    rows = heap.waste(None).rows
    assert len({(row.kind, row.name, row.type) for row in rows}) == len(rows)
    for limit in (1, 3, 10, 100):
        assert heap.waste(limit).rows == rows[:limit]
    assert len(keep) == 39


PROGRAM = """
class Order:
    def __init__(self, n):
        self.n, self.notes, self.state = n, [], "".join(["pend", "ing"])

orders = {n: Order(n) for n in range(2000)}
prices = [n * 1.25 for n in range(3000)]
for n in range(1990):
    del orders[n]
orders.update((n, Order(n)) for n in range(5000, 6500))
"""


def test_the_verb(tmp_path: Path, command: Callable[..., Any]) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    assert command("snapshot", "--hashes", "-o", "heap.snap", "--", "program.py").code == 0
    done = command("waste", "heap.snap")
    assert done.code == 0 and "__main__.Order.notes" in done.out and "__main__.prices" in done.out, done
    assert "Next: memprobe paths heap.snap" in done.out
    answer = json.loads(command("waste", "--json", "--limit", "0", "heap.snap").out)
    assert answer["schema"] == "memprobe.waste/1" and answer["unknown"] == []
    assert {"kind", "name", "type", "count", "bytes", "advice", "node", "may_hold_native"} == set(answer["rows"][0])
    totals = {row["kind"]: row for row in answer["totals"]}
    assert (
        totals["duplicate"]["bytes"] > 1400 * 50
        and any(row["count"] > 1400 for row in answer["values"])
        and totals["empty"]["count"] >= 1500
    )
    assert command("snapshot", "-o", "plain.snap", "--", "program.py").code == 0
    assert "--hashes" in command("waste", "plain.snap").out
