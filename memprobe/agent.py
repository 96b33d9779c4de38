"""The agent: a thread that lets `memprobe snapshot PID` ask this process for a snapshot.

    import memprobe
    memprobe.agent.start()

It waits on a unix socket that only this user can reach, checks by the kernel's word that the asker is this user or root, and
writes the snapshot to a file that the asker opened, so that it lands with the asker's permissions. Askers are served one after
the other. What goes wrong is told to the asker and never to the service. Forked children get an agent of their own.

MEMPROBE_AGENT=off in the environment denies it, whatever the program says."""

from __future__ import annotations

import atexit
import errno
import os
import signal as signals
import socket
import stat
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from memprobe import _capture, _native, _wire

if TYPE_CHECKING:
    from memprobe._triggers import Triggers

PATIENCE = 10.0  # seconds that an asker may take for its request


class _Agent:
    """The listening socket and its thread, of one process."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.pid = os.getpid()
        self.uid = os.geteuid()
        self.listener: socket.socket = _native.original("socket", "socket")(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _wire.address(place, self.pid, self.uid, make=True) as address:
                new = f"{address}.new"  # what has its own name listens: sweep() tells the dead by that
                with suppress(FileNotFoundError):
                    os.unlink(new)
                self.listener.bind(new)
                os.chmod(new, 0o600)
                self.listener.listen(8)
                os.rename(new, address)  # over that of an earlier process with this id
                with suppress(OSError):
                    sweep(os.path.dirname(address))
            _native.start_thread(self.serve)
        except BaseException:
            self.listener.close()
            raise

    @property
    def path(self) -> str:
        return os.path.join(self.place, str(self.pid))

    def close(self) -> None:
        """Stop listening. A request under way is answered."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self.listener.close()
        with suppress(OSError):
            os.unlink(self.path)

    def serve(self) -> None:
        while True:
            try:
                asker, _ = self.listener.accept()
            except OSError:
                if self.listener.fileno() < 0:
                    return
                time.sleep(1.0)  # the process may be out of descriptors for a while
                continue
            with asker, suppress(Exception):
                self.answer(asker)

    def answer(self, asker: socket.socket) -> None:
        asker.settimeout(PATIENCE)
        fds: list[int] = []
        try:
            request, fds = _wire.receive(asker)  # first, so that a refusal finds the asker listening
            pid, uid = _wire.peer(asker)
            if uid not in (self.uid, 0):
                raise PermissionError(f"process {self.pid} answers only its own user and root.")
            reply = {"ok": _do(request, fds, pid, asker.fileno())}
        except BaseException as problem:  # MemoryError and what a hook of the service raises are for the asker, too
            kind, number = type(problem).__name__, getattr(problem, "errno", None)
            message = getattr(problem, "strerror", None) or str(problem)
            reply = {"error": {"kind": kind, "message": message, "errno": number}}
        finally:
            for fd in fds:
                os.close(fd)
        asker.settimeout(PATIENCE)
        _wire.send(asker, reply)


def sweep(folder: str) -> None:
    """Remove the sockets of processes that are gone. A process that is killed or ends by os._exit, as forked workers do, leaves its
    own. In another pid namespace a process may live that is not seen here, so the socket is asked as well."""
    for name in filter(str.isdigit, os.listdir(folder)):
        if not os.path.exists(f"/proc/{name}"):
            with _native.original("socket", "socket")(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.setblocking(False)
                if probe.connect_ex(f"{folder}/{name}") == errno.ECONNREFUSED:
                    os.unlink(f"{folder}/{name}")


def _do(request: _wire.Message, fds: list[int], asker: int, watch: int) -> _wire.Message:
    verb = request.get("verb")
    if verb == "ping":
        return {"pid": os.getpid(), "python": sys.version}
    if verb != "snapshot":
        raise ValueError(f"this agent does not know {verb!r}: use the same version of memprobe on both sides.")
    if len(fds) != 1 or not stat.S_ISREG(os.fstat(fds[0]).st_mode):
        raise ValueError("a snapshot needs one file to write to.")
    options = _capture.Options.of(request)
    if options.values and not _values:
        raise PermissionError(
            f"process {os.getpid()} gives no contents: it must call memprobe.agent.start(values=True), "
            "or be started by `memprobe run --values`."
        )
    sys.audit("memprobe.snapshot", f"for process {asker or 'outside this container'}")
    return _capture.write(fds[0], options, watch)


# ---- one agent a process --------------------------------------------------------------------------------------------

_agent: _Agent | None = None
_triggers: Triggers | None = None
_values = False
_lock = threading.Lock()
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
    by a tenth since, and `every` so many seconds. They go to `directory`; the last `keep` of this process stay. By signal and
    limit there is one in 30 seconds at most. Only with `values` does the agent give contents of strings to those who ask for
    them.

    Called again, it changes these settings, and an agent that runs already goes on. The threads do not keep the process alive.
    Raises OSError when the socket cannot be made or the directory is not there, and ValueError for a wrong argument."""
    global _agent, _triggers, _values, _hooked
    if _wire.denied(os.environ):
        return None
    make = None
    if signal is not None or rss_limit is not None or every is not None:
        from memprobe._triggers import Triggers, Wanted

        make = partial(Triggers, Wanted.checked(signal, rss_limit, every, os.fspath(directory), keep))
    with _lock:
        if _agent is None or _agent.pid != os.getpid():
            place = _wire.folder(os.geteuid(), os.environ.get("XDG_RUNTIME_DIR"))
            sys.audit("memprobe.agent", place)
            _agent = _Agent(place)
            if not _hooked:
                os.register_at_fork(after_in_child=_rearm)
                atexit.register(stop)
                _hooked = True
        _values = values
        if _triggers is not None:
            _triggers.close()
        _triggers = make() if make else None
        return _agent.path


def start_from(environment: Mapping[str, str]) -> str | None:
    """Start with settings from environment variables: MEMPROBE_SIGNAL, MEMPROBE_RSS_LIMIT, MEMPROBE_EVERY, MEMPROBE_DIRECTORY and
    MEMPROBE_KEEP."""
    settings: dict[str, Any] = {}
    for name, kind in (("signal", signal_number), ("rss_limit", str), ("every", float), ("directory", str), ("keep", int)):
        text = environment.get(f"MEMPROBE_{name.upper()}")
        if text:
            settings[name] = kind(text)
    return start(**settings)


def signal_number(text: str) -> int:
    """10, USR1 or SIGUSR1."""
    if text.isdecimal():
        return int(text)
    try:
        return signals.Signals["SIG" + text.upper().removeprefix("SIG")]
    except KeyError:
        raise ValueError(f"{text!r} is no signal: write SIGUSR2, for example.") from None


def stop() -> None:
    """Stop the agent; without one, nothing happens."""
    global _agent, _triggers
    with _lock:
        if _agent is not None and _agent.pid == os.getpid():
            _agent.close()
            if _triggers is not None:
                _triggers.close()
        _agent = _triggers = None


def _rearm() -> None:
    """A forked child has no helper threads, and its parent's socket is not its own."""
    global _agent, _triggers, _lock
    _lock = threading.Lock()
    if _agent is not None:
        _agent.listener.close()
        settings: dict[str, Any] = {}
        if _triggers is not None:
            _triggers.forget()
            settings = dict(vars(_triggers.wanted))
        _agent = _triggers = None
        with suppress(Exception):
            start(**settings, values=_values)
