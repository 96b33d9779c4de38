"""The classic: a mutable default argument that remembers all calls."""

from collections.abc import Callable


def record(value: int, history: list[dict[str, int]] = []) -> int:  # noqa: B006
    history.append({"value": value, "square": value * value})
    return len(history)


def main(checkpoint: Callable[[], None]) -> None:
    for value in range(15_000):
        record(value)
    checkpoint()
