# SPDX-License-Identifier: MIT
"""The programs of tests/cases, on each of which memprobe was wrong once: what is right."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from services import TESTS, Service, check_sum, heaps_of, newest

import memprobe

CASES = TESTS / "cases"
ITEMS = ("__main__.server.cache.items", "__main__.Item")


def case(name: str) -> Path:
    return CASES / f"{name}.py"


def first(found: memprobe.Diff) -> tuple[str, str]:
    assert found.rows, f"nothing grew? {found}"
    return found[0].name, found[0].type


def near(count: int, expected: int) -> bool:
    """Of a builtin type a few are where another object was before, and pass for that."""
    return abs(count - expected) <= expected // 200


# ---- what grows, whoever uses it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 1, 2, 3, 4])
def test_missed_growth(tmp_path: Path, which: int) -> None:
    a, b, c = heaps_of(tmp_path, case("missed_growth"), which)
    for older, newer in ((a, b), (b, c)):
        found = newer.diff(older, limit=None)
        assert (*first(found), found[0].count) == (*ITEMS, 4_000), found
    found = c.diff(b, a, limit=None)
    assert (*first(found), found[0].count) == (*ITEMS, 8_000), found
    assert found[0].bytes > 0.9 * found.growth


@pytest.mark.parametrize("which", [0, 1, 2, 3])
def test_false_growth(tmp_path: Path, which: int) -> None:
    a, b, c = heaps_of(tmp_path, case("false_growth"), which)
    for found in (b.diff(a), c.diff(b), c.diff(b, a)):
        assert not found.rows, found


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[memprobe.Heap], list[int]]:
    """Sixteen heaps, and how many items there were."""
    heaps, items = [], []
    with Service(tmp_path_factory.mktemp("methods"), case("missed_method")) as service:
        for file in service.files(16):
            heaps.append(memprobe.load(file))
            items.append(int(service.said))
    return heaps, items


@pytest.mark.parametrize("index", range(15))
def test_missed_method_pairs(methods: tuple[list[memprobe.Heap], list[int]], index: int) -> None:
    heaps, items = methods
    found = heaps[index + 1].diff(heaps[index])
    assert (*first(found), found[0].count) == (*ITEMS, items[index + 1] - items[index]), found


@pytest.mark.parametrize("index", range(14))
def test_missed_method_triples(methods: tuple[list[memprobe.Heap], list[int]], index: int) -> None:
    heaps, items = methods
    found = newest(heaps[index : index + 3])
    assert (*first(found), found[0].count) == (*ITEMS, items[index + 2] - items[index]), found


def test_shared_two(tmp_path: Path) -> None:
    heaps = heaps_of(tmp_path, case("shared_two"))
    expected = {
        "__main__.Record": {"__main__.orders.by_number", "__main__.orders.latest"},
        "str": {"__main__.texts.lines", "__main__.texts.recent"},
    }
    for found in (heaps[1].diff(heaps[0], limit=None), newest(heaps)):
        for kind, owners in expected.items():
            rows = [row for row in found.rows if row.type == kind]
            assert len(rows) == 1, found
            assert set(rows[0].owners) == owners, rows
            assert near(rows[0].count, 2_000 * (len(found.bytes) - 1)), rows
            assert all(owner.rpartition(".")[2] in str(found) for owner in owners), found
        assert {row.type for row in found.rows[:2]} == set(expected), found


def test_idle(tmp_path: Path) -> None:
    with Service(tmp_path, case("idle")) as service:
        heaps = [service.snapshot() for _ in range(3)]
    for found in (*(newer.diff(older) for older, newer in pairwise(heaps)), newest(heaps)):
        assert not found.rows, found
    file = sorted(map(str, tmp_path.glob("*.snap")))
    done = subprocess.run([sys.executable, "-m", "memprobe", "diff", *file], capture_output=True, text=True)
    assert done.returncode == 0 and "Next: memprobe paths" not in done.stdout and "C references" not in done.stdout, done


def test_local_growth(tmp_path: Path) -> None:
    """Its outermost function has it, and it says that it is of a running function."""
    heaps = heaps_of(tmp_path, case("local_growth"))
    for found in (heaps[1].diff(heaps[0], limit=None), newest(heaps)):
        row = found[0]
        assert re.fullmatch(r"consume \(.*local_growth\.py:\d+\): local undelivered", row.name), found
        assert (row.type, row.in_use) == ("dict", True) and near(row.count, 3_000 * (len(found.bytes) - 1)), found
        assert "in use" in str(found), found


@pytest.mark.parametrize("name", ["missed_growth", "false_growth", "shared_two", "local_growth", "two_leaks", "chain", "tb_chain"])
def test_rows_add_up(tmp_path: Path, name: str) -> None:
    heaps = heaps_of(tmp_path, case(name), 2)
    for found in (heaps[1].diff(heaps[0], limit=None), newest(heaps)):
        check_sum(found)


def test_what_lasts_is_not_in_use(tmp_path: Path) -> None:
    found = newest(heaps_of(tmp_path, case("missed_growth"), 2))
    assert [row.name for row in found.rows if not row.in_use] == ["__main__.server.cache.items"], found


def test_two_leaks_are_two_rows(tmp_path: Path) -> None:
    heaps = heaps_of(tmp_path, case("two_leaks"))
    expected = {"__main__.application.state.sessions", "__main__.application.state.audit"}
    assert {row.name for row in heaps[-1].suspects().rows[:2]} == expected, heaps[-1].suspects()
    found = newest(heaps)
    assert {row.name for row in found.rows[:2]} == expected, found
    counts = {row.type: row.count for row in found.rows[:2]}
    assert counts.keys() == {"__main__.Session", "tuple"} and near(counts["__main__.Session"], 10_000), found
    assert near(counts["tuple"], 20_000), found


# ---- chains ------------------------------------------------------------------------------------------------------------------


def said_of(file: Path, address: str) -> list[str]:
    """What `memprobe paths` says of an object, its last words aside."""
    command = [sys.executable, "-m", "memprobe", "paths", str(file), address]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.strip() and not line.startswith("Next:")]


def test_chain(tmp_path: Path) -> None:
    with Service(tmp_path, case("chain")) as service:
        files = list(service.files(3))
        address = service.said
    heaps = [memprobe.load(file) for file in files]
    found = newest(heaps)
    assert (*first(found), found[0].count) == ("__main__.Audit.last", "__main__.Entry", 20_000), found
    suspect = heaps[-1].suspects()[0]
    assert suspect.name.startswith("__main__.Audit.last") and len(suspect.name) < 60, suspect.name
    node = heaps[-1].at(int(address, 16))
    assert node is not None and node.type == "bytearray"
    paths = heaps[-1].paths(node)
    assert re.fullmatch(r"__main__\.Audit\.last\.prev ×29,999 ?\.data", paths[0].expression), paths[0].expression[:200]
    assert len(paths) == 1
    lines = said_of(files[-1], address)
    assert sum("prev" in line for line in lines) == 1 and len(lines) <= 3, lines


def test_tb_chain(tmp_path: Path) -> None:
    with Service(tmp_path, case("tb_chain")) as service:
        files = list(service.files(3))
        address = service.said
    heaps = [memprobe.load(file) for file in files]
    found = newest(heaps)
    assert first(found)[0].startswith("__main__.DENIED") and len(found[0].name) < 100, found[0].name[:200]
    assert sum(row.bytes for row in found.rows if row.name.startswith("__main__.DENIED")) > 0.9 * found.growth, found
    suspect = heaps[-1].suspects()[0]
    assert suspect.name.startswith("__main__.DENIED") and len(suspect.name) < 100, suspect.name[:200]
    assert 0.9 * suspect.bytes < sum(row.bytes for row in suspect.below) <= suspect.bytes, suspect
    assert "traceback" in suspect.advice
    node = heaps[-1].at(int(address, 16))
    assert node is not None and node.type == "bytearray"
    (name, *others) = [path.expression for path in heaps[-1].paths(node)]
    assert re.match(r"__main__\.DENIED\.__traceback__\.tb_next ×5,999 ?\.tb_frame\b", name), name[:200]
    assert name.endswith(("body", "['body']")), name[-50:]
    assert not others
    lines = said_of(files[-1], address)
    assert sum("tb_next" in line for line in lines) == 1 and len(lines) <= 3, lines


# ---- advice ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "culprit", "wrong"),
    [
        ("min_bound", "__main__.jobs", "WeakMethod|unsubscribe"),
        ("min_single", "__main__.grid", "view"),
        ("min_arrays", "__main__.results", "view"),
    ],
)
def test_advice_only_for_what_was_seen(tmp_path: Path, name: str, culprit: str, wrong: str) -> None:
    (heap,) = heaps_of(tmp_path, case(name), times=1)
    suspect = heap.suspects()[0]
    assert suspect.name == culprit
    assert not re.search(wrong, suspect.advice), suspect.advice


# ---- the prompt --------------------------------------------------------------------------------------------------------------


def lines_of(name: str, folder: Path) -> list[str]:
    done = subprocess.run([sys.executable, str(case(name))], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return lines_of("refc", tmp_path_factory.mktemp("refc"))


@pytest.mark.parametrize(("line", "forgotten"), [(0, 0), (1, 3), (2, 0)], ids=["healthy", "three forgotten", "a local variable"])
def test_refc(counted: list[str], line: int, forgotten: int) -> None:
    facts, text, shown = json.loads(counted[line])
    assert facts["residual"] == forgotten and facts["found"] == facts["count"] - forgotten
    assert len(facts["holders"]) == facts["found"] and all(row["holder"] and row["label"] for row in facts["holders"])
    assert bool(re.search(r"[1-9]\d* held by C code", text)) == bool(forgotten), text
    assert shown == text and len(text.splitlines()) <= 2 + facts["count"]


def test_refc_reads_in_a_line(counted: list[str]) -> None:
    """The 71 million characters of a dict's contents."""
    shown = json.loads(counted[3])
    assert "__main__.many[77]" in shown and len(shown) < 2_000, shown[:500]


def test_why_repr(tmp_path: Path) -> None:
    (line,) = lines_of("why_repr", tmp_path)
    calls, paths, texts = json.loads(line)
    assert calls == 0 and not any("Row()" in text for text in texts)
    assert len(texts[0].splitlines()) == paths and "__main__.rows[3]" in texts[0]
    assert all(len(text) < 4_000 for text in texts)
