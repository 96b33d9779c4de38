"""How a client and an agent talk: JSON messages with their length before them, on a unix socket that both find by the process's id.

A request is {"verb": "snapshot", "values": bool} with the file to write to beside it, or {"verb": "ping"}. A reply is {"ok": {...}}
or {"error": {"kind": str, "message": str, "errno": int or None}}. One request a connection."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from memprobe._native import Held

LENGTH = struct.Struct("!I")
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
LARGEST = 1 << 20

Message = dict[str, Any]


class WireError(Exception):
    """The other side closed the connection or does not speak this protocol."""


def send(to: socket.socket, message: Message, fds: tuple[int, ...] = ()) -> None:
    """Send a message, and descriptors beside its first bytes. Never raises SIGPIPE in a process that did not ignore it."""
    body = json.dumps(message).encode()
    data = LENGTH.pack(len(body)) + body
    rest = data[socket.send_fds(to, [data], list(fds), socket.MSG_NOSIGNAL) :] if fds else data
    if rest:  # sending nothing would fail when the other side has all it wants and is gone
        to.sendall(rest, socket.MSG_NOSIGNAL)


def receive(source: socket.socket) -> tuple[Message, list[Held]]:
    """The next message, and the descriptors beside it, which are the caller's to close."""
    source.recv(1, socket.MSG_PEEK)  # waits, and takes nothing
    head, sent, lost = Held.message(source.fileno(), LENGTH.size)
    try:
        if lost:
            raise WireError("the process has no descriptor left for the file")
        (length,) = LENGTH.unpack(head + exactly(source, LENGTH.size - len(head)))
        if length > LARGEST:
            raise WireError("a message is too long")
        message = json.loads(exactly(source, length))
        if not isinstance(message, dict):
            raise WireError("a message is no object")
        return message, sent
    except BaseException as problem:
        for one in sent:
            one.close()
        if isinstance(problem, ValueError):
            raise WireError("a message is not JSON") from None
        raise


def exactly(source: socket.socket, size: int) -> bytes:
    """The next `size` bytes."""
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            raise WireError("the connection was closed")
        data += more
    return data


def peer(of: socket.socket) -> tuple[int, int]:
    """Process and user on the other side, as the kernel knows them."""
    pid, uid, _ = CREDENTIALS.unpack(of.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    return pid, uid


# ---- what the environment says ---------------------------------------------------------------------------------------


def denied(variables: Mapping[str, str]) -> bool:
    """Whether there is to be no agent."""
    return variables.get("MEMPROBE_AGENT", "").lower() in ("off", "0", "no")


# ---- where the socket is --------------------------------------------------------------------------------------------


def folders(uid: int, runtime: str | None) -> list[str]:
    """Where a user's agents may have their sockets, the best first; `runtime` is their XDG_RUNTIME_DIR, if they have one."""
    own = [os.path.join(runtime, "memprobe")] if runtime and os.path.isabs(runtime) else []
    return [*own, f"/tmp/memprobe-{uid}", f"/dev/shm/memprobe-{uid}"]


def names(number: int, process: int | str) -> list[str]:
    """What the socket of a process may be called, by the number that it has for itself. The second name is for where containers
    share a folder, and another process has the first. `process` is its number here, or "self"."""
    found = [str(number)]
    with suppress(OSError):
        found.append(f"{number}.{os.stat(f'/proc/{process}/ns/pid').st_ino}")
    return found


@contextmanager
def address(place: str, name: int | str, uid: int, make: bool = False) -> Iterator[str]:
    """The socket's address, for as long as the block runs. It goes through a descriptor of the folder, so that it is short however
    long the path is, and means the folder that was checked: it must belong to the user and let nobody else in."""
    if make:
        with suppress(FileExistsError):
            os.mkdir(place, mode=0o700)
    with Held.open(place, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW) as folder:
        found = os.fstat(folder.fd)
        if found.st_uid != uid:
            raise PermissionError(errno.EACCES, f"It belongs to another user than {uid}: have it removed", place)
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise PermissionError(f"{place} is not private to user {uid}: remove it, and start the agent again.")
        yield f"/proc/self/fd/{folder.fd}/{name}"
