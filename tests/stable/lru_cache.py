"""functools.lru_cache with a bound, which turns over."""

import functools
import random
import time

pause = 0.0


@functools.lru_cache(maxsize=1_500)
def render(page: int) -> tuple[str, list[str]]:
    if pause:
        time.sleep(pause)
    lines = [f"line {line} of page {page:08}" for line in range(5)]
    return f"page {page:08}", lines


dice = random.Random(2)
for _ in range(10_000):
    render(1_000_000 + dice.randrange(50_000))
print("warm", flush=True)
pause = 0.002
while True:
    render(1_000_000 + dice.randrange(50_000))
    time.sleep(0.001)
