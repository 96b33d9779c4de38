"""An LRU of one's own on an OrderedDict, which turns over."""

import random
import time
from collections import OrderedDict


class Thumbnail:
    def __init__(self, number: int) -> None:
        self.name = f"image {number:08}"
        self.pixels = bytearray(300)


class Lru:
    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.kept: OrderedDict[int, Thumbnail] = OrderedDict()

    def fetch(self, number: int, pause: float) -> Thumbnail:
        if number in self.kept:
            self.kept.move_to_end(number)
            return self.kept[number]
        while len(self.kept) >= self.bound:
            self.kept.popitem(last=False)
        made = self.kept[number] = Thumbnail(number)
        time.sleep(pause)
        return made


class Gallery:
    def __init__(self) -> None:
        self.thumbnails = Lru(1_500)

    def show(self, count: int, pause: float) -> int:
        lru = self.thumbnails
        return sum(len(lru.fetch(1_000_000 + dice.randrange(5_000), pause).pixels) for _ in range(count))


dice = random.Random(3)
gallery = Gallery()
gallery.show(15_000, 0)
print("warm", flush=True)
while True:
    gallery.show(20, 0.001)
    time.sleep(0.005)
