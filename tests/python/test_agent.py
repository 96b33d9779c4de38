"""The agent: a process answers its own user and root, and nothing that an asker does harms it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import until

import memprobe
from memprobe import _core, _native, _wire, agent, attach

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
    open_files = []
    for _ in range(3):
        assert memprobe.snapshot_process(int(target.said), tmp_path / "a.snap", timeout=60).mode == "forked"
        time.sleep(0.2)
        open_files.append(len(os.listdir(f"/proc/{target.said}/fd")))
    assert open_files[0] == open_files[1] == open_files[2]  # the first one brings an event loop of gevent's
    done = target.end()
    assert done.out == "done\n" and not done.err and done.code == 0, done


EVENTLET = """
import warnings
warnings.simplefilter("ignore")
import eventlet
eventlet.monkey_patch()
import memprobe, os, sys
memprobe.agent.start()
print(len(os.listdir("/proc/self/task")), flush=True)
sys.stdin.readline()
"""


def test_with_eventlet_too(program, tmp_path: Path) -> None:
    if importlib.util.find_spec("eventlet") is None:  # it is not imported here: that changes what fork does
        pytest.skip("no eventlet here")
    target = program(EVENTLET)
    assert target.said == "2"
    assert memprobe.snapshot_process(target.pid, tmp_path / "a.snap", timeout=60).mode == "forked"
    assert target.end().code == 0


# ---- a program that does not know of us ------------------------------------------------------------------------------

WAITS = """
import memprobe, signal, sys, threading, time
handled = []
signal.signal(signal.SIGUSR1, lambda *_: handled.append("handled"))
memprobe.agent.start(every=1000)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGUSR1})
print("ready", flush=True)
sys.stdin.readline()
print(signal.sigwait({signal.SIGHUP}).name, handled, flush=True)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
print(handled)
"""


def test_signals_are_the_programs(program) -> None:
    """It has one thread, and blocks signals to wait for them or not to be interrupted."""
    service = program(WAITS)
    os.kill(service.pid, signal.SIGHUP)
    os.kill(service.pid, signal.SIGUSR1)
    time.sleep(0.1)
    ended = service.end()
    assert ended.out == "SIGHUP []\n['handled']\n" and ended.code == 0, ended


SUDDEN = """
import memprobe, os, sys
from memprobe import _native
memprobe.agent.start()
keep = [[n] for n in range(1_000_000)]
print("ready", flush=True)
while len(_native.Held.all) < 3: pass  # the listener, the asker and the file
if "fork" in sys.argv:
    child = os.fork()
    if not child: os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
else:
    os.closerange(3, 4096)
    theirs = [os.open("theirs", os.O_RDWR | os.O_CREAT) for _ in range(700)]
    sys.stdin.readline()
    assert all(os.fstat(fd).st_size == 0 for fd in theirs)
print("done", flush=True)
sys.stdin.readline()
"""


def test_descriptors_that_are_closed_while_somebody_is_answered(program, tmp_path: Path) -> None:
    """The next files of the program have the numbers of the asker and of its file."""
    service = program(SUDDEN)
    with pytest.raises(memprobe.AttachError, match="closed the connection"):
        memprobe.snapshot_process(service.pid, tmp_path / "a.snap", timeout=30)
    time.sleep(0.2)
    service.go_on()
    assert service.line() == "done" and not (tmp_path / "a.snap").exists()

    def there() -> bool:
        # the agent is coming back; sys.remote_exec would wait for the main thread, which reads
        with suppress(memprobe.AttachError):
            memprobe.snapshot_process(service.pid, tmp_path / "a.snap", timeout=5)
        return (tmp_path / "a.snap").exists()

    assert until(there, 60)


RECKLESS = """
import memprobe, os, sys, time
sys.setswitchinterval(1e-6)
memprobe.agent.start(rss_limit=1, directory=os.getcwd())
keep = [[n] for n in range(20_000)]
print("ready", flush=True)
end = time.monotonic() + 4
turns = 0
while time.monotonic() < end:
    turns += 1
    os.closerange(3, 4096)
    theirs = [os.open("theirs", os.O_RDWR | os.O_CREAT) for _ in range(40)]
    for _ in range(turns % 50): pass
    try:
        assert all(os.fstat(fd).st_size == 0 and os.lseek(fd, 0, os.SEEK_CUR) == 0 for fd in theirs)
    except OSError as problem:
        raise SystemExit(f"{problem} after {turns} turns")
print("done", flush=True)
sys.stdin.readline()
"""


def test_a_program_that_closes_all_again_and_again(program, tmp_path: Path) -> None:
    """Whatever our threads are at: a signal's and a limit's snapshot, a request, the socket that is made anew."""
    service = program(RECKLESS)
    end = time.monotonic() + 3.5
    while time.monotonic() < end:
        with suppress(memprobe.AttachError, OSError):
            memprobe.snapshot_process(service.pid, tmp_path / "a.snap", timeout=1)
    assert service.line() == "done"


def test_a_file_that_has_the_number_of_a_removed_one(tmp_path: Path) -> None:
    """The program closes the asker's file, the asker removes it, and the program's next file is the same inode of the disk."""
    for turn in range(10):
        path = tmp_path / str(turn)
        held = _native.Held(os.open(path, os.O_RDWR | os.O_CREAT))
        if held.identity[2] == 0:
            pytest.skip("this file system does not say when a file was made")
        path.unlink()
        os.close(held.fd)
        time.sleep(0.05)  # a file system may count in ticks of the clock
        theirs = os.open(tmp_path / f"theirs {turn}", os.O_RDWR | os.O_CREAT)
        os.dup2(theirs, held.fd)
        assert not held.intact()
        with pytest.raises(OSError, match="Bad file descriptor"):
            _core.snapshot(held.fd, file=held.identity)
        inode = held.identity[1]
        held.close()
        found, reused = os.fstat(held.fd), os.fstat(theirs).st_ino == inode
        assert found.st_ino == os.fstat(theirs).st_ino and found.st_size == 0
        os.close(theirs)
        os.close(held.fd)
        if reused:
            return
    pytest.skip("this file system gives the next file another number")


HOOKED = """
import os, threading, time
def hook():
    threading.Thread(target=lambda: [str(n) for n in range(100_000)], daemon=True).start()
    time.sleep(0.05)
os.register_at_fork(after_in_child=hook)
"""


def test_a_hook_that_runs_before_ours_starts_a_thread(program, tmp_path: Path) -> None:
    """In the forked process it has the stack of the thread that was taking the snapshot."""
    for _ in range(3):
        service = program(HOOKED + SUDDEN.replace('"fork" in sys.argv', "True"))
        memprobe.snapshot_process(service.pid, tmp_path / "a.snap", timeout=30)
        assert (service.line(), service.line()) == ("0", "done")


def test_a_handler_that_calls_us_while_we_are_at_it(python) -> None:
    source = """
import faulthandler, memprobe, os, signal, sys
faulthandler.dump_traceback_later(20, exit=True)
signal.signal(signal.SIGHUP, lambda *_: memprobe.agent.stop())
sys.addaudithook(lambda event, _: event == "memprobe.agent" and os.kill(os.getpid(), signal.SIGHUP))
memprobe.agent.start()
"""
    done = python("-c", source)
    assert done.code == 0 and not done.err, done


def test_a_thread_whose_children_have_a_pid_namespace(python) -> None:
    """Its first child is the namespace's init: after that child nobody could be forked."""
    source = """
import ctypes, memprobe, os
if ctypes.CDLL(None).unshare(0x20000000): print("not allowed")
else:
    info = memprobe.snapshot("a.snap")
    child = os.fork()
    if not child: os._exit(0)
    print(os.waitpid(child, 0)[1], info.mode, info.reason)
"""
    done = python("-W", "ignore", "-c", source)
    if done.out == "not allowed\n":
        pytest.skip("no namespace can be made here")
    assert done.out == "0 streamed children of this thread are in a pid namespace of their own\n", done


CLOSES = """
import memprobe, os, signal, socket, sys
import memprobe._triggers as triggers
triggers.REST = 0.2
memprobe.agent.start(signal=signal.SIGUSR2, every=1000, directory="snaps")
sys.stdin.readline()
os.closerange(3, 4096)
os.chdir("/")
listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(20)]
child = os.fork() if "forks" in sys.argv else 0
if child:
    os.waitpid(child, 0)
    sys.exit()
print(os.getpid(), *(listener.getsockname()[1] for listener in listeners), flush=True)
for line in sys.stdin:
    for listener in listeners:
        connection = listener.accept()[0]
        connection.sendall(connection.recv(100))
        connection.close()
    if line == "end\\n":
        break
    print("served", flush=True)
if "forks" in sys.argv:
    os._exit(0)
"""


@pytest.mark.parametrize("how", ["runs", "forks"])
def test_a_program_that_closes_all_descriptors(python, tmp_path: Path, runtime: Path, how: str) -> None:
    """As daemons do. Its own connections get the numbers that the agent's had."""
    (tmp_path / "closes.py").write_text(CLOSES)
    (tmp_path / "snaps").mkdir()
    words = [sys.executable, "-W", "ignore", "closes.py", how]  # of fork with threads
    service = subprocess.Popen(
        words, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        time.sleep(0.5)  # until the threads wait
        print(file=service.stdin, flush=True)
        pid, *ports = map(int, service.stdout.readline().split())
        for turn in range(3):
            assert memprobe.snapshot_process(pid, tmp_path / "a.snap", timeout=30).attached == "agent"
            print("end" if turn == 2 else "go on", file=service.stdin, flush=True)
            for port in ports:
                with socket.create_connection(("127.0.0.1", port), timeout=10) as visitor:
                    visitor.sendall(b"hello")
                    assert visitor.recv(100) == b"hello"
            assert turn == 2 or service.stdout.readline() == "served\n"
            if turn == 0:
                time.sleep(0.7)  # the thread that waits for the signal looks whether it still can
                os.kill(pid, signal.SIGUSR2)
                assert until(lambda: os.listdir(tmp_path / "snaps"), 20)
        out, err = service.communicate(timeout=60)
        assert (service.returncode, out, err) == (0, "", "")
        assert os.listdir(tmp_path / "snaps")[0].startswith(f"memprobe-{pid}-")
    finally:
        service.kill()
        service.communicate()


FORKS = """
import memprobe, os, sys
memprobe.agent.start()
print("ready", flush=True)
sys.stdin.readline()
child = os.fork()
if child == 0:
    links = [os.path.realpath("/proc/self/fd/" + fd) for fd in os.listdir("/proc/self/fd") if int(fd) > 2]
    print(sum("socket" in link for link in links), len(links), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_forked_child_has_nothing_of_an_asker(program, runtime: Path) -> None:
    service = program(FORKS)
    with talk(runtime / "memprobe" / str(service.pid)) as asker:
        asker.sendall(b"\0")  # the agent waits for the rest
        time.sleep(0.3)
        service.go_on()
        said = service.line()
    assert said == "1 2"  # its own agent's, and the folder that it read
    assert service.end().code == 0


CHROOTS = """
import memprobe, os, sys
memprobe.agent.start()
print("ready", flush=True)
sys.stdin.readline()
os.chroot("jail")
os.chdir("/")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
def test_a_program_in_a_jail_ends_well(program, tmp_path: Path) -> None:
    """Before 3.14 a thread that is left when Python ends needs a library of the system's."""
    (tmp_path / "jail").mkdir()
    for _ in range(3):
        service = program(CHROOTS)
        time.sleep(0.2)
        ended = service.end()
        assert ended.code == 0 and not ended.err, ended


LIMITED = """
import memprobe, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
memprobe.agent.start()
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("options", [(), ("--no-fork",)], ids=["forked", "streamed"])
def test_a_program_that_may_write_small_files_only(program, command, tmp_path: Path, options: tuple[str, ...]) -> None:
    service = program(LIMITED)
    done = command("snapshot", service.pid, "-o", "a.snap", *options)
    assert done.code == 3 and "ulimit -f" in done.err, done
    assert service.end().code == 0 and not (tmp_path / "a.snap").exists()


def test_ensure_leaves_settings_alone(own_agent: Path, tmp_path: Path) -> None:
    agent.start(values=True, rss_limit="1TiB")
    triggers = agent._triggers
    assert agent.ensure() == str(own_agent) and agent._triggers is triggers is not None and agent._values
    os.unlink(own_agent)
    assert agent.ensure() == str(own_agent) and own_agent.exists()
    assert agent._triggers is triggers and agent._values
    assert memprobe.snapshot_process(os.getpid(), tmp_path / "a.snap").attached == "agent"
    agent.start()


def test_no_thread_can_be_started(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(agent._native, "start_thread", refuse)
    with pytest.raises(OSError, match="the agent has no thread: can't start new thread"):
        agent.start()
    assert not os.listdir(runtime / "memprobe")


def test_another_process_with_this_number(runtime: Path, tmp_path: Path) -> None:
    """As in containers that share the folder: neither takes the other's socket."""
    (runtime / "memprobe").mkdir(mode=0o700)
    theirs = runtime / "memprobe" / str(os.getpid())
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(theirs))
        stranger.listen(5)
        path = agent.start()
        try:
            assert path == f"{theirs}.{os.stat('/proc/self/ns/pid').st_ino}"
            assert agent.ensure() == path
        finally:
            agent.stop()
        assert theirs.exists() and not Path(path).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder away needs root")
def test_the_runtime_folder_of_another_user(runtime: Path) -> None:
    """As su and sudo -E hand it on: nothing is made there."""
    os.chown(runtime, 65534, -1)
    path = agent.start()
    try:
        assert path == f"/tmp/memprobe-0/{os.getpid()}" and not os.listdir(runtime)
    finally:
        agent.stop()


def test_a_runtime_folder_that_is_none(runtime: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in "nothing", str(tmp_path / "nothing"), "/dev/null":
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        path = agent.start()
        agent.stop()
        assert path == f"/tmp/memprobe-{os.geteuid()}/{os.getpid()}" and not (tmp_path / "nothing").exists()


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


@pytest.mark.skipif(os.geteuid() != 0, reason="giving up root's rights needs root")
def test_a_folder_of_another_user(python, tmp_path: Path) -> None:
    """He made the one in /tmp first: the agent is in /dev/shm then, where it is looked for as well."""
    uid = 1_000_000 + os.getpid()  # nobody's, and not that of the same test at the same time
    place = Path(f"/tmp/memprobe-{uid}")
    source = f"""
import memprobe.agent, os
os.setgid({uid}), os.setuid({uid})
path = memprobe.agent.start()
print(path.rpartition("/")[0], memprobe.agent.start() == path)
"""
    place.mkdir(0o755, exist_ok=True)
    try:
        done = python("-c", source, XDG_RUNTIME_DIR="")
        assert done.out == f"/dev/shm/memprobe-{uid} True\n", done
    finally:
        place.rmdir()
        shutil.rmtree(f"/dev/shm/memprobe-{uid}", ignore_errors=True)


STARVED = """
import memprobe, os, resource, sys
memprobe.agent.start()
print("ready", flush=True)
sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_NOFILE, (600, 600))
os.closerange(3, 600)
theirs = []
try:
    while True: theirs.append(os.open("/dev/null", os.O_RDONLY))
except OSError: pass
print("full", flush=True)
sys.stdin.readline()
for fd in theirs: os.close(fd)
print("free", flush=True)
sys.stdin.readline()
"""


def test_an_agent_that_cannot_listen_again_for_a_while(program, tmp_path: Path) -> None:
    """Its descriptors were closed, and the program has taken them all."""
    service = program(STARVED)
    service.go_on()
    assert service.line() == "full"
    time.sleep(agent.REST + 2)
    service.go_on()
    assert service.line() == "free"

    def there() -> bool:
        with suppress(memprobe.AttachError):
            return memprobe.snapshot_process(service.pid, tmp_path / "a.snap", timeout=5).attached == "agent"
        return False

    assert until(there, 30)
    assert service.end().code == 0


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
