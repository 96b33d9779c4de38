"""What a prompt shows of an answer runs nothing of the program's: how often it did, how many paths, and the text."""

import json

import memprobe


class Row:
    calls = 0

    def __repr__(self) -> str:
        Row.calls += 1
        return "Row()"

    __str__ = __repr__


rows = {number: Row() for number in range(1_000)}
paths = memprobe.why_alive(rows[3])
referrers = memprobe.referrers(rows[3])
cycles = memprobe.find_cycles(rows)
holders = memprobe.refcount(rows[3])
texts = [repr(answer) for answer in (paths, paths[0], referrers, cycles, holders)]
print(json.dumps([Row.calls, len(paths), texts]), flush=True)
