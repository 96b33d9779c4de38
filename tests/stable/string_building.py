"""Reports that are built line by line in a list and a StringIO, joined, and dropped."""

import io
import random
import time

rows = [(number, f"customer {number:06}", number * 0.5) for number in range(3_000)]
dice = random.Random(15)


def report(count: int) -> int:
    lines: list[str] = []
    out = io.StringIO()
    for number, name, amount in rows[:count]:
        line = f"{number:>8} {name} {amount:>12.2f}"
        lines.append(line)
        out.write(line)
    time.sleep(0.003)
    text = "\n".join(lines)
    time.sleep(0.002)
    return len(text) + len(out.getvalue())


for _ in range(20):
    report(3_000)
print("warm", flush=True)
while True:
    report(dice.randrange(100, 3_000))
    time.sleep(0.003)
