"""How much of real programs' memory is not explained: `make balance` writes docs/MEMORY.md.

    python benchmarks/memory.py [--output FILE] [--most PERCENT] [VERSION ...]

Each program runs under `memprobe run`, on each version of CPython (`tools/pythons` has them), in an environment with what it needs
from the package index, as wheels; where there is none for a version, the table says so. A snapshot is taken when the program says
that it is ready, and the balance of its memory is put beside what the kernel said just before. Fails when more than --most of a
program's resident memory is not explained. What a version showed is kept in build/memory/VERSION.json until it is measured
again."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import page

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ROOT / "tools" / "pythons"
PLACE = ROOT / "build" / "memory"
WHEELS = PLACE / "wheels"
JEMALLOC = PLACE / "libjemalloc.so.2"
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
WHOLE = "3.13"  # of it there is the table with sizes
MIB = 1 << 20
PATIENCE = 300  # seconds


@dataclass(frozen=True)
class Program:
    name: str
    source: str
    needs: Sequence[str] = ()  # packages
    environment: tuple[tuple[str, str], ...] = ()


PROGRAMS = (
    Program("plain", "kept = [{'id': i, 'name': f'row {i}'} for i in range(100_000)]"),
    Program(
        "numpy, pandas",
        "import numpy, pandas\n"
        "frame = pandas.DataFrame({'a': numpy.random.rand(2_000_000), 'b': [f'name {i}' for i in range(2_000_000)]})\n"
        "groups = frame.groupby(frame.index % 1000).a.sum()",
        ("numpy", "pandas"),
    ),
    Program(
        "pyarrow",
        "import pyarrow\ntable = pyarrow.table({'a': list(range(2_000_000)), 'b': [f'name {i}' for i in range(500_000)] * 4})",
        ("pyarrow",),
    ),
    Program(
        "polars",
        "import polars\nframe = polars.DataFrame({'a': range(2_000_000), 'b': [f'name {i}' for i in range(2_000_000)]})\n"
        "sums = frame.group_by((polars.col('a') % 1000).alias('key')).agg(polars.col('a').sum())",
        ("polars",),
    ),
    Program("torch", "import torch\nkept = [torch.rand(1000, 1000) for _ in range(20)]", ("torch",)),
    Program(
        "ssl, sqlite, zlib",
        "import sqlite3, ssl, zlib\ncontexts = [ssl.create_default_context() for _ in range(100)]\n"
        "packers = [zlib.compressobj() for _ in range(100)]\ndb = sqlite3.connect(':memory:')\ndb.execute('create table t(a)')\n"
        "db.executemany('insert into t values(?)', ((f'value {i}',) for i in range(200_000)))",
    ),
    Program("lxml", "from lxml import etree\ntree = etree.fromstring('<a>' + '<b c=\"d\">e</b>' * 300_000 + '</a>')", ("lxml",)),
    Program("PIL", "from PIL import Image\nkept = [Image.new('RGB', (2000, 2000), (n, n, n)) for n in range(10)]", ("pillow",)),
    Program(
        "gevent",
        "import gevent\nfrom gevent.event import Event\nstop = Event()\n"
        "greenlets = [gevent.spawn(lambda n: (bytearray(b'x' * n), stop.wait()), 10_000) for _ in range(2000)]\ngevent.sleep(0.1)",
        ("gevent",),
    ),
    Program(
        "200 threads",
        "import threading\nend = threading.Event()\n"
        "def work():\n    rows = [str(i) * 5 for i in range(2000)]\n    end.wait()\n"
        "for _ in range(200): threading.Thread(target=work, daemon=True).start()",
    ),
    Program(
        "huge pages",
        "import numpy\nkept = [numpy.ones(1_000_000 + 10_000 * n) for n in range(12)]",  # numpy asks for them
        ("numpy",),
    ),
    Program(
        "a mapped file",
        "import mmap, tempfile\nfile = tempfile.TemporaryFile()\nfile.truncate(128 << 20)\n"
        "kept = mmap.mmap(file.fileno(), 128 << 20)\nkept[:: 4096] = b'x' * (len(kept) // 4096)",
    ),
    Program(
        "shared memory",
        "from multiprocessing import shared_memory\nkept = shared_memory.SharedMemory(create=True, size=64 << 20)\n"
        "kept.buf[:: 4096] = b'x' * (64 << 8)\nkept.unlink()",
    ),
    Program("after a peak", "kept = [{'id': i, 'name': f'row {i}'} for i in range(600_000)]\nkept = kept[::1000]"),
    Program(
        "PYTHONMALLOC=malloc",
        "kept = [{'id': i, 'name': f'row {i}'} for i in range(200_000)]",
        environment=(("PYTHONMALLOC", "malloc"),),
    ),
    Program(
        "MALLOC_ARENA_MAX=1",
        "import threading\nend = threading.Event()\n"
        "def work():\n    rows = [bytes(1000) for _ in range(5000)]\n    end.wait()\n"
        "for _ in range(8): threading.Thread(target=work, daemon=True).start()",
        environment=(("MALLOC_ARENA_MAX", "1"),),
    ),
    Program(
        "jemalloc",
        "kept = [b'x' * (1000 + i % 5000) for i in range(30_000)]",
        environment=(("LD_PRELOAD", str(JEMALLOC)),),
    ),
)


@dataclass(frozen=True)
class Answer:
    """The balance of a program, or why there is none."""

    program: str
    python: str  # its version
    reason: str = ""
    resident: int = 0
    unexplained: int = 0
    largest: str = ""
    of_kernel: int = 0  # bytes, just before

    @property
    def share(self) -> float:
        return round(100 * self.unexplained / self.resident, 2) + 0.0  # without the sign of a zero


# ---- where the interpreter lives: one program ------------------------------------------------------------------------


def measure(program: Program) -> Answer:
    python = ".".join(map(str, sys.version_info[:3]))
    folder = PLACE / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    script = folder / "program.py"
    script.write_text(program.source + "\nimport sys\nprint('ready', flush=True)\nsys.stdin.readline()\n")
    settings = {**os.environ, **dict(program.environment), "XDG_RUNTIME_DIR": str(folder)}
    command = [sys.executable, "-m", "memprobe"]
    running = subprocess.Popen(
        [*command, "run", script], env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout is not None and running.stderr is not None
        if running.stdout.readline().strip() != "ready":
            return Answer(program.name, python, (running.stderr.read().strip().splitlines() or ["it ended"])[-1][:60])
        preload = dict(program.environment).get("LD_PRELOAD")
        if preload and preload not in Path(f"/proc/{running.pid}/maps").read_text():
            return Answer(program.name, python, f"no {Path(preload).name} here")
        kernel = Path(f"/proc/{running.pid}/smaps_rollup").read_text().splitlines()
        rss = next(int(line.split()[1]) * 1024 for line in kernel if line.startswith("Rss:"))
        ask = [*command, "snapshot", str(running.pid), "-o", folder / "a.snap"]
        env = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
        subprocess.run(ask, env=env, check=True, capture_output=True, timeout=PATIENCE)
        answer = json.loads(subprocess.check_output([*command, "memory", "--json", folder / "a.snap"], timeout=PATIENCE))
    finally:
        running.kill()
        running.communicate()
    largest = max(answer["parts"], key=lambda part: part["bytes"])
    named = f"{largest['name']} {largest['bytes'] / MIB:,.1f} MiB"
    return Answer(program.name, python, "", answer["rss_bytes"], answer["unexplained_bytes"], named, rss)


# ---- outside: a version ----------------------------------------------------------------------------------------------


class Version:
    """A fresh environment of a version with memprobe as it is now; what programs need is added as they come."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.folder = PLACE / version
        self.python = self.folder / "bin" / "python"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.call("run", "-m", "venv", str(self.folder))
        if not self.install("rich", "setuptools>=77"):
            raise RuntimeError(f"{version}: rich and setuptools cannot be installed")
        self.call("exec", str(self.python), "-m", "pip", "install", "-qq", "--no-build-isolation", "--no-deps", str(ROOT))

    def call(self, verb: str, *words: str) -> str:
        command = [str(PYTHONS), verb, self.version, "--", *words]
        # Not in ROOT: its package is of another version.
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=PLACE).stdout

    def install(self, *packages: str) -> bool:
        """If there are wheels. They are fetched from outside: in a chroot pip reaches nothing."""
        outside = Path(self.python).resolve().exists()
        pip = [self.python if outside else sys.executable, "-m", "pip", "download", "-qq", "--only-binary", ":all:", "-d", WHEELS]
        target = [] if outside else ["--python-version", self.version]
        if subprocess.run([*pip, *target, *packages], stderr=subprocess.DEVNULL).returncode != 0:
            return False
        local = ("-m", "pip", "install", "-qq", "--no-index", "--find-links", str(WHEELS))
        self.call("exec", str(self.python), *local, *packages)
        return True

    def measure(self, program: Program) -> Answer:
        print(f"{self.version}: {program.name} ...", file=sys.stderr, flush=True)
        missing = [package for package in program.needs if not self.install(package)]
        if missing:
            return Answer(program.name, self.version, f"no wheel of {', '.join(missing)}")
        said = self.call("exec", str(self.python), str(Path(__file__).resolve()), "--inside", program.name)
        return Answer(**json.loads(said.splitlines()[-1]))


def copy_jemalloc() -> None:
    """This machine's, if it has one, to where each interpreter can load it from."""
    known = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True).stdout.splitlines()
    for line in known:
        if JEMALLOC.name in line:
            shutil.copy(line.split(" => ")[1], JEMALLOC)


def measure_version(version: str, only: Sequence[str]) -> None:
    """All programs, or those that are named: of the others what is known stays."""
    try:
        here = Version(version)
        found = {program.name: here.measure(program) for program in PROGRAMS if not only or program.name in only}
        answers = {**measured().get(version, {}), **found}
        (PLACE / f"{version}.json").write_text(json.dumps([asdict(answer) for answer in answers.values()]))
    finally:
        shutil.rmtree(PLACE / version, ignore_errors=True)  # torch alone has gigabytes


def measured() -> dict[str, dict[str, Answer]]:
    """What each version showed when it was last measured, by program."""
    found = {}
    for version in VERSIONS:
        file = PLACE / f"{version}.json"
        if file.exists():
            answers = [Answer(**answer) for answer in json.loads(file.read_text())]
            found[version] = {answer.program: answer for answer in answers}
    return found


# ---- tables ----------------------------------------------------------------------------------------------------------


def table_of_all(found: dict[str, dict[str, Answer]]) -> str:
    """Programs and versions: the share that is not explained."""
    lines = ["## What is not explained, by program and version", ""]
    lines += ["Per cent of what is resident.", "", f"| program | {' | '.join(found)} |", f"|---{'|---:' * len(found)}|"]
    without: dict[str, list[str]] = {}
    for program in PROGRAMS:
        cells = []
        for version, answers in found.items():
            answer = answers[program.name]
            cells.append("" if answer.reason else f"{answer.share:.2f}")
            if answer.reason:
                without.setdefault(f"{program.name}: {answer.reason}", []).append(version)
        lines.append(f"| {program.name} | {' | '.join(cells)} |")
    lines.append("")
    lines += [f"- {reason} ({', '.join(versions)})" for reason, versions in without.items()]
    return "\n".join(lines)


def table_of_one(answers: dict[str, Answer]) -> str:
    version = max(answer.python for answer in answers.values())
    lines = [f"## Sizes, on CPython {version}", ""]
    lines += ["| program | resident | the kernel said | not explained | | the largest part |", "|---|---:|---:|---:|---:|---|"]
    for answer in answers.values():
        if answer.reason:
            lines.append(f"| {answer.program} | | | | | {answer.reason} |")
            continue
        sizes = " | ".join(
            f"{round(size / MIB, 1) + 0.0:,.1f} MiB" for size in (answer.resident, answer.of_kernel, answer.unexplained)
        )
        lines.append(f"| {answer.program} | {sizes} | {answer.share:.2f} % | {answer.largest} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", default=VERSIONS)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "MEMORY.md")
    parser.add_argument("--most", type=float, default=2.0)
    parser.add_argument("--only", action="append", default=[], metavar="PROGRAM", help="by its name in the table, and so on")
    parser.add_argument("--inside", help=argparse.SUPPRESS)  # one program, on the interpreter that runs this
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(asdict(measure(next(program for program in PROGRAMS if program.name == options.inside)))))
        return 0
    WHEELS.mkdir(parents=True, exist_ok=True)
    copy_jemalloc()
    for version in options.versions:
        measure_version(version, options.only)
    found = measured()
    for text in [table_of_all(found), *([table_of_one(found[WHOLE])] if WHOLE in found else [])]:
        page.put(text, options.output)
        print(text)
    answers = [answer for version in options.versions for answer in found[version].values() if not answer.reason]
    worst = [answer for answer in answers if abs(answer.share) > options.most]
    for answer in worst:
        print(f"more than {options.most} % is not explained: {answer.python} {answer.program}")
    return 1 if worst else 0


if __name__ == "__main__":
    raise SystemExit(main())
