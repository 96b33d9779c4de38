"""Two indexes of the same customers: nothing dominates these but the root, and they never leave."""

from collections.abc import Callable

by_number: dict[int, "Customer"] = {}
by_name: dict[str, "Customer"] = {}


class Customer:
    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"customer {number}"
        self.orders = [number, self.name]


def main(checkpoint: Callable[[], None]) -> None:
    for number in range(10_000):
        customer = Customer(number)
        by_number[number] = by_name[customer.name] = customer
    checkpoint()
