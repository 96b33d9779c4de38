"""The verb `watch`: snapshots of a running process, some time apart, and what came and stayed."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import suppress

from memprobe import _proc, _text, attach
from memprobe.cli import leaks, show
from memprobe.cli.files import opened
from memprobe.cli.sentences import Cannot
from memprobe.cli.snapshot import require_folder, unused, wanted
from memprobe.errors import AttachError

FEWEST = 2  # snapshots that can be compared


def watch(options: argparse.Namespace) -> int:
    """memprobe watch PID"""
    folder = options.output or ""
    require_folder(folder, "DIRECTORY")
    watched = Watched(options, folder)
    grown = watched.run()
    if len(watched.paths) < FEWEST:
        raise Cannot("There are not two snapshots to compare: let it watch longer, or use a shorter --every.")
    paths = watched.paths
    options.older, options.newer, options.newest = paths[0], paths[-2] if len(paths) > FEWEST else paths[-1], None
    if len(paths) > FEWEST:
        options.newest = paths[-1]
    options.fail_on_growth = None
    leaks.diff(options)
    return 1 if grown else 0


class Watched:
    """The snapshots so far: the first, the last but one and the last are kept."""

    def __init__(self, options: argparse.Namespace, folder: str) -> None:
        self.options = options
        self.born = _proc.born(options.pid)
        self.stem = unused(folder, options.pid, "-1.snap").removesuffix("-1.snap")
        self.paths: list[str] = []
        self.first_bytes = 0
        self.taken = 0

    def run(self) -> bool:
        """Take them. True when the heap grew by more than --until-growth; Ctrl-C and the end of the process end it early."""
        begun = time.monotonic()
        try:
            while True:
                grown = self.take()
                if grown is not None and self.options.until_growth is not None and grown > self.options.until_growth:
                    self.say(f"the heap grew by {_text.size(grown)}")
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
        """One more snapshot; returns how much the heap has grown since the first, when that is asked for."""
        options = self.options
        if _proc.born(options.pid) not in (self.born, None):
            raise AttachError(f"Process {options.pid} has ended; another one has its number now.")
        path = f"{self.stem}-{self.taken + 1}.snap"
        done = attach.snapshot_process(options.pid, path, wanted(options), timeout=options.timeout, gdb=options.gdb)
        self.taken += 1
        self.paths.append(path)
        if len(self.paths) > 3:
            with suppress(OSError):
                os.unlink(self.paths.pop(1))
        of = f" of {options.count}" if options.count else ""
        self.say(f"{done.objects:,} objects; {done.mode}, the process stood still for {done.pause_ms:.1f} ms", f"{self.taken}{of}")
        if options.until_growth is None:
            return None
        size = opened(path).info.bytes
        if self.taken == 1:
            self.first_bytes = size
        return size - self.first_bytes

    def say(self, sentence: str, which: str = "") -> None:
        if not self.options.json:
            show.console().print(f"{'snapshot ' + which if which else 'memprobe'}: {sentence}", highlight=False)
            sys.stdout.flush()
