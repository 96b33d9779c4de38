"""The verbs and their options, as argparse knows them."""

from __future__ import annotations

import argparse

from memprobe import _text
from memprobe.cli.program import USAGE

EPILOGUE = """\
examples:
  memprobe run service.py --port 8000        start a program that can be asked
  memprobe snapshot 4711 -o now.snap         ask process 4711; it goes on serving
  memprobe snapshot -o end.snap -- job.py    run a program, and snapshot it when it is done
  memprobe summary now.snap                  the biggest types
  memprobe summary --since then.snap now.snap    what grew
"""


def split_program(words: list[str]) -> tuple[list[str], list[str]]:
    """Options of ours, and the program to run: what follows `--`, or begins with `-m`."""
    if words[:1] == ["snapshot"]:
        for index, word in enumerate(words):
            if word == "--":
                return words[:index], words[index + 1 :]
            if word == "-m":
                return words[:index], words[index:]
    return words, []


def parser() -> argparse.ArgumentParser:
    from memprobe import __version__

    top = argparse.ArgumentParser(
        prog="memprobe",
        description="What a live Python process holds in memory, how much, and who keeps it alive.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"memprobe {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="JSON on stdout, as docs/CLI.md describes it")
    common.add_argument("--limit", type=count, default=20, metavar="N", help="rows to show (20; 0 for all)")

    verbs.add_parser("run", help="run a program that can be asked for snapshots", usage=USAGE)

    asking = argparse.ArgumentParser(add_help=False)
    asking.add_argument(
        "--gdb", action="store_true", help="let gdb start the agent in a process that has none (stops it for a second)"
    )
    asking.add_argument(
        "--timeout", type=timeout, metavar="SECONDS", help="give up when the process has not answered by then (never)"
    )
    asking.add_argument("--no-fork", action="store_true", help="no forked child: the process stands still while it writes")
    asking.add_argument("--values", action="store_true", help="with the contents of all strings, secrets too, not only names")
    asking.add_argument("--hashes", action="store_true", help="with hashes that say which contents are equal, for `waste`")

    snap = verbs.add_parser(
        "snapshot",
        parents=[common, asking],
        help="snapshot a running process, or a program from its start",
        usage="memprobe snapshot [-o FILE] [--gdb] [--timeout SECONDS] [--no-fork] [--values] [--hashes] [--json] PID\n"
        "       memprobe snapshot [-o FILE] [--after SECONDS [--keep-running]] ... {-m MODULE | -- SCRIPT} [ARG ...]",
    )
    snap.add_argument("pid", nargs="?", type=process, metavar="PID", help="a running process")
    snap.add_argument("-o", "--output", metavar="FILE", help="where to write (memprobe-PID-TIME.snap)")
    snap.add_argument("--after", type=seconds, metavar="SECONDS", help="snapshot so long after the start, not at the end")
    snap.add_argument("--keep-running", action="store_true", help="let the program go on after that snapshot")

    watch = verbs.add_parser("watch", parents=[common, asking], help="snapshot a process now and then, and say what leaks")
    watch.add_argument("pid", type=process, metavar="PID")
    watch.add_argument("-o", "--output", metavar="DIRECTORY", help="where snapshots go (here)")
    watch.add_argument("--every", type=seconds, default=60.0, metavar="SECONDS", help="from one to the next (60)")
    watch.add_argument("--count", type=count, default=3, metavar="N", help="snapshots to take (3; 0 until Ctrl-C)")
    watch.add_argument(
        "--until-growth", type=size, metavar="BYTES", help="stop, with exit code 1, when the heap grew by more than this"
    )

    info = verbs.add_parser("info", parents=[common], help="what a snapshot is of, and how much it explains")
    info.add_argument("file", metavar="FILE")

    summary = verbs.add_parser("summary", parents=[common], help="objects by type, the biggest first")
    summary.add_argument("file", metavar="FILE")
    summary.add_argument("--since", metavar="OLDER", help="what grew since this older snapshot")

    tree = verbs.add_parser("dominators", parents=[common], help="who keeps how much alive: the dominator tree")
    tree.add_argument("file", metavar="FILE")
    tree.add_argument("--depth", type=positive, default=3, metavar="N", help="levels to show (3)")
    tree.add_argument("--node", type=int, metavar="ID", help="begin at this node")
    tree.add_argument("--grouped", action="store_true", help="objects that are held in one way as one")

    paths = verbs.add_parser("paths", parents=[common], help="why an object is alive: shortest paths from the roots")
    paths.add_argument("file", metavar="FILE")
    paths.add_argument("object", metavar="OBJECT", help="an address (0x...), the id of a node, or a type: its biggest object")

    cycles = verbs.add_parser("cycles", parents=[common], help="reference cycles, and where to cut them")
    cycles.add_argument("file", metavar="FILE")
    cycles.add_argument("--garbage", action="store_true", help="only what nothing reaches any more")
    cycles.add_argument("--housekeeping", action="store_true", help="follow the references that every program has, too")
    cycles.add_argument("--fail-on-cycles", action="store_true", help="exit code 1 when there are any")

    graph = verbs.add_parser("graph", parents=[common], help="a picture of what refers to an object, or what it refers to")
    graph.add_argument("file", metavar="FILE")
    graph.add_argument("object", metavar="OBJECT", help="an address (0x...), the id of a node, or a type: its biggest object")
    graph.add_argument(
        "-o", "--output", metavar="PICTURE", help="where to write, .dot, .svg, .png or .pdf; without it, DOT on stdout"
    )
    graph.add_argument("--refs", action="store_true", help="what it refers to (what refers to it)")
    graph.add_argument("--depth", type=positive, default=3, metavar="N", help="steps from the object (3)")
    graph.add_argument("--retained", action="store_true", help="show the bytes that would be freed with each node")
    graph.add_argument("--refcounts", action="store_true", help="show reference counts")
    graph.add_argument("--no-weak", action="store_true", help="leave out weak references")
    graph.add_argument("--housekeeping", action="store_true", help="follow the references that every program has, too")

    leaks = verbs.add_parser("suspects", parents=[common], help="what leaks: who keeps a large part of the heap alive")
    leaks.add_argument("file", metavar="FILE")
    leaks.add_argument("--percent", type=percent, default=10.0, metavar="P", help="a suspect keeps more of the heap than this (10)")
    leaks.add_argument("--keep-stdlib", action="store_true", help="holders may be of the standard library")
    leaks.add_argument("--fail-on-suspect", type=percent, metavar="PERCENT", help="exit code 1 when one keeps more than this")

    waste = verbs.add_parser("waste", parents=[common], help="what could be saved with the same data, and how")
    waste.add_argument("file", metavar="FILE")

    diff = verbs.add_parser("diff", parents=[common], help="what grew between two snapshots; of three, what came and stayed")
    diff.add_argument("older", metavar="A")
    diff.add_argument("newer", metavar="B")
    diff.add_argument("newest", nargs="?", metavar="C")
    diff.add_argument("--fail-on-growth", type=size, metavar="BYTES", help="exit code 1 when the whole heap grew by more than this")
    return top


def percent(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 100:
        raise argparse.ArgumentTypeError("must be a share of the heap, from 0.1 to 100")
    return value


def count(text: str) -> int | None:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value or None


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def process(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not the number of a process; to run a script, put -- before it")
    return int(text)


def size(text: str) -> int:
    try:
        return _text.parse_size(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError("must be a number of seconds")
    return value


def timeout(text: str) -> float:
    value = seconds(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be more than 0 seconds")
    return value
