"""The verbs and their options, as argparse knows them."""

from __future__ import annotations

import argparse

from memprobe import _text
from memprobe._capture import ORIGINS_MS, check_origins
from memprobe._select import SORTS, Selection
from memprobe.cli.program import USAGE

SCREEN = -1  # rows: as many as the terminal has
GROWTH = ("process", "objects")  # what a limit of growth is of
OF_NATIVE = "of a snapshot that was taken with --native"
OF = "what the limit is of: resident and swapped memory of the process (the default), or its Python objects"
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

    common = answering(20, "20")

    choosing = argparse.ArgumentParser(add_help=False)
    rows = choosing.add_argument_group("rows")
    rows.add_argument("--type", metavar="PATTERN", help="only of these types: 'app.*', or a name without its module")
    rows.add_argument("--module", metavar="PATTERN", help="only rows whose name or type begins with these modules: 'app.*'")
    rows.add_argument("--no-stdlib", action="store_true", help="without rows of the standard library, and builtins")
    rows.add_argument("--sort", choices=SORTS, default="bytes", help="the order of rows (bytes)")
    rows.add_argument("--min", type=size, default=0, metavar="BYTES", help="only rows of at least so many bytes: 10MiB")

    verbs.add_parser("run", help="run a program that can be asked for snapshots", usage=USAGE)

    asking = argparse.ArgumentParser(add_help=False)
    asking.add_argument(
        "--gdb", action="store_true", help="let gdb start the agent in a process that has none (this stops it for a second)"
    )
    asking.add_argument(
        "--timeout",
        type=timeout,
        metavar="SECONDS",
        help="give up when the process has not answered after this time (default: never)",
    )
    asking.add_argument(
        "--no-fork", action="store_true", help="do not fork a child: the process itself writes, and does nothing else meanwhile"
    )
    asking.add_argument(
        "--values", action="store_true", help="record the contents of all strings, secrets too; without it, only names"
    )
    asking.add_argument(
        "--origins-ms",
        type=milliseconds,
        metavar="MS",
        default=ORIGINS_MS,
        help=f"while tracemalloc traces, how long to ask it where objects were made, of the pause ({ORIGINS_MS}; 0: not at all)",
    )
    asking.add_argument("--hashes", action="store_true", help="record hashes of contents, so that `waste` finds duplicates")
    asking.add_argument(
        "--native", action="store_true", help="look at what malloc gave out, too: which objects keep it, and what is lost"
    )
    asking.add_argument("--no-native", action="store_false", dest="native", help="look at objects alone (the default)")

    snap = verbs.add_parser(
        "snapshot",
        parents=[common, asking],
        help="take a snapshot of a running process, or of a program that is run for it",
        usage="memprobe snapshot [-o FILE] [--gdb] [--timeout SECONDS] [--no-fork] [--values] [--hashes] [--native]\n"
        "                         [--origins-ms MS] [--json] PID\n"
        "       memprobe snapshot [-o FILE] [--after SECONDS [--keep-running]] ... {-m MODULE | -- SCRIPT} [ARG ...]",
    )
    snap.add_argument("pid", nargs="?", type=process, metavar="PID", help="a running process")
    snap.add_argument("-o", "--output", metavar="FILE", help="where to write (memprobe-PID-TIME.snap)")
    snap.add_argument(
        "--after", type=seconds, metavar="SECONDS", help="take the snapshot this long after the start, not at the end"
    )
    snap.add_argument("--keep-running", action="store_true", help="let the program continue after that snapshot")

    watch = verbs.add_parser("watch", parents=[common, asking, choosing], help="take periodic snapshots and report what grows")
    watch.add_argument("pid", type=process, metavar="PID")
    watch.add_argument(
        "-o",
        "--output",
        metavar="DIRECTORY",
        help="where to write the snapshots; made if it does not exist (the current directory)",
    )
    watch.add_argument("--every", type=seconds, default=60.0, metavar="SECONDS", help="time from one snapshot to the next (60)")
    watch.add_argument("--count", type=count, default=3, metavar="N", help="how many snapshots to take (3; 0: until Ctrl-C)")
    watch.add_argument(
        "--until-growth", type=size, metavar="BYTES", help="stop, with exit code 1, when the process grew by more than this"
    )
    watch.add_argument("--of", choices=GROWTH, default=GROWTH[0], help=OF)

    info = verbs.add_parser("info", parents=[common], help="which process a snapshot is of, and how much of its memory it explains")
    info.add_argument("file", metavar="FILE", help="a snapshot")

    balance = verbs.add_parser("memory", parents=[common], help="where the process's resident memory is, and where it grew")
    balance.add_argument("file", metavar="FILE", help="a snapshot")
    balance.add_argument("older", nargs="?", metavar="OLDER", help="an older snapshot of the same program, to see what changed")

    lost = verbs.add_parser(
        "lost", parents=[common], help="memory that C code forgot to free: native blocks that nothing refers to"
    )
    lost.add_argument("file", metavar="FILE", help="a snapshot that was taken with --native")
    lost.add_argument(
        "older", nargs="?", metavar="OLDER", help="an older one of the same process: what was lost then, too, comes first"
    )

    summary = verbs.add_parser("summary", parents=[common, choosing], help="objects by type, the biggest first")
    summary.add_argument("file", metavar="FILE", help="a snapshot")
    summary.add_argument("--since", metavar="OLDER", help="show what grew since this older snapshot")

    summary.add_argument("--native", action="store_true", help=f"native blocks have rows, too, {OF_NATIVE}")

    tree = verbs.add_parser(
        "dominators",
        parents=[answering(SCREEN, "a screen of them"), choosing],
        help="what keeps how much alive: the dominator tree",
    )
    tree.add_argument("file", metavar="FILE", help="a snapshot")
    tree.add_argument("--depth", type=positive, metavar="N", help="levels to show (8; with --json 3)")
    tree.add_argument("--node", type=int, metavar="ID", help="start at this node")
    tree.add_argument("--all", action="store_true", help="show every row, not one screen of the biggest")
    tree.add_argument(
        "--grouped",
        action="store_true",
        help="show objects that are held alike, by the labels and types on their paths, as one row",
    )

    tree.add_argument("--native", action="store_true", help=f"count native memory, too, {OF_NATIVE}")

    paths = verbs.add_parser("paths", parents=[common], help="why an object is alive: shortest paths from the roots")
    paths.add_argument("file", metavar="FILE", help="a snapshot")
    paths.add_argument("object", metavar="OBJECT", help="an address (0x...), the id of a node, or a type: its biggest object")
    paths.add_argument("--module", metavar="PATTERN", help="only paths that begin in these modules: 'app.*'")
    paths.add_argument("--no-stdlib", action="store_true", help="without paths that begin in the standard library")

    cycles = verbs.add_parser("cycles", parents=[common, choosing], help="reference cycles, and where to cut them")
    cycles.add_argument("file", metavar="FILE", help="a snapshot")
    cycles.add_argument("--garbage", action="store_true", help="only cycles that nothing reaches any more")
    cycles.add_argument("--housekeeping", action="store_true", help="also follow the references that every program has")
    cycles.add_argument(
        "--native",
        action="store_true",
        help=f"cycles that the collector cannot see and never frees: through C types, {OF_NATIVE}",
    )
    cycles.add_argument("--fail-on-cycles", action="store_true", help="exit code 1 when there are any")

    graph = verbs.add_parser("graph", parents=[common], help="draw what refers to an object, or what it refers to")
    graph.add_argument("file", metavar="FILE", help="a snapshot")
    graph.add_argument("object", metavar="OBJECT", help="an address (0x...), the id of a node, or a type: its biggest object")
    graph.add_argument(
        "-o", "--output", metavar="PICTURE", help="where to write, .dot, .svg, .png or .pdf; without it, DOT on stdout"
    )
    graph.add_argument("--refs", action="store_true", help="draw what it refers to; without it, what refers to it")
    graph.add_argument("--depth", type=positive, default=3, metavar="N", help="steps from the object (3)")
    graph.add_argument("--retained", action="store_true", help="show the bytes that would be freed with each node")
    graph.add_argument("--refcounts", action="store_true", help="show reference counts")
    graph.add_argument("--no-weak", action="store_true", help="leave out weak references")
    graph.add_argument("--housekeeping", action="store_true", help="also follow the references that every program has")

    leaks = verbs.add_parser(
        "suspects", parents=[common, choosing], help="leak suspects: what keeps a large part of the heap alive"
    )
    leaks.add_argument("file", metavar="FILE", help="a snapshot")
    leaks.add_argument(
        "--percent", type=percent, default=10.0, metavar="P", help="a suspect keeps more of the heap than this: 5 or 5%% (10)"
    )
    leaks.add_argument("--native", action="store_true", help=f"count native memory, too, {OF_NATIVE}")
    leaks.add_argument("--keep-stdlib", action="store_true", help="name holders of the standard library, too")
    leaks.add_argument(
        "--fail-on-suspect",
        type=percent,
        metavar="PERCENT",
        help="exit code 1 when a suspect keeps more of the heap than this: 5 or 5%%",
    )

    waste = verbs.add_parser(
        "waste", parents=[common, choosing], help="memory that the same data would not need, and how to save it"
    )
    waste.add_argument("file", metavar="FILE", help="a snapshot")

    diff = verbs.add_parser("diff", parents=[common, choosing], help="what grew between two snapshots, or over three")
    diff.add_argument("older", metavar="A")
    diff.add_argument("newer", metavar="B")
    diff.add_argument("newest", nargs="?", metavar="C")
    diff.add_argument(
        "--native", action="store_true", help="count native memory, too, of snapshots of one process that were taken with --native"
    )
    diff.add_argument("--fail-on-growth", type=size, metavar="BYTES", help="exit code 1 when the process grew by more than this")
    diff.add_argument("--of", choices=GROWTH, default=GROWTH[0], help=OF)
    for verb in verbs.choices.values():
        verb.set_defaults(misuse=verb.error)
    return top


def answering(limit: int, shown: str) -> argparse.ArgumentParser:
    """The options of every verb that answers."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="JSON on stdout, as docs/CLI.md describes it")
    common.add_argument("--limit", type=count, default=limit, metavar="N", help=f"how many rows to show ({shown}; 0: all)")
    return common


def parsed(words: list[str]) -> argparse.Namespace:
    """The options of a command line. What a verb does not know is its own misuse, with its own usage."""
    options, unknown = parser().parse_known_args(words)
    if unknown:
        options.misuse(f"unrecognized arguments: {' '.join(unknown)}")
    return options


def selection(options: argparse.Namespace) -> Selection:
    """Which rows are wanted."""
    return Selection(options.type, options.module, not options.no_stdlib, options.sort, options.min)


def percent(text: str) -> float:
    value = number(text.strip().removesuffix("%"))
    if not 0.1 <= value <= 100:
        raise argparse.ArgumentTypeError("must be a share of the heap in percent, from 0.1 to 100")
    return value


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def count(text: str) -> int | None:
    value = whole(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value or None


def positive(text: str) -> int:
    value = whole(text)
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
    value = number(text)
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError("must be a number of seconds")
    return value


def milliseconds(text: str) -> int:
    try:
        return check_origins(whole(text))
    except ValueError:
        raise argparse.ArgumentTypeError("must be 0 to 60,000 milliseconds") from None


def timeout(text: str) -> float:
    value = seconds(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be more than 0 seconds")
    return value
