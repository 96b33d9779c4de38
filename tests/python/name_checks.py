# SPDX-License-Identifier: MIT
"""One object has one name: what every question of a heap calls a node, and whether a name that can be typed is of the object.

python name_checks.py PROGRAM NODES LIVE SEED builds a heap of its own, captures it, and prints what check() found as JSON."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable
from typing import Any

import memprobe

Found = dict[str, Any]


def evaluate(expression: str) -> object:
    """What Python gives for an expression that begins at a module, once the module and what it is in are imported."""
    name = expression.partition(".")[0]
    return eval(expression, {name: sys.modules[name]})


def sample(heap: memprobe.Heap, dice: random.Random, count: int) -> list[memprobe.Node]:
    """Objects of the program, each once: a third of them of types that programs make."""
    ids = list(range(heap.nodes))
    dice.shuffle(ids)
    plain: list[memprobe.Node] = []
    own_types: list[memprobe.Node] = []
    for id in ids:
        node = heap.node(id)
        if node.flags & {"synthetic", "own", "unreachable"}:
            continue
        kept = own_types if "." in node.type and len(own_types) < count // 3 else plain
        if len(kept) < count:
            kept.append(node)
        if len(plain) + len(own_types) >= count:
            break
    return [*own_types, *plain][:count]


def short(text: str) -> str:
    return text if len(text) < 160 else f"{text[:80]} ... {text[-60:]}"


def names_of(heap: memprobe.Heap, node: memprobe.Node) -> dict[str, str]:
    """What each question calls it."""
    paths = heap.paths(node)
    return {
        "name": heap.name(node),
        "paths": paths[0].expression if paths else "",
        "dominators": heap.dominators(node, depth=0).name,
    }


def check_names(heap: memprobe.Heap, nodes: list[memprobe.Node], found: Found) -> None:
    for node in nodes:
        said = names_of(heap, node)
        if len(set(said.values())) == 1 and said["name"].strip():
            found["same"] += 1
        else:
            found["different"].append(f"{node}: { ({key: short(name) for key, name in said.items()}) }")


def check_typed(heap: memprobe.Heap, nodes: list[memprobe.Node], found: Found) -> None:
    """Every path that says that it can be evaluated does, to the object."""
    for node in nodes:
        for path in heap.paths(node):
            if not path.evaluable:
                continue
            try:
                thing = evaluate(path.expression)
            except Exception as problem:
                found["wrong"].append(f"{short(path.expression)}: {type(problem).__name__}: {problem}")
                continue
            if id(thing) == node.address:
                found["evaluated"] += 1
            else:
                found["wrong"].append(f"{short(path.expression)} is another object, {type(thing).__name__}, not {node.type}")
            del thing


def check_live(heap: memprobe.Heap, nodes: list[memprobe.Node], count: int, found: Found) -> None:
    """why_alive() of an object says the name that the heap has."""
    for node in nodes:
        if found["live"] + len(found["live_different"]) >= count:
            break
        first = heap.paths(node)[0]
        if not first.evaluable:
            continue
        try:
            thing = evaluate(first.expression)
        except Exception:
            continue  # check_typed() says so
        if id(thing) != node.address:
            continue
        said = memprobe.why_alive(thing)[0].expression
        if said == first.expression:
            found["live"] += 1
        else:
            found["live_different"].append(f"{short(first.expression)}: why_alive says {short(said)}")


def check_answers(heap: memprobe.Heap, older: memprobe.Heap, found: Found) -> None:
    """Rows of suspects, of the tree, of what grew and of cycles call their node what heap.name() calls it."""
    rows = [(row.name, row.point or row.node, "suspects") for row in heap.suspects(1).rows if row.kind == "single"]
    rows += [(row.name, heap.node(row.node), "diff") for row in heap.diff(older, limit=None).rows if not row.owners]
    rows += [(child.name, child.node, "dominators") for child in heap.dominators(depth=1, limit=20).children]
    for cycle in filter(lambda cycle: not cycle.is_garbage, heap.cycles(limit=20)):
        rows.append((cycle.name, next(node for node in cycle.objects if heap.name(node) == cycle.name), "cycles"))
    for name, node, question in rows:
        if "synthetic" in node.flags:
            continue
        if name == heap.name(node):
            found["answers"] += 1
        else:
            found["answers_different"].append(f"{question}: {short(name)}; heap.name: {short(heap.name(node))}")


def beginning(expression: str) -> list[str]:
    """The words that stand for where a name begins: of sys.modules['a.b'].c it is the module a.b; of a builtin type the type alone
    may be in a picture."""
    module = re.match(r"sys\.modules\['([^']*)'\]", expression)
    return [module[1]] if module else expression.partition("[")[0].split(".")[:2]


def check_pictures(heap: memprobe.Heap, nodes: list[memprobe.Node], count: int, found: Found) -> None:
    """The module or class where a name begins is in the picture of what refers to the object, of so many that have one."""
    for node in nodes:
        if found["pictures"] + len(found["pictures_different"]) == count:
            return
        name = heap.paths(node)[0]
        if not name.evaluable or heap.node(node.id).flags & {"module", "type"}:
            continue
        start = beginning(name.expression)
        dot = memprobe.show_backrefs(node).dot
        if any(word in dot for word in start):
            found["pictures"] += 1
        else:
            found["pictures_different"].append(f"{short(name.expression)} is not in the picture of {node}")


def check(heap: memprobe.Heap, older: memprobe.Heap, nodes: int, live: int, seed: int) -> Found:
    """Of so many nodes of a heap of this very process, and so many of them live."""
    dice = random.Random(seed)
    lists = ("different", "wrong", "live_different", "answers_different", "pictures_different")
    found: Found = {"same": 0, "evaluated": 0, "live": 0, "answers": 0, "pictures": 0, **{name: [] for name in lists}}
    chosen = sample(heap, dice, nodes)
    parts: tuple[Callable[[], None], ...] = (
        lambda: check_typed(heap, chosen, found),
        lambda: check_pictures(heap, chosen, max(10, live // 4), found),
        lambda: check_live(heap, chosen, live, found),
        lambda: check_names(heap, chosen, found),
        lambda: check_answers(heap, older, found),
    )
    found["errors"] = []
    for part in parts:
        try:
            part()
        except Exception as problem:  # the other parts have their say
            found["errors"].append(f"{type(problem).__name__}: {problem}")
    return found


# ---- heaps -----------------------------------------------------------------------------------------------------------------------

SERVICE = """
import argparse, asyncio, contextvars, dataclasses, functools, logging, logging.handlers, threading, collections, weakref
@dataclasses.dataclass(eq=False)
class Order:
    number: int
    lines: list = dataclasses.field(default_factory=list)
    parent: object = None
class Shop:
    instances = []
    __slots__ = ("orders", "latest", "index", "__weakref__")
    def __init__(self):
        self.orders, self.latest, self.index = {}, collections.deque(maxlen=50), collections.OrderedDict()
        Shop.instances.append(self)
    @functools.lru_cache(maxsize=100)
    def total(self, number): return (number, [str(number)])
    def on_event(self, name): pass
shop = Shop()
for n in range(400):
    shop.orders[f"order {n}"] = order = Order(n, [f"line {n}", [n * 1000]], shop)
    shop.latest.append(order); shop.index[n] = order; shop.total(n)
listeners = [shop.on_event, functools.partial(shop.on_event, "x")]
def make(memo):
    def lookup(key): return memo.get(key)
    return lookup
lookup = make({n: [n] for n in range(100)})
trail = contextvars.ContextVar("trail"); trail.set([{"step": n} for n in range(50)])
local = threading.local(); local.journal = [{"job": n} for n in range(50)]
parser = argparse.ArgumentParser()
for n in range(20): parser.add_argument(f"--option-{n}", default=[n])
log = logging.getLogger("shop.orders"); log.propagate = False; log.setLevel(10)
log.addHandler(logging.handlers.MemoryHandler(1000))
for n in range(50): log.info("order %d", n)
metadata = weakref.WeakKeyDictionary((order, [str(order.number)]) for order in shop.latest)
nested = {("a", 1): {frozenset([1]): {"x": [({"deep": [object()]},)]}}}
def read(n):
    rows = [str(n), [n]]
    yield from rows
streams = [read(n) for n in range(10)]
for stream in streams: next(stream)
del order, stream
async def wait(n, answer):
    message = {"user": n, "text": [f"hello {n}"]}
    await answer.wait()
async def main():
    answer = asyncio.Event()
    tasks = [asyncio.create_task(wait(n, answer)) for n in range(50)]
    await asyncio.sleep(0)
    ask()
    answer.set()
    await asyncio.gather(*tasks)
def grow():
    for n in range(1000, 3000): shop.orders[f"order {n}"] = Order(n, [f"line {n}"], shop)
grow_then(grow)
asyncio.run(main())
"""
NUMPY = """
import numpy, numpy.linalg, numpy.ma
class Frame:
    def __init__(self, n):
        self.columns = {name: numpy.arange(n + 10) for name in ("price", "amount")}
        self.head = self.columns["price"][:5]
frames = [Frame(n) for n in range(200)]
by_number = dict(enumerate(frames))
def grow():
    frames.extend(Frame(n) for n in range(2000))
grow_then(grow)
ask()
"""
PROGRAMS = {"service": SERVICE, "numpy": NUMPY}


def main(program: str, nodes: int, live: int, seed: int) -> None:
    older: list[memprobe.Heap] = []

    def grow_then(grow: Any) -> None:
        older.append(memprobe.capture())
        grow()

    def ask() -> None:
        heap = memprobe.capture(values=True)  # keys that are no names can be typed only so
        print(json.dumps(check(heap, older[0], nodes, live, seed)), flush=True)

    module = type(sys)("app")
    sys.modules["app"] = module
    vars(module).update(ask=ask, grow_then=grow_then)
    exec(compile(PROGRAMS[program], "app.py", "exec"), vars(module))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
