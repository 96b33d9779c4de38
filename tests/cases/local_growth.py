"""What grows is a local variable of a running function: what a consumer could not deliver."""

import sys


def checkpoint() -> None:
    print("here", flush=True)
    sys.stdin.readline()


def deliver(undelivered: list[dict[str, object]], first: int) -> None:
    for number in range(first, first + 3_000):
        undelivered.append({"number": number, "text": f"message {number}"})
    checkpoint()


def consume() -> None:
    undelivered: list[dict[str, object]] = []
    for turn in range(3):
        deliver(undelivered, 10_000 * turn)


consume()
