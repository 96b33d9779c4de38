# SPDX-License-Identifier: MIT
"""What is called lost of programs that leak nothing: `make bench-native` writes it into docs/NATIVE.md.

    python benchmarks/native_lost.py [--output FILE] [PROGRAM ...]

Each program, in a process of its own, does a piece of work again and again, without keeping anything of it; a snapshot with
native blocks is taken at two such moments. Fails when more than one part in a thousand of the native bytes is called lost, or
blocks of one beginning and size that are lost grow from the one to the other by one with each piece of work: that would be a
leak, of the library or of ours. What a library forgets once, when it is loaded, is in both snapshots, and in the table."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import page

import memprobe

ROOT = Path(__file__).resolve().parent.parent
HEADING = """## Lost, of programs that leak nothing

Each does the same work again and again and keeps nothing of it; snapshots are taken after 10 times and after 30
(`make bench-native`, CPython 3.13). *Grew* is by how many blocks, of any beginning and size, more are lost in the second. The
last column is what valgrind says after the work was done once: blocks *definitely* and *indirectly* lost (`PYTHONMALLOC=malloc`,
`--leak-check=full`), of Python objects, too.
"""
TABLE = """
| program | native blocks | bytes | lost | bytes | share | grew | most of what is lost | valgrind |
|---|--:|--:|--:|--:|--:|--:|---|--:|
"""
SHARE, FIRST, MORE = 0.001, 10, 20
VALGRIND_SECONDS = 300
LOSE = ("cryptography", "ssl over asyncio")  # when cryptography is loaded, by valgrind's count, too

PROGRAMS = {
    "zlib, lzma, bz2": """
import bz2, lzma, os, zlib
text = os.urandom(50_000) * 4
def work():
    for module in (zlib, bz2, lzma): assert module.decompress(module.compress(text)) == text
""",
    "json, re, csv, decimal": """
import csv, decimal, io, json, re
rows = [{"n": n, "text": "x" * (n % 50), "price": n / 3} for n in range(3000)]
def work():
    text = json.dumps(rows)
    assert json.loads(text) == rows and len(re.findall(r'"n": (\\d+)', text)) == 3000
    csv.DictWriter(io.StringIO(), ["n", "text", "price"]).writerows(rows)
    assert sum(decimal.Decimal(row["n"]) / 7 for row in rows)
""",
    "sqlite3": """
import sqlite3
def work():
    base = sqlite3.connect(":memory:")
    base.execute("create table t(a, b)")
    base.create_function("twice", 1, lambda x: 2 * x)
    base.executemany("insert into t values(?, ?)", [(n, "x" * (n % 300)) for n in range(5000)])
    assert base.execute("select sum(twice(a)) from t where b like 'x%'").fetchone()
    base.close()
""",
    "xml.etree, expat": """
import io, xml.etree.ElementTree as tree
text = "<a>" + "<b k='1'>text<c/></b>" * 5000 + "</a>"
def work():
    assert len(tree.fromstring(text)) == 5000
    for _ in tree.iterparse(io.StringIO(text)): pass
""",
    "ssl over asyncio": """
import asyncio, datetime, os, ssl, tempfile
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
now = datetime.datetime.now()
made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
made = made.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(9)).sign(key, hashes.SHA256())
pem = serialization.Encoding.PEM
file = tempfile.NamedTemporaryFile()
file.write(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()) + made.public_bytes(pem))
file.flush()
server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
server_side.load_cert_chain(file.name)
client_side.check_hostname, client_side.verify_mode = False, ssl.CERT_NONE
async def answer(reader, writer):
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()
async def talk():
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_side)
    port = server.sockets[0].getsockname()[1]
    for _ in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_side)
        writer.write(b"hello\\n")
        assert await reader.readline() == b"hello\\n"
        writer.close()
    server.close()
def work(): asyncio.run(talk())
""",
    "threads": """
import concurrent.futures, hashlib, os, zlib
pool = concurrent.futures.ThreadPoolExecutor(8)
def one(n):
    data = os.urandom(20_000 + n)
    return hashlib.sha256(zlib.compress(data)).hexdigest()
def work(): assert len(set(pool.map(one, range(200)))) == 200
""",
    "numpy": """
import numpy
dice = numpy.random.default_rng(1)
def work():
    a = dice.random((300, 300))
    numpy.linalg.svd(a); numpy.fft.fft2(a); numpy.sort(a.astype("U8"), axis=None); numpy.array(["x", 1, None], object)
""",
    "pandas": """
import io, pandas
def work():
    frame = pandas.DataFrame({"key": [f"k{n % 100}" for n in range(20_000)], "n": range(20_000)})
    frame.groupby("key").agg(["sum", "mean"]); frame.merge(frame.head(100), on="n")
    pandas.read_csv(io.StringIO(frame.to_csv()))
""",
    "lxml": """
from lxml import etree, html
text = "<a>" + "<b k='1'>text<c/></b>" * 5000 + "</a>"
sheet = etree.XSLT(etree.fromstring('<x:stylesheet version="1.0" xmlns:x="http://www.w3.org/1999/XSL/Transform">'
    '<x:template match="/"><o><x:value-of select="count(//b)"/></o></x:template></x:stylesheet>'))
def work():
    tree = etree.fromstring(text)
    assert len(tree.xpath("//b[@k=1]/c")) == 5000 and str(sheet(tree)); html.fromstring("<p>x<p>y")
""",
    "Pillow": """
import io
from PIL import Image, ImageDraw, ImageFilter
def work():
    picture = Image.effect_mandelbrot((300, 300), (-2, -2, 2, 2), 50).convert("RGB")
    ImageDraw.Draw(picture).text((5, 5), "text"); picture.resize((100, 100)).filter(ImageFilter.BLUR)
    for kind in ("PNG", "JPEG", "WEBP"):
        file = io.BytesIO(); picture.save(file, kind); Image.open(file).load()
""",
    "pydantic": """
import pydantic
class Item(pydantic.BaseModel):
    name: str
    price: float
    tags: list[str] = []
class Order(pydantic.BaseModel):
    items: list[Item]
text = Order(items=[Item(name=f"n{n}", price=n, tags=["a", "b"]) for n in range(500)]).model_dump_json()
def work():
    assert len(Order.model_validate_json(text).items) == 500
    pydantic.create_model("Made", a=(int, 1))(a="5")
""",
    "cryptography": """
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa, padding
def work():
    key = ec.generate_private_key(ec.SECP256R1())
    key.public_key().verify(key.sign(b"x", ec.ECDSA(hashes.SHA256())), b"x", ec.ECDSA(hashes.SHA256()))
    box = Fernet(Fernet.generate_key()); assert box.decrypt(box.encrypt(b"y" * 1000))
""",
    "protobuf": """
from google.protobuf import struct_pb2, json_format
def work():
    made = struct_pb2.Struct()
    for n in range(500): made[f"k{n}"] = {"a": n, "b": [1, "x"]}
    again = struct_pb2.Struct.FromString(made.SerializeToString())
    assert json_format.MessageToJson(again)
""",
    "shapely": """
import shapely
def work():
    shapes = [shapely.Point(n % 50, n // 50).buffer(0.7) for n in range(500)]
    shapely.unary_union(shapes); tree = shapely.STRtree(shapes); tree.query(shapes[7])
    assert shapely.from_wkb(shapely.to_wkb(shapes[3])).equals(shapes[3])
""",
    "tokenizers": """
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
text = ["the quick brown fox jumps over the lazy dog " * 20] * 50
def work():
    made = Tokenizer(models.BPE()); made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator(text, trainers.BpeTrainer(vocab_size=200, show_progress=False)); made.encode(text[0])
""",
}


def groups(heap: memprobe.Heap) -> Counter[tuple[str | None, int]]:
    return Counter({(row.begins, row.size): row.count for row in heap.lost(limit=None).every})


def measure(program: str) -> dict[str, object]:
    """In this process: what is lost at the second moment, and by how many blocks the group grew that grew most."""
    names: dict[str, object] = {"__name__": "__main__"}
    exec(PROGRAMS[program], names)
    heaps = []
    with tempfile.TemporaryDirectory() as folder:
        for times in (FIRST, MORE):
            for _ in range(times):
                eval("work()", names)
            memprobe.snapshot(Path(folder, str(times)), native=True)
            heaps.append(memprobe.load(Path(folder, str(times))))
        older, heap = heaps
        grew = groups(heap) - groups(older)
        lost, native = heap.lost(), heap.native()
        return {
            "blocks": native.blocks,
            "bytes": native.bytes,
            "lost": lost.blocks,
            "lost_bytes": lost.bytes,
            "grew": max(grew.values(), default=0),
            "most": str(max(lost.every, key=lambda row: row.bytes)) if lost.every else "",
        }


def by_valgrind(program: str) -> str:
    """How many blocks valgrind calls lost, or why it does not say."""
    if shutil.which("valgrind") is None:
        return "not here"
    code = f"import os\n{PROGRAMS[program]}\nwork()\nos._exit(0)"
    command = ["valgrind", "--leak-check=full", "--show-leak-kinds=definite", sys.executable, "-c", code]
    try:
        done = subprocess.run(
            command, env={**os.environ, "PYTHONMALLOC": "malloc"}, capture_output=True, text=True, timeout=VALGRIND_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"not in {VALGRIND_SECONDS} s"
    found = re.findall(r"(?:definitely|indirectly) lost: [\d,]+ bytes in ([\d,]+) blocks", done.stderr)
    return f"{sum(int(blocks.replace(',', '')) for blocks in found):,}" if len(found) == 2 else "no answer"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "NATIVE.md")
    parser.add_argument("--one", choices=PROGRAMS, help=argparse.SUPPRESS)
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="these only, without writing the page")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return 0
    rows, failed = [], 0
    for name, found, problem in page.each(__file__, options.programs or PROGRAMS):
        if found is None:
            rows.append(f"| {name} | {problem} | | | | | | | |")
        else:
            share = found["lost_bytes"] / found["bytes"]
            failed += (share > SHARE and name not in LOSE) or found["grew"] >= MORE
            numbers = " | ".join(f"{found[key]:,}" for key in ("blocks", "bytes", "lost", "lost_bytes"))
            rows.append(f"| {name} | {numbers} | {100 * share:.3f} % | {found['grew']} | {found['most']} | {by_valgrind(name)} |")
        print(rows[-1], flush=True)
    if not options.programs:
        page.put(f"{HEADING}{TABLE}" + "\n".join(rows) + "\n", options.output)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
