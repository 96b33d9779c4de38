"""A catalogue that no module has: the functions that run hold it in local variables, each in its own."""

import random
import threading
import time


class Product:
    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"product {number:06}"
        self.price = number * 1.25


class Catalogue:
    def __init__(self) -> None:
        self.products = {number: Product(number) for number in range(3_000)}

    def search(self, dice: random.Random) -> list[Product]:
        chosen = dice.randrange(3)
        found = [product for product in self.products.values() if product.number % 3 == chosen]
        time.sleep(0.002)
        return found


def page(catalogue: Catalogue, dice: random.Random) -> int:
    found = catalogue.search(dice)
    best = sorted(found, key=lambda product: product.price)
    time.sleep(0.002)
    return len(best)


def serve(catalogue: Catalogue, seed: int) -> None:
    dice = random.Random(seed)
    while True:
        page(catalogue, dice)
        time.sleep(0.003 * dice.random())


def main() -> None:
    catalogue = Catalogue()
    threads = [threading.Thread(target=serve, args=(catalogue, seed), daemon=True) for seed in (1, 2, 3)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    print("warm", flush=True)
    serve(catalogue, 4)


main()
