# SPDX-License-Identifier: MIT
"""Every example of docs/guide.md is run, as a reader would type it: in the module __main__ of an interpreter of its own."""

from __future__ import annotations

import doctest
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_examples(python: Callable[..., Any]) -> None:
    done = python(__file__, DOCS / "guide.md")
    assert done.code == 0 and "examples are true" in done.out, done


def test_pictures_are_there() -> None:
    for page in (DOCS / "guide.md", DOCS.parent / "README.md"):
        text = page.read_text(encoding="utf-8")
        for name in [part.split(")")[0] for part in text.split("](") if part.split(")")[0].endswith(".svg")]:
            picture = (page.parent / name).read_text(encoding="utf-8")
            assert "<svg" in picture and 'class="edge"' in picture, name


def run(path: str) -> int:
    """Run a page's examples; the number of those that failed."""
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    test = doctest.DocTestParser().get_doctest(Path(path).read_text(encoding="utf-8"), {}, Path(path).name, path, 0)
    test.globs = vars(module)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, clear_globs=False)
    print(f"{runner.tries} examples are true" if not runner.failures and runner.tries > 30 else f"{runner.failures} failed")
    return runner.failures


if __name__ == "__main__":
    raise SystemExit(min(run(sys.argv[1]), 100))
