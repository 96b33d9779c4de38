"""A web service caches what it has rendered, by a key that never repeats."""

from collections.abc import Callable

responses: dict[tuple[str, int], dict[str, object]] = {}


def render(path: str, stamp: int) -> dict[str, object]:
    key = (path, stamp)
    if key not in responses:
        responses[key] = {"status": 200, "body": f"{path}?{stamp}", "headers": [("x-stamp", stamp)]}
    return responses[key]


def main(checkpoint: Callable[[], None]) -> None:
    for stamp in range(12_000):
        render("/report", stamp)
    checkpoint()
