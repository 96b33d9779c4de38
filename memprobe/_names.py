"""Names and paths of a heap's nodes as the extension gives them (src/algo/names.h): the same name for a node in every answer. Steps
of a path are made when somebody looks at them, for a path may have a million."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from memprobe._labels import Label
from memprobe._readable import Readable, describe
from memprobe._text import number
from memprobe.results import Node

if TYPE_CHECKING:
    from memprobe._core import Graph
    from memprobe.heap import Heap

SHOWN = 40  # steps that a path shows of itself

INDEX = re.compile(r"\[(?:\d+|<[^][]*>)\]")
KEY = re.compile(r"\['(?:[^'\\]|\\.)*'\]")


class Name(NamedTuple):
    """A path in words. It is `evaluable` when it is Python: the first `module` characters name a module to import."""

    text: str
    evaluable: bool
    module: int


@dataclass(frozen=True, repr=False, slots=True)
class Step(Readable):
    """`holder` refers to the next step's holder by `label`. In a live answer holders are the objects themselves, a str for a root;
    in a heap's, nodes."""

    holder: Any
    label: Label

    def __str__(self) -> str:
        kind = type(self.holder)  # compared by identity: a metaclass may have an __eq__
        holder = str(self.holder) if kind is str or kind is Node else describe(self.holder)
        return f"{holder}{'' if self.label[:1] in '.[' else ' '}{self.label}"


class Steps(Readable, Sequence[Step]):
    """The steps of a path, from a root to what holds the object."""

    __slots__ = ("_graph", "_ids", "_pairs", "_shown")
    _ids: array[int] | None

    def __init__(self, graph: Graph, data: bytes, shown: Callable[[int], Any]) -> None:
        self._graph, self._shown, self._ids = graph, shown, None
        self._pairs = memoryview(data).cast("Q")

    @property
    def ids(self) -> array[int]:
        """The nodes on it, the object last."""
        if self._ids is None:
            self._ids = array("Q", self._pairs.tobytes())[1::2]
        return self._ids

    def __str__(self) -> str:
        shown = [step.line() for step in self[:SHOWN]]
        return "\n".join([*shown, *([f"… {number(len(self) - SHOWN)} more"] if len(self) > SHOWN else [])])

    def __len__(self) -> int:
        return max(len(self._pairs) // 2 - 1, 0)

    def label(self, index: int) -> Label:
        """By what the holder of a step refers to the next."""
        edge, holder, _, target = self._pairs[2 * index : 2 * index + 4]
        return Label.of(self._graph.step(holder, edge, target))

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Step]: ...
    def __getitem__(self, index: int | slice) -> Step | Sequence[Step]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        return Step(self._shown(self._pairs[2 * at + 1]), self.label(at))


def names(heap: Heap, ids: Iterable[int]) -> list[str]:
    """What nodes are called: their paths in words; a root group, thread or frame by its own name."""
    wanted = list(ids)
    found = heap._graph.names(wanted)
    return [_name(heap, id, name) for id, name in zip(wanted, found, strict=True)]


def _name(heap: Heap, id: int, name: tuple[str, bool, int] | None) -> str:
    node = heap.node(id)
    if "synthetic" in node.flags:
        return f"<{node.text or node.type}>"
    return name[0] if name is not None and name[0] else str(node)


def named(heap: Heap, ids: Iterable[int]) -> list[tuple[str, Steps]]:
    """What nodes are called and the paths that say so; without a step for one that nothing reaches."""
    wanted = list(ids)
    rows = ((None, b"") if row is None else row for row in heap._graph.name_paths(wanted))
    return [(_name(heap, id, name), Steps(heap._graph, data, heap.node)) for id, (name, data) in zip(wanted, rows, strict=True)]


def steps(heap: Heap, ids: Iterable[int]) -> list[Steps]:
    """The paths that name nodes."""
    return [steps for _, steps in named(heap, ids)]


def masked(name: str, keys: bool = False) -> str:
    """The name of one of many that are held alike: indices are left open, and `keys` too where they differ."""
    return KEY.sub("[…]", INDEX.sub("[…]", name)) if keys else INDEX.sub("[…]", name)


def is_variable(node: Node) -> bool:
    """Whether a node is a module, class, root, thread or frame: what has a name of its own."""
    return bool(node.flags & {"synthetic", "module", "type"})
