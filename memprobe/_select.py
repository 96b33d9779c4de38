"""Which rows of an answer are wanted, and in which order: the same choice for every question that lists rows.

A name without its module finds a type, `PriceWatcher` app.PriceWatcher, unless a type is called exactly so."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Protocol, TypeVar

SORTS = ("bytes", "count", "name")
DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
INTERPRETER = (
    "interpreter: ",
    "immortal: ",
    "interned for good: ",
)  # how names begin of what only the interpreter's own roots hold
Found = TypeVar("Found")


class TypeRow(Protocol):
    @property
    def type(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def bytes(self) -> int: ...


OfType = TypeVar("OfType", bound=TypeRow)


@dataclass(frozen=True)
class Selection:
    """Rows of a type, of a module, not of the standard library, and of at least `min_bytes`.

    `type` and `module` are patterns as the shell has them: 'myapp.*'. The module of a row is that of its name, which says who
    holds it, or of its type, and a package has what its modules have. With `stdlib=False` rows are left out whose holder and type
    are both of the standard library, or builtin. `types` are the names that `type` stands for, once they were looked up: see
    among()."""

    type: str | None = None
    module: str | None = None
    stdlib: bool = True
    sort: str = "bytes"
    min_bytes: int = 0
    types: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if self.sort not in SORTS:
            raise ValueError(f"sort is {self.sort!r}: rows are sorted by {', '.join(map(repr, SORTS[:-1]))} or {SORTS[-1]!r}.")
        if self.min_bytes < 0:
            raise ValueError(f"min_bytes must not be negative, and is {self.min_bytes}.")

    @property
    def takes_all(self) -> bool:
        """Whether no row is left out and the order is the usual one."""
        return self.type is None and self.module is None and self.stdlib and self.sort == "bytes" and not self.min_bytes

    def among(self, names: Iterable[str]) -> Selection:
        """The same, with the type's pattern looked up among the names of types that there are."""
        return self if self.type is None else replace(self, types=matching(self.type, names))

    def matches(self, type: str, name: str | None = None) -> bool:
        """Whether a row of this type is wanted, whose name says who holds it."""
        return self._is_of_type(type) and self._is_of_module(type, name) and (self.stdlib or not _is_stdlib(type, name))

    def _is_of_type(self, type: str) -> bool:
        if self.type is None:
            return True
        return type in self.types if self.types is not None else type in matching(self.type, (type,))

    def _is_of_module(self, type: str, name: str | None) -> bool:
        if self.module is None:
            return True
        return any(fnmatchcase(place, self.module) for place in (*_modules_of_type(type), *_modules_of_name(name)))

    def chosen(
        self,
        rows: Iterable[Found],
        *,
        types: Callable[[Found], Sequence[str]],
        name: Callable[[Found], str],
        count: Callable[[Found], int],
        bytes: Callable[[Found], int],
        held: bool = True,
    ) -> list[Found]:
        """The rows that are wanted, in their order. `types` are those of a row: one that matches is enough; `held` says that `name`
        is that of a holder. Rows come by most bytes as a rule, and stay in their order when they are to be sorted so."""
        found = [row for row in rows if bytes(row) >= self.min_bytes and self._any(types(row), name(row) if held else None)]
        if self.sort == "count":
            found.sort(key=lambda row: -count(row))
        elif self.sort == "name":
            found.sort(key=name)
        return found

    def of_types(self, rows: Iterable[OfType]) -> list[OfType]:
        """The same of rows that are of a type, and that nothing in particular holds."""
        return self.chosen(
            rows,
            types=lambda row: (row.type,),
            name=lambda row: row.type,
            count=lambda row: row.count,
            bytes=lambda row: row.bytes,
            held=False,
        )

    def _any(self, types: Sequence[str], name: str | None) -> bool:
        return any(self.matches(type, name) for type in types)


def matching(pattern: str, names: Iterable[str]) -> frozenset[str]:
    """The types that a user means: the one that is called so, those that the pattern fits, or those that it fits but for their
    module."""
    known = set(names)
    if pattern in known:
        return frozenset((pattern,))
    whole = frozenset(name for name in known if fnmatchcase(name, pattern))
    return whole or frozenset(name for name in known if fnmatchcase(name, f"*.{pattern}"))


def no_such_type(pattern: str, names: Iterable[str]) -> str:
    """A sentence for a type that no object has, with those that are spelled alike."""
    close = near(pattern, names)
    if not close:
        return f"there is no type {pattern!r} in this snapshot: `memprobe summary` lists its types."
    return f"there is no type {pattern!r} in this snapshot; did you mean {' or '.join(close)}?"


def near(pattern: str, names: Iterable[str]) -> list[str]:
    """At most three types whose names are spelled like this one, with their modules or without."""
    by_word: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        for word in {name.lower(), name.rpartition(".")[2].lower()}:
            by_word.setdefault(word, []).append(name)
    words = [pattern.lower(), pattern.rpartition(".")[2].lower()]
    close = [found for word in dict.fromkeys(words) for found in difflib.get_close_matches(word, by_word, 3, 0.75)]
    found = dict.fromkeys(name for word in close for name in by_word[word])
    return [name for name in found if "." in name or "." not in pattern][:3]  # who writes a module means no builtin


def _modules_of_type(type: str) -> list[str]:
    """What may be the module of a type, and its packages: of app.models.User, app and app.models."""
    parts = type.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))] or ["builtins"]


def _modules_of_name(name: str | None) -> list[str]:
    """The same for the name of an object; none when it does not begin at a module."""
    parts = _dotted(name)
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _dotted(name: str | None) -> list[str]:
    found = DOTTED.match(name or "")
    if found is None or name is None:
        return []
    begins = found[0] == name or name.startswith(("[", ".", "(", " → "), found.end())
    return found[0].split(".") if begins else []


def _is_stdlib(type: str, name: str | None) -> bool:
    if (type.split(".")[0] if "." in type else "builtins") not in sys.stdlib_module_names:
        return False
    if name is None:
        return True
    parts = _dotted(name)
    return parts[0] in sys.stdlib_module_names if parts else name.startswith(INTERPRETER) or "(<frozen " in name
