# SPDX-License-Identifier: MIT
"""Memory of libraries that a formula counts, against what the library or malloc says of it. Tests of what is not installed
are skipped; each runs in a process of its own, so that nothing else uses what is measured."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from ast import literal_eval
from importlib.metadata import version
from typing import Any

import pytest


def answers(source: str, *libraries: str) -> Any:
    """What a program prints, with the accounting's fallbacks behind."""
    for name in libraries:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    source = f"import memprobe\n{source}\nprint((result, memprobe.capture().accounting().fallbacks))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result, fallbacks = literal_eval(done.stdout)
    assert fallbacks == ()
    return result


ARROW = """
import pyarrow
def measure(make):
    before = pyarrow.total_allocated_bytes()
    made = make()
    return memprobe.deep_sizeof(*made), pyarrow.total_allocated_bytes() - before
def strings(): return [pyarrow.array(["hello world"] * 100_000)]
def slices(): return (lambda whole: [whole, whole[:500], whole[1000:2000], whole])(*strings())
def buffers(): return (lambda whole: [whole, whole.buffers()])(*strings())
def table(): return [pyarrow.table({"a": range(100_000), "b": [0.5] * 100_000})]
def columns(): return (lambda whole: [whole, whole["a"], whole["a"].chunk(0), whole["b"], whole.slice(10, 20)])(*table())
def chunked(): return [pyarrow.chunked_array([[number] * 1000 for number in range(100)])]
def buffer(): return [pyarrow.allocate_buffer(123_456)]
def foreign(): return [pyarrow.py_buffer(memoryview(BYTES))]
BYTES = bytes(1000)
"""


@pytest.mark.parametrize("name", ["strings", "slices", "buffers", "table", "columns", "chunked", "buffer", "foreign"])
def test_arrow(name: str) -> None:
    """What objects share is counted once, whoever of them is asked about."""
    ours, pool = answers(f"{ARROW}result = measure({name})", "pyarrow")
    objects = {"foreign": 2000, "chunked": 1000}.get(name, 3000)
    assert -16 <= ours - pool <= objects, (ours, pool)


SLOTS = """
import os, tempfile
def native_of(objects):
    path = os.path.join(tempfile.mkdtemp(), "native.snap")
    memprobe.snapshot(path, native=True)
    heap = memprobe.load(path)
    node = heap.at(id(objects))
    table = heap.native(limit=None)
    assert 0 < table.estimated_bytes <= table.bytes and "estimated" in str(table)
    assert all("estimated" not in heap.node(row.node).flags for row in heap.lost(limit=None).rows)
    return heap.retained(node, native=True) - heap.retained(node), heap.lost().bytes
"""


def test_slots_of_jemalloc() -> None:
    """Of polars: the numbers of a series are in a block of its own, rounded up to pages, or in a slot."""
    source = f"""{SLOTS}
import polars
def make(count): return [polars.Series("a", range(count)) for _ in range(50)]
first, large, small = make(100), make(100_000), make(1000)
result = (native_of(large), native_of(small))"""
    (large, _), (small, lost) = answers(source, "polars")
    assert 0.97 * 40_000_000 <= large <= 1.02 * 40_000_000 + 4096
    assert 400_000 <= small <= 1.15 * 400_000  # the next class of sizes
    assert lost < 64 << 10


@pytest.mark.parametrize("size", [100, 100_000])
def test_slots_of_mimalloc(size: int) -> None:
    """Of pyarrow: what only its C++ has. Classes of sizes are a quarter apart at most, and the buffer doubles."""
    source = f"""{ARROW}{SLOTS}
def make():
    made = pyarrow.BufferOutputStream()
    made.write(bytes({size}))
    return made
first = [make() for _ in range(5)]
kept = [None] * 50
before = pyarrow.total_allocated_bytes()
for n in range(50): kept[n] = make()
result = (*native_of(kept), pyarrow.total_allocated_bytes() - before)"""
    found, lost, pool = answers(source, "pyarrow")
    assert pool <= found <= 1.26 * pool + 50 * 400
    assert lost < 64 << 10


def test_addresses_in_memory_of_cffi() -> None:
    """What ffi.new() gives has its memory behind it, of which the type says nothing."""
    source = f"""{SLOTS}
import cffi
ffi = cffi.FFI()
ffi.cdef("void *calloc(size_t, size_t); struct handles {{ int count; void *handle[100]; }};")
C = ffi.dlopen(None)
array, structure, pointer = ffi.new("void *[100]"), ffi.new("struct handles *"), ffi.new("void **")
pointer[0] = C.calloc(1, 9000)
for n in range(100): array[n], structure.handle[n] = C.calloc(1, 5000), C.calloc(1, 7000)
found = [memprobe.retained_sizeof(one, native=True) for one in (array, structure, pointer)]
result = (*found, memprobe.lost().bytes)"""
    *kept, lost = answers(source, "cffi")
    for found, wanted in zip(kept, (500_000, 700_000, 9000), strict=True):
        assert wanted <= found < 1.01 * wanted + 3000
    assert lost < 5000


def test_no_slot_is_lost_through_a_lost_block() -> None:
    """It may have been given back since, and only be kept ready."""
    source = f"""{SLOTS}
import ctypes, pyarrow
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
made = [pyarrow.allocate_buffer(1000) for _ in range(40)]
addresses = (ctypes.c_uint64 * 64).from_address(libc.malloc(8 * 64))
for place, one in enumerate(made): addresses[place] = one.address
made = made[::4]
del addresses, one
path = os.path.join(tempfile.mkdtemp(), "native.snap")
memprobe.snapshot(path, native=True)
heap = memprobe.load(path)
result = [(row.size, "estimated" in heap.node(row.node).flags) for row in heap.lost(limit=None).rows]"""
    lost = answers(source, "pyarrow")
    assert (528, False) in lost and not any(estimated for _, estimated in lost)


def test_a_share_is_never_counted_twice() -> None:
    parts = "whole, *others = columns()\nresult = [memprobe.deep_sizeof(one) for one in (whole, *others)]"
    source = f"{ARROW}{parts}, measure(columns)[1]"
    sizes, pool = answers(source, "pyarrow")
    assert sum(sizes) <= pool + 5000 and all(size > 0 for size in sizes)


def test_the_balance_has_each_byte_once() -> None:
    """The pool is no part of malloc: what is in it is not taken out of malloc's."""
    source = f"""{ARROW}
def malloc(): return sum(part.bytes for part in memprobe.memory().parts if part.name == "malloc, in use by C code")
before = malloc()
kept = [pyarrow.array(["hello world"] * 1_000_000) for _ in range(10)]
result = malloc(), before, pyarrow.total_allocated_bytes()
"""
    after, before, pool = answers(source, "pyarrow")
    assert pool > 150_000_000 and after > before - 500_000, (after, before)


def test_proofs_import_nothing() -> None:
    source = "import pyarrow, sys\nmemprobe.capture()\nresult = 'pandas' in sys.modules"
    assert answers(source, "pyarrow", "pandas") is False


def test_pandas_strings() -> None:
    source = f"""{ARROW}
import pandas
def series(): return [pandas.Series([f"value number {{number}}" for number in range(100_000)], dtype="str")]
kept = series()
result = measure(series), [row.may_hold_native for row in memprobe.summary(None) if row.type == "pyarrow.lib.ChunkedArray"]
"""
    if installed("pandas") and int(version("pandas").split(".")[0]) < 3:
        pytest.skip("pandas 3 has the type")
    (ours, pool), marks = answers(source, "pandas", "pyarrow")
    assert pool > 1_000_000 and 0 <= ours - pool <= 5000, (ours, pool)
    assert marks == [True]  # children and dictionaries are not counted


def installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def test_numpy_strings() -> None:
    source = """
import numpy, tracemalloc
def make(): return numpy.array(["x" * 100] * 1000, dtype=numpy.dtypes.StringDType())
make()
tracemalloc.start()
before = tracemalloc.get_traced_memory()[0]
made = make()
truth = tracemalloc.get_traced_memory()[0] - before
result = memprobe.deep_sizeof(made), truth
"""
    if installed("numpy") and int(version("numpy").split(".")[0]) < 2:
        pytest.skip("numpy 2 has the type")
    ours, truth = answers(source, "numpy")
    assert truth > 100_000 and abs(ours - truth) <= 0.005 * truth, (ours, truth)


@pytest.mark.parametrize(("mode", "pixel"), [("RGB", 4), ("L", 1), ("F", 4), ("I;16", 2)])
def test_pillow_images(mode: str, pixel: int) -> None:
    source = f"""
import ctypes, PIL.Image
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena chunks small maps mapped peak free used unused top".split()]
mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Info
def used(): return (lambda info: info.used + info.mapped)(mallinfo2())
PIL.Image.new("{mode}", (10, 10))
before = used()
images = [PIL.Image.new("{mode}", (1000, 501)) for _ in range(10)]
truth = used() - before
result = memprobe.deep_sizeof(images), truth
"""
    if not hasattr(__import__("ctypes").CDLL(None), "mallinfo2"):
        pytest.skip("this libc has no mallinfo2")
    ours, malloc = answers(source, "PIL")
    assert ours >= 10 * 1000 * 501 * pixel and abs(ours - malloc) <= 0.01 * malloc, (ours, malloc)


MARKED = {
    "polars": "polars.DataFrame({'a': [1]})",
    "lxml": "__import__('lxml.etree').etree.fromstring('<a/>')",
    "h5py": "h5py.File('x', 'w', driver='core', backing_store=False)",
}


@pytest.mark.parametrize("name", MARKED)
def test_others_are_marked(name: str) -> None:
    source = f"""
import {name}
kept = {MARKED[name]}
result = [row.type for row in memprobe.summary(None) if row.may_hold_native]
"""
    marked = answers(source, name)
    assert any(row.startswith(("lxml.", "h5py.", "builtins.Py", "PyDataFrame", "PySeries")) for row in marked), marked
