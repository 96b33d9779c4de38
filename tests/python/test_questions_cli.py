# SPDX-License-Identifier: MIT
"""The verbs that ask a snapshot who keeps what alive."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
class Node:
    def __init__(self, parent=None):
        self.parent = parent
        self.children = []

root = Node()
for i in range(100):
    root.children.append(Node(root))
cache = {"key": [str(i) * 10 for i in range(5000)]}
"""


@pytest.fixture
def snapshot(tmp_path: Path, command: Callable[..., Any]) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    done = command("snapshot", "-o", "heap.snap", "--", "program.py")
    assert done.code == 0, done
    return tmp_path / "heap.snap"


def test_dominators(snapshot: Path, command: Callable[..., Any]) -> None:
    done = command("dominators", "--depth", "2", "--limit", "5", snapshot)
    assert done.code == 0 and "<roots>" in done.out and "100.0 %" in done.out and "Next:" in done.out, done
    tree = json.loads(command("dominators", "--json", "--depth", "1", snapshot).out)["tree"]
    assert tree["retained"] >= sum(child["retained"] for child in tree["children"]) > 0


def test_dominators_grouped(snapshot: Path, command: Callable[..., Any]) -> None:
    done = command("dominators", "--grouped", "--depth", "6", "--limit", "4", snapshot.name)
    assert done.code == 0 and "objects" in done.out and "Next:" in done.out, done
    done = command("dominators", "--grouped", "--node", "0", snapshot)
    assert done.code == 2 and "--grouped and --node cannot be combined" in done.err, done
    assert command("dominators", "--grouped", "--type", "dict", snapshot).code == 2
    tree = json.loads(command("dominators", "--json", "--grouped", "--depth", "20", "--limit", "0", snapshot).out)["tree"]
    groups = [tree]
    for group in groups:
        groups.extend(group["children"])
        assert group["retained"] >= sum(child["retained"] for child in group["children"])
    nodes = [group for group in groups if group["node"]["type"] == "str" and "cache['key'][…]" in group["name"]]
    assert len(nodes) == 1 and nodes[0]["count"] == 5000
    info = json.loads(command("info", "--json", snapshot).out)["info"]
    assert tree["retained"] == info["bytes"]


def test_paths(snapshot: Path, command: Callable[..., Any]) -> None:
    done = command("paths", snapshot, "__main__.Node")
    assert done.code == 0 and "__main__.root" in done.out, done
    answer = json.loads(command("paths", "--json", snapshot, "__main__.Node").out)
    assert answer["node"]["type"] == "__main__.Node" and answer["paths"]
    missing = command("paths", snapshot, "no.such.Thing")
    assert missing.code == 3 and "memprobe summary" in missing.err, missing
    missing = command("paths", snapshot, "Nods")
    assert missing.code == 3 and missing.err.endswith("there is no type 'Nods' in this snapshot; did you mean __main__.Node?\n"), (
        missing
    )
    short = command("paths", snapshot, "Node")
    assert short.code == 0 and short.out == done.out, short
    assert "KiB retained)" in done.out.splitlines()[0] or "B retained)" in done.out.splitlines()[0]


def test_cycles(snapshot: Path, command: Callable[..., Any]) -> None:
    done = command("cycles", "--limit", "0", snapshot)
    assert done.code == 0 and "Node" in done.out and "weakref" in done.out, done
    assert command("cycles", "--fail-on-cycles", snapshot).code == 1
    found = json.loads(command("cycles", "--json", "--limit", "0", snapshot).out)["cycles"]
    assert any(cycle["objects"] >= 101 for cycle in found) and all(cycle["name"] for cycle in found)
