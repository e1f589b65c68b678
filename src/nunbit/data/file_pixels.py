"""Pixels in a file, read and written by row, that count as nobody's memory.

It stands where an array in memory would stand. A mapped file would do so, too, but
current kernels map whole large pages around each picture that is touched: 320 random
pictures of 49 kB, 16 MB in all, were seen to count as 458 MB of resident memory
(Linux 6.18). Reading them takes 8 µs a picture, mapped or not.

Source of the format: NumPy's ``.npy``, version 1.0.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["FilePixels"]

Rows = int | slice | NDArray[np.int64]


class FilePixels:
    """uint8 (N, H, W, C) in a file; any thread may read, and write rows of its own.

    Args:
        file: An open descriptor, which becomes ours.
        shape: (N, H, W, C).
        offset: Where the first row starts in the file, in bytes.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, file: int, shape: tuple[int, ...], *, offset: int = 0) -> None:
        self.shape = shape
        self._file, self._offset = file, offset
        self._row_bytes = math.prod(shape[1:])
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, file)

    @classmethod
    def open(cls, path: Path) -> FilePixels:
        """Open a ``.npy`` file for reading.

        Raises:
            OSError: It cannot be read.
            ValueError: It is no uint8 array of four axes, or shorter than it says.
        """
        with open(path, "rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("not version 1.0")
            shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
            offset = file.tell()
            whole = os.fstat(file.fileno()).st_size >= offset + math.prod(shape)
            if dtype != cls.dtype or by_columns or len(shape) != 4 or not whole:
                raise ValueError("not the pixels that were written")
            return cls(os.dup(file.fileno()), shape, offset=offset)

    @classmethod
    def create(cls, path: Path, shape: tuple[int, ...]) -> FilePixels:
        """Make a ``.npy`` file to be filled row by row.

        Raises:
            OSError: It cannot be made, or there is no room.
        """
        with open(path, "xb+") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            offset = file.tell()
            file.truncate(offset + math.prod(shape))
            return cls(os.dup(file.fileno()), shape, offset=offset)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes that the pixels take."""
        return math.prod(self.shape)

    def __getitem__(self, rows: Rows) -> NDArray[np.uint8]:
        """Return one picture, or (B, H, W, C) of a slice or of row numbers."""
        if isinstance(rows, (int, np.integer)):
            one: NDArray[np.uint8] = self[np.array([rows])][0]
            return one
        wanted = np.arange(len(self))[rows]
        found = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        flat = found.reshape(len(wanted), self._row_bytes)
        cuts = np.flatnonzero(np.diff(wanted) != 1) + 1  # runs of neighbours are read at once
        for start, stop in zip([0, *cuts.tolist()], [*cuts.tolist(), len(wanted)], strict=True):
            if stop > start:
                self._read(int(wanted[start]), flat[start:stop].reshape(-1))
        return found

    def __setitem__(self, rows: Rows, pixels: NDArray[np.uint8]) -> None:
        """Write one picture, or those of row numbers."""
        if isinstance(rows, (int, np.integer)):
            rows, pixels = np.array([rows]), pixels[None]
        for row, picture in zip(np.arange(len(self))[rows].tolist(), pixels, strict=True):
            self._write(row, np.ascontiguousarray(picture))

    def _read(self, row: int, target: NDArray[np.uint8]) -> None:
        at, view = self._offset + row * self._row_bytes, memoryview(target.data)
        while view:
            if hasattr(os, "preadv"):
                count = os.preadv(self._file, [view], at)
            else:  # Windows and older macOS
                with self._lock:
                    os.lseek(self._file, at, os.SEEK_SET)
                    data = os.read(self._file, len(view))
                count, view[: len(data)] = len(data), data
            if count == 0:
                raise EOFError("the file of decoded pictures has become shorter")
            at, view = at + count, view[count:]

    def _write(self, row: int, picture: NDArray[np.uint8]) -> None:
        at, view = self._offset + row * self._row_bytes, memoryview(picture.data).cast("B")
        while view:
            if hasattr(os, "pwrite"):
                count = os.pwrite(self._file, view, at)
            else:
                with self._lock:
                    os.lseek(self._file, at, os.SEEK_SET)
                    count = os.write(self._file, view)
            at, view = at + count, view[count:]
