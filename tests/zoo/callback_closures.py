"""Each request registers a closure that is to run at shutdown, and none is ever removed."""

from collections.abc import Callable

on_shutdown: list[Callable[[], int]] = []


def handle(number: int) -> None:
    payload = [f"{number}-{i}" for i in range(6)]

    def flush() -> int:
        return len(payload)

    on_shutdown.append(flush)


def main(checkpoint: Callable[[], None]) -> None:
    for number in range(6_000):
        handle(number)
    checkpoint()
