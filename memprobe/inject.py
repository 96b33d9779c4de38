"""Start the agent in a running process that has none: by sys.remote_exec (CPython 3.14 and newer), or by gdb.

Both make the main thread run one line, when it next runs Python code: a script that starts a thread and no more. It imports
threading first, for CPython 3.12 and older take the thread that does for the main one. The new thread imports memprobe and starts
the agent. The report of how that went is the text of a symbolic link beside the script, in a folder of the process's own user, in
the process's own view of the file system (it may be a container). A link is written and read whole, and needs no descriptor: a
program that closes all descriptors meanwhile and opens files of its own can have neither closed nor written to by the report.
What imports have open is open for a moment, as in any thread that imports."""

from __future__ import annotations

import errno
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from memprobe import _proc, _wire
from memprobe.errors import AttachError

SCRIPT = """\
def start(folder, package, obstacle=None):
    import os, sys
    try:
        if obstacle:
            raise obstacle
        try:
            from memprobe import agent
        except ImportError:
            sys.path.append(package)
            try:
                from memprobe import agent
            finally:
                sys.path.remove(package)
        said = "denied" if getattr(agent, "ensure", agent.start)() is None else "started"
    except BaseException as problem:
        said = f"{{type(problem).__name__}}: {{problem}}"
    try:
        os.symlink(said.encode("utf-8", "replace").replace(b"\\0", b"")[:4000], folder + "/report")
        if os.path.exists(folder + "/late"):
            for name in ("start.py", "late", "report"):
                os.unlink(folder + "/" + name)
            os.rmdir(folder)
    except OSError:
        pass
try:
    __import__("threading")
    __import__("_thread").start_new_thread(start, ({folder!r}, {package!r}))
except Exception as problem:
    start({folder!r}, {package!r}, problem)
del start
"""

# What a pending call runs, in the program's __main__. It must not fail, for CPython would raise SystemError in the main thread.
LINE = """\
try: exec("with open({script!r}) as file: text = file.read()\\nexec(text, {{}})", {{}})
except BaseException: pass
"""

PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # a container may have a /tmp that cannot be written to, or none
NO_PLACE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # it is not there, or a symbolic link, which may lead anywhere
HELP = "start the program with `memprobe run SCRIPT`, or let it call memprobe.agent.start()"
DENIED = "Process {} denies the agent: MEMPROBE_AGENT=off is in its environment."
STRANGERS = (
    "Process {} is in a container with users of its own: ask in there (podman exec, docker exec, or nsenter -t {} -U -m -p)."
)


class Unavailable(Exception):
    """This way in is not open: the reason, in a few words."""


@dataclass
class Errand:
    """The script's folder: `here` as this process reaches it, for as long as it is held, and `there` as the other names it. It is
    `asked` when the process was told of it, or may have been."""

    pid: int
    here: str
    there: str
    asked: bool = False

    @property
    def script(self) -> str:
        return self.there + "/start.py"

    def under_way(self) -> bool:
        """Whether the process may still come to the script. Then that finds word here to clean up, for nobody waits for it."""
        if not self.asked or _proc.state(self.pid) in _proc.GONE:
            return False
        with suppress(OSError):
            open(self.here + "/late", "x").close()
        return not os.path.lexists(self.here + "/report")  # looked for last, as the script looks for the word last


def start(pid: int, uid: int, *, gdb: bool, patience: float, ready: Callable[[], bool]) -> str:
    """Start the agent in a process of user `uid`; returns by which means, when `ready()` says that it can be reached.

    Raises AttachError when no way is open (naming each with its reason), when the process denies the agent or it could not
    start there, or when the process has not come to it in `patience` seconds."""
    if _wire.denied(_proc.environment(pid)):  # what it has now is looked at there, by agent.start()
        raise AttachError(DENIED.format(pid))
    refuse_hidden(pid, uid)
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


def refuse_hidden(pid: int, uid: int) -> None:
    """A process whose files this user may not see, or whose users are not ours: an agent in it could not be reached from here."""
    root = f"/proc/{pid}/root"
    try:
        os.stat(root + "/")
    except PermissionError:
        raise AttachError(
            f"Process {pid} shows no memprobe agent, and this user may not look into its files: ask as the same user with the same "
            "capabilities, or as root with CAP_SYS_PTRACE."
        ) from None
    except OSError:
        return
    if not same_users(pid, {uid, os.geteuid()}):
        raise AttachError(STRANGERS.format(pid, pid))


def same_users(pid: int, uids: set[int]) -> bool:
    """Whether users have the same numbers there as here; they have where nobody says."""
    with suppress(OSError, ValueError):
        if os.stat(f"/proc/{pid}/ns/user").st_ino == os.stat("/proc/self/ns/user").st_ino:
            return True
        with open(f"/proc/{pid}/uid_map") as file:
            ranges = [tuple(map(int, line.split())) for line in file]
        return all(any(inside == outside and 0 <= uid - inside < many for inside, outside, many in ranges) for uid in uids)
    return True


@contextmanager
def prepared(pid: int, uid: int) -> Iterator[Errand]:
    """The folder with the script, readable by the process's user alone, in its own view of the file system. All goes through
    descriptors: they hold when the process ends, and nobody there can lead us elsewhere by a symbolic link. It is gone
    afterwards, unless the process has yet to come to the script, which then removes it."""
    name = f"memprobe-{pid}-{secrets.token_hex(8)}"
    outer, there = made(pid, name)
    inner, errand = -1, None
    try:
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=outer)
        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        errand = Errand(pid, f"/proc/self/fd/{inner}", f"{there}/{name}")
        with open(errand.here + "/start.py", "x", encoding="utf-8") as file:
            file.write(SCRIPT.format(folder=errand.there, package=package))
            os.fchown(file.fileno(), uid, -1)
        os.fchown(inner, uid, -1)
        yield errand
    finally:
        if errand is None or not errand.under_way():
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
        outer = -1
        try:
            outer = opened(root, place)
            os.mkdir(name, 0o700, dir_fd=outer)
            return outer, place
        except OSError as error:
            if outer >= 0:
                os.close(outer)
            if error.errno not in NO_PLACE:
                problem = error
    if _proc.state(pid) in _proc.GONE:
        raise AttachError(f"Process {pid} has ended.")
    if problem and problem.errno == errno.EOVERFLOW:  # this user has no number there
        raise AttachError(STRANGERS.format(pid, pid))
    why = f" ({problem.strerror})" if problem else ""
    raise AttachError(
        f"No agent can be started in process {pid}, for nothing can be written to its {', '.join(PLACES)}{why}: {HELP}."
    )


def opened(root: str, place: str) -> int:
    """A descriptor of a folder there. No part of its path may be a symbolic link: an absolute one would lead from our own root."""
    fd = os.open(root + "/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in place.strip("/").split("/"):
        try:
            inner = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    return fd


def await_report(pid: int, errand: Errand, patience: float, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + patience
    while True:
        ended, over = _proc.state(pid) in _proc.GONE, time.monotonic() >= deadline  # looked at first: a last word may be there
        if os.path.lexists(errand.here + "/report"):
            said = report_in(errand)
            if said == "started" and ready():
                return
            raise AttachError(explained(pid, said))
        if ended:
            raise AttachError(f"Process {pid} ended before the agent could start.")
        if over:
            raise AttachError(
                f"Process {pid} has been asked to start the agent, but has not run Python code in its main thread for "
                f"{patience:g} s (it sleeps, or is in C code): it starts when that returns; ask again then."
            )
        time.sleep(0.02)


def explained(pid: int, said: str) -> str:
    """What a report means for somebody who has no agent."""
    if said == "denied":
        return DENIED.format(pid)
    if said == "started":
        return (
            f"The agent was started in process {pid} but cannot be reached from here, for it has other users or folders: ask in "
            "its container, with the number that it has there."
        )
    if said.startswith(("ImportError", "ModuleNotFoundError")):
        return f"The agent could not start in process {pid} ({said}): install memprobe-heap in its environment, for its Python."
    said = said.strip().rstrip(".") or "no reason given"
    return f"The agent could not start in process {pid} ({said}): put that right there, and ask again."


def report_in(errand: Errand) -> str:
    """The text of the report; nothing, if another user put something else there. It is not followed, and nothing is opened."""
    with suppress(OSError):
        return os.readlink((errand.here + "/report").encode()).decode(errors="replace")
    return ""


# ---- sys.remote_exec ------------------------------------------------------------------------------------------------


def by_remote_exec(pid: int, errand: Errand) -> None:
    remote_exec = getattr(sys, "remote_exec", None)
    if remote_exec is None:
        raise Unavailable(f"needs CPython 3.14 on both sides, and this is {sys.version_info[0]}.{sys.version_info[1]}")
    try:
        with shown(errand.script):
            errand.asked = True
            remote_exec(pid, errand.script)
        drop_older(errand)
    except PermissionError:
        errand.asked = False
        raise Unavailable("this user may not trace the process: ask as root, or see docs/PRODUCTION.md") from None
    except (OSError, RuntimeError, ValueError) as problem:
        errand.asked = False
        program = executable(pid)
        where = "" if os.path.exists(program) else " in a container: ask in there"  # CPython reads that file here
        raise Unavailable(f"{str(problem).rstrip('.')} (the process runs {program}{where})") from None


def drop_older(errand: Errand) -> None:
    """A process keeps the name of one script: it will not come to those of clients before, who wait no more."""
    place, own = errand.here + "/..", os.path.basename(errand.there)
    for name in os.listdir(place):
        if name.startswith(f"memprobe-{errand.pid}-") and name != own and os.path.exists(f"{place}/{name}/late"):
            shutil.rmtree(f"{place}/{name}", ignore_errors=True)


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
FAREWELL_SECONDS = 10.0
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
        if Debugger(program, pid).add_pending_call(LINE.format(script=errand.script), errand):
            return
        time.sleep(0.05)
    raise Unavailable(f"the main thread was {ATTEMPTS} times in a place where it could not be interrupted")


class Debugger:
    """gdb on a process, by its command line."""

    def __init__(self, program: str, pid: int) -> None:
        self.pid = pid
        self.was_stopped = _proc.state(pid) == "T"
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
        assert self.process.stdin is not None
        mark = f"<{secrets.token_hex(8)}>"
        with suppress(BrokenPipeError):
            self.process.stdin.write(f"{command}\necho \\n{mark}\\n\n".encode())
            self.process.stdin.flush()
        said = b""
        while f"\n{mark}\n".encode() not in said:
            more = self.read()
            if not more:
                break
            said += more
        return said.decode(errors="replace").partition(f"\n{mark}\n")[0].replace("(gdb) ", "")

    def read(self) -> bytes:
        """More of what it prints; nothing when it has ended."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], max(0.0, self.deadline - time.monotonic()))[0]:
            raise Unavailable(f"gdb did not answer within {GDB_SECONDS:g} s")
        return os.read(self.process.stdout.fileno(), 1 << 16)

    def value(self, expression: str) -> int:
        """The value of an expression that may call functions."""
        return self.number(self.say(f"print/x {expression}"))

    def number(self, said: str) -> int:
        found = re.search(r"\$\d+ = 0x([0-9a-f]+)", said)
        if found is None:
            raise Unavailable(f"gdb could not do it: {(said.strip().splitlines() or ['it ended'])[-1]}")
        return int(found[1], 16)

    def add_pending_call(self, line: str, errand: Errand) -> bool:
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
            errand.asked = True  # perhaps, until gdb has answered
            said = self.say(f"print/x {call}")
            errand.asked = False
            errand.asked = self.number(said) == 0
            return errand.asked
        finally:
            self.end()

    def end(self) -> None:
        """Let the process go. A gdb that does not hear is interrupted first: then it takes back a call that it is making there."""
        farewell: bytes | None = b"detach\nquit\n"
        nudges = (None, signal.SIGINT, signal.SIGKILL)
        for nudge in nudges[time.monotonic() >= self.deadline :]:
            with suppress(OSError, ValueError, subprocess.TimeoutExpired):
                if nudge is not None:
                    os.killpg(self.process.pid, nudge)
                self.process.communicate(farewell, timeout=FAREWELL_SECONDS)
                break
            farewell = None  # it is sent once
        if self.process.returncode != 0 and not self.was_stopped:
            wake(self.pid)


def wake(pid: int) -> None:
    """Let a process go on that a debugger stopped, or had told to stop, when it was killed."""
    with suppress(OSError):
        facts = _proc.status(pid)
        waiting = int(facts["SigPnd"][0], 16) | int(facts["ShdPnd"][0], 16)
        if facts["State"][0] == "T" or waiting >> (signal.SIGSTOP - 1) & 1:
            os.kill(pid, signal.SIGCONT)
