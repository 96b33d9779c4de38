"""A parser interns every token, identifiers of users too, and notes which it has seen."""

import sys
from collections.abc import Callable

seen: list[str] = []


def tokenize(line: str) -> list[str]:
    tokens = [sys.intern(word) for word in line.split()]
    seen.extend(tokens)
    return tokens


def main(checkpoint: Callable[[], None]) -> None:
    for number in range(12_000):
        tokenize(f"user_{number}_name user_{number}_mail get")
    checkpoint()
