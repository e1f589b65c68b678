"""What ``load`` and ``load_for_evaluation`` share: the size to read at, and the reading."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nunbit.data.cache import PixelCache
from nunbit.data.named import NAMED_SETS
from nunbit.data.options import DataOptions
from nunbit.data.pixels import (
    Pixels,
    Unreadable,
    decode_table,
    default_budget_bytes,
    processors,
    survey,
)
from nunbit.data.preprocessing import Preprocessing
from nunbit.data.sources.opening import open_source
from nunbit.data.splits import group_by_name
from nunbit.data.table import PictureTable
from nunbit.errors import DataError, name_list

__all__ = [
    "Decoded",
    "absolute",
    "choose_preprocessing",
    "left_out",
    "open_as_asked",
    "origin_of",
    "read_pixels",
    "without_folder",
]

SIZES = (16, 24, 32, 48, 64, 96, 128)
"""Sides that ``image_size`` is chosen from where neither source nor user says one."""


@dataclass(frozen=True)
class Decoded:
    """Pixels of the readable rows of a table.

    Args:
        table: The readable rows.
        pixels: uint8 (M, S, S, C).
        rows: int64 (N,) for each row of the table its row in ``pixels``.
        unreadable: What was left out.
    """

    table: PictureTable
    pixels: Pixels
    rows: NDArray[np.int64]
    unreadable: tuple[Unreadable, ...] = ()

    @classmethod
    def nothing(cls, table: PictureTable, preprocessing: Preprocessing) -> Decoded:
        """Return what an empty table decodes to."""
        size, channels = preprocessing.image_size, preprocessing.channels
        return cls(table, np.empty((0, size, size, channels), np.uint8), np.arange(0))

    def rows_of(self, part: PictureTable) -> NDArray[np.int64]:
        """Return the rows in ``pixels`` of some rows of the table, in their order."""
        return self.rows[np.isin(self.table.ids, part.ids)]


def left_out(unreadable: Sequence[Unreadable]) -> str:
    """Return a sentence about the pictures that could not be read."""
    names = name_list((f"{u.name} ({u.reason})" for u in unreadable), limit=5)
    plural = "picture" if len(unreadable) == 1 else "pictures"
    return f"{len(unreadable):,} unreadable {plural} left out: {names}"


def absolute(path: str) -> str:
    """Return a path as it is from any folder."""
    return os.path.abspath(os.path.expanduser(path))


def without_folder(options: DataOptions) -> DataOptions:
    """Return the options with paths that mean the same from any folder."""
    split, exclude = options.split, options.exclude
    return replace(
        options,
        split=split if split in ("random", "position") else absolute(split),
        exclude=None if exclude is None else absolute(exclude),
    )


def origin_of(source: Any) -> str:
    """Return a source as :func:`nunbit.load` takes it from anywhere; empty for arrays."""
    if not isinstance(source, (str, os.PathLike)):
        return ""
    text = os.fsdecode(source)
    if text in NAMED_SETS or "://" in text:
        return text
    return absolute(text)


def open_as_asked(source: Any, options: DataOptions) -> tuple[PictureTable, str]:
    """Scan a source, leave out what the options exclude, and group what they group.

    Returns:
        The table, and how messages name the source.

    Raises:
        DataError: The source or the list of exclusions cannot be used.
        OptionError: Nothing is grouped by the pattern.
    """
    is_text = isinstance(source, (str, os.PathLike))
    where = f"`{os.fspath(source)}`" if is_text else "the pictures given"
    table = open_source(source, skip_classes=options.skip_class)
    if options.exclude is not None:
        from nunbit.data.exclusions import apply_exclusions, read_exclusions

        table, notes = apply_exclusions(table, read_exclusions(options.exclude))
        table = replace(table, notes=(*table.notes, *notes))
    if options.group_by is not None:
        table = group_by_name(table, options.group_by)
    return table, where


def choose_preprocessing(table: PictureTable, options: DataOptions, where: str) -> Preprocessing:
    """Return size, channels and fit: as asked, as the source has it, or as a sample shows.

    Raises:
        DataError: No picture of the sample can be read.
    """
    size = options.image_size or table.image_size
    if size is not None and options.channels != "auto":
        channels = 3 if options.channels == "rgb" else 1
        return Preprocessing(image_size=size, channels=channels, fit=options.fit)
    seen = survey(table)
    if seen.side == 0:
        first = seen.unreadable[0]
        raise DataError(
            f"none of the {len(seen.unreadable)} pictures looked at in {where} can be read; the "
            f"first: {first.name}: {first.reason}. "
            "Expected JPEG, PNG, BMP, GIF, WebP, TIFF, AVIF or HEIC files."
        )
    if size is None:
        size = max((s for s in SIZES if s <= seen.side), default=max(seen.side, 4))
    has_colour = seen.has_colour if options.channels == "auto" else options.channels == "rgb"
    return Preprocessing(image_size=size, channels=3 if has_colour else 1, fit=options.fit)


def read_pixels(
    table: PictureTable,
    preprocessing: Preprocessing,
    *,
    where: str,
    options: DataOptions | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Decoded:
    """Decode every picture of a table once, or take it from the cache.

    Args:
        where: How messages name the source.
        options: Whether there is a cache, and how much memory may be used.
    Raises:
        DataError: None of the pictures can be read.
        StorageError: The pixels find no room.
    """
    options = options or DataOptions()
    memory = options.memory
    pixels, failed = decode_table(
        table,
        preprocessing,
        threads=processors(shared=False),  # one rank of a machine decodes, the others wait
        budget_bytes=default_budget_bytes() if memory is None else int(memory * 1e9),
        cache=PixelCache.default() if options.cache == "auto" else None,
        on_progress=lambda done: on_progress(done, len(table)),
    )
    rows = np.arange(len(table))
    if not failed:
        return Decoded(table, pixels, rows)
    unreadable = tuple(item for _, item in failed)
    if len(failed) == len(table):
        raise DataError(
            f"none of the {len(table)} pictures of {where} can be read; the first: "
            f"{unreadable[0].name}: {unreadable[0].reason}."
        )
    kept = np.setdiff1d(rows, [row for row, _ in failed])
    return Decoded(table.select(kept), pixels, kept, unreadable)
