"""The command's entry: which verb, and the exit codes.

0 done · 1 a check that was asked for found something · 2 usage · 3 it could not be done, and one sentence on stderr says why ·
128 and the number of the signal that ended it"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

DONE, CANNOT, ENDED = 0, 3, 128
ENDING = (signal.SIGTERM, signal.SIGHUP)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["run"]:  # before anything else is imported: what the program's heap holds should be the program's
        from memprobe.cli.program import run

        return run(words[1:])
    return ask(words)


def ask(words: list[str]) -> int:
    """Every verb but `run`. Modules are imported here, so that Ctrl-C is as quiet then as later."""
    open_streams()
    try:
        with ended_by_signals():
            code = answer(words)
            sys.stdout.flush()
            return code
    except BrokenPipeError:  # the reader of our output has seen enough
        return DONE
    except KeyboardInterrupt:
        complain("stopped.")
        return ENDED + signal.SIGINT
    except Ended as ended:
        complain(f"stopped by {ended.signal.name}.")
        return ENDED + ended.signal
    except Exception as problem:
        from memprobe.cli import sentences

        if not isinstance(problem, sentences.KNOWN):
            raise
        complain(sentences.sentence(problem))
        return CANNOT
    finally:
        close_output()


def answer(words: list[str]) -> int:
    """The verb's exit code."""
    from memprobe.cli import files, leaks, questions, snapshot, watch
    from memprobe.cli.options import parsed, split_program

    words, program = split_program(words)
    options = parsed(words)
    options.program = program
    verbs = {
        "snapshot": snapshot.snapshot,
        "watch": watch.watch,
        "info": files.info,
        "summary": files.summary,
        "memory": files.memory,
        "lost": files.lost,
        "dominators": questions.dominators,
        "paths": questions.paths,
        "cycles": questions.cycles,
        "graph": questions.graph,
        "suspects": leaks.suspects,
        "diff": leaks.diff,
        "waste": leaks.waste,
    }
    return verbs[options.verb](options)


# ---- signals --------------------------------------------------------------------------------------------------------


class Ended(BaseException):
    """A signal asks us to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """What ends a process raises Ended instead, so that nothing is left behind. A signal that is ignored (nohup) stays so."""
    try:
        ours = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
        for number in ours:
            signal.signal(number, raise_ended)
    except ValueError:  # not in the main thread
        ours = []
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def raise_ended(number: int, _: FrameType | None) -> None:
    for other in ENDING:
        signal.signal(other, signal.SIG_IGN)  # once is enough: what is to be cleaned up is
    raise Ended(number)


# ---- where output goes ----------------------------------------------------------------------------------------------


def open_streams() -> None:
    """Who closed one of ours wants to see nothing there. Python has None for it, and another file would get its number."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


def close_output() -> None:
    """What cannot be written any more, Python need not try again when it ends."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if getattr(sys, f"__{name}__") is None:  # of open_streams()
            stream.close()
            setattr(sys, name, None)


def complain(sentence: str) -> None:
    with suppress(OSError):
        print(f"memprobe: {sentence}", file=sys.stderr)
