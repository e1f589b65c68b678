"""``load``: from a source to pictures that are ready to train on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nunbit.allocation import return_freed
from nunbit.data.checks.fast import fast_findings
from nunbit.data.checks.findings import Findings
from nunbit.data.file_pixels import FilePixels
from nunbit.data.options import DataOptions, Fit
from nunbit.data.pixels import Pixels, Unreadable, processors
from nunbit.data.preprocessing import Preprocessing
from nunbit.data.reading import (
    Decoded,
    choose_preprocessing,
    left_out,
    open_as_asked,
    origin_of,
    read_pixels,
    without_folder,
)
from nunbit.data.sources.tree import check_table
from nunbit.data.splits import check_cut, cut_validation
from nunbit.data.streaming import StreamedPixels
from nunbit.data.table import SPLITS, PictureTable
from nunbit.errors import DataError, OptionError

__all__ = ["PictureSet", "Pictures", "load", "read_pictures"]

SAMPLE, STREAMED_SAMPLE = 10_000, 1_000
"""Pictures that mean and standard deviation are taken from."""
NOT_COMPARED = (
    "training pictures are streamed, so that they were not searched for copies; `nunbit check` does"
)


@dataclass(frozen=True)
class PictureSet:
    """The decoded pictures of one split.

    Args:
        pixels: uint8 (M, S, S, C), shared between the splits; or what reads such
            pictures anew each epoch.
        rows: int64 (N,) the rows of ``pixels`` that belong to this set.
        labels: (N,) or (N, T) as in the table.
        ids: int64 (N,) picture ids as in the table.
        names: The name of each picture.
    """

    split: str
    pixels: Pixels | StreamedPixels
    rows: NDArray[np.int64]
    labels: NDArray[Any]
    ids: NDArray[np.int64]
    names: list[str]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.rows)

    def take(self, positions: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """Return pictures by position in the set: uint8 (B, S, S, C), a copy."""
        return self.pixels[self.rows[positions]]

    def each(self, positions: NDArray[np.int64]) -> Sequence[NDArray[np.uint8]]:
        """Return pictures (S, S, C) by position, without a copy where they lie in memory."""
        if not isinstance(self.pixels, np.ndarray):
            return list(self.take(positions))
        return [self.pixels[row] for row in self.rows[positions].tolist()]

    def chunks(self, size: int, part: slice = slice(None)) -> Iterator[NDArray[np.uint8]]:
        """Yield all pictures in order, or a part of them, at most ``size`` at a time."""
        if isinstance(self.pixels, FilePixels):
            return_freed()  # memory is short, and a pass over many pictures begins
        first, last, _ = part.indices(len(self))
        for start in range(first, last, size):
            yield self.take(slice(start, min(start + size, last)))


@dataclass(frozen=True)
class Pictures:
    """All pictures of a source, decoded, checked and split."""

    table: PictureTable
    """The readable pictures only, with their splits."""
    preprocessing: Preprocessing
    """Mean and std are those of the training pictures."""
    train: PictureSet
    validation: PictureSet | None
    test: PictureSet | None
    unreadable: tuple[Unreadable, ...]
    """What could not be read and is left out; see also :attr:`left_out`."""
    options: DataOptions
    origin: str
    """The source as :func:`load` takes it from anywhere: a name or an absolute path."""
    findings: Findings | None = None
    """What the fast check found; None where it was not asked for."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the network's outputs."""
        return self.table.classes

    @property
    def source(self) -> str:
        """Name of the source, for people."""
        return self.table.source

    @property
    def notes(self) -> list[str]:
        """What was noticed in the source, in sentences for people."""
        lost = self.left_out
        notes = [*self.table.notes, *([left_out(lost)] if lost else [])]
        if self.options.stream and self.findings is not None:
            notes.append(NOT_COMPARED)
        return notes

    @property
    def remarks(self) -> list[str]:
        """The notes, and what the fast check found."""
        return [*self.notes, *([] if self.findings is None else self.findings.lines())]

    @property
    def left_out(self) -> tuple[Unreadable, ...]:
        """The pictures that could not be read, also those that a stream has met so far."""
        pixels = self.train.pixels
        met = pixels.unreadable.values() if isinstance(pixels, StreamedPixels) else ()
        return (*self.unreadable, *met)


Source = str | os.PathLike[str] | Mapping[str, Any] | tuple[Any, Any] | Any
"""What :func:`load` takes: a path or a name, columns (a mapping or a dataframe), arrays."""


def load(
    source: Source,
    *,
    image_size: int | None = None,
    fit: Fit = "squash",
    validation: float = 0.1,
    seed: int = 0,
    options: DataOptions | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pictures:
    """Read a source of pictures, decode it once, check it, and split it.

    Unreadable pictures are left out, counted and listed; never replaced.

    Args:
        source: A folder of class folders, of flat files such as ``cat.0.jpg``, or with
            ``train/``, ``validation/`` and ``test/`` inside; a CSV; a zip or tar of
            any of these; shards; the name of a set such as ``mnist``; a dataframe or
            mapping with the columns of a CSV; or ``(images, labels)``.
        image_size: Side of the square the network sees, in pixels; by default the
            source's own, or the next smaller of a fixed row of sizes, at most 128.
        fit: How a picture that is no square becomes one.
        validation: Share of the training pictures kept for validation.
        seed: Which pictures those are depends on it.
        options: All of the above and more, in one object; replaces them.
        on_progress: Called with pictures decoded and pictures in all.
    Raises:
        DataError: The source cannot be trained on; the message says why.
        OptionError: A value is out of range.

    Example:
        >>> pictures = load("digits", validation=0.2)
        >>> pictures.preprocessing.image_size, len(pictures.classes)
        (8, 10)
    """
    if options is None:
        options = DataOptions(image_size=image_size, fit=fit, validation=validation, seed=seed)
    return read_pictures(source, options, on_progress=on_progress)


def read_pictures(
    source: Source,
    options: DataOptions,
    *,
    accept: Callable[[PictureTable], None] = lambda table: None,
    adapt: Callable[[PictureTable, Preprocessing], DataOptions | None] = lambda table, made: None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pictures:
    """Do what :func:`load` does.

    Args:
        accept: Called with the table before any picture is opened; raises where the
            caller cannot use such pictures.
        adapt: Called with the table and with how pictures would be prepared; returns the
            options to go on with, or None for those that were given.
    """
    check_cut(options)  # before anything is read
    table, where = open_as_asked(source, options)
    accept(table)
    findings: Findings | None = None
    by_share = options.validation > 0 and options.split in ("random", "position")
    asked = by_share or options.fold is not None
    cuts = asked and not table.has_split("validation")
    check_table(table, where=where, needs_two=cuts)
    preprocessing = choose_preprocessing(table, options, where)
    adapted = adapt(table, preprocessing)
    if adapted is not None:
        options = adapted
        preprocessing = choose_preprocessing(table, options, where)
    wide = _for_training(preprocessing, options)
    if options.stream:
        table = cut_validation(table, options)
        kept = table.select(table.split != "train")
        decoded = Decoded.nothing(kept, preprocessing)
        if len(kept):
            decoded = read_pixels(
                kept, preprocessing, where=where, options=options, on_progress=on_progress
            )
        sets = _make_sets(decoded.table, decoded)
        sets["train"] = _streamed_set(table.of_split("train"), wide, options)
        here = np.isin(table.ids, decoded.table.ids) | (table.split == "train")
        table = table.select(here)
        if options.check == "fast":
            described = np.flatnonzero(np.isin(table.ids, decoded.table.ids))
            rows = decoded.rows_of(table)
            findings = fast_findings(table, decoded.pixels, rows=rows, described=described)
    else:
        decoded = read_pixels(table, wide, where=where, options=options, on_progress=on_progress)
        if decoded.unreadable:
            left = f"{where} ({left_out(decoded.unreadable)})"
            check_table(decoded.table, where=left, needs_two=cuts)
        table = cut_validation(decoded.table, options)
        sets = _make_sets(table, decoded)
        if options.check == "fast":
            findings = fast_findings(table, decoded.pixels, rows=decoded.rows_of(table))
        others = table.select(table.split != "train")
        if wide != preprocessing and len(others):
            seen = read_pixels(others, preprocessing, where=where, options=options)
            sets |= _make_sets(others, seen)  # as the network will see them
    mean, std = _mean_and_std(sets["train"])
    return Pictures(
        table=table,
        preprocessing=replace(preprocessing, mean=mean, std=std),
        train=sets["train"],
        validation=sets.get("validation"),
        test=sets.get("test"),
        unreadable=decoded.unreadable,
        options=without_folder(options),
        origin=origin_of(source),
        findings=findings,
    )


def _for_training(preprocessing: Preprocessing, options: DataOptions) -> Preprocessing:
    """Return how training pictures are decoded: as others, or at a size of their own.

    Raises:
        OptionError: They would be smaller than what the network sees.
    """
    if options.train_size is None:
        return preprocessing
    if options.train_size < preprocessing.image_size:
        raise OptionError(
            f"`--train-size {options.train_size}` is smaller than the {preprocessing.image_size} "
            "pixels that the network sees: training pictures are shrunk to that, never "
            "blown up. Pass a larger one, or a smaller `--image-size`."
        )
    return replace(preprocessing, image_size=options.train_size)


def _make_sets(table: PictureTable, decoded: Decoded) -> dict[str, PictureSet]:
    """Make the set of each split; ``table`` has the decoded rows in order, or some of them."""
    rows_of = decoded.rows_of(table)
    names = table.names
    sets = {}
    for split in SPLITS:
        rows = np.flatnonzero(table.split == split)
        if len(rows):
            sets[split] = PictureSet(
                split=split,
                pixels=decoded.pixels,
                rows=rows_of[rows],
                labels=table.labels[rows],
                ids=table.ids[rows],
                names=[names[row] for row in rows],
            )
    return sets


def _streamed_set(
    table: PictureTable, preprocessing: Preprocessing, options: DataOptions
) -> PictureSet:
    pixels = StreamedPixels(table, preprocessing, buffer_size=options.shuffle_buffer)
    rows = np.arange(len(table))
    return PictureSet("train", pixels, rows, table.labels, table.ids, table.names)


def _mean_and_std(pictures: PictureSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std per channel of pixels in 0..1, from a sample of the pictures."""
    pixels = pictures.pixels
    sample = STREAMED_SAMPLE if isinstance(pixels, StreamedPixels) else SAMPLE
    positions = np.unique(
        np.linspace(0, len(pictures) - 1, min(sample, len(pictures))).astype(np.int64)
    )
    *_, side, channels = pixels.shape
    parts = [positions[start : start + 64] for start in range(0, len(positions), 64)]

    def look(part: NDArray[np.int64]) -> tuple[int, NDArray[Any], NDArray[Any]]:
        rows = pictures.rows[part]
        if isinstance(pixels, StreamedPixels):
            whole = pixels.readable(part)
        elif rows[-1] - rows[0] == len(rows) - 1:
            whole = pixels[rows[0] : rows[-1] + 1]  # no copy is made in memory
        else:
            whole = pixels[rows]
        if not len(whole):
            return 0, np.zeros(channels), np.zeros(channels)
        # All of them as one tall picture.
        found, spread = cv2.meanStdDev(np.ascontiguousarray(whole).reshape(-1, side, channels))
        mean = np.asarray(found)[:, 0]
        return len(whole), len(whole) * mean, len(whole) * (mean**2 + np.asarray(spread)[:, 0] ** 2)

    with ThreadPoolExecutor(processors()) as pool:
        counts, totals, powers = zip(*pool.map(look, parts), strict=True)
    count, sums, squares = sum(counts), np.sum(totals, 0), np.sum(powers, 0)
    if count == 0:
        raise DataError(
            f"none of the {len(positions):,} training pictures looked at can be read. Look at "
            "them with `nunbit check`."
        )
    mean = sums / count / 255
    std = np.sqrt(np.maximum(squares / count / 255**2 - mean**2, 0))
    std = np.where(std < 1e-3, 1.0, std)  # pictures of one colour: do not blow up noise
    return tuple(map(float, mean.round(6))), tuple(map(float, std.round(6)))
