"""A linked list that grows: each entry knows the one before. It says where the data of the first entry is."""

from __future__ import annotations

import sys


class Entry:
    def __init__(self, prev: Entry | None) -> None:
        self.prev = prev
        self.data = bytearray(200)


class Audit:
    last: Entry | None = None


Audit.last = Entry(None)
first = id(Audit.last.data)
made = 1
for wanted in (10_000, 20_000, 30_000):
    while made < wanted:
        Audit.last = Entry(Audit.last)
        made += 1
    print(hex(first), flush=True)
    sys.stdin.readline()
