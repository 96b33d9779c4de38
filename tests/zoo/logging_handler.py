"""A handler buffers records until an error comes, and none ever does."""

import logging
import logging.handlers
from collections.abc import Callable

buffered = logging.handlers.MemoryHandler(capacity=10_000_000, flushLevel=logging.CRITICAL)
log = logging.getLogger("shop")
log.propagate = False
log.setLevel(logging.INFO)
log.addHandler(buffered)


def main(checkpoint: Callable[[], None]) -> None:
    for order in range(6_000):
        log.info("order %d shipped to %s", order, f"street {order}")
    checkpoint()
    buffered.buffer.clear()
