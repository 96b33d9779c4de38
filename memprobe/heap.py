"""A heap that was captured or loaded, and the ways to get one. A heap is immutable and refers to no live object: its nodes are
copies of what was seen."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from memprobe import _capture, _core, _merge, _tree, analysis
from memprobe._atomic import replacing
from memprobe._labels import Label
from memprobe._readable import Answers
from memprobe._select import Selection
from memprobe.analysis import Cycles, Dominated
from memprobe.arenas import Fragmentation, fragmentation
from memprobe.balance import Memory, balance
from memprobe.errors import SnapshotError
from memprobe.findings import findings
from memprobe.leaks import Diff, Suspects
from memprobe.live import check_limit
from memprobe.native import UNKNOWN as NATIVE_UNKNOWN
from memprobe.native import BlockTable, PossibleHolder, possible_holders
from memprobe.native import is_known as native_is_known
from memprobe.native import table as native_table
from memprobe.results import FLAGS, Accounting, Edge, HeapInfo, Node, SnapshotInfo, TypeTable
from memprobe.sharing import Sharing, sharing
from memprobe.waste import Waste

Path = str | os.PathLike[str]
Answer = TypeVar("Answer")


def capture(*, values: bool = False, hashes: bool = False, origins_ms: int = _capture.ORIGINS_MS) -> Heap:
    """The whole heap of this process, now, as a Heap. Other threads wait while it is walked.

    Contents of strings are kept only where they are names; with `values`, all of them. With `hashes` it is known which str, bytes
    and numbers contain the same, and nothing else about them: waste() then finds duplicates.

    While tracemalloc traces, it is asked for at most `origins_ms` milliseconds (0: not at all) where a sample of the objects was
    made: diff() and suspects() then name lines, `made_at`."""
    return Heap(_core.capture(values, hashes, _capture.check_origins(origins_ms)))


def snapshot(
    path: Path,
    *,
    values: bool = False,
    hashes: bool = False,
    fork: bool = True,
    seconds: int = 600,
    origins_ms: int = _capture.ORIGINS_MS,
    native: bool = False,
) -> SnapshotInfo:
    """Write the whole heap of this process to a file, for load() here or on another machine.

    A forked child writes it, of the moment of the fork: other threads stand still for milliseconds only (`pause_ms`). Without
    `fork`, or where forking is not possible or memory too scarce, this process streams it itself and stands still as long as that
    takes. The file appears whole or not at all, readable by its owner alone; an old one is replaced. With `values` the contents
    of all strings are in it, not only names: secrets, too. With `hashes` it says which contents are equal, and nothing else about
    them (by a keyed hash whose key is thrown away). While tracemalloc traces, `origins_ms` milliseconds of the pause (0: none) go
    into asking it where a sample of the objects was made, as capture() does. With `native` the child looks at what malloc gave
    out, too: who refers to it, and what is lost (docs/MEMORY.md); without a fork nothing is known of that. Raises OSError when it
    cannot be written, and SnapshotError when the child was ended, by somebody or because it took longer than `seconds`."""
    target = os.fspath(path)
    sys.audit("memprobe.snapshot", target)
    with replacing(target) as file:
        try:
            facts = _capture.write(file, _capture.Options(values, hashes, fork, seconds, origins_ms, native))
        except ChildProcessError as problem:
            raise SnapshotError(f"No snapshot of this process: {problem}.") from None
    return snapshot_info(target, facts)


def load(path: Path, *, progress: Callable[[int, int], object] | None = None) -> Heap:
    """Read a snapshot file. A file that was cut is read up to the cut, and info.cut says so.

    `progress(done, total)` is called now and then with bytes; what it raises ends the reading. Raises SnapshotError when the
    file is no snapshot, is damaged or newer than this memprobe, and OSError when it cannot be read."""
    source = os.fspath(path)
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise SnapshotError(f"{source} is not a file: name a snapshot that `memprobe snapshot` wrote.")
        return Heap(_core.load(fd, progress), source)
    except ValueError as problem:
        raise SnapshotError(f"{source} cannot be read as a snapshot: {problem}.") from None
    except OSError as problem:
        problem.filename = source
        raise
    finally:
        os.close(fd)


def memory() -> Memory:
    """The balance of this process's resident memory, now: Heap.memory() of a capture."""
    return capture().memory()


class Heap:
    """One process's heap at one moment: nodes (objects and a few root groups) and named edges."""

    __slots__ = ("_answers", "_graph", "path")

    def __init__(self, graph: _core.Graph, path: str | None = None) -> None:
        self._graph = graph
        self.path = path  # of the file that it was loaded from
        self._answers: dict[tuple[Any, ...], Any] = {}  # what was asked, by question: a heap does not change

    @property
    def info(self) -> HeapInfo:
        """What it is of, how big it is and what it cost."""
        facts, totals = self._graph.infos(), self._graph.totals()
        return HeapInfo(
            objects=totals["objects"],
            edges=self._graph.edges,
            bytes=totals["bytes"],
            pause_ms=_int(facts.get("pause_ns")) / 1e6,
            python=str(facts.get("python", "unknown")),
            pid=_int(facts.get("pid")),
            time=_int(facts.get("time_ns")) / 1e9,
            mode=str(facts.get("mode", "unknown")),
            loaded_bytes=self._graph.memory,
            duration_ms=_ms(facts.get("duration_ns")),
            fork_ms=_ms(facts.get("fork_ns")),
            cow_bytes=_known(facts.get("cow_bytes")),
            origins_ms=_ms(facts.get("origins_ns")),
            origins_asked=_known(facts.get("origins_asked")),
            cut=str(facts.get("cut_message", "the file ends too early")) if facts.get("cut") else None,
        )

    def accounting(self) -> Accounting:
        """How much of the process this heap explains: the self-test of the walk."""
        facts, totals = self._graph.infos(), self._graph.totals()
        return Accounting(
            objects=totals["objects"],
            immortal=totals["immortal"],
            residual_zero=totals["residual_zero"],
            residual_positive=totals["residual_positive"],
            residual_negative=totals["residual_negative"],
            estimated_sizes=totals["estimated"],
            may_hold_native=self._may_hold_native(),
            graph_bytes=totals["bytes"],
            traced_bytes=_known(facts.get("traced_bytes")),
            rss_bytes=_known(facts.get("rss_bytes")),
            fallbacks=tuple(str(facts.get("fallbacks", "")).split()),
            unreachable_objects=totals["unreachable_objects"],
            unreachable_bytes=totals["unreachable_bytes"],
            own_objects=totals["own_objects"],
            own_bytes=totals["own_bytes"],
            unseen_objects=_known(facts.get("unseen_objects")),
            unseen_rejected=_known(facts.get("unseen_rejected")),
            dangling_edges=totals["dangling"],
        )

    def _may_hold_native(self) -> int | None:
        """How many objects may; None where the walk did not ask, in a file of an older memprobe."""
        if "native_types" not in self._graph.infos():
            return None
        return sum(row[2] for row in self._graph.types() if row[4])

    def memory(self, older: Heap | None = None) -> Memory:
        """The balance of the process's resident memory: objects, what allocators have free, C code, libraries and so on, each byte
        once; with `older`, a heap of the same program before, what changed since. Of a file that an older memprobe wrote only the
        objects are known."""
        found = self._once(balance)
        return found if older is None else found.since(older.memory())

    def fragmentation(self, *, limit: int = 20) -> Fragmentation:
        """How many arenas of Python's allocator are thinly filled, and which variables have objects there (at most `limit`): an
        arena is given back when nothing in it is in use. `malloc` is the same of glibc's malloc."""
        return self._once(fragmentation, limit)

    def sharing(self, *, limit: int = 20) -> Sharing:
        """Of a process that was forked, as a server's worker: what it shares with its parent still, what has been copied since and
        why, and which variables (at most `limit`) have objects there."""
        return self._once(sharing, limit)

    def native(self, *, limit: int | None = 20) -> BlockTable:
        """Native blocks by what they begin with and their size, most bytes first: memory of malloc and of Python's allocator that
        no object has. Only a snapshot that was taken with `native` knows of them."""
        return self._once(native_table, False, None, check_limit(limit))

    def lost(self, older: Heap | None = None, *, limit: int | None = 20) -> BlockTable:
        """The native blocks that nothing refers to: what C code forgot to free. With an older heap of the process those that were
        lost in it, too, come first: of a block that is lost in one alone it may be that only a register knew of it."""
        return native_table(self, True, older, check_limit(limit))

    def findings(self, older: Heap | None = None) -> tuple[str, ...]:
        """Sentences on the process's memory beside its objects: the part that has more than half of it (with `older`, of its
        growth), fragmentation, and what was copied since a fork, each with what helps. Nothing where the balance alone says it."""
        return findings(self, older)

    def types(
        self,
        limit: int | None = 20,
        *,
        type: str | None = None,
        module: str | None = None,
        stdlib: bool = True,
        sort: str = "bytes",
        min_bytes: int = 0,
        native: bool = False,
    ) -> TypeTable:
        """Objects by type, most bytes first; the table shows `limit` rows (None: all) and knows them all.

        With `native` native blocks have rows, too, by what they begin with: "<libssl.so.3: name>", by file and symbol or offset,
        and "<native>" those that begin with nothing that is known; ValueError where the heap does not know of them.

        `type` and `module` are patterns, "app.*"; a name without its module is found: "Session" is app.Session, unless there is a
        type with just this name. `stdlib=False` leaves out builtins and the standard library, `min_bytes` what has fewer bytes, and
        `sort` is "bytes", "count" or "name". Shares are of the whole heap, totals of the rows that were selected."""
        rows: list[tuple[Any, ...]] = [row[1:] for row in self._graph.types()]
        if native:
            self._require_native()
            rows += [(f"<{block.place or 'native'}>", block.count, block.bytes) for block in self.native().every]
        table = TypeTable.of(rows, check_limit(limit))
        selection = Selection(type, module, stdlib, sort, min_bytes)
        if selection.takes_all:
            return table
        selected = selection.among(row.type for row in table.every).of_types(table.every)
        return TypeTable(tuple(selected), table.limit)

    def find(
        self,
        type: str | None = None,
        min_size: int = 0,
        limit: int | None = None,
        *,
        module: str | None = None,
        stdlib: bool = True,
        sort: str = "bytes",
        min_bytes: int = 0,
    ) -> Answers[Node]:
        """The objects of a type of at least `min_bytes` bytes (`min_size` says the same), biggest first, at most `limit`.

        Types are selected as types() does, by patterns and with or without their modules; `sort` is "bytes", "count" (those first
        of which there are most) or "name" (of the type). None are found when there is no such type."""
        ids = self._ids(Selection(type, module, stdlib, sort, min_bytes or min_size), _limit(limit))
        return Answers(len(ids), lambda at: self.node(ids[at]))

    def _ids(self, selection: Selection, limit: int) -> list[int]:
        """The objects that are selected, in their order."""
        if selection.type is None and selection.module is None and selection.stdlib and selection.sort == "bytes":
            return self._graph.find(None, selection.min_bytes, limit)
        table = self.types(None, type=selection.type, module=selection.module, stdlib=selection.stdlib, sort=selection.sort)
        if selection.sort != "bytes" or len(table.every) == 1:
            parts = (self._graph.find(row.type, selection.min_bytes, limit) for row in table.every)
            found = [id for part in parts for id in part]
        else:
            wanted = {row.type for row in table.every}
            parts = (self._graph.find(name, selection.min_bytes, limit) for name in sorted(wanted))
            found = sorted((id for part in parts for id in part), key=lambda id: (-self._graph.node(id)[2], id))
        return found if limit < 0 else found[:limit]

    def node(self, id: int) -> Node:
        """The node with this id, 0 <= id < heap.nodes; IndexError when there is none."""
        if not 0 <= id < self._graph.nodes:
            raise IndexError(f"node {id} is not in this heap: ids are 0 to {self._graph.nodes - 1}.")
        address, kind, size, flags, residual, text = self._graph.node(id)
        words = frozenset(word for bit, word in FLAGS.items() if flags & bit)
        return Node(id, address, kind, size, words, residual, text, self)

    def at(self, address: int) -> Node | None:
        """The object that was at an address, id(obj) while it lived, or None."""
        id = self._graph.at(address)
        return None if id is None else self.node(id)

    def roots(self) -> dict[str, Node]:
        """The root groups by name: threads, modules, C references and so on."""
        return {name: self.node(id) for name, id in self._graph.groups().items()}

    @property
    def nodes(self) -> int:
        """How many nodes there are, objects and root groups."""
        return self._graph.nodes

    def references(self, id: int, limit: int | None = None) -> Answers[Edge]:
        """The edges from a node, as Node.references()."""
        holder = self.node(id)
        rows = self._graph.edges_out(id, _limit(limit))
        return Answers(len(rows), lambda at: Edge(holder, self.node(rows[at][0]), Label.of(rows[at])))

    def name(self, node: Node) -> str:
        """What a node is called, in every answer: the path to it as a program would write it, where it can be written."""
        return analysis.name_of(self, node)

    def referrers(self, id: int, limit: int | None = None) -> Answers[Edge]:
        """The edges to a node, as Node.referrers()."""
        target = self.node(id)
        rows = self._graph.edges_in(id, _limit(limit))
        return Answers(len(rows), lambda at: Edge(self.node(rows[at][0]), target, Label.of(rows[at])))

    def deep_sizeof(self, *nodes: Node, skip: Iterable[Node] = (), housekeeping: bool = False, native: bool = False) -> int:
        """Bytes of the nodes and of everything reachable from them, as memprobe.deep_sizeof(). With `native` those of native
        blocks, too; ValueError where the heap does not know of them."""
        if native:
            self._require_native()
        _, bytes, blocks = self._graph.deep_size(_ids(nodes), housekeeping, _ids(skip))
        return bytes + (blocks if native else 0)

    def retained(self, node: Node, *, native: bool = False) -> int:
        """Bytes that would be freed with a node: its own, and those of all that only it keeps alive. With `native` those of
        native blocks, too; ValueError where the heap does not know of them."""
        if not native:
            return self._graph.retained(node.id)
        self._require_native()
        return self._graph.retained(node.id) + self._graph.retained(node.id, native=True)

    def _require_native(self) -> None:
        if not native_is_known(self):
            raise ValueError(f"{NATIVE_UNKNOWN}.")

    def dominators(
        self,
        node: Node | None = None,
        *,
        depth: int = 3,
        limit: int = 10,
        grouped: bool = False,
        type: str | None = None,
        module: str | None = None,
        stdlib: bool = True,
        sort: str = "bytes",
        min_bytes: int = 0,
        native: bool = False,
    ) -> Dominated:
        """Who keeps how much: the dominator tree below a node (None: the whole heap), the `limit` biggest at each of `depth`
        levels. With `grouped` objects that are held in one way, by the labels and types on the path to them, are one: of the whole
        heap only, ValueError otherwise. With `native` the biggest are those that keep most of objects and native blocks together;
        ValueError where the heap does not know of these, and with `grouped` or a selection.

        With a selection, as types() has it, the tree has only what is selected, of the 10,000 biggest: below an object stands what
        it keeps, immediately or by others that were not selected. `module` and `stdlib` look at the object's name, too, which says
        who holds it (of the 2,000 biggest whose type is not of that module), and `min_bytes` at what it keeps. A grouped tree has
        no selection."""
        selection = Selection(type, module, stdlib, sort, min_bytes)
        if grouped and (node is not None or not selection.takes_all):
            raise ValueError("a grouped tree is of the whole heap: leave out the node and the selection, or `grouped`.")
        if native:
            self._require_native()
            if grouped or not selection.takes_all:
                raise ValueError("the tree of native blocks is neither grouped nor selected from: leave that out, or `native`.")
        if grouped:
            return self._once(analysis.grouped, depth, limit)
        if selection.takes_all:
            return analysis.dominators(self, node, depth, limit, native)
        top = self.roots()["roots"].id if node is None else node.id
        names = (row[1] for row in self._graph.types())
        return _tree.selected(self, top, depth, limit, selection.among(names))

    def paths(self, node: Node, limit: int = 3) -> analysis.Paths:
        """Why a node is alive: up to `limit` (1 to 255) shortest paths of strong references to it. `complete` of what is returned
        says that there are no others."""
        return analysis.paths(self, node, limit)

    def possible_holders(self, node: Node) -> tuple[PossibleHolder, ...]:
        """Of an object that C code holds: the native blocks that have its address in them, and who keeps these. They explain its
        residual, perhaps: what is found by looking may be left behind, so the residual stays what it is. Nothing where the heap
        does not know of native blocks."""
        return possible_holders(self, node)

    def cycles(
        self, *, garbage: bool = False, housekeeping: bool = False, native: bool = False, limit: int | None = None
    ) -> Cycles:
        """Reference cycles, most bytes first, those that look alike as one row; see memprobe.find_cycles().

        With `native` those that the collector cannot see, and never frees: an object of a C type holds what leads back to it, and
        the type does not tell so (it has no tp_traverse, or one that leaves something out). Such a reference is found by looking:
        its address is in the memory of the object or of a native block that it has, and C code holds a reference that nothing else
        explains. ValueError where the heap does not know of native blocks."""
        if native:
            self._require_native()
        return self._once(analysis.cycles, garbage, housekeeping, native, check_limit(limit))

    def suspects(
        self, percent: float = 10.0, limit: int | None = None, *, keep_stdlib: bool = False, native: bool = False
    ) -> Suspects:
        """Who keeps a large part of the heap alive, more than `percent` of it: most bytes first, with what to do about it. With
        `keep_stdlib` a suspect's holder may be of the standard library. With `native` the heap is its objects and its native
        blocks; ValueError where it does not know of these."""
        if native:
            self._require_native()
        return self._once(_merge.suspects, percent, check_limit(limit), keep_stdlib, native)

    def waste(self, limit: int | None = 20) -> Waste:
        """Memory that the program could do without while it keeps the same data, most bytes first, and what to do: duplicate str,
        bytes and tuples (of a heap that was taken with `hashes`), sparse and empty containers, numbers in lists, classes that
        would gain from __slots__, instances that lost their class's table of names."""
        return self._once(_merge.wasted, check_limit(limit))

    def diff(self, older: Heap, oldest: Heap | None = None, *, limit: int | None = 20, native: bool = False) -> Diff:
        """What grew since an older heap; with a third and oldest one, what is new in the middle one and still here. With `native`
        the native blocks that objects keep count, of heaps of one process that know of them, else ValueError."""
        heaps = (older, self) if oldest is None else (oldest, older, self)
        for heap in heaps if native else ():
            heap._require_native()
        return _merge.diff(heaps, check_limit(limit), native)

    def columns(self) -> dict[str, memoryview]:
        """The graph as arrays that numpy takes as they are (`numpy.asarray(view)`), read-only; they keep the heap alive.

        A row a node: address, size, retained (uint64, bytes), residual (int64, references), type (uint32, index into types),
        flags (uint16, bits as memprobe.results.FLAGS), dominator (uint32; 0xFFFFFFFF: none), rank (uint16: 0 lasts, then frames,
        C references, unreachable; 0xFFFF: memprobe's own). retained and dominator are those of the rank tree. The edges of node i
        are rows first_edge[i] to first_edge[i + 1] - 1 (uint64, one more than nodes) of edge_target (uint32, node) and edge_label
        (uint32, docs/FORMAT.md). Computes dominators. type, flags, retained, dominator, rank, edge_target and edge_label are the
        heap's own memory, not copies."""
        return self._graph.columns()

    def _once(self, question: Callable[..., Answer], *details: Any) -> Answer:
        """The answer to a question, found the first time that it is asked."""
        key = (question, *details)
        if key not in self._answers:
            self._answers[key] = question(self, *details)
        found: Answer = self._answers[key]
        return found

    def save(self, path: Path) -> SnapshotInfo:
        """Write it to a file that load() reads; whole or not at all, as snapshot() does."""
        target = os.fspath(path)
        sys.audit("memprobe.snapshot", target)
        with replacing(target) as file:
            written = self._graph.save(file.fd)
        info = self.info
        cost = (info.pause_ms, info.mode, info.duration_ms, info.fork_ms, info.cow_bytes)
        return SnapshotInfo(target, info.objects, info.edges, written, *cost)

    def __repr__(self) -> str:
        info = self.info
        return f"<memprobe.Heap of process {info.pid}: {info.objects:,} objects, {info.bytes:,} bytes, {info.edges:,} edges>"


def snapshot_info(path: str, facts: dict[str, Any]) -> SnapshotInfo:
    """From what the extension's snapshot() returns."""
    forked = facts["mode"] == "forked"
    return SnapshotInfo(
        path,
        facts["objects"],
        facts["edges"],
        facts["bytes"],
        pause_ms=facts["pause_ns"] / 1e6,
        mode=facts["mode"],
        duration_ms=facts["duration_ns"] / 1e6,
        fork_ms=facts["fork_ns"] / 1e6 if forked else None,
        cow_bytes=facts["cow_bytes"] if forked else None,
        reason=facts["reason"],
    )


def _ids(nodes: Iterable[Node]) -> list[int]:
    return [node.id for node in nodes]


def _limit(limit: int | None) -> int:
    checked = check_limit(limit)
    return -1 if checked is None else checked


def _int(fact: int | str | None) -> int:
    return fact if isinstance(fact, int) else 0


def _ms(nanoseconds: int | str | None) -> float | None:
    return nanoseconds / 1e6 if isinstance(nanoseconds, int) else None


def _known(fact: int | str | None) -> int | None:
    return fact if isinstance(fact, int) else None
