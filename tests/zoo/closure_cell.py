"""A memo in the closure of a function that a factory made."""

from collections.abc import Callable


def make_translator() -> Callable[[int], list[str]]:
    memo: dict[int, list[str]] = {}

    def translate(number: int) -> list[str]:
        if number not in memo:
            memo[number] = [str(number), hex(number)]
        return memo[number]

    return translate


translate = make_translator()


def main(checkpoint: Callable[[], None]) -> None:
    for number in range(15_000):
        translate(number)
    checkpoint()
