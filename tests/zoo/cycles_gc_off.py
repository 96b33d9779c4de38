"""The collector was switched off for speed, and trees refer to their parents."""

import gc
from collections.abc import Callable


class Element:
    def __init__(self, parent: "Element | None") -> None:
        self.parent = parent
        self.children: list[Element] = []
        if parent is not None:
            parent.children.append(self)


def parse() -> int:
    page = Element(None)
    for _ in range(20):
        Element(page)
    return len(page.children)


def main(checkpoint: Callable[[], None]) -> None:
    gc.disable()
    for _ in range(1_000):
        parse()
    checkpoint()
