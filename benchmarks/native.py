"""Whose native memory is: `make bench-native` writes it into docs/MEMORY.md.

    python benchmarks/native.py [--output FILE] [KIND ...]

Of each kind of object a hundred are made, in a process of its own, and a snapshot is taken with native blocks. What their list
retains of these stands beside what malloc had in use more than before (mallinfo2). Fails when they are further apart than 3 % and
4 KiB."""

from __future__ import annotations

import argparse
import ctypes
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import page

import memprobe

ROOT = Path(__file__).resolve().parent.parent
COUNT = 100
HEADING = """## Native memory, by the objects that keep it

Of a hundred objects, what their list retains in a snapshot with native blocks ([NATIVE.md](NATIVE.md)), beside what malloc had in
use more when they were made (`mallinfo2`; of polars what was resident more, of pyarrow what it says itself; `make bench-native`,
CPython 3.13). Small blocks of Python's allocator are native, too,
and not malloc's; large objects are malloc's, and not native.
"""
TABLE = """
| 100 of | library | malloc gave | native, retained | objects, retained | native beside malloc |
|---|---|--:|--:|--:|:--|
"""
SHARE, FLOOR = 0.03, 4096


@dataclass(frozen=True)
class Kind:
    library: str
    setup: str
    expression: str
    apart: str = ""  # why the numbers are, where they must be
    given: str = ""  # who says what was given, where it is not glibc's malloc


KINDS = {
    "zlib.compressobj": Kind("zlib", "import zlib", "zlib.compressobj()"),
    "zlib.decompressobj": Kind(
        "zlib",
        "import zlib, os\npacked = zlib.compress(os.urandom(5000))\n"
        "def make():\n    made = zlib.decompressobj()\n    made.decompress(packed[:3000])\n    return made",
        "make()",
    ),
    "lzma.LZMACompressor": Kind("lzma", "import lzma", "lzma.LZMACompressor(preset=0)"),
    "bz2.BZ2Compressor": Kind("bz2", "import bz2", "bz2.BZ2Compressor(1)"),
    "hashlib.sha256": Kind("OpenSSL", "import hashlib", "hashlib.sha256(b'')"),
    "ssl.SSLContext": Kind("OpenSSL", "import ssl", "ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)"),
    "ssl, with authorities": Kind("OpenSSL", "import ssl", "ssl.create_default_context()"),
    "sqlite3.Connection": Kind(
        "SQLite",
        "import sqlite3\ndef make():\n    made = sqlite3.connect(':memory:')\n    made.execute('create table t(a)')\n"
        "    made.executemany('insert into t values(?)', [('x' * 500,)] * 100)\n    return made",
        "make()",
    ),
    "lxml tree": Kind("lxml", "from lxml import etree", "etree.fromstring('<a>' + '<b k=\"1\">xyz</b>' * 200 + '</a>')"),
    "lxml.etree.XPath": Kind("lxml", "from lxml import etree", "etree.XPath('//a/b[@c=1]')"),
    "shapely polygon": Kind("GEOS", "import shapely", "shapely.Point(0, 0).buffer(1, 64)"),
    "EC key": Kind(
        "cryptography", "from cryptography.hazmat.primitives.asymmetric import ec", "ec.generate_private_key(ec.SECP256R1())"
    ),
    "cipher": Kind(
        "cryptography",
        "from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes",
        "Cipher(algorithms.AES(b'0' * 32), modes.CTR(b'0' * 16)).encryptor()",
    ),
    "tokenizers.Tokenizer": Kind(
        "tokenizers (Rust)",
        "from tokenizers import Tokenizer, models\nwords = {f'a{n}': n for n in range(500)}",
        "Tokenizer(models.WordLevel(words, unk_token='a0'))",
    ),
    "SchemaValidator": Kind(
        "pydantic-core (Rust)",
        "from pydantic_core import SchemaValidator, core_schema as c\n"
        "def make():\n    fields = {f'k{n}': c.typed_dict_field(c.int_schema()) for n in range(20)}\n"
        "    return SchemaValidator(c.list_schema(c.typed_dict_schema(fields)))",
        "make()",
    ),
    "struct_pb2.Struct": Kind(
        "protobuf (upb)",
        "from google.protobuf import struct_pb2\ndef make():\n    made = struct_pb2.Struct()\n"
        "    for n in range(50): made[f'k{n}'] = n\n    return made",
        "make()",
        "its arena is an object's that C code alone refers to",
    ),
    "grpc channel": Kind(
        "gRPC (C++)", "import grpc", "grpc.insecure_channel('localhost:1')", "channels share what the library keeps of a name"
    ),
    "polars.Series": Kind("polars (Rust, jemalloc)", "import polars", "polars.Series('a', range(100_000))", given="resident()"),
    "pyarrow.Array": Kind(
        "pyarrow (C++, mimalloc)",
        "import pyarrow",
        "pyarrow.array(range(100_000))",
        "counted in the objects' sizes",
        given="pyarrow.total_allocated_bytes()",
    ),
    "h5py.File": Kind(
        "HDF5",
        "import h5py, io\ndef make():\n    made = h5py.File(io.BytesIO(), 'w')\n"
        "    made.create_dataset('d', data=[1.0] * 1000)\n    return made",
        "make()",
        "an object has a number, by which the library finds its own",
    ),
    "msgpack.Packer": Kind("msgpack", "import msgpack", "msgpack.Packer()"),
    "ZstdCompressor": Kind(
        "zstandard",
        "import zstandard\ndef make():\n    made = zstandard.ZstdCompressor()\n    made.compress(b'x' * 1000)\n    return made",
        "make()",
    ),
    "yaml.CLoader": Kind("libyaml", "import yaml", "yaml.CLoader('a: 1')"),
    "Int64HashTable": Kind("pandas", "import pandas", "pandas._libs.hashtable.Int64HashTable(5000)"),
    "PIL.Image": Kind("Pillow", "from PIL import Image", "Image.new('RGB', (500, 500), 1)"),
    "expat parser": Kind(
        "expat", "import xml.parsers.expat", "xml.parsers.expat.ParserCreate()", "in part blocks of Python's allocator"
    ),
    "torch.Tensor": Kind("torch (C++)", "import torch", "torch.rand(1000)"),  # where it is installed: it brings gigabytes
    "default_rng": Kind("numpy", "import numpy", "numpy.random.default_rng(1)"),
}


class Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]


def resident() -> int:
    """Bytes that are resident: the library's allocator counts nothing that can be asked."""
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("Rss:"))


def in_use() -> int:
    """Bytes that malloc has given out, heads among them."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = Mallinfo
    found = libc.mallinfo2()
    return int(found.uordblks + found.hblkhd)


def measure(kind: Kind) -> dict[str, int]:
    """In this process: what malloc gave, and what the objects retain: native, and of their own in malloc."""
    names: dict[str, object] = {"resident": resident, "in_use": in_use}
    exec(kind.setup, names)
    given = eval(f"lambda: {kind.given or 'in_use()'}", names)
    make = eval(f"lambda: {kind.expression}", names)
    first = [make() for _ in range(30)]  # what is made once is made
    kept: list[object] = [None] * COUNT
    before = given()
    for n in range(COUNT):
        kept[n] = make()
    made = given() - before
    with tempfile.NamedTemporaryFile() as file:
        memprobe.snapshot(file.name, native=True)
        heap = memprobe.load(file.name)
    node = heap.at(id(kept))
    assert node is not None and first
    objects = heap.retained(node)
    return {"made": made, "native": heap.retained(node, native=True) - objects, "objects": objects}


def verdict(found: dict[str, int]) -> bool:
    """Near enough: pymalloc's small blocks, and objects that are in malloc themselves, are in one of the two numbers only."""
    slack = SHARE * found["made"] + FLOOR
    return -slack <= found["made"] - found["native"] <= slack + found["objects"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "MEMORY.md")
    parser.add_argument("--one", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="these only, without writing the page")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(KINDS[options.one])))
        return 0
    rows, failed = [], 0
    for name, found, problem in page.each(__file__, options.kinds or KINDS):
        if found is None:
            rows.append(f"| {name} | {KINDS[name].library} | {problem} | | |")
        else:
            near, why = verdict(found), KINDS[name].apart
            failed += not near and not why
            if near and 2 * found["native"] < found["made"]:
                why = "counted in the objects' sizes"
            share = f"{100 * (found['native'] - found['made']) / max(1, found['made']):+.1f} %"
            numbers = (found["made"], found["native"], found["objects"])
            rows.append(f"| {name} | {KINDS[name].library} | " + " | ".join(f"{n:,}" for n in numbers) + f" | {share} {why} |")
        print(rows[-1], flush=True)
    if not options.kinds:
        page.put(f"{HEADING}\n{TABLE}" + "\n".join(rows) + "\n", options.output)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
