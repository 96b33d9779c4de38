"""Find a leak in a running service: `make demo`.

Starts examples/service.py with the agent, sends visitors to it, snapshots it twice while it serves, and shows what a person would
look at: the types, what grew, who holds what should be gone, and how far the numbers can be trusted."""

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
    first, second = folder / "first.snap", folder / "second.snap"
    with service() as (pid, port):
        say(f"A web shop runs as process {pid}, with memprobe's agent in it. {visitors} visitors log in, look around and log out.")
        load = Visitors(port, visitors, seconds * 2 + 120).start()
        try:
            for number, file in enumerate((first, second), 1):
                time.sleep(seconds)
                say(f"Snapshot {number}, while it serves (visits so far: {load.visits}):")
                memprobe_command("snapshot", str(pid), "-o", file.name, cwd=folder)
        finally:
            load.stop()
        if load.problems:
            print("visitors met errors:", *load.problems, sep="\n")
            return 1
        print(f"\n{load.visits} visits; the slowest answer of all took {load.slowest * 1000:.0f} ms.")

    say("1. What is in it? The types, by bytes:")
    memprobe_command("summary", second.name, "--limit", "12", cwd=folder)
    say("2. What grew between the two snapshots?")
    memprobe_command("summary", "--since", first.name, second.name, "--limit", "8", cwd=folder)

    heap = memprobe.load(second)
    sessions = heap.find(type=SUSPECT)
    say(f"3. Visitors log out, and yet there are {len(sessions)} {SUSPECT} objects. Who holds what grew?")
    memprobe_command("diff", first.name, second.name, "--limit", "4", cwd=folder)
    print("\nAnd who holds most, in the second snapshot alone?")
    memprobe_command("suspects", second.name, "--limit", "2", cwd=folder)
    kept = heap.deep_sizeof(*sessions)
    print(
        f"\nThe shop's price feed has a list of listeners, and in it is a method of each session. Shop.logout() forgets the\n"
        f"session but does not unsubscribe it: {len(sessions)} sessions, and with them {kept:,} bytes, live as long as the\n"
        f"shop. The cure is one line in logout(): self.feed.unsubscribe(...)."
    )

    say("4. How far can these numbers be trusted, and what did they cost?")
    memprobe_command("info", second.name, cwd=folder)
    pauses = [memprobe.load(file).info.pause_ms for file in (first, second)]
    print(f"\nThe service stood still for {pauses[0]:.1f} ms and {pauses[1]:.1f} ms.")
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
