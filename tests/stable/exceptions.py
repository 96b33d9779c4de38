"""Requests that fail deep down: exceptions are raised, chained, caught and logged, and go with their tracebacks."""

import random
import time
import traceback

products = {number: {"id": number, "name": f"product {number:06}"} for number in range(2_000)}
errors: list[str] = []
dice = random.Random(14)


class Unknown(Exception):
    pass


def find(number: int) -> dict[str, object]:
    payload = [number] * 200
    try:
        return products[number]
    except KeyError as problem:
        time.sleep(0.001)
        raise Unknown(f"product {number:06}, {len(payload)}") from problem


def deep(number: int, steps: int) -> object:
    return find(number) if steps == 0 else deep(number, steps - 1)


def handle() -> None:
    try:
        deep(dice.randrange(4_000), dice.randrange(1, 30))
    except Unknown as problem:
        del errors[:-4]
        errors.append(traceback.format_exc(limit=1)[-200:].ljust(200))
        time.sleep(0.001)
        assert problem.__cause__ is not None


for _ in range(100):
    handle()
print("warm", flush=True)
while True:
    handle()
    time.sleep(0.002)
