"""A dict as a cache at its bound: the oldest entry goes when a new one comes."""

import random
import time


class Cache:
    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.entries: dict[int, dict[str, object]] = {}

    def get(self, key: int, pause: float) -> dict[str, object]:
        found = self.entries.get(key)
        if found is None:
            time.sleep(pause)
            found = {"key": f"{key:010}", "body": [key, f"body {key:010}"]}
            if len(self.entries) >= self.bound:
                del self.entries[next(iter(self.entries))]
            self.entries[key] = found
        return found


cache = Cache(2_000)
dice = random.Random(1)


def serve(requests: int, pause: float) -> None:
    for _ in range(requests):
        cache.get(1_000_000 + dice.randrange(100_000), pause)


serve(15_000, 0)
print("warm", flush=True)
while True:
    serve(10, 0.002)
    time.sleep(0.005)
