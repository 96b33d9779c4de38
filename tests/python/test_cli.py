"""The command as a person uses it: programs it runs, files it reads, and one clear sentence when it cannot."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import memprobe
from memprobe.cli import snapshot

PROGRAM = """
import sys
class Thing:
    def __init__(self, n):
        self.n = n
things = [Thing(n) for n in range(1234)]
print("argv", sys.argv[1:], __name__, sys.path[0])
if __name__ == "__main__" and len(sys.argv) > 1:
    sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def taken(tmp_path_factory) -> tuple[Path, Path]:
    """Two snapshots of a process, the second with 1000 objects more."""
    folder = tmp_path_factory.mktemp("taken")
    source = """
        import memprobe
        class Leak: pass
        kept = []
        memprobe.snapshot("older.snap")
        kept.extend(Leak() for _ in range(1000))
        memprobe.snapshot("newer.snap")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source)], cwd=folder, check=True)
    return folder / "older.snap", folder / "newer.snap"


def counts(path: Path) -> dict[str, int]:
    return {row.type: row.count for row in memprobe.load(path).types(None)}


# ---- run ------------------------------------------------------------------------------------------------------------


def test_run_a_script(command, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(PROGRAM)
    done = command("run", "job.py", "7")
    assert done.code == 7 and done.out == f"argv ['7'] __main__ {tmp_path}\n" and not done.err, done
    assert command("run", "job.py").code == 0


def test_run_a_module_and_a_package(command, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(PROGRAM)
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "__init__.py").write_text("")
    (tmp_path / "box" / "__main__.py").write_text("from . import __name__ as n; import sys; print(n, __package__, sys.argv)")
    done = command("run", "-m", "job", "7")
    assert done.code == 7 and done.out == f"argv ['7'] __main__ {tmp_path}\n", done
    done = command("run", "-m", "box", "-x")
    assert done.code == 0 and done.out == f"box box [{str(tmp_path / 'box' / '__main__.py')!r}, '-x']\n", done


def test_run_shows_an_error_as_python_does(command, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def f():\n    1 / 0\nf()\n")
    done = command("run", "bad.py")
    assert done.code == 1 and "ZeroDivisionError" in done.err and "memprobe" not in done.err, done


def test_run_has_the_agent_and_little_else(command, tmp_path: Path) -> None:
    source = "import memprobe.agent, sys\nassert memprobe.agent.start()\nprint({'rich', 'argparse'} & set(sys.modules))"
    (tmp_path / "job.py").write_text(source)
    done = command("run", "job.py")
    assert done.out == "set()\n" and done.code == 0, done


def test_run_without_a_possible_agent_runs_all_the_same(command, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("print('here')")
    (tmp_path / "runtime" / "memprobe").mkdir()
    (tmp_path / "runtime" / "memprobe").chmod(0o777)  # not private
    done = command("run", "job.py")
    assert done.code == 0 and done.out == "here\n" and "no agent in this program" in done.err, done
    done = command("run", "job.py", MEMPROBE_AGENT="off")
    assert done.code == 0 and done.out == "here\n" and "cannot be asked" in done.err, done


# ---- snapshot -------------------------------------------------------------------------------------------------------


def test_snapshot_of_a_script_at_its_end(command, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(PROGRAM)
    done = command("snapshot", "-o", "end.snap", "--", "job.py", "5")
    assert done.code == 5 and "Snapshot written" in done.out and "Next: memprobe summary end.snap" in done.out, done
    assert counts(tmp_path / "end.snap")["__main__.Thing"] == 1234
    assert stat.S_IMODE((tmp_path / "end.snap").stat().st_mode) == 0o600


def test_snapshot_of_a_module(command, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(PROGRAM)
    done = command("snapshot", "--json", "-o", "end.snap", "-m", "job")
    said = json.loads(done.out[done.out.index("{") :])
    assert done.code == 0 and said["schema"] == "memprobe.snapshot/2" and said["path"] == "end.snap", done
    assert counts(tmp_path / "end.snap")["__main__.Thing"] == 1234


def test_snapshot_waits_for_the_programs_threads(command, tmp_path: Path) -> None:
    source = "import threading, time\nclass Late: pass\nkept = []\ndef work():\n    time.sleep(0.3)\n    kept.append(Late())\n"
    (tmp_path / "job.py").write_text(source + "threading.Thread(target=work).start()\n")
    assert command("snapshot", "-o", "end.snap", "--", "job.py").code == 0
    assert counts(tmp_path / "end.snap")["__main__.Late"] == 1


def test_snapshot_after_a_while_ends_the_program(command, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("import time\nclass Busy: pass\nbusy = Busy()\ntime.sleep(600)\n")
    done = command("snapshot", "-o", "x.snap", "--after", "0.1", "--", "job.py")
    assert done.code == 0, done
    assert memprobe.load(tmp_path / "x.snap").info.objects > 1000


def test_snapshot_after_a_while_lets_it_run(command, tmp_path: Path) -> None:
    source = "import os, sys, time\nwhile not os.path.exists('x.snap'): time.sleep(0.01)\nsys.exit(9)\n"
    (tmp_path / "job.py").write_text(source)
    done = command("snapshot", "-o", "x.snap", "--after", "0", "--keep-running", "--", "job.py")
    assert done.code == 9 and "Snapshot written" in done.out, done


def test_snapshot_says_which_signal_ended_the_program(command, tmp_path: Path) -> None:
    source = "import os, time\nwhile {}: time.sleep(0.01)\nos.kill(os.getpid(), 15)\n"
    (tmp_path / "job.py").write_text(source.format("not os.path.exists('x.snap')"))
    done = command("snapshot", "-o", "x.snap", "--after", "0", "--keep-running", "--", "job.py")
    assert done.code == 143 and "Snapshot written" in done.out, done
    (tmp_path / "job.py").write_text(source.format("False"))
    cannot(command("snapshot", "--", "job.py"), "The program ended by SIGTERM before")
    assert snapshot.how(-40) == "by signal 40" and snapshot.how(3) == "with exit code 3"


FORKS = """
import os
pid = os.fork()
if pid:
    assert os.waitpid(pid, 0)[1] == 0
    print(os.path.exists("end.snap"))
    class Parent: pass
    kept = Parent()
"""


def test_snapshot_is_not_taken_by_a_forked_child(command, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(FORKS)
    done = command("snapshot", "-o", "end.snap", "--", "job.py")
    assert done.code == 0 and done.out.startswith("False\n") and done.out.count("Snapshot written") == 1, done
    assert counts(tmp_path / "end.snap")["__main__.Parent"] == 1


def test_snapshot_of_a_process_names_its_file(command, program, tmp_path: Path) -> None:
    service = program("import memprobe, sys\nmemprobe.agent.start()\nprint('up', flush=True)\nsys.stdin.readline()\n")
    done = command("snapshot", service.pid)
    assert done.code == 0, done
    assert [path.name for path in tmp_path.glob(f"memprobe-{service.pid}-*.snap")], done


SECRETS = """
import sys
DATABASE_PASSWORD = "hunter2verysecret"
TOKENS = ["tok_live_51HxyzABC", sys.intern("another secret"), sys.intern("/srv/customers/acme")]
settings = {"debug_level": 1, sys.intern("customers/acme"): 2, sys.intern("someone@example.org"): 3}
def handler():
    memprobe.snapshot("a.snap")
import memprobe
handler()
"""


def test_what_is_interned_is_no_name_for_that(python, tmp_path: Path) -> None:
    """Constants of a program are interned when they look like identifiers, and so are file names."""
    folder = tmp_path / "private_folder"
    folder.mkdir()
    (folder / "production_settings.py").write_text(SECRETS)
    assert python("-c", f"import sys; sys.path.append({str(folder)!r}); import production_settings").code == 0
    data = (tmp_path / "a.snap").read_bytes()
    for secret in (b"hunter2", b"tok_live", b"another secret", b"acme", b"example.org"):
        assert secret not in data
    for name in (b"DATABASE_PASSWORD", b"debug_level", b"handler", b"production_settings"):
        assert name in data
    assert python("-m", "memprobe", "paths", "a.snap", "0x0").code == 3


def test_values_are_there_when_asked_for(command, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("secret = ['the wolf ', 'eats']\nkept = [''.join(secret)]\n")
    for options, there in ((), False), (("--values",), True):
        assert command("snapshot", *options, "-o", "x.snap", "--", "job.py").code == 0
        heap = memprobe.load(tmp_path / "x.snap")
        assert any(node.text == "the wolf eats" for node in heap.find(type="str")) is there


# ---- info and summary -----------------------------------------------------------------------------------------------


def test_info(command, taken) -> None:
    done = command("info", taken[0])
    assert done.code == 0 and "What the walk over objects explains" in done.out and "Next: memprobe summary" in done.out, done
    said = json.loads(command("info", "--json", taken[0]).out)
    assert said["schema"] == "memprobe.info/1" and said["info"]["objects"] > 1000
    assert said["accounting"]["objects"] == said["info"]["objects"]


def test_summary(command, taken) -> None:
    done = command("summary", taken[1], "--limit", "5")
    assert done.code == 0 and "more types" in done.out and "Next: memprobe summary --since" in done.out, done
    said = json.loads(command("summary", "--json", "--limit", "3", taken[1]).out)
    assert said["schema"] == "memprobe.summary/1" and len(said["rows"]) == 3 < said["types"]
    everything = json.loads(command("summary", "--json", "--limit", "0", taken[1]).out)
    assert len(everything["rows"]) == everything["types"]
    assert {row["type"]: row["count"] for row in everything["rows"]}["__main__.Leak"] == 1000


def test_summary_since(command, taken) -> None:
    done = command("summary", "--since", *taken)
    assert done.code == 0 and "__main__.Leak" in done.out and "+1,000" in done.out, done
    said = json.loads(command("summary", "--json", "--since", *taken).out)
    assert said["schema"] == "memprobe.growth/1"
    assert {row["type"]: row["count"] for row in said["rows"]}["__main__.Leak"] == 1000


LONG_NAMES = """
class ConnectionPoolThatKeepsEveryConnectionThatItEverMade_AndNeverClosesAnyOfThemAtAllBecauseItForgets:
    pass
connections_of_the_pool_that_is_shared_by_all_of_the_handlers_of_this_application = {
    "an_endpoint_with_a_name_that_is_long_enough": [
        ConnectionPoolThatKeepsEveryConnectionThatItEverMade_AndNeverClosesAnyOfThemAtAllBecauseItForgets() for _ in range(30000)
    ]
}
import memprobe
memprobe.snapshot("long.snap")
connections_of_the_pool_that_is_shared_by_all_of_the_handlers_of_this_application["later"] = [
    ConnectionPoolThatKeepsEveryConnectionThatItEverMade_AndNeverClosesAnyOfThemAtAllBecauseItForgets() for _ in range(5000)
]
memprobe.snapshot("longer.snap")
"""
LONG_NAME = "__main__.connections_of_the_pool_that_is_shared_by_all_of_the_handlers_of_this_application"
LONG_TYPE = "__main__.ConnectionPoolThatKeepsEveryConnectionThatItEverMade_AndNeverClosesAnyOfThemAtAllBecauseItForgets"


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    """A folder with two snapshots of a program whose names are long."""
    folder = tmp_path_factory.mktemp("long")
    subprocess.run([sys.executable, "-c", LONG_NAMES], cwd=folder, check=True)
    return folder


VERBS = [
    ("info", "long.snap"),
    ("summary", "long.snap"),
    ("dominators", "long.snap"),
    ("suspects", "long.snap"),
    ("diff", "long.snap", "longer.snap"),
    ("paths", "long.snap", LONG_TYPE),
    ("cycles", "long.snap"),
    ("waste", "long.snap"),
]


def on_terminal(folder: Path, *words: str, columns: int = 70, lines: int = 30) -> str:
    """What the command shows on a terminal, as plain text."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "LINES": str(lines)}
    command = [sys.executable, "-m", "memprobe", *words]
    child = subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            more = os.read(ours, 65536)
        except OSError:  # how a terminal says that nobody is left
            break
        if not more:
            break
        shown += more
    os.close(ours)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 0, (shown, said)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r\n", "\n")


@pytest.mark.parametrize("words", [words for words in VERBS if words[0] in ("summary", "dominators", "suspects", "diff", "paths")])
def test_nothing_is_cut_in_a_pipe(command, long: Path, words: tuple[str, ...]) -> None:
    done = command(*words, COLUMNS="70", before=("env", "-C", str(long)))
    assert done.code == 0 and "…" not in done.out.replace("… ", "").replace("[…]", ""), done
    assert (LONG_TYPE if words[0] in ("summary", "diff") else LONG_NAME) in done.out, done
    assert LONG_NAME in done.out or words[0] == "summary"


@pytest.mark.parametrize("columns", [60, 70, 120])
@pytest.mark.parametrize("words", VERBS)
def test_output_fits_a_terminal(long: Path, words: tuple[str, ...], columns: int) -> None:
    lines = [line for line in on_terminal(long, *words, columns=columns).split("\n") if not line.startswith(("Next: ", "      "))]
    assert max(map(len, lines)) <= columns, lines
    if words[0] in ("dominators", "diff"):
        assert max(map(len, lines)) > columns - 4, lines  # and uses it


def test_on_a_terminal_the_middle_is_cut(long: Path) -> None:
    shown = on_terminal(long, "dominators", "long.snap", columns=80)
    assert "__main__.conne" in shown and "…" in shown and "enough']" in shown, shown
    assert len(shown.splitlines()) <= 30, shown  # one screen
    indented = [line for line in on_terminal(long, "suspects", "long.snap").splitlines() if line.startswith("    ")]
    assert len(indented) > 3, indented


def test_the_reader_may_leave(taken) -> None:
    words = f"{sys.executable} -m memprobe summary --json --limit 0 {taken[1]} | head -c 10"
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr


def test_a_cut_file_is_read_and_told(command, taken, tmp_path: Path) -> None:
    whole = taken[1].read_bytes()
    (tmp_path / "cut.snap").write_bytes(whole[: len(whole) * 2 // 3])
    done = command("summary", "cut.snap")
    assert done.code == 0 and "only a part of cut.snap could be read" in done.err, done
    assert json.loads(command("info", "--json", "cut.snap").out)["info"]["cut"]


# ---- what cannot be done --------------------------------------------------------------------------------------------


def cannot(done, *words: str) -> None:
    """Exit code 3 and one sentence, with no trace of our insides."""
    assert done.code == 3, done
    assert done.err.startswith("memprobe: ") and done.err.count("\n") == 1 and done.err.endswith(".\n"), done
    for word in words:
        assert word in done.err, done


def test_no_such_process(command) -> None:
    cannot(command("snapshot", "4194305"), "There is no process 4194305", "pgrep")


@pytest.mark.parametrize("words", [("snapshot", "1"), ("watch", "1"), ("info", "x.snap"), ("snapshot", "--", "job.py")])
def test_a_current_folder_that_is_gone(command, words: tuple[str, ...]) -> None:
    before = ("sh", "-ec", 'mkdir gone; cd gone; rmdir ../gone; exec "$@"', "sh")
    cannot(command(*words, before=before), "The current folder was removed: go to another one")


def test_the_agent_is_off(command, program) -> None:
    silent = program("import sys\nprint('ready', flush=True)\nsys.stdin.readline()")
    done = command("snapshot", silent.pid, "--timeout", "5")
    assert "not Python" not in done.err, done


def test_no_agent(command, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as plain:
        cannot(command("snapshot", plain.pid, "-o", "x.snap"), f"Process {plain.pid} runs sleep, not Python", "pgrep")
        cannot(command("watch", plain.pid, "-o", "new"), "runs sleep, not Python")
        plain.kill()
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "x.snap").exists()


AS_NOBODY = """
import os, sys
import memprobe, memprobe.attach, rich.table, rich.progress, rich.console
from memprobe.cli import files, main, options, sentences, show, snapshot
options.parser().format_help()
os.setgroups([]), os.setgid(65534), os.setuid(65534)
sys.exit(main.main(sys.argv[1:]))
"""


def test_another_users_process(command, python) -> None:
    if os.geteuid() == 0:
        cannot(python("-c", AS_NOBODY, "snapshot", os.getpid(), "-o", "/tmp/x.snap"), "belongs to user root")
    else:
        cannot(command("snapshot", "1"), "belongs to user root")


def test_a_file_that_may_not_be_read(command, python, taken, tmp_path: Path) -> None:
    secret = tmp_path / "secret.snap"
    shutil.copy(taken[0], secret)
    secret.chmod(0)
    done = python("-c", AS_NOBODY, "info", secret) if os.geteuid() == 0 else command("info", secret)
    cannot(done, "secret.snap may not be used by this user")


def test_files_that_are_no_snapshots(command, tmp_path: Path, taken) -> None:
    cannot(command("info", "nothing.snap"), f"{tmp_path} has no nothing.snap")
    cannot(command("info", tmp_path), "is not a file")
    for data in b"", b"hello\n" * 100, taken[0].read_bytes()[:20], bytes(5000):
        (tmp_path / "x.snap").write_bytes(data)
        cannot(command("summary", "x.snap"), "x.snap cannot be read as a snapshot")
    os.mkfifo(tmp_path / "pipe")
    cannot(command("info", "pipe"), "is not a file")


def test_a_newer_format(command, tmp_path: Path, taken) -> None:
    data = bytearray(taken[0].read_bytes())
    data[8] += 1
    (tmp_path / "newer.snap").write_bytes(data)
    cannot(command("info", "newer.snap"), "newer")


def test_places_that_take_no_file(command, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("raise SystemExit('it must not run')\n")
    for place, words in ("no/x.snap", "no directory"), (".", "is a directory"), ("/dev/null", "not a regular file"):
        done = command("snapshot", "-o", place, "--", "job.py")
        cannot(done, words)
        assert not stat.S_ISREG(os.stat("/dev/null").st_mode)


def on_a_small_disk(command, options: str, *arguments: str):
    """Run the command where disk/ is a file system of its own with an old file in it, and list what is there afterwards. It is
    mounted in a namespace of its own, and goes with it."""
    script = f'mount -t tmpfs -o size=48k tmpfs disk; echo old > disk/x.snap; {options}; code=0; "$@" || code=$?; '
    script += "ls -A disk; cat disk/x.snap; exit $code"
    return command(*arguments, before=("unshare", "--mount", "--propagation", "private", "--", "sh", "-ec", script, "sh"))


@pytest.mark.parametrize("who", ["job", "service"])
@pytest.mark.parametrize(("options", "words"), [("true", "is full"), ("mount -o remount,ro disk", "is read-only")])
def test_a_disk_that_is_full_or_read_only(command, program, tmp_path: Path, options: str, words: str, who: str) -> None:
    probe = ["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("this user may not mount")
    (tmp_path / "disk").mkdir()
    (tmp_path / "job.py").write_text(PROGRAM)
    service = program("import memprobe, sys; memprobe.agent.start(); print('ready', flush=True); sys.stdin.readline()")
    whom = ("--", "job.py") if who == "job" else (str(service.pid),)
    done = on_a_small_disk(command, options, "snapshot", "-o", "disk/x.snap", *whom)
    assert done.code == 3 and done.err.startswith("memprobe: ") and done.err.count("\n") == 1, done
    assert words in done.err, done
    assert done.out.splitlines()[-2:] == ["x.snap", "old"] and len(done.out.splitlines()) == 2 + (who == "job"), done
    assert service.end().code == 0


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("dance",),
        ("snapshot",),
        ("snapshot", "job.py"),
        ("snapshot", "0"),
        ("snapshot", "1", "--after", "2"),
        ("snapshot", "1", "--timeout", "0"),
        ("watch", "1", "--timeout", "x"),
        ("snapshot", "1", "--", "job.py"),
        ("snapshot", "--keep-running", "--", "job.py"),
        ("summary",),
        ("summary", "x", "--limit", "-1"),
        ("run",),
    ],
)
def test_misuse(command, words: tuple[str, ...]) -> None:
    done = command(*words)
    assert done.code == 2 and done.err and "Traceback" not in done.err, done


@pytest.mark.parametrize(
    "words",
    [
        ("diff", "a"),
        ("diff", "a", "b", "c", "d"),
        ("summary", "x", "--walk"),
        ("suspects", "x", "--percent", "much"),
        ("dominators", "x", "--grouped", "--node", "0"),
        ("snapshot",),
        ("snapshot", "1", "--after", "2"),
        ("watch",),
    ],
)
def test_misuse_shows_the_usage_of_the_verb(command, words: tuple[str, ...]) -> None:
    done = command(*words)
    assert done.code == 2 and done.err.startswith(f"usage: memprobe {words[0]} "), done
    assert f"memprobe {words[0]}: error: " in done.err and "=" not in done.err.splitlines()[-1], done


@pytest.mark.parametrize(
    "words", [("suspects", "--fail-on-suspect", "5"), ("cycles", "--fail-on-cycles"), ("diff", "--fail-on-growth", "1")]
)
def test_a_check_needs_a_whole_file(command, taken, tmp_path: Path, words: tuple[str, ...]) -> None:
    whole = taken[1].read_bytes()
    (tmp_path / "cut.snap").write_bytes(whole[: len(whole) * 2 // 3])
    files = (taken[0], "cut.snap") if words[0] == "diff" else ("cut.snap",)
    cannot(command(*words, *files), "Only a part of cut.snap could be read", f"{words[1]} needs a whole snapshot")
    assert command(words[0], *files).code == 0


def facts(shown: str) -> dict[str, str]:
    """Names and values, as they are shown."""
    return {line.split("  ")[0]: line.split("  ")[-1].strip() for line in shown.splitlines() if "  " in line}


def test_snapshot_and_info_say_the_same(command, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(PROGRAM)
    done = command("snapshot", "--json", "-o", "end.snap", "--", "job.py")
    said = json.loads(done.out[done.out.index("{") :])
    info = json.loads(command("info", "--json", "end.snap").out)["info"]
    assert {name: said[name] for name in ("objects", "edges", "bytes")} == {
        name: info[name] for name in ("objects", "edges", "bytes")
    }
    assert said["file_bytes"] == (tmp_path / "end.snap").stat().st_size
    written = facts(command("snapshot", "-o", "end.snap", "--", "job.py").out)
    told = facts(command("info", "end.snap").out.partition("What this")[0])
    assert [written[name] for name in ("objects", "edges", "bytes")] == [told[name] for name in ("objects", "edges", "bytes")], (
        written,
        told,
    )


def test_what_is_too_large_to_be_counted_at_once(taken, monkeypatch, capsys) -> None:
    done = memprobe.SnapshotInfo(str(taken[0]), 1, 2, taken[0].stat().st_size, 0.5, "forked")
    monkeypatch.setattr(snapshot, "COUNTED", 10)
    snapshot.tell(done, True)
    said = json.loads(capsys.readouterr().out)
    assert said["objects"] is None and said["bytes"] is None and said["file_bytes"] == done.bytes
    snapshot.tell(done, False)
    assert "objects" not in capsys.readouterr().out


def test_help(command) -> None:
    assert command("--version").out == f"memprobe {memprobe.__version__}\n"
    for words in ("--help",), ("snapshot", "--help"), ("run", "--help"):
        done = command(*words)
        assert done.code == 0 and "memprobe" in done.out, done
    assert "take periodic snapshots and report what grows" in command("--help").out
