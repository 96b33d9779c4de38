"""A MemoryHandler that is flushed whenever it has ten records, through a formatter, to nowhere."""

import logging
import logging.handlers
import time


class Nowhere(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        self.format(record)


buffered = logging.handlers.MemoryHandler(capacity=10, target=Nowhere())
log = logging.getLogger("shop")
log.propagate = False
log.setLevel(logging.INFO)
log.addHandler(buffered)
orders = {number: f"street {number:06}" for number in range(2_000)}


def ship(number: int) -> None:
    street = orders[number % len(orders)]
    log.info("order %d shipped to %s", number, street)


number = 1_000_000
while number < 1_001_000:
    ship(number)
    number += 1
print("warm", flush=True)
while True:
    ship(number)
    number += 1
    time.sleep(0.001)
