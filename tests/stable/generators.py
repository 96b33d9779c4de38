"""A pipeline of generators: 100 are open at a time, and each is read to its end."""

import time
from collections.abc import Iterator


def lines(number: int) -> Iterator[str]:
    rows = [f"{number:08}:{row}" for row in range(20)]
    yield from rows


def parsed(source: Iterator[str]) -> Iterator[tuple[str, ...]]:
    for line in source:
        yield tuple(line.split(":"))


number = 1_000_000
streams: list[Iterator[tuple[str, ...]]] = []
while len(streams) < 100:
    streams.append(parsed(lines(number)))
    number += 1


def step(pause: float) -> None:
    global number
    for index, stream in enumerate(streams):
        if next(stream, None) is None:
            streams[index] = parsed(lines(number))
            next(streams[index])
            number += 1
    time.sleep(pause)


for _ in range(200):
    step(0)
print("warm", flush=True)
while True:
    step(0.003)
