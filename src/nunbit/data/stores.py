"""Where pixels come from: files, members of a zip, one array in memory."""

from __future__ import annotations

import lzma
import os
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nunbit.errors import PictureError

__all__ = ["ZIP_ERRORS", "ArrayStore", "FileStore", "ZipStore", "read_file"]


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Read a picture file.

    Raises:
        PictureError: It cannot be read, or is no regular file (reading a pipe could
            wait for ever); the message is the reason.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise PictureError("not a regular file")
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise PictureError(error.strerror or str(error)) from error


class FileStore:
    """Picture files on disk; a name is the path relative to ``root``."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.root = root
        self._names = list(names)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, position: int) -> str:
        return self._names[position]

    def read(self, position: int) -> bytes:
        return read_file(os.path.join(self.root, self._names[position]))


ZIP_ERRORS = (
    *(OSError, EOFError, LookupError, RuntimeError, ValueError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)
"""What :mod:`zipfile` raises on an archive that is damaged or of an unknown kind."""


class ZipStore:
    """Members of a zip, read in place; each thread has its own file handle."""

    def __init__(self, path: Path, members: Sequence[str], names: Sequence[str]) -> None:
        self.path = path
        self._members = list(members)
        self._names = list(names)
        self._local = threading.local()

    def __len__(self) -> int:
        return len(self._members)

    def name(self, position: int) -> str:
        return self._names[position]

    def read(self, position: int) -> bytes:
        archive = getattr(self._local, "archive", None)
        try:
            if archive is None:
                archive = self._local.archive = zipfile.ZipFile(self.path)
            return archive.read(self._members[position])
        except ZIP_ERRORS as error:
            raise PictureError(f"cannot be read from {self.path.name}: {error}") from error


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
