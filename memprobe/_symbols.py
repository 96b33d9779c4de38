"""What native blocks begin with, by name: places in programs and libraries, by the symbol tables of their ELF files (System V ABI,
"Object files"), read where a heap is analysed.

A snapshot has the build id of each file (docs/FORMAT.md, native_images). Only a file with the same id is asked: the one at the
same path, or its separate debug information in /usr/lib/debug. Without either a place keeps its file and offset."""

from __future__ import annotations

import mmap
import os
import re
import stat
import struct
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from memprobe.heap import Heap

PLACE = re.compile("<(.+)\\+0x([0-9a-f]{1,15})>")
DEBUG = "/usr/lib/debug/.build-id"
PAGE = 4096
HEADER = struct.Struct("<16x2HI3QI6H")
PROGRAM = struct.Struct("<2I6Q")
SECTION = struct.Struct("<2I4Q2I2Q")
SYMBOL = struct.Struct("<IBBHQQ")
NOTE = struct.Struct("<3I")
PT_LOAD, PT_NOTE, NT_GNU_BUILD_ID = 1, 4, 3
SYMTAB, SHT_NOTE, DYNSYM = 2, 7, 11
NAMED = {1, 2, 10}  # STT_OBJECT, STT_FUNC, STT_GNU_IFUNC
VTABLE = "vtable for "
NAMELESS = "anon."  # what rustc calls data without a name: nobody would know it
VTABLE_HEAD = 16  # bytes of a C++ vtable before the address that objects have of it (Itanium C++ ABI, 2.5.2)


class Image(NamedTuple):
    """A file that was mapped."""

    build_id: str
    path: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def images_of(heap: Heap) -> dict[str, Image]:
    """The files that types of native blocks are called by, without those of which two have one name."""
    found: dict[str, list[Image]] = defaultdict(list)
    for line in str(heap._graph.infos().get("native_images", "")).splitlines():
        build_id, _, rest = line.partition(" ")
        path = rest.partition(" ")[2]
        image = Image(build_id, path)
        found[image.name].append(image)
    return {name: images[0] for name, images in found.items() if len(images) == 1}


def resolve(heap: Heap, kinds: Iterable[str]) -> dict[str, str]:
    """The symbols of places that types of native blocks are called by: {"libz.so.1+0x1f0": "configuration_table+0x10"}."""
    images = images_of(heap)
    wanted: dict[str, set[int]] = defaultdict(set)
    for kind in kinds:
        place = PLACE.fullmatch(kind)
        if place and place[1] in images:
            wanted[place[1]].add(int(place[2], 16))
    return {
        f"{name}+0x{offset:x}": symbol
        for name, offsets in wanted.items()
        for offset, symbol in names_in(images[name], offsets).items()
    }


def names_in(image: Image, offsets: Iterable[int]) -> dict[int, str]:
    """The symbols at these distances from the first mapped byte, of those that are known."""
    wanted = sorted(set(offsets))
    debug = f"{DEBUG}/{image.build_id[:2]}/{image.build_id[2:]}.debug"
    for path in debug, image.path:
        try:
            found = _read(path, image.build_id, wanted)
        except (OSError, ValueError, IndexError, OverflowError, struct.error):  # not there, or none that can be read: the next one
            continue
        if found:
            return {offset: _readable(*place) for offset, place in found.items()}
    return {}


def _read(path: str, build_id: str, wanted: list[int]) -> dict[int, tuple[str, int]]:
    """The symbol, and how far behind its beginning, of each place that is in one."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # a file may name what blocks whoever opens it
        return {}
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        elf = _Elf(data)
        return elf.places(wanted) if build_id and build_id in elf.build_ids() else {}


class _Elf:
    """A 64-bit little-endian file."""

    def __init__(self, data: mmap.mmap) -> None:
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("no ELF file")
        self.data = data
        fields = HEADER.unpack_from(data)
        programs, sections, program_size, program_count, section_size, section_count = fields[4], fields[5], *fields[8:12]
        if program_size != PROGRAM.size or section_size != SECTION.size:
            raise ValueError("headers of an unknown size")
        self.programs = [PROGRAM.unpack_from(data, programs + i * PROGRAM.size) for i in range(program_count)]
        self.sections = [SECTION.unpack_from(data, sections + i * SECTION.size) for i in range(section_count)]

    def build_ids(self) -> Iterator[str]:
        segments = [(row[2], row[5]) for row in self.programs if row[0] == PT_NOTE]
        for offset, size in segments + [(row[4], row[5]) for row in self.sections if row[1] == SHT_NOTE]:
            yield from self._build_ids_at(offset, offset + size)

    def _build_ids_at(self, offset: int, end: int) -> Iterator[str]:
        while offset + NOTE.size <= end:
            name_size, id_size, what = NOTE.unpack_from(self.data, offset)
            begin = offset + NOTE.size + (name_size + 3 & ~3)
            if what == NT_GNU_BUILD_ID and self.data[offset + NOTE.size : begin] == b"GNU\0":
                yield self.data[begin : begin + id_size].hex()
            offset = begin + (id_size + 3 & ~3)

    def places(self, wanted: list[int]) -> dict[int, tuple[str, int]]:
        first = min((address for kind, _, _, address, *_ in self.programs if kind == PT_LOAD), default=0) & -PAGE
        addresses = [offset + first for offset in wanted]
        found: dict[int, tuple[str, int]] = {}
        for kind in SYMTAB, DYNSYM:
            for section in self.sections:
                if section[1] == kind:
                    found = {**self._places_by(section, addresses), **found}
        return {address - first: place for address, place in found.items()}

    def _places_by(self, table: tuple[int, ...], addresses: list[int]) -> dict[int, tuple[str, int]]:
        offset, size, link = table[4], table[5], table[6]
        names = self.sections[link][4]
        found: dict[int, tuple[str, int]] = {}
        symbols = memoryview(self.data)[offset : offset + size // SYMBOL.size * SYMBOL.size]
        try:
            for name, info, _, section, value, length in SYMBOL.iter_unpack(symbols):
                if section and info & 15 in NAMED and length:
                    inside = range(bisect_left(addresses, value), bisect_right(addresses, value + length - 1))
                    called = self._text(names + name) if inside else ""
                    for at in inside if not called.startswith(NAMELESS) else ():
                        found.setdefault(addresses[at], (called, addresses[at] - value))
        finally:
            symbols.release()
        return found

    def _text(self, offset: int) -> str:
        end = self.data.find(b"\0", offset)
        return self.data[offset:end].decode("utf-8", "backslashreplace")


# ---- names for people --------------------------------------------------------------------------------------------------------


def _readable(name: str, offset: int) -> str:
    name = demangled(name.partition("@")[0])
    if offset == VTABLE_HEAD and name.startswith(VTABLE):
        return name
    return f"{name}+0x{offset:x}" if offset else name


def demangled(name: str) -> str:
    """A C++ name as one writes it, where the C++ library is there to say so."""
    if not name.startswith("_Z"):
        return name
    import ctypes

    try:
        demangle = ctypes.CDLL("libstdc++.so.6").__cxa_demangle
    except (OSError, AttributeError):
        return name
    demangle.restype = ctypes.c_void_p
    status = ctypes.c_int()
    text = demangle(name.encode(), None, None, ctypes.byref(status))
    if not text:
        return name
    try:
        return ctypes.string_at(text).decode("utf-8", "backslashreplace")
    finally:
        free = ctypes.CDLL(None).free
        free.argtypes = [ctypes.c_void_p]
        free(text)
