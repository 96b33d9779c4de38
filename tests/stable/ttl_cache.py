"""Entries that live for 1,500 ticks of a clock that each request moves on."""

import time
from collections import deque


class Ttl:
    def __init__(self, ticks: int) -> None:
        self.ticks = ticks
        self.now = 1_000_000
        self.values: dict[str, dict[str, int]] = {}
        self.due: deque[tuple[int, str]] = deque()

    def tick(self) -> None:
        self.now += 1
        while self.due and self.due[0][0] <= self.now:
            _, key = self.due.popleft()
            del self.values[key]

    def put(self, key: str, pause: float) -> None:
        self.tick()
        self.values[key] = {"made": self.now, "until": self.now + self.ticks}
        time.sleep(pause)
        self.due.append((self.now + self.ticks, key))


tokens = Ttl(1_500)


def login(user: int, pause: float) -> None:
    tokens.put(f"token {user:010}", pause)


user = 0
while user < 12_000:
    login(user, 0)
    user += 1
print("warm", flush=True)
while True:
    login(user, 0.001)
    user += 1
    time.sleep(0.001)
