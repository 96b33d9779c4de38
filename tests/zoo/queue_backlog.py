"""Jobs are put into a queue faster than they are taken out."""

import queue
from collections.abc import Callable

jobs: "queue.Queue[dict[str, object]]" = queue.Queue()


def produce(start: int) -> None:
    for number in range(start, start + 8_000):
        jobs.put({"id": number, "payload": [number, str(number)]})


def consume(count: int) -> None:
    for _ in range(count):
        jobs.get()


def main(checkpoint: Callable[[], None]) -> None:
    for start in (0, 10_000):
        produce(start)
        consume(1_000)
        checkpoint()
