"""What a thread of ours needs in somebody else's program: functions as the interpreter has them, where gevent or eventlet has put
its own in their places; signals that are left to the program; descriptors that it may close without asking.

After gevent.monkey.patch_all() a new thread is a greenlet of the main thread: the service stands for as long as it waits in C."""

from __future__ import annotations

import os
import posix
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, ClassVar

from memprobe import _core

FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS}


def original(module: str, name: str) -> Any:
    """module.name before gevent or eventlet, which keep what they replace."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey:
        return monkey.get_original(module, name)
    patcher = sys.modules.get("eventlet.patcher")
    return getattr(patcher.original(module) if patcher else import_module(module), name)


def start_thread(work: Callable[[], None]) -> None:
    """Run `work` in a thread of the system that does not keep the process alive. The module threading is not told of it, for gevent
    counts its threads after a fork, and complains. All signals but faults are blocked in it: where the program blocks one, to
    wait for it or not to be interrupted, the kernel would give it to any thread that does not."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:  # from here on, for a handler of the program that runs now may raise
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - FAULTS)
        original("_thread", "start_new_thread")(work, ())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---- descriptors ----------------------------------------------------------------------------------------------------
# A program that becomes a daemon closes every descriptor, and its next file or connection gets the lowest free number.


class Held:
    """A descriptor of ours, whose number may be somebody else's when we next look. A process that is forked meanwhile closes it."""

    all: ClassVar[set[Held]] = set()

    def __init__(self, fd: int) -> None:
        """Takes `fd` over."""
        self.fd, self.identity = _core.hold(fd)
        self.all.add(self)

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def intact(self) -> bool:
        """Whether it is still ours."""
        return self.identity is not None and _core.is_still(self.fd, self.identity)

    def close(self) -> None:
        """Once, and only what is ours."""
        self.all.discard(self)
        if self.intact():
            self.identity = None
            with suppress(OSError):
                posix.close(self.fd)  # gevent's os.close leaves a socket's end to an event loop, which our threads do not run

    @classmethod
    def forget(cls) -> None:
        """In a forked process: it has nothing of ours."""
        for held in list(cls.all):
            held.close()


os.register_at_fork(after_in_child=Held.forget)
