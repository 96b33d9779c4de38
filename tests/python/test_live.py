# SPDX-License-Identifier: MIT
"""Questions about living objects: every counted reference is found and called by its name, answers are readable, and no code of the
program runs."""

from __future__ import annotations

import ctypes
import gc
import html
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import memprobe

_incref = ctypes.pythonapi.Py_IncRef
_incref.argtypes, _incref.restype = [ctypes.py_object], None
_decref = ctypes.pythonapi.Py_DecRef
_decref.argtypes, _decref.restype = [ctypes.py_object], None


class Thing:
    """Its code must not run."""

    calls = 0

    def __repr__(self) -> str:
        Thing.calls += 1
        return "Thing()"

    __str__ = __repr__


class Meta(type):
    def __eq__(cls, other: object) -> bool:
        Thing.calls += 1
        return cls is other

    __hash__ = type.__hash__

    def __getattribute__(cls, name: str) -> Any:
        if name in ("__qualname__", "__module__", "__name__"):
            Thing.calls += 1
        return super().__getattribute__(name)


class Hostile(metaclass=Meta):
    @property
    def __class__(self) -> Any:  # type: ignore[override]
        Thing.calls += 1
        return int


def run(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def first_line(answer: memprobe.RefCount) -> str:
    return str(answer).splitlines()[0]


# ---- reference counts -------------------------------------------------------------------------------------------------


def test_a_local_variable_is_the_callers() -> None:
    thing = Thing()
    answer = memprobe.refcount(thing)
    assert (answer.count, answer.found, answer.residual) == (1, 1, 0), answer
    assert first_line(answer) == "1 reference: 0 found in the program, 1 the caller's own variable 'thing'"
    (reference,) = answer.holders
    assert reference.callers and reference.label == "local thing" and reference.label.name == "thing"
    assert str(reference).startswith("test_a_local_variable_is_the_callers (")


def test_a_cell_is_the_callers() -> None:
    thing = Thing()

    def use() -> Any:
        return thing

    answer = memprobe.refcount(thing)
    assert (answer.count, answer.found, answer.residual) == (1, 1, 0), answer
    assert use() is thing


def test_every_reference_is_listed() -> None:
    thing = Thing()
    shared = [thing, thing]
    owner = Thing()
    owner.thing = thing  # type: ignore[attr-defined]
    table = {"key": thing, 77: thing, (1, 2): thing}
    answer = memprobe.refcount(thing)
    assert (answer.count, answer.found, answer.residual) == (7, 7, 0), answer
    labels = sorted(str(reference.label).replace("['thing']", ".thing") for reference in answer.holders)
    assert labels == sorted(["local thing", "[0]", "[1]", ".thing", "['key']", "[77]", "[<tuple>]"]), labels
    holders = [reference.holder for reference in answer.holders]
    for holder in (shared, owner, table):
        assert any(found is holder or found is vars(owner) for found in holders)


def test_references_of_c_code_alone_are_the_residual() -> None:
    thing = Thing()
    for leaked in range(4):
        answer = memprobe.refcount(thing)
        assert (answer.count, answer.found, answer.residual) == (1 + leaked, 1, leaked)
        assert ("held by C code" in str(answer)) == (leaked > 0)
        _incref(thing)
    for _ in range(4):
        _decref(thing)


def test_what_only_the_call_holds() -> None:
    answer = memprobe.refcount(Thing())
    assert (answer.count, answer.found, answer.residual) == (0, 0, 0), answer
    assert str(answer) == "0 references: 0 found in the program"


def test_arguments_by_name_and_by_star() -> None:
    thing = Thing()
    arguments = [thing]
    for answer in (memprobe.refcount(obj=thing), memprobe.refcount(*arguments), memprobe.refcount(*(thing,))):
        assert answer.residual == 0 and answer.count == answer.found >= 2, answer


def test_a_class_is_held_by_its_instances() -> None:
    class Local:
        pass

    instances = [Local() for _ in range(5)]
    answer = memprobe.refcount(Local)
    assert answer.residual == 0, answer
    assert sum(reference.label == ".__class__" for reference in answer.holders) == len(instances)


def test_from_a_thread() -> None:
    thing, answers = Thing(), []
    thread = threading.Thread(target=lambda: answers.append(memprobe.refcount(thing)))
    thread.start()
    thread.join()
    assert answers[0].residual == 0, answers


def test_from_a_task() -> None:
    import asyncio

    async def ask() -> memprobe.RefCount:
        thing = Thing()
        await asyncio.sleep(0)
        return memprobe.refcount(thing)

    answer = asyncio.run(ask())
    assert (answer.count, answer.residual) == (1, 0), answer
    assert answer.holders[0].callers, answer


def test_from_a_generator_and_a_class_body() -> None:
    def generator() -> Any:
        thing = Thing()
        yield memprobe.refcount(thing)

    assert next(generator()).holders[0].callers

    class Body:
        thing = Thing()
        answer = memprobe.refcount(thing)

    assert first_line(Body.answer) == "1 reference: 0 found in the program, 1 the caller's own variable 'thing'"


def test_at_the_level_of_a_module() -> None:
    output = run(
        "import memprobe\nclass T: pass\nt = T()\nprint(memprobe.refcount(t))\nu = t\nheld = [t]\nprint(memprobe.refcount(t))"
    )
    first, _, second = output.splitlines()[:3]
    assert first == "1 reference: 0 found in the program, 1 the caller's own variable 't'"
    assert second == "3 references: 1 found in the program, 1 the caller's own variable 't', 1 the caller's own variable 'u'"


@pytest.mark.skipif(
    not (3, 11) <= sys.version_info < (3, 14),
    reason="until 3.10, and from 3.14 on, nothing but the frame says what an argument borrows",
)
@pytest.mark.parametrize("fallback", ["all", "frames"])
def test_without_private_layouts(fallback: str) -> None:
    output = run(
        "import memprobe\nclass T: pass\nt = T()\nheld = [t]\n"
        "def f():\n    u = T()\n    memprobe.refcount(u)\n    return memprobe.refcount(u)\n"
        "def g():\n    u = T()\n    mine = locals()\n    memprobe.refcount(u)\n    return memprobe.refcount(u), mine['u'] is u\n"
        "answer, kept = g()\n"
        "for a in memprobe.refcount(t), f(), answer: print(a.count, a.found, a.residual)\n"
        "print(kept)",
        MEMPROBE_FALLBACK=fallback,
    )
    assert output.splitlines() == ["2 2 0", "1 1 0", "2 2 0", "True"]


def test_earlier_answers_are_in_no_later_one() -> None:
    """The holders of an answer that is kept are memprobe's."""
    thing, box = Thing(), [None]
    box[0] = thing  # type: ignore[call-overload]
    before = memprobe.refcount(box)
    kept = [memprobe.refcount(thing), memprobe.referrers(thing), memprobe.why_alive(thing), memprobe.find_cycles([thing, box])]
    references = list(kept[0].holders) + list(kept[1])  # type: ignore[attr-defined,arg-type]
    paths = list(kept[2])  # type: ignore[call-overload]
    after = memprobe.refcount(box)
    assert (after.count, after.found, after.residual) == (before.count, before.found, 0), (before, after)
    assert memprobe.refcount(thing).residual == 0
    assert references and paths
    kept[1].release()  # type: ignore[attr-defined]
    assert len(kept[1]) == 0  # type: ignore[arg-type]


def test_layouts_of_libraries_are_checked() -> None:
    """Five datetimes share a time zone: their references are known before any other question was asked."""
    output = run(
        "import datetime, memprobe\n"
        "class Zone(datetime.tzinfo): pass\n"
        "zone = Zone()\n"
        "times = [datetime.datetime(2026, 1, n + 1, tzinfo=zone) for n in range(5)]\n"
        "print(len(memprobe.referrers(zone)), memprobe.refcount(zone).found, memprobe.refcount(zone).residual)"
    )
    assert output.split() == ["6", "6", "0"]


def test_frames_are_called_what_they_are() -> None:
    thing = Thing()
    (reference,) = memprobe.referrers(thing)
    words = f"test_frames_are_called_what_they_are ({__file__}:{sys._getframe().f_code.co_firstlineno})"
    assert str(reference) == f"{words} local thing  (the caller's own variable 'thing')"
    assert reference.holder == (words if sys.version_info >= (3, 11) else sys._getframe())


# ---- why it is alive --------------------------------------------------------------------------------------------------

registry: dict[str, Any] = {}


def test_the_programs_paths_come_first() -> None:
    thing = Thing()
    registry["first"] = [[[thing]]]
    try:
        found = memprobe.why_alive(thing, limit=10)
        assert found[0].expression == f"{__name__}.registry['first'][0][0][0]" and not found[0].asked
        assert found[-1].expression == "the caller's variable thing" and found[-1].asked
        assert [path.asked for path in found] == sorted(path.asked for path in found)
        assert memprobe.why_alive(thing, limit=1)[0].expression == found[0].expression
    finally:
        registry.clear()


def test_only_the_callers_variable() -> None:
    thing = Thing()
    found = memprobe.why_alive(thing)
    assert repr(found).splitlines()[0] == "Nothing in the program holds it, only the caller's variable thing."


PROMPT = """
import code, io, contextlib
lines = iter(['import memprobe', 'class T: pass', '', 'T()', 'found = memprobe.why_alive(_)', 'print(found)', 'x = _',
              'held = [[x]]', 'T()', 'print(memprobe.why_alive(held[0][0])[0])'])
def read(prompt):
    try: return next(lines)
    except StopIteration: raise EOFError
console = code.InteractiveConsole({"__name__": "__main__", "__builtins__": __builtins__})
console.raw_input = read
console.interact(banner="", exitmsg="")
"""


def test_at_a_prompt() -> None:
    output = run(PROMPT)
    assert "Nothing in the program holds it, only the prompt's _.\nthe prompt's _\n" in output, output
    assert "'held'][0][0]" in output.splitlines()[-1]


def test_a_deep_list_and_a_huge_dict() -> None:
    deep: Any = Thing()
    end = deep
    for _ in range(100_000):
        deep = [deep]
    table = {i: [i] for i in range(100_000)}
    for answer in (memprobe.why_alive(end), memprobe.why_alive(table[77]), memprobe.find_cycles(deep), memprobe.referrers(end)):
        text = repr(answer)
        assert len(text) < 20_000 and len(text.splitlines()) <= 100
    assert memprobe.retained_sizeof(deep) > 1_000_000
    while isinstance(deep, list):  # without a recursion of the deallocator's
        deep = deep[0]


def test_a_live_object_is_no_node() -> None:
    heap = memprobe.capture()
    with pytest.raises(TypeError, match=r"heap.at\(id\(obj\)\)"):
        heap.paths(Thing())  # type: ignore[arg-type]


# ---- cycles -----------------------------------------------------------------------------------------------------------


class Session:
    pass


class Cart:
    pass


def sessions(count: int) -> list[Session]:
    made = []
    for _ in range(count):
        session, cart = Session(), Cart()
        session.cart, cart.session = cart, session  # type: ignore[attr-defined]
        made.append(session)
    return made


def test_cycles_that_look_alike_are_one_row() -> None:
    many = sessions(800)
    odd = Session()
    odd.itself = odd  # type: ignore[attr-defined]
    found = memprobe.find_cycles([many, odd])
    assert (len(found), found.cycles, found.more) == (2, 801, 0), found
    row = found[0]
    assert row.count == 800
    assert row.text in ("Session.cart → Cart.session → Session", "Cart.session → Session.cart → Cart")
    assert {type(thing) for thing in row.objects} in ({Session, Cart}, {Session, Cart, dict})
    heap = memprobe.capture()
    nodes = [heap.at(id(thing)) for session in many for thing in (session, session.cart)]  # type: ignore[attr-defined]
    assert len(row.objects) > 2 or row.size == sum(node.size for node in nodes if node is not None)
    assert found[1].count == 1 and odd in list(found[1].objects)
    assert "×800" in repr(found) and len(repr(found).splitlines()) == 2


def test_indices_and_keys_of_data_make_no_shape() -> None:
    made: list[Any] = []
    for i in range(50):
        inner: list[Any] = [None] * i
        table = {f"key {i}": inner}
        inner.append(table)
        made.append(table)
    found = memprobe.find_cycles(made)
    assert len(found) == 1 and found[0].count == 50
    assert "[…]" in found[0].text


def test_names_of_attributes_make_the_shape() -> None:
    made: list[Any] = []
    for name in ("left", "right"):
        for _ in range(3):
            one, other = Session(), Session()
            vars(one)[name], vars(other)[name] = other, one
            made.append(one)
    found = memprobe.find_cycles(made)
    assert sorted(cycle.count for cycle in found) == [3, 3], found


def test_garbage_and_what_is_alive_are_two_rows() -> None:
    gc.collect()
    gc.disable()
    try:
        alive, gone = sessions(3), sessions(4)
        gone.clear()
        rows = [cycle for cycle in memprobe.capture().cycles() if "Cart" in cycle.text]
        assert {(cycle.count, cycle.is_garbage) for cycle in rows} == {(3, False), (4, True)}
        assert sum(cycle.count for cycle in memprobe.find_cycles(garbage=True) if "Cart" in cycle.text) == 4
        assert memprobe.find_cycles(alive, garbage=True) == []
    finally:
        gc.enable()


def test_an_answer_holds_its_first_rows() -> None:
    class Many:
        pass

    made: list[Any] = []
    for i in range(30):
        one = Many()
        setattr(one, f"name{i}", one)
        made.append(one)
    found = memprobe.find_cycles(made, limit=10)
    assert len(found) == 10 and found.more == 20 and found.cycles == 30
    assert repr(found).splitlines()[-1] == "… 20 more"
    del made, one
    gc.collect()
    assert sum(isinstance(thing, Many) for thing in gc.get_objects()) == 10
    assert all(type(cycle.objects[0]) is Many for cycle in found)
    found.release()
    del cycle_objects_of_found[:]
    gc.collect()
    assert sum(isinstance(thing, Many) for thing in gc.get_objects()) == 0


cycle_objects_of_found: list[Any] = []


def test_an_answer_in_its_own_objects_is_collected() -> None:
    class Here:
        pass

    here = Here()
    here.answer = memprobe.why_alive(here)  # type: ignore[attr-defined]
    here.cycles = memprobe.find_cycles([here])  # type: ignore[attr-defined]
    del here
    gc.collect()
    assert not any(isinstance(thing, Here) for thing in gc.get_objects())


def test_modules_in_sys_modules_are_no_cycle_of_the_program() -> None:
    output = run(
        "import memprobe, json, logging\nprint([c.text for c in memprobe.capture().cycles() if c.text.startswith('module')])"
    )
    assert output.strip() == "[]"


# ---- readable ----------------------------------------------------------------------------------------------------------


def missing_in_html(result: Any) -> list[str]:
    """Words of a result's text that a notebook does not show; it may have the lines that the text leaves out."""
    shown = html.unescape(re.sub("<[^>]*>", " ", result._repr_html_()))
    lines = [line for line in repr(result).splitlines() if not line.startswith("… ")]
    return [word for line in lines for word in line.split() if word not in shown]


def test_repr_is_readable_and_runs_no_code(tmp_path: Path) -> None:
    things = {i: Thing() for i in range(3000)}
    things[0].hostile = Hostile()  # type: ignore[attr-defined]
    things[0].loop = things[0]  # type: ignore[attr-defined]
    things[1].hostile = things[2].hostile = hostile = Hostile()  # type: ignore[attr-defined]
    hostile.back = {hostile: things[1]}  # type: ignore[attr-defined]
    heap = memprobe.capture()
    node = heap.find("dict", limit=1)[0]
    Thing.calls = 0
    cycles = memprobe.find_cycles(things)
    results: list[Any] = [
        memprobe.summary(limit=None),
        memprobe.growth(memprobe.summary()),
        *(memprobe.refcount(things), memprobe.refcount(Thing), memprobe.refcount(things[0].hostile)),  # type: ignore[attr-defined]
        *(memprobe.referrers(things[3]), memprobe.referrers(Thing)[0], memprobe.referrers(things[0].hostile)),  # type: ignore[attr-defined]
        *(memprobe.why_alive(things[3]), memprobe.why_alive(things[0].hostile)[0]),  # type: ignore[attr-defined]
        *memprobe.why_alive(things[3])[0].steps,
        *(result for row in cycles for result in (row, row.edges, row.break_at, row.objects)),
        *(cycles, memprobe.why_alive(things[1]), memprobe.referrers(things[1])),
        *(memprobe.gc_stats(), memprobe.pymalloc_stats(), memprobe.snapshot(tmp_path / "a.snap")),
        *(heap, heap.info, heap.accounting(), heap.types(), heap.types()[0], heap.find(), heap.cycles(), heap.paths(node)),
        *(node, node.referrers(), node.references(), node.references()[0], heap.dominators(depth=2)),
        *(heap.suspects(1), heap.waste(), heap.diff(memprobe.capture()), heap.dominators(grouped=True)),
    ]
    for result in results:
        text = repr(result)
        assert text and len(text.splitlines()) <= 100 and len(text) < 60_000, (type(result), len(text))
        assert "object at" not in text
        if hasattr(result, "_repr_html_"):
            assert missing_in_html(result) == []
    assert Thing.calls == 0
    answer = memprobe.referrers(Thing)
    assert repr(answer).splitlines()[-1] == f"… {len(answer) - 48:,} more"


def test_answers_are_sequences() -> None:
    heap = memprobe.capture()
    found = heap.find("dict")
    assert len(found) > 100 and found[-1].type == "dict" and len(found[:3]) == 3 and found[1] in found
    assert [node.id for node in found][:2] == [found[0].id, found[1].id]
    with pytest.raises(IndexError):
        found[len(found)]
    assert heap.find("no such type") == [] and not heap.find("no such type")


@pytest.mark.skipif(sys.version_info >= (3, 15) and os.environ.get("CI") is not None, reason="slow")
def test_retained_is_what_the_dominators_say() -> None:
    import json
    import logging

    shared = [Thing()]
    held = {"a": [shared, Thing()], "b": shared}
    for thing in (held, held["a"], shared, json, logging.getLogger(), Thing, sys.modules):
        heap = memprobe.capture()
        node = heap.at(id(thing))
        assert node is not None
        expected = heap.retained(node)
        assert abs(memprobe.retained_sizeof(thing) - expected) <= expected * 0.03 + 4096, thing
