"""A pool of 40 connections, which four threads take and give back."""

import queue
import random
import threading
import time


class Connection:
    def __init__(self, number: int) -> None:
        self.number = number
        self.buffer = bytearray(2_000)
        self.options = {"name": f"connection {number}", "number": number}


class Pool:
    def __init__(self, size: int) -> None:
        self.free: queue.LifoQueue[Connection] = queue.LifoQueue()
        for number in range(size):
            self.free.put(Connection(number))

    def query(self, dice: random.Random) -> int:
        connection = self.free.get()
        try:
            rows = [f"row {row}" for row in range(dice.randrange(1_000))]
            time.sleep(0.002)
            return len(rows) + connection.number
        finally:
            self.free.put(connection)


pool = Pool(40)


def work(seed: int) -> None:
    dice = random.Random(seed)
    while True:
        pool.query(dice)
        time.sleep(0.003 * dice.random())


for seed in range(4):
    threading.Thread(target=work, args=(seed,), daemon=True).start()
time.sleep(0.3)
print("warm", flush=True)
threading.Event().wait()
