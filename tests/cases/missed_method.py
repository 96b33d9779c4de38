"""A growing cache, one of whose methods is running about half of the time: `self` is a local variable then. Sixteen moments."""

import random
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

    def lookup(self, pause: int) -> None:
        for number in range(2_000):
            self.items.append(Item(number))
            if number == pause:
                checkpoint()


class Server:
    def __init__(self) -> None:
        self.cache = Cache()


server = Server()
dice = random.Random(12)
for _ in range(16):
    inside = dice.random() < 0.5
    server.cache.lookup(dice.randrange(500, 1_500) if inside else -1)
    if not inside:
        checkpoint()
