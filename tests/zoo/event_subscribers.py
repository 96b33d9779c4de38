"""Objects subscribe to an event when they are made, and never unsubscribe."""

from collections.abc import Callable


class Event:
    def __init__(self, name: str) -> None:
        self.name = name
        self.receivers: list[object] = []

    def connect(self, receiver: object) -> None:
        self.receivers.append(receiver)


class Invoice:
    def __init__(self, number: int) -> None:
        self.number = number
        self.lines = [f"item {number}", f"item {number + 1}"]
        paid.connect(self)


paid = Event("paid")


def main(checkpoint: Callable[[], None]) -> None:
    for number in range(10_000):
        Invoice(number)
    checkpoint()
