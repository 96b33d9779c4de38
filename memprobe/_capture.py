"""From what a snapshot is asked to be to a file: the options, the memory that a fork may need, and the call."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from memprobe import _core, _proc
from memprobe._native import Held

MEBIBYTE = 1 << 20

os.register_at_fork(after_in_child=_core.forget_snapshots)


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


def write(file: Held, options: Options, watch: int = -1) -> dict[str, Any]:
    """Write the whole heap of this process to a file; returns what it cost, as _core.snapshot says.

    A child is forked for it, unless the options, the interpreter, the kernel or a lack of memory forbid: then this process
    stands still while it writes, and `reason` says why. Whoever is at the other end of the socket `watch` is waited for: when
    they are gone, it ends with ConnectionAbortedError. ChildProcessError: the child was ended, perhaps by us (see reserve)."""
    if file.identity is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    groups = limited_groups()
    lack, reason = lacks(groups)
    reason = reason or stranger()
    fork = options.fork and reason is None
    if lack and not fork:
        raise ChildProcessError(f"{lack}: there is none")
    watched = [group[:3] for group in groups if group.watched]
    facts = _core.snapshot(
        file.fd, options.values, options.hashes, fork, max(1, options.seconds), watch, reserve(), watched, file.identity
    )
    return {**facts, "reason": (options.fork and reason) or facts["reason"]}


def stranger() -> str | None:
    """Of a thread that called unshare(CLONE_NEWPID) a child would be the first process of its namespace, and when that ends nobody
    can be forked into it any more. Until it has a process that namespace cannot be looked at."""
    own, childrens = "/proc/thread-self/ns/pid", "/proc/thread-self/ns/pid_for_children"
    with suppress(OSError):
        known = os.path.lexists(childrens) and os.path.exists(own)  # to this kernel, and to us
        if known and not (os.path.exists(childrens) and os.path.samefile(own, childrens)):
            return "children of this thread are in a pid namespace of their own"
    return None


# ---- memory for a fork ----------------------------------------------------------------------------------------------
# A child that is ended gives its pages back after a while, and whoever takes memory in that while may be ended as well, unless
# it was the kernel that chose the child, for then the others wait. So a limit is left to the kernel where it will choose the
# child, and where it will not we end the child ourselves, long before.

UNLIMITED = 1 << 60  # bytes: version 1 has a number where version 2 says `max`


class Group(NamedTuple):
    """A limit of a control group, and the files that tell its use and what that consists of."""

    use: str
    more: str
    limit: int  # bytes
    watched: bool  # what happens at the limit would not end the child alone


def lacks(groups: list[Group]) -> tuple[str | None, str | None]:
    """Why any snapshot, and why one by a fork, would be a risk; None where it would not. It needs tables and buffers of its own
    (2 % of what is resident and 12 MiB). A fork needs copies of the pages that this process writes to meanwhile as well: how many,
    nobody knows before. A tenth of all is a lot in the second or so that the child lives; what comes of more is said above."""
    size = resident()
    tables, copies = size // 50 + 12 * MEBIBYTE, size // 10 + 4 * MEBIBYTE
    left = _core.room_left([group[:3] for group in groups])
    watched = _core.room_left([group[:3] for group in groups if group.watched])
    for_fork = less("a fork", watched, tables + copies + reserve()) or less("a fork", left, tables + copies)
    return less("a snapshot", left, tables), for_fork


def less(what: str, left: int, need: int) -> str | None:
    return None if left >= need else f"{what} may need {need // MEBIBYTE} MiB and only {left // MEBIBYTE} MiB are free"


def reserve() -> int:
    """The child is ended when fewer bytes than this are left on the machine or in a watched group: what this process may write
    until the child has gone."""
    return resident() // 5 + 16 * MEBIBYTE


def resident() -> int:
    """Bytes of this process that are in memory; 0 where nobody says."""
    with suppress(OSError, ValueError, IndexError):
        return int(_core.read_file("/proc/self/statm").split()[1]) * os.sysconf("SC_PAGESIZE")
    return 0


def limited_groups() -> list[Group]:
    """The limits of the memory control groups, version 2 or 1, that this process is in.

    At its limit the kernel ends the process of a group that says it can be missed, as the child does where it may, unless the
    group is to be ended as a whole; beyond memory.high it slows all of them down until they stand."""
    found: list[Group] = []
    watched = not os.access("/proc/self/oom_score_adj", os.W_OK)  # as in a process that gave up root's rights
    for folder in groups():
        watched = watched or read_int(f"{folder}/memory.oom.group") == 1
        use = "memory.current" if os.path.exists(f"{folder}/memory.current") else "memory.usage_in_bytes"
        for name in ("memory.max", "memory.limit_in_bytes", "memory.high"):
            limit = read_int(f"{folder}/{name}")
            if limit is not None and limit < UNLIMITED:
                found.append(Group(f"{folder}/{use}", f"{folder}/memory.stat", limit, watched or name == "memory.high"))
    return found


def groups() -> Iterator[str]:
    """Folders of the memory control groups, from this process's own to the root's."""
    for controllers, path in _proc.groups("self"):
        if controllers and "memory" not in controllers:
            continue
        root = "/sys/fs/cgroup" + ("/memory" if controllers else "")
        while True:
            yield root + path.rstrip("/")
            if path in ("", "/"):
                break
            path = os.path.dirname(path)


def read_int(path: str) -> int | None:
    """The number in a file; None for `max`, and where there is no such file."""
    with suppress(OSError, ValueError):
        return int(_core.read_file(path))
    return None
