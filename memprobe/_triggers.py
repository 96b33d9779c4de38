"""Snapshots that the process takes of itself: at a signal, when it grows beyond a limit, or every so often.

One thread waits for all of them. It writes the last few to a folder and removes its older ones. What goes wrong is said to the
logger "memprobe", never to the program."""

from __future__ import annotations

import errno
import logging
import os
import select
import signal as signals
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from memprobe import _capture, _core, _native
from memprobe._atomic import replacing
from memprobe._text import parse_size

log = logging.getLogger("memprobe")

LOOK = 1.0  # seconds between two looks at the resident memory
REST = 5.0  # seconds between two looks whether our descriptor is still there
PAUSE = 30.0  # seconds at least between snapshots by signal or limit
GROWTH = 1.1  # beyond the limit, the next snapshot comes when the process has grown by so much again


@dataclass(frozen=True)
class Wanted:
    """When to take snapshots, and where they go: see memprobe.agent.start."""

    signal: int | None = None
    rss_limit: int | None = None
    every: float | None = None
    directory: str = "."
    keep: int = 5

    @classmethod
    def checked(cls, signal: int | None, rss_limit: int | str | None, every: float | None, directory: str, keep: int) -> Wanted:
        """From arguments, of which ValueError and FileNotFoundError say what is wrong with them."""
        if signal is not None and signals.getsignal(signal) not in (signals.SIG_DFL, signals.SIG_IGN, None):
            raise taken(signal)
        if every is not None and not every >= 1:
            raise ValueError(f"every must be at least 1 second, and is {every}.")
        limit = None if rss_limit is None else parse_size(rss_limit)
        if limit == 0:
            raise ValueError("rss_limit must be more than 0 bytes.")
        if keep < 1:
            raise ValueError(f"keep must be at least 1, and is {keep}.")
        if not os.path.isdir(directory):
            raise FileNotFoundError(f"There is no directory {os.path.abspath(directory)}: make it first.")
        return cls(signal, limit, every, os.path.abspath(directory), keep)


def name(number: int) -> str:
    """Of a signal; those of real time have none of their own."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def taken(number: int) -> ValueError:
    return ValueError(f"{name(number)} has a handler in this program: choose another signal, SIGUSR2 for example.")


class Triggers:
    """The thread of one process."""

    def __init__(self, wanted: Wanted, written: list[str]) -> None:
        """`written` are the files of this process so far."""
        self.wanted = wanted
        self.written = written
        self.stopped = self.deaf = False
        self.limit = wanted.rss_limit
        self.next_time = time.monotonic() + (wanted.every or 0)
        self.last = -PAUSE
        self.closing = _native.original("_thread", "allocate_lock")()
        self.open()
        try:
            _native.start_thread(self.run)
        except BaseException:
            self.forget()
            raise

    def open(self) -> None:
        """What the signal writes to, and the thread waits for."""
        self.event = _native.Held.event()
        try:
            self.heed()
        except BaseException:
            self.event.close()
            raise

    def heed(self) -> None:
        """Have the signal write there. Also when the program has put it back to what it did before, as servers do in their workers;
        ValueError when it has a handler of its own."""
        number = self.wanted.signal
        if number is None:
            return
        try:
            _core.signal_to_fd(number, self.event.fd)
        except OSError as problem:
            if problem.errno != errno.EBUSY:
                raise
            raise taken(number) from None

    def close(self, harmless: bool = False) -> None:
        """Stop; a snapshot under way is finished. At the interpreter's end, and when another takes over, the signal stays harmless:
        before, it may have ended the process."""
        with self.closing:
            self.stopped = True
            if self.wanted.signal is not None:
                _core.signal_to_nobody(self.wanted.signal, restore=not harmless)
            if self.event.intact():
                os.eventfd_write(self.event.fd, 1)

    def forget(self) -> None:
        """In a forked child, where there is no thread: close what is open. The signal does nothing until somebody waits for it."""
        if self.wanted.signal is not None:
            _core.signal_to_nobody(self.wanted.signal, restore=False)
        self.event.close()

    def run(self) -> None:
        while not self.stopped:
            try:
                signalled = self.wait()
                if not self.stopped:
                    self.look(signalled)
            except Exception as problem:
                log.warning("memprobe could not take a snapshot: %s", problem)
                _native.original("time", "sleep")(REST)  # it may be so for a while, and is said often enough
        with self.closing:  # not before close() has written to it
            self.event.close()

    def wait(self) -> bool:
        """Until the next look, or until the signal: True."""
        with self.closing:
            if not self.stopped:
                self.mend()
        poll = _native.original("select", "poll")()
        poll.register(self.event.fd, select.POLLIN)
        if not poll.poll(self.patience() * 1000) or not self.event.intact():
            return False
        try:
            os.eventfd_read(self.event.fd)
        except BlockingIOError:  # it was another one's, by the same number
            return False
        return True

    def mend(self) -> None:
        """The program may have closed all descriptors, as daemons do, or put the signal back."""
        if not self.event.intact():
            self.open()
            return
        try:
            self.heed()
        except ValueError as problem:
            if not self.deaf:
                log.warning("memprobe takes no snapshot by signal any more: %s", problem)
            self.deaf = True

    def patience(self) -> float:
        """Seconds until the next look."""
        wanted = self.wanted
        times = [REST if wanted.rss_limit is None else LOOK]
        if wanted.every is not None:
            times.append(self.next_time - time.monotonic())
        return max(0.0, min(times))

    def look(self, signalled: bool) -> None:
        """Take a snapshot if one is due."""
        now = time.monotonic()
        rested = now - self.last >= PAUSE
        if self.wanted.every is not None and now >= self.next_time:
            self.next_time = now + self.wanted.every
            self.take("schedule")
        elif signalled and rested:
            self.take(name(self.wanted.signal or 0))
        elif self.wanted.rss_limit is not None and self.limit is not None:
            resident = _core.resident()
            if resident < self.wanted.rss_limit:
                self.limit = self.wanted.rss_limit
            elif resident >= self.limit and rested:
                self.limit = int(resident * GROWTH)
                self.take(f"{resident >> 20} MiB resident")

    def take(self, why: str) -> None:
        self.last = time.monotonic()
        name = f"memprobe-{os.getpid()}-{time.strftime('%Y%m%d-%H%M%S')}.snap"
        path = os.path.join(self.wanted.directory, name)
        sys.audit("memprobe.snapshot", path)
        with replacing(path) as file:
            _capture.write(file, _capture.Options())
        log.info("memprobe wrote %s (%s)", path, why)
        if path not in self.written:
            self.written.append(path)
        while len(self.written) > self.wanted.keep:
            with suppress(FileNotFoundError):  # somebody has moved it
                os.unlink(self.written.pop(0))
