"""Run a Python program as `python SCRIPT` or `python -m MODULE` would, with the agent in its process and no more of memprobe.

    memprobe run [--values] [-m MODULE | SCRIPT] [ARG ...]

--values lets the agent give contents of strings to those who ask for them.
With --at-exit FILE it writes a snapshot when the program is done, before its objects go away, and tells what came of it on the
descriptor --report N: so `memprobe snapshot -- SCRIPT` works."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import CodeType, ModuleType
from typing import Any

USAGE = "memprobe run [--values] [-m MODULE | SCRIPT] [ARG ...]"


class NotFound(Exception):
    """There is no such program."""


def run(words: list[str]) -> int:
    """Run the program that the words name; returns the exit code that Python would."""
    options = {}
    values = words[:1] == ["--values"]
    words = words[values:]
    while len(words) > 1 and words[0] in ("--at-exit", "--report", "--how"):
        options[words[0]], words = words[1], words[2:]
    if words[:1] == ["--"]:
        words = words[1:]
    as_module = words[:1] == ["-m"]
    words = words[as_module:]
    if not words or words[0].startswith("-"):
        help_asked = words[:1] in (["-h"], ["--help"])
        print(f"usage: {USAGE}", file=sys.stdout if help_asked else sys.stderr)
        return 0 if help_asked else 2
    try:
        main, code = (load_module if as_module else load_script)(words[0], words[1:])
    except (NotFound, OSError, SyntaxError, ImportError) as problem:
        print(f"memprobe: {words[0]} cannot be run: {problem}.", file=sys.stderr)
        return 3
    if "--report" in options:
        os.set_inheritable(int(options["--report"]), False)
    start_agent(values)
    ours = os.getpid()
    status = execute(main, code)
    if "--at-exit" in options and os.getpid() == ours:  # a forked child that comes to the end is not what was asked for
        join_threads()
        report = report_snapshot(options["--at-exit"], json.loads(options.get("--how", "{}")))
        with suppress(OSError):
            os.write(int(options["--report"]), json.dumps(report).encode())
    return status


def start_agent(values: bool) -> None:
    """A program that cannot have the agent runs all the same, and is told."""
    from memprobe import agent

    try:
        if agent.start(values=values) is None:
            print("memprobe: MEMPROBE_AGENT=off: this program cannot be asked for snapshots.", file=sys.stderr)
    except OSError as problem:
        print(f"memprobe: no agent in this program: {problem}.", file=sys.stderr)


# ---- the program ----------------------------------------------------------------------------------------------------


def load_script(path: str, arguments: list[str]) -> tuple[ModuleType, CodeType]:
    """A script file: its folder comes first on sys.path."""
    with io.open_code(os.path.abspath(path)) as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    main = ModuleType("__main__")
    main.__file__ = path
    prepare(main, os.path.dirname(os.path.realpath(path)), [path, *arguments])
    return main, code


def load_module(name: str, arguments: list[str]) -> tuple[ModuleType, CodeType]:
    """A module by its name, or the __main__ of a package: the current folder comes first on sys.path."""
    main = ModuleType("__main__")
    prepare(main, os.getcwd(), ["-m", *arguments])
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{name}.__main__")
    get_code: Callable[[str], CodeType | None] | None = getattr(spec and spec.loader, "get_code", None)
    code = get_code(spec.name) if spec and get_code else None
    if spec is None or code is None:
        raise NotFound("there is no such module, or package with a __main__")
    main.__file__, main.__spec__, main.__package__ = spec.origin, spec, spec.parent
    main.__loader__ = spec.loader
    sys.argv[0] = spec.origin or name
    return main, code


def prepare(main: ModuleType, folder: str, argv: list[str]) -> None:
    """Take memprobe's own place on sys.path and in sys.argv."""
    sys.argv[:] = argv
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path[0] = folder
    main.__dict__["__builtins__"] = sys.modules["builtins"]


def execute(main: ModuleType, code: CodeType) -> int:
    """Run it; what it raises is shown as Python shows it, without our frames."""
    sys.modules["__main__"] = main
    try:
        exec(code, main.__dict__)
    except SystemExit as leave:
        return exit_code(leave.code)
    except BaseException as problem:
        trace = problem.__traceback__
        problem.__traceback__ = trace.tb_next if trace else None
        sys.excepthook(type(problem), problem, problem.__traceback__)
        return 130 if isinstance(problem, KeyboardInterrupt) else 1
    return 0


def exit_code(code: object) -> int:
    """What sys.exit(code) means."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code
    print(code, file=sys.stderr)
    return 1


def join_threads() -> None:
    """The program is done when its threads are, as the interpreter sees it."""
    with suppress(KeyboardInterrupt):
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()


def report_snapshot(path: str, how: dict[str, Any]) -> dict[str, object]:
    """Take the snapshot; the answer, or the error, as an agent's reply."""
    from memprobe import heap

    try:
        return {"ok": heap.snapshot(path, **how).to_dict()}
    except Exception as problem:
        number = getattr(problem, "errno", None)
        message = getattr(problem, "strerror", None) or str(problem)
        return {"error": {"kind": type(problem).__name__, "message": message, "errno": number}}
