"""The last 2,000 measurements in a deque with a maxlen, and averages of them."""

import time
from collections import deque


class Sensor:
    def __init__(self) -> None:
        self.last: deque[tuple[int, float, str]] = deque(maxlen=2_000)

    def measure(self, number: int) -> None:
        self.last.append((number, number / 7, f"sensor {number:010}"))

    def average(self) -> float:
        values = [value for _, value, _ in self.last]
        time.sleep(0.002)
        return sum(values) / len(values)


sensor = Sensor()
number = 1_000_000
while number < 1_010_000:
    sensor.measure(number)
    number += 1
print("warm", flush=True)
while True:
    for _ in range(30):
        sensor.measure(number)
        number += 1
    sensor.average()
    time.sleep(0.003)
