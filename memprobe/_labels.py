"""Labels of references: a str that reads as Python where Python has a word, and beside it what it is made of, so that nobody has to
parse it."""

from __future__ import annotations

from typing import Any

# (other end, text, kind, weak, housekeeping, name or None, number, node of the name or None): as the extension gives an edge.
EdgeRow = tuple[int, str, str, bool, bool, str | None, int, int | None]


class Label(str):
    """How a holder refers to a target: ".name", "['key']", "[3]", "local x", "+0x18" for what has no name.

    `kind` is one of attr (an attribute or slot), field (of an interpreter's own structure, .__self__), value (of a key), key (the
    key itself), index, local, cell (variables of a frame), stack, element (of a set), offset (bytes in the holder), child (of a
    root), native and doubted (an address that was found in memory, bytes in the holder). `name` is that of the attribute, field or
    variable, or the key when it is a str whose contents are known; else None.
    `number` is the index or offset. `node` is the id of the object that serves as the name, or None. A weak reference does not keep
    its target alive; a housekeeping one is in every program, such as from a function to its globals."""

    __slots__ = ("housekeeping", "kind", "name", "node", "number", "weak")

    kind: str
    name: str | None
    number: int
    node: int | None
    weak: bool
    housekeeping: bool

    def __new__(
        cls,
        text: str,
        kind: str,
        weak: bool = False,
        housekeeping: bool = False,
        name: str | None = None,
        number: int = 0,
        node: int | None = None,
    ) -> Label:
        label = super().__new__(cls, text)
        label.kind, label.name, label.number, label.node = kind, name, number, node
        label.weak, label.housekeeping = weak, housekeeping
        return label

    @classmethod
    def of(cls, row: EdgeRow) -> Label:
        """From the extension's row of an edge."""
        return cls(*row[1:])

    def __getnewargs__(self) -> tuple[Any, ...]:  # for copy and pickle
        return (str(self), self.kind, self.weak, self.housekeeping, self.name, self.number, self.node)

    @property
    def is_attribute(self) -> bool:
        """Whether Python writes it with a dot."""
        return self.kind == "attr" or (self.kind == "field" and self[:1] == ".")
