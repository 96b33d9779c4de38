"""Ask another process for a snapshot: the other side of memprobe.agent."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from memprobe import _wire
from memprobe._atomic import replacing
from memprobe._capture import Options
from memprobe.errors import AttachError
from memprobe.heap import Path, snapshot_info
from memprobe.results import SnapshotInfo


def snapshot_process(pid: int, path: Path, options: Options | None = None, *, timeout: float | None = None) -> SnapshotInfo:
    """Have process `pid`, in which an agent runs, write a snapshot to a file of ours. It goes on serving.

    The file is made as by snapshot(). Raises AttachError when the process is not there, has no agent, belongs to another user or
    does not answer within `timeout` seconds (None: however long it takes), and OSError when the file cannot be written."""
    target = os.fspath(path)
    with connect(pid) as agent, replacing(target) as fd:
        agent.settimeout(timeout)
        facts = ask(agent, pid, {"verb": "snapshot", **(options or Options()).to_dict()}, (fd,))
    return snapshot_info(target, facts)


def connect(pid: int) -> socket.socket:
    """A connection to the agent in a process, checked to be that process."""
    uid = owner(pid)
    if os.geteuid() not in (uid, 0):
        raise AttachError(f"Process {pid} belongs to user {user(uid)}: ask as that user or as root.")
    for place in places(pid, uid):
        agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with suppress(OSError):
            with _wire.address(place, pid, uid) as address:
                agent.connect(address)
            if _wire.peer(agent)[0] == pid:
                return agent
        agent.close()
    raise AttachError(
        f"Process {pid} has no memprobe agent: start the program with `memprobe run SCRIPT`, or let it call memprobe.agent.start()."
    )


def ask(agent: socket.socket, pid: int, request: _wire.Message, fds: tuple[int, ...] = ()) -> dict[str, Any]:
    """Send a request and return the answer; the agent's error is raised here."""
    try:
        _wire.send(agent, request, fds)
        reply, strangers = _wire.receive(agent)
    except TimeoutError:
        raise AttachError(f"Process {pid} did not answer in time: it may be stopped, or busy in C code. Try again.") from None
    except (OSError, _wire.WireError) as problem:
        raise AttachError(f"Process {pid} ended, or closed the connection, before the snapshot was whole ({problem}).") from None
    for fd in strangers:
        os.close(fd)
    if "ok" in reply:
        return dict(reply["ok"])
    raise failure(pid, reply.get("error") or {})


def failure(pid: int, error: dict[str, Any]) -> Exception:
    """The exception for an agent's error: of the file that we gave it, or of the process."""
    message = str(error.get("message", "no reason given"))
    if isinstance(error.get("errno"), int):
        return OSError(error["errno"], message)
    return AttachError(f"Process {pid} could not take the snapshot: {error.get('kind', 'Error')}: {message}")


def owner(pid: int) -> int:
    """The user that a process runs as."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except FileNotFoundError:
        raise AttachError(f"There is no process {pid}: `pgrep -af python` lists the running ones.") from None


def user(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def places(pid: int, uid: int) -> Iterator[str]:
    """Where a process's socket may be: by its own environment as it started, by ours, and where there is none."""
    with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        for entry in file.read().split(b"\0"):
            name, _, value = entry.partition(b"=")
            if name == b"XDG_RUNTIME_DIR" and value:
                yield _wire.folder(uid, os.fsdecode(value))
    yield _wire.folder(uid, os.environ.get("XDG_RUNTIME_DIR"))
    yield _wire.folder(uid, f"/run/user/{uid}")
    yield _wire.folder(uid, None)
