"""Visitors for examples/service.py: each logs in, looks at items and logs out, over and over, for a while.

python examples/load.py --port 8000 --seconds 10"""

from __future__ import annotations

import argparse
import random
import threading
import time
from http.client import HTTPConnection

ITEMS_A_VISIT = 12


class Visitors:
    """Threads that visit the shop on this machine's `port` until stopped, or until `seconds` have passed."""

    def __init__(self, port: int, visitors: int, seconds: float) -> None:
        self.port = port
        self.deadline = time.monotonic() + seconds
        self.stopped = threading.Event()
        self.visits = 0
        self.slowest = 0.0  # seconds of the slowest answer
        self.problems: list[str] = []
        self.threads = [threading.Thread(target=self.visit_often, args=(n,)) for n in range(visitors)]

    def start(self) -> Visitors:
        for thread in self.threads:
            thread.start()
        return self

    def stop(self) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def visit_often(self, seed: int) -> None:
        choose = random.Random(seed)
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            while not self.stopped.is_set() and time.monotonic() < self.deadline:
                session = self.get(connection, "/login")
                for _ in range(ITEMS_A_VISIT):
                    self.get(connection, f"/item?session={session}&item={int(choose.paretovariate(0.5))}")
                self.get(connection, f"/logout?session={session}")
                self.visits += 1
        except OSError as problem:
            self.problems.append(str(problem))
        finally:
            connection.close()

    def get(self, connection: HTTPConnection, path: str) -> str:
        start = time.monotonic()
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode()
        self.slowest = max(self.slowest, time.monotonic() - start)
        if response.status != 200:
            raise OSError(f"{path}: {response.status} {body}")
        return body


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--visitors", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    load = Visitors(options.port, options.visitors, options.seconds).start()
    for thread in load.threads:
        thread.join()
    print(f"{load.visits} visits, slowest answer {load.slowest * 1000:.0f} ms", *load.problems, sep="\n")
