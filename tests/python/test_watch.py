"""The verb watch: snapshots of a running process, some time apart, and what came and stayed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from memprobe import _proc
from memprobe.cli import snapshot, watch
from memprobe.cli.options import parser

LEAKS = """
import memprobe, time
memprobe.agent.start()
class Order: pass
orders = []
print("ready", flush=True)
end = time.monotonic() + {lifetime}
while time.monotonic() < end:
    for _ in range({speed}):
        orders.append(Order())
    time.sleep(0.01)
"""

MALLOCS = """
import ctypes, memprobe, time
memprobe.agent.start()
malloc = ctypes.CDLL(None).malloc
malloc.restype = ctypes.c_void_p
print("ready", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    ctypes.memset(malloc(1_000_000), 1, 1_000_000)
    time.sleep(0.01)
"""


def snapshots(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.endswith(".snap"))


def test_it_names_the_leak(program, command, tmp_path: Path) -> None:
    service = program(LEAKS.format(lifetime=60, speed=50))
    done = command("watch", service.pid, "--every", "1", "--count", "3")
    assert done.code == 0, done
    lines = done.out.splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == [f"snapshot {i} of 3" for i in (1, 2, 3)]
    assert all("forked, the process stood still for" in line for line in lines[:3])
    head = next(index for index, line in enumerate(lines) if line.startswith("held by"))
    assert "__main__.orders" in lines[head + 1] and "Order" in lines[head + 1], done
    assert lines[-2].startswith("Next: memprobe paths")
    assert len(snapshots(tmp_path)) == 3
    assert service.process.poll() is None


def test_until_it_has_grown(program, command, tmp_path: Path) -> None:
    service = program(LEAKS.format(lifetime=60, speed=100))
    folder = tmp_path / "here"  # watch makes it
    done = command("watch", service.pid, "--every", "0.3", "--count", "0", "--until-growth", "2MB", "-o", "here")
    assert done.code == 1 and "the memory of the process grew by" in done.out and "__main__.orders" in done.out, done
    assert 2 <= len(snapshots(folder)) <= 3  # the first and the last two
    (kept,) = (line for line in done.out.splitlines() if line.startswith("memprobe: kept "))
    assert sorted(kept.removeprefix("memprobe: kept ").split(", ")) == [f"here/{name}" for name in snapshots(folder)], done


def test_until_memory_of_c_code_has_grown(program, command) -> None:
    """No object grows; with --of objects it would never stop."""
    service = program(MALLOCS)
    done = command("watch", service.pid, "--every", "0.3", "--count", "20", "--until-growth", "20MiB")
    assert done.code == 1 and "malloc, in use by C code +" in done.out, done
    done = command("watch", service.pid, "--every", "0.2", "--count", "3", "--until-growth", "20MiB", "--of", "objects")
    assert done.code == 0 and "malloc, in use by C code +" in done.out, done


def test_json(program, command, tmp_path: Path) -> None:
    service = program(LEAKS.format(lifetime=60, speed=50))
    done = command("watch", service.pid, "--every", "0.5", "--json")
    found = json.loads(done.out)
    assert found["schema"] == "memprobe.diff/2" and found["rows"], done


def hear_ctrl_c() -> None:
    """A shell has its background jobs ignore SIGINT, and what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(pid: int, folder: Path) -> subprocess.Popen[str]:
    """A watch that has taken two snapshots and waits."""
    words = [sys.executable, "-m", "memprobe", "watch", str(pid), "--every", "3", "--count", "0"]
    watch = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c)
    for _ in range(2):
        assert watch.stdout.readline().startswith("snapshot ")
    return watch


def test_the_process_ends_meanwhile(program, tmp_path: Path) -> None:
    service = program(LEAKS.format(lifetime=60, speed=50))
    watch = start(service.pid, tmp_path)
    service.kill()
    rest, _ = watch.communicate(timeout=60)
    assert watch.returncode == 0 and "There is no process" in rest and "__main__.orders" in rest, rest


def test_stopped_by_ctrl_c(program, tmp_path: Path) -> None:
    service = program(LEAKS.format(lifetime=60, speed=50))
    watch = start(service.pid, tmp_path)
    watch.send_signal(2)
    rest, _ = watch.communicate(timeout=60)
    assert watch.returncode == 0 and "memprobe: stopped" in rest and "__main__.orders" in rest, rest


def test_too_few(program, command) -> None:
    service = program(LEAKS.format(lifetime=60, speed=1))
    done = command("watch", service.pid, "--count", "1")
    assert done.code == 3 and "not two snapshots to compare" in done.err and "-1.snap was kept" in done.err, done
    assert command("watch", 4194305).code == 3


def test_another_process_has_its_number(program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    service = program(LEAKS.format(lifetime=60, speed=1))
    assert _proc.born(service.pid) != _proc.born(1) and _proc.born(4194305) is None
    starts = [100, 100, 100, 200]
    monkeypatch.setattr(_proc, "born", lambda pid: starts.pop(0))
    options = parser().parse_args(["watch", str(service.pid), "--every", "0.1", "-o", str(tmp_path)])
    assert watch.watch(options) == 0
    said = capsys.readouterr().out
    assert f"Process {service.pid} has ended; another one has its number now." in said and "Next: memprobe" in said, said
    assert len(snapshots(tmp_path)) == 2 and not starts


def test_names_that_are_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda form: "now")
    for name in ("memprobe-7-now.snap", "memprobe-7-now-2.snap", "memprobe-7-now-3.snap"):
        path = snapshot.unused(str(tmp_path), 7, ".snap")
        assert path == str(tmp_path / name)
        Path(path).touch()
    assert snapshot.unused("", 7, "-1.snap") == "memprobe-7-now-1.snap"
    (tmp_path / "memprobe-7-now-1.snap").touch()
    assert snapshot.unused(str(tmp_path), 7, "-1.snap") == str(tmp_path / "memprobe-7-now-2-1.snap")


def test_two_snapshots_in_one_second(program, command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = program(LEAKS.format(lifetime=60, speed=1))
    (tmp_path / "sitecustomize.py").write_text("import time; time.strftime = lambda form: 'now'")
    for _ in range(2):
        assert command("snapshot", service.pid, PYTHONPATH=str(tmp_path)).code == 0
    assert snapshots(tmp_path) == [f"memprobe-{service.pid}-now{more}.snap" for more in ("-2", "")]
