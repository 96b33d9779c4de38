"""A cache grows. At the moment WHICH (1, 2, 3) a running function has the cache in a local variable; at 0 never, at 4 always."""

import sys


def checkpoint() -> None:
    print(len(server.cache.items), flush=True)
    sys.stdin.readline()


class Item:
    def __init__(self, number: int) -> None:
        self.text = f"text {number} " * 10


class Cache:
    def __init__(self) -> None:
        self.items: list[Item] = []


class Server:
    def __init__(self) -> None:
        self.cache = Cache()


def grow() -> None:
    for number in range(4_000):
        server.cache.items.append(Item(number))


def handle(cache: Cache) -> int:
    checkpoint()
    return len(cache.items)


server = Server()
which = int(sys.argv[1])
for turn in (1, 2, 3):
    grow()
    if which in (turn, 4):
        handle(server.cache)
    else:
        checkpoint()
