"""Streams are read up to the first hit; the generators wait in a list for the rest of their lives."""

from collections.abc import Callable, Iterator

streams: list[Iterator[str]] = []


def read(number: int) -> Iterator[str]:
    lines = [f"{number}:{i}" for i in range(8)]
    yield from lines


def search(number: int) -> str:
    stream = read(number)
    streams.append(stream)
    return next(stream)


def main(checkpoint: Callable[[], None]) -> None:
    for number in range(5_000):
        search(number)
    checkpoint()
