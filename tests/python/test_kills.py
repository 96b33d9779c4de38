"""Somebody dies in the middle: the asker, the process that is asked, or it ends by itself. The others go on, and a file is whole or
not there. KILLS=60 in the environment has each die so often, as .ci/run asks for; `make campaign` asks for 200."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import until

import memprobe
from memprobe import attach

KILLS = int(os.environ.get("KILLS", "12"))

SERVES = """
import memprobe, sys
memprobe.agent.start()
keep = [{"n": i, "text": str(i)} for i in range(100_000)]
print("ready", flush=True)
sys.stdin.readline()
"""
ENDS = """
import memprobe, sys, time
memprobe.agent.start()
keep = [{"n": i, "text": str(i)} for i in range(50_000)]
print("ready", flush=True)
time.sleep(float(sys.argv[1]) if len(sys.argv) > 1 else 0.1)
"""


def descriptors(pid: int) -> list[str]:
    return sorted(os.listdir(f"/proc/{pid}/fd"))


def has_no_child(pid: int) -> bool:
    tasks = Path(f"/proc/{pid}/task")
    return until(lambda: not any((tasks / task / "children").read_text() for task in os.listdir(tasks)), 20)


def whole_or_nothing(folder: Path) -> bool:
    """True when there is a snapshot, and it is whole; nothing else may be there."""
    names = [name for name in os.listdir(folder) if name.endswith((".snap", ".tmp"))]
    assert names in ([], ["a.snap"]), names
    if names:
        assert memprobe.load(folder / "a.snap").info.cut is None
        os.unlink(folder / "a.snap")
    return bool(names)


def asking(pid: int) -> list[str]:
    """The command."""
    return [sys.executable, "-m", "memprobe", "snapshot", str(pid), "-o", "a.snap"]


def time_to_ask(pid: int, folder: Path) -> float:
    """Seconds that the command takes here, when nobody dies."""
    start = time.monotonic()
    subprocess.run(asking(pid), cwd=folder, check=True, stdout=subprocess.DEVNULL)
    os.unlink(folder / "a.snap")
    return time.monotonic() - start


def test_askers_die(program, tmp_path: Path) -> None:
    service = program(SERVES)
    before, choose = descriptors(service.pid), random.Random(1)
    words, took = asking(service.pid), time_to_ask(service.pid, tmp_path)
    for _ in range(KILLS):
        with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL) as asker:
            time.sleep(choose.uniform(0.3, 1.0) * took)
            asker.kill()
        whole_or_nothing(tmp_path)
    assert has_no_child(service.pid)
    assert until(lambda: descriptors(service.pid) == before, 20)  # the agent may still be closing the last connection
    assert attach.snapshot_process(service.pid, tmp_path / "a.snap").objects > 100_000
    assert service.end().code == 0


DIES_NAMING = """
import memprobe, os, signal
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
link = os.link
def link_and_die(*args, **words):
    link(*args, **words)
    die()
os.link, os.replace = link_and_die, die
print("ready", flush=True)
memprobe.snapshot("a.snap")
"""


def test_a_new_file_has_its_name_at_once(program, tmp_path: Path) -> None:
    """Nothing is left of it by a temporary name, whenever one dies."""
    assert program(DIES_NAMING).end().code == -signal.SIGKILL
    assert whole_or_nothing(tmp_path)


def test_the_asked_die(program, tmp_path: Path) -> None:
    choose, killed = random.Random(2), 0
    took = time_to_ask(program(SERVES).pid, tmp_path)
    for _ in range(KILLS):
        service = program(SERVES)
        with subprocess.Popen(
            asking(service.pid), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as asker:
            time.sleep(choose.uniform(0.0, 1.5) * took)
            service.kill()
            said = asker.communicate(timeout=60)[1]
        assert asker.returncode in (0, 3) and said.count("\n") == (asker.returncode != 0), said
        whole = whole_or_nothing(tmp_path)
        assert whole == (asker.returncode == 0)
        killed += not whole
    assert killed > 0


@pytest.mark.parametrize("turn", range(max(2, KILLS // 4)))
def test_the_interpreter_shuts_down(program, tmp_path: Path, turn: int) -> None:
    """The program ends while it is asked; its exit code is its own."""
    service = program(ENDS)
    time.sleep(0.02 + turn * 0.12 / max(2, KILLS // 4))
    try:
        attach.snapshot_process(service.pid, tmp_path / "a.snap", timeout=30)
    except memprobe.AttachError as problem:
        assert str(problem).endswith(".")
    whole_or_nothing(tmp_path)
    ended = service.end()
    assert ended.code == 0 and not ended.err, ended


IN_CALLBACKS = """
import gc, memprobe, weakref
modes = []
def snap(*_):
    modes.append(memprobe.snapshot("a.snap").mode)
class Node:
    def __del__(self):
        snap()
def ring(kind):
    a, b = kind(), kind()
    a.other, b.other = b, a
    return a
class Plain: pass
ring(Node)
gc.collect()
assert len(modes) == 2, modes
reference = weakref.ref(ring(Plain), snap)
gc.collect()
once = []
def callback(phase, info):
    if len(once) < 2:
        once.append(phase)
        snap()
gc.callbacks.append(callback)
gc.collect()
gc.callbacks.clear()
assert once == ["start", "stop"] and len(modes) == 4 + (reference() is None), (once, modes)
print(set(modes))
heap = memprobe.load("a.snap")
assert heap._graph.check() is None
"""


def test_while_the_collector_runs(python, tmp_path: Path) -> None:
    (tmp_path / "callbacks.py").write_text(IN_CALLBACKS)
    done = python("callbacks.py")
    assert done.code == 0 and done.out == "{'forked'}\n", done


SUBINTERPRETER = """
try:
    import _interpreters as interpreters  # 3.13
    create = lambda: interpreters.create("legacy")
except ImportError:
    import _xxsubinterpreters as interpreters
    create = lambda: interpreters.create(isolated=False)
def run(made, code):
    failed = (interpreters.exec if hasattr(interpreters, "exec") else interpreters.run_string)(made, code)
    assert failed is None, failed
made = create()
run(made, "import memprobe; marker = [0] * 1000; info = memprobe.snapshot('a.snap'); assert info.mode == 'forked', info")
import memprobe
print(memprobe.load("a.snap").info.objects > 1000)
memprobe.snapshot("b.snap")
interpreters.destroy(made)
memprobe.snapshot("c.snap")
made = create()
run(made, '''if True:
    import memprobe
    try:
        memprobe.agent.start(every=1)
    except memprobe.UnsupportedError as problem:
        assert "in the main one" in str(problem)
    else:
        raise AssertionError("it could not end with a thread of ours")
''')
interpreters.destroy(made)
"""


def test_in_a_subinterpreter(python, tmp_path: Path) -> None:
    (tmp_path / "sub.py").write_text(SUBINTERPRETER)
    done = python("sub.py")
    assert done.code == 0 and done.out == "True\n", done
