"""``load``: from a source to pictures that are ready to train on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nunbit.data.named import NAMED_SETS
from nunbit.data.options import DataOptions, Fit
from nunbit.data.pixels import (
    Unreadable,
    decode_table,
    default_budget_bytes,
    processors,
    survey,
)
from nunbit.data.preprocessing import Preprocessing
from nunbit.data.sources import open_source
from nunbit.data.splits import split_validation
from nunbit.data.table import SPLITS, PictureTable
from nunbit.data.tree import check_table
from nunbit.errors import DataError, name_list

__all__ = ["PictureSet", "Pictures", "load", "load_for_evaluation"]

SIZES = (16, 24, 32, 48, 64, 96, 128)
"""Sides that ``image_size`` is chosen from where neither source nor user says one."""


@dataclass(frozen=True)
class PictureSet:
    """The decoded pictures of one split.

    Args:
        pixels: uint8 (M, S, S, C), shared between the splits.
        rows: int64 (N,) the rows of ``pixels`` that belong to this set.
        labels: (N,) or (N, T) as in the table.
        ids: int64 (N,) picture ids as in the table.
        names: The name of each picture.
    """

    split: str
    pixels: NDArray[np.uint8]
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

    def chunks(self, size: int) -> Iterator[NDArray[np.uint8]]:
        """Yield all pictures in order, at most ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))


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
    options: DataOptions
    origin: str
    """The source as :func:`load` takes it from anywhere: a name or an absolute path."""

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
        return [*self.table.notes, *([_left_out(self.unreadable)] if self.unreadable else [])]


def load(
    source: str | os.PathLike[str],
    *,
    image_size: int | None = None,
    fit: Fit = "squash",
    validation: float = 0.1,
    seed: int = 0,
    options: DataOptions | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pictures:
    """Read a source of pictures, decode it once, and split it.

    Unreadable pictures are left out, counted and listed; never replaced.

    Args:
        source: A folder of class folders, a folder with ``train/``,
            ``validation/`` and ``test/``, or the name of a set such as ``mnist``.
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
    where = f"`{source}`"
    table = open_source(source, skip_classes=options.skip_class)
    cuts = options.validation > 0 and not table.has_split("validation")
    check_table(table, where=where, needs_two=cuts)
    preprocessing = _choose_preprocessing(table, options, where)
    table, decoded, unreadable = _decode(table, preprocessing, where, on_progress)
    if unreadable:
        check_table(table, where=f"{where} ({_left_out(unreadable)})", needs_two=cuts)
    # Whole numbers are strata, whatever the task makes of them; measurements are not.
    is_one_number = table.labels.ndim == 1 and table.labels.dtype == np.int64
    strata = table.labels if is_one_number else None
    table = split_validation(table, frac=options.validation, seed=options.seed, strata=strata)
    sets = _make_sets(table, decoded)
    mean, std = _mean_and_std(sets["train"])
    return Pictures(
        table=table,
        preprocessing=replace(preprocessing, mean=mean, std=std),
        train=sets["train"],
        validation=sets.get("validation"),
        test=sets.get("test"),
        unreadable=unreadable,
        options=options,
        origin=str(source) if str(source) in NAMED_SETS else os.path.abspath(source),
    )


def load_for_evaluation(
    source: str | os.PathLike[str],
    *,
    preprocessing: Preprocessing,
    classes: tuple[str, ...],
    skip_classes: tuple[str, ...] = (),
    only: tuple[str, Sequence[str]] | None = None,
) -> tuple[PictureSet, list[str]]:
    """Read labelled pictures for a network that exists: its test split, else all.

    Labels become positions in ``classes``, so class folders are matched by name.

    Args:
        source: As :func:`load` takes it.
        preprocessing: The network's.
        classes: The network's, in the order of its outputs.
        skip_classes: Class folders to leave out.
        only: Name of a split and the names of its pictures, instead of what the
            source says now.

    Returns:
        The pictures, and notes for people.

    Raises:
        DataError: No pictures, or a class that the network does not know.
    """
    where = f"`{source}`"
    table = open_source(source, skip_classes=skip_classes)
    position = {name: k for k, name in enumerate(classes)}
    strange = [name for name in table.classes if name not in position]
    if strange:
        raise DataError(
            f"{where} has {name_list(f'class `{s}`' for s in strange)}, which the network does not "
            f"know (it knows: {name_list(classes)}). Rename or move the folder."
        )
    notes = list(table.notes)
    if only is None:
        split = next((s for s in ("test", "validation") if table.has_split(s)), None)
        table = table if split is None else table.of_split(split)
    else:
        split, wanted = only[0], set(only[1])
        table = table.select(np.array([name in wanted for name in table.names], dtype=bool))
        if len(table) == 0:
            raise DataError(f"{where} no longer has any of the {len(wanted)} {split} pictures.")
        if len(table) < len(wanted):
            gone = name_list(sorted(wanted - set(table.names)), limit=5)
            notes.append(f"{len(wanted) - len(table)} {split} pictures are gone: {gone}")
    missing = [name for name in classes if name not in table.classes and name not in skip_classes]
    if missing:
        notes.append(f"no pictures of {name_list(missing)} here; their scores say nothing")
    table, decoded, unreadable = _decode(table, preprocessing, where, lambda done, total: None)
    if unreadable:
        notes.append(_left_out(unreadable))
    labels = np.array([position[name] for name in table.classes])[table.labels]
    pictures = PictureSet(
        split or "all", decoded.pixels, decoded.rows, labels, table.ids, table.names
    )
    return pictures, notes


@dataclass(frozen=True)
class _Decoded:
    """Pixels, and for each row of the table its row in them."""

    pixels: NDArray[np.uint8]
    rows: NDArray[np.int64]


def _left_out(unreadable: Sequence[Unreadable]) -> str:
    names = name_list((f"{u.name} ({u.reason})" for u in unreadable), limit=5)
    plural = "picture" if len(unreadable) == 1 else "pictures"
    return f"{len(unreadable):,} unreadable {plural} left out: {names}"


def _choose_preprocessing(table: PictureTable, options: DataOptions, where: str) -> Preprocessing:
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
            "Expected JPEG, PNG, BMP, GIF, WebP, TIFF or AVIF files."
        )
    if size is None:
        size = max((s for s in SIZES if s <= seen.side), default=max(seen.side, 4))
    has_colour = seen.has_colour if options.channels == "auto" else options.channels == "rgb"
    return Preprocessing(image_size=size, channels=3 if has_colour else 1, fit=options.fit)


def _decode(
    table: PictureTable,
    preprocessing: Preprocessing,
    where: str,
    on_progress: Callable[[int, int], None],
) -> tuple[PictureTable, _Decoded, tuple[Unreadable, ...]]:
    pixels, failed = decode_table(
        table,
        preprocessing,
        threads=processors(),
        budget_bytes=default_budget_bytes(),
        on_progress=lambda done: on_progress(done, len(table)),
    )
    rows = np.arange(len(table))
    if not failed:
        return table, _Decoded(pixels, rows), ()
    unreadable = tuple(item for _, item in failed)
    if len(failed) == len(table):
        raise DataError(
            f"none of the {len(table)} pictures of {where} can be read; the first: "
            f"{unreadable[0].name}: {unreadable[0].reason}."
        )
    kept = np.setdiff1d(rows, [row for row, _ in failed])
    return table.select(kept), _Decoded(pixels, kept), unreadable


def _make_sets(table: PictureTable, decoded: _Decoded) -> dict[str, PictureSet]:
    names = table.names
    sets = {}
    for split in SPLITS:
        rows = np.flatnonzero(table.split == split)
        if len(rows):
            sets[split] = PictureSet(
                split=split,
                pixels=decoded.pixels,
                rows=decoded.rows[rows],
                labels=table.labels[rows],
                ids=table.ids[rows],
                names=[names[row] for row in rows],
            )
    return sets


def _mean_and_std(
    pictures: PictureSet, *, sample: int = 10_000
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std per channel of pixels in 0..1, from up to ``sample`` pictures."""
    positions = np.unique(
        np.linspace(0, len(pictures) - 1, min(sample, len(pictures))).astype(np.int64)
    )
    sums = np.zeros(pictures.pixels.shape[-1])
    squares = np.zeros_like(sums)
    count = 0
    for start in range(0, len(positions), 500):
        chunk = pictures.take(positions[start : start + 500]).reshape(-1, len(sums))
        values = chunk.astype(np.float64) / 255
        sums += values.sum(axis=0)
        squares += (values**2).sum(axis=0)
        count += len(values)
    mean = sums / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    std = np.where(std < 1e-3, 1.0, std)  # pictures of one colour: do not blow up noise
    return tuple(map(float, mean.round(6))), tuple(map(float, std.round(6)))
