"""A timer keeps bound methods, and each keeps its object."""

from collections.abc import Callable


class Timer:
    def __init__(self) -> None:
        self.callbacks: list[Callable[[], None]] = []


class Animation:
    def __init__(self, frames: int) -> None:
        self.frames = [(i, frames) for i in range(6)]
        timer.callbacks.append(self.tick)

    def tick(self) -> None:
        self.frames.pop()


timer = Timer()


def main(checkpoint: Callable[[], None]) -> None:
    for frames in range(6_000):
        Animation(frames)
    checkpoint()
