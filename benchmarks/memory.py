"""How much of real programs' memory is not explained: `make balance` writes docs/MEMORY.md.

    python benchmarks/memory.py [--output FILE] [--most PERCENT] [PYTHON ...]

Each program runs under `memprobe run` in an environment with what it needs from the package index; where there is no wheel for that
version of Python, the table says so. A snapshot is taken when the program says that it is ready, and the balance of its memory is
put beside what the kernel said just before. Fails when more than --most of a program's resident memory is not explained."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import page

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / "build" / "memory"
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
    Program("torch", "import torch\nkept = [torch.rand(1000, 1000) for _ in range(20)]", ("torch", "numpy")),
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
        environment=(("LD_PRELOAD", "libjemalloc.so.2"),),
    ),
)


@dataclass(frozen=True)
class Answer:
    resident: int
    unexplained: int
    largest: str
    of_kernel: int  # bytes, just before


def environment_of(python: str) -> Path:
    """A virtual environment with memprobe in it. Its interpreter."""
    version = subprocess.check_output([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], text=True).strip()
    folder = ENVIRONMENTS / version
    inside = folder / "bin" / "python"
    if not inside.exists():
        subprocess.run([python, "-m", "venv", folder], check=True)
    install = [inside, "-m", "pip", "install", "-qq"]
    subprocess.run([*install, "rich"], check=True)
    subprocess.run([*install, "--force-reinstall", "--no-deps", ROOT], check=True)  # as it is now
    return inside


def has(python: Path, package: str) -> bool:
    """Install it, if there is a wheel."""
    install = [python, "-m", "pip", "install", "-qq", "--only-binary", ":all:", package]
    if package == "torch":
        install.append("--no-deps")  # of what else it names, an import needs little
        done = subprocess.run(install, capture_output=True)
        rest = ["typing_extensions", "sympy", "networkx", "jinja2", "filelock", "fsspec", "setuptools"]
        return done.returncode == 0 and subprocess.run([*install[:-2], *rest], capture_output=True).returncode == 0
    return subprocess.run(install, capture_output=True).returncode == 0


def measure(python: Path, program: Program, folder: Path) -> Answer | str:
    """The balance of a program, or why there is none."""
    script = folder / "program.py"
    script.write_text(program.source + "\nimport sys\nprint('ready', flush=True)\nsys.stdin.readline()\n")
    settings = {**os.environ, **dict(program.environment), "XDG_RUNTIME_DIR": str(folder)}
    command = [python, "-m", "memprobe"]
    running = subprocess.Popen(
        [*command, "run", script], env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout is not None and running.stderr is not None
        if running.stdout.readline().strip() != "ready":
            return (running.stderr.read().strip().splitlines() or ["it ended"])[-1][:60]
        preload = dict(program.environment).get("LD_PRELOAD")
        if preload and preload not in Path(f"/proc/{running.pid}/maps").read_text():
            return f"no {preload} here"
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
    return Answer(answer["rss_bytes"], answer["unexplained_bytes"], f"{largest['name']} {largest['bytes'] / MIB:,.1f} MiB", rss)


def rows_of(python: Path, folder: Path) -> list[tuple[Program, Answer | str]]:
    rows: list[tuple[Program, Answer | str]] = []
    for program in PROGRAMS:
        print(f"{python}: {program.name} ...", file=sys.stderr, flush=True)
        missing = [package for package in program.needs if not has(python, package)]
        rows.append((program, f"no wheel of {', '.join(missing)}" if missing else measure(python, program, folder)))
    return rows


def table(version: str, rows: Sequence[tuple[Program, Answer | str]]) -> str:
    lines = [f"## CPython {version}", "", "| program | resident | the kernel said | not explained | | the largest part |"]
    lines.append("|---|---:|---:|---:|---:|---|")
    for program, answer in rows:
        if isinstance(answer, str):
            lines.append(f"| {program.name} | | | | | {answer} |")
            continue
        share = 100 * answer.unexplained / answer.resident
        sizes = " | ".join(f"{size / MIB:,.1f} MiB" for size in (answer.resident, answer.of_kernel, answer.unexplained))
        lines.append(f"| {program.name} | {sizes} | {share:.2f} % | {answer.largest} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="*", default=[sys.executable])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "MEMORY.md")
    parser.add_argument("--most", type=float, default=2.0)
    options = parser.parse_args()
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    tables, worst = [], []
    for name in options.pythons:
        python = environment_of(name)
        version = subprocess.check_output([python, "-c", "import platform; print(platform.python_version())"], text=True).strip()
        rows = rows_of(python, ENVIRONMENTS)
        tables.append(table(version, rows))
        for program, answer in rows:
            if isinstance(answer, Answer) and abs(answer.unexplained) > options.most / 100 * answer.resident:
                worst.append(f"{version} {program.name}")
    for text in tables:
        page.put(text, options.output)
        print(text)
    for name in worst:
        print(f"more than {options.most} % is not explained: {name}")
    return 1 if worst else 0


if __name__ == "__main__":
    raise SystemExit(main())
