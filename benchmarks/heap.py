"""A heap as a service has it after a day: objects of many kinds that lie where there was room, and not in the order of their age.

Orders with lines, customers, dicts and strings are made; half of them are freed in random order and new ones fill the holes;
twice."""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from dataclasses import dataclass

OBJECTS_AN_ORDER = 24  # about; count() tells exactly


class Customer:
    """Shared by many orders."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"customer {number}"
        self.orders: deque[int] = deque(maxlen=10)
        self.flags = {"vat", f"zone {number % 50}"}


@dataclass
class Line:
    """One position of an order."""

    __slots__ = ("amount", "article", "price")

    article: str
    amount: int
    price: float


class Order:
    """What a service keeps in its cache."""

    def __init__(self, number: int, customer: Customer, choose: random.Random) -> None:
        self.number = number
        self.customer = customer
        self.lines = [Line(f"article {choose.randrange(100_000)}", choose.randrange(1000, 9000), choose.random()) for _ in range(3)]
        self.meta = {"status": "open", "total": choose.random(), f"key {number % 97}": [number, str(number)]}
        self.when = (2026, number % 12, choose.random())
        self.body = b"%d" % number * 8


class Service:
    """The root of everything that the benchmark adds."""

    def __init__(self, objects: int, seed: int = 1) -> None:
        choose = random.Random(seed)
        wanted = max(1, objects // OBJECTS_AN_ORDER)
        self.customers = [Customer(number) for number in range(max(1, wanted // 20))]
        self.cache: OrderedDict[str, Order] = OrderedDict()
        self.number = 0
        self.fill(wanted, choose)
        for _ in range(2):
            old = list(self.cache)
            choose.shuffle(old)
            for key in old[: wanted // 2]:
                del self.cache[key]
            self.fill(wanted, choose)

    def fill(self, wanted: int, choose: random.Random) -> None:
        while len(self.cache) < wanted:
            self.number += 1
            order = Order(self.number, choose.choice(self.customers), choose)
            order.customer.orders.append(self.number)
            self.cache[f"order:{self.number}"] = order
