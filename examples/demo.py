"""Find a leak in a running service: `make demo`.

Starts examples/service.py with the agent, sends visitors to it, watches it while it serves, and says on one screen what leaks. With
--all (`make demo ARGS=--all`) it also shows the types, who holds most, and how far the numbers can be trusted."""

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
    parser.add_argument("--all", action="store_true", help="show what else a person would look at")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        files = watch(folder, options.seconds, options.visitors)
        if options.all and files:
            look_closer(files)
        return 0 if files else 1


def watch(folder: Path, seconds: float, visitors: int) -> list[Path]:
    """One screen: what leaks, and what it cost the service to ask. The snapshots; none when it harmed a visitor."""
    with service() as (pid, port):
        print(
            f"A web shop runs as process {pid}, with memprobe's agent in it. {visitors} visitors log in, look around and log out."
        )
        print("What leaks? Three snapshots while it serves, and what grew over all of them:")
        load = Visitors(port, visitors, seconds * 2 + 120).start()
        try:
            time.sleep(seconds / 2)
            memprobe_command("watch", str(pid), "--every", f"{seconds:g}", "--count", "3", "--limit", "3", cwd=folder)
        finally:
            load.stop()
    if load.problems:
        print("visitors met errors:", *load.problems, sep="\n")
        return []
    files = sorted(folder.glob(f"memprobe-{pid}-*.snap"))
    last = memprobe.load(files[-1])
    sessions = last.find(type=SUSPECT)
    bytes_kept = last.deep_sizeof(*sessions)
    pauses = [memprobe.load(file).info.pause_ms for file in files]
    print(
        f"\nVisitors log out, and yet there are {len(sessions)} {SUSPECT} objects: the shop's price feed has a list of listeners,\n"
        f"and in it is a method of each session. Shop.logout() forgets the session but does not unsubscribe it:\n"
        f"{bytes_kept:,} bytes live as long as the shop. The cure is one line in logout(): self.feed.unsubscribe(...).\n"
        f"\nThe service stood still for {', '.join(f'{pause:.1f}' for pause in pauses)} ms. "
        f"{load.visits} visits, none failed; the slowest answer took {load.slowest * 1000:.0f} ms."
    )
    return files


def look_closer(files: list[Path]) -> None:
    """What a person would look at next."""
    folder, first, last = files[0].parent, files[0].name, files[-1].name
    say("What is in it? The types, by bytes, and which of them grew:")
    memprobe_command("summary", last, "--limit", "8", cwd=folder)
    memprobe_command("summary", "--since", first, last, "--limit", "8", cwd=folder)
    say("Who holds most, in the last snapshot alone?")
    memprobe_command("suspects", last, "--limit", "1", cwd=folder)
    say("How far can these numbers be trusted, and what did they cost?")
    memprobe_command("info", last, cwd=folder)


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
