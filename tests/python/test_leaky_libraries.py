# SPDX-License-Identifier: MIT
"""Leaks of C code that releases of real libraries had, as their changelogs and issues tell. malloc itself (mallinfo2) says how
much is in use more after some hundred calls: that is lost, and is said on the first screen. Each runs in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import memprobe

# library: (what is called again and again, where blocks begin if that is known). It must lose something with each call.
LEAKS = {
    "bsonjs": (
        """
import bsonjs
document = bytes.fromhex("15000000105f696400010000001078000200000000")
def work():
    try: bsonjs.dumps(document, mode=42)
    except ValueError: pass
""",
        None,
    ),
    "cmarkgfm": (
        """
import cmarkgfm
def work(): cmarkgfm.github_flavored_markdown_to_html("# title\\n|a|b|\\n|-|-|\\n|1|2|")
""",
        "_cmark.abi3.so",
    ),
    "lz4": (
        """
import lz4.frame
good = lz4.frame.compress(os.urandom(20_000), content_checksum=True)
def work():
    try: lz4.frame.decompress(good[:-2] + b"xx")
    except RuntimeError: pass
""",
        None,
    ),
    "pcre2": (
        """
import pcre2
def work():
    try: pcre2.compile("(abc[")
    except Exception: pass
""",
        None,
    ),
    "ujson": (
        """
import ujson
def work(): ujson.loads("[" + "1" * 1000 + "]")
""",
        None,
    ),
}
PROGRAM = """
import ctypes, json, os, sys, memprobe

class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Mallinfo

def in_use():
    found = mallinfo2()
    return found.uordblks + found.hblkhd

def snap(name): memprobe.snapshot(os.path.join(sys.argv[1], name), native=True)

%s
for _ in range(50): work()
snap("a")
snap("a")
before = in_use()
for _ in range(1000): work()
made = in_use() - before
snap("b")
print(json.dumps(made))
"""


@pytest.mark.parametrize("library", LEAKS)
def test_what_it_forgets_is_lost(library: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    code, begins = LEAKS[library]
    done = subprocess.run([sys.executable, "-c", PROGRAM % code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    older, heap = memprobe.load(tmp_path / "a"), memprobe.load(tmp_path / "b")
    lost, before = heap.lost(older, limit=None), older.lost()
    assert made > 50_000, "this version does not leak"
    assert lost.bytes is not None and before.bytes is not None
    assert 0.95 * made <= lost.bytes - before.bytes <= 1.05 * made + 4096
    assert before.blocks and (lost.before_blocks or 0) >= 0.95 * before.blocks
    if begins is not None:
        assert any((row.begins or "").startswith(begins) and row.count > 500 for row in lost.every)
    said = subprocess.run([sys.executable, "-m", "memprobe", "lost", str(tmp_path / "b"), str(tmp_path / "a")], capture_output=True)
    assert said.returncode == 0 and b"are lost" in said.stdout


@pytest.mark.skipif("LEAKY_LIBRARIES" not in os.environ, reason="make test-libraries installs them")
def test_they_are_here() -> None:
    """One or two may not be had for this Python."""
    here = [library for library in LEAKS if importlib.util.find_spec(library) is not None]
    assert len(here) >= 3, here
