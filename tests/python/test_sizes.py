# SPDX-License-Identifier: MIT
"""Sizes are true: what the allocator was asked for, as tracemalloc saw it, against deep_sizeof."""

from __future__ import annotations

import gc
import os
import tracemalloc
from typing import Any

import pytest
from structures import STRUCTURES

import memprobe

COPIES = 100


def measured(make: Any) -> tuple[float, float]:
    """Bytes of one copy: by tracemalloc and by deep_sizeof. Both compare a hundred copies and one with one: what copies share
    (names, classes, cached objects) is in neither."""
    first = make()
    held: list[Any] = [make() for _ in range(COPIES)]  # empties the free lists, whose blocks tracemalloc has not seen
    more: list[Any] = [None] * COPIES
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for i in range(COPIES):
            more[i] = make()
        gc.collect()  # what making them left behind
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    ours = memprobe.deep_sizeof(first, *more) - memprobe.deep_sizeof(first)
    del held
    return (after - before) / COPIES, ours / COPIES


@pytest.mark.skipif(os.environ.get("PYTHONMALLOC", "pymalloc") not in ("pymalloc", ""), reason="debug allocators pad blocks")
@pytest.mark.parametrize("name", STRUCTURES)
def test_size(name: str) -> None:
    truth, ours = measured(STRUCTURES[name])
    if abs(truth - ours) > 0.01 * truth + 64:  # once more: the first time some cache of the interpreter was filled, too
        truth, ours = measured(STRUCTURES[name])
    assert abs(truth - ours) <= 0.01 * truth + 64, f"{name}: tracemalloc {truth:.1f}, deep_sizeof {ours:.1f} bytes a copy"
