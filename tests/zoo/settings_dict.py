"""All state in one dict of dicts; one of them grows, and another is filled anew each round."""

from collections.abc import Callable

STATE: dict[str, dict[str, object]] = {"users": {}, "prices": {}, "audit": {}}


def run(start: int) -> None:
    STATE["prices"] = {f"item{start + i}": float(start + i) for i in range(4_000)}
    for number in range(start, start + 4_000):
        STATE["audit"][f"entry{number}"] = {"who": number, "what": [number, "changed"]}


def main(checkpoint: Callable[[], None]) -> None:
    for start in (0, 10_000, 20_000):
        run(start)
        checkpoint()
