"""The agent: a process answers its own user and root, and nothing that an asker does harms it."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

import memprobe
from memprobe import _wire, agent, attach

SERVES = """
import memprobe, sys
class Marker: pass
markers = [Marker() for _ in range(321)]
print(memprobe.agent.start(), flush=True)
sys.stdin.readline()
print("done", flush=True)
"""


@pytest.fixture
def own_agent(runtime: Path):
    """An agent in this very process."""
    path = agent.start()
    yield Path(path)
    agent.stop()


def talk(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(60)
    with _wire.address(str(path.parent), int(path.name), os.geteuid()) as address:
        made.connect(address)
    return made


def reply_to(path: Path, request: _wire.Message, fds: tuple[int, ...] = ()) -> _wire.Message:
    with talk(path) as asker:
        _wire.send(asker, request, fds)
        return _wire.receive(asker)[0]


def temporaries(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".memprobe")]


def test_the_socket_is_private_and_goes_away(own_agent: Path) -> None:
    assert stat.S_IMODE(own_agent.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(own_agent.stat().st_mode) == 0o600
    assert own_agent.name == str(os.getpid())
    assert agent.start() == str(own_agent)  # once is enough
    agent.stop()
    assert not own_agent.exists()


def test_a_process_is_asked_and_goes_on(program, tmp_path: Path) -> None:
    service = program(SERVES)
    target = tmp_path / "a.snap"
    done = memprobe.snapshot_process(service.pid, target)
    assert done.objects > 1000 and done.bytes == target.stat().st_size and done.pause_ms >= 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    heap = memprobe.load(target)
    assert heap.info.pid == service.pid
    assert {row.type: row.count for row in heap.types(None)}["__main__.Marker"] == 321
    ended = service.end()
    assert ended.code == 0 and "done" in ended.out and not ended.err, ended


def test_a_path_longer_than_an_address(tmp_path: Path, program, monkeypatch) -> None:
    deep = tmp_path / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    deep.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    service = program(SERVES)
    assert service.said == str(deep / "memprobe" / str(service.pid))
    assert memprobe.snapshot_process(service.pid, tmp_path / "a.snap").objects > 1000


def test_the_asker_finds_a_socket_that_its_own_environment_does_not_name(program, tmp_path: Path, monkeypatch) -> None:
    service = program(SERVES)
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert memprobe.snapshot_process(service.pid, tmp_path / "a.snap").objects > 1000


def test_askers_are_served_one_after_the_other(program, tmp_path: Path) -> None:
    service = program(SERVES)
    problems: list[Exception] = []

    def ask(number: int) -> None:
        try:
            memprobe.snapshot_process(service.pid, tmp_path / f"{number}.snap")
        except Exception as problem:
            problems.append(problem)

    askers = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert not problems
    assert all(memprobe.load(tmp_path / f"{number}.snap").info.cut is None for number in range(4))


def test_a_forked_child_has_an_agent_of_its_own(program, tmp_path: Path) -> None:
    service = program(
        """
import memprobe, os, sys
memprobe.agent.start()
child = os.fork()
if child == 0:
    print(os.getpid(), flush=True)
    sys.stdin.readline()
    os._exit(0)
os.waitpid(child, 0)
"""
    )
    child = int(service.said)
    for pid in (child, service.pid):
        assert memprobe.snapshot_process(pid, tmp_path / "a.snap").objects > 1000
        assert memprobe.load(tmp_path / "a.snap").info.pid == pid
    assert service.end().code == 0


LEAVES = """
import memprobe, os, socket
def fork(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)  # as a worker ends: atexit does nothing
    os.waitpid(pid, 0)
    return pid
path = memprobe.agent.start()
folder = os.path.dirname(path)
gone = [fork(lambda: None) for _ in range(20)]
print(sorted(os.listdir(folder)) == sorted([str(os.getpid()), str(gone[-1])]))
# One that is not seen here, but listens, as in another pid namespace; and what is no agent's.
stranger = socket.socket(socket.AF_UNIX)
os.chdir(folder)
stranger.bind("4194305")
stranger.listen(1)
open("readme", "w").close()
last = fork(lambda: None)
print(sorted(os.listdir(folder)) == sorted([str(os.getpid()), str(last), "4194305", "readme"]))
"""


def test_sockets_of_processes_that_are_gone_are_removed(python, tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text(LEAVES)
    done = python("leaves.py")
    assert done.out == "True\nTrue\n" and done.code == 0, done


GEVENT = """
import gevent.monkey
gevent.monkey.patch_all()
import memprobe, os, sys
memprobe.agent.start()
if "forks" in open(__file__).readline() and os.fork():
    os.wait()
    os._exit(0)
print(os.getpid(), flush=True)
sys.stdin.readline()  # the whole event loop stands, so only a thread of its own can answer
print("done", flush=True)
"""


@pytest.mark.parametrize("how", ["forks", "runs"])
def test_with_gevent_the_agent_is_a_thread_of_its_own(program, tmp_path: Path, how: str) -> None:
    pytest.importorskip("gevent")
    target = program(f"# {how}" + GEVENT)
    for _ in range(2):
        assert memprobe.snapshot_process(int(target.said), tmp_path / "a.snap", timeout=60).mode == "forked"
    done = target.end()
    assert done.out == "done\n" and not done.err and done.code == 0, done


def test_off_denies(program, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MEMPROBE_AGENT", "off")
    service = program(SERVES)
    assert service.said == "None"
    with pytest.raises(memprobe.AttachError, match="denies the agent: MEMPROBE_AGENT=off"):
        memprobe.snapshot_process(service.pid, tmp_path / "a.snap")


def test_audit_events(python) -> None:
    done = python(
        "-c",
        """
import sys
seen = []
sys.addaudithook(lambda name, args: seen.append((name, args)) if name.startswith("memprobe.") else None)
import memprobe
path = memprobe.agent.start()
memprobe.snapshot("own.snap")
assert [name for name, _ in seen] == ["memprobe.agent", "memprobe.snapshot"], seen
assert seen[1][1] == ("own.snap",)
print("fine")
""",
    )
    assert done.out == "fine\n", done


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", struct.pack("!I", 5), struct.pack("!I", 0xFFFFFFFF), struct.pack("!I", 3) + b"abc", struct.pack("!I", 2) + b"[]"],
)
def test_nonsense_does_no_harm(own_agent: Path, data: bytes) -> None:
    with talk(own_agent) as asker:
        asker.sendall(data)
        asker.shutdown(socket.SHUT_WR)
        assert _wire.receive(asker)[0]["error"]["kind"] == "WireError"
    assert reply_to(own_agent, {"verb": "ping"})["ok"]["pid"] == os.getpid()


def test_an_asker_that_leaves_does_no_harm(own_agent: Path, tmp_path: Path) -> None:
    with open(tmp_path / "a.snap", "wb") as file, talk(own_agent) as asker:
        _wire.send(asker, {"verb": "snapshot"}, (file.fileno(),))
    assert reply_to(own_agent, {"verb": "ping"})["ok"]["pid"] == os.getpid()


def test_wrong_requests_are_told(own_agent: Path) -> None:
    assert "does not know 'dance'" in reply_to(own_agent, {"verb": "dance"})["error"]["message"]
    assert "needs one file" in reply_to(own_agent, {"verb": "snapshot"})["error"]["message"]
    reader, writer = os.pipe()
    assert "needs one file" in reply_to(own_agent, {"verb": "snapshot"}, (writer,))["error"]["message"]
    os.close(reader), os.close(writer)


def test_descriptors_are_given_back(own_agent: Path, tmp_path: Path) -> None:
    reply_to(own_agent, {"verb": "ping"})
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with open(tmp_path / "x", "wb") as file:
            reply_to(own_agent, {"verb": "dance"}, (file.fileno(), file.fileno()))
            memprobe.snapshot_process(os.getpid(), tmp_path / "a.snap")
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_strangers_are_refused(own_agent: Path, monkeypatch) -> None:
    monkeypatch.setattr(_wire, "peer", lambda of: (1, 54321))
    error = reply_to(own_agent, {"verb": "ping"})["error"]
    assert error["kind"] == "PermissionError" and "only its own user and root" in error["message"]


def test_a_folder_open_to_others_is_refused(runtime: Path) -> None:
    (runtime / "memprobe").mkdir()
    (runtime / "memprobe").chmod(0o777)
    with pytest.raises(PermissionError, match="is not private"):
        agent.start()


def test_an_error_in_the_service_goes_to_the_asker(own_agent: Path, tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("not today")

    monkeypatch.setattr(agent._capture, "write", refuse)
    with pytest.raises(memprobe.AttachError, match="RuntimeError: not today"):
        memprobe.snapshot_process(os.getpid(), tmp_path / "a.snap")
    assert os.listdir(tmp_path) == ["runtime"]


def test_no_such_process(tmp_path: Path) -> None:
    with pytest.raises(memprobe.AttachError, match="There is no process 4194305"):
        memprobe.snapshot_process(4194305, tmp_path / "a.snap")


def stop(pid: int) -> None:
    """SIGSTOP, and wait until all threads have stopped."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    while not all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks.iterdir()):
        time.sleep(0.01)


def test_a_stopped_process_is_not_waited_for(program, command, tmp_path: Path) -> None:
    service = program(SERVES)
    (tmp_path / "a.snap").write_text("old")
    stop(service.pid)
    try:
        done = command("snapshot", service.pid, "-o", "a.snap")
    finally:
        os.kill(service.pid, signal.SIGCONT)
    assert done.code == 3 and done.err == (
        f"memprobe: Process {service.pid} is stopped: let it go on (kill -CONT {service.pid}), and ask again.\n"
    )
    assert (tmp_path / "a.snap").read_text() == "old" and not temporaries(tmp_path)
    assert service.end().code == 0


def test_a_process_in_c_code_costs_patience_and_no_file(program, command, tmp_path: Path) -> None:
    service = program(SERVES.replace("sys.stdin.readline()", "print('goes', sum(range(1 << 50)))"))  # holds the GIL
    (tmp_path / "a.snap").write_text("old")
    done = command("snapshot", service.pid, "-o", "a.snap", "--timeout", "0.5")
    assert done.code == 3 and f"Process {service.pid} did not answer in time" in done.err, done
    assert (tmp_path / "a.snap").read_text() == "old" and not temporaries(tmp_path)


def test_a_zombie_is_called_so(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as child:
        while attach.status(child.pid)["State"][0] != "Z":
            time.sleep(0.01)
        with pytest.raises(memprobe.AttachError, match=f"has ended; process {os.getpid()}, which started it, has not"):
            memprobe.snapshot_process(child.pid, tmp_path / "a.snap")


def test_a_process_killed_meanwhile_leaves_no_file(program, tmp_path: Path) -> None:
    service = program(SERVES)
    stop(service.pid)
    asked = attach.reach(service.pid, os.geteuid())
    threading.Timer(0.2, service.process.kill).start()
    with pytest.raises(memprobe.AttachError, match="ended, or closed the connection"):
        attach.ask(asked, service.pid, {"verb": "ping"})
    asked.close()


def test_messages_survive_the_wire() -> None:
    one, other = socket.socketpair()
    with one, other:
        _wire.send(one, {"text": "ä" * 1000})
        assert _wire.receive(other) == ({"text": "ä" * 1000}, [])
        one.sendall(struct.pack("!I", 4) + json.dumps(None).encode())
        with pytest.raises(_wire.WireError, match="no object"):
            _wire.receive(other)
