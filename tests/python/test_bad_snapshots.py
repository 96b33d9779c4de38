# SPDX-License-Identifier: MIT
"""Every verb on snapshots that hold little, lie, or do not belong together: an answer or one sentence, and never a traceback."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import memprobe
from memprobe.cli.main import main

QUESTIONS = {
    "info": [],
    "summary": [],
    "dominators": [],
    "paths": ["0"],
    "cycles": ["--housekeeping"],
    "suspects": ["--percent", "0.1"],
    "waste": [],
}


# ---- files, made byte by byte as docs/FORMAT.md says ------------------------------------------------------------------------


def crc(data: bytes) -> int:
    """CRC-32C, a bit at a time."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def varints(*numbers: int) -> bytes:
    out = bytearray()
    for number in numbers:
        while number >= 128:
            out.append(number & 127 | 128)
            number >>= 7
        out.append(number)
    return bytes(out)


def text(words: str) -> bytes:
    return varints(len(words)) + words.encode()


def section(kind: bytes, contents: bytes) -> bytes:
    head = kind + struct.pack("<II", len(contents), crc(contents))
    return head + struct.pack("<I", crc(head)) + contents


def header() -> bytes:
    fixed = b"\x8fmprobe\n" + struct.pack("<II", 1, 0) + bytes(16)
    return fixed + struct.pack("<I", crc(fixed))


def block(sizes: list[int]) -> bytes:
    """Objects of type 0, without references."""
    shapes = b"".join(varints(0, size, 0, 0, 0) for size in sizes)
    addresses, codes = varints(*[2 * 4096] + [2 * 64] * (len(sizes) - 1)), varints(*range(len(sizes)))
    columns = [shapes, addresses, codes, b"", varints(0), b""]
    lengths = struct.pack("<6I", *map(len, columns))
    return section(b"NODE", struct.pack("<Q4I", 0, len(sizes), 0, 0, len(sizes)) + lengths + b"".join(columns))


def snapshot(sizes: list[int]) -> bytes:
    """A whole snapshot of so many objects and no root."""
    file = header() + section(b"FLDS", varints(1) + text("NONE"))
    if sizes:
        file += section(b"TYPE", varints(0, 1, 0) + text("thing") + varints(48, 0, 0, 0))
    blocks = varints(len(file), len(sizes), 0) if sizes else b""
    file += block(sizes) if sizes else b""
    totals = varints(len(sizes), 0, 1 if sizes else 0, 0, 0, 1 if sizes else 0)
    return file + section(b"DONE", totals + blocks + struct.pack("<Q", len(file)))


# ---- asking -----------------------------------------------------------------------------------------------------------------


def ask(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    said = capsys.readouterr()
    if code == 3:
        assert said.err.startswith("memprobe: ") and said.err.count("\n") == 1 and said.err.endswith(".\n"), said.err
    return code, said.out, said.err


def ask_all(capsys: pytest.CaptureFixture[str], file: Path, *codes: int) -> None:
    for verb, more in QUESTIONS.items():
        for json in ([], ["--json"]):
            code, out, _ = ask(capsys, verb, file, *more, *json)
            assert code in codes, (verb, code, out)
            assert code == 3 or json or "Next: " in out, (verb, out)


@pytest.fixture(autouse=True)
def short_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command repeats the names of files; a line is as long as they are."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def snapshot_of_this(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(memprobe.snapshot(tmp_path_factory.mktemp("real") / "real.snap", hashes=True).path)


@pytest.fixture
def real(snapshot_of_this: Path, tmp_path: Path) -> Path:
    (tmp_path / "real.snap").symlink_to(snapshot_of_this)
    return Path("real.snap")


def test_no_roots(capsys: pytest.CaptureFixture[str]) -> None:
    file = Path("rootless.snap")
    file.write_bytes(snapshot([48, 64, 4096]))
    heap = memprobe.load(file)
    assert heap.info.objects == 3 and heap.info.bytes == 4208 and heap.info.cut is None
    assert not {"threads", "modules", "interpreter"} & set(heap.roots())
    assert heap.retained(heap.roots()["roots"]) == 4208
    ask_all(capsys, file, 0)
    assert ask(capsys, "diff", file, file)[0] == 0


def test_empty(capsys: pytest.CaptureFixture[str]) -> None:
    file = Path("empty.snap")
    file.write_bytes(snapshot([]))
    heap = memprobe.load(file)
    assert heap.info.objects == heap.info.bytes == 0 and heap.nodes == len(heap.roots())
    assert not heap.suspects().rows and not heap.waste().rows and not heap.cycles() and not heap.find()
    ask_all(capsys, file, 0)
    assert ask(capsys, "diff", file, file, file)[0] == 0


def test_unknown_objects(real: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heap = memprobe.load(real)
    for id in (heap.nodes, -1, 1 << 32, 10**19):
        with pytest.raises(IndexError, match="ids are 0 to"):
            heap.node(id)
        code, _, said = ask(capsys, "dominators", "--node", id, real)
        assert code == 3 and f"its nodes are 0 to {heap.nodes - 1}" in said
    for name in (str(heap.nodes), "9" * 20, "0x10", "0x" + "f" * 16, "0xzz", "no.such.Type", "", "9" * 5000):
        code, _, said = ask(capsys, "paths", real, name)
        assert code == 3 and ("memprobe summary" in said or "its nodes are" in said), said


def test_two_programs(real: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing in common but, perhaps, the super-root: all of the newer one grew, and it says so."""
    other = Path("other.snap")
    other.write_bytes(snapshot([48, 64, 4096]))
    code, out, _ = ask(capsys, "diff", other, real)
    assert code == 0 and "whole heap" in out
    assert ask(capsys, "diff", real, other)[0] == 0
    assert ask(capsys, "diff", other, real, other)[0] == 0
    grown = memprobe.load(real).diff(memprobe.load(other))
    assert grown.growth == memprobe.load(real).info.bytes - 4208 and all(row.new is None for row in grown.rows)


def test_cut_anywhere(real: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, file, dice = real.read_bytes(), Path("cut.snap"), random.Random(3)
    for size in (0, 1, 35, 36, 37, 60, 200, *(dice.randrange(len(whole)) for _ in range(4)), len(whole) - 1):
        file.write_bytes(whole[:size])
        ask_all(capsys, file, 3 if size < 36 else 0)


def test_damaged(real: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bit flipped is found by a sum, whatever is asked."""
    whole, file, dice = real.read_bytes(), Path("damaged.snap"), random.Random(4)
    for _ in range(5):
        spoilt = bytearray(whole)
        spoilt[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
        file.write_bytes(spoilt)
        ask_all(capsys, file, 3)
        assert ask(capsys, "diff", real, file)[0] == 3


def reseal(file: bytearray) -> bytes:
    """The sums made right again, as far as lengths lead."""
    at = 36
    while at + 16 <= len(file):
        (length,) = struct.unpack_from("<I", file, at + 4)
        if length > len(file) - at - 16:
            break
        struct.pack_into("<I", file, at + 8, crc(file[at + 16 : at + 16 + length]))
        struct.pack_into("<I", file, at + 12, crc(file[at : at + 12]))
        at += 16 + length
    return bytes(file)


def test_lies_that_pass_the_sums(capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes changed and sums made right: each verb answers, or says in a sentence what is wrong."""
    whole, file, dice = snapshot([48, 64, 4096, 80, 96]), Path("lie.snap"), random.Random(5)
    codes: set[int] = set()
    for _ in range(60):
        spoilt = bytearray(whole)
        for _ in range(dice.randrange(1, 4)):
            spoilt[dice.randrange(36, len(whole))] = dice.choice((0, 1, 2, 127, 128, 255))
        file.write_bytes(reseal(spoilt))
        for verb, more in QUESTIONS.items():
            code = ask(capsys, verb, file, *more)[0]
            assert code in (0, 3)
            codes.add(code)
    assert codes == {0, 3}


def test_fail_on(real: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = Path("empty.snap")
    empty.write_bytes(snapshot([]))
    checks: list[tuple[int, Callable[[], Any]]] = [
        (0, lambda: ask(capsys, "cycles", "--fail-on-cycles", empty)),
        (1, lambda: ask(capsys, "cycles", "--fail-on-cycles", "--housekeeping", real)),
        (0, lambda: ask(capsys, "suspects", "--fail-on-suspect", "0.1", empty)),
        (1, lambda: ask(capsys, "diff", "--fail-on-growth", "1000", "--of", "objects", empty, real)),
        (0, lambda: ask(capsys, "diff", "--fail-on-growth", "1000", "--of", "objects", real, empty)),
        (3, lambda: ask(capsys, "diff", "--fail-on-growth", "1000", empty, real)),  # empty says nothing of its process
    ]
    for code, check in checks:
        assert check()[0] == code
