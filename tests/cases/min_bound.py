"""A registry of jobs that is never emptied. Each job has a bound method of its own, and no one listens to anything."""

import sys


class Job:
    def __init__(self, number: int) -> None:
        self.rows = [f"row {row} of job {number}" for row in range(100)]
        self.on_done = self.finish

    def finish(self) -> None:
        pass


jobs = {number: Job(number) for number in range(500)}
print("here", flush=True)
sys.stdin.readline()
