"""The verb `watch`: periodic snapshots of a running process, and what grows."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import suppress

from memprobe import _proc, _text
from memprobe.cli import leaks, show
from memprobe.cli.files import opened
from memprobe.cli.sentences import Cannot
from memprobe.cli.snapshot import ask, require_folder, unused
from memprobe.errors import AttachError

FEWEST = 2  # snapshots that can be compared
NOUN = {"process": "memory of the process", "objects": "heap"}


def watch(options: argparse.Namespace) -> int:
    """memprobe watch PID"""
    folder = options.output or ""
    made = make_folder(folder)
    try:
        watched = Watched(options, folder)
        grown = watched.run()
    finally:
        if made:
            with suppress(OSError):  # it stays when something is in it
                os.rmdir(folder)
    paths = watched.paths
    if len(paths) < FEWEST:
        kept = f" ({paths[0]} was kept)" if paths else ""
        raise Cannot(f"There are not two snapshots to compare{kept}: let it watch longer, or use a shorter --every.")
    watched.say(f"kept {', '.join(paths)}")
    options.older, options.newer, options.newest = paths[0], paths[-2] if len(paths) > FEWEST else paths[-1], None
    if len(paths) > FEWEST:
        options.newest = paths[-1]
    options.fail_on_growth, options.native = None, False  # with native blocks there is a column of them
    leaks.diff(options)
    return 1 if grown else 0


def make_folder(folder: str) -> bool:
    """Make the directory for the snapshots; False when there is one. OSError when the current directory is gone."""
    if os.path.isdir(folder or ".") or not folder:
        require_folder(folder, "DIRECTORY")
        return False
    os.makedirs(folder)
    return True


class Watched:
    """The snapshots so far: the first, the last but one and the last are kept, in `paths`."""

    def __init__(self, options: argparse.Namespace, folder: str) -> None:
        self.options = options
        self.born = _proc.born(options.pid)
        self.stem = unused(folder, options.pid, "-1.snap").removesuffix("-1.snap")
        self.paths: list[str] = []
        self.first_bytes = 0
        self.taken = 0

    def run(self) -> bool:
        """Take them. True when there is more growth than --until-growth; Ctrl-C and the end of the process end it early."""
        begun = time.monotonic()
        try:
            while True:
                grown = self.take()
                if grown is not None and self.options.until_growth is not None and grown > self.options.until_growth:
                    self.say(f"the {NOUN[self.options.of]} grew by {_text.size(grown)}")
                    return True
                if self.taken == self.options.count:
                    return False
                time.sleep(max(0.0, begun + self.taken * self.options.every - time.monotonic()))
        except KeyboardInterrupt:
            self.say("stopped")
        except AttachError as problem:
            if not self.taken:
                raise
            self.say(str(problem))
        return False

    def take(self) -> int | None:
        """One more snapshot; returns how much grew since the first, when that is asked for."""
        options = self.options
        if _proc.born(options.pid) not in (self.born, None):
            raise AttachError(f"Process {options.pid} has ended; another one has its number now.")
        path = f"{self.stem}-{self.taken + 1}.snap"
        done = ask(options, path)
        self.taken += 1
        self.paths.append(path)
        if len(self.paths) > 3:
            with suppress(OSError):
                os.unlink(self.paths.pop(1))
        of = f" of {options.count}" if options.count else ""
        size = _text.size(done.bytes)
        self.say(f"{size} in {path}; {done.mode}, the process stood still for {done.pause_ms:.1f} ms", f"{self.taken}{of}")
        if options.until_growth is None:
            return None
        total = leaks.measured(opened(path), options.of)
        if self.taken == 1:
            self.first_bytes = total
        return total - self.first_bytes

    def say(self, sentence: str, which: str = "") -> None:
        if not self.options.json:
            show.text(f"{'snapshot ' + which if which else 'memprobe'}: {sentence}")
            sys.stdout.flush()
