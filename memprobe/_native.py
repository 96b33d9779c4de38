"""What a thread of ours needs in somebody else's program: functions as the interpreter has them, where gevent or eventlet has put
its own in their places; signals that are left to the program; descriptors that it may close without asking.

After gevent.monkey.patch_all() a new thread is a greenlet of the main thread: the service stands for as long as it waits in C."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
# A program that becomes a daemon closes every descriptor, and its next file or connection gets the lowest free number. So our
# threads have none but what is Held, and read short files in one call (_core.read_file; src/binding/descriptors.c says more).


class Held:
    """A descriptor of ours, whose number may be somebody else's when we next look. A process that is forked meanwhile closes it."""

    all: ClassVar[set[Held]] = set()

    def __init__(self, fd: int) -> None:
        """Takes `fd` over."""
        self._is(_core.hold(fd))

    @classmethod
    def _of(cls, held: tuple[int, _core.Identity | None]) -> Held:
        self = cls.__new__(cls)
        self._is(held)
        return self

    def _is(self, held: tuple[int, _core.Identity | None]) -> None:
        self.fd, self.identity = held
        self.all.add(self)

    @classmethod
    def open(cls, path: str, flags: int, mode: int = 0o600) -> Held:
        """As os.open()."""
        return cls._of(_core.hold_open(path, flags, mode))

    @classmethod
    def unix_socket(cls) -> Held:
        """A new unix socket for streams."""
        return cls._of(_core.hold_socket())

    @classmethod
    def event(cls) -> Held:
        """A new eventfd that does not block."""
        return cls._of(_core.hold_event())

    @classmethod
    def client(cls, listener: int) -> Held:
        """Who connects next. As socket.accept() otherwise; BlockingIOError when the kernel has waited as long as it was told."""
        return cls._of(_core.hold_client(listener))

    @classmethod
    def message(cls, fd: int, size: int) -> tuple[bytes, list[Held], bool]:
        """See _core.hold_message()."""
        data, sent, lost = _core.hold_message(fd, size)
        return data, [cls._of(held) for held in sent], lost

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    @contextmanager
    def as_socket(self) -> Iterator[socket.socket]:
        """With the methods of a socket, which does not close it."""
        lent: socket.socket = original("socket", "socket")(socket.AF_UNIX, socket.SOCK_STREAM, fileno=self.fd)
        try:
            yield lent
        finally:
            lent.detach()

    def intact(self) -> bool:
        """Whether it is still ours."""
        return self.identity is not None and _core.is_still(self.fd, self.identity)

    def close(self) -> None:
        """Once, and only what is ours."""
        self.all.discard(self)
        identity, self.identity = self.identity, None
        if identity is not None:
            _core.release(self.fd, identity)

    @classmethod
    def forget(cls) -> None:
        """In a forked process: it has nothing of ours."""
        for held in list(cls.all):
            held.close()


os.register_at_fork(after_in_child=Held.forget)
