"""C code that forgets to give its references back: objects that no Python object holds."""

import ctypes
from collections.abc import Callable


class Frame:
    def __init__(self, number: int) -> None:
        self.number = number
        self.pixels = [number] * 20


def grab(number: int) -> int:
    frame = Frame(number)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(frame))
    return len(frame.pixels)


def main(checkpoint: Callable[[], None]) -> None:
    for number in range(10_000):
        grab(number)
    checkpoint()
