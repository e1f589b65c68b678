"""Walking through a tar: names, kinds, offsets and sizes of its members.

A packed tar is read once, and what is wanted of it kept in a :class:`Spool`.

:mod:`tarfile` stops in silence where a header is damaged, and reads long headers of
any claimed size into memory; here a damaged tar is an error and a header has a limit.
Source: POSIX.1-2001 ``pax``, section "ustar Interchange Format"; GNU tar manual,
"Basic Tar Format".
Departs: of the extended headers only path and size count; sparse files are not read.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, cast

from nunbit.data.sources.stores import FileParts, MemoryParts, Parts
from nunbit.errors import StorageError

__all__ = ["PartsTape", "Spool", "StreamTape", "Tape", "TarMember", "walk_tar"]

BLOCK_BYTES = 512
MAX_HEADER_BYTES = 1 << 20
"""Largest extended header, in bytes; a long name takes a few hundred."""

_LONG_NAME, _LONG_LINK, _PAX = b"L", b"K", (b"x", b"X")
_PAX_GLOBAL = b"g"
_WITHOUT_BODY = (b"1", b"2", b"3", b"4", b"5", b"6")
_PAX_RECORD = re.compile(rb"(\d{1,20}) ([^=]+)=")


@dataclass(frozen=True)
class TarMember:
    """One member: where its bytes are and what it is."""

    name: str
    kind: Literal["file", "folder", "link", "other"]
    offset: int
    size: int


class Tape:
    """Bytes that are read forwards; ``offset`` is where the next ones come from."""

    offset = 0

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes; fewer only at the end."""
        raise NotImplementedError

    def skip(self, size: int) -> None:
        """Go on by ``size`` bytes.

        Raises:
            tarfile.ReadError: The end comes first.
        """
        raise NotImplementedError


class PartsTape(Tape):
    """A tape over bytes of which any part can be read."""

    def __init__(self, parts: Parts, size: int) -> None:
        self._parts = parts
        self._size = size

    def read(self, size: int) -> bytes:
        data = self._parts.read(self.offset, size)
        self.offset += len(data)
        return data

    def skip(self, size: int) -> None:
        self.offset += size
        if self.offset > self._size:
            raise tarfile.ReadError("the end is missing")


class StreamTape(Tape):
    """A tape that is unpacked as it is read.

    Args:
        read: Returns up to so many next bytes.
        check: Called with the offset after each read; may raise.
    """

    def __init__(self, read: Callable[[int], bytes], check: Callable[[int], None]) -> None:
        self._read = read
        self._check = check

    def read(self, size: int) -> bytes:
        parts = []
        while size:
            part = self._read(min(size, 1 << 20))
            if not part:
                break
            parts.append(part)
            size -= len(part)
            self.offset += len(part)
            self._check(self.offset)
        return b"".join(parts)

    def skip(self, size: int) -> None:
        while size:
            part = len(self.read(min(size, 1 << 20)))
            if not part:
                raise tarfile.ReadError("the end is missing")
            size -= part


def walk_tar(tape: Tape) -> Iterator[TarMember]:
    """Yield the members of a tar in order.

    Between two members the caller may read the bytes of the first from the tape, all
    of them or none.

    Raises:
        tarfile.TarError: The tar is damaged or truncated.
    """
    long_name: bytes | None = None
    records: dict[bytes, bytes] = {}
    shared: dict[bytes, bytes] = {}
    while True:
        header = tape.read(BLOCK_BYTES)
        if header == bytes(BLOCK_BYTES):
            return
        if not header:
            raise tarfile.ReadError("the mark of the end is missing")
        info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        if info.size < 0:
            raise tarfile.ReadError("a member has a negative size")
        if info.type in (_LONG_NAME, _LONG_LINK, _PAX_GLOBAL, *_PAX):
            data = _extended(tape, info.size)
            if info.type == _LONG_NAME:
                long_name = data.split(b"\0", 1)[0]
            elif info.type == _PAX_GLOBAL:
                shared |= _pax(data)
            elif info.type in _PAX:
                records = _pax(data)
            continue
        if info.type == tarfile.GNUTYPE_SPARSE:
            _skip_sparse_map(tape, header)
        records = shared | records
        size = _size(records, info)
        name = records.get(b"path", long_name)
        kind = _kind(info, is_sparse=any(key.startswith(b"GNU.sparse") for key in records))
        body = tape.offset
        yield TarMember(
            name=info.name if name is None else name.decode("utf-8", "surrogateescape"),
            kind=kind,
            offset=body,
            size=size,
        )
        end = body + (0 if info.type in _WITHOUT_BODY else _padded(size))
        tape.skip(end - tape.offset)
        long_name, records = None, {}


def _kind(info: tarfile.TarInfo, *, is_sparse: bool) -> Literal["file", "folder", "link", "other"]:
    if info.isdir():
        return "folder"
    if info.issym() or info.islnk():
        return "link"
    is_plain = info.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
    return "file" if is_plain and not is_sparse else "other"


def _skip_sparse_map(tape: Tape, header: bytes) -> None:
    """Pass over the blocks with which GNU tar continues the map of a sparse file."""
    goes_on = header[482]
    while goes_on:
        block = tape.read(BLOCK_BYTES)
        goes_on = len(block) == BLOCK_BYTES and block[504]


def _padded(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _extended(tape: Tape, size: int) -> bytes:
    if size > MAX_HEADER_BYTES:
        raise tarfile.ReadError(
            f"a header of {size:,} bytes, expected at most {MAX_HEADER_BYTES:,}"
        )
    data = tape.read(size)
    if len(data) < size:
        raise tarfile.ReadError("the end is missing")
    tape.skip(_padded(size) - size)
    return data


def _pax(data: bytes) -> dict[bytes, bytes]:
    """Read records: length, space, key, equals sign, value, line end."""
    records = {}
    at = 0
    while at < len(data) and data[at]:
        match = _PAX_RECORD.match(data, at)
        length = int(match[1]) if match else 0
        if match is None or at + length > len(data) or match.end() >= at + length:
            raise tarfile.ReadError("a damaged extended header")
        records[match[2]] = data[match.end() : at + length - 1]
        at += length
    return records


def _size(records: dict[bytes, bytes], info: tarfile.TarInfo) -> int:
    text = records.get(b"size")
    if text is None:
        return info.size
    if not text.isdigit() or len(text) > 18:
        raise tarfile.ReadError("a damaged extended header")
    return int(text)


class Spool:
    """Bytes kept in memory, and from a limit on in a temporary file without a name.

    The file takes no more than half of the room that is free when it is made.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._limit = memory_bytes
        self._memory = bytearray()
        self._file: int | None = None
        self._parts: FileParts | None = None
        self._size = 0
        self._most = 0

    def write(self, data: bytes) -> int:
        """Keep bytes; return where they start."""
        start = self._size
        self._size += len(data)
        if self._file is None and self._size <= self._limit:
            self._memory += data
            return start
        try:
            if self._file is None:
                self._open_file()
            room = self._size <= self._most
            if room:
                _write(cast(int, self._file), self._memory)
                self._memory = bytearray()
                _write(cast(int, self._file), data)
        except OSError as error:
            raise _no_room(error.strerror or str(error)) from error
        if not room:
            raise _no_room(f"it takes more than {self._most / 1e6:,.0f} MB, half of what is free")
        return start

    def _open_file(self) -> None:
        with tempfile.TemporaryFile(prefix="nunbit-tar-") as file:
            self._file = os.dup(file.fileno())
        self._parts = FileParts(self._file)
        self._most = shutil.disk_usage(tempfile.gettempdir()).free // 2

    def finish(self) -> Parts:
        """Return what was kept."""
        if self._parts is None:
            return MemoryParts(self._memory)
        self._parts.size = self._size
        return self._parts


def _no_room(why: str) -> StorageError:
    return StorageError(
        f"a packed tar does not fit into `{tempfile.gettempdir()}`: {why}. Set TMPDIR to a folder "
        "with room, or unpack the tar and give the folder."
    )


def _write(file: int, data: bytes | bytearray) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]
