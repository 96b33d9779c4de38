# SPDX-License-Identifier: MIT
"""Every question gives an object the same name, and a name that can be typed is of the object: on three real heaps, one of them of
these tests themselves (see name_checks.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import name_checks
import pytest
from campaign import record

import memprobe

NODES = int(os.environ.get("NAMES", "300"))  # of the three heaps; `make campaign` takes 10,000
LIVE = int(os.environ.get("NAMES_LIVE", "30"))  # `make campaign` takes 200
HEAPS = (*name_checks.PROGRAMS, "tests")
grown: list[dict[str, int]] = []


def of_a_program(name: str, folder: Path) -> dict[str, Any]:
    words = [sys.executable, str(Path(name_checks.__file__)), name, str(NODES // 3), str(LIVE // 3), "12"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def of_these_tests() -> dict[str, Any]:
    older = memprobe.capture()
    grown.extend({"number": number} for number in range(3_000))
    try:
        return name_checks.check(memprobe.capture(values=True), older, NODES // 3, LIVE // 3, 13)
    finally:
        grown.clear()


@pytest.fixture(scope="module", params=HEAPS)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if request.param == "numpy":
        pytest.importorskip("numpy")
    answer = of_these_tests() if request.param == "tests" else of_a_program(request.param, tmp_path_factory.mktemp("names"))
    kinds = ("same", "different"), ("evaluated", "wrong"), ("live", "live_different"), ("answers", "answers_different")
    for right, wrong in (*kinds, ("pictures", "pictures_different")):
        wrongs = answer[wrong]
        record("names", f"{request.param}: {right}", f"{answer[right]} of {answer[right] + len(wrongs)} {'; '.join(wrongs[:1])}")
    return answer


def check(found: dict[str, Any], right: str, wrong: str, least: float) -> None:
    assert not found[wrong], f"{len(found[wrong])} of {len(found[wrong]) + found[right]}:\n" + "\n".join(found[wrong][:10])
    assert not found["errors"] and found[right] >= least, found["errors"]


def test_the_same_name(found: dict[str, Any]) -> None:
    check(found, "same", "different", NODES // 3)


def test_what_can_be_typed_is_the_object(found: dict[str, Any]) -> None:
    check(found, "evaluated", "wrong", NODES // 10)


def test_the_same_name_live(found: dict[str, Any]) -> None:
    check(found, "live", "live_different", LIVE // 3)


def test_the_same_name_in_answers(found: dict[str, Any]) -> None:
    check(found, "answers", "answers_different", 3)


def test_where_the_name_begins_is_in_the_picture(found: dict[str, Any]) -> None:
    check(found, "pictures", "pictures_different", 3)


def test_a_module_that_its_package_hides_is_named_live_by_its_key(tmp_path: Path) -> None:
    """The package has a function by the module's name: what is said must lead to the module, also where keys have no contents."""
    package = tmp_path / "hiding"
    package.mkdir()
    (package / "__init__.py").write_text("from hiding.inner import inner\n")
    (package / "inner.py").write_text("def inner(): pass\nkept = [object()]\n")
    source = "import sys, memprobe, hiding\ndef ask(one): return memprobe.why_alive(one)[0].expression\n"
    source += (
        "found = ask(sys.modules['hiding.inner'].kept[0])\nprint(found)\nassert eval(found) is sys.modules['hiding.inner'].kept[0]"
    )
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done


def test_a_module_that_no_import_can_name_is_named_by_its_key(tmp_path: Path) -> None:
    """As _sysconfigdata__linux_x86_64-linux-gnu: what cannot be typed as a name leads nowhere."""
    names = ["odd-name", "class", "pack.2nd", "it's"]
    source = f"import sys, types, memprobe\nnames = {names}\nfor name in names:\n"
    source += "    sys.modules[name] = types.ModuleType(name)\n    sys.modules[name].kept = [object()]\n"
    source += "heap = memprobe.capture()\nfor name in names:\n    kept = sys.modules[name].kept[0]\n"
    source += "    for found in memprobe.why_alive(kept)[0], heap.paths(heap.at(id(kept)))[0]:\n"
    source += "        assert found.expression == f'sys.modules[{name!r}].kept[0]' or name == \"it's\", found.expression\n"
    source += "        assert eval(found.expression) is kept, found.expression\n"
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done
