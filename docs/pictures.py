"""The pictures of the README and the guide: `make docs`. Drawn from living objects, and looked at before they are checked in."""

from __future__ import annotations

import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import memprobe

FOLDER = Path(__file__).resolve().parent / "pictures"
app = ModuleType("app")


class Pool:
    def __init__(self) -> None:
        self.connections: dict[str, Any] = {}


class Connection:
    pass


class Request:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection


class Node:
    def __init__(self, parent: Node | None = None) -> None:
        self.parent = parent
        self.children: list[Node] = []
        if parent is not None:
            parent.children.append(self)


def backrefs() -> None:
    """A connection that a pool, a request, a callback and a weak reference know."""
    connection = Connection()
    pool = Pool()
    pool.connections["db"] = [connection]
    request = Request(connection)

    def on_close() -> Connection:
        return connection

    vars(app).update(pool=pool, listeners=[on_close], current=request, watch=weakref.ref(connection))
    wanted = (dict, list, Pool, Request, ModuleType, tuple, type(on_close), type(weakref.ref(pool)), type(on_close.__closure__[0]))  # type: ignore[index]
    del pool, request, on_close
    memprobe.show_backrefs(connection, depth=5, filter=lambda obj: isinstance(obj, wanted), filename=FOLDER / "backrefs.svg")


def cycle() -> None:
    """A tree whose nodes know their parents."""
    tree = Node()
    for _ in range(2):
        Node(tree)
    Node(tree.children[0])
    memprobe.show_refs(tree, depth=5, filter=lambda obj: obj is not None and obj != [], filename=FOLDER / "cycle.svg")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    import sys

    sys.modules["app"] = app
    backrefs()
    cycle()
    for source in FOLDER.glob("*.dot"):
        source.unlink()


if __name__ == "__main__":
    main()
