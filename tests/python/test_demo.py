"""The demo finds its leak, and the numbers that it prints are those of the service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import memprobe

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"


def test_the_demo_shows_what_leaks(tmp_path: Path, runtime: Path) -> None:
    words = [sys.executable, str(DEMO), "--seconds", "1", "--visitors", "2", "--all", "--folder", str(tmp_path / "kept")]
    done = subprocess.run(words, cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = done.stdout
    files = sorted((tmp_path / "kept").glob("*.snap"))
    tables = [memprobe.load(file).types(None) for file in files]
    sessions = [{row.type: row.count for row in table}["__main__.Session"] for table in tables]
    assert 0 < sessions[0] < sessions[1] < sessions[2]
    assert f"there are {sessions[2]} __main__.Session objects" in shown
    assert f"{sessions[2] - sessions[0]:+,}" in shown
    answer = shown[: shown.index("What is in it?")]
    first = next(line for line in answer.splitlines() if "held by" not in line and "__main__." in line)
    assert "__main__.shop.feed.listeners" in first, answer
    assert len(answer.splitlines()) <= 30  # one screen
    assert answer.count("forked, the process stood still for") == 3
    assert re.search(r"stood still for \d+\.\d, \d+\.\d, \d+\.\d ms", answer)
