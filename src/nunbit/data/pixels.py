"""Decode once: every picture of a table as uint8, in one array.

After this step training touches no file. The array lies in memory, or, where it
would take more than the budget, in a temporary file that is mapped into memory
and disappears with the process.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nunbit.data.decode import decode
from nunbit.data.preprocessing import Preprocessing
from nunbit.data.stores import ArrayStore
from nunbit.data.table import PictureTable
from nunbit.errors import PictureError, StorageError

__all__ = ["Survey", "Unreadable", "decode_table", "default_budget_bytes", "processors", "survey"]

CHUNK = 64
"""Pictures that a thread takes at a time."""


@dataclass(frozen=True)
class Unreadable:
    """A picture that could not be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Survey:
    """What a sample of the pictures looks like."""

    side: int
    """Median of the shorter sides, in pixels; 0 where no picture could be read."""
    has_colour: bool
    """Whether any picture has a pixel that is no grey, however the file stores it."""
    unreadable: tuple[Unreadable, ...] = ()


def processors() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def survey(table: PictureTable, *, sample: int = 100) -> Survey:
    """Look at up to ``sample`` pictures, evenly spread over the table."""
    rows = np.unique(np.linspace(0, len(table) - 1, min(sample, len(table))).astype(int))

    def look(row: int) -> tuple[int, bool] | Unreadable:
        try:
            pixels = _native(table, row)
        except PictureError as error:
            return Unreadable(table.store.name(int(table.ids[row])), str(error))
        colour = pixels.ndim == 3 and bool((pixels != pixels[:, :, :1]).any())
        return min(pixels.shape[:2]), colour

    with ThreadPoolExecutor(processors()) as pool:
        seen = list(pool.map(look, rows.tolist()))
    good = [each for each in seen if not isinstance(each, Unreadable)]
    return Survey(
        side=int(np.median([side for side, _ in good])) if good else 0,
        has_colour=any(colour for _, colour in good),
        unreadable=tuple(each for each in seen if isinstance(each, Unreadable)),
    )


def _native(table: PictureTable, row: int) -> NDArray[np.uint8]:
    data = table.store.read(int(table.ids[row]))
    return decode(data) if isinstance(data, bytes) else data


def default_budget_bytes() -> int:
    """Return a third of the memory that is free now, at least 256 MB."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        free = 4 << 30
    return max(free // 3, 256 << 20)


def decode_table(
    table: PictureTable,
    preprocessing: Preprocessing,
    *,
    threads: int,
    budget_bytes: int,
    on_progress: Callable[[int], None] = lambda done: None,
) -> tuple[NDArray[np.uint8], list[tuple[int, Unreadable]]]:
    """Decode all pictures of a table in threads.

    Shape:
        returns: uint8 (N, image_size, image_size, channels), and the rows that
            could not be read, whose pixels are undefined.
    Args:
        threads: Pictures decoded at the same time; at least 1.
        budget_bytes: Above it the array lies in a temporary file.
        on_progress: Called with the number of pictures done so far.
    Raises:
        StorageError: The temporary file finds no room.
    """
    size, channels = preprocessing.image_size, preprocessing.channels
    if isinstance(table.store, ArrayStore) and channels == 1:
        whole = table.store.pixels
        if whole.ndim == 3 and whole.shape[1:] == (size, size):
            on_progress(len(table))
            return whole[table.ids][..., None], []
    pixels = _make_array((len(table), size, size, channels), budget_bytes)
    failed: list[tuple[int, Unreadable]] = []

    def work(start: int) -> int:
        rows = range(start, min(start + CHUNK, len(table)))
        for row in rows:
            position = int(table.ids[row])
            try:
                pixels[row] = preprocessing.prepare(table.store.read(position))
            except PictureError as error:
                failed.append((row, Unreadable(table.store.name(position), str(error))))
        return len(rows)

    done = 0
    with ThreadPoolExecutor(threads) as pool:
        for count in pool.map(work, range(0, len(table), CHUNK)):
            done += count
            on_progress(done)
    return pixels, sorted(failed, key=lambda item: item[0])


def _make_array(shape: tuple[int, ...], budget_bytes: int) -> NDArray[np.uint8]:
    size_bytes = int(np.prod(shape))
    if size_bytes <= budget_bytes:
        return np.empty(shape, dtype=np.uint8)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < size_bytes * 1.05:
        raise StorageError(
            f"{shape[0]} decoded pictures take {size_bytes / 1e9:.1f} GB, more than memory offers "
            f"({budget_bytes / 1e9:.1f} GB), and `{folder}` has only {free / 1e9:.1f} GB free. "
            "Set TMPDIR to a folder with room, or pass a smaller `--image-size`."
        )
    with tempfile.TemporaryFile(dir=folder, prefix="nunbit-pixels-") as file:
        return np.memmap(file, dtype=np.uint8, mode="w+", shape=shape)
