"""A deque of the last measurements, made without a maxlen."""

from collections import deque
from collections.abc import Callable

measured: deque[tuple[int, float, str]] = deque()


def measure(start: int) -> None:
    for number in range(start, start + 8_000):
        measured.append((number, number / 7, f"sensor {number}"))


def main(checkpoint: Callable[[], None]) -> None:
    for start in (0, 8_000):
        measure(start)
        checkpoint()
