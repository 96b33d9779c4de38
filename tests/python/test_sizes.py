# SPDX-License-Identifier: MIT
"""Sizes are true: what the allocator was asked for, as tracemalloc saw it, against deep_sizeof."""

from __future__ import annotations

import array
import gc
import os
import sys
import tracemalloc
from typing import Any

import pytest
from structures import STRUCTURES

import memprobe
from memprobe import _core

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
        gc.collect(), gc.collect()  # what a collection keeps for the next one is there
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


pymalloc = pytest.mark.skipif(
    os.environ.get("PYTHONMALLOC", "pymalloc") not in ("pymalloc", ""), reason="debug allocators pad blocks"
)


@pymalloc
@pytest.mark.parametrize("name", STRUCTURES)
def test_size(name: str) -> None:
    truth, ours = measured(STRUCTURES[name])
    if abs(truth - ours) > 0.01 * truth + 16:  # once more: the first time some cache of the interpreter was filled, too
        truth, ours = measured(STRUCTURES[name])
    assert abs(truth - ours) <= 0.01 * truth + 16, f"{name}: tracemalloc {truth:.1f}, deep_sizeof {ours:.1f} bytes a copy"


def first_instances(attributes: int) -> list[int]:
    """Of the first instances of a class, each: what tracemalloc saw allocated, less the size that memprobe says."""
    names = [f"name_{number}" for number in range(attributes)]

    def give_names(self: Any) -> None:
        for name in names:
            setattr(self, name, None)

    warm, made = (type("Made", (), {"__init__": give_names}) for _ in range(2))
    kept: list[Any] = [None] * 60
    before, after = array.array("q", [0] * len(kept)), array.array("q", [0] * len(kept))
    traced = tracemalloc.get_traced_memory
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        before[0], first, after[0] = traced()[0], warm(), traced()[0]  # fills the free lists
        for i in range(len(kept)):
            before[i] = traced()[0]
            kept[i] = made()
            after[i] = traced()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    del first
    graph = _core.capture()
    sizes = [graph.node(graph.at(id(one)))[2] for one in kept]
    return [after[i] - before[i] - sizes[i] for i in range(len(kept))]


@pymalloc
@pytest.mark.skipif(sys.version_info < (3, 11), reason="attributes are in dicts")
@pytest.mark.parametrize("attributes", (0, 1, 2, 7, 8, 16, 28, 29))
def test_the_first_instances_of_a_class(attributes: int) -> None:
    """The first has room for thirty attributes, each later one for one less."""
    first_instances(attributes)  # fills caches
    differ = [one for one in first_instances(attributes) if one != 0]
    if sys.version_info >= (3, 13):
        assert len(differ) <= 1 and all(0 < one <= 16 for one in differ), differ
    else:  # the block of the values does not say how large it is
        assert len(differ) <= 30 and all(0 < one <= 7 * 8 for one in differ), differ
