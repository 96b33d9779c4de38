"""A worker thread of a pool notes each job in thread-local data, which lives as long as the thread."""

import threading
from collections.abc import Callable

session = threading.local()


def work(jobs: int, ready: threading.Event, stop: threading.Event) -> None:
    session.journal = []
    for job in range(jobs):
        session.journal.append({"job": job, "result": str(job * job)})
    ready.set()
    stop.wait()


def main(checkpoint: Callable[[], None]) -> None:
    ready, stop = threading.Event(), threading.Event()
    worker = threading.Thread(target=work, args=(15_000, ready, stop))
    worker.start()
    ready.wait()
    checkpoint()
    stop.set()
    worker.join()
