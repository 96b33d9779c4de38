"""memprobe/_core.pyi says of the extension what is true."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import memprobe
from memprobe import _core

STUB = ast.parse((Path(memprobe.__file__).parent / "_core.pyi").read_text(encoding="utf-8"))


def functions(body: list[ast.stmt]) -> dict[str, ast.FunctionDef]:
    return {item.name: item for item in body if isinstance(item, ast.FunctionDef)}


def values(body: list[ast.stmt]) -> dict[str, ast.expr]:
    return {
        item.target.id: item.annotation for item in body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }


def classes() -> dict[str, ast.ClassDef]:
    return {item.name: item for item in STUB.body if isinstance(item, ast.ClassDef)}


def public(names: object) -> set[str]:
    return {name for name in dir(names) if not name.startswith("_")}


def test_the_module_has_these_names() -> None:
    assert public(_core) == {*functions(STUB.body), *values(STUB.body), *classes()}


def test_the_classes_have_these_members() -> None:
    for name, stub in classes().items():
        members = {*functions(stub.body), *values(stub.body)}
        special = {member for member in members if member.startswith("__")}
        assert public(getattr(_core, name)) == members - special, name
        assert special <= set(dir(getattr(_core, name)))


def test_signatures_agree() -> None:
    """Where the extension tells its own."""
    for name, stub in functions(STUB.body).items():
        compare(getattr(_core, name), stub, skip=0)
    for kind, body in classes().items():
        for name, stub in functions(body.body).items():
            compare(getattr(getattr(_core, kind), name), stub, skip=1)


def compare(function: object, stub: ast.FunctionDef, skip: int) -> None:
    assert callable(function)
    text = getattr(function, "__text_signature__", None)
    if text is None:
        return
    names = [argument.arg for argument in (*stub.args.posonlyargs, *stub.args.args, *stub.args.kwonlyargs)]
    found = [argument for name, argument in inspect.signature(function).parameters.items() if name not in ("self", "module")]
    assert len(found) == len(names[skip:]), stub.name
    for argument, name in zip(found, names[skip:]):  # what is given by place alone may be called anything
        assert argument.kind is argument.POSITIONAL_ONLY or argument.name == name, stub.name


def test_the_extension_is_of_this_version() -> None:
    assert memprobe.__version__ == _core.ABI
    assert all(isinstance(proved, bool) for proved in _core.capabilities().values())


def test_a_graph_is_not_made_by_hand() -> None:
    try:
        _core.Graph()
    except TypeError:
        return
    raise AssertionError("Graph() made an empty graph")
