"""The dominator tree as rows on a screen, and the part of it that a selection takes.

Rows come by the bytes that they keep, over all levels: a node keeps no more than its parent, so the biggest of what may come next
is always a child of a row that is there already, and the rows are a tree. Cost: the children of the rows, of each at most NAMED by
name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from memprobe import _names
from memprobe._select import Selection
from memprobe.analysis import Dominated, native_kept

if TYPE_CHECKING:
    from memprobe.heap import Heap

NAMED = 2000  # children of a node that are looked at by name; the rest is counted
CANDIDATES = 10_000  # objects that a selection takes from a tree, the biggest
NAMED_AT_ALL = 2000  # objects whose names are looked at by a selection
NONE = 0xFFFFFFFF  # no dominator


@dataclass
class Branch:
    """A row: `count` objects of one name and type, `node` the biggest, which keep `kept` bytes, and `native` bytes of native
    blocks, which are a part of `kept` where these are asked for. `below` finds what they immediately keep, and how many objects
    and bytes more there are."""

    name: str
    type: str
    kept: int
    native: int
    count: int
    node: int
    below: Callable[[], tuple[list[Branch], int, int]] = field(repr=False)
    depth: int = 0
    shown: list[Branch] = field(default_factory=list, repr=False)

    def rows(self) -> Iterator[Branch]:
        """It and what is shown of what is below it, in the order of a tree."""
        waiting = [self]
        while waiting:
            row = waiting.pop()
            yield row
            waiting.extend(reversed(row.shown))


def grow(top: Branch, depth: int, limit: int | None, min_bytes: int = 0) -> tuple[int, int]:
    """Fill the tree below `top` with the biggest rows over `depth` levels, `limit` in all, itself among them. Returns how many
    objects are left out, of those that a row immediately keeps, and the bytes that these keep."""
    waiting: list[tuple[int, int, Branch, Branch]] = []
    taken, order, objects, total = 1, 0, 0, 0
    parent: Branch | None = top
    while parent is not None:
        children, more_objects, more_bytes = parent.below() if parent.depth < depth else ([], 0, 0)
        objects, total = objects + more_objects, total + more_bytes
        for child in children:
            child.depth, order = parent.depth + 1, order + 1
            heappush(waiting, (-child.kept, order, child, parent))
        parent = None
        if waiting and (limit is None or taken < limit) and -waiting[0][0] >= min_bytes:
            _, _, parent, above = heappop(waiting)
            above.shown.append(parent)
            taken += 1
    return objects + sum(row.count for _, _, row, _ in waiting), total + sum(row.kept for _, _, row, _ in waiting)


def branch(heap: Heap, id: int, limit: int | None, native: bool = False) -> Branch:
    """The whole heap's tree, from a node on: of its objects, with `native` of its native blocks, too."""
    name = _names.names(heap, (id,))[0]
    named = NAMED if limit is not None else -1
    blocks = heap._graph.kept(id, native=True)
    kept = heap._graph.kept(id) + (blocks if native else 0)
    return Branch(name, heap.node(id).type, kept, blocks, 1, id, lambda: _below(heap, (id,), named, native))


def _below(heap: Heap, ids: Sequence[int], named: int, native: bool) -> tuple[list[Branch], int, int]:
    """What nodes immediately keep, those with the same name and type as one."""
    rows = [row for id in ids for row in heap._graph.dominated(id, named, native)]
    every = [row for id in ids for row in heap._graph.children(id, native)]
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for (id, kept), name in zip(rows, _names.names(heap, [id for id, _ in rows]), strict=True):
        found.setdefault((name, heap.node(id).type), []).append((id, kept))
    out = [_merged(heap, name, type, members, named, native) for (name, type), members in found.items()]
    objects, total = sum(row[1] for row in every), sum(row[2] for row in every)
    return out, objects - len(rows), total - sum(kept for _, kept in rows)


def _merged(heap: Heap, name: str, type: str, members: Sequence[tuple[int, int]], named: int, native: bool) -> Branch:
    ids = tuple(id for id, _ in members)
    total, blocks = sum(kept for _, kept in members), sum(heap._graph.kept(id, native=True) for id in ids)
    return Branch(name, type, total, blocks, len(ids), ids[0], lambda: _below(heap, ids[:NAMED], named, native))


def from_tree(tree: Dominated) -> Branch:
    """The rows of a tree that is there already: a grouped one, or a part."""

    def below() -> tuple[list[Branch], int, int]:
        return [from_tree(child) for child in tree.children], 0, 0

    return Branch(tree.name, tree.node.type, tree.retained, tree.native or 0, tree.count, tree.node.id, below)


# ---- what a selection takes -------------------------------------------------------------------------------------------


def selected(heap: Heap, top: int, depth: int, limit: int, selection: Selection) -> Dominated:
    """The dominator tree below a node with what is selected alone, of the CANDIDATES biggest: below an object stands what it keeps,
    immediately or by others that were not selected. `limit` children at each of `depth` levels, which alone are named."""
    columns = heap._graph.columns()
    kept, parents = columns["retained"], columns["dominator"]
    taken = _candidates(heap, kept, selection)
    below: dict[int, list[int]] = {}
    nearest = {id: id for id in (*taken, top)}
    for id in taken:
        above = _above(parents, id, nearest)
        if id != top and above is not None:
            below.setdefault(above, []).append(id)

    def made(id: int, depth: int) -> Dominated:
        children = below.get(id, []) if depth > 0 else []
        if selection.sort == "name":
            named = dict(zip(children, _names.names(heap, children), strict=True))
            children = sorted(children, key=named.__getitem__)
        shown = tuple(made(child, depth - 1) for child in children[:limit])
        return Dominated(heap.node(id), _names.names(heap, (id,))[0], kept[id], shown, native=native_kept(heap, id))

    return made(top, depth)


def _above(parents: memoryview, id: int, nearest: dict[int, int]) -> int | None:
    """The nearest selected node that dominates another; None when there is none. `nearest` remembers it for all on the path."""
    path: list[int] = []
    at = parents[id]
    while at != NONE and at not in nearest:
        path.append(at)
        at = parents[at]
    found = nearest[at] if at != NONE else -1
    nearest.update(dict.fromkeys(path, found))
    return None if found < 0 else found


def _candidates(heap: Heap, kept: memoryview, selection: Selection) -> list[int]:
    """The selected objects, those first that keep most. Where the type does not say that one is wanted its name may, of the
    NAMED_AT_ALL biggest."""
    if selection.types == frozenset():
        return []
    graph = heap._graph
    found = [id for name in selection.types or (None,) for id in graph.find(name)]
    found = sorted((id for id in found if kept[id] >= selection.min_bytes), key=lambda id: (-kept[id], id))
    if selection.module is None and selection.stdlib:
        return found[:CANDIDATES]
    wanted = {row[1]: selection.matches(row[1]) for row in graph.types()}
    by_type = {id: wanted.get(graph.node(id)[1], False) for id in found[: CANDIDATES + NAMED_AT_ALL]}
    unsure = [id for id, is_wanted in by_type.items() if not is_wanted][:NAMED_AT_ALL]
    by_name = dict(zip(unsure, _names.names(heap, unsure), strict=True))
    out = [id for id in by_type if by_type[id] or (id in by_name and selection.matches(graph.node(id)[1], by_name[id]))]
    return out[:CANDIDATES]
