"""Cutting validation pictures from the training pictures: seeded and stratified."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nunbit.data.table import PictureTable
from nunbit.randomness import make_rng

__all__ = ["split_csv", "split_validation", "stratified_counts"]


def stratified_counts(sizes: NDArray[np.int64], frac: float) -> NDArray[np.int64]:
    """Return how many pictures each stratum gives, together ``round(frac * total)``.

    Every stratum with two pictures or more gives at least one and keeps at least
    one; the rest goes to the largest remainders, so shares stay as equal as whole
    pictures allow.

    Example:
        >>> stratified_counts(np.array([100, 50, 3]), 0.1).tolist()
        [9, 5, 1]
    """
    if frac <= 0:
        return np.zeros_like(sizes)
    wanted = sizes * frac
    least = np.where(sizes >= 2, 1, 0)
    most = np.maximum(sizes - 1, 0)
    counts: NDArray[np.int64] = np.clip(np.floor(wanted).astype(np.int64), least, most)
    total = max(round(float(wanted.sum())), int(least.sum()))
    while counts.sum() < total and (counts < most).any():
        counts[np.argmax(np.where(counts < most, wanted - counts, -np.inf))] += 1
    while counts.sum() > total and (counts > least).any():
        counts[np.argmin(np.where(counts > least, wanted - counts, np.inf))] -= 1
    return counts


def split_validation(
    table: PictureTable, *, frac: float, seed: int, strata: NDArray[np.int64] | None
) -> PictureTable:
    """Mark a share of the training pictures as validation.

    Which ones depends on the seed and on the pictures' ids alone. Pictures of one
    group go together, by the stratum that most of them have. A table that has
    validation pictures already is returned as it is.

    Args:
        frac: Share of the training pictures, 0 <= frac < 1; of groups, where the
            table has groups.
        strata: (N,) the stratum of each row, or None for a plain random split.
    """
    if frac <= 0 or table.has_split("validation"):
        return table
    strata = np.zeros(len(table), dtype=np.int64) if strata is None else strata
    rows = np.flatnonzero(table.split == "train")
    rows = rows[np.argsort(table.ids[rows], kind="stable")]
    units = [rows[k : k + 1] for k in range(len(rows))]  # what must not be parted
    if table.group is not None:
        names = table.group[rows]
        units = [rows[names == name] for name in dict.fromkeys(names.tolist())]
    kind_of = np.array([np.bincount(strata[unit]).argmax() for unit in units])
    kinds, sizes = np.unique(kind_of, return_counts=True)
    split = table.split.astype("<U10")
    for kind, count in zip(kinds, stratified_counts(sizes, frac), strict=True):
        alike = [unit for unit, each in zip(units, kind_of, strict=True) if each == kind]
        order = make_rng(seed, "validation split", int(kind)).permutation(len(alike))
        for k in order[:count]:
            split[alike[k]] = "validation"
    return replace(table, split=split)


def split_csv(table: PictureTable) -> str:
    """Return the table as CSV text ``path,label,split``, for the run folder."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "split"])
    for name, label, split in zip(table.names, table.labels.tolist(), table.split, strict=True):
        writer.writerow([name, table.classes[label] if label >= 0 else "", split])
    return text.getvalue()
