"""How the command ends when it is interrupted, or nobody reads what it says: quietly, with nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

JOB = """
import os, signal, sys, time
print(os.getpid(), *(signal.getsignal(number).name for number in (signal.SIGTERM, signal.SIGHUP)), flush=True)
time.sleep(float(sys.argv[1]))
"""


def hear(*ignored: int) -> Callable[[], None]:
    """For a child: a shell has its background jobs ignore SIGINT, and what they start."""

    def set_up() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    return set_up


def asker(folder: Path, *words: str, ignored: int = 0, **more: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "memprobe", *words]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen(command, cwd=folder, text=True, preexec_fn=hear(ignored), **streams)


# ---- signals --------------------------------------------------------------------------------------------------------

PRESSED = """
import _signal, runpy, sys
class Finder:
    def find_spec(name, *_):
        if name == {name!r}:
            _signal.raise_signal(_signal.SIGINT)
sys.meta_path.insert(0, Finder)
sys.argv[1:] = ["snapshot", "1"]
runpy.run_module("memprobe", run_name="__main__")
"""


@pytest.mark.parametrize("name", ["memprobe.cli.main", "memprobe.cli.files", "rich.console", "memprobe.cli.options"])
def test_ctrl_c_while_modules_are_imported(tmp_path: Path, name: str) -> None:
    words = [sys.executable, "-c", PRESSED.format(name=name)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, preexec_fn=hear(), timeout=60)
    assert done.returncode == 130 and not done.stdout and done.stderr in ("", "memprobe: stopped.\n"), done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("options", [(), ("--after", "50")], ids=["at its end", "later"])
def test_a_signal_ends_the_program_as_well(tmp_path: Path, runtime: Path, number: signal.Signals, options: tuple[str, ...]) -> None:
    (tmp_path / "job.py").write_text(JOB)
    with asker(tmp_path, "snapshot", *options, "--", "job.py", "60") as ours:
        assert ours.stdout is not None
        said = ours.stdout.readline().split()
        time.sleep(0.3)
        ours.send_signal(number)
        _, err = ours.communicate(timeout=60)
    assert ours.returncode == 128 + number and err == f"memprobe: stopped by {number.name}.\n"
    assert said[1:] == ["SIG_DFL", "SIG_DFL"] and not os.path.exists(f"/proc/{said[0]}")
    assert sorted(os.listdir(tmp_path)) == ["job.py", "runtime"]


def test_nohup(tmp_path: Path, runtime: Path) -> None:
    (tmp_path / "job.py").write_text(JOB)
    with asker(tmp_path, "snapshot", "-o", "a.snap", "--", "job.py", "1", ignored=signal.SIGHUP) as ours:
        assert ours.stdout is not None
        assert ours.stdout.readline().split()[1:] == ["SIG_DFL", "SIG_IGN"]
        ours.send_signal(signal.SIGHUP)
        _, err = ours.communicate(timeout=60)
    assert ours.returncode == 0 and not err and (tmp_path / "a.snap").exists()


def test_run_leaves_signals_alone(command, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(JOB)
    assert command("run", "job.py", "0").out.split()[1:] == ["SIG_DFL", "SIG_DFL"]


# ---- streams --------------------------------------------------------------------------------------------------------

SERVES = "import memprobe, sys; memprobe.agent.start(); print('ready', flush=True); sys.stdin.readline()"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(command, program, tmp_path: Path, closed: str) -> None:
    service = program(SERVES)
    before = ("sh", "-c", f'"$@" {closed}', "sh")
    done = command("snapshot", service.pid, "-o", "a.snap", before=before)
    assert done.code == 0 and not done.err and bool(done.out) == (closed == "2>&-"), done
    assert (tmp_path / "a.snap").stat().st_size > 10_000
    done = command("summary", "a.snap", before=before)
    assert done.code == 0 and not done.err, done
    done = command("summary", "nothing.snap", before=before)
    assert done.code == 3 and not done.out, done


@pytest.mark.parametrize("words", [("snapshot", "PID", "-o", "b.snap"), ("summary", "a.snap"), ("--help",), ("info", "nothing")])
def test_a_reader_that_has_left(command, program, tmp_path: Path, words: tuple[str, ...]) -> None:
    service = program(SERVES)
    assert command("snapshot", service.pid, "-o", "a.snap").code == 0
    reader, writer = os.pipe()
    os.close(reader)
    fails = words[0] == "info"
    ours = asker(
        tmp_path, *(str(service.pid) if word == "PID" else word for word in words), **{"stderr" if fails else "stdout": writer}
    )
    os.close(writer)
    out, err = ours.communicate(timeout=60)
    assert ours.returncode == (3 if fails else 0) and not out and not err
    assert (tmp_path / "b.snap").exists() == (words[0] == "snapshot")


def test_output_to_a_full_disk(command, program) -> None:
    service = program(SERVES)
    done = command("snapshot", service.pid, "--json", before=("sh", "-c", '"$@" >/dev/full', "sh"))
    assert done.code == 3 and done.err == "memprobe: [Errno 28] No space left on device.\n", done
