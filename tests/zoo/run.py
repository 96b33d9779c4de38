"""Run a leaking program: python run.py NAME FOLDER. Whenever it says so, a snapshot goes to FOLDER/NAME.1.snap, NAME.2.snap ..."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import memprobe


def main(name: str, folder: Path) -> None:
    taken: list[int] = []

    def checkpoint() -> None:
        taken.append(len(taken) + 1)
        memprobe.snapshot(folder / f"{name}.{taken[-1]}.snap")

    importlib.import_module(name).main(checkpoint)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
