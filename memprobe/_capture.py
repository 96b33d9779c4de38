"""From what a snapshot is asked to be to a file: the options and the call."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from memprobe import _core
from memprobe._native import Held

os.register_at_fork(after_in_child=_core.forget_snapshots)


ORIGINS_MS = 20
ORIGINS_MOST = 60_000


@dataclass(frozen=True)
class Options:
    """How a snapshot is taken. `seconds` is the time that a forked child may take; `origins_ms` how long, of the pause, tracemalloc
    may be asked where objects were made, if it traces. With `native` a forked child looks at native blocks, too."""

    values: bool = False
    hashes: bool = False
    fork: bool = True
    seconds: int = 600
    origins_ms: int = ORIGINS_MS
    native: bool = False

    @classmethod
    def of(cls, request: Mapping[str, object]) -> Options:
        """From a message of another process: what is not there keeps its default, what is unknown is for a newer memprobe."""
        known = {name: type(default)(request[name]) for name, default in asdict(cls()).items() if name in request}
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def write(file: Held, options: Options, watch: int = -1) -> dict[str, Any]:
    """Write the whole heap of this process to a file; returns what it cost, as _core.snapshot says.

    A child is forked for it, unless the options, the interpreter, the kernel or a lack of memory forbid: then this process
    stands still while it writes, and `reason` says why. Whoever is at the other end of the socket `watch` is waited for: when
    they are gone, it ends with ConnectionAbortedError. ChildProcessError: the child was ended, perhaps by us for lack of memory
    (src/snapshot/headroom.h), or there was no memory for a snapshot at all."""
    if file.identity is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    seconds = max(1, options.seconds)
    return _core.snapshot(
        file.fd,
        values=options.values,
        hashes=options.hashes,
        fork=options.fork,
        seconds=seconds,
        watch=watch,
        file=file.identity,
        origins_ms=check_origins(options.origins_ms),
        native=options.native,
    )


def check_origins(milliseconds: int) -> int:
    """A time that tracemalloc may be asked."""
    if not 0 <= milliseconds <= ORIGINS_MOST:
        raise ValueError(f"origins_ms is {milliseconds}: give 0 (off) to {ORIGINS_MOST:,} milliseconds.")
    return milliseconds
