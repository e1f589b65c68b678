"""Decode once: every picture of a table as uint8, in one array.

After this step training touches no file. The array lies in memory, or, where it
would take more than the budget, in a file: an entry of the cache, or a temporary file
that disappears with the process.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nunbit.allocation import return_freed
from nunbit.data.cache import Fingerprint, PixelCache
from nunbit.data.decode import decode
from nunbit.data.file_pixels import FilePixels
from nunbit.data.preprocessing import Preprocessing
from nunbit.data.sizes import picture_size
from nunbit.data.sources.stores import ArrayStore
from nunbit.data.table import PictureTable
from nunbit.errors import PictureError, StorageError

__all__ = [
    "Pixels",
    "Survey",
    "Unreadable",
    "decode_table",
    "default_budget_bytes",
    "processors",
    "survey",
]

CHUNK = 16
"""Pictures that a thread takes at a time; with many, the last one to end is waited for."""


Pixels = NDArray[np.uint8] | FilePixels
"""uint8 (N, S, S, C) in memory or in a file."""


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


def processors(*, shared: bool = True) -> int:
    """Return how many processor cores this process may use.

    Args:
        shared: Whether the ranks of a training that ``torchrun`` has started on this
            machine share them out; not where one works for all.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, cores // _ranks_here()) if shared else cores


def _ranks_here() -> int:
    text = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, int(text)) if text.isdecimal() else 1


def survey(table: PictureTable, *, sample: int = 100) -> Survey:
    """Look at up to ``sample`` pictures, evenly spread over the table.

    Once a coloured one was seen, the size of the others is read from their headers.
    """
    rows = np.unique(np.linspace(0, len(table) - 1, min(sample, len(table))).astype(int))

    coloured = threading.Event()

    def look(row: int) -> tuple[int, bool] | Unreadable:
        try:
            data = table.store.read(int(table.ids[row]))
            size = picture_size(data) if isinstance(data, bytes) and coloured.is_set() else None
            if size is not None and min(size) > 0:
                return min(size), False
            pixels = decode(data) if isinstance(data, bytes) else data
        except PictureError as error:
            return Unreadable(table.store.name(int(table.ids[row])), str(error))
        if pixels.ndim == 3 and bool((pixels != pixels[:, :, :1]).any()):
            coloured.set()
        return min(pixels.shape[:2]), coloured.is_set()

    with ThreadPoolExecutor(processors()) as pool:
        seen = list(pool.map(look, rows.tolist()))
    good = [each for each in seen if not isinstance(each, Unreadable)]
    return Survey(
        side=int(np.median([side for side, _ in good])) if good else 0,
        has_colour=any(colour for _, colour in good),
        unreadable=tuple(each for each in seen if isinstance(each, Unreadable)),
    )


def default_budget_bytes() -> int:
    """Return a third of the memory that is free now, at least 256 MB.

    What a container allows counts as well as what the machine has. Ranks of a training on
    this machine share it out.
    """
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        free = 4 << 30
    limits = [_number(Path("/sys/fs/cgroup") / name) for name in ("memory.max", "memory.current")]
    if limits[0] is not None and limits[1] is not None:
        free = min(free, limits[0] - limits[1])
    return max(free // 3 // _ranks_here(), 256 << 20)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None


def decode_table(
    table: PictureTable,
    preprocessing: Preprocessing,
    *,
    threads: int,
    budget_bytes: int,
    cache: PixelCache | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> tuple[Pixels, list[tuple[int, Unreadable]]]:
    """Decode all pictures of a table in threads, or take them from the cache.

    Shape:
        returns: uint8 (N, image_size, image_size, channels), and the rows that
            could not be read, whose pixels are undefined.
    Args:
        threads: Pictures decoded at the same time; at least 1.
        budget_bytes: Above it the pixels lie in a file.
        cache: Where decoded pictures are kept from run to run, or None.
        on_progress: Called with the number of pictures done so far.
    Raises:
        StorageError: The array finds no room, neither in memory nor in a file.
    """
    size, channels = preprocessing.image_size, preprocessing.channels
    if isinstance(table.store, ArrayStore) and channels == 1:
        whole = table.store.pixels
        if whole.ndim == 3 and whole.shape[1:] == (size, size):
            on_progress(len(table))
            return whole[table.ids][..., None], []
    shape = (len(table), size, size, channels)
    fingerprint = None if cache is None else Fingerprint.of(table, preprocessing)

    def kept() -> tuple[Pixels, list[tuple[int, Unreadable]]] | None:
        entry = None if cache is None or fingerprint is None else cache.find(fingerprint)
        if entry is None or not _still_fail(table, preprocessing, entry.failed):
            return None
        on_progress(len(table))
        whole: Pixels = entry.pixels if entry.pixels.nbytes > budget_bytes else entry.pixels[:]
        return whole, _named(table, dict(entry.failed))

    found = kept()
    if found is not None:
        return found
    if cache is None or fingerprint is None or not cache.room_for(math.prod(shape)):
        pixels = _make_array(shape, budget_bytes)
        failed = _decode_rows(table, preprocessing, pixels, range(len(table)), threads, on_progress)
        return pixels, _named(table, failed)
    with cache.making(fingerprint) as (waited, come_further):
        found = kept() if waited else None
        if found is not None:
            return found

        def tell(done: int) -> None:
            come_further()
            on_progress(done)

        draft, pixels = _make_draft(cache, shape, budget_bytes)
        try:
            missing = _take_over(cache, fingerprint, pixels).tolist()
            if len(missing) < len(table):
                tell(len(table) - len(missing))
            failed = _decode_rows(table, preprocessing, pixels, missing, threads, tell)
            about = {"source": table.source, "pictures": len(table), "image_size": size}
            with contextlib.suppress(OSError):  # the run goes on without it
                cache.keep(fingerprint, draft or pixels, failed, about)
                draft = None
        finally:
            if draft is not None:  # interrupted, or not kept: what is open stays open
                draft.unlink(missing_ok=True)
    return pixels, _named(table, failed)


def _make_draft(
    cache: PixelCache, shape: tuple[int, ...], budget_bytes: int
) -> tuple[Path | None, Pixels]:
    """Return an array to fill, and its file where it is to become an entry of the cache."""
    if math.prod(shape) > budget_bytes:
        with contextlib.suppress(OSError):
            draft = cache.new_draft()
            return draft, FilePixels.create(draft, shape)
    return None, _make_array(shape, budget_bytes)


def _still_fail(
    table: PictureTable, preprocessing: Preprocessing, failed: Mapping[int, str]
) -> bool:
    """Return whether what could not be read the last time cannot be read now.

    The reason may have been a full table of open files, or a reader that is installed now.
    """
    for row in failed:
        try:
            preprocessing.prepare(table.store.read(int(table.ids[row])))
        except PictureError:
            continue
        return False
    return True


def _take_over(cache: PixelCache, fingerprint: Fingerprint, pixels: Pixels) -> NDArray[np.int64]:
    """Copy rows that could be read from older entries; return those to decode."""
    wanted = np.arange(len(pixels))
    for entry in cache.alike(fingerprint):
        if entry.pixels.shape[1:] != pixels.shape[1:] or not len(entry.rows):
            continue
        order = np.argsort(entry.rows, kind="stable")
        at = np.searchsorted(entry.rows[order], fingerprint.rows[wanted])
        there = order[np.minimum(at, len(order) - 1)]
        same = entry.rows[there] == fingerprint.rows[wanted]
        same &= ~np.isin(there, list(entry.failed))  # these are tried again
        for start in range(0, len(wanted), CHUNK):
            part = slice(start, start + CHUNK)
            pixels[wanted[part][same[part]]] = entry.pixels[there[part][same[part]]]
        wanted = wanted[~same]
    return wanted


def _decode_rows(
    table: PictureTable,
    preprocessing: Preprocessing,
    pixels: Pixels,
    rows: Sequence[int],
    threads: int,
    on_progress: Callable[[int], None],
) -> dict[int, str]:
    """Fill rows of ``pixels``; return those that could not be read, and why."""
    failed: dict[int, str] = {}

    def work(start: int) -> int:
        part = rows[start : start + CHUNK]
        for row in part:
            try:
                picture = preprocessing.prepare(table.store.read(int(table.ids[row])))
            except PictureError as error:
                failed[row] = str(error)
                continue
            try:
                pixels[row] = picture
            except OSError as error:
                raise StorageError(
                    f"decoded pictures cannot be written: {error.strerror} after {row:,} of "
                    f"{len(pixels):,}. Make room, set TMPDIR and NUNBIT_CACHE to folders with "
                    "room, or pass a smaller `--image-size`."
                ) from error
        return len(part)

    done = len(pixels) - len(rows)
    with ThreadPoolExecutor(threads) as pool:
        for count in pool.map(work, range(0, len(rows), CHUNK)):
            done += count
            on_progress(done)
    if isinstance(pixels, FilePixels):
        return_freed()  # memory is short, and training comes next
    return dict(sorted(failed.items()))


def _named(table: PictureTable, failed: Mapping[int, str]) -> list[tuple[int, Unreadable]]:
    names = {row: table.store.name(int(table.ids[row])) for row in failed}
    return [(row, Unreadable(names[row], failed[row])) for row in sorted(failed)]


def _make_array(shape: tuple[int, ...], budget_bytes: int) -> Pixels:
    size_bytes = math.prod(shape)
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
        file.truncate(size_bytes)
        return FilePixels(os.dup(file.fileno()), shape)
