"""A request loop whose responses have all sizes, and are gone when they are sent."""

import json
import random
import time

products = [{"id": number, "name": f"product {number}", "price": number * 1.5} for number in range(3_000)]
dice = random.Random(5)


def search(count: int) -> list[dict[str, object]]:
    first = dice.randrange(len(products) - count)
    found = [{**product, "rank": rank, "text": "found " * 5} for rank, product in enumerate(products[first : first + count])]
    time.sleep(0.002)
    return found


def handle() -> int:
    response = {"status": 200, "rows": search(dice.choice((3, 30, 300, 2_000)))}
    body = json.dumps(response)
    time.sleep(0.002)
    return len(body)


for _ in range(20):
    handle()
print("warm", flush=True)
while True:
    handle()
    time.sleep(0.003)
