"""The agent: a thread that lets `memprobe snapshot PID` ask this process for a snapshot.

    import memprobe
    memprobe.agent.start()

It waits on a unix socket that only this user can reach, checks by the kernel's word that the client is this user or root, and
writes the snapshot to a file that the client opened, so that it lands with the client's permissions. Clients are served one after
the other. Errors are reported to the client and never to the service. Forked children get an agent of their own.

MEMPROBE_AGENT=off in the environment denies it, whatever the program says."""

from __future__ import annotations

import atexit
import errno
import os
import secrets
import signal as signals
import socket
import stat
import struct
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from memprobe import _capture, _core, _native, _wire
from memprobe.errors import UnsupportedError

if TYPE_CHECKING:
    from memprobe._triggers import Triggers

REST = 5  # seconds between two looks whether our socket is still there
PATIENCE = 10.0  # seconds that a client may take for its request
ELSEWHERE = (errno.ENOENT, errno.EROFS, errno.EACCES, errno.ENOSPC, errno.ENOTDIR)  # no socket here: try the next folder


class _Agent:
    """The listening socket and its thread, of one process."""

    def __init__(self, places: list[str]) -> None:
        self.places = places
        self.pid = os.getpid()
        self.uid = os.geteuid()
        self.closed = False
        self.held = self.listen()
        with suppress(OSError), _wire.address(os.path.dirname(self.path), "", self.uid) as folder:
            sweep(folder)
        try:
            _native.start_thread(self.serve)
        except RuntimeError as problem:
            self.close()
            raise OSError(errno.EAGAIN, f"the agent has no thread: {problem}") from None
        except BaseException:
            self.close()
            raise

    def listen(self) -> _native.Held:
        """Make the socket, in the first folder that can have it: another user may have made ours."""
        problems = []
        for place in self.places:
            try:
                return self.listen_in(place)
            except OSError as problem:
                if problem.errno not in ELSEWHERE:
                    raise
                problems.append(problem)
        raise problems[0]

    def listen_in(self, place: str) -> _native.Held:
        held = _native.Held.unix_socket()
        try:
            with _wire.address(place, "", self.uid, make=True) as folder, held.as_socket() as listener:
                first, *others = _wire.names(self.pid, "self")
                name = others[0] if others and listens(folder + first) else first
                new = f"{folder}{name}.{secrets.token_hex(4)}.new"  # what has its own name listens: sweep() tells the dead by that
                listener.bind(new)
                os.chmod(new, 0o600)
                listener.listen(8)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", REST, 0))
                self.file = os.stat(new).st_ino
                os.rename(new, folder + name)  # over that of an earlier process with this id
            self.path = os.path.join(place, name)
        except BaseException:
            held.close()
            raise
        return held

    def reachable(self) -> bool:
        """Whether the socket can be found, too."""
        with suppress(OSError):
            return not self.closed and self.held.intact() and os.stat(self.path).st_ino == self.file
        return False

    def close(self) -> None:
        """Stop listening, once: the next agent's file may have the number of ours. A request under way is answered."""
        if not self.closed:
            self.closed = True
            self.drop()

    def drop(self) -> None:
        """Take the socket away."""
        if self.held.intact():
            with suppress(OSError), self.held.as_socket() as listener:
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self.held.close()
        with suppress(OSError):
            if os.stat(self.path).st_ino == self.file:
                os.unlink(self.path)

    def serve(self) -> None:
        try:
            while not self.closed:
                try:
                    self.mend()
                    client = self.next_client()
                except OSError:
                    if not self.closed:
                        _native.original("time", "sleep")(1.0)  # the process may be out of descriptors for a while
                    continue
                if client is not None and client.intact():
                    with client, suppress(Exception):  # the client is gone
                        self.answer(client)
        except Exception:  # a hook of the program's
            pass
        finally:
            self.close()  # who asks now is told that nobody answers

    def mend(self) -> None:
        """The program may have closed all descriptors, as daemons do."""
        if not self.held.intact() and not self.closed:
            self.held.close()
            self.held = self.listen()
            if self.closed:  # meanwhile
                self.drop()

    def next_client(self) -> _native.Held | None:
        """Who asks; None when nobody did for a while, and it is time to look whether the socket is still there. The kernel keeps
        the time, so that who comes while it waits is answered, also when the program has closed the descriptor since."""
        try:
            return _native.Held.client(self.held.fd)
        except BlockingIOError:
            return None

    def answer(self, held: _native.Held) -> None:
        with held.as_socket() as client:
            self.talk(client, held)

    def talk(self, client: socket.socket, held: _native.Held) -> None:
        client.settimeout(PATIENCE)
        lent: list[_native.Held] = []
        try:
            request, lent = _wire.receive(client)  # first, so that a refusal finds the client listening
            pid, uid = _wire.peer(client)
            if uid not in (self.uid, 0):
                raise PermissionError(f"process {self.pid} answers only its own user and root.")
            reply = {"ok": _do(request, lent, pid, held.fd)}
        except BaseException as problem:  # MemoryError and what a hook of the service raises are for the client, too
            kind, number = type(problem).__name__, getattr(problem, "errno", None)
            message = getattr(problem, "strerror", None) or str(problem)
            reply = {"error": {"kind": kind, "message": message, "errno": number}}
        finally:
            for one in lent:
                one.close()
        if held.intact():
            client.settimeout(PATIENCE)
            _wire.send(client, reply)


def listens(address: str) -> bool:
    """Whether a process is behind a socket, seen here or not."""
    with _native.Held.unix_socket() as held, held.as_socket() as probe:
        probe.setblocking(False)
        return probe.connect_ex(address) not in (errno.ECONNREFUSED, errno.ENOENT)


def sweep(folder: str) -> None:
    """Remove the sockets of processes that are gone. A process that is killed or ends by os._exit, as forked workers do, leaves its
    own. In another pid namespace a process may live that is not seen here, so the socket is asked as well."""
    for name in _core.list_folder(folder):
        number, _, namespace = name.partition(".")
        a_socket = number.isdigit() and (not namespace or namespace.isdigit())
        if a_socket and not os.path.exists(f"/proc/{number}") and not listens(folder + name):
            os.unlink(folder + name)


def _do(request: _wire.Message, lent: list[_native.Held], client: int, watch: int) -> _wire.Message:
    verb = request.get("verb")
    if verb == "ping":
        return {"pid": os.getpid(), "python": sys.version}
    if verb != "snapshot":
        raise ValueError(f"this agent does not know {verb!r}: use the same version of memprobe on both sides.")
    if len(lent) != 1 or not stat.S_ISREG(os.fstat(lent[0].fd).st_mode):
        raise ValueError("a snapshot needs one file to write to.")
    options = _capture.Options.of(request)
    if options.values and not _values:
        raise PermissionError(
            f"process {os.getpid()} gives no contents: it must call memprobe.agent.start(values=True), "
            "or be started by `memprobe run --values`."
        )
    sys.audit("memprobe.snapshot", f"for process {client or 'outside this container'}")
    return _capture.write(lent[0], options, watch)


# ---- one agent a process --------------------------------------------------------------------------------------------

_agent: _Agent | None = None
_triggers: Triggers | None = None
_values = False
_lock = threading.RLock()  # a signal handler of the program may call us while we are at it
_hooked = False


def start(
    *,
    signal: int | None = None,
    rss_limit: int | str | None = None,
    every: float | None = None,
    directory: str | os.PathLike[str] = ".",
    keep: int = 5,
    values: bool = False,
) -> str | None:
    """Start the agent. Returns its socket's path, or None when MEMPROBE_AGENT=off denies it.

    The process also takes snapshots of itself when asked to: at a `signal` (its number; the handler only wakes a thread, so it
    works while C code runs), when its resident memory is beyond `rss_limit` (bytes, or "2GiB") and each time that it has grown
    by a tenth since (a forked child counts from its parent's), and `every` so many seconds. They go to `directory`; the last
    `keep` of this process stay. By signal and limit there is one in 30 seconds at most. Only with `values` does the agent give
    contents of strings to those who ask for them.

    Called again, it changes these settings, and an agent that runs already goes on. The threads do not keep the process alive.
    Raises OSError when the socket cannot be made or the directory is not there, ValueError for a wrong argument, and
    UnsupportedError in a subinterpreter, which could not end while a thread of ours is in it."""
    global _triggers, _values
    if _wire.denied(os.environ):
        return None
    make = None
    if signal is not None or rss_limit is not None or every is not None:
        from memprobe._triggers import Triggers, Wanted

        make = partial(Triggers, Wanted.checked(signal, rss_limit, every, os.fspath(directory), keep))
    with _lock:
        path = _running()
        _values = values
        written: list[str] = []
        if _triggers is not None:
            _triggers.close(harmless=signal == _triggers.wanted.signal)
            written = _triggers.written
        _triggers = make(written) if make else None
        return path


def ensure() -> str | None:
    """Start the agent if there is none that can be reached; settings stay as they are. As start() otherwise."""
    if _wire.denied(os.environ):
        return None
    with _lock:
        return _running()


def _running() -> str:
    """The socket's path of this process's agent, which is made if there is none that can be reached."""
    global _agent, _hooked
    if not _core.is_main_interpreter():
        raise UnsupportedError("An agent cannot be started in a subinterpreter: call memprobe.agent.start() in the main one.")
    if _agent is not None and _agent.pid == os.getpid():
        if _agent.reachable():
            return _agent.path
        _agent.close()
    uid = os.geteuid()
    places = _wire.folders(uid, runtime_folder(uid))
    sys.audit("memprobe.agent", places[0])
    _agent = _Agent(places)
    if not _hooked:
        os.register_at_fork(after_in_child=_rearm)
        atexit.register(_leave)
        _hooked = True
    return _agent.path


def runtime_folder(uid: int) -> str | None:
    """XDG_RUNTIME_DIR, if it is this user's: `su` and `sudo -E` hand on that of another one."""
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    with suppress(OSError):
        return folder if os.path.isdir(folder) and os.stat(folder).st_uid == uid else None
    return None


def start_from(environment: Mapping[str, str]) -> str | None:
    """Start with settings from environment variables: MEMPROBE_SIGNAL, MEMPROBE_RSS_LIMIT, MEMPROBE_EVERY, MEMPROBE_DIRECTORY and
    MEMPROBE_KEEP."""
    settings: dict[str, Any] = {}
    for name, kind in (("signal", signal_number), ("rss_limit", str), ("every", float), ("directory", str), ("keep", int)):
        text = environment.get(f"MEMPROBE_{name.upper()}")
        if text:
            try:
                settings[name] = kind(text)
            except ValueError as problem:
                raise ValueError(f"MEMPROBE_{name.upper()}: {problem}") from None
    return start(**settings)


def signal_number(text: str) -> int:
    """10, USR1 or SIGUSR1."""
    if text.isdecimal():
        return int(text)
    try:
        return signals.Signals["SIG" + text.upper().removeprefix("SIG")]
    except KeyError:
        raise ValueError(f"{text!r} is no signal: write SIGUSR2, for example.") from None


def memory(*, detail: bool = False) -> dict[str, int | None]:
    """Numbers of this process's memory, for gauges that are asked for every minute. It needs no agent.

    resident_bytes, peak_resident_bytes, anonymous_bytes, file_bytes, shared_memory_bytes and swapped_bytes as the kernel counts
    them; threads; cgroup_used_bytes and cgroup_limit_bytes of the control group with the least limit. They cost a few files of
    /proc, whatever the size of the process. The rest is None unless `detail`: proportional_bytes, private_bytes, shared_bytes,
    libraries_bytes, stacks_bytes, python_allocator_bytes and malloc_bytes, and of the last two what is in use (…_used_bytes). For
    those the kernel looks at each page: 60 to 125 ms for each resident GiB, without the GIL. None also is what is not known."""
    from memprobe._gauges import gauges

    return gauges(detail)


def stop() -> None:
    """Stop the agent; without one, nothing happens."""
    _stop(leaving=False)


def _leave() -> None:
    """At the interpreter's end."""
    _stop(leaving=True)


def _stop(leaving: bool) -> None:
    global _agent, _triggers
    with _lock:
        if _agent is not None and _agent.pid == os.getpid():
            _agent.close()
            if _triggers is not None:
                _triggers.close(harmless=leaving)
        _agent = _triggers = None


def _rearm() -> None:
    """A forked child has no helper threads, and its parent's socket is not its own."""
    global _agent, _triggers, _lock
    _lock = threading.RLock()
    if _agent is not None:
        _agent.held.close()
        settings: dict[str, Any] = {}
        before = _triggers
        if before is not None:
            before.forget()
            settings = dict(vars(before.wanted))
        _agent = _triggers = None
        for more in ({}, settings):  # an agent at least, where the triggers cannot be had
            with suppress(Exception):
                start(**more, values=_values)
        if before is not None and _triggers is not None:
            _triggers.limit = before.limit  # what the parent's snapshot told already is no news
