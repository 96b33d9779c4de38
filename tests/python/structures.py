# SPDX-License-Identifier: MIT
"""Structures whose sizes are compared with what tracemalloc saw: name -> a function that makes a fresh one."""

from __future__ import annotations

import array
import asyncio
import collections
import contextvars
import ctypes
import datetime
import decimal
import fractions
import functools
import io
import itertools
import mmap
import re
import socket
import struct
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

LOOP = asyncio.new_event_loop()
COUNTER = itertools.count(1 << 40)  # ints that no cache has


def fresh() -> int:
    return next(COUNTER)


def text(length: int, char: str = "x") -> str:
    return char * (length - 1) + chr(ord(char) + 1) if length > 1 else char


class Plain:
    def __init__(self) -> None:
        self.one = fresh()
        self.two = text(30)
        self.three = [fresh()]


class Opened(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.__dict__["four"] = fresh()


class Unshared(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.__dict__[5] = fresh()  # type: ignore[index]


class Many:
    def __init__(self) -> None:
        for i in range(40):
            setattr(self, f"attribute_{i}", fresh())


class Slotted:
    __slots__ = ("a", "b", "c")

    def __init__(self) -> None:
        self.a, self.b = fresh(), text(40)


class Derived(Slotted):
    __slots__ = ("d",)


class Mixed(Slotted):
    def __init__(self) -> None:
        super().__init__()
        self.own = fresh()


class Weak:
    __slots__ = ("__weakref__", "x")


class MyList(list):  # type: ignore[type-arg]
    pass


class MyDict(dict):  # type: ignore[type-arg]
    def __init__(self) -> None:
        super().__init__(a=fresh())
        self.note = text(50)


class MyTuple(tuple):  # type: ignore[type-arg]
    pass


class MyInt(int):
    pass


class MyStr(str):
    pass


class MyError(Exception):
    pass


Pair = collections.namedtuple("Pair", "left right")


def function() -> Any:
    local = [fresh()]

    def inner(a: int = fresh(), *, key: str = text(20)) -> Any:
        return local, a, key

    return inner


def generator() -> Any:
    def numbers(first: int) -> Any:
        second = [first]
        yield second

    made = numbers(fresh())
    next(made)
    return made


class Forever:
    def __await__(self) -> Any:
        yield


def coroutine() -> Any:
    async def work(argument: object) -> None:
        await Forever()

    made = work([fresh()])
    made.send(None)  # it waits now, and is closed without a warning
    return made


def frame() -> Any:
    local = [fresh()]
    return local and sys._getframe()


def error() -> Any:
    made = MyError(text(60), fresh())
    made.detail = [fresh()]  # type: ignore[attr-defined]
    return made


def raised() -> Any:
    try:
        raise ValueError(text(60))
    except ValueError as caught:
        return caught.with_traceback(None)


def grown(made: Any, add: Callable[[Any, int], object], count: int) -> Any:
    for _ in range(count):
        add(made, fresh())
    return made


def thinned(made: Any, keep: int) -> Any:
    while len(made) > keep:
        made.popitem()
    return made


def written(made: Any, data: Any) -> Any:
    made.write(data)
    return made


def ordered(count: int) -> Any:
    made = collections.OrderedDict((fresh(), fresh()) for _ in range(count))
    for key in list(made)[:1]:
        made.move_to_end(key)
    return made


def moved(made: Any) -> Any:
    for _ in range(100):
        made.append(made.popleft())
    return made


def cached(calls: int, size: int | None) -> Any:
    made = functools.lru_cache(maxsize=size)(lambda x: [x])
    for _ in range(calls):
        made(fresh())
    return made


def context() -> Any:
    made = contextvars.Context()
    variable = contextvars.ContextVar("variable")
    made.run(variable.set, [fresh()])
    return made, variable


STRUCTURES: dict[str, Callable[[], Any]] = {
    "int, one digit": lambda: fresh() % 1000 + 1000,
    "int, two digits": fresh,
    "int, 100 digits": lambda: 10**100 + fresh(),
    "float": lambda: fresh() / 3,
    "complex": lambda: complex(fresh(), 2.5),
    "str, ascii": lambda: text(100),
    "str, latin-1": lambda: text(100, "\u00e9"),
    "str, two bytes": lambda: text(100, "\u20ac"),
    "str, four bytes": lambda: text(100, "\U0001f600"),
    "str, with utf-8": lambda: (made := text(100, "\u20ac"), made.encode(), sys.intern(made))[0],
    "bytes": lambda: text(100).encode(),
    "bytes, large": lambda: bytes(100_000),
    "bytearray": lambda: bytearray(1000),
    "bytearray, grown": lambda: grown(bytearray(), lambda b, i: b.append(i % 256), 1000),
    "memoryview": lambda: memoryview(bytes(1000)),
    "list, empty": lambda: [],
    "list, literal": lambda: [fresh(), fresh(), fresh()],
    "list, grown": lambda: grown([], list.append, 1000),
    "list, shrunk": lambda: (made := [fresh() for _ in range(1000)], made.__delitem__(slice(10, None)))[0],
    "list, nested": lambda: [[[fresh()]] for _ in range(20)],
    "tuple": lambda: (fresh(), fresh(), fresh()),
    "tuple, large": lambda: tuple([fresh() for _ in range(100)]),
    "dict, empty": lambda: {},
    "dict, one": lambda: {fresh(): fresh()},
    "dict, str keys": lambda: {f"key {fresh()}": fresh() for _ in range(10)},
    "dict, int keys": lambda: {fresh(): fresh() for _ in range(1000)},
    "dict, thinned": lambda: thinned({fresh(): None for _ in range(1000)}, 10),
    "dict, views": lambda: (made := {fresh(): fresh()}, made.keys(), made.values(), made.items()),
    "dict, mixed keys": lambda: {fresh(): 1, f"k{fresh()}": 2, (fresh(),): 3},
    "set, empty": lambda: set(),
    "set, small": lambda: {fresh(), fresh()},
    "set, large": lambda: {fresh() for _ in range(1000)},
    "set, thinned": lambda: (made := {fresh() for _ in range(1000)}, [made.pop() for _ in range(990)])[0],
    "frozenset": lambda: frozenset(fresh() for _ in range(100)),
    "deque, empty": lambda: collections.deque(),
    "deque, large": lambda: grown(collections.deque(), collections.deque.append, 1000),
    "deque, moved": lambda: moved(collections.deque([fresh() for _ in range(100)])),
    "deque, bounded": lambda: collections.deque([fresh() for _ in range(300)], maxlen=50),
    "OrderedDict": lambda: ordered(100),
    "OrderedDict, small": lambda: ordered(3),
    "defaultdict": lambda: grown(collections.defaultdict(list), lambda d, i: d[i].append(i), 100),
    "Counter": lambda: collections.Counter(fresh() for _ in range(100)),
    "namedtuple": lambda: Pair(fresh(), text(20)),
    "array, doubles": lambda: array.array("d", [1.5]) * 1000,
    "array, bytes": lambda: array.array("b", bytes(1000)),
    "array, grown": lambda: grown(array.array("q"), lambda a, i: a.append(i), 500),
    "mmap": lambda: mmap.mmap(-1, 4096),
    "BytesIO": lambda: io.BytesIO(bytes(1000)),
    "BytesIO, written": lambda: written(io.BytesIO(), bytes(1000)),
    "StringIO": lambda: io.StringIO(text(1000)),
    "StringIO, read": lambda: (made := io.StringIO(text(1000)), made.read(1))[0],
    "StringIO, written": lambda: (made := written(io.StringIO(), text(1000)), made.seek(0), made.read(1))[0],
    "partial": lambda: functools.partial(print, fresh(), sep=text(20)),
    "lru_cache, bounded": lambda: cached(50, 100),
    "lru_cache, unbounded": lambda: cached(50, None),
    "function": function,
    "lambda": lambda: lambda: None,
    "method": lambda: [fresh()].append,
    "bound method": lambda: Plain().__init__,  # type: ignore[misc]
    "cell": lambda: types.CellType(fresh()),
    "code": lambda: compile(f"def f(a, b):\n    return a + b + {fresh()}", text(30), "exec"),
    "generator": generator,
    "coroutine": coroutine,
    **(
        {"frame": frame} if sys.version_info >= (3, 11) else {}
    ),  # before, a frame holds the frame of its caller, and all that it has
    "asyncio Future": lambda: asyncio.Future(loop=LOOP),
    "socket": lambda: socket.socket(),
    "generator, not started": lambda: (i for i in [fresh()]),
    "module": lambda: types.ModuleType(text(20)),
    "slots": Slotted,
    "slots, derived": Derived,
    "slots and dict": Mixed,
    "weak slot": Weak,
    "instance": Plain,
    "instance, dict touched": Opened,
    "instance, keys not shared": Unshared,
    "instance, 40 attributes": Many,
    "list subclass": lambda: MyList([fresh(), fresh()]),
    "dict subclass": MyDict,
    "tuple subclass": lambda: MyTuple([fresh(), fresh()]),
    "int subclass": lambda: MyInt(fresh()),
    "str subclass": lambda: MyStr(text(50)),
    "exception": error,
    "exception, raised": raised,
    "weakref": lambda: (made := Plain(), weakref.ref(made)),
    "weakref, callback": lambda: (made := Plain(), weakref.ref(made, function())),
    "weakref.proxy": lambda: (made := Plain(), weakref.proxy(made)),
    "WeakValueDictionary": lambda: (made := Plain(), weakref.WeakValueDictionary({fresh(): made})),
    "Struct": lambda: struct.Struct("<iidd10s"),
    "pattern": lambda: [re.compile(f"a(b|c)*{fresh()}(?P<name>d)"), re.purge()][0],
    "match": lambda: re.match(r"(x+)(y)", text(30)),
    "datetime": lambda: datetime.datetime(2000, 1, 1, microsecond=fresh() % 1000),
    "datetime, zone": lambda: datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(0, fresh() % 1000))),
    "date": lambda: datetime.date(2000, 1, 1),
    "timedelta": lambda: datetime.timedelta(1, fresh() % 1000),
    "time": lambda: datetime.time(1, 2, 3),
    "Decimal": lambda: decimal.Decimal(fresh()),
    "Decimal, long": lambda: decimal.Decimal(10**300 + fresh()),
    "Fraction": lambda: fractions.Fraction(fresh(), fresh()),
    "ctypes int": lambda: ctypes.c_long(fresh()),
    "ctypes array": lambda: (ctypes.c_char * 1000)(),
    "ctypes pointer": lambda: ctypes.pointer(ctypes.c_long(fresh())),
    "zip": lambda: zip([fresh()], [fresh()]),
    "map": lambda: map(str, [fresh()]),
    "filter": lambda: filter(None, [fresh()]),
    "enumerate": lambda: enumerate([fresh()], fresh()),
    "reversed": lambda: reversed([fresh()]),
    "chain": lambda: itertools.chain([fresh()], [fresh()]),
    "range": lambda: range(fresh(), fresh() * 2),
    "slice": lambda: slice(fresh(), fresh()),
    "property": lambda: property(function()),
    "staticmethod": lambda: staticmethod(function()),
    "context": context,
    "SimpleNamespace": lambda: types.SimpleNamespace(a=fresh(), b=text(20)),
    "MappingProxy": lambda: types.MappingProxyType({fresh(): fresh()}),
    "lock": threading.Lock,
    "RLock": threading.RLock,
    "Event": threading.Event,
    "object": object,
}
