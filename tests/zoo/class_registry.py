"""A class registers each of its instances, to find them by name later."""

from collections.abc import Callable
from typing import ClassVar


class Widget:
    instances: ClassVar[dict[str, "Widget"]] = {}

    def __init__(self, name: str) -> None:
        self.name = name
        self.children = [name, name.upper()]
        Widget.instances[name] = self


def main(checkpoint: Callable[[], None]) -> None:
    for number in range(12_000):
        Widget(f"button-{number}")
    checkpoint()
