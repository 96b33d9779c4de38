"""The verb `snapshot`: of a process by its number, or of a program that is run for it."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

from memprobe import _core, _text, attach
from memprobe._atomic import refuse_special
from memprobe._capture import Options
from memprobe.cli import show
from memprobe.cli.sentences import OF_A_FILE, Cannot
from memprobe.errors import AttachError, SnapshotError
from memprobe.heap import load
from memprobe.results import HeapInfo, SnapshotInfo

GRACE = 10.0  # seconds for a program to end when it is asked to
PATIENCE = 30.0  # seconds for a program to have its agent


def snapshot(options: argparse.Namespace) -> int:
    """memprobe snapshot [PID | -- SCRIPT ... | -m MODULE ...]"""
    if bool(options.program) == (options.pid is not None):
        options.misuse("name one thing: the number of a process, or -- SCRIPT, or -m MODULE")
    if options.keep_running and options.after is None:
        options.misuse("--keep-running needs --after SECONDS")
    if options.after is not None and options.pid is not None:
        options.misuse("--after is for a program that memprobe runs, not for a process that is running")
    if options.pid is not None:
        return of_process(options)
    return of_program_later(options) if options.after is not None else of_program_at_exit(options)


def wanted(options: argparse.Namespace) -> Options:
    """How the snapshot is to be taken, as the command line says."""
    return Options(
        values=options.values, hashes=options.hashes, fork=not options.no_fork, origins_ms=options.origins_ms, native=options.native
    )


def file_name(options: argparse.Namespace, pid: int) -> str:
    """Where the snapshot goes; refused now rather than after a long run when the place cannot take it."""
    path: str = options.output or unused("", pid, ".snap")
    folder = os.path.dirname(path) or "."
    require_folder(folder, "FILE")
    refuse_special(path)
    return path


def require_folder(folder: str, option: str) -> None:
    """Refuse a place that is not there; `option` is what -o takes. OSError when the current folder is gone."""
    shown = os.path.abspath(folder)
    if not os.path.isdir(folder or "."):
        raise Cannot(f"There is no directory {shown}: make it, or choose another place with -o {option}.")


def unused(folder: str, pid: int, ending: str) -> str:
    """A default name that no file has yet: there may be two in one second."""
    stem = os.path.join(folder, f"memprobe-{pid}-{time.strftime('%Y%m%d-%H%M%S')}")
    names = (f"{stem}{more}{ending}" for more in ("", *(f"-{number}" for number in range(2, 1000))))
    return next(name for name in names if not os.path.lexists(name))


def of_process(options: argparse.Namespace) -> int:
    """A process that has the agent."""
    with show.waiting(f"asking process {options.pid}"):
        path = file_name(options, options.pid)
        done = ask(options, path)
    tell(done, options.json)
    return 0


def ask(options: argparse.Namespace, path: str) -> SnapshotInfo:
    """Have the process write its snapshot; of what is no Python, that is said."""
    try:
        return attach.snapshot_process(options.pid, path, wanted(options), timeout=options.timeout, gdb=options.gdb)
    except AttachError:
        other = no_python(options.pid)
        if other is None:
            raise
        raise Cannot(f"Process {options.pid} runs {other}, not Python: `pgrep -af python` lists those that do.") from None


def no_python(pid: int) -> str | None:
    """What a process runs, when that is surely no Python: neither its program nor any file that it has mapped is called so. None
    when it is, or cannot be known."""
    try:
        program = os.readlink(f"/proc/{pid}/exe")
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
            mapped = file.read()
    except OSError:
        return None
    return None if not mapped or "python" in (program + mapped).lower() else os.path.basename(program)


def of_program_at_exit(options: argparse.Namespace) -> int:
    """Run a program to its end; it takes the snapshot itself, before its objects go away."""
    path = file_name(options, os.getpid())
    reader, writer = os.pipe()
    extra = ["--at-exit", os.path.abspath(path), "--report", str(writer), "--how", json.dumps(wanted(options).to_dict())]
    try:
        child = start(options.program, extra, (writer,))
        os.close(writer)
        try:
            code = wait(child) or 0
        except BaseException:
            end(child)
            raise
        report = read_report(reader)
    finally:
        os.close(reader)
    if "error" in report:
        problem = attach.failure(child.pid, report["error"], {*attach.OF_THE_FILE, *OF_A_FILE})  # it opened the file itself
        if isinstance(problem, OSError):
            problem.filename = path
        raise problem
    if "ok" not in report:
        raise Cannot(f"The program ended {how(code)} before a snapshot could be taken: use --after SECONDS.")
    tell(SnapshotInfo(**{**report["ok"], "path": path}), options.json)
    return exit_code(code)


def read_report(reader: int) -> dict[str, Any]:
    """What the program said before it ended; nothing when it could not. Another process may hold the pipe open: do not wait."""
    os.set_blocking(reader, False)
    try:
        return dict(json.loads(os.read(reader, 1 << 16)))
    except (BlockingIOError, ValueError):
        return {}


def of_program_later(options: argparse.Namespace) -> int:
    """Run a program and ask it after a while; then end it, unless it may keep running."""
    child = start(options.program, ["--values"] * options.values, ())
    try:
        path = file_name(options, child.pid)
        connect_when_ready(child)
        with show.waiting(f"snapshot in {options.after:g} s"):
            ended = wait(child, options.after)
        if ended is not None:
            raise Cannot(f"The program ended {how(ended)} before {options.after:g} s: use a shorter --after, or none.")
        tell(attach.snapshot_process(child.pid, path, wanted(options), timeout=options.timeout), options.json)
        if options.keep_running:
            return exit_code(wait(child) or 0)
        return 0
    finally:
        end(child)


def start(program: list[str], extra: list[str], fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
    """The program in a process of its own, with the agent and without this command's modules."""
    return subprocess.Popen([sys.executable, "-m", "memprobe", "run", *extra, *program], pass_fds=fds)


def connect_when_ready(child: subprocess.Popen[bytes]) -> None:
    """Wait until the program has its agent: from then on the clock of --after runs."""
    deadline = time.monotonic() + PATIENCE
    while child.poll() is None:
        agent = attach.reach(child.pid, os.geteuid(), PATIENCE)
        if agent is not None:
            agent.close()
            return
        if time.monotonic() > deadline:
            raise AttachError(f"The program has no agent after {PATIENCE:g} s: is MEMPROBE_AGENT=off in its environment?")
        time.sleep(0.02)
    raise Cannot(f"The program ended {how(child.returncode)} at once: no snapshot was taken.")


def wait(child: subprocess.Popen[bytes], timeout: float | None = None) -> int | None:
    """The program's exit code, or None when it still runs. Ctrl-C is for the program: the terminal sends it there as well."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            return child.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None
        except KeyboardInterrupt:
            continue


def exit_code(ended: int) -> int:
    """A program's as a shell has it: 128 and the number of the signal that ended it."""
    return 128 - ended if ended < 0 else ended


def how(ended: int) -> str:
    """How a program ended, in words."""
    if ended >= 0:
        return f"with exit code {ended}"
    with suppress(ValueError):
        return f"by {signal.Signals(-ended).name}"
    return f"by signal {-ended}"


def end(child: subprocess.Popen[bytes]) -> None:
    """Leave no program behind."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            child.send_signal(signal_number)
        if wait(child, GRACE) is not None:
            return


# ---- what was written -----------------------------------------------------------------------------------------------

COUNTED = 64 << 20  # bytes of a file that is read at once, to say what is in it: eight million objects, some 400 MiB
ROOM = 16  # times the file's size must be free for that


def tell(done: SnapshotInfo, as_json: bool) -> None:
    """Say what was written. Counts are those of the heap, as every other answer has them: the file is read for them, for whoever
    writes it cannot know which objects are memprobe's own. Of a file that is too large for that they are not known."""
    info = counted(done)
    facts = {**done.to_dict(), "file_bytes": done.bytes, **dict.fromkeys(("objects", "edges", "bytes"))}
    if info is not None:
        facts.update(objects=info.objects, edges=info.edges, bytes=info.bytes)
    if as_json:
        show.as_json("memprobe.snapshot/2", facts)
        return
    cost = [line for line in done.lines() if line[0] not in ("path", "objects", "edges", "bytes")]
    known = [] if info is None else [line for line in info.lines() if line[0] in ("objects", "edges", "bytes")]
    size = f"{_text.size(done.bytes)} ({_text.number(done.bytes)})"
    show.facts("Snapshot written", [("path", done.path), *known, ("file bytes", size), *cost])
    show.next_step(f"memprobe summary {shlex.quote(done.path)}", "shows which types the memory goes to")


def counted(done: SnapshotInfo) -> HeapInfo | None:
    """What a file has, as `memprobe info` says it; None when it cannot be read at once."""
    if done.bytes > COUNTED or ROOM * done.bytes > _core.room_left():
        return None
    with suppress(OSError, SnapshotError, MemoryError):
        return load(done.path).info
    return None
