"""Snapshots that a process takes of itself: by signal, by its size, by the clock; and the start-up hook."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from conftest import PATIENCE, until

import memprobe
from memprobe import _core, _native, _text

BLOCKED = """
import ctypes, memprobe, signal, sys
{before}
memprobe.agent.start({settings})
print("ready", flush=True)
{during}
sys.stdin.readline()
print("done")
"""


def snapshots(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.endswith(".snap"))


def await_snapshots(folder: Path, count: int) -> list[str]:
    assert until(lambda: len(snapshots(folder)) >= count, 30)
    found = snapshots(folder)
    for name in found:
        assert memprobe.load(folder / name).info.cut is None
    return found


def test_by_signal_while_the_main_thread_is_in_c(program, tmp_path: Path) -> None:
    sleeps = "ctypes.PyDLL(None).usleep(1)\nctypes.CDLL(None).sleep(2)"  # without the GIL, and no Python signal handler runs
    service = program(BLOCKED.format(before="", settings="signal=signal.SIGUSR2", during=sleeps))
    os.kill(service.pid, signal.SIGUSR2)
    (name,) = await_snapshots(tmp_path, 1)
    assert name.startswith(f"memprobe-{service.pid}-")
    assert memprobe.load(tmp_path / name).info.mode == "forked"
    for _ in range(20):
        os.kill(service.pid, signal.SIGUSR2)  # within the same 30 seconds: none
    ended = service.end()
    assert ended.code == 0 and "done" in ended.out and not ended.err, ended
    assert len(snapshots(tmp_path)) == 1


@pytest.mark.skipif("t" in sys.abiflags, reason="mimalloc keeps what was freed for a while: this process is larger")
def test_by_size_and_each_time_it_has_grown(program, tmp_path: Path) -> None:
    service = program(
        BLOCKED.format(
            before="import memprobe._triggers as t; t.PAUSE = 0; t.LOOK = 0.05; keep = [bytearray(b'x' * (30 << 20))]",
            settings='rss_limit="60MiB"',
            during="for _ in range(8):\n    sys.stdin.readline()\n    keep.append(bytearray(b'x' * (16 << 20)))",
        )
    )
    time.sleep(0.5)
    assert not snapshots(tmp_path)
    for _ in range(8):
        service.go_on()
        time.sleep(1.1)  # names have seconds
    found = await_snapshots(tmp_path, 3)
    assert 3 <= len(found) <= 5  # keep=5
    sizes = [memprobe.load(tmp_path / name).accounting().rss_bytes for name in found]
    assert all(later >= 1.09 * earlier for earlier, later in zip(sizes, sizes[1:])), sizes
    assert service.end().code == 0


def test_by_the_clock_and_only_the_last_stay(program, tmp_path: Path) -> None:
    folder = tmp_path / "snaps"
    folder.mkdir()
    service = program(BLOCKED.format(before="", settings='every=1, keep=2, directory="snaps"', during=""))
    seen: set[str] = set()
    assert until(lambda: seen.update(snapshots(folder)) or len(seen) >= 4, 60)
    assert len(snapshots(folder)) <= 3
    ended = service.end()
    assert ended.code == 0 and not ended.err
    assert 1 <= len(snapshots(folder)) <= 3  # it may end when a new one is there and the oldest not yet gone


def test_a_forked_child_has_its_own(program, tmp_path: Path) -> None:
    service = program(
        """
import memprobe, os, signal, sys
memprobe.agent.start(signal=signal.SIGUSR2)
child = os.fork()
if child == 0:
    print(os.getpid(), flush=True)
    sys.stdin.readline()
    os._exit(0)
os.waitpid(child, 0)
"""
    )
    os.kill(int(service.said), signal.SIGUSR2)
    (name,) = await_snapshots(tmp_path, 1)
    assert name.startswith(f"memprobe-{service.said}-")
    os.kill(service.pid, signal.SIGUSR2)
    await_snapshots(tmp_path, 2)
    assert service.end().code == 0


def test_a_forked_child_has_grown_only_if_it_grew(program, tmp_path: Path) -> None:
    """Workers of a server that is beyond the limit do not each write what the server's own file holds."""
    service = program(
        """
import memprobe, os, sys
memprobe.agent.start(rss_limit=1 << 20)
print("ready", flush=True)
sys.stdin.readline()
if os.fork() == 0:
    print(os.getpid(), flush=True)
    sys.stdin.readline()
    keep = bytearray(b"x" * (64 << 20))
    sys.stdin.readline()
    os._exit(0)
os.wait()
"""
    )
    (first,) = await_snapshots(tmp_path, 1)
    service.go_on()
    child = int(service.line())
    time.sleep(2.5)
    assert snapshots(tmp_path) == [first]
    service.go_on()
    (second,) = set(await_snapshots(tmp_path, 2)) - {first}
    assert second.startswith(f"memprobe-{child}-") and first.startswith(f"memprobe-{service.pid}-")
    assert service.end().code == 0


MOVED_CHILD = """
import memprobe, os, signal, sys
memprobe.agent.start(signal=signal.SIGUSR2, directory="snaps")
os.rename("snaps", "gone")
os.chdir("/")
if os.fork():
    os.wait()
    sys.exit()
files = [open(f"{sys.argv[0]}.{n}", "w+") for n in range(1000)]
print(os.getpid(), flush=True)
sys.stdin.readline()
print("sizes", {os.fstat(file.fileno()).st_size for file in files}, memprobe.agent._agent is not None, flush=True)
os._exit(0)
"""


def test_a_forked_child_whose_folder_is_gone(program, tmp_path: Path) -> None:
    """It has an agent all the same, and the signal writes to nobody's file."""
    (tmp_path / "snaps").mkdir()
    service = program(MOVED_CHILD.replace("sys.argv[0]", repr(str(tmp_path / "file"))))
    os.kill(int(service.said), signal.SIGUSR2)
    time.sleep(0.3)
    service.go_on()
    assert service.line() == "sizes {0} True"
    assert service.end().code == 0


def test_the_signal_is_harmless_at_the_end(python) -> None:
    at_exit = "atexit.register(lambda: (os.kill(os.getpid(), signal.SIGUSR2), print('lives')))"
    done = python("-c", f"import atexit, memprobe, os, signal; {at_exit}; memprobe.agent.start(signal=signal.SIGUSR2)")
    assert done.code == 0 and done.out == "lives\n", done


def test_somebody_moves_the_files(program, tmp_path: Path) -> None:
    service = program(BLOCKED.format(before="", settings="every=1, keep=1", during=""))
    for _ in range(3):
        for name in await_snapshots(tmp_path, 1):
            (tmp_path / name).unlink(missing_ok=True)
    ended = service.end()
    assert ended.code == 0 and not ended.err, ended


def test_what_fails_is_logged(program, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    service = program(
        BLOCKED.format(
            before="import logging; logging.basicConfig()",
            settings='signal=signal.SIGUSR2, directory="gone"',
            during="__import__('os').rmdir('gone'); print('removed', flush=True); sys.stdin.readline()",
        )
    )
    assert service.line() == "removed"
    os.kill(service.pid, signal.SIGUSR2)
    time.sleep(1)
    service.go_on()
    ended = service.end()
    assert ended.code == 0 and "WARNING:memprobe:memprobe could not take a snapshot" in ended.err, ended


def test_stop_while_a_snapshot_is_written(python) -> None:
    """The thread that ends and stop() do not close the event under each other."""
    done = python(
        "-c",
        """
import memprobe, os, signal, time
for turn in range(20):
    memprobe.agent.start(signal=signal.SIGUSR2, every=1000)
    os.kill(os.getpid(), signal.SIGUSR2)
    time.sleep(0.003 * turn)
    memprobe.agent.stop()
def events():
    links = [os.path.realpath("/proc/self/fd/" + fd) for fd in os.listdir("/proc/self/fd")]
    return sum("eventfd" in link for link in links)
deadline = time.monotonic() + 60
while events() and time.monotonic() < deadline:  # snapshots that were under way are finished
    time.sleep(0.05)
print(events())
""",
    )
    assert done.code == 0 and done.out == "0\n" and not done.err, done


def test_stop_puts_the_signal_back(python) -> None:
    done = python(
        "-c",
        """
import memprobe, os, signal
memprobe.agent.start(signal=signal.SIGUSR2)
os.kill(os.getpid(), signal.SIGUSR2)
memprobe.agent.stop()
print("alive", flush=True)
os.kill(os.getpid(), signal.SIGUSR2)
""",
    )
    assert done.code == -signal.SIGUSR2 and done.out == "alive\n", done


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"rss_limit": "much"}, "is no size"),
        ({"rss_limit": 0}, "more than 0"),
        ({"every": 0.1}, "at least 1 second"),
        ({"every": 5, "keep": 0}, "keep must be"),
        ({"signal": signal.SIGALRM}, "has a handler"),
        ({"signal": 999}, "range|not a valid"),
    ],
)
def test_wrong_settings(runtime: Path, settings: dict, problem: str) -> None:
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        with pytest.raises(ValueError, match=problem):
            memprobe.agent.start(**settings)
        with pytest.raises(FileNotFoundError, match="There is no directory"):
            memprobe.agent.start(every=60, directory="/nowhere")
    finally:
        signal.signal(signal.SIGALRM, before)
        memprobe.agent.stop()


def test_wrong_signals() -> None:
    for number in (0, -1, 65, 1000):
        with pytest.raises(OSError):
            _core.signal_to_fd(number, 1)
        with pytest.raises(OSError):
            _core.signal_to_nobody(number, restore=True)


LATER = """
import memprobe, os, signal, sys, time
import memprobe._triggers as triggers
triggers.REST = 0.05
memprobe.agent.start(signal=signal.SIGUSR2)
{then}
os.kill(os.getpid(), signal.SIGUSR2)
patience = time.monotonic() + {seconds}
while not (done := [name for name in os.listdir() if name.endswith(".snap")]) and time.monotonic() < patience:
    time.sleep(0.02)
print(*done and ["a file"], "alive")
"""


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("signal.signal(signal.SIGUSR2, lambda *_: print('theirs')); time.sleep(0.3)", "theirs alive"),
        ("signal.signal(signal.SIGUSR2, lambda *_: print('theirs')); memprobe.agent.stop()", "theirs alive"),
        ("signal.signal(signal.SIGUSR2, signal.SIG_DFL); time.sleep(2)", "a file alive"),  # as gunicorn's workers do
        ("memprobe.agent.start(signal=signal.SIGUSR2)", "a file alive"),
        ("memprobe.agent.start(signal=signal.SIGUSR2, every=3600); os.fork() or os._exit(0); os.wait()", "a file alive"),
    ],
    ids=["theirs", "theirs, and stop", "put back", "again", "again, and fork"],
)
def test_what_becomes_of_the_signal(python, then: str, said: str) -> None:
    done = python("-W", "ignore", "-c", LATER.format(then=then, seconds=PATIENCE / 2 if "file" in said else 0.5))
    assert done.out.split() == said.split() and done.code == 0, done


def test_no_moment_when_the_signal_ends_the_process(python) -> None:
    source = """
import memprobe, os, signal, threading
memprobe.agent.start(signal=signal.SIGUSR2)
done = False
def send():
    while not done: os.kill(os.getpid(), signal.SIGUSR2)
thread = threading.Thread(target=send)
thread.start()
for _ in range(300): memprobe.agent.start(signal=signal.SIGUSR2)
done = True
thread.join()
"""
    done = python("-c", source)
    assert done.code == 0 and not done.err, done


def test_a_signal_of_real_time(python, tmp_path: Path) -> None:
    source = LATER.replace("SIGUSR2", "SIGRTMIN + 1").format(then="", seconds=PATIENCE / 2)
    assert python("-c", source).out == "a file alive\n"


def test_a_handler_in_c(python) -> None:
    source = "import faulthandler, memprobe, signal; faulthandler.register(12); memprobe.agent.start(signal=12)"
    done = python("-c", source)
    assert "SIGUSR2 has a handler in this program" in done.err, done


def test_files_are_counted_from_the_first_start(tmp_path: Path) -> None:
    try:
        for turn in range(3):
            memprobe.agent.start(every=1, keep=2, directory=tmp_path)
            seen = set(snapshots(tmp_path))
            assert until(lambda seen=seen: set(snapshots(tmp_path)) - seen, 30)
            count = min(turn + 1, 2)
            assert until(lambda count=count: len(snapshots(tmp_path)) == count, 30)  # the third is there before the first goes
    finally:
        memprobe.agent.stop()


def test_signals_are_as_before_whatever_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler of the program's that raises just when all signals have been blocked."""
    real, before = signal.pthread_sigmask, signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def interrupted(how: int, mask: Iterable[int]) -> set[int]:
        old = real(how, mask)
        if how == signal.SIG_BLOCK and mask:
            raise KeyboardInterrupt
        return old

    monkeypatch.setattr(signal, "pthread_sigmask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _native.start_thread(lambda: None)
    assert real(signal.SIG_BLOCK, ()) == before


def test_a_forked_process_has_nothing_that_is_held() -> None:
    with _native.Held(os.open(os.devnull, os.O_RDONLY)) as held:
        child = os.fork()
        if not child:
            os._exit(len(_native.Held.all) + (_core.hold(held.fd)[1] is not None))
        assert os.waitpid(child, 0)[1] == 0 and held.intact()


def test_a_descriptor_that_somebody_else_has() -> None:
    """What we hold is closed once, and never what has its number by then."""
    with open(os.devnull) as ours, tempfile.TemporaryFile() as theirs:
        for file, closes in ((theirs, False), (ours, True)):
            held = _native.Held(os.dup(ours.fileno()))
            assert held.intact() and held.fd > 100
            if closes:
                held.close()
            else:
                os.close(held.fd)
            assert not held.intact()
            os.dup2(file.fileno(), held.fd)
            assert not held.intact()
            held.close()
            os.close(held.fd)  # an OSError if it were closed


@pytest.mark.parametrize(
    ("text", "size"),
    [(5, 5), ("5", 5), (0, 0), ("2GiB", 2 << 30), ("1.5 GB", 3 << 29), ("512m", 512 << 20), ("3 KiB", 3072), ("7b", 7)],
)
def test_sizes(text: str | int, size: int) -> None:
    assert _text.parse_size(text) == size


# ---- the start-up hook ----------------------------------------------------------------------------------------------

HOOKED = importlib.util.find_spec("_memprobe_startup") is not None
hooked = pytest.mark.skipif(not HOOKED, reason="the start-up hook comes with an installation that is not editable")


@hooked
def test_the_hook_starts_the_agent(program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMPROBE_AGENT", "1")
    monkeypatch.setenv("MEMPROBE_SIGNAL", "USR2")
    service = program(
        "import sys; print(len([m for m in sys.modules if m.startswith('memprobe')]), flush=True); sys.stdin.readline()"
    )
    assert int(service.said) > 1
    assert memprobe.snapshot_process(service.pid, tmp_path / "asked.snap").attached == "agent"
    os.kill(service.pid, signal.SIGUSR2)
    await_snapshots(tmp_path, 2)
    assert service.end().code == 0


@hooked
def test_the_hook_does_nothing_unasked(python) -> None:
    done = python("-c", "import sys; print([m for m in sys.modules if m.startswith('memprobe')])")
    assert done.out == "[]\n" and not done.err, done


@hooked
def test_the_hook_says_what_is_wrong(python) -> None:
    done = python("-c", "print('runs')", MEMPROBE_AGENT="1", MEMPROBE_RSS_LIMIT="lots")
    assert done.out == "runs\n" and "no agent in process" in done.err and "'lots' is no size" in done.err, done
