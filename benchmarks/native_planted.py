# SPDX-License-Identifier: MIT
"""How many blocks that were lost on purpose are found: `make bench-native` writes it into docs/NATIVE.md.

    python benchmarks/native_planted.py [--output FILE]

In a process with some libraries and a peak of memory behind it, blocks of each size are allocated, filled, and forgotten; of C++
objects, if there is a compiler, too. In processes of their own, objects of libraries in Rust give their own memory back without
their deallocator, so that what the Rust part owns is lost; malloc says how many bytes that is (mallinfo2). Fails when less than
98 % of all blocks are found, or of the bytes of one of these libraries."""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import page

import memprobe
from native import in_use

ROOT = Path(__file__).resolve().parent.parent
HEADING = """## Lost, planted

In a process with numpy, pandas, lxml and OpenSSL, after a peak of 200,000 objects (`make bench-native`, CPython 3.13): blocks that
were allocated by malloc, filled and forgotten, and C++ objects with a table of virtual functions.
"""
TABLE = """
| size | planted | found | |
|--:|--:|--:|--:|
"""
RUST = """
Objects of libraries in Rust whose own memory was given back without their deallocator, in a process of its own each, which had
that peak, too: bytes of what was lost with them, as malloc has it in use more (`mallinfo2`), and what is found of it. None of these
blocks begins with an address in its library.

| of Rust | planted | bytes | found | |
|---|--:|--:|--:|--:|
"""
LEAST = 0.98
SIZES = {16: 5000, 50: 5000, 100: 5000, 500: 5000, 1000: 10_000, 4000: 2000, 20_000: 500, 150_000: 200, 1 << 20: 50, 16 << 20: 5}
MAPPED, MORE = 128 << 10, 4112  # bytes: from the first on a chunk may be mapped, and have so many more
OBJECTS = 5000
CODE = """
struct Base { virtual ~Base() {} long id; };
struct Session : Base { char room[296]; };
extern "C" void lose(int count) { for (int i = 0; i < count; i++) new Session(); }
"""


@dataclass(frozen=True)
class Rust:
    count: int
    setup: str
    expression: str


RUSTS = {
    "tokenizers.Tokenizer": Rust(
        400,
        "from tokenizers import Tokenizer, models\nwords = {f'word {n}': n for n in range(100)}",
        "Tokenizer(models.WordLevel(words, unk_token='word 0'))",
    ),
    "pydantic_core.SchemaValidator": Rust(
        400,
        "from pydantic_core import SchemaValidator, core_schema as c\n"
        "fields = {f'k{n}': c.typed_dict_field(c.int_schema()) for n in range(20)}",
        "SchemaValidator(c.typed_dict_schema(fields))",
    ),
    "cryptography, a cipher": Rust(
        5000,
        "from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes",
        "Cipher(algorithms.AES(b'0' * 32), modes.CTR(b'0' * 16)).encryptor()",
    ),
}
HAS_COLLECTOR = 1 << 14  # a flag of a type: its objects have the collector's head before them


def plant(libc: ctypes.CDLL) -> None:
    for size, count in SIZES.items():
        for _ in range(count):
            ctypes.memset(libc.malloc(size), 7, size)


def plant_objects(folder: str) -> bool:
    """False without a compiler."""
    compiler = shutil.which("c++")
    if compiler is None:
        return False
    source, library = Path(folder, "planted.cpp"), Path(folder, "libplanted.so")
    source.write_text(CODE)
    subprocess.run([compiler, "-shared", "-fPIC", "-O0", "-Wl,--build-id", "-o", library, source], check=True)
    ctypes.CDLL(str(library)).lose(OBJECTS)
    return True


def lose(make: Callable[[], object]) -> None:
    """Make an object and give back its memory alone: its deallocator, which would free what it owns, does not run."""
    python = ctypes.pythonapi
    made = make()
    address, has_collector = ctypes.c_void_p(id(made)), type(made).__flags__ & HAS_COLLECTOR
    python.Py_IncRef(address)
    if gc.is_tracked(made):
        python.PyObject_GC_UnTrack(address)
    del made
    (python.PyObject_GC_Del if has_collector else python.PyObject_Free)(address)


def measure_rust(rust: Rust) -> dict[str, int]:
    """In this process: bytes that malloc has in use more when the objects are lost, and by how many more bytes are lost."""
    names: dict[str, object] = {}
    exec(rust.setup, names)
    make = eval(f"lambda: {rust.expression}", names)
    assert [make() for _ in range(30)]  # what is made once is made
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, "before"), Path(folder, "after")]
        memprobe.snapshot(files[0], native=True)
        gave = in_use()
        for _ in range(rust.count):
            lose(make)
        gave = in_use() - gave
        memprobe.snapshot(files[1], native=True)
        before, after = (memprobe.load(file).lost().bytes or 0 for file in files)
    return {"gave": gave, "lost": after - before}


def peak() -> None:
    """Memory that was used before, with what was left there."""
    kept = [{"key": str(number), "items": [number] * 5, "bytes": bytes(number % 700)} for number in range(200_000)]
    del kept[::2]
    del kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "NATIVE.md")
    parser.add_argument("--one", choices=RUSTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    for library in ("numpy", "pandas", "lxml.etree", "ssl", "cryptography"):
        __import__(library)
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    peak()
    if options.one:
        print(json.dumps(measure_rust(RUSTS[options.one])))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        memprobe.snapshot(Path(folder, "before"), native=True)
        plant(libc)
        has_objects = plant_objects(folder)
        memprobe.snapshot(Path(folder, "after"), native=True)
        before, after = (memprobe.load(Path(folder, name)).lost(limit=None).every for name in ("before", "after"))
        named = sum(row.count for row in after if row.symbol == "vtable for Session")
    rows, planted, found = [], 0, 0
    for size, count in SIZES.items():
        lost, earlier = (sum(row.count for row in rows if is_of(row, size)) for rows in (after, before))
        rows.append(f"| {size:,} | {count:,} | {lost - earlier:,} | {100 * (lost - earlier) / count:.1f} % |")
        planted, found = planted + count, found + min(lost - earlier, count)
    if has_objects:
        rows.append(f"| 312, C++, by name | {OBJECTS:,} | {named:,} | {100 * named / OBJECTS:.1f} % |")
        planted, found = planted + OBJECTS, found + named
    rows.append(f"| all | {planted:,} | {found:,} | {100 * found / planted:.1f} % |")
    rust_rows, missed = [], 0
    for name, here, problem in page.each(__file__, RUSTS):
        if here is None:
            rust_rows.append(f"| {name} | {problem} | | | |")
            continue
        gave, lost = here["gave"], here["lost"]
        missed += lost < LEAST * gave
        rust_rows.append(f"| {name} | {RUSTS[name].count:,} | {gave:,} | {lost:,} | {100 * lost / gave:.1f} % |")
    text = TABLE + "\n".join([*rows, RUST.rstrip("\n"), *rust_rows, ""])
    print(text)
    page.put(HEADING + text, options.output)
    return 0 if found >= LEAST * planted and not missed else 1


def is_of(row: memprobe.Blocks, size: int) -> bool:
    """Is a row of blocks that were asked for with this size, and begin with no address? A chunk has a head of 8 bytes, and is
    rounded up: to 16, and where that leaves a rest that makes no chunk, to 32; one that is mapped to pages."""
    chunk = max((size + 8 + 15) // 16 * 16, 32)
    return row.begins is None and chunk <= row.size <= chunk + (16 if size < MAPPED else MORE)


if __name__ == "__main__":
    raise SystemExit(main())
