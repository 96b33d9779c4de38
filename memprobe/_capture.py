"""From what a snapshot is asked to be to a file: the options, the memory that a fork may need, and the call."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from memprobe import _core

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Options:
    """How a snapshot is taken. `seconds` is the time that a forked child may take."""

    values: bool = False
    hashes: bool = False
    fork: bool = True
    seconds: int = 600

    @classmethod
    def of(cls, request: Mapping[str, object]) -> Options:
        """From a message of another process: what is not there keeps its default, what is unknown is for a newer memprobe."""
        known = {name: type(default)(request[name]) for name, default in asdict(cls()).items() if name in request}
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def write(fd: int, options: Options, watch: int = -1) -> dict[str, Any]:
    """Write the whole heap of this process to a descriptor; returns what it cost, as _core.snapshot says.

    A child is forked for it, unless the options, the interpreter, the kernel or a lack of memory forbid: then this process
    stands still while it writes, and `reason` says why. Whoever is at the other end of the socket `watch` is waited for: when
    they are gone, it ends with ConnectionAbortedError. ChildProcessError: the child was ended, perhaps by us (see keep_reserve)."""
    reason = lack_of_memory() if options.fork else None
    fork = options.fork and reason is None
    facts = _core.snapshot(fd, options.values, options.hashes, fork, max(1, options.seconds), watch, keep_reserve)
    return {**facts, "reason": reason or facts["reason"]}


# ---- memory for a fork ----------------------------------------------------------------------------------------------


def lack_of_memory() -> str | None:
    """Why a fork would be a risk, or None. The child shares all pages; it needs tables of its own (2 % of what is resident) and
    copies of the pages that this process writes to meanwhile. How many nobody knows before: a tenth of all is for most a lot in the
    second or so that it lives, and those that write more are stopped by keep_reserve()."""
    rss = resident()
    need = rss // 50 + 16 * MEBIBYTE + rss // 10
    spare = min(spare_bytes(), default=None)
    if spare is None or spare >= need:
        return None
    return f"a fork may need {need // MEBIBYTE} MiB and only {spare // MEBIBYTE} MiB are free"


def keep_reserve() -> None:
    """Called every 50 ms while the child lives: ChildProcessError, which ends it and frees the copies, when there is no room for
    what this process may write until the next look. The kernel would end the child first, too, where it may say so of itself."""
    spare = min(spare_bytes(), default=None)
    if spare is not None and spare < 4 * MEBIBYTE + min(resident() // 20, 64 * MEBIBYTE):
        raise ChildProcessError(
            f"the forked child that writes the snapshot was ended, for only {spare // MEBIBYTE} MiB of memory were left, and each "
            "page that the process writes to meanwhile takes one more: try again when it is quieter, or with --no-fork"
        )


def resident() -> int:
    """Bytes of this process that are in memory; 0 where nobody says."""
    with suppress(OSError, ValueError, IndexError), open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    return 0


def spare_bytes() -> Iterator[int]:
    """What the machine has left, and what each control group that this process is in has left."""
    with suppress(OSError, ValueError), open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024
    for folder in groups():
        with suppress(OSError, ValueError):
            limit = read_int(folder, "memory.max", "memory.limit_in_bytes")
            used = read_int(folder, "memory.current", "memory.usage_in_bytes")
            yield max(0, limit - used + reclaimable(folder))


def groups() -> Iterator[str]:
    """Folders of the memory control groups, from this process's own to the root's, by version 2 or 1."""
    with suppress(OSError), open("/proc/self/cgroup") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            root = "/sys/fs/cgroup" + ("/memory" if controllers else "")
            while True:
                yield root + path.rstrip("/")
                if path in ("", "/"):
                    break
                path = os.path.dirname(path)


def read_int(folder: str, *names: str) -> int:
    """The number in the first of these files that is there; ValueError for `max`."""
    for name in names:
        with suppress(FileNotFoundError), open(os.path.join(folder, name)) as file:
            return int(file.read())
    raise FileNotFoundError(folder)


def reclaimable(folder: str) -> int:
    """File pages that the kernel would give up first."""
    with suppress(OSError, ValueError), open(os.path.join(folder, "memory.stat")) as file:
        for line in file:
            if line.startswith(("inactive_file ", "total_inactive_file ")):
                return int(line.split()[1])
    return 0
