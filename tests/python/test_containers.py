"""Processes that see other numbers, other files or run as another user than who asks: as containers and services do."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Program, needs_gdb, needs_remote_exec, skip_without_tracing

import memprobe
from memprobe import _core, attach, inject

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and other users need root"),
    pytest.mark.usefixtures("nothing_left"),
]
NOBODY, STRANGER = 65534, 65533
INTERPRETER = os.path.realpath(sys.executable)  # an environment's may be hidden in there

WAITS = """
import os, sys, threading, time
{start}
print(os.getpid(), sorted(os.listdir("/tmp")), flush=True)
end = time.monotonic() + 60
while time.monotonic() < end and not {ends}: time.sleep(0.01)
"""
AGENT = WAITS.format(start="import memprobe; memprobe.agent.start()", ends="os.path.exists('/tmp/end')")
PLAIN = WAITS.format(start="", ends="os.path.exists('/tmp/end')")

# A /tmp of its own, in which the package is at another path than here.
ENTER = """
set -e
mount -t tmpfs -o mode=1777 tmpfs "$1"
cp -rL "$2" "$1/elsewhere"
mount --bind "$1" /tmp
shift 2
exec "$@"
"""


class Container(Program):
    """A program that is process 1 of its own pid namespace, with a /tmp of its own."""

    def __init__(self, folder: Path, command: list[str]) -> None:
        super().__init__(folder, command)
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        assert len(children) == 1
        self.pid = int(children[0])
        self.started.add(self.pid)


def have_namespaces() -> bool:
    words = ["unshare", "--fork", "--pid", "--mount", "--mount-proc", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
    return shutil.which("unshare") is not None and subprocess.run(words, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is tested, to be put where this Python does not look."""
    folder = tmp_path_factory.mktemp("package")
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(Path(memprobe.__file__).parent, folder / "memprobe", ignore=ignored)
    shutil.copy(_core.__file__, folder / "memprobe")
    return folder


@pytest.fixture
def container(tmp_path: Path, package: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Container]]:
    """Start programs in namespaces of their own, with the sockets where they are in containers: in /tmp."""
    if not have_namespaces():
        pytest.skip("no namespaces can be made here")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    started: list[Container] = []

    def start(source: str, path: str = "/tmp/elsewhere") -> Container:
        inside = tmp_path / f"inside-{len(started)}"
        inside.mkdir()
        words = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--mount-proc", "sh", "-c", ENTER, "sh"]
        python = ["env", f"PYTHONPATH={path}", INTERPRETER, "-B", "-c", source]
        started.append(Container(tmp_path, [*words, str(inside), str(package), *python]))
        return started[-1]

    yield start
    for one in started:
        with suppress(ProcessLookupError):
            os.kill(one.pid, 9)
        one.kill()


def inside(service: Container) -> list[str]:
    return sorted(os.listdir(Path("/proc", str(service.pid), "root", "tmp")))


def check(service: Program, target: Path, how: str, **more: bool) -> None:
    """The file is the asker's, in the asker's file system; the number in it is the one that the process has for itself."""
    info = attach.snapshot_process(service.pid, target, **more)
    assert info.attached == how and info.mode == "forked" and info.path == str(target)
    found = target.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode), found.st_size) == (os.geteuid(), 0o600, info.bytes)
    assert str(memprobe.load(target).info.pid) == service.said.split()[0]
    assert service.process.poll() is None


def test_the_agent_is_in_a_container(container, command, tmp_path: Path) -> None:
    service = container(AGENT)
    assert service.said == "1 ['elsewhere', 'memprobe-0']" and service.pid > 1
    check(service, tmp_path / "a.snap", "agent")
    done = command("watch", service.pid, "--every", "0.1", "--count", "2")
    assert done.code == 0 and f"memprobe-{service.pid}-" in " ".join(os.listdir(tmp_path)), done
    assert inside(service) == ["elsewhere", "memprobe-0"]


WAYS = [
    pytest.param("sys.remote_exec", marks=needs_remote_exec),
    pytest.param("gdb", marks=[needs_gdb, pytest.mark.skipif(sys.version_info >= (3, 14), reason="sys.remote_exec is better")]),
]


def check_way(service: Program, target: Path, how: str) -> None:
    """Without an agent, if that can be here at all; then with the one that was started."""
    try:
        check(service, target, how, gdb=how == "gdb")
    except memprobe.AttachError as problem:
        skip_without_tracing(str(problem))
        if how == "sys.remote_exec" and not os.path.exists(inject.executable(service.pid)):
            assert "in a container: ask in there); gdb: " in str(problem)  # as in a chroot
            pytest.skip("the interpreter is not here by the name that it has there")
        raise
    check(service, target, "agent")


@pytest.mark.parametrize("how", WAYS)
def test_no_agent_is_in_a_container(container, tmp_path: Path, how: str) -> None:
    service = container(PLAIN)
    check_way(service, tmp_path / "a.snap", how)
    assert inside(service) == ["elsewhere", "memprobe-0"]


@pytest.mark.parametrize("how", WAYS)
def test_a_container_without_the_package(container, tmp_path: Path, how: str) -> None:
    """It is imported from where the asker has it, if that is there: in /tmp it is not."""
    service = container(PLAIN, path="/nowhere")
    folder = os.path.dirname(os.path.dirname(memprobe.__file__))
    if Path(f"/proc/{service.pid}/root{folder}").exists():
        check_way(service, tmp_path / "a.snap", how)
        return
    with pytest.raises(memprobe.AttachError, match="ModuleNotFoundError.* install memprobe-heap in its environment"):
        check_way(service, tmp_path / "a.snap", how)
    assert inside(service) == ["elsewhere"]


# ---- other users ----------------------------------------------------------------------------------------------------

# The interpreter may be where only root may go, so that all modules are imported before root's rights are given up, as services do.
DROPS = """
import encodings.idna, glob, json, memprobe.agent, os, pwd, sys, threading, time
os.setgroups([]), os.setgid({user}), os.setuid({user})
{start}
print(os.getpid(), flush=True)
end = time.monotonic() + 60
while time.monotonic() < end: time.sleep(0.01)
"""
ASKS = """
import memprobe.attach, memprobe.inject, os, sys
os.setgroups([]), os.setgid({user}), os.setuid({user})
try:
    memprobe.snapshot_process({pid}, "a.snap")
except memprobe.AttachError as problem:
    print(problem)
"""


@pytest.fixture
def dropped(program, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Program]]:
    """Start a program that gives up root's rights; its socket is in its user's folder in /tmp."""
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    folder = Path(f"/tmp/memprobe-{NOBODY}")
    yield lambda start: program(DROPS.format(user=NOBODY, start=start))
    for pid in Program.started:
        (folder / str(pid)).unlink(missing_ok=True)
    with suppress(OSError):  # others may run the tests at the same time
        folder.rmdir()


def test_root_asks_another_user(dropped, python, tmp_path: Path) -> None:
    service = dropped("memprobe.agent.start()")
    check(service, tmp_path / "a.snap", "agent")
    asked = python("-c", ASKS.format(user=STRANGER, pid=service.pid))
    assert asked.out == f"Process {service.pid} belongs to user {attach.user(NOBODY)}: ask as that user or as root.\n", asked
    asked = python("-c", ASKS.format(user=NOBODY, pid=service.pid).replace('"a.snap"', '"/dev/shm/memprobe-test.snap"'))
    assert asked.code == 0 and not asked.out and not asked.err, asked
    found = os.stat("/dev/shm/memprobe-test.snap")
    os.unlink("/dev/shm/memprobe-test.snap")
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (NOBODY, 0o600)


def test_a_process_that_gave_up_its_rights_after_it_started_the_agent(program, tmp_path: Path) -> None:
    """Its socket is where root's are."""
    service = program(DROPS.format(user=NOBODY, start="").replace("os.setgroups", "memprobe.agent.start(); os.setgroups", 1))
    check(service, tmp_path / "a.snap", "agent")


@pytest.mark.parametrize("how", WAYS)
def test_root_gives_another_user_an_agent(dropped, tmp_path: Path, how: str) -> None:
    service = dropped("")
    check_way(service, tmp_path / "a.snap", how)


def test_the_own_user_may_not_look_into_it(dropped, python) -> None:
    """A process that gave up root's rights and has no agent: its own user can do nothing."""
    service = dropped("")
    asked = python("-c", ASKS.format(user=NOBODY, pid=service.pid))
    assert asked.code == 0 and asked.out.startswith(f"Process {service.pid} shows no memprobe agent, and this user may not look"), (
        asked
    )


# ---- containers with users of their own ------------------------------------------------------------------------------


@pytest.fixture
def users(tmp_path: Path, runtime: Path) -> Iterator[Callable[..., Program]]:
    """Start a program in a user namespace."""
    if subprocess.run(["unshare", "--user", "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces can be made here")
    started: list[Program] = []

    def start(*options: str) -> Program:
        started.append(Program(tmp_path, ["unshare", "--user", *options, INTERPRETER, "-c", PLAIN]))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def test_a_container_with_users_of_its_own(users, tmp_path: Path) -> None:
    service = users()
    sentence = rf"Process {service.pid} is in a container with users of its own: ask in there .*nsenter -t {service.pid} -U"
    with pytest.raises(memprobe.AttachError, match=sentence):
        attach.snapshot_process(service.pid, tmp_path / "a.snap", gdb=True)


ALL_ITS_OWN = "for place in /tmp /var/tmp /dev/shm; do mount -t tmpfs tmpfs $place || exit; done; echo ready; exec sleep 60"


def test_folders_of_users_that_we_are_none_of() -> None:
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", ALL_ITS_OWN]
    with subprocess.Popen(words, cwd="/", stdout=subprocess.PIPE, user=NOBODY, group=NOBODY) as service:
        assert service.stdout is not None
        if not service.stdout.readline():
            pytest.skip("no user namespaces can be made here")
        try:
            with pytest.raises(memprobe.AttachError, match="is in a container with users of its own"):
                inject.made(service.pid, "memprobe-test")
        finally:
            service.kill()


@pytest.mark.parametrize("how", WAYS)
def test_users_of_its_own_with_our_numbers(users, tmp_path: Path, how: str) -> None:
    """As PrivateUsers= of systemd gives them."""
    check_way(users("--map-root-user"), tmp_path / "a.snap", how)
