"""Getting into a process that has no agent: by sys.remote_exec, by gdb, or with a sentence that says what to do (trap T22)."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import NO_TRACING, needs_gdb, needs_remote_exec, script_folders, skip_without_tracing, skipped_without_tracing, until

import memprobe
from memprobe import _proc, attach, inject

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


pytestmark = pytest.mark.usefixtures("nothing_left")


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
    for _ in range(2):
        with pytest.raises(memprobe.AttachError, match=r"has not run Python code in its main thread for 0.3 s .* ask again"):
            attach.snapshot_process(service.pid, tmp_path / "a.snap")
    assert sum(f"-{service.pid}-" in name for name in script_folders()) == 1  # the process knows of the second script alone

    def answers() -> bool:
        agent = attach.reach(service.pid, os.geteuid())
        if agent is not None:
            agent.close()
        return agent is not None

    assert until(answers, 30)  # it starts when the sleep is over, and cleans up after an asker that did not wait
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
    with skipped_without_tracing():
        check(service, "gdb", tmp_path)


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
        os.symlink("ModuleNotFoundError: No module named 'memprobe._core'", errand.here + "/report")
        with pytest.raises(memprobe.AttachError, match=r"could not start .* install memprobe-heap in its environment"):
            inject.await_report(service.pid, errand, 5.0, lambda: True)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("RuntimeError: can't start new thread.", r"\(RuntimeError: can't start new thread\): put that right there"),
        ("started", "was started in process .* but cannot be reached from here"),
        ("denied", "denies the agent"),
    ],
)
def test_what_a_report_means(program, said: str, sentence: str) -> None:
    service = program(PLAIN)
    with inject.prepared(service.pid, os.geteuid()) as errand:
        os.symlink(said, errand.here + "/report")
        with pytest.raises(memprobe.AttachError, match=sentence) as found:
            inject.await_report(service.pid, errand, 5.0, lambda: False)
    assert "install" not in str(found.value) and str(found.value).count(".") == 1


# ---- the script ------------------------------------------------------------------------------------------------------

# As gdb has the main thread do it.
PENDING = """
import ctypes, sys, threading, time
text = ctypes.create_string_buffer(sys.argv[1].encode())
{before}
add = ctypes.pythonapi.Py_AddPendingCall
add.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
assert add(ctypes.cast(ctypes.pythonapi.PyRun_SimpleString, ctypes.c_void_p), ctypes.addressof(text)) == 0
for _ in range(100): time.sleep(0.001)
time.sleep(0.5)
print("goes on", sorted(name for name in globals() if name in ("file", "start", "problem")))
"""
NO_THREAD = "threading.stack_size(1 << 46)"  # as when a limit of processes is reached


def test_a_script_that_is_gone_kills_nobody(python, tmp_path: Path) -> None:
    done = python("-X", "dev", "-c", PENDING.format(before=""), inject.LINE.format(script="/nowhere/start.py"))
    assert done.code == 0 and done.out == "goes on []\n" and not done.err, done


def script(folder: Path) -> str:
    """The line that runs a script in a folder."""
    folder.mkdir()
    package = os.path.dirname(os.path.dirname(memprobe.__file__))
    (folder / "start.py").write_text(inject.SCRIPT.format(folder=str(folder), package=package))
    return inject.LINE.format(script=str(folder / "start.py"))


def test_a_script_that_can_have_no_thread_says_so(python, tmp_path: Path) -> None:
    done = python("-X", "dev", "-c", PENDING.format(before=NO_THREAD), script(tmp_path / "errand"))
    assert done.code == 0 and done.out == "goes on []\n" and not done.err, done
    assert "thread" in os.readlink(tmp_path / "errand" / "report")


def test_a_script_cleans_up_when_nobody_waits(python, tmp_path: Path) -> None:
    line = script(tmp_path / "errand")
    (tmp_path / "errand" / "late").touch()
    done = python("-X", "dev", "-c", PENDING.format(before=""), line)
    assert done.code == 0 and done.out == "goes on []\n" and not done.err, done
    assert not (tmp_path / "errand").exists()


def test_threading_stays_with_the_main_thread(python, tmp_path: Path) -> None:
    """CPython 3.12 and older take the thread that imports it for the main one."""
    source = PENDING.replace("threading, ", "").format(before="assert 'threading' not in sys.modules")
    source += "import threading\nprint(threading.current_thread() is threading.main_thread())"
    done = python("-X", "dev", "-S", "-c", source, script(tmp_path / "errand"))
    if "AssertionError" in done.err:
        pytest.skip("this interpreter imports threading at its start")
    assert done.code == 0 and done.out == "goes on []\nTrue\n" and not done.err, done
    assert os.readlink(tmp_path / "errand" / "report") == "started"


WAYS = [
    pytest.param("sys.remote_exec", marks=needs_remote_exec),
    pytest.param("gdb", marks=[needs_gdb, pytest.mark.skipif(hasattr(sys, "remote_exec"), reason="sys.remote_exec is better")]),
]


@pytest.mark.parametrize("how", WAYS)
def test_a_process_that_can_have_no_thread(program, tmp_path: Path, how: str) -> None:
    service = program(f"import threading; {NO_THREAD}" + PLAIN)
    with skipped_without_tracing(), pytest.raises(memprobe.AttachError, match="thread") as found:
        attach.snapshot_process(service.pid, tmp_path / "a.snap", gdb=how == "gdb")
    assert "put that right there" in str(found.value)
    assert service.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("how", WAYS)
def test_an_asker_that_is_stopped_while_the_process_sleeps(program, tmp_path: Path, how: str, number: int) -> None:
    """The script stays until the process comes to it, and cleans up; nobody hears of it."""
    service, before = program(ASLEEP), script_folders()
    words = [sys.executable, "-m", "memprobe", "snapshot", str(service.pid), *(["--gdb"] if how == "gdb" else [])]
    asker = subprocess.Popen(
        words,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    until(lambda: script_folders() != before or asker.poll() is not None, 5)
    time.sleep(2)
    asker.send_signal(number)
    out, err = asker.communicate(timeout=30)
    skip_without_tracing(err)
    assert asker.returncode == 128 + number and not out and err.startswith("memprobe: stopped") and err.count("\n") == 1, err
    (left,) = script_folders() - before
    assert sorted(os.listdir(f"/tmp/{left}")) == ["late", "start.py"]
    assert until(lambda: script_folders() == before, 30) and service.process.poll() is None
    service.process.terminate()
    assert not service.end().err


# ---- gdb does not answer ---------------------------------------------------------------------------------------------

A_WHILE = 100_000 + os.getpid()  # seconds, and a number that nobody else has
HANGS = f"#!/bin/sh\nexec sleep {A_WHILE}\n"
HANGS_AND_HOLDS = f"#!/bin/sh\ntrap '' INT\nfor word; do pid=${{word#--pid=}}; done\nkill -STOP $pid\nsleep {A_WHILE}\n"


@pytest.mark.parametrize("gdb", [HANGS, HANGS_AND_HOLDS], ids=["hangs", "holds the process"])
def test_a_gdb_that_hangs(program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gdb: str) -> None:
    monkeypatch.delattr(sys, "remote_exec", raising=False)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gdb").write_text(gdb)
    (tmp_path / "bin" / "gdb").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(inject, "GDB_SECONDS", 0.5)
    monkeypatch.setattr(inject, "FAREWELL_SECONDS", 0.5)
    service = program(PLAIN)
    with pytest.raises(memprobe.AttachError, match=r"gdb: gdb did not answer within 0.5 s"):
        attach.snapshot_process(service.pid, tmp_path / "a.snap", gdb=True)
    time.sleep(0.1)
    assert _proc.state(service.pid) in "SR" and service.process.poll() is None
    commands = [Path(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdigit()]
    assert not any(b"sleep\x00%d" % A_WHILE in command.read_bytes() for command in commands if command.exists())


@needs_gdb
def test_a_call_that_does_not_return_is_taken_back(program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inject, "GDB_SECONDS", 3.0)
    service = program(PLAIN)
    debugger = inject.Debugger(shutil.which("gdb") or "", service.pid)
    try:
        if "ptrace" in debugger.say("set unwindonsignal on"):
            pytest.skip(NO_TRACING)
        with pytest.raises(inject.Unavailable, match="gdb did not answer within 3 s"):
            debugger.value("((unsigned (*)(unsigned)) sleep)(300)")
    finally:
        debugger.end()
    assert debugger.process.returncode == 0  # it was not killed
    time.sleep(0.2)
    assert _proc.state(service.pid) in "SR" and service.process.poll() is None


# ---- processes that do not run ---------------------------------------------------------------------------------------


def test_a_frozen_process(program, tmp_path: Path) -> None:
    """Control groups, version 1."""
    group = Path(f"/sys/fs/cgroup/freezer/memprobe-test-{os.getpid()}")
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no freezer can be had here")
    service = program(PLAIN)
    try:
        (group / "cgroup.procs").write_text(str(service.pid))
        (group / "freezer.state").write_text("FROZEN")
        with pytest.raises(memprobe.AttachError, match=rf"Process {service.pid} is frozen \(its container is paused\): "):
            attach.snapshot_process(service.pid, tmp_path / "a.snap", timeout=5)
    finally:
        (group / "freezer.state").write_text("THAWED")
        service.kill()
        while (group / "cgroup.procs").read_text():
            time.sleep(0.01)
        group.rmdir()


@pytest.mark.parametrize(
    ("name", "text", "frozen"),
    [
        ("cgroup.events", "populated 1\nfrozen 1\n", True),
        ("cgroup.events", "populated 1\nfrozen 0\n", False),
        ("unified/cgroup.events", "populated 1\nfrozen 1\n", True),
        ("nothing", "", False),
    ],
)
def test_a_frozen_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, frozen: bool) -> None:
    """Version 2, as its files would be."""
    with open("/proc/self/cgroup") as file:
        path = next((line.strip()[3:] for line in file if line.startswith("0::")), None)
    if path is None:
        pytest.skip("no control groups of version 2")
    place = Path(f"{tmp_path}/{name}")
    place = place.parent / path.lstrip("/") / place.name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    monkeypatch.setattr(attach, "CONTROL_GROUPS", str(tmp_path))
    assert attach.frozen(os.getpid()) is frozen


def test_a_process_that_a_debugger_holds(program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach, "TRACER_SECONDS", 0.1)
    service = program("import memprobe; memprobe.agent.start()" + PLAIN)
    trace = ctypes.CDLL(None).ptrace
    if trace(16, service.pid, 0, 0):  # PTRACE_ATTACH
        pytest.skip(NO_TRACING)
    try:
        os.waitpid(service.pid, os.WUNTRACED)
        with pytest.raises(memprobe.AttachError, match=f"Process {service.pid} is stopped by a debugger: let it go on there"):
            attach.snapshot_process(service.pid, tmp_path / "a.snap", timeout=5)
    finally:
        trace(17, service.pid, 0, 0)  # PTRACE_DETACH
    assert attach.snapshot_process(service.pid, tmp_path / "a.snap").attached == "agent"


def test_a_process_that_is_traced_and_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """strace stops it for a moment at each call."""
    states = ["t", "t", "S"]
    monkeypatch.setattr(_proc, "state", lambda pid: states.pop(0))
    assert not attach.held(4711) and not states


def test_an_agent_with_too_many_askers(runtime: Path) -> None:
    """No answer to the connection itself: the time that one has counts for it, too."""
    (runtime / "memprobe").mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as agent, socket.socket(socket.AF_UNIX) as other:
        agent.bind(str(runtime / "memprobe" / str(os.getpid())))
        agent.listen(0)
        other.connect(agent.getsockname())
        begun = time.monotonic()
        with pytest.raises(memprobe.AttachError, match=r"did not answer in time: it may be busy in C code. Try again."):
            attach.connect(os.getpid(), timeout=0.2)
        assert 0.2 <= time.monotonic() - begun < 10
        agent.accept()[0].close()
        found, how = attach.connect(os.getpid(), timeout=0.2)
        assert how == "agent" and found.getblocking()
        found.close()


# ---- odd answers -----------------------------------------------------------------------------------------------------

GOOD = dict.fromkeys(("objects", "edges", "bytes", "pause_ns", "memory", "duration_ns", "fork_ns", "cow_bytes"), 0)


def answered(reply: object) -> dict[str, object]:
    """What comes of an agent's reply to `snapshot`."""
    ours, theirs = socket.socketpair()
    body = json.dumps(reply).encode()
    with ours, theirs:
        theirs.sendall(struct.pack("!I", len(body)) + body)
        return attach.ask(ours, 4711, {"verb": "snapshot"})


@pytest.mark.parametrize(
    "reply",
    [
        *({"ok": odd} for odd in ({}, "x", None, 7, [], {**GOOD, "mode": 1}, {**GOOD, "mode": "forked", "reason": 3})),
        {"ok": {**GOOD, "mode": "forked", "bytes": "1"}},
        *({"error": odd} for odd in ("boo", {}, None, [], {"message": 3})),
        {},
        {"done": 1},
    ],
)
def test_odd_answers(reply: object) -> None:
    with pytest.raises(memprobe.AttachError, match="Process 4711 answered something .* use the same version on both sides"):
        answered(reply)


def test_answers() -> None:
    good = {**GOOD, "mode": "forked", "reason": None}
    assert answered({"ok": {**good, "new": "of a later version"}})["mode"] == "forked"
    for number, kind in (
        (28, OSError),
        (30, OSError),
        (2, memprobe.AttachError),
        (13, memprobe.AttachError),
        ([], memprobe.AttachError),
    ):
        with pytest.raises(kind, match="what was.*") as found:  # type: ignore[call-overload]
            answered({"error": {"kind": "Odd", "message": "what was.", "errno": number}})
        assert (getattr(found.value, "errno", None) == number) == (kind is OSError)


def test_a_file_that_is_not_whole(tmp_path: Path) -> None:
    with open(tmp_path / "a.snap", "wb") as file:
        file.write(b"12345")
        file.flush()
        attach.check_whole(file.fileno(), 4711, {"bytes": 5})
        with pytest.raises(memprobe.AttachError, match="wrote 1,000 bytes, and the file has 5"):
            attach.check_whole(file.fileno(), 4711, {"bytes": 1000})


def test_a_place_behind_a_symbolic_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is not the last part of the path: an absolute link of a container's would lead into the asker's own files."""
    (tmp_path / "real" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setattr(inject, "PLACES", tuple(str(tmp_path / name) for name in ("link", "link/in", "nothing", "real")))
    fd, place = inject.made(os.getpid(), "errand")
    os.close(fd)
    assert place == str(tmp_path / "real") and (tmp_path / "real" / "errand").is_dir()
    monkeypatch.setattr(inject, "PLACES", (str(tmp_path / "link"),))
    with pytest.raises(memprobe.AttachError, match="nothing can be written to its .*link: start the program"):
        inject.made(os.getpid(), "errand")


# ---- others ----------------------------------------------------------------------------------------------------------


def test_a_process_that_ends_meanwhile(program) -> None:
    service = program(PLAIN)
    with inject.prepared(service.pid, os.geteuid()) as errand:
        service.kill()
        with pytest.raises(memprobe.AttachError, match="ended before the agent could start"):
            inject.await_report(service.pid, errand, 5.0, lambda: True)


def test_a_process_that_lays_traps(program, tmp_path: Path) -> None:
    """It owns the folder: links, files and pipes in it lead nobody anywhere."""
    service = program(PLAIN)
    (tmp_path / "secret").write_text("started")
    with inject.prepared(service.pid, os.geteuid()) as errand:
        os.symlink(tmp_path / "secret", errand.here + "/report")
        with pytest.raises(memprobe.AttachError, match="secret"):
            inject.await_report(service.pid, errand, 5.0, lambda: True)
    for put in (os.mkfifo, os.mkdir, lambda place: Path(place).write_text("started")):
        with inject.prepared(service.pid, os.geteuid()) as errand:
            put(errand.here + "/report")
            with pytest.raises(memprobe.AttachError, match="no reason given"):
                inject.await_report(service.pid, errand, 5.0, lambda: True)
