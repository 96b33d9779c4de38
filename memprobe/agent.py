"""The agent: a thread that lets `memprobe snapshot PID` ask this process for a snapshot.

    import memprobe
    memprobe.agent.start()

It waits on a unix socket that only this user can reach, checks by the kernel's word that the asker is this user or root, and
writes the snapshot to a file that the asker opened, so that it lands with the asker's permissions. Askers are served one after
the other. What goes wrong is told to the asker and never to the service. Forked children get an agent of their own.

MEMPROBE_AGENT=off in the environment denies it, whatever the program says."""

from __future__ import annotations

import atexit
import os
import socket
import stat
import sys
import threading
import time
from contextlib import suppress

from memprobe import _capture, _wire

PATIENCE = 10.0  # seconds that an asker may take for its request


class _Agent:
    """The listening socket and its thread, of one process."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.pid = os.getpid()
        self.uid = os.geteuid()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _wire.address(place, self.pid, self.uid, make=True) as address:
                with suppress(FileNotFoundError):
                    os.unlink(address)  # of an earlier process with this id
                self.listener.bind(address)
                os.chmod(address, 0o600)
            self.listener.listen(8)
            thread = threading.Thread(target=self.serve, name="memprobe-agent", daemon=True)
            thread.start()
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


def _do(request: _wire.Message, fds: list[int], asker: int, watch: int) -> _wire.Message:
    verb = request.get("verb")
    if verb == "ping":
        return {"pid": os.getpid(), "python": sys.version}
    if verb != "snapshot":
        raise ValueError(f"this agent does not know {verb!r}: use the same version of memprobe on both sides.")
    if len(fds) != 1 or not stat.S_ISREG(os.fstat(fds[0]).st_mode):
        raise ValueError("a snapshot needs one file to write to.")
    sys.audit("memprobe.snapshot", f"for process {asker}")
    return _capture.write(fds[0], _capture.Options.of(request), watch)


# ---- one agent a process --------------------------------------------------------------------------------------------

_agent: _Agent | None = None
_lock = threading.Lock()
_hooked = False


def start() -> str | None:
    """Start the agent, unless it runs already. Returns its socket's path, or None when MEMPROBE_AGENT=off denies it.

    Raises OSError when the socket cannot be made, with the reason. The thread does not keep the process alive."""
    global _agent, _hooked
    if os.environ.get("MEMPROBE_AGENT", "").lower() in ("off", "0", "no"):
        return None
    with _lock:
        if _agent is None or _agent.pid != os.getpid():
            place = _wire.folder(os.geteuid(), os.environ.get("XDG_RUNTIME_DIR"))
            sys.audit("memprobe.agent", place)
            _agent = _Agent(place)
            if not _hooked:
                os.register_at_fork(after_in_child=_rearm)
                atexit.register(stop)
                _hooked = True
        return _agent.path


def stop() -> None:
    """Stop the agent; without one, nothing happens."""
    global _agent
    with _lock:
        if _agent is not None and _agent.pid == os.getpid():
            _agent.close()
        _agent = None


def _rearm() -> None:
    """A forked child has no helper thread, and its parent's socket is not its own."""
    global _agent, _lock
    _lock = threading.Lock()
    if _agent is not None:
        _agent.listener.close()
        _agent = None
        with suppress(Exception):
            start()
