"""Nothing grows: a cache of constant size. At the moment WHICH (1, 2, 3) a running function has it in a local variable."""

import sys


def checkpoint() -> None:
    print("here", flush=True)
    sys.stdin.readline()


class Cache:
    def __init__(self) -> None:
        self.rows = [{"id": number, "text": f"row {number}"} for number in range(20_000)]


class Server:
    def __init__(self) -> None:
        self.cache = Cache()


def handle(cache: Cache) -> int:
    checkpoint()
    return len(cache.rows)


server = Server()
which = int(sys.argv[1])
for turn in (1, 2, 3):
    if which == turn:
        handle(server.cache)
    else:
        checkpoint()
