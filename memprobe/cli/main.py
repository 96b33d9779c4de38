"""The command's entry: which verb, and the exit codes.

0 done · 1 a check that was asked for found something · 2 usage · 3 it could not be done, and one sentence on stderr says why"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from memprobe.cli.program import run

DONE, CANNOT, STOPPED = 0, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["run"]:  # before anything else is imported: what the program's heap holds should be the program's
        return run(words[1:])
    return ask(words)


def ask(words: list[str]) -> int:
    """Every verb but `run`."""
    from memprobe.cli import files, leaks, questions, sentences, snapshot, watch
    from memprobe.cli.options import parser, split_program

    words, program = split_program(words)
    options = parser().parse_args(words)
    options.program = program
    if program and options.verb != "snapshot":
        parser().error(f"{options.verb} takes no program: `memprobe snapshot -- SCRIPT` runs one.")
    verbs = {
        "snapshot": snapshot.snapshot,
        "watch": watch.watch,
        "info": files.info,
        "summary": files.summary,
        "dominators": questions.dominators,
        "paths": questions.paths,
        "cycles": questions.cycles,
        "graph": questions.graph,
        "suspects": leaks.suspects,
        "diff": leaks.diff,
        "waste": leaks.waste,
    }
    try:
        code = verbs[options.verb](options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        print("memprobe: stopped.", file=sys.stderr)
        return STOPPED
    except sentences.KNOWN as problem:
        print(f"memprobe: {sentences.sentence(problem)}", file=sys.stderr)
        return CANNOT
