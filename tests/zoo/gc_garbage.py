"""Somebody left DEBUG_SAVEALL on: what the collector finds is kept in gc.garbage."""

import gc
from collections.abc import Callable


class Connection:
    def __init__(self) -> None:
        self.peer = self
        self.buffer = bytearray(200)


def main(checkpoint: Callable[[], None]) -> None:
    gc.set_debug(gc.DEBUG_SAVEALL)
    for _ in range(10_000):
        Connection()
    gc.collect()
    checkpoint()
    gc.set_debug(0)
    gc.garbage.clear()
