# SPDX-License-Identifier: MIT
"""Which types are marked as perhaps holding native memory: those of C whose memory no formula knows, and no others."""

from __future__ import annotations

import _thread
import bz2
import collections
import contextvars
import datetime
import functools
import hashlib
import io
import itertools
import json
import lzma
import pyexpat
import re
import select
import socket
import sqlite3
import ssl
import subprocess
import sys
import types
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import memprobe
from memprobe.results import MARKED, TypeTable, type_name
from memprobe.waste import Waste, WasteRow

OWNS: dict[str, Callable[[], object]] = {  # memory of C code, beside the object's body
    "zlib.Compress": zlib.compressobj,
    "zlib.Decompress": zlib.decompressobj,
    "_bz2.BZ2Compressor": bz2.BZ2Compressor,
    "_lzma.LZMACompressor": lzma.LZMACompressor,
    "sqlite3.Connection": lambda: sqlite3.connect(":memory:"),
    "sqlite3.Cursor": lambda: sqlite3.connect(":memory:").cursor(),
    "ssl.SSLContext": lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    "_hashlib.HASH": lambda: hashlib.new("sha256"),
    "pyexpat.xmlparser": pyexpat.ParserCreate,
    "select.poll": select.poll,
    "itertools.product": lambda: itertools.product([1], [2]),
}


class Plain:
    pass


class Slots:
    __slots__ = ("a",)


def generate() -> Any:
    yield 1


KNOWN: list[Callable[[], object]] = [
    Plain, Slots, object, list, dict, set, bytearray, Exception, generate, types.SimpleNamespace, collections.deque,
    collections.OrderedDict, collections.Counter, io.BytesIO, io.StringIO, socket.socket, contextvars.Context, _thread._local,
    select.epoll, json.JSONDecoder, lambda: iter([]), lambda: iter(()), lambda: iter({}), lambda: {}.items(), lambda: zip([]),
    lambda: map(len, []), lambda: range(3), lambda: slice(3), lambda: re.compile("a+"), lambda: re.match("a", "a"),
    lambda: datetime.datetime.now(datetime.timezone.utc), lambda: functools.partial(len), lambda: functools.lru_cache(len),
    lambda: itertools.count(), lambda: itertools.chain([]), lambda: weakref.ref(Plain), lambda: memoryview(b"x"),
    lambda: Plain.__init__, lambda: type("T", (), {}), lambda: types.MappingProxyType({}), lambda: property(), lambda: sys.flags,
    lambda: ValueError(),
    lambda: list[int], lambda: int | str, lambda: OSError(1, "x"), lambda: (lambda x: lambda: x)(1).__closure__[0],
]  # fmt: skip


def marked() -> set[str]:
    return {row.type for row in memprobe.summary(None).every if row.may_hold_native}


@pytest.mark.parametrize("name", OWNS)
def test_what_owns_native_memory_is_marked(name: str) -> None:
    kept = OWNS[name]()
    assert name in marked() and kept is not None


def test_what_is_known_is_not_marked() -> None:
    kept = [make() for make in KNOWN]
    wrong = marked() & {type_name(one) for one in kept}
    assert not wrong


def test_a_python_class_is_what_its_base_is() -> None:
    class Connection(sqlite3.Connection):
        pass

    class Record(collections.namedtuple("Record", "a b")):
        pass

    kept = [Connection(":memory:"), Record(1, 2)]
    names = marked()
    assert type_name(kept[0]) in names and type_name(kept[1]) not in names


# Of the standard library, what a program has in numbers: nothing that stands in a list of the biggest types is marked.
PROGRAM = """
import asyncio, collections, concurrent.futures, decimal, email, enum, functools, http.server, json, logging, random, unittest, uuid
import memprobe
decimal.getcontext(); random.Random(1); asyncio.new_event_loop().close()
table = memprobe.summary(None)
print([row.type for row in table.every[:60] if row.may_hold_native], sum(row.count for row in table.every if row.may_hold_native))
"""


def test_a_program_of_the_standard_library_has_few_marks(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, cwd=tmp_path)
    names, _, count = done.stdout.rpartition(" ")
    assert names == "[]" and int(count) < 300, done.stdout


# ---- where it is said ---------------------------------------------------------------------------------------------------


def test_in_the_table() -> None:
    table = TypeTable.of([("a.Plain", 1, 20), ("a.Native", 1, 5, True), ("a.Native", 1, 5, False)])
    text = str(table)
    assert "a.Native *" in text and text.endswith(MARKED) and "a.Plain *" not in text and MARKED in table._repr_html_()
    assert [row["may_hold_native"] for row in table.to_dict()["rows"]] == [False, True]
    assert MARKED not in str(TypeTable(table.every, 1))  # the row that is marked is not shown


def test_in_the_accounting_and_in_files(tmp_path: Path) -> None:
    kept = [zlib.compressobj() for _ in range(10)]
    heap = memprobe.capture()
    count = heap.accounting().may_hold_native
    assert count is not None and count >= len(kept)
    assert count == sum(row.count for row in heap.types(None).every if row.may_hold_native)
    heap.save(tmp_path / "heap.snap")
    again = memprobe.load(tmp_path / "heap.snap")
    assert again.accounting() == heap.accounting() and again.types(None).to_dict() == heap.types(None).to_dict()


def test_in_what_is_wasted() -> None:
    rows = tuple(WasteRow("unshared", f"a.{name}", f"a.{name}", 3, 100, "", 1, name == "Native") for name in ("Plain", "Native"))
    text = str(Waste(rows, (), (), ()))
    assert "a.Native: 3 instances with a dict of its own keys *\n" in text and text.count("*") == 2 and text.endswith(MARKED)
    assert MARKED not in str(Waste(rows[:1], (), (), ()))
    assert not any(row.may_hold_native for row in memprobe.capture().waste(None) if row.type in ("list", "dict", "set"))
