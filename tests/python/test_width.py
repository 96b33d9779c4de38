# SPDX-License-Identifier: MIT
"""Text that fits: what is cut is the middle, and lines break where a reader would."""

from __future__ import annotations

import random

import pytest

from memprobe._width import shortened, table, wrapped

NAME = "__main__.app.router.endpoints.by_name['orders'].handlers[3]"


def test_the_front_and_the_end_stay() -> None:
    assert shortened(NAME, 34) == "__main__.app.router….handlers[3]".replace("….", "…")
    assert shortened(NAME, None) == NAME and shortened(NAME, 1000) == NAME
    assert shortened("/srv/application/releases/current/service/handlers/orders.py", 40).startswith("/srv/application/")


@pytest.mark.parametrize("seed", range(20))
def test_it_always_fits(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(200):
        name = "".join(dice.choice("abc.[]/ '") for _ in range(dice.randrange(120)))
        width = dice.randrange(1, 130)
        cut = shortened(name, width)
        assert len(cut) <= width
        assert cut == name if len(name) <= width else "…" in cut
        text = " " * dice.randrange(8) + name.strip()
        lines = wrapped(text, 40).split("\n")
        assert all(len(line) <= 40 for line in lines)
        assert "".join("".join(lines).split()) == "".join(text.split())  # nothing is lost


def test_lines_break_at_separators_below_their_indentation() -> None:
    text = f"1. {NAME}  (dict) keeps 4.2 MiB\n    mostly 1,204 app.models.orders.Order 4.1 MiB, 12 dict 9.3 KiB"
    lines = wrapped(text, 40).split("\n")
    assert lines[0] == "1. __main__.app.router.endpoints.by_name"
    assert all(line.startswith("      ") for line in lines[lines.index("    mostly 1,204 app.models.orders.Order") + 1 :])
    assert lines[1].startswith("  ['orders']") and wrapped(text, None) == text


def test_numbers_are_never_cut() -> None:
    rows = [(f"  {NAME}", "app.models.Something", "1,234,567 B"), ("total", "", "9 B")]
    plain = table(("held by", "type", "bytes"), rows, None, (0, 1))
    assert NAME in plain[1] and "app.models.Something" in plain[1]
    narrow = table(("held by", "type", "bytes"), rows, 60, (0, 1))
    assert all(len(line) <= 60 for line in narrow) and narrow[1].endswith("1,234,567 B") and narrow[1].startswith("  __main__.")
    assert "…" in narrow[1]
