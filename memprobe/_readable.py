"""What the results of memprobe share: how they show themselves at a prompt and in a notebook, and sequences that make their items
when they are asked for. None of it runs code of the objects that an answer refers to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from types import FrameType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from memprobe import _text
from memprobe._text import number, size

if TYPE_CHECKING:
    from memprobe import _core

Json = dict[str, Any]
Item = TypeVar("Item")


class Readable:
    """A result whose repr() is its str(), bounded to a screen. A dataclass that is one says repr=False."""

    __slots__ = ()

    def __repr__(self) -> str:
        return _text.screen(str(self))

    def _repr_html_(self) -> str:
        return _text.html_text(repr(self))

    def line(self) -> str:
        """What it says as an item of a sequence: one line."""
        return _text.line(str(self))


class Answers(Readable, Sequence[Item]):
    """A sequence of results that are made when they are asked for. str() and repr() show a line each, as many as fit a screen.

    `more` says how many there are beside those in the sequence, beyond the limit of the question. A live answer holds the objects
    that it refers to until it goes or release() is called; later questions do not see that."""

    __slots__ = ("_count", "_held", "_made", "_make", "head", "more")

    KEPT = 1000  # items made before that are remembered
    NOTHING = "nothing"  # what it says when it is empty

    def __init__(
        self, count: int, make: Callable[[int], Item], *, more: int = 0, head: str = "", held: _core.Held | None = None
    ) -> None:
        self._count, self._make, self._held = count, make, held
        self._made: dict[int, Item] = {}
        self.more, self.head = more, head

    @classmethod
    def of(cls, items: Iterable[Item], *, more: int = 0, head: str = "", held: _core.Held | None = None) -> Answers[Item]:
        """From items that are made already."""
        made = tuple(items)
        return cls(len(made), made.__getitem__, more=more, head=head, held=held)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(index, slice):
            return tuple(self[at] for at in range(self._count)[index])
        at = range(self._count)[index]
        if at in self._made:
            return self._made[at]
        item = self._make(at)
        if len(self._made) < self.KEPT:
            self._made[at] = item
        return item

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, (list, tuple, Answers)):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Sequence[Item]) -> list[Item]:
        return [*self, *other]

    def release(self) -> None:
        """Give back the objects that the answer holds. It has no items after that."""
        self._made.clear()
        self._count = 0
        if self._held is not None:
            self._held.release()

    def __str__(self) -> str:
        room = _text.SCREEN - 2
        lines = [self.head] if self.head else []
        shown = min(self._count, room)
        lines += [_line_of(item) for item in (self[at] for at in range(shown))]
        rest = self._count - shown + self.more
        if rest:
            lines.append(f"… {number(rest)} more")
        return "\n".join(lines) or self.NOTHING


def _line_of(item: Any) -> str:
    """A result's own line; a living object, whose __class__ may be a property, by its type."""
    line: str = item.line() if issubclass(type(item), Readable) else describe(item)
    return line


_QUALNAME = type.__dict__["__qualname__"].__get__
_MODULE = type.__dict__["__module__"].__get__
_DICT: Callable[[object], dict[str, Any]] = vars(ModuleType)["__dict__"].__get__


def type_words(kind: type) -> str:
    """A class's full name, by the interpreter's own getters: a metaclass may have others."""
    module, name = _MODULE(kind), _QUALNAME(kind)
    if type(name) is not str:
        return "?"
    return name if type(module) is not str or module == "builtins" else f"{module}.{name}"


def describe(value: object) -> str:
    """A living object for a reader, without running its code: <module.Type at 0x...>; a class, module or function by its name."""
    kind = type(value)
    if kind is type:
        return f"<class {type_words(value)}>"  # type: ignore[arg-type]
    if kind is ModuleType:
        name = dict.get(_DICT(value), "__name__")
        return f"<module {name}>" if type(name) is str else f"<module at {id(value):#x}>"
    if kind is FrameType:
        code = value.f_code  # type: ignore[attr-defined]
        return f"{code.co_name} ({code.co_filename}:{code.co_firstlineno})"
    if kind is FunctionType:
        return f"<function {value.__qualname__} at {id(value):#x}>"  # type: ignore[attr-defined]
    return f"<{type_words(kind)} at {id(value):#x}>"


class Record(Readable):
    """A result that is a handful of named values: a line for each."""

    __slots__ = ()

    def to_dict(self) -> Json:
        """The values by name, as JSON knows them."""
        return asdict(self)  # type: ignore[call-overload,no-any-return]

    def lines(self) -> list[tuple[str, str]]:
        """The values as a reader wants them, each with its name."""
        return [(name.removesuffix("_ms").replace("_", " "), shown(name, value)) for name, value in self.to_dict().items()]

    def known_lines(self) -> list[tuple[str, str]]:
        """The same without the values that are None."""
        return [line for line, value in zip(Record.lines(self), self.to_dict().values(), strict=True) if value is not None]

    def __str__(self) -> str:
        lines = self.lines()
        width = max(len(name) for name, _ in lines)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)

    def _repr_html_(self) -> str:
        return _text.html(("", ""), self.lines(), caption=type(self).__name__)


def shown(name: str, value: object) -> str:
    """A value as a reader wants it; what it is in the ending of its name says: bytes, milliseconds, a time."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("bytes") and isinstance(value, int):
        return f"{size(value)} ({number(value)})" if value >= 1024 else size(value)
    if name.endswith("_ms") and isinstance(value, (int, float)):
        return f"{value:.2f} ms"
    if name == "time" and isinstance(value, (int, float)):
        return datetime.fromtimestamp(value).isoformat(" ", "seconds")
    if isinstance(value, int) and name != "pid":
        return number(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value)


class Row(Readable):
    """A line of a table: named values, in their order."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(vars(self).values())

    def to_dict(self) -> Json:
        """The values by name."""
        return dict(vars(self))

    def __str__(self) -> str:
        return ", ".join(f"{name} {shown(name, value)}" for name, value in vars(self).items())
