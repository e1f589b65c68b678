"""Where pixels are: files, parts of a file, members of a zip, arrays in memory."""

from __future__ import annotations

import bz2
import lzma
import os
import stat
import struct
import threading
import weakref
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nunbit.errors import PictureError

__all__ = [
    "MAX_MEMBER_BYTES",
    "ZIP_ERRORS",
    "ArrayStore",
    "FileParts",
    "FileStore",
    "ListStore",
    "MemoryParts",
    "Parts",
    "PartsStore",
    "ZipStore",
    "file_stamp",
    "read_file",
]


_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
"""Not blocking: to open a pipe waits for whoever writes to it."""


def read_file(path: str | Path) -> bytes:
    """Read a picture file.

    Raises:
        PictureError: It cannot be read, or is no regular file (reading a pipe could
            wait for ever); the message is the reason.
    """
    if "\0" in os.fspath(path):
        raise PictureError("no file can have this name: it has a zero byte")
    try:
        file = os.open(path, _READ)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise PictureError("not a regular file")
            return _read_to_the_end(file, status.st_size)
        finally:
            os.close(file)
    except OSError as error:
        raise PictureError(error.strerror or str(error)) from error


def _read_to_the_end(file: int, size: int) -> bytes:
    """Read an open file that had this size a moment ago; it may be longer by now, or shorter."""
    data = os.read(file, size + 1)
    if len(data) == size:
        return data
    parts = [data]
    while data:
        data = os.read(file, 1 << 20)
        parts.append(data)
    return b"".join(parts)


def file_stamp(path: str | os.PathLike[str]) -> str:
    """Return what changes when a file does: size, time of change, time of its entry, in ns.

    The last one, unlike the second, cannot be set: it gives away a file that was copied
    over with the time of another.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        return str(error)
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


class FileStore:
    """Picture files on disk; a name is the path relative to ``root``, or absolute.

    Args:
        origin: What names the files, where that is not the folder itself: a CSV.
    """

    def __init__(self, root: Path, names: Sequence[str], *, origin: Path | None = None) -> None:
        self.root = root
        self._origin = origin or root
        self._names = list(names)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, position: int) -> str:
        return self._names[position]

    def read(self, position: int) -> bytes:
        return read_file(os.path.join(self.root, self._names[position]))

    @property
    def origin(self) -> str:
        return os.path.abspath(self._origin)

    def stamp(self, position: int) -> str:
        return file_stamp(os.path.join(self.root, self._names[position]))


class Parts(Protocol):
    """Bytes of which any part can be read, from several threads at once."""

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset``; fewer where the end comes first."""
        ...


class MemoryParts:
    """Parts of bytes in memory."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = memoryview(data)

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self._data[offset : offset + size])


class FileParts:
    """Parts of a file, which stays open, so it is the same file to the end.

    Args:
        file: A path, or an open descriptor that becomes ours.
    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, file: Path | int) -> None:
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
        self._file = os.open(file, flags) if isinstance(file, Path) else file
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, self._file)
        self.size = os.fstat(self._file).st_size

    def read(self, offset: int, size: int) -> bytes:
        end = min(offset + size, self.size)
        parts = []
        while offset < end:
            part = self._read(offset, end - offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file, size, offset)
        with self._lock:  # Windows has no pread
            os.lseek(self._file, offset, os.SEEK_SET)
            return os.read(self._file, size)


class PartsStore:
    """Pictures that lie one after another in a file or in memory, as in a tar.

    Args:
        places: Offset and size of each picture in ``parts``, in bytes.
        archive: What they lie in.
    """

    def __init__(
        self,
        parts: Parts,
        places: Sequence[tuple[int, int]],
        names: Sequence[str],
        *,
        archive: Path,
    ) -> None:
        self._parts = parts
        self._places = list(places)
        self._names = list(names)
        self._archive = archive
        self._stamp = file_stamp(archive)

    def __len__(self) -> int:
        return len(self._places)

    def name(self, position: int) -> str:
        return self._names[position]

    def read(self, position: int) -> bytes:
        offset, size = self._places[position]
        try:
            data = self._parts.read(offset, size)
        except OSError as error:
            reason = error.strerror or str(error)
            raise PictureError(f"cannot be read from {self._archive.name}: {reason}") from error
        if len(data) < size:
            raise PictureError(f"cannot be read from {self._archive.name}: it has become shorter")
        return data

    @property
    def origin(self) -> str:
        return os.path.abspath(self._archive)

    def stamp(self, position: int) -> str:
        offset, size = self._places[position]
        return f"{self._stamp}-{offset}-{size}"


ZIP_ERRORS = (
    *(OSError, EOFError, LookupError, RuntimeError, ValueError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)
"""What :mod:`zipfile` raises on an archive that is damaged or of an unknown kind."""

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
"""Source: PKWARE APPNOTE 6.3.10, section 4.3.7."""

_ENCRYPTED = 0x1

MAX_MEMBER_BYTES = 1 << 30
"""Largest member of an archive, unpacked, that is read."""


class ZipStore:
    """Members of a zip, read in place by any number of threads at once.

    :mod:`zipfile` makes threads wait for each other, and unpacks more than a member
    says it has.

    Args:
        members: As the zip's directory has them, or by name.
        names: What people know the pictures by.
        member_bytes: One that unpacks to more is not read.
    """

    def __init__(
        self,
        path: Path,
        members: Sequence[str | zipfile.ZipInfo],
        names: Sequence[str],
        *,
        member_bytes: int = MAX_MEMBER_BYTES,
    ) -> None:
        self.path = path
        self._member_bytes = member_bytes
        self._members = list(members)
        self._names = list(names)
        self._lock = threading.Lock()
        self._parts: FileParts | None = None
        self._directory: dict[str, zipfile.ZipInfo] | None = None

    def __len__(self) -> int:
        return len(self._members)

    def name(self, position: int) -> str:
        return self._names[position]

    def read(self, position: int) -> bytes:
        try:
            with self._lock:
                info = self._find(self._members[position])
                if info.file_size > self._member_bytes:
                    raise zipfile.BadZipFile(
                        f"it unpacks to {info.file_size:,} bytes, expected at most "
                        f"{self._member_bytes:,}"
                    )
                parts = self._parts = self._parts or FileParts(self.path)
            return _unpack(parts, info)
        except ZIP_ERRORS as error:
            raise PictureError(f"cannot be read from {self.path.name}: {error}") from error

    @property
    def origin(self) -> str:
        return os.path.abspath(self.path)

    def stamp(self, position: int) -> str:
        info = self._find(self._members[position])
        return f"{info.CRC}-{info.file_size}"

    def _find(self, member: str | zipfile.ZipInfo) -> zipfile.ZipInfo:
        if isinstance(member, zipfile.ZipInfo):
            return member
        if self._directory is None:
            with zipfile.ZipFile(self.path) as archive:
                self._directory = archive.NameToInfo
        return self._directory[member]


def _unpack(parts: FileParts, info: zipfile.ZipInfo) -> bytes:
    """Return the bytes of a member, which are as many as it says and have its checksum."""
    size = info.file_size
    if info.flag_bits & _ENCRYPTED:
        raise zipfile.BadZipFile("it is encrypted")
    if info.compress_size > 2 * size + 4096:
        raise zipfile.BadZipFile(f"{info.compress_size} packed bytes for {size} unpacked ones")
    header = parts.read(info.header_offset, _LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("there is no member where the directory says")
    *_, name_size, extra_size = _LOCAL_HEADER.unpack(header)
    start = info.header_offset + _LOCAL_HEADER.size + name_size + extra_size
    packed = parts.read(start, info.compress_size)
    if info.compress_type == zipfile.ZIP_STORED:
        data = packed
    elif info.compress_type == zipfile.ZIP_DEFLATED:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)
    elif info.compress_type == zipfile.ZIP_BZIP2:
        data = bz2.BZ2Decompressor().decompress(packed, size + 1)
    else:
        raise zipfile.BadZipFile(
            f"it is packed by method {info.compress_type}, expected 0 (stored), 8 (deflate) or "
            "12 (bzip2); make the zip again"
        )
    if len(data) != size:
        raise zipfile.BadZipFile(f"it does not unpack to the {size} bytes it says")
    if zlib.crc32(data) != info.CRC:
        raise zipfile.BadZipFile("its checksum is wrong")
    return data


class ArrayStore:
    """Pictures in one array.

    Args:
        pixels: uint8 (N, H, W) grey or (N, H, W, 3) RGB.
        name: Makes the name of a picture from its position.
    """

    def __init__(self, pixels: NDArray[np.uint8], name: Callable[[int], str]) -> None:
        self.pixels = pixels
        self._name = name

    def __len__(self) -> int:
        return len(self.pixels)

    def name(self, position: int) -> str:
        return self._name(position)

    def read(self, position: int) -> NDArray[np.uint8]:
        picture: NDArray[np.uint8] = self.pixels[position]
        return picture


class ListStore:
    """Pictures of different sizes in memory.

    Args:
        pictures: Each uint8 (H, W) grey or (H, W, 3) RGB.
        name: Makes the name of a picture from its position.
    """

    def __init__(self, pictures: Sequence[NDArray[np.uint8]], name: Callable[[int], str]) -> None:
        self._pictures = list(pictures)
        self._name = name

    def __len__(self) -> int:
        return len(self._pictures)

    def name(self, position: int) -> str:
        return self._name(position)

    def read(self, position: int) -> NDArray[np.uint8]:
        return self._pictures[position]
