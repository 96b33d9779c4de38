"""A consumer keeps what it could not deliver in a local variable of its endless loop."""

import threading
from collections.abc import Callable


def consume(ready: threading.Event, stop: threading.Event) -> None:
    undelivered = []
    for number in range(15_000):
        undelivered.append({"number": number, "text": f"message {number}"})
    ready.set()
    stop.wait()


def main(checkpoint: Callable[[], None]) -> None:
    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=consume, args=(ready, stop))
    thread.start()
    ready.wait()
    checkpoint()
    stop.set()
    thread.join()
