"""Find a leak in a running service: `make demo`.

Starts examples/service.py with the agent, sends visitors to it, watches it while it serves, and shows what a person would look at:
what leaks, the types, who holds most, and how far the numbers can be trusted."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from load import Visitors

import memprobe

HERE = Path(__file__).resolve().parent
SERVICE = HERE / "service.py"
SUSPECT = "__main__.Session"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="of visits before each snapshot (4)")
    parser.add_argument("--visitors", type=int, default=4, help="at the same time (4)")
    parser.add_argument("--folder", type=Path, help="keep the snapshots here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        return show(folder, options.seconds, options.visitors)


def show(folder: Path, seconds: float, visitors: int) -> int:
    with service() as (pid, port):
        say(f"A web shop runs as process {pid}, with memprobe's agent in it. {visitors} visitors log in, look around and log out.")
        load = Visitors(port, visitors, seconds * 2 + 120).start()
        try:
            time.sleep(seconds / 2)
            say("1. What leaks? Three snapshots while it serves, and what came between the first two and is still there:")
            memprobe_command("watch", str(pid), "--every", f"{seconds:g}", "--count", "3", "--limit", "3", cwd=folder)
        finally:
            load.stop()
        if load.problems:
            print("visitors met errors:", *load.problems, sep="\n")
            return 1
        print(f"\n{load.visits} visits; the slowest answer of all took {load.slowest * 1000:.0f} ms.")

    first, _, last = sorted(folder.glob(f"memprobe-{pid}-*.snap"))
    sessions = memprobe.load(last).find(type=SUSPECT)
    kept = memprobe.load(last).deep_sizeof(*sessions)
    print(
        f"\nVisitors log out, and yet there are {len(sessions)} {SUSPECT} objects: the shop's price feed has a list of listeners,\n"
        f"and in it is a method of each session. Shop.logout() forgets the session but does not unsubscribe it: {kept:,}\n"
        f"bytes live as long as the shop. The cure is one line in logout(): self.feed.unsubscribe(...)."
    )
    say("2. What is in it? The types, by bytes, and which of them grew:")
    memprobe_command("summary", last.name, "--limit", "8", cwd=folder)
    memprobe_command("summary", "--since", first.name, last.name, "--limit", "5", cwd=folder)
    say("3. Who holds most, in the last snapshot alone?")
    memprobe_command("suspects", last.name, "--limit", "1", cwd=folder)
    say("4. How far can these numbers be trusted, and what did they cost?")
    memprobe_command("info", last.name, cwd=folder)
    pauses = [memprobe.load(file).info.pause_ms for file in sorted(folder.glob("*.snap"))]
    print(f"\nThe service stood still for {', '.join(f'{pause:.1f}' for pause in pauses)} ms.")
    return 0


@contextmanager
def service() -> Iterator[tuple[int, int]]:
    """The service with the agent; its process and its port."""
    command = [sys.executable, "-m", "memprobe", "run", str(SERVICE), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if "serving on" not in line:
            raise SystemExit(f"the service did not start: {line}")
        yield process.pid, int(line.rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(30)


def memprobe_command(*arguments: str, cwd: Path) -> None:
    """Run the command as a person would, and show the line that they would type."""
    print(f"\n$ memprobe {' '.join(arguments)}", flush=True)
    subprocess.run([sys.executable, "-m", "memprobe", *arguments], cwd=cwd, check=True, env={**os.environ, "COLUMNS": "100"})


def say(text: str) -> None:
    print(f"\n{'-' * 100}\n{text}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
