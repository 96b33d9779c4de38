# SPDX-License-Identifier: MIT
"""The drop-in for objgraph, beside the real one."""

from __future__ import annotations

import gc
import inspect
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memprobe import _core, objgraph

FUNCTIONS = [
    *("count", "typestats", "most_common_types", "show_most_common_types", "growth", "show_growth", "get_new_ids"),
    *("get_leaking_objects", "by_type", "at", "at_addrs", "find_ref_chain", "find_backref_chain"),
    *("show_backrefs", "show_refs", "show_chain", "is_proper_module"),
]
SEEDS = 4


@pytest.mark.parametrize("arguments, fallback", [((), ""), (("--large",), ""), ((), "all")])
def test_answers_are_equal(python: Callable[..., Any], arguments: tuple[str, ...], fallback: str) -> None:
    """Random object graphs, every function whose answer is a value, and the text of every picture."""
    pytest.importorskip("objgraph")
    done = python(Path(__file__).with_name("twins.py"), SEEDS, *arguments, MEMPROBE_FALLBACK=fallback)
    assert done.code == 0 and "answers are equal" in done.out, done


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures_are_equal(name: str) -> None:
    theirs = inspect.signature(getattr(pytest.importorskip("objgraph"), name)).parameters
    mine = inspect.signature(getattr(objgraph, name)).parameters
    assert list(mine)[: len(theirs)] == list(theirs)
    for parameter in theirs:
        assert mine[parameter].kind == theirs[parameter].kind
        defaults = mine[parameter].default, theirs[parameter].default
        assert defaults[0] == defaults[1] or all(type(value) is dict for value in defaults)  # where it remembers


def test_pictures_go_where_they_should(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    thing = [[[1]]]
    target = tmp_path / "thing.dot"
    objgraph.show_refs(thing, filename=str(target))
    text = io.StringIO()
    objgraph.show_refs(thing, output=text)
    assert target.read_text() == text.getvalue() and text.getvalue().count("label=") == 3
    assert capsys.readouterr().out == f"Graph written to {target} (3 nodes)\n"
    with pytest.raises(ValueError, match="both"):
        objgraph.show_refs(thing, filename="x.dot", output=text)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    objgraph.show_refs(thing, filename=str(tmp_path / "thing.png"))
    assert "Image renderer (dot) not found" in capsys.readouterr().out


class Thing:
    alive = 0

    def __init__(self) -> None:
        Thing.alive += 1
        self.other: Any = None

    def __del__(self) -> None:
        Thing.alive -= 1


def test_an_index_holds_what_it_knows() -> None:
    thing, holder = Thing(), []
    holder.append(thing)
    index = _core.holders(None)
    assert index.holds(holder) and not index.holds(object())
    assert any(found is holder for found in index.of(thing) or ())
    del thing, holder
    assert Thing.alive == 1
    del index
    assert Thing.alive == 0


def test_an_index_knows_garbage() -> None:
    """Of those that refer to a thing, those that gc.collect() takes away are no answer, and all others are."""
    for seed in range(30):
        choose = random.Random(seed)
        target = Thing()
        holders = [Thing() for _ in range(12)]
        for holder in holders:
            holder.other = [target, choose.choice(holders)]
            choose.choice(holders).extra = holder
        kept = choose.sample(holders, 2)
        gc.collect()
        gc.disable()
        try:
            del holders, holder
            index = _core.holders(None)
            found = {id(thing) for thing in index.of(target) or ()}
            del index
            gc.collect()
        finally:
            gc.enable()
        alive = {id(thing) for thing in gc.get_referrers(target)}
        assert alive <= found and len(found - alive) == 0, seed
        del target, kept
        gc.collect()
        assert Thing.alive == 0


def test_an_index_of_some() -> None:
    one, other = [1], [2]
    holder = [one, one, other]
    wanted = [one]
    index = _core.holders(wanted)
    found = index.of(one)
    assert found is not None and sum(thing is holder for thing in found) == 1
    assert not any(thing is wanted for thing in found)
    assert index.of(other) is None
    with pytest.raises(TypeError):
        _core.holders((one,))  # type: ignore[arg-type]


def test_the_better_picture_is_an_option() -> None:
    """On 3.11 and later objgraph has no name for an attribute, and no version of it sees who refers to a number by a tuple."""
    thing, number = Thing(), 1 << 70
    thing.other = (number,)
    text = io.StringIO()
    picture = objgraph.show_backrefs(number, max_depth=2, output=text, named=True, extra_ignore=[id(text)])
    assert picture.dot == text.getvalue() and '".other"' in picture.dot and '"[0]"' in picture.dot
    chain = [thing, thing.other]
    assert objgraph.show_chain(chain, backrefs=False, named=True).nodes == 2
