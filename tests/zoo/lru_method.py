"""functools.cache on a method: each instance ever used is kept by the cache of the class."""

import functools
from collections.abc import Callable


class Report:
    def __init__(self, number: int) -> None:
        self.number = number
        self.rows = [number + i * 1000.5 for i in range(8)]

    @functools.cache  # noqa: B019
    def total(self) -> float:
        return sum(self.rows)


def main(checkpoint: Callable[[], None]) -> None:
    for number in range(6_000):
        Report(number).total()
    checkpoint()
