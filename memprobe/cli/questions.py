"""The verbs that ask a snapshot who keeps what alive."""

from __future__ import annotations

import argparse
import re
import shlex

from memprobe import _text
from memprobe.analysis import Dominated
from memprobe.cli import show
from memprobe.cli.files import opened
from memprobe.errors import Error
from memprobe.heap import Heap
from memprobe.picture import show_backrefs, show_refs
from memprobe.results import Node


def dominators(options: argparse.Namespace) -> int:
    """memprobe dominators FILE"""
    heap = opened(options.file)
    if options.grouped and options.node is not None:
        raise Error("--grouped is of the whole heap: leave --node out, or it.")
    top = None if options.node is None else numbered(heap, options.node)
    with show.waiting("finding dominators"):
        tree = heap.dominators(top, depth=options.depth, limit=options.limit or 1_000_000, grouped=options.grouped)
    if options.json:
        show.as_json("memprobe.dominators/1", {"tree": tree.to_dict()})
        return 0
    whole = tree.retained or 1
    rows: list[tuple[str, ...]] = []
    _rows(tree, 0, whole, options.grouped, rows)
    last = "objects" if options.grouped else "node"
    show.table(f"{options.file}: what each keeps alive", ("kept by", "type", "retained", "of all", last), rows)
    biggest = tree.children[0].node.id if tree.children else tree.node.id
    show.next_step(f"memprobe dominators --node {biggest} {shlex.quote(options.file)}", "looks further down, from the biggest")
    return 0


def _rows(tree: Dominated, depth: int, whole: int, grouped: bool, rows: list[tuple[str, ...]]) -> None:
    name = "  " * depth + _cut(tree.name, 48 - 2 * depth)
    share = f"{100 * tree.retained / whole:.1f} %"
    last = _text.number(tree.count) if grouped else str(tree.node.id)
    rows.append((name, _cut(tree.node.type, 20), _text.size(tree.retained), share, last))
    for child in tree.children:
        _rows(child, depth + 1, whole, grouped, rows)


def _cut(text: str, width: int) -> str:
    """The end of a name says more than its beginning."""
    return text if len(text) <= width else "…" + text[-(width - 1) :]


def paths(options: argparse.Namespace) -> int:
    """memprobe paths FILE OBJECT"""
    heap = opened(options.file)
    node = named(heap, options.object)
    found = heap.paths(node, min(options.limit or 255, 255))
    if options.json:
        show.as_json("memprobe.paths/1", {"node": node.to_dict(), "paths": [path.to_dict() for path in found]})
        return 0
    show.heading(f"{node}  ({_text.size(heap.retained(node))} retained)")
    for path in found:
        show.console().print(f"  {path.expression}", overflow="fold")
    if not found:
        print("  nothing holds it: it is garbage that was not collected yet")
    show.next_step(f"memprobe dominators --node {node.id} {shlex.quote(options.file)}", "shows what it keeps alive")
    return 0


def named(heap: Heap, text: str) -> Node:
    """The object that a user names: by address, by id, or the biggest of a type."""
    if re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", text):
        node = heap.at(int(text, 16))
    elif re.fullmatch(r"-?[0-9]{1,20}", text):
        node = numbered(heap, int(text))
    else:
        node = next(iter(heap.find(text, limit=1)), None)
    if node is None:
        raise Error(f"there is no {text or 'type without a name'} in this snapshot: `memprobe summary` lists its types.")
    return node


def graph(options: argparse.Namespace) -> int:
    """memprobe graph FILE OBJECT"""
    node = named(opened(options.file), options.object)
    drawn = (show_refs if options.refs else show_backrefs)(
        node,
        depth=options.depth,
        too_many=options.limit or 1_000_000,
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
        show.heading(f"{options.output}: {node}, {drawn.nodes:,} nodes, {drawn.edges:,} edges, {drawn.hidden:,} more left out")
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
    heap = opened(options.file)
    with show.waiting("finding cycles"):
        found = heap.cycles(garbage=options.garbage, housekeeping=options.housekeeping, limit=options.limit)
    code = 1 if found and options.fail_on_cycles else 0
    if options.json:
        show.as_json("memprobe.cycles/1", {"cycles": [cycle.to_dict() for cycle in found]})
        return code
    show.heading(f"{options.file}: {'garbage' if options.garbage else 'cycles'}, the biggest first")
    for cycle in found:
        show.console().print(str(cycle), overflow="fold")
    if not found:
        print("none")
        show.next_step(f"memprobe suspects {shlex.quote(options.file)}", "shows who keeps most alive")
        return code
    show.next_step(
        f"memprobe paths {shlex.quote(options.file)} {found[0].objects[0].id}",
        "says who holds the first of them; or cut where each line says",
    )
    return code
