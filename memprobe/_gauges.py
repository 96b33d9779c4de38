"""What a process can say of its memory every minute: numbers for gauges, from counters that the kernel keeps. Nothing is walked."""

from __future__ import annotations

import os
from contextlib import suppress

from memprobe import _capture, _core, _proc

KIBIBYTE = 1024
# Names of ours, and lines of /proc/PID/status in KiB.
STATUS = {
    "resident_bytes": "VmRSS",
    "peak_resident_bytes": "VmHWM",
    "anonymous_bytes": "RssAnon",
    "file_bytes": "RssFile",
    "shared_memory_bytes": "RssShmem",
    "swapped_bytes": "VmSwap",
}
# Names of ours, and facts of an account (docs/FORMAT.md): what the kernel or an allocator has to be asked at length for.
ACCOUNT = {
    "proportional_bytes": "proportional",
    "private_bytes": "private",
    "shared_bytes": "shared",
    "libraries_bytes": "images",
    "stacks_bytes": "stacks",
    "python_allocator_bytes": "pools",
    "python_allocator_used_bytes": "pools_used",
    "malloc_bytes": "malloc",
    "malloc_used_bytes": "malloc_used",
}


def gauges(detail: bool = False) -> dict[str, int | None]:
    """See memprobe.agent.memory()."""
    status = _proc.status(os.getpid())
    found: dict[str, int | None] = {name: _kibibytes(status.get(line, [])) for name, line in STATUS.items()}
    found["threads"] = _number(status.get("Threads", []))
    found["cgroup_used_bytes"], found["cgroup_limit_bytes"] = _cgroup()
    account = _core.account() if detail else {}
    found.update({name: account.get(fact) for name, fact in ACCOUNT.items()})
    return found


def _number(words: list[str]) -> int | None:
    with suppress(ValueError, IndexError):
        return int(words[0])
    return None


def _kibibytes(words: list[str]) -> int | None:
    count = _number(words)
    return None if count is None else count * KIBIBYTE


def _cgroup() -> tuple[int | None, int | None]:
    """Use and limit of the control group with the least limit; without a limit, the use of the process's own group."""
    limits = [(group.limit, group.use) for group in _capture.limited_groups()]
    if limits:
        limit, use = min(limits)
        return _capture.read_int(use), limit
    for folder in _capture.groups():
        for name in ("memory.current", "memory.usage_in_bytes"):
            use_now = _capture.read_int(f"{folder}/{name}")
            if use_now is not None:
                return use_now, None
    return None, None
