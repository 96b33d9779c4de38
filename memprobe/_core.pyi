"""The C extension: parse, call, convert. Everything public is re-exported, typed and documented by the package."""

from collections.abc import Callable
from typing import Any, final

ABI: str  # version of the extension's interface; equals memprobe.__version__

Progress = Callable[[int, int], object]  # (done, total); raise to cancel

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
    # id -> [(other id, label text, kind name, weak, housekeeping), ...]
    def edges_out(self, id: int, limit: int = -1) -> list[tuple[int, str, str, bool, bool]]: ...
    def edges_in(self, id: int, limit: int = -1) -> list[tuple[int, str, str, bool, bool]]: ...
    def deep_size(self, ids: list[int], housekeeping: bool = False) -> tuple[int, int]: ...  # objects, bytes
    def retained(self, id: int, /) -> int: ...  # bytes
    def dominator(self, id: int, /) -> int | None: ...
    def dominated(self, id: int, limit: int = -1) -> list[tuple[int, int]]: ...  # (node, retained bytes), biggest first
    def retained_types(self) -> list[tuple[int, int]]: ...  # type index, bytes retained together
    # each path: rows as edges_out, from the super-root to the node
    def paths(self, id: int, limit: int = 1) -> list[list[tuple[int, str, str, bool, bool]]]: ...
    # (members, bytes, garbage, first node of the cycle, steps: rows as edges_out, the last leads to the first), biggest first
    def cycles(
        self, housekeeping: bool = False, garbage: bool = False, limit: int = -1, start: int | None = None
    ) -> list[tuple[list[int], int, bool, int, list[tuple[int, str, str, bool, bool]]]]: ...
    # has hashes, has costs, {kind: (objects, bytes)}, [(kind, type, node, owner's type, [row as edges_out, with the holder's id],
    # type of numbers or attribute, slots, weak references, objects, bytes)], most bytes first, at most `limit` of a kind
    def waste(self, limit: int = 100) -> tuple[bool, bool, dict[str, tuple[int, int]], list[tuple[Any, ...]]]: ...
    def columns(self) -> dict[str, memoryview]: ...  # see Heap.columns
    def save(self, fd: int) -> int: ...  # bytes written
    def check(self) -> str | None: ...  # None, or the invariant that does not hold

def capture(values: bool = False, hashes: bool = False) -> Graph: ...  # also infos: pause_ns
def snapshot(fd: int, values: bool = False, hashes: bool = False) -> dict[str, int]: ...  # objects, edges, bytes, pause_ns, memory
# raises ValueError(message) for what is not a snapshot; infos() then has cut=1 and cut_message when the file was cut
def load(fd: int, progress: Progress | None = None) -> Graph: ...
def count() -> list[tuple[str, int, int]]: ...  # type name, count, bytes
def deep_sizeof(objects: tuple[object, ...], skip: tuple[object, ...] = (), housekeeping: bool = False) -> int: ...
def deep_count(objects: tuple[object, ...]) -> list[tuple[str, int, int]]: ...  # as count(), of what is reachable
# count, found, residual, immortal, [(holder, label)]
def refcount(object: object, /) -> tuple[int, int, int, bool, list[tuple[object, str]]]: ...
def referrers(objects: tuple[object, ...]) -> list[tuple[object, str]]: ...
def is_immortal(object: object, /) -> bool: ...
def is_interned(object: object, /) -> bool: ...
def generations() -> list[int]: ...  # objects on each of the collector's lists, the permanent one last
def pymalloc() -> dict[str, Any]: ...  # see memprobe.PymallocStats
def capabilities() -> dict[str, bool]: ...  # each private source of truth -> proved by the self-check at import
def retained_sizeof(object: object, /) -> int: ...
def why_alive(object: object, limit: int, /) -> tuple[tuple[Graph, dict[int, object]], int]: ...
def hold_cyclic(garbage: bool, housekeeping: bool, /) -> tuple[Graph, dict[int, object]]: ...
# bytes of the heap, threshold, [(kind, node, type, point or None, objects, bytes, route: rows as edges_out from the super-root,
# up to 10,000 of the objects when they are many)]
def suspects(
    graph: Graph, permille: int = 100
) -> tuple[int, int, list[tuple[str, int, str, int | None, int, int, list[tuple[int, str, str, bool, bool]], tuple[int, ...]]]]: ...
# type name, objects, bytes of all that each of the nodes alone keeps alive
def below(graph: Graph, ids: tuple[int, ...], /) -> list[tuple[str, int, int]]: ...
# for each id the rows of a route from the super-root, [] for what no root reaches
def routes(graph: Graph, ids: list[int], /) -> list[list[tuple[int, str, str, bool, bool]]]: ...
# bytes of each graph, are they of one process, number of rows, [(holder, grown, objects, bytes)], each of the first two None or
# (graph index, node, type, objects in each graph, bytes with all below in each graph, new objects if of one process)
def diff(graphs: tuple[Graph, ...], limit: int = -1) -> tuple[tuple[int, ...], bool, int, list[tuple[Any, Any, int, int]]]: ...
