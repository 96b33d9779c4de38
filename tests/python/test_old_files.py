# SPDX-License-Identifier: MIT
"""Snapshot files that memprobe d1ccbf8 wrote (tests/fixtures/d1ccbf8) are read today, answer every question, and can be compared
with each other and with a heap of today."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import memprobe

FOLDER = Path(__file__).parents[1] / "fixtures" / "d1ccbf8"
FILES = sorted(path.name.removesuffix(".memprobe.gz") for path in FOLDER.glob("*.gz"))
GROWTH = ["growth-1-3.13", "growth-2-3.13", "growth-3-3.13"]
WHOLE = [name for name in FILES if not name.startswith("cut")]
ORDERS = {"plain": 1000, "values": 300, "hashes": 300, "garbage": 800, "growth-1": 500, "growth-2": 1000, "growth-3": 1500}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("old")
    for name in FILES:
        (path / f"{name}.snap").write_bytes(gzip.decompress((FOLDER / f"{name}.memprobe.gz").read_bytes()))
    return path


@pytest.fixture(scope="module")
def heaps(folder: Path) -> dict[str, memprobe.Heap]:
    return {name: memprobe.load(folder / f"{name}.snap") for name in FILES}


def orders(heap: memprobe.Heap) -> int:
    return len(heap.find("__main__.Order"))


def test_every_kind_is_here() -> None:
    kinds = {name.rpartition("-")[0] for name in FILES}
    assert kinds == {"plain", "values", "hashes", "service", "garbage", "cut", "growth-1", "growth-2", "growth-3"}
    assert {name.rpartition("-")[2] for name in FILES} == {"3.11", "3.13"}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_500_000


@pytest.mark.parametrize("name", FILES)
def test_info(heaps: dict[str, memprobe.Heap], name: str) -> None:
    info = heaps[name].info
    kind, _, version = name.rpartition("-")
    assert info.python.startswith(f"{version}.") and info.pid > 0 and info.time > 1.7e9
    assert info.objects > 10_000 and info.edges > info.objects and info.bytes > 1_000_000
    assert info.mode == ("forked" if kind == "service" else "streamed")
    assert (info.cut is not None) == (kind == "cut")
    assert heaps[name].accounting().residual_negative == 0 or kind == "cut"
    assert heaps[name].accounting().may_hold_native is None and not any(row.may_hold_native for row in heaps[name].types(None))


@pytest.mark.parametrize("name", FILES)
def test_types_add_up(heaps: dict[str, memprobe.Heap], name: str) -> None:
    heap = heaps[name]
    table = heap.types(None)
    assert sum(row.count for row in table.rows) == heap.info.objects and sum(row.bytes for row in table.rows) == heap.info.bytes
    kind = name.rpartition("-")[0]
    if kind in ORDERS:
        assert orders(heap) == ORDERS[kind]


@pytest.mark.parametrize("name", WHOLE)
def test_dominators_and_retained(heaps: dict[str, memprobe.Heap], name: str) -> None:
    heap = heaps[name]
    tree = heap.dominators(depth=2)
    assert tree.retained == heap.info.bytes and tree.children and all(child.name for child in tree.children)
    assert heap.dominators(depth=2, grouped=True).retained == heap.info.bytes


@pytest.mark.parametrize("name", [name for name in WHOLE if not name.startswith(("service", "garbage"))])
def test_suspects_and_paths(heaps: dict[str, memprobe.Heap], name: str) -> None:
    heap = heaps[name]
    assert "__main__.shop.orders" in [row.name for row in heap.suspects(1).rows]
    for order in heap.find("__main__.Order", limit=3):
        first = heap.paths(order)[0]
        assert first.expression.startswith("__main__.shop.orders["), first
        assert first.evaluable == name.startswith("values")  # keys that are no names are contents


@pytest.mark.parametrize("name", ["cut-3.13"])
def test_a_cut_file_answers(heaps: dict[str, memprobe.Heap], name: str) -> None:
    heap = heaps[name]
    assert "cut" in str(heap.info.cut) or "end" in str(heap.info.cut)
    assert heap.info.objects > 60_000 and heap.dominators(depth=1).retained == heap.info.bytes
    assert heap.suspects(1) is not None and heap.waste() is not None and heap.cycles() is not None
    assert heap.paths(heap.find(limit=1)[0]) is not None


def test_a_service(heaps: dict[str, memprobe.Heap]) -> None:
    heap = heaps["service-3.11"]
    assert len(heap.find("_asyncio.Task")) == 201
    names = [heap.paths(node, 1)[0].expression for node in heap.find("list", min_size=3000)]
    assert any(re.fullmatch(r"consume \(.*make\.py:\d+\): local backlog", name) for name in names), names


@pytest.mark.parametrize("name", ["garbage-3.11", "garbage-3.13"])
def test_garbage(heaps: dict[str, memprobe.Heap], name: str) -> None:
    heap = heaps[name]
    kept = [heap.paths(node, 1)[0].expression for node in heap.find("__main__.Order") if "unreachable" not in node.flags]
    assert len(kept) == 300 and all(path.startswith("gc.garbage[") for path in kept), kept[:3]
    found = [cycle for cycle in heap.cycles(garbage=True) if cycle.text == "Order.parent → Order"]
    cycles = sum(getattr(cycle, "count", 1) for cycle in found)  # equal ones may be one row
    assert cycles == 500


@pytest.mark.parametrize("name", WHOLE)
def test_cycles_and_waste(heaps: dict[str, memprobe.Heap], name: str) -> None:
    heap = heaps[name]
    assert all(str(cycle) for cycle in heap.cycles(limit=10))
    kinds = {row.kind for row in heap.waste(None).rows}
    assert kinds and any(kind.startswith("duplicate") for kind in kinds) == name.startswith("hashes"), kinds


def test_growth(heaps: dict[str, memprobe.Heap]) -> None:
    a, b, c = (heaps[name] for name in GROWTH)
    for older, newer in ((a, b), (b, c)):
        found = newer.diff(older)
        assert (found[0].name, found[0].type, found[0].count) == ("__main__.shop.orders", "__main__.Order", 500)
        assert found.growth == newer.info.bytes - older.info.bytes
    found = c.diff(b, a)
    assert (found[0].name, found[0].type) == ("__main__.shop.orders", "__main__.Order")
    assert found[0].counts[-1] - found[0].counts[0] == 1000
    assert a.diff(c).growth < 0 and a.diff(a).rows == ()


@pytest.mark.parametrize("name", FILES)
def test_compared_with_another_file(heaps: dict[str, memprobe.Heap], name: str) -> None:
    plain = heaps["plain-3.13"]
    assert plain.diff(heaps[name]).growth == plain.info.bytes - heaps[name].info.bytes
    assert str(heaps[name].diff(plain)) and heaps[name].diff(plain, plain).growth == heaps[name].info.bytes - plain.info.bytes


@pytest.mark.parametrize("name", FILES)
def test_compared_with_a_heap_of_today(heaps: dict[str, memprobe.Heap], today: memprobe.Heap, name: str) -> None:
    found = today.diff(heaps[name])
    assert found.growth == today.info.bytes - heaps[name].info.bytes and all(row.name for row in found.rows)
    same = heaps[name].info.python.split(".")[:2] == today.info.python.split(".")[:2]  # others lay instances out in other ways
    if same and name.startswith(("plain", "growth")):
        row = next(row for row in found.rows if row.type == "__main__.Order")
        assert (row.name, row.count) == ("__main__.shop.orders", 4000 - ORDERS[name.rpartition("-")[0]])


@pytest.fixture(scope="module")
def today(folder: Path) -> memprobe.Heap:
    source = """
import memprobe
class Order:
    def __init__(self, number):
        self.number = number
        self.lines = [f"line {number}", f"line {number + 1}"]
        self.parent = self
class Shop:
    def __init__(self):
        self.orders = {}
shop = Shop()
for number in range(4000):
    shop.orders[f"order {number}"] = Order(number)
memprobe.snapshot("today.snap")
"""
    subprocess.run([sys.executable, "-c", source], cwd=folder, check=True)
    return memprobe.load(folder / "today.snap")


@pytest.mark.parametrize("verb", ["info", "summary", "dominators", "suspects", "cycles", "waste"])
def test_the_verbs(folder: Path, verb: str) -> None:
    for name in ("plain-3.13", "service-3.11"):
        words = [sys.executable, "-m", "memprobe", verb, f"{name}.snap", "--json"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0 and json.loads(done.stdout)["schema"].startswith(f"memprobe.{verb}/"), done.stderr
