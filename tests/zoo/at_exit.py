"""Each connection registers its own clean-up at exit, also those that were closed long ago."""

import atexit
from collections.abc import Callable


class Connection:
    def __init__(self, number: int) -> None:
        self.number = number
        self.buffer = [f"{number}/{i}" for i in range(5)]
        atexit.register(self.close)

    def close(self) -> None:
        self.buffer.clear()


def main(checkpoint: Callable[[], None]) -> None:
    for number in range(8_000):
        Connection(number).close
    checkpoint()
