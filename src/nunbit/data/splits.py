"""Which pictures are trained on, and which are kept for validation.

Four ways, each a function of the pictures' ids and names and of the seed alone:

* a seeded share, stratified by class (the default);
* one of k folds;
* by position, as Keras' ``validation_split`` does;
* as a file says, such as the ``split.csv`` of an earlier run.

Pictures of one group (a patient, a video) never part. What a source says itself is
always respected.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nunbit.data.options import DataOptions
from nunbit.data.split_files import read_split, split_as_read, split_csv
from nunbit.data.table import PictureTable
from nunbit.errors import DataError, OptionError, did_you_mean, name_list
from nunbit.randomness import make_rng

__all__ = [
    "assign_folds",
    "check_cut",
    "cut_validation",
    "group_by_name",
    "parse_fold",
    "read_split",
    "split_as_read",
    "split_by_position",
    "split_csv",
    "split_fold",
    "split_validation",
    "strata_of",
    "stratified_counts",
]


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


def strata_of(table: PictureTable) -> NDArray[np.int64]:
    """Return the stratum of each row: its class, or 0 where labels are no single classes."""
    if table.kind == "class":
        return np.asarray(table.labels, dtype=np.int64)
    return np.zeros(len(table), dtype=np.int64)


def _units(table: PictureTable) -> list[NDArray[np.int64]]:
    """Return the training rows in lists of what must not be parted, in the order of ids."""
    rows = np.flatnonzero(table.split == "train")
    rows = rows[np.argsort(table.ids[rows], kind="stable")]
    if table.group is None:
        return [rows[k : k + 1] for k in range(len(rows))]
    _, first, member = np.unique(table.group[rows], return_index=True, return_inverse=True)
    together = np.split(rows[np.argsort(member, kind="stable")], np.cumsum(np.bincount(member)))
    return [together[k] for k in np.argsort(first, kind="stable")]


def _kinds(units: Sequence[NDArray[np.int64]], strata: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the stratum that most rows of each unit have."""
    if all(len(unit) == 1 for unit in units):
        return strata[np.concatenate(units)] if units else strata[:0]
    return np.array([np.bincount(strata[unit] + 1).argmax() - 1 for unit in units], dtype=np.int64)


def split_validation(table: PictureTable, *, frac: float, seed: int) -> PictureTable:
    """Mark a share of the training pictures as validation, stratified by class.

    Which ones depends on the seed and on the pictures' ids alone. Pictures of one
    group go together, by the class that most of them have. A table that has
    validation pictures already is returned as it is.

    Args:
        frac: Share of the training pictures, 0 <= frac < 1; of groups, where the
            table has groups.
    """
    if frac <= 0 or table.has_split("validation"):
        return table
    units = _units(table)
    kind_of = _kinds(units, strata_of(table))
    kinds, sizes = np.unique(kind_of, return_counts=True)
    split = table.split.astype("<U10")
    for kind, count in zip(kinds, stratified_counts(sizes, frac), strict=True):
        alike = np.flatnonzero(kind_of == kind)
        order = make_rng(seed, "validation split", int(kind)).permutation(len(alike))
        for k in alike[order[:count]]:
            split[units[k]] = "validation"
    return replace(table, split=split)


def assign_folds(table: PictureTable, *, folds: int, seed: int) -> NDArray[np.int64]:
    """Deal the training pictures out to folds of nearly equal size and mix of classes.

    Groups are dealt whole, the largest first, each to the fold that lacks its
    classes most.

    Shape:
        returns: (N,) fold 0..folds-1 of each training row, -1 of every other row.
    Raises:
        DataError: There are fewer pictures, or groups, than folds.

    Source: for groups, the greedy rule of scikit-learn's ``StratifiedGroupKFold``.
    """
    units, strata = _units(table), strata_of(table) + 1
    if len(units) < folds:
        what = "training pictures" if table.group is None else "groups of training pictures"
        raise DataError(
            f"{len(units)} {what} cannot be dealt out to {folds} folds, expected at least one "
            "for each. Take fewer folds, or add pictures."
        )
    fold_of = np.full(len(table), -1, dtype=np.int64)
    order = make_rng(seed, "folds", folds).permutation(len(units))
    if table.group is None:
        rows = np.concatenate([units[k] for k in order])
        rows = rows[np.argsort(strata[rows], kind="stable")]  # class by class, like cards
        fold_of[rows] = np.arange(len(rows)) % folds
        return fold_of
    order = order[np.argsort([-len(units[k]) for k in order], kind="stable")]
    have = np.zeros((folds, int(strata.max()) + 1))
    goal = np.maximum(np.bincount(strata[table.split == "train"], minlength=have.shape[1]), 1)
    for place, k in enumerate(order):
        gain = np.bincount(strata[units[k]], minlength=have.shape[1])
        # Spread of the classes over the folds, were the unit put into each of them.
        spread = [np.std((have + gain * (np.arange(folds) == f)[:, None]) / goal, 0).mean()
                  for f in range(folds)]  # fmt: skip
        empty = np.flatnonzero(have.sum(axis=1) == 0)
        must = len(order) - place <= len(empty)  # no fold may stay empty
        fold = int(empty[0]) if must else int(np.argmin(np.round(spread, 12)))
        have[fold] += gain
        fold_of[units[k]] = fold
    return fold_of


def parse_fold(text: str) -> tuple[int, int]:
    """Return fold and number of folds of ``2/5``, counted from 1.

    Raises:
        OptionError: It is not of that form.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    fold, folds = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= fold <= folds or folds < 2 or folds > 1000:
        raise OptionError(
            f"`--fold {text}`: expected the number of a fold and how many there are, such as "
            "`2/5`: 1 <= fold <= folds, and 2 <= folds <= 1000."
        )
    return fold, folds


def split_fold(table: PictureTable, *, fold: int, folds: int, seed: int) -> PictureTable:
    """Mark one of ``folds`` folds of the training pictures as validation.

    Args:
        fold: Counted from 1.
    Raises:
        DataError: The source has validation pictures of its own, or too few pictures.
    """
    if table.has_split("validation"):
        raise DataError(
            f"`{table.source}` has validation pictures of its own, so there are no folds to cut. "
            "Give its training folder alone as the source, or leave `--fold` away."
        )
    split = table.split.astype("<U10")
    split[assign_folds(table, folds=folds, seed=seed) == fold - 1] = "validation"
    return replace(table, split=split)


def split_by_position(table: PictureTable, *, frac: float) -> PictureTable:
    """Mark the first ``int(frac * n)`` pictures of each class, by name, as validation.

    Nothing is shuffled: frames of one video, or pictures of one day, stay together
    as far as their names do.

    Raises:
        DataError: The table has groups, which positions would part.

    Source: Keras' ``ImageDataGenerator(validation_split=...)``: the files of a
    directory by name, directories by name, files of a folder before its subfolders.
    """
    if frac <= 0 or table.has_split("validation"):
        return table
    if table.group is not None:
        raise DataError(
            "`--split position` would part pictures of one group. Leave it away: the other ways "
            "keep groups together."
        )
    names = table.names
    keys = [tuple(os.path.split(name)) for name in names]
    split = table.split.astype("<U10")
    strata = strata_of(table)
    for kind in np.unique(strata[table.split == "train"]):
        rows = np.flatnonzero((strata == kind) & (table.split == "train"))
        ordered = sorted(rows.tolist(), key=lambda row: keys[row])
        split[ordered[: int(frac * len(ordered))]] = "validation"
    return replace(table, split=split)


def group_by_name(table: PictureTable, pattern: str) -> PictureTable:
    r"""Group pictures by what a regular expression finds in their names.

    Args:
        pattern: What its first group matches, or the whole of it where it has no
            group, is the name of the group: ``patient(\d+)``.
    Raises:
        OptionError: It is no regular expression, or finds nothing in some names.

    Example:
        >>> re.search(r"patient(\d+)", "cat/patient07-3.jpg")[1]
        '07'
    """
    try:
        find = re.compile(pattern)
    except re.error as error:
        raise OptionError(f"`--group-by {pattern}` is no regular expression: {error}.") from error
    found = [find.search(name) for name in table.names]
    without = [n for n, match in zip(table.names, found, strict=True) if match is None]
    if without:
        raise OptionError(
            f"`--group-by {pattern}` finds nothing in {len(without):,} of {len(table):,} names: "
            f"{name_list(without, limit=3)}. Expected a pattern that every name matches, such as "
            r"`patient(\d+)`."
        )
    groups = [match[1 if find.groups else 0] or "" for match in found if match is not None]
    empty = [name for name, group in zip(table.names, groups, strict=True) if not group]
    if empty:
        raise OptionError(
            f"`--group-by {pattern}` finds an empty text in {len(empty):,} of {len(table):,} "
            f"names: {name_list(empty, limit=3)}. They would all be one group. Expected a pattern "
            r"that finds something in every name, such as `patient(\d+)`."
        )
    return replace(table, group=np.array(groups, dtype=np.str_))


def check_cut(options: DataOptions) -> None:
    """Say what is wrong with the options of splitting before any picture is read.

    Raises:
        DataError: The split file cannot be read.
        OptionError: A fold is of another form, or two options contradict each other.
    """
    if options.fold is not None:
        parse_fold(options.fold)
        if options.split != "random":
            raise OptionError(
                f"`--fold {options.fold}` and `--split {options.split}` contradict each other: "
                "pass one of them."
            )
    if options.split not in ("random", "position"):
        near = did_you_mean(options.split, ("random", "position"))
        if near and not os.path.exists(options.split):
            raise OptionError(
                f"`--split {options.split}`: no such way and no such file.{near} Expected random, "
                "position, or the split.csv of a run."
            )
        read_split(options.split)


def cut_validation(table: PictureTable, options: DataOptions) -> PictureTable:
    """Choose the validation pictures as the options ask for.

    Raises:
        DataError: The source does not allow it, a class would have no picture to train
            on, or no picture would be kept for validation.
    """
    if options.split not in ("random", "position") and options.fold is None:
        cut = split_as_read(table, read_split(options.split), file=options.split)
        _check_train(table, cut, options)
        return cut
    if options.fold is not None:
        fold, folds = parse_fold(options.fold)
        cut = split_fold(table, fold=fold, folds=folds, seed=options.seed)
    elif options.split == "random":
        cut = split_validation(table, frac=options.validation, seed=options.seed)
    else:
        cut = split_by_position(table, frac=options.validation)
    _check_train(table, cut, options)
    if options.validation > 0 and not cut.has_split("validation"):
        raise DataError(_no_validation(table, options))
    return cut


def _check_train(table: PictureTable, cut: PictureTable, options: DataOptions) -> None:
    """Refuse a cut that takes all training pictures of a class."""
    if table.kind != "class":
        return
    before, after = (
        np.bincount(strata_of(each)[each.split == "train"] + 1, minlength=len(each.classes) + 1)[1:]
        for each in (table, cut)
    )
    gone = [table.classes[k] for k in np.flatnonzero((before > 0) & (after == 0))]
    if not gone:
        return
    named = name_list((f"`{name}`" for name in gone), limit=5)
    if options.fold is None and options.split not in ("random", "position"):
        raise DataError(
            f"`{options.split}` names no picture of {named} to train on, but `{table.source}` has "
            f"some. Add them to the file, or pass `--skip-class {gone[0]}`."
        )
    way = f"`--fold {options.fold}`" if options.fold else f"`--validation {options.validation:g}`"
    if table.group is None:
        raise DataError(
            f"{way} would keep all pictures of {named} for validation, expected at least one to "
            f"train on. Add pictures, or pass `--skip-class {gone[0]}`."
        )
    rows = (strata_of(table) == table.classes.index(gone[0])) & (table.split == "train")
    groups = np.unique(table.group[rows])
    how_many = "one group" if len(groups) == 1 else f"{len(groups)} groups"
    listed = name_list((f"`{each}`" for each in groups), limit=3)
    raise DataError(
        f"{way} would keep all pictures of {named} for validation: `{gone[0]}` has {how_many} only "
        f"({listed}), and groups are never parted. Add pictures of other groups, cut another way, "
        f"or pass `--skip-class {gone[0]}`."
    )


def _no_validation(table: PictureTable, options: DataOptions) -> str:
    """Say why no picture was kept for validation."""
    train = table.split == "train"
    if table.group is not None:
        count = len(np.unique(table.group[train]))
        why = (
            "all pictures are of one group"
            if count == 1
            else "every class has one group only, and groups are never parted"
        )
        advice = "Give finer groups, or pictures of more groups"
    else:
        _, sizes = np.unique(strata_of(table)[train], return_counts=True)
        most = int(sizes.max(initial=0))
        why = f"the largest class has {most:,} pictures to train on, and that share of it is none"
        advice = f"Pass at least `--validation {np.ceil(100 / max(most, 2)) / 100:g}`"
    return (
        f"`--validation {options.validation:g}` would keep no picture for validation: {why}. "
        f"{advice}, or `--validation 0` to train without."
    )
