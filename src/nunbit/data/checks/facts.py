"""What is measured about each picture, so that the checks need not open it again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nunbit.data.checks.kinds import odd_kinds, picture_format, suffix_format
from nunbit.data.checks.perceptual import SIDE, hash_thumbnails
from nunbit.data.decode import decode
from nunbit.data.pixels import Pixels, Unreadable, processors
from nunbit.data.sources.stores import ArrayStore
from nunbit.data.table import PictureTable
from nunbit.errors import PictureError

__all__ = ["HASH_BYTES", "SMALLEST_COMPARED_PX", "Facts", "facts_of_pixels", "scan"]

HASH_BYTES = 16

SMALLEST_COMPARED_PX = 48
"""Pictures with a shorter side below it are not searched for near-duplicates: digits
and icons are alike by nature, and too few pixels are left to tell a copy by."""

CUT_PX, MISSING_GREY = 8, 128
"""A JPEG is made of squares of 8 pixels; those that are missing are of this grey."""

CHUNK = 64
"""Files that a thread takes at a time."""
PART_BYTES = 4 << 20
"""Decoded pictures that a thread takes at a time."""


@dataclass(frozen=True)
class Facts:
    """Columns of equal length, one row per picture that could be read.

    Args:
        rows: int64 (M,) the rows of the table that are described.
        width: int32 (M,) in pixels, as the picture is shown (orientation applied).
        height: int32 (M,) in pixels.
        brightness: float32 (M,) mean grey value, 0..255.
        contrast: float32 (M,) standard deviation of the grey values.
        content: (M,) of 16 bytes; equal where shape and all pixels are equal.
        perceptual: uint64 (M,) hash that near-duplicates share but for a few bits.
        thumbnails: uint8 (M, 32, 32) grey; all zero where ``compared`` is not set.
        compared: bool (M,) whether the picture is large enough to be searched for
            near-duplicates.
        kinds: What is unusual about each file, in a word each.
        lies: What each file really is, where its suffix says something else; else "".
        is_cut: bool (M,) whether a JPEG is of one grey at one edge only, as one is that
            lost its end.
    """

    rows: NDArray[np.int64]
    width: NDArray[np.int32]
    height: NDArray[np.int32]
    brightness: NDArray[np.float32]
    contrast: NDArray[np.float32]
    content: NDArray[np.void]
    perceptual: NDArray[np.uint64]
    thumbnails: NDArray[np.uint8]
    compared: NDArray[np.bool_]
    kinds: tuple[tuple[str, ...], ...]
    lies: tuple[str, ...]
    is_cut: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.rows)


@dataclass
class _One:
    """The facts of one picture."""

    width: int
    height: int
    brightness: float
    contrast: float
    content: bytes
    thumbnail: NDArray[np.uint8] | None
    kinds: tuple[str, ...]
    lies: str
    is_cut: bool


def scan(
    table: PictureTable,
    *,
    threads: int | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> tuple[Facts, list[tuple[int, Unreadable]]]:
    """Open and decode every picture of a table, in full.

    Args:
        threads: Pictures decoded at the same time; default: one for each processor.
        on_progress: Called with the number of pictures done so far.

    Returns:
        The facts of the pictures that can be read, and the rows that cannot, with
        the reason.
    """
    if isinstance(table.store, ArrayStore):
        pixels = table.store.pixels
        on_progress(len(table))
        return facts_of_pixels(pixels, rows=table.ids), []
    found: list[_One | Unreadable | None] = [None] * len(table)

    def work(start: int) -> int:
        rows = range(start, min(start + CHUNK, len(table)))
        for row in rows:
            name = table.store.name(int(table.ids[row]))
            try:
                found[row] = _look(table.store.read(int(table.ids[row])), name)
            except PictureError as error:
                found[row] = Unreadable(name, str(error))
        return len(rows)

    done = 0
    with ThreadPoolExecutor(threads or processors()) as pool:
        for count in pool.map(work, range(0, len(table), CHUNK)):
            done += count
            on_progress(done)
    unreadable = [(row, each) for row, each in enumerate(found) if isinstance(each, Unreadable)]
    good = [(row, each) for row, each in enumerate(found) if isinstance(each, _One)]
    return _columns(good), unreadable


def _look(data: bytes | NDArray[np.uint8], name: str) -> _One:
    file = data if isinstance(data, bytes) else b""
    pixels = decode(data) if isinstance(data, bytes) else data
    grey = _grey(pixels)
    mean, std = cv2.meanStdDev(grey)
    is_compared = min(grey.shape) >= SMALLEST_COMPARED_PX
    says, is_really = suffix_format(name), picture_format(file)
    return _One(
        width=grey.shape[1],
        height=grey.shape[0],
        brightness=float(mean[0, 0]),
        contrast=float(std[0, 0]),
        content=_content(pixels),
        thumbnail=_thumbnail(grey) if is_compared else None,
        kinds=odd_kinds(file),
        lies=is_really if says and is_really and says != is_really else "",
        is_cut=is_really == "JPEG" and _is_cut(pixels),
    )


def _is_cut(pixels: NDArray[np.uint8]) -> bool:
    """Return whether just one edge is of the grey that libjpeg gives to what is missing.

    It fills up in silence where the end of the pixels is lost, but not the mark of the end.
    Source: ITU-T T.81, F.2.2.1: coefficients of zero are the middle grey.
    """
    rows, columns = pixels.shape[:2]
    if min(rows, columns) < 2 * CUT_PX:
        return False
    edges = (pixels[:CUT_PX], pixels[-CUT_PX:], pixels[:, :CUT_PX], pixels[:, -CUT_PX:])
    return sum(bool((edge == MISSING_GREY).all()) for edge in edges) == 1


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]  # cv2
    return pixels.reshape(pixels.shape[:2])


def _thumbnail(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]  # cv2


def _content(pixels: NDArray[np.uint8]) -> bytes:
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    digest.update(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def _columns(good: list[tuple[int, _One]]) -> Facts:
    ones = [each for _, each in good]
    thumbnails = np.zeros((len(ones), SIDE, SIDE), dtype=np.uint8)
    for k, each in enumerate(ones):
        if each.thumbnail is not None:
            thumbnails[k] = each.thumbnail
    return Facts(
        rows=np.array([row for row, _ in good], dtype=np.int64),
        width=np.array([each.width for each in ones], dtype=np.int32),
        height=np.array([each.height for each in ones], dtype=np.int32),
        brightness=np.array([each.brightness for each in ones], dtype=np.float32),
        contrast=np.array([each.contrast for each in ones], dtype=np.float32),
        content=np.array([each.content for each in ones], dtype=f"V{HASH_BYTES}"),
        perceptual=hash_thumbnails(thumbnails),
        thumbnails=thumbnails,
        compared=np.array([each.thumbnail is not None for each in ones], dtype=bool),
        kinds=tuple(each.kinds for each in ones),
        lies=tuple(each.lies for each in ones),
        is_cut=np.array([each.is_cut for each in ones], dtype=bool),
    )


def facts_of_pixels(pixels: Pixels, *, rows: NDArray[np.int64] | None = None) -> Facts:
    """Return the facts of pictures that are decoded already, all of one size.

    Shape:
        pixels: uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3) RGB.
        rows: int64 (M,) positions in ``pixels`` to describe, in this order; default: all.
            Fact ``k`` describes row ``k`` of the table.
    """
    rows = np.arange(len(pixels)) if rows is None else rows
    height, width = pixels.shape[1:3]
    is_compared = min(height, width) >= SMALLEST_COMPARED_PX
    count = len(rows)
    brightness = np.empty(count, dtype=np.float32)
    contrast = np.empty(count, dtype=np.float32)
    content = np.empty(count, dtype=f"V{HASH_BYTES}")
    side = SIDE if is_compared else 0
    thumbnails = np.zeros((count, side, side), dtype=np.uint8)

    size = max(1, PART_BYTES // max(int(np.prod(pixels.shape[1:])), 1))

    def work(start: int) -> None:
        part = slice(start, start + size)
        chunk = pixels[rows[part]]  # (n, H, W[, C])
        content[part] = np.frombuffer(
            b"".join(hashlib.blake2b(each, digest_size=HASH_BYTES).digest() for each in chunk),
            dtype=content.dtype,
        )
        grey = chunk.reshape(len(chunk), height, width, -1)
        if grey.shape[3] == 3:
            flat = cv2.cvtColor(grey.reshape(-1, width, 3), cv2.COLOR_RGB2GRAY)
            grey = np.asarray(flat, dtype=np.uint8)
        values = grey.reshape(len(chunk), -1)  # (n, H·W)
        mean = cv2.reduce(values, 1, cv2.REDUCE_AVG, dtype=cv2.CV_64F)
        square = cv2.reduce(values, 1, cv2.REDUCE_SUM2, dtype=cv2.CV_64F) / values.shape[1]
        brightness[part] = mean[:, 0]
        contrast[part] = np.sqrt(np.maximum(square - mean**2, 0))[:, 0]
        if is_compared:
            pictures = values.reshape(-1, height, width)
            thumbnails[part] = [_thumbnail(each) for each in pictures]

    with ThreadPoolExecutor(processors()) as pool:
        list(pool.map(work, range(0, count, size)))
    return Facts(
        rows=np.arange(count),
        width=np.full(count, width, dtype=np.int32),
        height=np.full(count, height, dtype=np.int32),
        brightness=brightness,
        contrast=contrast,
        content=content,
        perceptual=hash_thumbnails(thumbnails) if is_compared else np.zeros(count, np.uint64),
        thumbnails=thumbnails,
        compared=np.full(count, is_compared),
        kinds=((),) * count,
        lies=("",) * count,
        is_cut=np.zeros(count, dtype=bool),
    )
