"""Small slices of large blocks, as data frames make them: each keeps its whole block."""

from collections.abc import Callable

columns: dict[str, list[memoryview]] = {"price": [], "amount": []}


def read_block(number: int) -> memoryview:
    block = bytearray(4096)
    block[0] = number % 256
    return memoryview(block)


def main(checkpoint: Callable[[], None]) -> None:
    for number in range(1_500):
        columns["price"].append(read_block(number)[0:8])
    checkpoint()
