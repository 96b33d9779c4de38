"""What grows is held by two owners, a cache and an index: strings, and records."""

import sys


class Record:
    def __init__(self, number: int) -> None:
        self.number = number
        self.note = f"note {number}" * 20


class Orders:
    def __init__(self) -> None:
        self.by_number: dict[int, Record] = {}
        self.latest: list[Record] = []


class Texts:
    def __init__(self) -> None:
        self.lines: dict[int, str] = {}
        self.recent: list[str] = []


orders, texts = Orders(), Texts()


def fill(first: int) -> None:
    for number in range(first, first + 2_000):
        line = f"line {number} " * 40
        texts.lines[number] = line
        texts.recent.append(line)
        record = Record(number)
        orders.by_number[number] = record
        orders.latest.append(record)


for turn in range(3):
    fill(2_000 * turn)
    print("here", flush=True)
    sys.stdin.readline()
