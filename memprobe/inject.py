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
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from memprobe.errors import AttachError

SCRIPT = """\
def start(folder, package):
    import os, shutil, sys
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
        shutil.rmtree(folder, ignore_errors=True)
__import__("_thread").start_new_thread(start, ({folder!r}, {package!r}))
del start
"""

HELP = "start the program with `memprobe run SCRIPT`, or let it call memprobe.agent.start()"


DENIED = "Process {} denies the agent: MEMPROBE_AGENT=off is in its environment."


class Unavailable(Exception):
    """This way in is not open: the reason, in a few words."""


@dataclass(frozen=True)
class Errand:
    """The script's folder: as this process sees it, and as the other does."""

    here: str
    there: str

    @property
    def script(self) -> str:
        return self.there + "/start.py"


def start(pid: int, uid: int, *, gdb: bool, patience: float, ready: Callable[[], bool]) -> str:
    """Start the agent in a process of user `uid`; returns by which means, when `ready()` says that it can be reached.

    Raises AttachError when no way is open (naming each with its reason), when the process denies the agent or it could not
    start there, or when the process has not come to it in `patience` seconds."""
    if denied(pid):
        raise AttachError(DENIED.format(pid))
    reasons = []
    for name, way in (("sys.remote_exec", by_remote_exec), ("gdb", by_gdb if gdb else without_gdb)):
        errand = prepare(pid, uid)
        try:
            way(pid, errand)
        except BaseException as problem:
            shutil.rmtree(errand.here, ignore_errors=True)
            if not isinstance(problem, Unavailable):
                raise
            reasons.append(f"{name}: {problem}")
            continue
        await_report(pid, errand, patience, ready)
        return name
    raise AttachError(f"Process {pid} has no memprobe agent, and none can be started in it ({'; '.join(reasons)}): {HELP}.")


def denied(pid: int) -> bool:
    """Whether the process said so when it started; whether it does now is asked there, by agent.start()."""
    with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        return any(
            entry.lower() in (b"memprobe_agent=off", b"memprobe_agent=0", b"memprobe_agent=no")
            for entry in file.read().split(b"\0")
        )
    return False


def prepare(pid: int, uid: int) -> Errand:
    """The folder with the script, readable by the process's user alone."""
    root = f"/proc/{pid}/root"
    try:
        same = os.path.samestat(os.stat("/"), os.stat(root))
    except FileNotFoundError:
        raise AttachError(f"Process {pid} has ended.") from None
    except PermissionError:
        same = True
    if same or not os.access(root + "/tmp", os.W_OK | os.X_OK):
        root = ""
    there = f"/tmp/memprobe-{secrets.token_hex(8)}"
    errand = Errand(root + there, there)
    os.mkdir(errand.here, 0o700)
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with open(errand.here + "/start.py", "x", encoding="utf-8") as file:
        file.write(SCRIPT.format(folder=there, package=package))
    if uid != os.geteuid():
        os.chown(errand.here + "/start.py", uid, -1)
        os.chown(errand.here, uid, -1)
    return errand


def await_report(pid: int, errand: Errand, patience: float, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError), open(errand.here + "/report") as file:
            said = file.read()
            shutil.rmtree(errand.here, ignore_errors=True)
            if said == "started" and ready():
                return
            if said == "denied":
                raise AttachError(DENIED.format(pid))
            raise AttachError(
                f"The agent could not start in process {pid} ({said}): install memprobe-heap in its environment, for its Python."
            )
        if not os.path.exists(f"/proc/{pid}"):
            shutil.rmtree(errand.here, ignore_errors=True)
            raise AttachError(f"Process {pid} ended before the agent could start.")
        time.sleep(0.02)
    with suppress(OSError):
        open(errand.here + "/late", "x").close()  # the script cleans up when it runs after all
    raise AttachError(
        f"Process {pid} has been asked to start the agent, but has not run Python code in its main thread for {patience:g} s (it "
        "sleeps, or is in C code): it starts when that returns; ask again then."
    )


# ---- sys.remote_exec ------------------------------------------------------------------------------------------------


def by_remote_exec(pid: int, errand: Errand) -> None:
    remote_exec = getattr(sys, "remote_exec", None)
    if remote_exec is None:
        raise Unavailable(f"needs CPython 3.14 on both sides, and this is {sys.version_info[0]}.{sys.version_info[1]}")
    try:
        remote_exec(pid, errand.script)
    except PermissionError:
        raise Unavailable("this user may not trace the process: ask as root, or see docs/PRODUCTION.md") from None
    except (OSError, RuntimeError, ValueError) as problem:
        raise Unavailable(f"{str(problem).rstrip('.')} (the process runs {executable(pid)})") from None


def executable(pid: int) -> str:
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe")
    return "an unknown program"


# ---- gdb ------------------------------------------------------------------------------------------------------------

MAPPING = 4096  # bytes
GDB_SECONDS = 60.0
ATTEMPTS = 5
UNSAFE = re.compile(r"\bin (\w*[Pp]ending\w*|PyMutex\w*|_PyMutex\w*|mmap\w*|PyRun_SimpleString\w*) ")


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
