"""Start the agent in a running process that has none: by sys.remote_exec (CPython 3.14 and newer), or by gdb.

Both make the main thread run one line, when it next runs Python code: a script that starts a thread and no more. The thread imports
memprobe and starts the agent; how that went is told in a file beside the script, in a folder of the process's own user, in the
process's own view of the file system (it may be a container)."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from memprobe import _wire
from memprobe.errors import AttachError

SCRIPT = """\
def start(folder, package):
    import os, sys
    try:
        try:
            from memprobe import agent
        except ImportError:
            sys.path.append(package)
            try:
                from memprobe import agent
            finally:
                sys.path.remove(package)
        said = "denied" if agent.start() is None else "started"
    except BaseException as problem:
        said = f"{{type(problem).__name__}}: {{problem}}"
    with open(folder + "/new", "w") as file:
        file.write(said)
    os.rename(folder + "/new", folder + "/report")
    if os.path.exists(folder + "/late"):
        for name in os.listdir(folder):
            os.unlink(folder + "/" + name)
        os.rmdir(folder)
__import__("_thread").start_new_thread(start, ({folder!r}, {package!r}))
del start
"""

PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # a container may have a /tmp that cannot be written to, or none
HELP = "start the program with `memprobe run SCRIPT`, or let it call memprobe.agent.start()"


DENIED = "Process {} denies the agent: MEMPROBE_AGENT=off is in its environment."


class Unavailable(Exception):
    """This way in is not open: the reason, in a few words."""


@dataclass(frozen=True)
class Errand:
    """The script's folder: `here` as this process reaches it, for as long as it is held, and `there` as the other names it."""

    here: str
    there: str

    @property
    def script(self) -> str:
        return self.there + "/start.py"


def start(pid: int, uid: int, *, gdb: bool, patience: float, ready: Callable[[], bool]) -> str:
    """Start the agent in a process of user `uid`; returns by which means, when `ready()` says that it can be reached.

    Raises AttachError when no way is open (naming each with its reason), when the process denies the agent or it could not
    start there, or when the process has not come to it in `patience` seconds."""
    if _wire.denied(_wire.environment(pid)):  # what it has now is looked at there, by agent.start()
        raise AttachError(DENIED.format(pid))
    reasons = []
    for name, way in (("sys.remote_exec", by_remote_exec), ("gdb", by_gdb if gdb else without_gdb)):
        with prepared(pid, uid) as errand:
            try:
                way(pid, errand)
            except Unavailable as problem:
                reasons.append(f"{name}: {problem}")
                continue
            await_report(pid, errand, patience, ready)
            return name
    raise AttachError(f"Process {pid} has no memprobe agent, and none can be started in it ({'; '.join(reasons)}): {HELP}.")


@contextmanager
def prepared(pid: int, uid: int) -> Iterator[Errand]:
    """The folder with the script, readable by the process's user alone, in its own view of the file system. All goes through
    descriptors: they hold when the process ends, and nobody there can lead us elsewhere by a symbolic link. It is gone
    afterwards, unless the process has yet to come to the script, which then removes it."""
    name = f"memprobe-{secrets.token_hex(8)}"
    outer, there = made(pid, name)
    inner = -1
    try:
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=outer)
        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        errand = Errand(f"/proc/self/fd/{inner}", f"{there}/{name}")
        with open(errand.here + "/start.py", "x", encoding="utf-8") as file:
            file.write(SCRIPT.format(folder=errand.there, package=package))
            os.fchown(file.fileno(), uid, -1)
        os.fchown(inner, uid, -1)
        yield errand
    finally:
        if inner < 0 or "late" not in os.listdir(inner) or "report" in os.listdir(inner):
            shutil.rmtree(f"/proc/self/fd/{outer}/{name}", ignore_errors=True)
        for fd in filter(lambda fd: fd >= 0, (inner, outer)):
            os.close(fd)


def made(pid: int, name: str) -> tuple[int, str]:
    """Make a folder where the process can read it: a descriptor of the one that it is in, and that one's name there."""
    root = f"/proc/{pid}/root"
    if not os.access(root + "/", os.X_OK):
        root = ""  # who may not look there can only hope that it is ours
    problem: OSError | None = None
    for place in PLACES:
        with suppress(FileNotFoundError):
            outer = os.open(root + place, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.mkdir(name, 0o700, dir_fd=outer)
                return outer, place
            except OSError as error:
                os.close(outer)
                problem = error
    if not os.path.exists(f"/proc/{pid}"):
        raise AttachError(f"Process {pid} has ended.")
    why = f" ({problem.strerror})" if problem else ""
    raise AttachError(
        f"No agent can be started in process {pid}, for nothing can be written to its {', '.join(PLACES)}{why}: {HELP}."
    )


def await_report(pid: int, errand: Errand, patience: float, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError), open(errand.here + "/report", opener=unled) as file:
            said = file.read(4096)
            if said == "started" and ready():
                return
            if said == "denied":
                raise AttachError(DENIED.format(pid))
            raise AttachError(
                f"The agent could not start in process {pid} ({said}): install memprobe-heap in its environment, for its Python."
            )
        if not os.path.exists(f"/proc/{pid}"):
            raise AttachError(f"Process {pid} ended before the agent could start.")
        time.sleep(0.02)
    with suppress(OSError):
        open(errand.here + "/late", "x").close()  # the script cleans up when it runs after all
    raise AttachError(
        f"Process {pid} has been asked to start the agent, but has not run Python code in its main thread for {patience:g} s (it "
        "sleeps, or is in C code): it starts when that returns; ask again then."
    )


def unled(path: str, flags: int) -> int:
    """Open what another user may have put there: no symbolic link is followed, and no pipe waited for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


# ---- sys.remote_exec ------------------------------------------------------------------------------------------------


def by_remote_exec(pid: int, errand: Errand) -> None:
    remote_exec = getattr(sys, "remote_exec", None)
    if remote_exec is None:
        raise Unavailable(f"needs CPython 3.14 on both sides, and this is {sys.version_info[0]}.{sys.version_info[1]}")
    try:
        with shown(errand.script):
            remote_exec(pid, errand.script)
    except PermissionError:
        raise Unavailable("this user may not trace the process: ask as root, or see docs/PRODUCTION.md") from None
    except (OSError, RuntimeError, ValueError) as problem:
        program = executable(pid)
        where = "" if os.path.exists(program) else " in a container: ask in there"  # CPython reads that file here
        raise Unavailable(f"{str(problem).rstrip('.')} (the process runs {program}{where})") from None


@contextmanager
def shown(script: str) -> Iterator[None]:
    """sys.remote_exec looks for the script here, too. It may be in another mount namespace: then an empty one stands for it."""
    if os.path.exists(script):
        yield
        return
    folder = os.path.dirname(script)
    os.mkdir(folder, 0o700)
    try:
        open(script, "x").close()
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def executable(pid: int) -> str:
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe")
    return "an unknown program"


# ---- gdb ------------------------------------------------------------------------------------------------------------

MAPPING = 4096  # bytes
GDB_SECONDS = 60.0
ATTEMPTS = 5
UNSAFE = re.compile(r"\bin (\w*[Pp]ending\w*|PyMutex\w*|_PyMutex\w*|mmap\w*) ")


def without_gdb(pid: int, errand: Errand) -> None:
    raise Unavailable("it stops the process for a second or so, and must be allowed with --gdb")


def by_gdb(pid: int, errand: Errand) -> None:
    """Have the main thread add a pending call, which the interpreter makes when it is ready for one. No Python code runs in the
    stopped process, and nothing is allocated there but one page from the kernel, for the text of the call."""
    program = shutil.which("gdb")
    if program is None:
        raise Unavailable("gdb is not installed here")
    for _ in range(ATTEMPTS):
        if Debugger(program, pid).add_pending_call(f"exec(open({errand.script!r}).read(), {{}})"):
            return
        time.sleep(0.05)
    raise Unavailable(f"the main thread was {ATTEMPTS} times in a place where it could not be interrupted")


class Debugger:
    """gdb on a process, by its command line."""

    def __init__(self, program: str, pid: int) -> None:
        self.pid = pid
        self.deadline = time.monotonic() + GDB_SECONDS
        environment = {**os.environ, "LC_ALL": "C", "DEBUGINFOD_URLS": ""}
        self.process = subprocess.Popen(
            [program, "-nx", "-q", "-ex", "set confirm off", "-ex", "set height 0", "-ex", "set width 0", f"--pid={pid}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C is for us: gdb must first let the process go
        )

    def say(self, command: str) -> str:
        """Give a command; returns what it printed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        mark = f"<{secrets.token_hex(8)}>"
        with suppress(BrokenPipeError):
            self.process.stdin.write(f"{command}\necho \\n{mark}\\n\n".encode())
            self.process.stdin.flush()
        lines: list[str] = []
        for line in iter(self.process.stdout.readline, b""):
            text = line.decode(errors="replace")
            if mark in text and "echo" not in text:
                break
            lines.append(text)
        return "".join(lines)

    def value(self, expression: str) -> int:
        """The value of an expression that may call functions."""
        said = self.say(f"print/x {expression}")
        found = re.search(r"\$\d+ = 0x([0-9a-f]+)", said)
        if found is None:
            raise Unavailable(f"gdb could not do it: {(said.strip().splitlines() or ['it ended'])[-1]}")
        return int(found[1], 16)

    def add_pending_call(self, line: str) -> bool:
        """True when the call is pending; False when the main thread is where a lock of the interpreter may be held."""
        text = line.encode()
        assert len(text) < MAPPING and text.isascii()
        try:
            attached = self.say("set unwindonsignal on")
            if "ptrace" in attached or "No such process" in attached:
                raise Unavailable("this user may not trace the process: ask as root, or see docs/PRODUCTION.md")
            if UNSAFE.search(self.say("backtrace 32")):
                return False
            page = self.value(
                f"((unsigned long (*)(void *, unsigned long, int, int, int, long)) mmap)(0, {MAPPING}, 3, 0x22, -1, 0)"
            )
            if page >= 1 << 63:
                raise Unavailable("the process could not have one page of memory")
            for at in range(0, len(text), 64):
                piece = text[at : at + 64]
                self.say(f"set {{unsigned char[{len(piece)}]}} {page + at:#x} = {{{', '.join(map(str, piece))}}}")
            call = f"((int (*)(void *, void *)) Py_AddPendingCall)((void *) &PyRun_SimpleString, (void *) {page:#x})"
            return self.value(call) == 0
        finally:
            self.end()

    def end(self) -> None:
        """Let the process go."""
        with suppress(OSError, ValueError):
            self.process.communicate(b"detach\nquit\n", timeout=10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
