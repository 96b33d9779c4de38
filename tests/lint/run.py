# SPDX-License-Identifier: MIT
"""The rules of the code that a machine can hold: `make lint`. One function a rule; each yields its violations.

Tools that come from tests/lint/requirements.txt are looked up beside the running interpreter, the compiler on PATH."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
BIN = Path(sys.executable).parent
CC = os.environ.get("CC", "cc")
FLAGS = ("-std=c11", "-Isrc", "-Wall", "-Wextra", "-Werror", "-O1")
PYTHON_INCLUDE = f"-isystem{sysconfig.get_paths()['include']}"
PYTHON_FOLDERS = ("memprobe", "tests", "tools", "examples", "benchmarks")

# Who may include whom (docs: the layers). A layer not named here is an error.
LAYERS: dict[str, set[str]] = {
    "base": {"base"},
    "graph": {"base", "graph"},
    "algo": {"base", "graph", "algo"},
    "format": {"base", "graph", "format"},
    "export": {"base", "graph", "algo"},
    "native": {"base", "graph", "format", "native"},
    "cpython": {"base", "graph", "native", "cpython"},
    "snapshot": {"base", "graph", "format", "native", "snapshot"},
    "binding": {"base", "graph", "algo", "format", "export", "native", "cpython", "snapshot", "binding"},
}
# Who may include whom within cpython: a file uses its own layer and those before it. The head of each header says who may use it.
CPYTHON_LAYERS: dict[str, set[str]] = {
    "facts": {"blocks", "compat", "layout", "str"},
    "proofs": {"heap", "hooks", "names", "pause", "proofs", "replay"},
    "emit": {"emit"},
    "kinds": {"kinds", "library"},
    "types": {"marks", "sizes", "sound", "types"},
    "edges": {"bodies", "edges", "leaf_buffers", "self", "text"},
    "roots": {"caller", "roots", "temporaries"},
    "walk": {"walk"},
    "questions": {"ask", "capture", "copied", "holders", "origins", "sample", "selfcheck", "tracked", "unseen"},
}
CORE = ("base", "graph", "algo", "format", "export", "native", "snapshot")
LIBC = {
    *("assert", "ctype", "errno", "float", "inttypes", "limits", "math", "setjmp", "stdalign", "stdarg", "stdbool"),
    *("stddef", "stdint", "stdio", "stdlib", "stdnoreturn", "string", "time"),
}
LONGEST = 900  # lines
LONGEST_CPYTHON = 500

Rule = Callable[[], Iterable[str]]
rules: list[Rule] = []


def rule(function: Rule) -> Rule:
    rules.append(function)
    return function


def sources(*patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in SRC.rglob(pattern))


def layer(path: Path) -> str:
    return path.relative_to(SRC).parts[0]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def complaints(*command: str) -> Iterator[str]:
    done = run(*command)
    if done.returncode:
        yield (done.stdout + done.stderr).strip()


def compile_each(paths: list[Path], *flags: str) -> Iterator[str]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, done in zip(paths, pool.map(lambda path: run(CC, *FLAGS, *flags, name(path)), paths)):
            if done.returncode:
                yield f"{name(path)}\n{done.stderr.strip()}"


@rule
def core_compiles_without_python() -> Iterator[str]:
    """All layers but cpython and binding are plain C, and refer to no symbol of Python."""
    paths = [path for path in sources("*.c") if layer(path) in CORE]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = [f"{folder}/{name(path).replace('/', '-')}.o" for path in paths]
        done = pool.map(lambda path, output: run(CC, *FLAGS, "-c", name(path), "-o", output), paths, objects)
        for path, output, result in zip(paths, objects, done):
            if result.returncode:
                yield f"{name(path)}\n{result.stderr.strip()}"
                continue
            for symbol in re.findall(r"\b_?Py\w+", run("nm", output).stdout):
                yield f"{name(path)}: refers to {symbol}"


@rule
def headers_compile_alone() -> Iterator[str]:
    """A header includes what it needs."""
    headers = sources("*.h")
    plain = [path for path in headers if layer(path) in CORE]
    alone = ("-x", "c", "-fsyntax-only", "-Wno-unused-function")
    yield from compile_each(plain, *alone)
    yield from compile_each([path for path in headers if path not in plain], PYTHON_INCLUDE, *alone)


@rule
def layers_hold() -> Iterator[str]:
    """Each file includes what the table of layers allows."""
    for path in sources("*.c", "*.h"):
        own = layer(path)
        if own not in LAYERS:
            yield f"{name(path)}: the folder {own} is no layer"
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not found:
                continue
            where, (quote, header) = f"{name(path)}:{number}", found.groups()
            if quote == '"':
                first = header.split("/")[0]
                if "/" in header and first in LAYERS and first not in LAYERS[own]:
                    yield f"{where}: {own} may not include {header}"
                elif "/" not in header:
                    yield f'{where}: write "{own}/{header}", not "{header}"'
            elif own in CORE and header.removesuffix(".h") not in LIBC and "os" not in path.relative_to(SRC).parts[:-1]:
                yield f"{where}: <{header}> is not of the C library: the operating system is met in base/os alone"


def cpython_layer(stem: str) -> int:
    """The number of a file's layer. A file of several parts, as library_numpy, is in that of its first word."""
    for number, stems in enumerate(CPYTHON_LAYERS.values()):
        if stem in stems or stem.split("_")[0] in stems:
            return number
    return -1


def included(path: Path) -> Iterator[str]:
    """The headers of cpython that a file includes."""
    for stem in re.findall(r'^#include "cpython/(\w+)\.h"', path.read_text(encoding="utf-8"), re.MULTILINE):
        if stem != path.stem:
            yield stem


@rule
def cpython_has_layers() -> Iterator[str]:
    """Within cpython each file includes its own layer and those below, headers in no cycle; heads of headers say who uses them."""
    names = list(CPYTHON_LAYERS)
    for path in sources("cpython/*.c", "cpython/*.h"):
        own = cpython_layer(path.stem)
        if own < 0:
            yield f"{name(path)}: in no layer of CPYTHON_LAYERS"
            continue
        for stem in included(path):
            if cpython_layer(stem) > own:
                yield f"{name(path)}: the layer {names[own]} may not include {stem}.h of {names[cpython_layer(stem)]}"
        users = "Used by src/binding" if own == len(names) - 1 else f"Used by the layers {names[own]} and above"
        if path.suffix == ".h" and users not in path.read_text(encoding="utf-8").split("*/", 1)[0].replace("\n *", ""):
            yield f"{name(path)}: the head does not say: {users}"
        if path.read_text(encoding="utf-8").count("\n") > LONGEST_CPYTHON:
            yield f"{name(path)}: more than {LONGEST_CPYTHON} lines"
    try:
        TopologicalSorter({path.stem: set(included(path)) for path in sources("cpython/*.h")}).prepare()
    except CycleError as cycle:
        yield f"headers of cpython include each other: {' → '.join(cycle.args[1])}"


@rule
def versions_in_one_place() -> Iterator[str]:
    """The Python version is asked for in cpython/compat.* and cpython/layout* alone."""
    for path in sources("*.c", "*.h"):
        allowed = layer(path) == "cpython" and path.name.startswith(("compat", "layout"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not allowed and re.search(r"\bPY_(VERSION_HEX|MAJOR_VERSION|MINOR_VERSION|MICRO_VERSION)\b", line):
                yield f"{name(path)}:{number}: {line.strip()}"


@rule
def threads_in_one_place() -> Iterator[str]:
    """A free-threaded build is asked for in cpython/compat.*, layout*, heap.c and pause.c alone."""
    for path in sources("*.c", "*.h"):
        allowed = layer(path) == "cpython" and path.name.startswith(("compat", "layout", "heap.c", "pause.c"))
        if not allowed and "Py_GIL_DISABLED" in path.read_text(encoding="utf-8"):
            yield f"{name(path)}: asks for Py_GIL_DISABLED"


@rule
def files_are_short_and_licensed() -> Iterator[str]:
    """C files open with their licence, and no file is the product."""
    python = [path for folder in PYTHON_FOLDERS for path in (ROOT / folder).rglob("*.py")]
    for path in [*sources("*.c", "*.h"), *python]:
        text = path.read_text(encoding="utf-8")
        if path.suffix != ".py" and "SPDX-License-Identifier: MIT" not in text.split("\n", 1)[0]:
            yield f"{name(path)}: the first line lacks the SPDX identifier"
        if text.count("\n") > LONGEST:
            yield f"{name(path)}: {text.count(chr(10))} lines are more than {LONGEST}"


@rule
def nothing_of_this_machine() -> Iterator[str]:
    """No path of somebody's machine, no registry's host and no symbolic link is in the tree."""
    hosts = ("pypi" + r"\.org", "files" + r"\.pythonhosted", "debian" + r"\.org", "npmjs" + r"\.org", "crates" + r"\.io")
    pattern = "|".join((*hosts, "/" + r"(root|work)/", "/" + r"home/\w"))
    # 1 is "nothing found"; without git there is no list of what is ours.
    done = run("git", "grep", "-nIE", "--untracked", pattern)
    if done.returncode == 0:
        yield done.stdout.strip()
    yield from (f"{path} is a symbolic link" for path in tracked() if (ROOT / path).is_symlink())


def tracked() -> list[str]:
    return run("git", "ls-files").stdout.splitlines()


@rule
def c_is_formatted() -> Iterator[str]:
    """clang-format has nothing to change (`make format`)."""
    yield from complaints(str(BIN / "clang-format"), "--dry-run", "-Werror", *map(name, sources("*.c", "*.h")))


@rule
def python_is_clean() -> Iterator[str]:
    """ruff check finds nothing."""
    yield from complaints(str(BIN / "ruff"), "check", "-q", ".")


@rule
def python_is_formatted() -> Iterator[str]:
    """ruff format has nothing to change (`make format`)."""
    yield from complaints(str(BIN / "ruff"), "format", "--check", "-q", ".")


@rule
def types_hold() -> Iterator[str]:
    """mypy --strict accepts the package."""
    yield from complaints(str(BIN / "mypy"), "--strict", "memprobe")


def main() -> int:
    failed = 0
    for check in rules:
        try:
            found = list(check())
        except OSError as problem:  # a tool that is not there is a failure, not a pass
            found = [str(problem)]
        failed += bool(found)
        print(f"{'FAILED' if found else 'ok':6} {check.__name__.replace('_', ' ')}")
        for text in found:
            print("    " + text.replace("\n", "\n    "))
    print(f"{len(rules) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
