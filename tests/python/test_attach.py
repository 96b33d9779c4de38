"""Getting into a process that has no agent: by sys.remote_exec, by gdb, or with a sentence that says what to do (trap T22)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import needs_gdb, needs_remote_exec

import memprobe
from memprobe import attach, inject

PLAIN = """
import sys, time, threading
class Marker: pass
markers = [Marker() for _ in range(321)]
print("ready", flush=True)
end = time.monotonic() + 60
while not threading.Event().wait(0.01) and time.monotonic() < end:
    if len(sys.argv) > 1 or "memprobe.agent" in sys.modules: pass
"""
ASLEEP = """
import time
print("ready", flush=True)
time.sleep(6)
while True: time.sleep(0.01)
"""
BUSY = """
import hashlib
print("ready", flush=True)
while True: sum(range(1000)); hashlib.sha256(b"x" * 10_000_000)
"""


def folders() -> list[str]:
    return sorted(name for name in os.listdir("/tmp") if name.startswith("memprobe-") and len(name) == len("memprobe-") + 16)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """The folders of scripts are gone after each test."""
    before = folders()
    yield
    assert folders() == before


def check(service, how: str, tmp_path: Path) -> None:
    """A snapshot is taken, the agent stays, and nothing is left behind."""
    info = attach.snapshot_process(service.pid, tmp_path / "a.snap", gdb=how == "gdb")
    assert info.attached == how and info.mode == "forked"
    assert memprobe.load(tmp_path / "a.snap").info.pid == service.pid
    again = attach.snapshot_process(service.pid, tmp_path / "b.snap")
    assert again.attached == "agent"
    assert service.process.poll() is None
    assert sorted(name for name in os.listdir(tmp_path) if name.endswith("snap")) == ["a.snap", "b.snap"]


@needs_remote_exec
@pytest.mark.parametrize("source", [PLAIN, BUSY], ids=["waiting", "busy"])
def test_remote_exec(program, tmp_path: Path, source: str) -> None:
    check(program(source), "sys.remote_exec", tmp_path)


@needs_remote_exec
def test_remote_exec_waits_for_the_main_thread(program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # T22
    service = program(ASLEEP)
    time.sleep(1)  # until it sleeps
    monkeypatch.setattr(attach, "PATIENCE", 0.3)
    with pytest.raises(memprobe.AttachError, match=r"has not run Python code in its main thread for 0.3 s .* ask again"):
        attach.snapshot_process(service.pid, tmp_path / "a.snap")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:  # it starts when the sleep is over, and cleans up after an asker that did not wait
        agent = attach.reach(service.pid, os.geteuid())
        if agent is not None:
            agent.close()
            break
        time.sleep(0.05)
    assert attach.snapshot_process(service.pid, tmp_path / "a.snap").attached == "agent"
    time.sleep(0.5)


@needs_remote_exec
def test_remote_exec_is_denied(program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMPROBE_AGENT", "off")
    service = program(PLAIN)
    with pytest.raises(memprobe.AttachError, match="denies the agent: MEMPROBE_AGENT=off"):
        attach.snapshot_process(service.pid, tmp_path / "a.snap")
    assert service.process.poll() is None


@needs_remote_exec
def test_remote_exec_is_switched_off(tmp_path: Path, runtime: Path) -> None:
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    environment = {**os.environ, "PYTHON_DISABLE_REMOTE_DEBUG": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as service:
        service.stdout.readline()
        try:
            with pytest.raises(memprobe.AttachError, match=r"none can be started in it \(sys.remote_exec: .*--gdb"):
                attach.snapshot_process(service.pid, tmp_path / "a.snap")
        finally:
            service.kill()


@needs_gdb
@pytest.mark.parametrize("source", [PLAIN, BUSY], ids=["waiting", "busy"])
def test_gdb(program, tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys, "remote_exec", raising=False)
    service = program(source)
    try:
        check(service, "gdb", tmp_path)
    except memprobe.AttachError as problem:
        if "may not trace" in str(problem):
            pytest.skip("this sandbox lets nobody trace a process")
        raise


def test_a_process_that_is_not_python(tmp_path: Path, runtime: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as service:
        try:
            with pytest.raises(
                memprobe.AttachError, match=r"has no memprobe agent, and none can be started in it .*memprobe run"
            ) as found:
                attach.snapshot_process(service.pid, tmp_path / "a.snap")
        finally:
            service.kill()
    assert "gdb: it stops the process" in str(found.value)
    assert os.listdir(tmp_path) == ["runtime"]


@needs_gdb
def test_gdb_on_a_process_that_is_not_python(tmp_path: Path, runtime: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as service:
        try:
            with pytest.raises(memprobe.AttachError, match=r"gdb: (gdb could not do it|this user may not)"):
                attach.snapshot_process(service.pid, tmp_path / "a.snap", gdb=True)
            assert service.poll() is None
        finally:
            service.kill()


def test_a_package_that_cannot_be_imported_there(tmp_path: Path, program, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the other process's Python had no memprobe: the reason is told."""
    service = program(PLAIN)
    with inject.prepared(service.pid, os.geteuid()) as errand:
        Path(errand.here, "report").write_text("ModuleNotFoundError: No module named 'memprobe._core'")
        with pytest.raises(memprobe.AttachError, match=r"could not start .* install memprobe-heap in its environment"):
            inject.await_report(service.pid, errand, 5.0, lambda: True)


def test_a_process_that_ends_meanwhile(program) -> None:
    service = program(PLAIN)
    with inject.prepared(service.pid, os.geteuid()) as errand:
        service.kill()
        with pytest.raises(memprobe.AttachError, match="ended before the agent could start"):
            inject.await_report(service.pid, errand, 5.0, lambda: True)


def test_a_process_that_lays_traps(program, tmp_path: Path) -> None:
    """It owns the folder: links and pipes in it lead nobody anywhere."""
    service = program(PLAIN)
    (tmp_path / "secret").write_text("started")
    with inject.prepared(service.pid, os.geteuid()) as errand:
        os.symlink(tmp_path / "secret", errand.here + "/report")
        with pytest.raises(OSError, match="symbolic links"):
            inject.await_report(service.pid, errand, 5.0, lambda: True)
    with inject.prepared(service.pid, os.geteuid()) as errand:
        os.mkfifo(errand.here + "/report")
        with pytest.raises(memprobe.AttachError, match="could not start"):
            inject.await_report(service.pid, errand, 5.0, lambda: True)
