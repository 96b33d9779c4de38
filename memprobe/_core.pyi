"""The C extension: parse, call, convert. Everything public is re-exported, typed and documented by the package."""

from collections.abc import Callable, Sequence
from typing import Any, final

from memprobe._labels import EdgeRow

ABI: str  # version of the extension's interface; equals memprobe.__version__

Progress = Callable[[int, int], object]  # (done, total); raise to cancel
Identity = tuple[int, int, int]  # device, inode, time of birth in ns or 0

@final
class Graph:
    """A frozen heap graph. Node ids are 0 .. nodes-1."""

    nodes: int
    edges: int
    memory: int  # bytes that the graph itself takes

    def infos(self) -> dict[str, int | str]: ...
    def totals(self) -> dict[str, int]: ...  # the fields of mpr_totals
    def groups(self) -> dict[str, int]: ...  # name of a root group -> node
    def types(self) -> list[tuple[int, str, int, int]]: ...  # type index, name, count, bytes; own objects left out
    def find(self, type: str | None = None, min_size: int = 0, limit: int = -1) -> list[int]: ...  # biggest first; own left out
    def at(self, address: int) -> int | None: ...
    # id -> (address, type name, size, flags, residual, text or None)
    def node(self, id: int) -> tuple[int, str, int, int, int, str | None]: ...
    # id -> the rows of its edges, with the other end
    def edges_out(self, id: int, limit: int = -1) -> list[EdgeRow]: ...
    def edges_in(self, id: int, limit: int = -1) -> list[EdgeRow]: ...
    def deep_size(self, ids: list[int], housekeeping: bool = False) -> tuple[int, int]: ...  # objects, bytes
    def retained(self, id: int, /) -> int: ...  # bytes
    def dominator(self, id: int, /) -> int | None: ...
    def dominated(self, id: int, limit: int = -1) -> list[tuple[int, int]]: ...  # (node, retained bytes), biggest first
    # {"program", "c", "unreachable", "self", "image": (objects, bytes, bytes in pools, bytes in chunks)}; pools: pymalloc is in use
    def footprint(self, pools: bool, /) -> dict[str, tuple[int, int, int, int]]: ...
    def retained_types(self) -> list[tuple[int, int]]: ...  # type index, bytes retained together
    def kept(self, id: int, /) -> int: ...  # bytes, in the rank tree
    def children(self, id: int, /) -> list[tuple[str, int, int, int]]: ...  # type, objects, bytes with all they keep, the largest
    def what(self, id: int, /) -> str: ...  # its type, and its name if it has one
    # (text, evaluable, length of the module's name); None for what nothing reaches
    def names(self, ids: Sequence[int], /) -> list[tuple[str, bool, int] | None]: ...
    # (name, the path that it says: pairs of uint64, edge and node, from the super-root on); None for what nothing reaches
    def name_paths(self, ids: Sequence[int], /) -> list[tuple[tuple[str, bool, int], bytes] | None]: ...
    def step(self, holder: int, edge: int, next: int, /) -> EdgeRow: ...  # of a pair, and the node of the next
    # [(name, steps as name_paths)], are there no others
    def paths(self, id: int, limit: int = 1) -> tuple[list[tuple[tuple[str, bool, int], bytes]], bool]: ...
    # has hashes, has costs, {kind: (objects, bytes)}, [(kind, type, node, owner's type, [row as edges_out, with the holder's id],
    # type of numbers or attribute, slots, weak references, objects, bytes)], most bytes first, at most `limit` of a kind
    def waste(self, limit: int = 100) -> tuple[bool, bool, dict[str, tuple[int, int]], list[tuple[Any, ...]]]: ...
    def columns(self) -> dict[str, memoryview]: ...  # see Heap.columns
    def save(self, fd: int) -> int: ...  # bytes written
    def check(self) -> str | None: ...  # None, or the invariant that does not hold

@final
class Holders:
    """Who refers to what, of all tracked objects. It holds them."""

    # as gc.get_referrers(object) when it was made, without garbage if for all; None for an object that it was not made for
    def of(self, object: object, /) -> list[object] | None: ...
    def holds(self, object: object, /) -> bool: ...

@final
class Held:
    """The living objects of an answer, by number: the id of a node, or the index of a row."""

    def __len__(self) -> int: ...
    def __contains__(self, number: object, /) -> bool: ...
    def __getitem__(self, number: int, /) -> Any: ...
    def get(self, number: int, default: Any = None, /) -> Any: ...
    def release(self) -> None: ...

@final
class Cycles:
    """The cycles of a graph by rows, most bytes first; those that look alike are one row."""

    def __len__(self) -> int: ...
    # how many such cycles, bytes of all, garbage; of the first of them: objects, first node of a shortest cycle, its edges as rows
    # of edges_out, the last leads to the first node
    def __getitem__(self, index: int, /) -> tuple[int, int, bool, int, int, list[EdgeRow]]: ...
    def members(self, index: int, start: int, stop: int, /) -> list[int]: ...  # nodes of the first of a row's
    def components(self) -> int: ...  # cycles of all rows

def capture(values: bool = False, hashes: bool = False) -> Graph: ...  # also infos: pause_ns
# objects, edges, bytes, memory, pause_ns, duration_ns, fork_ns, cow_bytes (int); mode (str); reason (str or None)
# a forked child is ended when less than `reserve` bytes are left, as room_left() says
def snapshot(
    fd: int,
    values: bool = False,
    hashes: bool = False,
    fork: bool = False,
    seconds: int = 0,
    watch: int = -1,
    reserve: int = 0,
    groups: list[tuple[str, str, int]] = ...,
    file: Identity = ...,  # what fd must be; OSError (EBADF) when it is something else
) -> dict[str, Any]: ...
# takes a descriptor over: the number that it has now, a high one, and what tells it from others; None when it is not open
def hold(fd: int, /) -> tuple[int, Identity | None]: ...
def is_still(fd: int, identity: Identity, /) -> bool: ...
# in a forked process: closes the descriptors of the snapshots that were under way in its parent
def forget_snapshots() -> None: ...
# on the machine and in each of these control groups: (file of its use, file of what that consists of, limit); the least
def room_left(groups: list[tuple[str, str, int]], /) -> int: ...
# raises ValueError(message) for what is not a snapshot; infos() then has cut=1 and cut_message when the file was cut
def load(fd: int, progress: Progress | None = None) -> Graph: ...
def count(sizes: bool, /) -> list[tuple[str, int, int]]: ...  # type name, count, bytes
def deep_sizeof(objects: tuple[object, ...], skip: tuple[object, ...] = (), housekeeping: bool = False) -> int: ...
def deep_count(objects: tuple[object, ...]) -> list[tuple[str, int, int]]: ...  # as count(), of what is reachable
# holders by index of the row, rows as edges_out with that index or the words for a thread or frame, rows of the caller's variables
def referrers(objects: tuple[object, ...], /) -> tuple[Held, list[tuple[Any, ...]], list[int]]: ...
# count without memprobe's own, immortal, answer as of referrers
def refcount(object: object, /) -> tuple[int, bool, tuple[Held, list[tuple[Any, ...]], list[int]]]: ...
def is_immortal(object: object, /) -> bool: ...
def is_interned(object: object, /) -> bool: ...
def generations() -> list[int]: ...  # objects on each of the collector's lists, the permanent one last
def account() -> dict[str, int]: ...  # the facts mem_... of a snapshot, without mem_
def pymalloc() -> dict[str, Any]: ...  # see memprobe.PymallocStats
def is_main_interpreter() -> bool: ...
def signal_to_fd(signal: int, fd: int) -> None: ...  # adds 1 to the eventfd from now on
def signal_to_nobody(signal: int, restore: bool) -> None: ...  # if it is ours; restore: it does what it did before, else nothing
def capabilities() -> dict[str, bool]: ...  # each private source of truth -> proved by the self-check at import
def retained_sizeof(object: object, /) -> int: ...
# graph, objects on the paths, node, paths as Graph.paths gives them, they are none of the program's, the caller's variables as rows
def why_alive(
    object: object, limit: int, /
) -> tuple[Graph, Held, int, list[tuple[tuple[str, bool, int], bytes]], bool, list[EdgeRow]]: ...
# the objects of the first `limit` rows are held
def find_cycles(object: object, garbage: bool, housekeeping: bool, limit: int, /) -> tuple[Graph, Cycles, Held]: ...
# those of a graph, or of what can be reached from a node
def cycles(graph: Graph, garbage: bool, housekeeping: bool, start: int | None, /) -> Cycles: ...
# bytes of the heap, threshold, [(kind, node, type, point or None, objects, bytes, up to 10,000 of the objects when they are many)]
def suspects(
    graph: Graph, permille: int = 100
) -> tuple[int, int, list[tuple[str, int, str, int | None, int, int, tuple[int, ...]]]]: ...
# type name, objects, bytes of all that each of the nodes alone keeps alive
def below(graph: Graph, ids: tuple[int, ...], /) -> list[tuple[str, int, int]]: ...
# bytes of each graph, bytes that no row has, rows: (kind, graph index, node, type, stands for several, objects and bytes from the
# first heap to the second and to the last, new objects, objects and bytes that the first had, in use, owners), [(node, more
# references of C code)]; None for graphs of several processes
def growth(graphs: tuple[Graph, ...], /) -> tuple[tuple[int, ...], int, list[tuple[Any, ...]], list[tuple[int, int]]] | None: ...
# bytes of each graph, [(holder, grown, objects, bytes)], each of the first two None or (graph index, node, type, objects in each
# graph, bytes with all below in each graph)
def diff(graphs: tuple[Graph, ...], /) -> tuple[tuple[int, ...], list[tuple[Any, Any, int, int]]]: ...
# the collector's view, in the order of gc.get_objects()
def tracked_types() -> list[tuple[type, int]]: ...
def tracked_of(types: tuple[type, ...], /) -> list[object]: ...
def tracked_at(addresses: tuple[int, ...], /) -> list[object]: ...
# those of the objects (None: all that are tracked) that nothing tracked refers to but that list itself and one more object
def tracked_unheld(objects: list[object] | None, besides: object, /) -> list[object]: ...
# of references to the objects in the list (itself left out), or to any
def holders(targets: list[object] | None, /) -> Holders: ...
# pictures: the namespace of an instance, class or module counts as part of it
def neighbours(graph: Graph, id: int, back: bool, housekeeping: bool, weak: bool, /) -> list[int]: ...
# at most limit rows as edges_out, each with who has the edge, the holder or its namespace, and how many there are
def between(
    graph: Graph, holder: int, target: int, housekeeping: bool, weak: bool, limit: int, /
) -> tuple[list[EdgeRow], int]: ...
# for each node the number of its strongly connected component among them, or 0xFFFFFFFF
def components(graph: Graph, ids: tuple[int, ...], housekeeping: bool, /) -> list[int]: ...
def hold_around(
    objects: tuple[object, ...], depth: int, back: bool, housekeeping: bool, weak: bool, limit: int, /
) -> tuple[tuple[Graph, Any], list[int]]: ...  # Any: a Held
# ((file, line), ...) where tracemalloc saw it being made, the innermost first
def allocated(object: object, /) -> tuple[tuple[str, int], ...] | None: ...
# the dominator tree by path signature: [(parent row or -1, node that retains most, its type, objects, bytes with all below)]
def grouped(graph: Graph, /) -> list[tuple[int, int, str, int, int]]: ...
