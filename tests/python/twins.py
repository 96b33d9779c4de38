"""objgraph and memprobe.objgraph asked the same about random object graphs: prints how many answers were equal, or the first one
that was not. A program of its own, because both walk the whole heap, and a test runner's is large:

    python twins.py SEEDS [--large]        # --large: memprobe does as in a large heap
"""

from __future__ import annotations

import difflib
import gc
import io
import random
import sys
import types
from collections.abc import Callable
from typing import Any

import objgraph as theirs

from memprobe import objgraph as ours


class Plain:
    pass


class Slots:
    __slots__ = ("left", "right")


class Final:
    def __del__(self) -> None:
        pass


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


KINDS: list[Callable[[], Any]] = [
    *(list, dict, set, Plain, Slots, Final, Odd, bytearray),
    *(lambda: ([],), lambda: lambda: None, lambda: io.StringIO, lambda: [].append, lambda: Plain().__init__, lambda: 1 << 80),
]
KEYS = ("name", "not a name", 'quoted "\n\0\\', 7, (1, "x"), None)

answers = 0


def graph(choose: random.Random) -> list[Any]:
    """Objects with random references between them. What drawing them would make (__dict__, __annotations__) is made."""
    nodes = [choose.choice(KINDS)() for _ in range(50)]
    for _ in range(150):
        holder, target = choose.choice(nodes), choose.choice(nodes)
        if type(holder) is list:
            holder.append(target)
        elif type(holder) is dict:
            holder[choose.choice(KEYS)] = target
        elif type(holder) is Slots:
            setattr(holder, choose.choice(("left", "right")), target)
        elif type(holder) in (Plain, Final, types.FunctionType):
            setattr(holder, f"a{choose.randrange(4)}", target)
        elif type(holder) is set and type(target) in (Plain, Slots, Final, Odd):
            holder.add(target)
    for node in nodes:
        if isinstance(node, types.FunctionType):
            [getattr(node, name) for name in dir(node)]
        getattr(node, "__dict__", None)
    return nodes


def same(what: str, ask: Callable[[Any], Any], shown: Callable[[Any], str] = repr) -> None:
    """Both modules give the same, as text: a list or dict would be one more object for the second."""
    global answers
    first, second = shown(ask(theirs)), shown(ask(ours))
    if first != second:
        lines = difflib.unified_diff(first.splitlines(), second.splitlines(), "objgraph", "memprobe", lineterm="", n=0)
        print(f"{what}:", *(line[:2000] for line in lines), sep="\n")
        raise SystemExit(1)
    answers += 1


def ids(objects: list[Any]) -> str:
    return " ".join(map(hex, map(id, objects)))


def printed(function: str, *args: Any, **options: Any) -> Callable[[Any], str]:
    def ask(module: Any) -> str:
        text = io.StringIO()
        getattr(module, function)(*args, file=text, **options)
        return text.getvalue()

    return ask


def drawn(function: str, *args: Any, **options: Any) -> Callable[[Any], str]:
    def ask(module: Any) -> str:
        text = io.StringIO()
        getattr(module, function)(*args, output=text, **options)
        return text.getvalue()

    return ask


def check_counts(nodes: list[Any]) -> None:
    stats = lambda value: repr(sorted(value.items()))  # noqa: E731
    for short in (True, False):
        same("typestats", lambda m: m.typestats(shortnames=short), stats)
        same("typestats of", lambda m: m.typestats(nodes, shortnames=short), stats)
        same("typestats if", lambda m: m.typestats(shortnames=short, filter=gc.is_tracked), stats)
        same("most_common_types", lambda m: m.most_common_types(limit=9, shortnames=short))
        same("most_common_types of", lambda m: m.most_common_types(None, nodes, short, filter=lambda o: type(o) is not set))
        same("show_most_common_types", printed("show_most_common_types", 12, shortnames=short))
    for name in ("dict", "list", "tuple", "builtins.dict", "Plain", "__main__.Plain", "nothing", "a.b"):
        same("count", lambda m: m.count(name))
        same("count of", lambda m: m.count(name, nodes))
        same("by_type", lambda m: m.by_type(name), ids)
        same("by_type of", lambda m: m.by_type(name, nodes), ids)


def check_finding(nodes: list[Any], choose: random.Random) -> None:
    for node in choose.sample(nodes, 5):
        same("at", lambda m: id(m.at(id(node))))
        same("is_proper_module", lambda m: [m.is_proper_module(thing) for thing in (node, sys, types.ModuleType("sys"))])
    same("at_addrs", lambda m: m.at_addrs(set(map(id, nodes))), ids)
    same("at_addrs", lambda m: m.at_addrs([1, -5, 1 << 70, id(nodes)]), ids)
    there = set(map(id, gc.get_objects()))  # objgraph's own, made meanwhile, may be in its answer
    same("get_leaking_objects", lambda m: m.get_leaking_objects(), lambda found: ids([o for o in found if id(o) in there]))
    same("get_leaking_objects of", lambda m: m.get_leaking_objects(nodes), ids)
    same("get_leaking_objects of a tuple", lambda m: m.get_leaking_objects(tuple(nodes[:9])), ids)


def check_chains(nodes: list[Any], choose: random.Random) -> None:
    for node in choose.sample(nodes, 4):
        for wanted in (theirs.is_proper_module, lambda o: type(o) is Plain):
            same("find_backref_chain", lambda m: m.find_backref_chain(node, wanted, extra_ignore=(id(nodes),)), ids)
            same("find_ref_chain", lambda m: m.find_ref_chain(node, wanted), ids)
        same("find_backref_chain", lambda m: m.find_backref_chain(node, lambda o: False, max_depth=2), ids)
        same("find_ref_chain", lambda m: m.find_ref_chain(node, lambda o: False, max_depth=2), ids)
    chain = theirs.find_backref_chain(nodes[0], theirs.is_proper_module, extra_ignore=(id(nodes),))
    same("show_chain", drawn("show_chain", chain, []))
    same("show_chain", drawn("show_chain", chain, backrefs=False, shortnames=False))


def check_pictures(nodes: list[Any], choose: random.Random) -> None:
    options: dict[str, Any] = {"max_depth": choose.randrange(6), "too_many": choose.choice((1, 3, 10)), "extra_ignore": [id(nodes)]}
    optional: dict[str, Any] = {
        "filter": lambda o: not isinstance(o, dict),
        "highlight": lambda o: isinstance(o, list),
        "extra_info": lambda o: id(o) % 97,
        "shortnames": False,
        "extra_node_attrs": lambda o: {"URL": f'"{id(o)}"', "tooltip": None},
    }
    options.update((name, value) for name, value in optional.items() if choose.random() < 0.3)
    one, other = choose.choice(nodes), choose.choice(nodes)
    for objs in (one, [one, other], (one, other, one)):
        same("show_refs", drawn("show_refs", objs, **options))
        same("show_backrefs", drawn("show_backrefs", objs, **options))
    # None, True and small numbers have a count that every line of code changes.
    counted = lambda o: type(o) in (list, dict, Plain, Slots, Final)  # noqa: E731
    same("refcounts", drawn("show_refs", [one], refcounts=True, filter=counted))
    same("refcounts", drawn("show_backrefs", [other, one], refcounts=True, filter=counted, extra_ignore=[id(nodes)]))


def check_growth(choose: random.Random) -> None:
    """Each has its memory of what was; both are asked before and after."""
    peaks: dict[Any, dict[str, int]] = {theirs: {}, ours: {}}
    for module, peak in peaks.items():
        for _ in range(3):
            module.growth(peak_stats=peak), module.show_growth(file=io.StringIO()), module.get_new_ids(limit=0)
    some = [[kind() for _ in range(number)] for kind, number in ((Plain, 2000), (Slots, 1500 + choose.randrange(9)), (Final, 1000))]
    same("growth", lambda m: m.growth(3, peaks[m]))
    same("show_growth", printed("show_growth", limit=3))
    same("get_new_ids", printed("get_new_ids", limit=3, sortby="new"))
    same("get_new_ids", lambda m: sorted(m.get_new_ids(skip_update=True)["Plain"]))
    del some[0][1000:]
    same("growth", lambda m: [row for row in m.growth(None, peaks[m]) if row[0] == "Plain"])
    for column in ("old", "current"):
        same("get_new_ids", lambda m: column if m.get_new_ids(limit=0, sortby=column)["Plain"] else "none")


def main(seeds: int) -> None:
    repr([[]])  # the first one of a list leaves a list and a dict behind
    theirs.typestats(), ours.typestats()  # as may the first call
    for seed in range(seeds):
        choose = random.Random(seed)
        nodes = graph(choose)
        gc.collect()
        gc.collect()
        check_counts(nodes)
        check_finding(nodes, choose)
        check_chains(nodes, choose)
        check_pictures(nodes, choose)
        if seed % 10 == 0:
            check_growth(choose)
    print(f"{answers} answers are equal")


if __name__ == "__main__":
    if "--large" in sys.argv:
        ours._Referrers.LARGE = 0
    main(int(sys.argv[1]))
