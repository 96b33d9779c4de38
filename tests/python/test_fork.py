"""Snapshots by a forked child: of one moment, unseen by the application, and gone whatever happens (traps T4, T17, T18)."""

from __future__ import annotations

import gc
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import until

import memprobe
from memprobe import _capture, _core, _native

MEBIBYTE = 1 << 20
REAL_SNAPSHOT = _core.snapshot
KILLS = max(60, int(os.environ.get("KILLS", "0")))  # of children, see test_kills.py
FORKS = not os.environ.get("MEMPROBE_DISABLE")  # fallbacks need the interpreter, and so this process


def children() -> set[int]:
    """Of every thread of this process, whatever their exit signal."""
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        with suppress(OSError):
            found.update(map(int, Path(f"/proc/self/task/{task}/children").read_text().split()))
    return found


def gone(pid: int) -> bool:
    return until(lambda: not os.path.exists(f"/proc/{pid}"), 20)


class Stuck:
    """A snapshot in a thread, whose child has filled a pipe that nobody reads."""

    def __init__(self, seconds: int = 60, watch: int = -1) -> None:
        self.reader, self.writer = os.pipe()
        self.problem: BaseException | None = None
        before = children()
        self.thread = threading.Thread(target=self.run, args=(seconds, watch))
        self.thread.start()
        self.child = self.find(before)

    def run(self, seconds: int, watch: int) -> None:
        try:
            _core.snapshot(self.writer, fork=True, seconds=seconds, watch=watch)
        except BaseException as problem:
            self.problem = problem

    @staticmethod
    def find(before: set[int]) -> int:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for pid in children() - before:
                with suppress(OSError):
                    if Path(f"/proc/{pid}/comm").read_text() == "memprobe\n" and "pipe" in Path(f"/proc/{pid}/wchan").read_text():
                        return pid
                    if Path(f"/proc/{pid}/status").read_text().find("State:\tS") > 0 and time.monotonic() > deadline - 18:
                        return pid  # a kernel without wchan
            time.sleep(0.005)
        raise AssertionError("no child that writes")

    def drain(self, each: Callable[[], object] = lambda: None) -> bytes:
        """What the child writes, to its end; calls `each` in between."""
        data = bytearray()
        while self.thread.is_alive() or select.select([self.reader], [], [], 0)[0]:
            if select.select([self.reader], [], [], 0.02)[0]:
                with suppress(OSError):  # it may end meanwhile
                    each()
                data += os.read(self.reader, 1 << 14)
        return bytes(data)

    def end(self) -> BaseException | None:
        self.thread.join(60)
        assert not self.thread.is_alive()
        os.close(self.reader)
        os.close(self.writer)
        return self.problem


def test_it_is_of_one_moment_and_others_go_on(tmp_path: Path) -> None:
    pairs = [[i, i] for i in range(50_000)]
    steps, stop = [0], threading.Event()

    def mutate() -> None:
        while not stop.is_set():
            steps[0] += 1
            pair = pairs[steps[0] % len(pairs)]
            pair[0] = pair[1] = steps[0]

    worker = threading.Thread(target=mutate)
    worker.start()
    try:
        for turn in range(5):
            before = steps[0]
            info = memprobe.snapshot(tmp_path / f"{turn}.snap")
            during = steps[0] - before
            heap = memprobe.load(tmp_path / f"{turn}.snap")
            assert heap._graph.check() is None
            assert info.mode == heap.info.mode == "forked" and info.reason is None
            told = heap.info
            assert (info.fork_ms, info.cow_bytes, info.pause_ms) == (told.fork_ms, told.cow_bytes, told.pause_ms)
            assert 0 < info.fork_ms <= info.pause_ms < info.duration_ms
            assert during > 0  # the mutator ran while the child wrote
            assert heap.accounting().residual_negative == 0
    finally:
        stop.set()
        worker.join()


@pytest.mark.parametrize("frozen", [False, True])
def test_nothing_is_copied_but_a_few_pages(tmp_path: Path, frozen: bool) -> None:  # T4
    keep = [{"n": i, "pair": (str(i), [i])} for i in range(150_000)]
    gc.collect()
    if frozen:
        gc.freeze()
    try:
        info = memprobe.snapshot(tmp_path / "a.snap")
    finally:
        gc.unfreeze()
    assert info.objects > 4 * len(keep)
    assert info.cow_bytes is not None and info.cow_bytes < MEBIBYTE, info


def anonymous(pid: int) -> int:
    """Bytes of a process that are in memory and in no file; it may end meanwhile."""
    found = re.findall(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    if not found:
        raise FileNotFoundError(pid)
    return int(found[0]) * 1024


def numbers(kind: str) -> Any:
    """128 MiB of ones."""
    if kind == "numpy":
        return pytest.importorskip("numpy").ones(16 << 20)
    return bytearray(b"\1") * (128 * MEBIBYTE) if kind == "bytearray" else array("d", [1.0]) * (16 << 20)


@pytest.mark.skipif(not FORKS, reason="nothing is forked here")
@pytest.mark.parametrize("kind", ["bytearray", "array", "numpy"])
def test_leaf_buffers_are_discarded(tmp_path: Path, kind: str) -> None:
    """By the first child when it comes to it, by the next one before all else: who writes to it later has no copy made."""
    keep = [{"n": i, "pair": (str(i), [i])} for i in range(50_000)]  # a child fills the pipe long before it is done
    data = numbers(kind)
    most = anonymous(os.getpid()) - 64 * MEBIBYTE  # a child has tables, too
    first = Stuck()
    sizes = [anonymous(first.child)]
    first.drain(lambda: sizes.append(anonymous(first.child)))
    assert first.end() is None and min(sizes) < most
    second = Stuck()
    assert anonymous(second.child) < most
    data[:] = data[::-1]
    (tmp_path / "a.snap").write_bytes(second.drain())
    assert second.end() is None
    heap = memprobe.load(tmp_path / "a.snap")
    (node,) = heap.find(min_size=128 * MEBIBYTE)
    assert node.size >= 128 * MEBIBYTE and heap.info.cow_bytes is not None and heap.info.cow_bytes < 64 * MEBIBYTE
    assert data[0] == data[-1] == data[len(keep)] == 1


@pytest.mark.skipif(not FORKS, reason="nothing is forked here")
def test_what_was_a_leaf_buffer_is_now_something_else(tmp_path: Path) -> None:
    """The second child must not give back what the first one did."""
    for _ in range(3):
        data = [bytearray(b"x") * MEBIBYTE for _ in range(40)]
        memprobe.snapshot(tmp_path / "a.snap")
        del data
        lists = [[None] * (MEBIBYTE // 8) for _ in range(40)]
        again = [bytearray(b"y") * (2 * MEBIBYTE) for _ in range(40)]  # owners where the first ones were
        memprobe.snapshot(tmp_path / "a.snap")
        heap = memprobe.load(tmp_path / "a.snap")
        assert len(heap.find(type="list", min_size=MEBIBYTE)) == len(lists)
        assert heap.info.edges > len(lists) * MEBIBYTE // 8
        assert len(heap.find(type="bytearray", min_size=2 * MEBIBYTE)) == len(again)


def test_nothing_is_given_back_here(tmp_path: Path) -> None:
    """By the process itself."""
    data = bytearray(b"x") * (4 * MEBIBYTE)
    for options in ({"fork": False}, {}):
        memprobe.snapshot(tmp_path / "a.snap", **options)
        memprobe.capture()
        assert data.count(b"x") == 4 * MEBIBYTE


HAMMER = """
import ctypes, os, sys, threading
import memprobe
libc = ctypes.CDLL(None)
stop = False
def hammer():
    room = ctypes.create_string_buffer(256)  # a glob_t
    while not stop:
        libc.glob(b"/usr/lib/*/*", 0, None, room)  # thousands of mallocs, without the GIL
        libc.globfree(room)
threads = [threading.Thread(target=hammer) for _ in range(3)]
for thread in threads: thread.start()
for turn in range(30):
    info = memprobe.snapshot("a.snap", seconds=60)
    assert info.mode == "forked", info
stop = True
for thread in threads: thread.join()
print("done", memprobe.load("a.snap").info.objects > 1000)
"""


def test_malloc_may_be_locked(python, tmp_path: Path) -> None:  # T17
    (tmp_path / "hammer.py").write_text(HAMMER)
    done = python("hammer.py", MALLOC_ARENA_MAX="1", GLIBC_TUNABLES="glibc.malloc.tcache_count=0")
    assert done.out == "done True\n" and done.code == 0, done


UNSEEN = """
import os, signal, sys, threading
import memprobe
seen = []
ignored = "ignored" in sys.argv
signal.signal(signal.SIGCHLD, signal.SIG_IGN if ignored else lambda *_: seen.append("signal"))
os.register_at_fork(before=lambda: seen.append("before"), after_in_parent=lambda: seen.append("parent"))
def reap():
    while not stop:
        try:
            seen.append(os.waitpid(-1, 0))
        except ChildProcessError:
            pass
stop = False
reaper = threading.Thread(target=reap)
reaper.start()
keep = [[i] for i in range(100_000)]
for turn in range(10):
    assert memprobe.snapshot("a.snap").mode == "forked"
stop = True
reaper.join()
print(seen)
"""


@pytest.mark.parametrize("how", ["handled", "ignored"])
def test_the_application_does_not_see_the_child(python, tmp_path: Path, how: str) -> None:  # T18
    (tmp_path / "unseen.py").write_text(UNSEEN)
    done = python("unseen.py", how)
    assert done.out == "[]\n" and done.code == 0, done


def test_what_the_child_is_like() -> None:
    listener = socket.socket()
    stuck = Stuck()
    try:
        root = Path(f"/proc/{stuck.child}")
        status = dict(line.split(":\t", 1) for line in (root / "status").read_text().splitlines() if ":\t" in line)
        blocked = int(status["SigBlk"], 16)
        caught = 1 << signal.SIGALRM - 1
        assert all(blocked >> number - 1 & 1 for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD))
        assert not blocked & caught and not int(status["SigCgt"], 16) & caught
        assert status["Threads"] == "1"
        assert (root / "oom_score_adj").read_text() == "1000\n"
        assert os.getpriority(os.PRIO_PROCESS, stuck.child) >= 10
        if os.geteuid() == 0:
            assert os.listdir(root / "fd") == [str(stuck.writer)]
    finally:
        os.kill(stuck.child, signal.SIGKILL)
        problem = stuck.end()
        listener.close()
    assert isinstance(problem, ChildProcessError) and "signal 9" in str(problem), problem
    assert gone(stuck.child)


def test_a_forked_process_has_nothing_of_it() -> None:
    """The application forks while a snapshot is under way: the worker has no descriptor of ours."""
    before = set(os.listdir("/proc/self/fd"))
    stuck = Stuck()
    reader, writer = os.pipe()
    worker = os.fork()
    if worker == 0:
        new = [
            os.readlink(f"/proc/self/fd/{fd}")
            for fd in set(os.listdir("/proc/self/fd")) - before
            if os.path.exists(f"/proc/self/fd/{fd}")
        ]
        os.write(writer, repr([link for link in new if "pipe" not in link]).encode())
        os._exit(0)
    os.waitpid(worker, 0)
    os.kill(stuck.child, signal.SIGKILL)
    stuck.end()
    assert os.read(reader, 1000) == b"[]"
    os.close(reader), os.close(writer)


FORKS_MEANWHILE = """
import os, signal, sys, time
from memprobe import _core
first = os.getpid()
def fork(*_):
    worker = os.fork()
    if worker:
        print(os.waitpid(worker, 0)[1], flush=True)
        raise KeyboardInterrupt
signal.signal(signal.SIGALRM, fork)
signal.setitimer(signal.ITIMER_REAL, 0.3)
reader, writer = os.pipe()  # nobody reads: the child waits
try:
    _core.snapshot(writer, fork=True, seconds=60)
except ChildProcessError as problem:
    assert os.getpid() != first
    print(problem, [fd for fd in os.listdir("/proc/self/fd") if int(fd) >= 500], flush=True)
except KeyboardInterrupt:
    assert os.getpid() == first
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(not FORKS, reason="nothing is forked here")
def test_a_process_forked_by_a_handler_goes_on_without_it(python, tmp_path: Path) -> None:
    (tmp_path / "forks.py").write_text(FORKS_MEANWHILE)
    done = python("forks.py")
    assert done.out == "this process was forked from one that takes a snapshot []\n0\ninterrupted\n" and done.code == 0, done


def test_somebody_else_reaps_it() -> None:
    stuck = Stuck()
    os.kill(stuck.child, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(stuck.child, 0x40000000)  # __WALL
    problem = stuck.end()
    assert isinstance(problem, ChildProcessError) and ("signal 9" in str(problem) or "before it was done" in str(problem)), problem


def test_the_child_of_a_real_time_service() -> None:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pytest.skip("this user may not have real time")
    try:
        stuck = Stuck()  # its thread inherits it
        policy = os.sched_getscheduler(stuck.child)
        os.kill(stuck.child, signal.SIGKILL)
        stuck.end()
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    assert policy == os.SCHED_OTHER


def test_it_ends_when_its_time_is_over() -> None:
    stuck = Stuck(seconds=1)
    problem = stuck.end()
    assert isinstance(problem, ChildProcessError) and "longer than 1 second" in str(problem), problem
    assert gone(stuck.child)


def test_it_ends_when_the_asker_is_gone() -> None:
    ours, theirs = socket.socketpair()
    stuck = Stuck(watch=ours.fileno())
    theirs.close()
    assert isinstance(stuck.end(), ConnectionAbortedError)
    assert gone(stuck.child)
    ours.close()


def test_it_ends_when_a_signal_handler_raises() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    reader, writer = os.pipe()
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            _core.snapshot(writer, fork=True, seconds=60)
        assert time.monotonic() - start < 10
        assert not children()
    finally:
        signal.signal(signal.SIGALRM, before)
        os.close(reader)
        os.close(writer)


ORPHAN = """
import os, time, sys, threading
from memprobe import _core
reader, writer = os.pipe()
threading.Thread(target=lambda: _core.snapshot(writer, fork=True, seconds=100), daemon=True).start()
found = ""
while not found:
    for task in os.listdir("/proc/self/task"):
        found += open(f"/proc/self/task/{task}/children").read()
    time.sleep(0.01)
print(found, flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_it_dies_with_its_parent(program, how: str) -> None:
    parent = program(ORPHAN)
    child = int(parent.said)
    if how == "killed":
        parent.kill()
    else:
        parent.end()
    assert gone(child)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    memprobe.snapshot(tmp_path / "a.snap")
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(30):
        memprobe.snapshot(tmp_path / "a.snap")
    assert sorted(os.listdir("/proc/self/fd")) == before and not children()
    assert os.listdir(tmp_path) == ["a.snap"]


def test_killed_at_random_moments(tmp_path: Path) -> None:
    memprobe.snapshot(tmp_path / "a.snap")
    old = (tmp_path / "a.snap").read_bytes()
    took = memprobe.snapshot(tmp_path / "b.snap").duration_ms / 1000
    outcomes = {"whole": 0, "killed": 0}
    for turn in range(KILLS):
        stop = threading.Event()

        def kill(delay: float = took * 1.2 * turn / KILLS, stop: threading.Event = stop) -> None:
            while not (found := children()) and not stop.is_set():
                pass
            time.sleep(delay)
            for pid in found:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            memprobe.snapshot(tmp_path / "b.snap")
            memprobe.load(tmp_path / "b.snap")
            outcomes["whole"] += 1
        except memprobe.SnapshotError as problem:
            assert "signal 9" in str(problem)
            outcomes["killed"] += 1
        stop.set()
        killer.join()
    assert outcomes["killed"] > 0
    assert sorted(os.listdir(tmp_path)) == ["a.snap", "b.snap"] and (tmp_path / "a.snap").read_bytes() == old
    assert not children()


def test_the_disk_is_full() -> None:
    with open("/dev/full", "wb") as full, pytest.raises(OSError, match="No space"):
        _core.snapshot(full, fork=True, seconds=60)


# ---- without a fork -------------------------------------------------------------------------------------------------

NO_CLONE = """
import ctypes, struct, sys
import memprobe
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 56, "aarch64": 220}[__import__("platform").machine()]
code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | 11), (0x06, 0, 0, 0x7FFF0000)]  # EAGAIN for clone
filters = b"".join(struct.pack("HBBI", *row) for row in code)
buffer = ctypes.create_string_buffer(filters)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(len(code), ctypes.addressof(buffer))), 0, 0) == 0
info = memprobe.snapshot("a.snap")
print(info.mode, "|", info.reason, "|", info.fork_ms, memprobe.load("a.snap").info.mode)
"""


def test_the_kernel_refuses(python, tmp_path: Path) -> None:
    (tmp_path / "refused.py").write_text(NO_CLONE)
    done = python("refused.py")
    assert done.out == "streamed | the fork failed: Resource temporarily unavailable | None streamed\n", done


def group_of(folder: Path, monkeypatch: pytest.MonkeyPatch, left: int, watched: bool = True) -> Path:
    """As if this process had 100 MiB and were in a control group of 1 GiB with so much left; returns the file that tells its use.
    What the kernel says lies in this folder instead (tests/c/test_headroom.c has more of it)."""
    process, group = folder / "process", folder / "cgroups" / "service"
    process.mkdir(exist_ok=True)
    group.mkdir(parents=True, exist_ok=True)
    (process / "statm").write_text(f"99999 {100 * MEBIBYTE // os.sysconf('SC_PAGESIZE')} 0 0 0 0 0\n")
    (process / "cgroup").write_text("0::/service\n")
    (process / "oom_score_adj").unlink(missing_ok=True)  # a child cannot say that it can be missed
    if not watched:
        (process / "oom_score_adj").write_text("0\n")
    (group / "memory.max").write_text(f"{1024 * MEBIBYTE}\n")
    (group / "memory.current").write_text(f"{1024 * MEBIBYTE - left}\n")
    (group / "memory.stat").write_text("anon 5\ninactive_file 0\n")
    monkeypatch.setattr(_core, "snapshot", partial(REAL_SNAPSHOT, process=str(process), cgroups=str(group.parent)))
    return group / "memory.current"


def test_memory_is_scarce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use = group_of(tmp_path, monkeypatch, 5 * MEBIBYTE)
    for fork in (True, False):  # nor is there memory for a snapshot by this process itself
        with pytest.raises(memprobe.SnapshotError, match="a snapshot may need 14 MiB and only 5 MiB are free"):
            memprobe.snapshot(tmp_path / "a.snap", fork=fork)
    use.write_text(f"{(1024 - 20) * MEBIBYTE}\n")
    info = memprobe.snapshot(tmp_path / "a.snap")
    assert info.mode == "streamed" and info.reason == "a fork may need 64 MiB and only 20 MiB are free"  # 14, 14, a reserve of 36
    assert "free" in str(info) and "fork" not in dict(info.lines())
    group_of(tmp_path, monkeypatch, 20 * MEBIBYTE, watched=False)
    assert memprobe.snapshot(tmp_path / "a.snap").reason == "a fork may need 28 MiB and only 20 MiB are free"
    group_of(tmp_path, monkeypatch, 30 * MEBIBYTE, watched=False)
    assert memprobe.snapshot(tmp_path / "a.snap").mode == "forked"
    group_of(tmp_path, monkeypatch, 20 * MEBIBYTE)
    use.with_name("memory.stat").write_text(f"inactive_file {1000 * MEBIBYTE}\n")  # pages of files, which the kernel gives up first
    assert memprobe.snapshot(tmp_path / "a.snap").mode == "forked"
    os.unlink(use)  # nobody says
    assert memprobe.snapshot(tmp_path / "a.snap").mode == "forked"


@pytest.mark.parametrize("fork", [True, False])
def test_the_control_group_stands_beside_the_balance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fork: bool) -> None:
    use = group_of(tmp_path, monkeypatch, 600 * MEBIBYTE)
    memprobe.snapshot(tmp_path / "a.snap", fork=fork)
    memory = memprobe.load(tmp_path / "a.snap").memory()
    assert (memory.cgroup_used_bytes, memory.cgroup_limit_bytes) == (424 * MEBIBYTE, 1024 * MEBIBYTE)
    assert "in a control group that uses 424.0 MiB of 1.0 GiB" in memory.brief()[0]
    (use.parent / "memory.max").write_text("max\n")
    memprobe.snapshot(tmp_path / "b.snap", fork=fork)
    memory = memprobe.load(tmp_path / "b.snap").memory()
    assert (memory.cgroup_used_bytes, memory.cgroup_limit_bytes) == (424 * MEBIBYTE, None)
    assert "control group" not in memory.brief()[0]


def test_memory_becomes_scarce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()  # nobody reads: the child waits
    use = group_of(tmp_path, monkeypatch, 512 * MEBIBYTE)
    timer = threading.Timer(0.2, use.write_text, [str(1020 * MEBIBYTE)])
    timer.start()
    with pytest.raises(ChildProcessError, match="only 4 MiB of memory were left"):
        _capture.write(_native.Held(os.dup(writer)), _capture.Options(seconds=60))
    assert not timer.is_alive() and not children()
    os.close(reader)
    os.close(writer)


def test_it_was_not_asked_for(tmp_path: Path) -> None:
    info = memprobe.snapshot(tmp_path / "a.snap", fork=False)
    assert (info.mode, info.reason, info.fork_ms, info.cow_bytes) == ("streamed", None, None, None)


@contextmanager
def scratch_group(limit: int = 96 * MEBIBYTE) -> Iterator[Path]:
    """A control group with a limit, where this machine lets us make one."""
    root = Path("/sys/fs/cgroup")
    places = (place for place in (root, root / "memory") if (place / "cgroup.procs").exists() and os.access(place, os.W_OK))
    folder = next((place / f"memprobe-test-{os.getpid()}" for place in places), None)
    if os.geteuid() != 0 or folder is None:
        pytest.skip("no control group can be made here")
    try:
        folder.mkdir()
        name = "memory.max" if (folder / "memory.max").exists() else "memory.limit_in_bytes"
        (folder / name).write_text(str(limit))
    except OSError as problem:
        with suppress(OSError):
            folder.rmdir()
        pytest.skip(f"no control group can be made here: {problem}")
    try:
        yield folder
    finally:
        until(lambda: removed(folder), 20)


def removed(group: Path) -> bool:
    with suppress(OSError):  # a process that has ended is in it for a moment
        group.rmdir()
    return not group.exists()


def run_in(group: Path, folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    """A program of this interpreter in a control group, to its end."""
    words = ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$0" "$@"', sys.executable, "-c", source]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120)


def test_a_control_group_has_little_left(tmp_path: Path) -> None:
    kept = 64 if "t" in sys.abiflags else 66  # MiB; without a GIL the rest of the process is larger
    source = f"import memprobe; keep = bytearray({kept} << 20); info = memprobe.snapshot('a.snap'); print(info.mode, info.reason)"
    with scratch_group() as folder:
        done = run_in(folder, tmp_path, source)
    assert done.stdout.startswith("streamed a fork may need"), done


# mmap: data that no child gives back, for memprobe does not know the type
REWRITES = """
import mmap, os, threading, time
from memprobe import _capture, _native
keep = mmap.mmap(-1, 30 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(0, len(keep), 4096):
    keep[page] = 2
more = []
reader, writer = os.pipe()
def rewrite():
    for page in range(0, len(keep), 4096):
        keep[page] = 1  # a copy, for the child still has it as it was
    while not done:
        more.append(bytearray(b"x" * (1 << 20)))
        time.sleep(0.06)
done = False
def later():
    time.sleep(0.3)
    rewrite()
thread = threading.Thread(target=later)
thread.start()
try:
    _capture.write(_native.Held(os.dup(writer)), _capture.Options(seconds=60))
except ChildProcessError as problem:
    print(problem)
done = True
thread.join()
"""


HOLDS = """
import ctypes, mmap, os, threading, time
from memprobe import _core
keep = mmap.mmap(-1, 400 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
def fill(number):  # one call in C that holds the GIL
    ctypes.PyDLL(None).memset(ctypes.byref((ctypes.c_char * 1).from_buffer(keep)), number, ctypes.c_size_t(len(keep)))
fill(1)
reader, writer = os.pipe()
def snapshot():
    try:
        _core.snapshot(writer, fork=True, seconds=60)
    except ChildProcessError as problem:
        print(problem)
thread = threading.Thread(target=snapshot)
thread.start()
time.sleep(0.3)
fill(2)
thread.join()
"""


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("who", ["kernel", "look"])
@pytest.mark.parametrize(("source", "limit"), [(REWRITES, 96), (HOLDS, 640)], ids=["some", "all in C"])
def test_a_process_in_a_control_group_writes_a_lot(tmp_path: Path, source: str, limit: int, who: str, busy: bool) -> None:
    """It lives, and the child that waits for ever does not, whether the kernel sees to it or we must; also while somebody holds the
    GIL and while every processor is taken."""
    # A process that gave up root's rights cannot tell the kernel which child can be missed.
    rights = "" if who == "kernel" else "os.setresgid(65534, 65534, 65534), os.setresuid(65534, 65534, 65534)\n"
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4 * busy)]
    try:
        with scratch_group(limit * MEBIBYTE) as folder:
            done = run_in(folder, tmp_path, source.replace("keep =", rights + "keep =", 1))
    finally:
        for other in others:
            other.kill()
            other.wait()
    said = "by signal 9" if who == "kernel" else "of memory were left"
    assert said in done.stdout and done.returncode == 0 and not done.stderr, done
