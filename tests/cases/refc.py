"""Who holds an object, of which C code forgot 0, 3 references; and one that a local variable alone holds. Three lines of JSON, and
one of how long an answer reads at the prompt."""

import ctypes
import json

import memprobe

forget = ctypes.pythonapi.Py_IncRef
forget.argtypes = [ctypes.py_object]
forget.restype = None


class Thing:
    pass


def say(answer: memprobe.RefCount) -> None:
    print(json.dumps([answer.to_dict(), str(answer), repr(answer)]), flush=True)


def local() -> None:
    mine = Thing()
    say(memprobe.refcount(mine))


thing = Thing()
say(memprobe.refcount(thing))
for _ in range(3):
    forget(thing)
say(memprobe.refcount(thing))
local()
many = {number: [number] for number in range(100_000)}
print(json.dumps(repr(memprobe.why_alive(many[77]))), flush=True)
