"""What the kernel tells of a process to everybody, or to those who may ask: the files of /proc/PID. Nothing is raised where a file
cannot be read, but by status(), which tells whether there is such a process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from memprobe import _core

GONE = ("", "Z", "X")  # states of what will not run again


def status(pid: int) -> dict[str, list[str]]:
    """The words of /proc/PID/status by their names. FileNotFoundError or ProcessLookupError: there is no such process."""
    lines = read(f"/proc/{pid}/status").splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


def read(path: str) -> str:
    """The text of a file of the kernel's. OSError when it cannot be read."""
    return _core.read_file(path).decode(errors="replace")


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third, the state, on; none when there is no such process."""
    with suppress(OSError):
        return read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return []


def state(pid: int) -> str:
    """The letter that the kernel has for what a process does; none when there is no such process."""
    return next(iter(stat(pid)), "")


def born(pid: int) -> int | None:
    """When a process started, in the kernel's ticks; None when there is none."""
    fields = stat(pid)
    return int(fields[19]) if fields else None


def environment(pid: int) -> dict[str, str]:
    """The environment that a process started with; empty when this user may not see it."""
    with suppress(OSError):
        entries = _core.read_file(f"/proc/{pid}/environ").split(b"\0")
        return {name: value for name, _, value in (os.fsdecode(entry).partition("=") for entry in entries)}
    return {}


def groups(pid: int | str) -> Iterator[tuple[list[str], str]]:
    """The control groups of a process: the controllers of each (none in version 2) and its path."""
    with suppress(OSError):
        for line in read(f"/proc/{pid}/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            yield controllers.split(",") if controllers else [], path
