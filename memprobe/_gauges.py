"""What a process can say of its memory every minute: numbers for gauges, from counters that the kernel keeps. Nothing is walked."""

from __future__ import annotations

import os
from contextlib import suppress

from memprobe import _core, _proc

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
    found["cgroup_used_bytes"], found["cgroup_limit_bytes"] = _core.cgroup_memory()
    account = _core.account() if detail else {}
    if not _core.capabilities()["pools"]:  # a free-threaded interpreter has heaps instead
        account = {fact: value for fact, value in account.items() if not fact.startswith("pools")}
        account = {fact.replace("heaps", "pools"): value for fact, value in account.items()}
    found.update({name: account.get(fact) for name, fact in ACCOUNT.items()})
    return found


def _number(words: list[str]) -> int | None:
    with suppress(ValueError, IndexError):
        return int(words[0])
    return None


def _kibibytes(words: list[str]) -> int | None:
    count = _number(words)
    return None if count is None else count * KIBIBYTE
