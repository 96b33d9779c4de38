"""Paths in the words that a programmer would type: module app -> __dict__ -> ['cache'] reads `app.cache`."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Hop(NamedTuple):
    """One step of a path: the holder's type, name (of a module, class, thread, frame or root group) and flags, and its label for
    the next."""

    type: str
    name: str | None
    flags: frozenset[str]
    label: str
    kind: str


class Name(NamedTuple):
    """A path in words; `evaluable` when every word is Python."""

    text: str
    evaluable: bool


def join(hops: Sequence[Hop]) -> Name:
    """The words of a path. A module or class starts it anew, for that is where a name begins."""
    words, evaluable = "", False
    for hop in hops:
        if "module" in hop.flags and hop.name:
            words, evaluable = hop.name, True
        elif "type" in hop.flags and hop.name and not words:
            words, evaluable = hop.name, hop.name.isidentifier()
        elif "synthetic" in hop.flags:
            words, evaluable = _of_root(hop), False
        step, plain = _step(words, hop)
        words, evaluable = step, evaluable and plain
    return Name(words.strip(), evaluable)


def chain(types: Iterable[str], labels: Iterable[str]) -> str:
    """A cycle in words: Order.user -> User.orders -> list[3] -> Order."""
    parts = [
        f"{type.rpartition('.')[2]}{label if label[:1] in '.[' else f' {label} '}"
        for type, label in zip(types, labels, strict=False)
    ]
    return " → ".join(parts)


def _of_root(hop: Hop) -> str:
    return "" if hop.type == "<root>" else f"{hop.name or hop.type}: "


def _step(words: str, hop: Hop) -> tuple[str, bool]:
    """The words with one more step, and whether the step is Python."""
    label, kind = hop.label, hop.kind
    if kind == "child":
        return words, True
    if not words and label.startswith(".sys"):  # the interpreter's own: sys.modules, sys.__dict__
        return label[1:], True
    if kind in ("local", "cell"):
        return f"{words}{' ' if words and not words.endswith(' ') else ''}{label}", False
    if kind == "value" and words.endswith(".__dict__"):
        name = label[2:-2] if label.startswith("['") else ""
        if name.isidentifier() and not keyword.iskeyword(name):
            return f"{words[: -len('.__dict__')]}.{name}", True
    if label.startswith("."):
        return f"{words}{label}", True
    if label.startswith("["):
        return f"{words}{label}", "<" not in label and "…" not in label
    return f"{words} {label}", False
