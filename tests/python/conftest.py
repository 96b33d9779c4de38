"""What the tests of the package share: running the command, and programs that have the agent."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

import memprobe

needs_remote_exec = pytest.mark.skipif(not hasattr(sys, "remote_exec"), reason="sys.remote_exec came with CPython 3.14")


def gdb_cannot() -> str:
    """Why gdb, without us, cannot call a function in a plain process here; nothing when it can, or may not trace at all."""
    if shutil.which("gdb") is None:
        return "gdb is not installed here"
    with subprocess.Popen(["sleep", "60"]) as victim:
        command = ["gdb", "-nx", "-batch", "-p", str(victim.pid), "-ex", "call (int)getpid()"]
        try:
            said = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
        except subprocess.TimeoutExpired:  # as beneath a sanitizer
            return "gdb hangs on this machine"
        finally:
            victim.kill()
    broken = "extended state status"  # gdb 13 and a processor with more registers than it knows
    return f"gdb cannot call functions on this machine: {broken}" if broken in said.stderr else ""


GDB_CANNOT = gdb_cannot()
needs_gdb = pytest.mark.skipif(bool(GDB_CANNOT), reason=GDB_CANNOT or "gdb works")

FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")
JEMALLOC = next((path for folder in FOLDERS if (path := Path(folder, "libjemalloc.so.2")).exists()), None)
needs_jemalloc = pytest.mark.skipif(JEMALLOC is None, reason="there is no libjemalloc.so.2 here")

NO_TRACING = "this sandbox lets nobody trace a process"
PATIENCE = 120  # seconds: for a machine that does ten things at once, never for what is tested


def skip_without_tracing(said: str) -> None:
    """Skip the test when the command, or an exception, says so."""
    if "may not trace" in said:
        pytest.skip(NO_TRACING)


def until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait for it; False when the time is up."""
    deadline = time.monotonic() + seconds
    while not (done := bool(condition())) and time.monotonic() < deadline:
        time.sleep(0.01)
    return done


@contextmanager
def skipped_without_tracing() -> Iterator[None]:
    try:
        yield
    except memprobe.AttachError as problem:
        skip_without_tracing(str(problem))
        raise


class Result:
    """A command's end."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self) -> str:
        return f"exit code {self.code}\n---- stdout\n{self.out}\n---- stderr\n{self.err}"


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for sockets of this test alone."""
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.delenv("MEMPROBE_AGENT", raising=False)
    return folder


@pytest.fixture
def python(tmp_path: Path, runtime: Path) -> Callable[..., Result]:
    """Run this interpreter to its end, in tmp_path."""

    def run(*arguments: object, before: tuple[str, ...] = (), **environment: str) -> Result:
        command = [*before, sys.executable, *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return Result(done)

    return run


@pytest.fixture
def command(python: Callable[..., Result]) -> Callable[..., Result]:
    """Run `memprobe ...` to its end, in tmp_path."""
    return lambda *arguments, **more: python("-m", "memprobe", *arguments, **more)


class Program:
    """A running program that said it was ready, and waits for a line of input to go on."""

    started: ClassVar[set[int]] = set()  # numbers of all

    def __init__(self, folder: Path, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        self.started.add(self.pid)
        self.said = self.line()

    def line(self) -> str:
        assert self.process.stdout is not None and self.process.stderr is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return line.strip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> Result:
        out, err = self.process.communicate("\n", timeout=PATIENCE)
        return Result(subprocess.CompletedProcess([], self.process.returncode, out, err))

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def script_folders() -> set[str]:
    """Of agents that were to be started in programs of ours; others may run the tests at the same time."""
    names = (re.fullmatch(r"memprobe-(\d+)-[0-9a-f]{16}", name) for name in os.listdir("/tmp"))
    return {name[0] for name in names if name and int(name[1]) in Program.started}


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """The folders of scripts are gone after the test."""
    before = script_folders()
    yield
    assert script_folders() == before


@pytest.fixture
def program(tmp_path: Path, runtime: Path) -> Iterator[Callable[..., Program]]:
    """Start programs; those that still run afterwards are killed."""
    started: list[Program] = []

    def start(source: str, *options: str) -> Program:
        script = tmp_path / f"program-{len(started)}.py"
        script.write_text(source)
        started.append(Program(tmp_path, [sys.executable, *options, str(script)]))
        return started[-1]

    yield start
    for one in started:
        if one.process.stdout and not one.process.stdout.closed:
            one.kill()
