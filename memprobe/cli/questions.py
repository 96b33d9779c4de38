"""The verbs that ask a snapshot who keeps what alive."""

from __future__ import annotations

import argparse
import re
import shlex
from itertools import islice

from memprobe import _text, _tree
from memprobe._select import Selection, no_such_type
from memprobe.analysis import Cycle, Dominated, Path
from memprobe.cli import show
from memprobe.cli.files import chosen, opened, require_native
from memprobe.cli.options import SCREEN
from memprobe.errors import Error
from memprobe.heap import Heap
from memprobe.picture import show_backrefs, show_refs
from memprobe.results import Node

DEPTH, DEPTH_OF_JSON, LIMIT_OF_JSON = 8, 3, 20  # levels, and children of a node, unless they are asked for
EVERYTHING = 1_000_000
MATTERS = 0.05  # of what objects take: native blocks of as much have a column
MOST_NODES = 60  # of a picture, unless all is asked for
LONGEST = 10_000  # holders that are followed to find a cycle


def dominators(options: argparse.Namespace) -> int:
    """memprobe dominators FILE"""
    if options.grouped and options.node is not None:
        options.misuse("--grouped and --node cannot be combined")
    heap = opened(options.file)
    wanted = chosen(heap, options)
    if options.grouped and not wanted.takes_all:
        options.misuse("--grouped cannot be combined with --type, --module, --no-stdlib, --sort and --min")
    if options.native and (options.grouped or not wanted.takes_all):
        options.misuse("--native cannot be combined with --grouped, --type, --module, --no-stdlib, --sort and --min")
    if options.native:
        require_native(options.file, heap)
    if options.json:
        limit = LIMIT_OF_JSON if options.limit == SCREEN and not options.all else None if options.all else options.limit
        tree = _dominated(heap, options, wanted, options.depth or DEPTH_OF_JSON, limit or EVERYTHING)
        show.as_json("memprobe.dominators/1", {"tree": tree.to_dict()})
        return 0
    limit = None if options.all else show.height() if options.limit == SCREEN else options.limit
    with show.waiting("finding dominators"):
        top, left, kept = _screenful(heap, options, wanted, options.depth or DEPTH, limit)
    blocks = options.native or (not options.grouped and top.native >= MATTERS * top.kept)
    rows = [_cells(row, top.kept or 1, options, blocks) for row in top.rows()]
    if left:
        share = f"{100 * kept / (top.kept or 1):.1f} %"
        rows.append((f"… {_text.number(left)} more objects", "", _text.size(kept), *("",) * blocks, share, ""))
    last = "objects" if options.grouped else "node"
    headers = ("kept by", "type", "retained", *("native",) * blocks, "of all", last)
    show.table(f"{options.file}: what each keeps alive", headers, rows, texts=(0, 1))
    biggest = max(top.shown, key=lambda row: row.kept, default=top).node
    show.next_step(f"memprobe dominators --node {biggest} {shlex.quote(options.file)}", "looks further down, from the biggest")
    return 0


def _dominated(heap: Heap, options: argparse.Namespace, wanted: Selection, depth: int, limit: int) -> Dominated:
    top = None if options.node is None else numbered(heap, options.node)
    with show.waiting("finding dominators"):
        return heap.dominators(
            top,
            depth=depth,
            limit=limit,
            grouped=options.grouped,
            type=wanted.type,
            module=wanted.module,
            stdlib=wanted.stdlib,
            sort=wanted.sort,
            min_bytes=wanted.min_bytes,
            native=options.native,
        )


def _screenful(
    heap: Heap, options: argparse.Namespace, wanted: Selection, depth: int, limit: int | None
) -> tuple[_tree.Branch, int, int]:
    """The rows of a tree, and how many objects and bytes are left out."""
    selects = wanted.type is not None or wanted.module is not None or not wanted.stdlib
    if selects or options.grouped:
        top = _tree.from_tree(_dominated(heap, options, wanted, depth, EVERYTHING))
    else:
        id = heap.roots()["roots"].id if options.node is None else numbered(heap, options.node).id
        top = _tree.branch(heap, id, limit, options.native)
    left = _tree.grow(top, depth, limit, wanted.min_bytes)
    if wanted.sort != "bytes":
        for row in list(top.rows()):
            row.shown.sort(key=lambda child: (-child.count, -child.kept) if wanted.sort == "count" else child.name)
    return top, *left


def _cells(row: _tree.Branch, whole: int, options: argparse.Namespace, blocks: bool) -> tuple[str, ...]:
    times = f"  \u00d7{_text.number(row.count)}" if row.count > 1 and not options.grouped else ""
    last = _text.number(row.count) if options.grouped else str(row.node)
    name, objects = f"{'  ' * row.depth}{row.name}{times}", row.kept - (row.native if options.native else 0)
    native = (_text.size(row.native),) * blocks
    return (name, row.type, _text.size(objects), *native, f"{100 * row.kept / whole:.1f} %", last)


# ---- paths ------------------------------------------------------------------------------------------------------------


def paths(options: argparse.Namespace) -> int:
    """memprobe paths FILE OBJECT"""
    heap = opened(options.file)
    node = named(heap, options.object)
    limit = min(options.limit or 255, 255)
    wanted = Selection(module=options.module, stdlib=not options.no_stdlib)
    most = limit if wanted.takes_all else 255
    searched = heap.paths(node, most)
    found = [path for path in searched if _begins(path, wanted)][:limit]
    pathless = "unreachable" in node.flags or node == heap.roots()["roots"]  # what heap.paths() has for it begins at itself
    if pathless:
        found = []
    complete = wanted.takes_all and searched.complete
    why = why_no_path(heap, node) if not found and (wanted.takes_all or pathless) else None
    possible = heap.possible_holders(node) if node.residual > 0 else ()
    if options.json:
        facts = {"node": node.to_dict(), "paths": [path.to_dict() for path in found], "complete": complete, "why": why}
        facts["possible_holders"] = [holder.to_dict() for holder in possible[:limit]]
        show.as_json("memprobe.paths/2", facts)
        return 0
    words = _how_many(len(found), complete, not wanted.takes_all)
    if not found and searched and not pathless:
        words = (
            "no path to it begins there" if searched.complete else f"none of the {len(searched)} shortest paths to it begins there"
        )
    show.heading(f"{node} ({_text.size(heap.retained(node))} retained): {words}")
    for path in found:
        show.text(f"  {path.expression}")
    if why is not None:
        show.text(f"  {why}")
    if possible:
        times = "a reference" if node.residual == 1 else f"{_text.number(node.residual)} references"
        show.text(f"C code holds {times} to it. What may have one, by an address that was found (conservative):")
        for holder in possible[:limit]:
            show.text(f"  {holder}")
    show.next_step(f"memprobe dominators --node {node.id} {shlex.quote(options.file)}", "shows what it keeps alive")
    return 0


def _begins(path: Path, wanted: Selection) -> bool:
    """Whether a path begins where it is to."""
    return wanted.matches("builtins.path", path.expression)


def _how_many(count: int, complete: bool, chosen: bool) -> str:
    if count == 0:
        return "no path"
    words = "path" if count == 1 else f"{count} paths"
    if chosen:
        return f"{words} that {'begins' if count == 1 else 'begin'} there"
    if complete:
        return "the only path to it" if count == 1 else f"every path to it, {count}"
    return "the shortest path to it" if count == 1 else f"the {count} shortest paths to it"


def why_no_path(heap: Heap, node: Node) -> str:
    """Why an object that nothing reaches is there."""
    if "synthetic" in node.flags:
        return "it is a root: the paths begin here"
    if "own" in node.flags:
        return "it is one of memprobe's own objects, which are excluded from all totals"
    if "unreachable" not in node.flags:
        return "no reference to it was found: C code alone holds it"
    holders, cycle = _held_by_garbage(heap, node)
    if not cycle:
        return "nothing reaches it: it is garbage that was not freed yet"
    words = f"the cycle {' → '.join([*cycle, cycle[0]])}, which the collector has not freed yet"
    return f"nothing reaches it: it is garbage, {'kept by' if holders else 'part of'} {words}"


def _held_by_garbage(heap: Heap, node: Node) -> tuple[int, list[str]]:
    """The cycle that keeps an unreachable object: how many steps away it is, and the types on it, from its first on."""
    path, places = [node], {node.id: 0}
    while len(path) < LONGEST:
        referrers = (edge.holder for edge in path[-1].referrers(limit=20) if not edge.weak)
        holder = next((found for found in referrers if "unreachable" in found.flags and "synthetic" not in found.flags), None)
        if holder is None:
            return 0, []
        if holder.id in places:
            first = places[holder.id]
            return first, [step.type.rpartition(".")[2] for step in reversed(path[first:])]
        places[holder.id] = len(path)
        path.append(holder)
    return 0, []


def named(heap: Heap, text: str) -> Node:
    """The object that a user names: by address, by id, or the biggest of a type."""
    if re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", text):
        node = heap.at(int(text, 16))
    elif re.fullmatch(r"-?[0-9]{1,20}", text):
        node = numbered(heap, int(text))
    else:
        node = next(iter(heap.find(text, limit=1)), None)
        if node is None:
            raise Error(no_such_type(text, [row.type for row in heap.types(None).every]))
    if node is None:
        raise Error(f"there is no object at {text} in this snapshot: `memprobe summary` lists its types.")
    return node


# ---- pictures, cycles ---------------------------------------------------------------------------------------------------


def graph(options: argparse.Namespace) -> int:
    """memprobe graph FILE OBJECT"""
    node = named(opened(options.file), options.object)
    drawn = (show_refs if options.refs else show_backrefs)(
        node,
        depth=options.depth,
        too_many=options.limit or 1_000_000,
        max_nodes=MOST_NODES if options.limit else None,
        retained=options.retained,
        refcounts=options.refcounts,
        weak=not options.no_weak,
        housekeeping=options.housekeeping,
        filename=options.output,
    )
    if options.json:
        show.as_json("memprobe.graph/1", drawn.to_dict())
    elif options.output is None:
        print(drawn.dot, end="")
    else:
        counts = f"{drawn.nodes:,} nodes, {drawn.edges:,} references, {drawn.hidden:,} more left out"
        show.heading(f"{options.output}: {node}, {counts}")
    return 0


def numbered(heap: Heap, id: int) -> Node:
    """The node with this id."""
    if not 0 <= id < heap.nodes:
        raise Error(
            f"there is no node {id} in this snapshot, its nodes are 0 to {heap.nodes - 1}: `memprobe dominators` shows some."
        )
    return heap.node(id)


def cycles(options: argparse.Namespace) -> int:
    """memprobe cycles FILE"""
    heap = opened(options.file, "--fail-on-cycles" if options.fail_on_cycles else None)
    if options.native:
        require_native(options.file, heap)
    wanted = chosen(heap, options)
    limit = options.limit if wanted.takes_all else None
    with show.waiting("finding cycles"):
        found = list(heap.cycles(garbage=options.garbage, housekeeping=options.housekeeping, native=options.native, limit=limit))
    if not wanted.takes_all:
        found = wanted.chosen(
            found,
            types=_types,
            name=lambda cycle: cycle.text,
            count=lambda cycle: len(cycle.objects),
            bytes=lambda cycle: cycle.size,
        )[: options.limit]
    code = 1 if found and options.fail_on_cycles else 0
    if options.json:
        show.as_json("memprobe.cycles/2", {"cycles": [cycle.to_dict() for cycle in found]})
        return code
    what = "garbage" if options.garbage else "cycles"
    unseen = " that the collector cannot see" if options.native else ""
    show.heading(f"{options.file}: {what}{unseen}, the biggest first")
    for cycle in found:
        show.text(str(cycle))
    if not found:
        print("none")
        show.next_step(f"memprobe suspects {shlex.quote(options.file)}", "shows what keeps most alive")
        return code
    show.next_step(
        f"memprobe paths {shlex.quote(options.file)} {found[0].objects[0].id}",
        "shows what holds the first of them; or cut where each line says",
    )
    return code


def _types(cycle: Cycle) -> list[str]:
    """The types on a cycle."""
    return [edge[0].type for edge in islice(cycle.edges, LONGEST)]
