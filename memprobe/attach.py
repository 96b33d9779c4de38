"""Ask another process for a snapshot: the other side of memprobe.agent."""

from __future__ import annotations

import errno
import math
import os
import pwd
import socket
import time
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from memprobe import _proc, _wire, inject
from memprobe._atomic import replacing
from memprobe._capture import Options
from memprobe.errors import AttachError
from memprobe.heap import Path, snapshot_info
from memprobe.results import SnapshotInfo

PATIENCE = 30.0  # seconds for a process to start the agent when it is asked to
TRACER_SECONDS = 2.0  # that a debugger may stop a process for: gdb of another client, or strace at each call


def snapshot_process(
    pid: int, path: Path, options: Options | None = None, *, timeout: float | None = None, gdb: bool = False
) -> SnapshotInfo:
    """Have process `pid` write a snapshot to a file of ours. It goes on serving.

    The agent in it is asked; where there is none, it is started by sys.remote_exec, if both sides are CPython 3.14 or newer, or by
    gdb, if `gdb` allows it to stop the process for that. `attached` of the answer says which. The file is made as by snapshot().
    Raises AttachError when the process is not there, cannot be given an agent, belongs to another user or does not answer within
    `timeout` seconds (None: however long it takes), and OSError when the file cannot be written."""
    target = os.fspath(path)
    agent, attached = connect(pid, gdb=gdb, timeout=timeout)
    with agent, replacing(target) as file:
        agent.settimeout(timeout)
        facts = ask(agent, pid, {"verb": "snapshot", **(options or Options()).to_dict()}, (file.fd,))
        check_whole(file.fd, pid, facts)
    return replace(snapshot_info(target, facts), attached=attached)


def connect(pid: int, *, gdb: bool = False, timeout: float | None = None) -> tuple[socket.socket, str]:
    """A connection to the agent in a process, checked to be that process, and how it came: "agent" when it was there."""
    refuse_sleepers(pid)
    uid = owner(pid)
    if os.geteuid() not in (uid, 0):
        raise AttachError(f"Process {pid} belongs to user {user(uid)}: ask as that user or as root.")
    agent = reach(pid, uid, timeout)
    if agent is not None:
        return agent, "agent"
    found: list[socket.socket] = []

    def ready() -> bool:
        found.extend(filter(None, [reach(pid, uid, timeout)]))
        return bool(found)

    how = inject.start(pid, uid, gdb=gdb, patience=PATIENCE if timeout is None else timeout, ready=ready)
    return found[0], how


def refuse_sleepers(pid: int) -> None:
    """A process that does not run would never answer."""
    facts = status(pid)
    state = facts["State"][0]
    if state in "ZX":
        raise AttachError(f"Process {pid} has ended; process {facts['PPid'][0]}, which started it, has not taken notice yet.")
    if state == "T":
        raise AttachError(f"Process {pid} is stopped: let it go on (kill -CONT {pid}), and ask again.")
    if state == "t" and held(pid):
        raise AttachError(f"Process {pid} is stopped by a debugger: let it go on there, and ask again.")
    if frozen(pid):
        raise AttachError(
            f"Process {pid} is frozen (its container is paused): let it go on (docker unpause, podman unpause, systemctl thaw), "
            "and ask again."
        )


def held(pid: int) -> bool:
    """Whether a debugger has stopped a process for longer than a moment."""
    deadline = time.monotonic() + TRACER_SECONDS
    while _proc.state(pid) == "t":
        if time.monotonic() >= deadline:
            return True
        time.sleep(0.02)
    return False


CONTROL_GROUPS = "/sys/fs/cgroup"


def frozen(pid: int) -> bool:
    """Whether a control group of the process, version 1 or 2, is frozen; the kernel counts those above it. False where it cannot be
    seen."""
    for controllers, path in _proc.groups(pid):
        if "freezer" in controllers:
            if holds(f"{CONTROL_GROUPS}/freezer{path}/freezer.state", "FROZEN", "FREEZING"):
                return True
        elif not controllers:
            for root in (CONTROL_GROUPS, f"{CONTROL_GROUPS}/unified"):
                if holds(f"{root}{path}/cgroup.events", "frozen 1"):
                    return True
    return False


def holds(path: str, *lines: str) -> bool:
    """Whether a file has one of these lines."""
    with suppress(OSError), open(path, errors="replace") as file:
        return any(line.strip() in lines for line in file)
    return False


def reach(pid: int, uid: int, timeout: float | None = None) -> socket.socket | None:
    """A connection to the agent, if there is one. Its socket is looked for in the process's own view of the file system and
    under the number that it has there. AttachError when one is there that takes no connection within `timeout` seconds."""
    number = inner(pid)
    deadline = time.monotonic() + (math.inf if timeout is None else timeout)
    late = False
    for root in (f"/proc/{pid}/root", ""):
        for place, owner in places(pid, uid):
            for name in _wire.names(number, pid):
                agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    with _wire.address(root + place, name, owner) as address:
                        knock(agent, address, deadline)
                    if _wire.peer(agent)[0] == pid:
                        return agent
                except BlockingIOError:
                    late = True
                except OSError:
                    pass
                agent.close()
    if late:
        raise too_late(pid)
    return None


def knock(agent: socket.socket, address: str, deadline: float) -> None:
    """Connect. An agent that is busy keeps a few clients waiting and no more, and settimeout() does not help those beyond: they get
    BlockingIOError, here when the deadline is over."""
    agent.setblocking(False)
    while True:
        try:
            agent.connect(address)
            break
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.02)
    agent.setblocking(True)


def inner(pid: int) -> int:
    """The number that a process has for itself."""
    return int((status(pid).get("NSpid") or [str(pid)])[-1])


def status(pid: int) -> dict[str, list[str]]:
    """The words of /proc/PID/status, of a process that must be there."""
    try:
        return _proc.status(pid)
    except (FileNotFoundError, ProcessLookupError):
        raise AttachError(f"There is no process {pid}: `pgrep -af python` lists the running ones.") from None


def ask(agent: socket.socket, pid: int, request: _wire.Message, fds: tuple[int, ...] = ()) -> dict[str, Any]:
    """Send a request and return the answer; the agent's error is raised here."""
    try:
        _wire.send(agent, request, fds)
        reply, strangers = _wire.receive(agent)
    except (TimeoutError, BlockingIOError):
        raise too_late(pid) from None
    except (OSError, _wire.WireError) as problem:
        raise AttachError(f"Process {pid} ended, or closed the connection, before the snapshot was whole ({problem}).") from None
    for one in strangers:
        one.close()
    if "ok" not in reply:
        raise failure(pid, reply.get("error"))
    facts = reply["ok"]
    if not isinstance(facts, dict) or (request.get("verb") == "snapshot" and not is_snapshot(facts)):
        raise misunderstood(pid)
    return facts


FACTS = ("objects", "edges", "bytes", "pause_ns", "duration_ns", "fork_ns", "cow_bytes")  # numbers that a snapshot's answer has


def is_snapshot(facts: dict[str, Any]) -> bool:
    """Whether an answer says all that one to a snapshot does."""
    numbers = all(type(facts.get(name)) is int for name in FACTS)
    return numbers and isinstance(facts.get("mode"), str) and isinstance(facts.get("reason", 0), (str, type(None)))


def check_whole(fd: int, pid: int, facts: dict[str, Any]) -> None:
    """The file must have the bytes that the answer says."""
    size = os.fstat(fd).st_size
    if size != facts["bytes"]:
        raise AttachError(
            f"Process {pid} says that it wrote {facts['bytes']:,} bytes, and the file has {size:,}: use the same version of "
            "memprobe on both sides, and ask again."
        )


def too_late(pid: int) -> AttachError:
    return AttachError(f"Process {pid} did not answer in time: it may be busy in C code. Try again.")


def misunderstood(pid: int) -> AttachError:
    return AttachError(
        f"Process {pid} answered something that this version of memprobe does not understand: use the same version on both sides."
    )


OF_THE_FILE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})  # what writing to it can end with


def failure(pid: int, error: object, of_the_file: Container[int] = OF_THE_FILE) -> Exception:
    """The exception for an agent's error: of the file that we gave it, or of the process."""
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return misunderstood(pid)
    message = error["message"].strip().rstrip(".") or "no reason given"
    number = error.get("errno")
    if isinstance(number, int) and number in of_the_file:
        return OSError(number, message)
    return AttachError(f"Process {pid} could not take the snapshot: {error.get('kind', 'Error')}: {message}.")


def owner(pid: int) -> int:
    """The user that a process runs as. Not the owner of /proc/PID, which is root for one that gave up root's rights."""
    return int(status(pid)["Uid"][1])


def user(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def places(pid: int, uid: int) -> Iterator[tuple[str, int]]:
    """Where a process's socket may be, and whose that folder then is: by its own environment as it started, by ours, and where
    there is none. A process that gave up root's rights has it where root's are."""
    runtimes = [_proc.environment(pid).get("XDG_RUNTIME_DIR"), os.environ.get("XDG_RUNTIME_DIR")]
    for owner in dict.fromkeys((uid, os.geteuid())):
        for runtime in dict.fromkeys([*filter(None, runtimes), f"/run/user/{owner}"]):
            yield _wire.folders(owner, runtime)[0], owner
        for folder in _wire.folders(owner, None):
            yield folder, owner
