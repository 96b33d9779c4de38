"""A pool of threads and its queue of work: 60 jobs are always under way or waiting."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

dice = random.Random(7)
room = threading.Semaphore(60)
done = 0


class Job:
    def __init__(self, number: int) -> None:
        self.number = number
        self.text = f"job {number:010}"

    def run(self) -> int:
        global done
        rows = [(row, self.text) for row in range(dice.randrange(10, 2_000))]
        time.sleep(0.005)
        done += 1
        room.release()
        return len(rows)


with ThreadPoolExecutor(4) as pool:
    number = 0
    while True:
        room.acquire()
        pool.submit(Job(number).run)
        number += 1
        if number == 500:
            print("warm", flush=True)
