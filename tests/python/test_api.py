"""The package's own promises: names, results, tables, errors, and files that are whole or not there."""

from __future__ import annotations

import collections
import gc
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import memprobe
from memprobe import _core, _text
from memprobe.results import FLAGS, Growth, TypeTable


class Holder:
    def __init__(self, value: object) -> None:
        self.value = value


class Slotted:
    """Its attributes are its own on every version; before 3.11 a plain instance's are those of its dict."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


@pytest.fixture(scope="module")
def heap() -> memprobe.Heap:
    return memprobe.capture()


# ---- names ----------------------------------------------------------------------------------------------------------


def test_import_is_light() -> None:
    source = "import sys; before = set(sys.modules); import memprobe; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {source}"], capture_output=True)
    assert loaded.stdout.decode().split() == ["memprobe", "memprobe.errors"], loaded


def test_every_name_is_there() -> None:
    for name in memprobe.__all__:
        assert getattr(memprobe, name) is not None
        assert name in dir(memprobe)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        memprobe.nonsense  # noqa: B018
    assert memprobe.__version__ == _core.ABI


def test_errors_are_a_family() -> None:
    for kind in memprobe.SnapshotError, memprobe.AttachError, memprobe.UnsupportedError:
        assert issubclass(kind, memprobe.Error)
    assert issubclass(memprobe.UnsupportedError, ImportError)


# ---- tables ---------------------------------------------------------------------------------------------------------

COUNTED = [("dict", 3, 300), ("a.B", 1, 100), ("list", 5, 500), ("a.B", 1, 100), ("gone", 0, 0)]


def test_type_table() -> None:
    table = TypeTable.of(COUNTED, limit=2)
    assert [tuple(row) for row in table] == [("list", 5, 500, 50.0, False), ("dict", 3, 300, 30.0, False)]
    assert len(table) == 2 and table[1].type == "dict" and len(table.every) == 3
    assert (table.objects, table.bytes) == (10, 1000)
    assert str(table).splitlines()[0].split() == ["type", "count", "bytes", "share"]
    assert "... 1 more types" in str(table) and str(table).splitlines()[-1].split()[:2] == ["total", "10"]
    assert table.to_dict()["types"] == 3 and len(table.to_dict()["rows"]) == 2
    assert len(TypeTable.of(COUNTED, None)) == 3
    assert len(TypeTable.of([])) == 0 and "total" in str(TypeTable.of([]))


def test_growth_between_tables() -> None:
    older = TypeTable.of(COUNTED, limit=1)
    newer = TypeTable.of([("dict", 3, 400), ("list", 1, 100), ("new", 2, 64), ("a.B", 2, 200)], limit=1)
    grown = Growth.between(older, newer)
    assert [tuple(row) for row in grown] == [("dict", 0, 100), ("new", 2, 64)]
    assert (grown.objects, grown.bytes) == (-2, -236)
    assert "+2" in str(grown) and "-236 B" in str(grown)


def test_html_is_escaped() -> None:
    table = TypeTable.of([("<locals>.X", 1, 10)])
    assert "&lt;locals&gt;.X" in table._repr_html_() and "<locals>" not in table._repr_html_()


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (-2048, "-2.0 KiB"), (3 << 30, "3.0 GiB")],
)
def test_sizes_are_readable(count: int, text: str) -> None:
    assert _text.size(count) == text


def test_results_are_readable(heap: memprobe.Heap, tmp_path: Path) -> None:
    node = heap.find(type="dict", limit=1)[0]
    results = [
        memprobe.summary(),
        memprobe.growth(memprobe.summary()),
        memprobe.refcount([]),
        memprobe.gc_stats(),
        memprobe.pymalloc_stats(),
        memprobe.snapshot(tmp_path / "a.snap"),
        *memprobe.referrers(heap)[:1],
        heap.info,
        heap.accounting(),
        heap.types(),
        node,
        node.referrers(1)[0],
    ]
    for result in results:
        assert str(result) and json.dumps(result.to_dict())
        assert max(map(len, str(result).splitlines())) < 250
        if hasattr(result, "_repr_html_"):
            assert result._repr_html_().startswith(("<table>", "<pre>"))
    with pytest.raises(AttributeError):  # frozen
        heap.info.objects = 1  # type: ignore[misc]


# ---- the living heap ------------------------------------------------------------------------------------------------


def test_summary_and_count() -> None:
    kept = [Holder(n) for n in range(777)]
    name = f"{__name__}.Holder"
    assert memprobe.count()[name] == memprobe.count(name) == memprobe.count("Holder") == len(kept)
    assert memprobe.count("dict") > 100 and memprobe.count("no such type") == 0
    table = memprobe.summary(limit=5)
    assert len(table) == 5 and table.objects > 10_000
    assert sum(row.percent for row in table.every) == pytest.approx(100)
    assert {row.type: row.count for row in table.every}[name] == len(kept)


def test_growth() -> None:
    before = memprobe.summary()
    kept = [Holder(n) for n in range(500)]
    rows = {row.type: row for row in memprobe.growth(before, limit=None)}
    assert rows[f"{__name__}.Holder"].count == len(kept)


def test_deep_sizeof() -> None:
    inner = [bytes(10_000)]
    outer = Holder(inner)
    assert memprobe.deep_sizeof(inner) > 10_000
    assert memprobe.deep_sizeof(outer) > memprobe.deep_sizeof(inner)
    assert memprobe.deep_sizeof(outer, inner) == memprobe.deep_sizeof(outer)
    assert memprobe.deep_sizeof(outer, skip=[inner]) < 1000
    assert memprobe.deep_sizeof(Holder, housekeeping=True) > memprobe.deep_sizeof(Holder)


def test_references_have_names() -> None:
    target = object()
    holder = Slotted(target)
    table = {"key": target}
    found = memprobe.referrers(target)
    assert (holder, ".value") in [(reference.holder, reference.label) for reference in found]
    assert [reference.label for reference in found if reference.holder is table] == ["['key']"]
    count = memprobe.refcount(target)
    assert not count.immortal and count.count == count.found + count.residual
    assert any(reference.holder is holder for reference in count.holders)
    assert memprobe.refcount(None).holders is not None


def test_immortal_and_interned() -> None:
    assert memprobe.is_immortal(None) is (sys.version_info >= (3, 12))
    assert not memprobe.is_immortal(object())
    assert memprobe.is_interned(sys.intern("an interned string of ours"))
    assert not memprobe.is_interned("".join(["not ", "interned"])) and not memprobe.is_interned(b"x")  # type: ignore[arg-type]


def test_gc_stats() -> None:
    stats = memprobe.gc_stats()
    assert stats.enabled and sum(generation.objects for generation in stats.generations) > 1000
    assert stats.generations[0].collections is not None and stats.frozen >= 0


@pytest.mark.skipif(
    "t" in sys.abiflags or os.environ.get("PYTHONMALLOC", "pymalloc") != "pymalloc", reason="pymalloc is not in use"
)
def test_pymalloc_stats() -> None:
    stats = memprobe.pymalloc_stats()
    assert stats.used_blocks == sum(row.used for row in stats.classes) > 10_000
    assert stats.pools == sum(row.pools for row in stats.classes)
    sizes = [row.size for row in stats.classes]  # of what is in use: a debug build has no block of 16 bytes
    assert sizes == sorted(set(sizes)) and set(sizes) <= set(range(16, 513, 16)) and len(sizes) > 20
    assert stats.used_bytes == sum(row.used * row.size for row in stats.classes)


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        (lambda: memprobe.count(3), TypeError),
        (lambda: memprobe.growth([]), TypeError),
        (lambda: memprobe.summary("5"), TypeError),
        (lambda: memprobe.summary(-5), ValueError),
        (lambda: memprobe.referrers(), TypeError),
        (lambda: memprobe.deep_sizeof([], skip=3), TypeError),
        (lambda: memprobe.capture(1), TypeError),
        (lambda: memprobe.snapshot(3), TypeError),
        (lambda: memprobe.load(None), TypeError),
        (lambda: memprobe.load("/nowhere"), FileNotFoundError),
        (lambda: memprobe.snapshot("/nowhere/at/all"), FileNotFoundError),
        (lambda: memprobe.snapshot("/"), IsADirectoryError),
        (lambda: memprobe.snapshot("/dev/null"), OSError),
    ],
)
def test_bad_arguments(ask, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        ask()
    assert str(caught.value)


# ---- heaps ----------------------------------------------------------------------------------------------------------


def test_heap_facts(heap: memprobe.Heap) -> None:
    info, account = heap.info, heap.accounting()
    assert info.pid == os.getpid() and info.objects > 10_000 and info.edges > info.objects and info.cut is None
    assert info.python.startswith(".".join(map(str, sys.version_info[:3])))
    assert info.bytes > 1_000_000 and info.pause_ms > 0 and info.loaded_bytes > 0 and info.mode and info.time > 1.6e9
    assert account.objects == info.objects and account.graph_bytes == info.bytes
    mortal = account.residual_zero + account.residual_positive + account.residual_negative
    assert mortal + account.immortal == account.objects
    assert account.rss_bytes and account.rss_bytes > account.graph_bytes / 2
    assert 50 < account.explained <= 100
    assert f"{info.pid}" in repr(heap)


def test_types_and_find(heap: memprobe.Heap) -> None:
    table = heap.types(None)
    assert (table.objects, table.bytes) == (heap.info.objects, heap.info.bytes)
    counted = {row.type: row.count for row in table}
    assert len(heap.find(type="dict")) == counted["dict"]
    sizes = [node.size for node in heap.find(min_size=10_000)]
    assert sizes == sorted(sizes, reverse=True) and min(sizes) >= 10_000
    assert heap.find(type="no such type") == [] and len(heap.find(limit=3)) == 3


def test_nodes_and_edges() -> None:
    target = bytearray(123_456)
    holder = Slotted(target)
    table = {"key": holder}
    heap = memprobe.capture()
    node = heap.at(id(target))
    assert node is not None and node.type == "bytearray" and node.size >= 123_456 and not node.flags & {"own", "synthetic"}
    assert node == heap.node(node.id) and node in heap.find(type="bytearray")
    edge = next(edge for edge in node.referrers() if edge.holder.address == id(holder))
    assert edge.label == ".value" and edge.target == node and not edge.weak
    back = next(edge for edge in edge.holder.references() if edge.target == node)
    assert back.label == edge.label and back.holder == edge.holder
    up = next(edge for edge in edge.holder.referrers() if edge.holder.address == id(table))
    assert up.label == "['key']"
    assert len(up.holder.references(limit=1)) == 1
    assert heap.deep_sizeof(node) >= 123_456


def test_roots(heap: memprobe.Heap) -> None:
    roots = heap.roots()
    assert {"threads", "modules", "C references"} <= set(roots)
    assert all("synthetic" in node.flags for node in roots.values())
    assert any(edge.target.type == "module" for edge in roots["modules"].references(20)) or roots["modules"].references(1)


def test_no_such_node(heap: memprobe.Heap) -> None:
    for id in -1, heap.nodes, 1 << 40:
        with pytest.raises(IndexError, match="not in this heap"):
            heap.node(id)
    assert heap.at(7) is None


def test_flags_are_words() -> None:
    name = sys.intern("zebra crossing")
    heap = memprobe.capture()
    known = {"type"} if "t" in sys.abiflags else {"type", "tracked"}  # without a GIL classes may be immortal, and not tracked then
    for obj, words in (Holder, known), (sys, {"module"}), (name, {"interned"}):
        node = heap.at(id(obj))
        assert node is not None and words <= node.flags <= set(FLAGS.values())


# ---- files ----------------------------------------------------------------------------------------------------------


def temporaries(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".memprobe")]


def test_a_snapshot_is_read_as_it_was_written(tmp_path: Path) -> None:
    kept = [Holder(n) for n in range(50)]
    done = memprobe.snapshot(tmp_path / "a.snap")
    assert done.path == str(tmp_path / "a.snap") and done.bytes == os.path.getsize(done.path)
    seen: list[tuple[int, int]] = []
    heap = memprobe.load(done.path, progress=lambda done, total: seen.append((done, total)))
    assert heap.info.edges > 0 and heap.info.pause_ms == pytest.approx(done.pause_ms) and heap.info.cut is None
    assert memprobe.count("Holder") == {row.type: row.count for row in heap.types(None)}[f"{__name__}.Holder"] == len(kept)
    assert seen and all(0 <= part <= total for part, total in seen)
    again = heap.save(tmp_path / "b.snap")
    assert again.bytes == os.path.getsize(tmp_path / "b.snap")
    other = memprobe.load(tmp_path / "b.snap")
    assert other.types(None) == heap.types(None) and other.accounting() == heap.accounting()
    assert [tuple(e.to_dict().values())[2:] for e in heap.node(99).references()] == [
        tuple(e.to_dict().values())[2:] for e in other.node(99).references()
    ]


def test_a_snapshot_is_private_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a.snap"
    path.write_text("old")
    path.chmod(0o644)
    before = os.listdir("/proc/self/fd")
    memprobe.snapshot(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and os.listdir(tmp_path) == ["a.snap"]
    assert os.listdir("/proc/self/fd") == before
    (tmp_path / "link").symlink_to(path)
    memprobe.snapshot(tmp_path / "link")  # the name is replaced, not what it pointed to
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), MemoryError(), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file(tmp_path: Path, monkeypatch, problem: BaseException) -> None:
    path = tmp_path / "a.snap"
    path.write_text("old")

    def fail(fd: int, *contents: bool, **more: int) -> None:
        os.write(fd, b"half of it")
        raise problem

    monkeypatch.setattr(_core, "snapshot", fail)
    with pytest.raises(type(problem)) as caught:
        memprobe.snapshot(path)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.snap"]
    if isinstance(problem, OSError):
        assert caught.value.filename == str(path)


def test_what_is_no_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for data in b"", b"not a snapshot at all", bytes(100):
        path.write_bytes(data)
        with pytest.raises(memprobe.SnapshotError, match="cannot be read as a snapshot"):
            memprobe.load(path)
    with pytest.raises(memprobe.SnapshotError, match="is not a file"):
        memprobe.load("/dev/zero")


def test_reading_can_be_stopped(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    memprobe.snapshot(tmp_path / "a.snap")
    with pytest.raises(Stop):
        memprobe.load(tmp_path / "a.snap", progress=stop)


def test_count_finds_what_the_collector_does_not_track() -> None:
    kept = [collections.OrderedDict() for _ in range(20)], [str(n) * 50 for n in range(3000, 4000)]
    assert memprobe.count("str") > 5000 and memprobe.count("collections.OrderedDict") >= len(kept[0])


def test_the_collector_may_run_while_holders_are_listed() -> None:
    """Making the answer allocates, so the collector may run: holders that are garbage must outlive the answer's making."""
    target = object()
    threshold = gc.get_threshold()
    gc.collect()
    gc.disable()
    for _ in range(2000):
        holder: list[object] = [target]
        holder.append(holder)
    del holder
    gc.set_threshold(10, 2, 2)
    gc.enable()
    try:
        found = memprobe.refcount(target).holders
    finally:
        gc.set_threshold(*threshold)
    assert sum(type(reference.holder) is list and reference.holder[0] is target for reference in found) >= 2000
    del found
    gc.collect()
    assert len(memprobe.referrers(target)) < 10
