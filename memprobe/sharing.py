"""What a forked process shares with the one that forked it, and what has been copied since: by whose objects, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memprobe._pieces import PAGE, Variable, noted, places, survivors
from memprobe._readable import Json, Readable
from memprobe._text import size
from memprobe.balance import is_worth

if TYPE_CHECKING:
    from memprobe.heap import Heap

SHOWN = 3  # variables that a sentence has, ...
MUCH = 0.1  # ... which have an object on that share of the pages
LEFT = 16 * PAGE  # that a full collection may leave: what is used alone still leaves the modules' functions and classes


@dataclass(frozen=True, repr=False)
class Copied(Variable):
    """A variable whose objects lie on copied pages: `objects` of `bytes`, most of which are of `count` objects of `type`. It has
    one on `pages` of these, and on `alone` no other variable has one. `node` is the id of what the variable has."""

    pages: int
    alone: int
    node: int


@dataclass(frozen=True, repr=False)
class Sharing(Readable):
    """Memory of a process that was forked by process `parent` (None: it was not, or nothing is known of it, as of a snapshot that
    was taken without a fork; then all else is None or empty).

    `shared_bytes` are anonymous memory that it shares with others still. `copied_bytes` are pages that it has alone, and the parent
    has others at the same addresses: one of the two wrote to them. `written_bytes` of them differ in more than reference counts and
    the collector's notes, or None where the parent's memory may not be read. `noted_bytes` are those of the rest that a collection
    writes to, for they have objects that the collector tracks; `noted_shared_bytes` are pages with such objects that are shared
    still: none after a full collection. `new_bytes` it has alone, and the parent has nothing there.
    `rows` are the variables that have objects on the copied pages, most pages first."""

    parent: int | None
    shared_bytes: int | None
    copied_bytes: int | None
    written_bytes: int | None
    noted_bytes: int | None
    noted_shared_bytes: int | None
    new_bytes: int | None
    rows: tuple[Copied, ...]

    def to_dict(self) -> Json:
        """The fields by name; rows as a list of Copied.to_dict()."""
        return {**vars(self), "rows": [row.to_dict() for row in self.rows]}

    def matters(self, resident: int | None) -> bool:
        """Whether it is worth sentences on a first screen."""
        return is_worth(self.copied_bytes or 0, resident or 0)

    def lines(self, resident: int | None) -> tuple[str, ...]:
        """How much was copied, why and by whose objects, and what would help; of what is resident only what is worth it."""
        return tuple(self._sentences(resident or 0))

    def _sentences(self, resident: int) -> Iterator[str]:
        if self.parent is None or self.copied_bytes is None or self.noted_bytes is None:
            return
        copied = f"{size(self.copied_bytes)} were copied since process {self.parent} forked this one"
        yield f"{copied}, {size(self.shared_bytes or 0)} are shared still."
        if self.written_bytes is not None and self.copied_bytes:
            unchanged = self.copied_bytes - self.written_bytes
            yield f"{size(unchanged)} of it differ in nothing but reference counts and what the collector notes in objects."
        whose = [row for row in self.rows[:SHOWN] if row.pages * PAGE >= MUCH * self.copied_bytes]
        if whose:
            shares = (f"{row}, on {100 * row.pages * PAGE / self.copied_bytes:.0f} %" for row in whose)
            yield f"What lies there: {', '.join(shares)} of the pages."
        if is_worth(self.noted_bytes, resident) and self.noted_shared_bytes is not None and self.noted_shared_bytes <= LEFT:
            yield (
                "The collector wrote to all objects that it tracks: their pages were copied, to the last. "
                f"gc.freeze() before the fork keeps it from them: up to {size(self.noted_bytes)} would be shared still."
            )

    def __str__(self) -> str:
        return "\n".join(self.lines(None)) or "This process was not forked by one that is known."


def sharing(heap: Heap, limit: int) -> Sharing:
    """For Heap.sharing(). The names are looked for in a heap that has copied pages alone."""
    facts = {name: value for name, value in heap._graph.infos().items() if isinstance(value, int)}
    if "mem_fork_copied" not in facts:
        return Sharing(None, None, None, None, None, None, None, ())
    made, kept, written = (_pages(heap, f"mem_fork_{name}_pages") for name in ("made", "kept", "written"))
    copied = sorted(kept + written)
    had = noted(heap, None, PAGE) - noted(heap, made, PAGE)  # by the parent
    own = facts["mem_fork_own"]
    return Sharing(
        parent=facts["mem_fork_parent"],
        shared_bytes=max(0, facts.get("mem_anonymous", own) - own),
        copied_bytes=facts["mem_fork_copied"],
        written_bytes=facts.get("mem_fork_written"),
        noted_bytes=PAGE * noted(heap, kept, PAGE),
        noted_shared_bytes=PAGE * max(0, had - noted(heap, copied, PAGE)),
        new_bytes=facts["mem_fork_made"],
        rows=tuple(Copied(*row) for row in survivors(heap, copied, PAGE, limit)[1]),
    )


def _pages(heap: Heap, fact: str) -> list[int]:
    """Where each page begins."""
    return [page for begin, count in places(heap, fact) or () for page in range(begin, begin + count * PAGE, PAGE)]
