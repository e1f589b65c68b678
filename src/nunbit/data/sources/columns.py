"""From columns ``path, label[, split][, group]`` to a picture table.

A CSV, a dataframe and a dictionary of lists are one thing here. Labels of which any
has several (``a|b``) make a multi-label table; columns ``target`` or ``target_<name>``
in place of ``label`` make a table of numbers.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nunbit.data.sources.column_names import Mistakes
from nunbit.data.sources.labels import (
    MAX_LABEL_CHARS,
    choose_classes,
    clean_label,
    clip,
    count,
)
from nunbit.data.sources.tree import SPLIT_FOLDERS
from nunbit.data.table import PictureStore, PictureTable
from nunbit.errors import DataError, PictureError, did_you_mean

__all__ = ["Columns", "table_of"]


@dataclass(frozen=True)
class Columns:
    """Rows about pictures as they were written: columns of equal length, not yet checked.

    Args:
        rows: How messages name each row: ``line 3``.
        labels: Text, or texts where a picture has several; None for numbers.
        targets: Columns of numbers, by name; empty for classes.
        splits: As written, or None where there is no such column.
        groups: As written, or None where there is no such column.
        notes: What was noticed while reading.
    """

    paths: Sequence[str]
    rows: Sequence[str]
    labels: Sequence[str | Sequence[str]] | None
    targets: Mapping[str, Sequence[object]]
    splits: Sequence[str] | None = None
    groups: Sequence[str] | None = None
    notes: tuple[str, ...] = ()


def table_of(
    columns: Columns,
    *,
    find: Callable[[str], str | None],
    make_store: Callable[[list[str]], PictureStore],
    source: str,
    where: str,
    skip_classes: Sequence[str] = (),
) -> PictureTable:
    """Check columns and make the picture table.

    A picture named twice in the same words counts once; in different words it is a
    mistake. A picture without a label is left out and noted, except where pictures
    have several: there it has none of the classes. An empty cell in ``group`` makes a
    group of one.

    Args:
        find: Returns the name of a path in the store, or None where there is no file;
            raises PictureError where it is there and cannot be read.
        make_store: Makes the store of names.
        where: How messages name the source.
        skip_classes: Labels to leave out; pictures that have no other go with them.
    Raises:
        DataError: All mistakes, in one message.
    """
    mistakes = Mistakes(where)
    notes = [*columns.notes]
    names = _find_all(columns, find, mistakes)
    splits = _read_splits(columns, mistakes)
    labels = None if columns.labels is None else _read_labels(columns, mistakes)
    targets = _read_targets(columns, mistakes)
    groups = _read_groups(columns, mistakes)
    rows = _once(columns, names, mistakes, notes)
    mistakes.raise_any()

    has_several = labels is not None and any(len(each) > 1 for each in labels)
    if labels is None:
        empty = [k for k in rows if not np.isfinite(targets[k]).all()]
    else:
        empty = [] if has_several else [k for k in rows if not labels[k]]
    if empty:
        first = f"{columns.rows[empty[0]]}: {clip(columns.paths[empty[0]])}"
        what = "label" if labels is not None else "target"
        notes.append(f"left out: {count(len(empty), 'picture')} without a {what} (first: {first})")
        rows = sorted(set(rows) - set(empty))
    if has_several and labels is not None:
        none = sum(not labels[k] for k in rows)
        if none:
            notes.append(f"{count(none, 'picture')} without any label: none of the classes")
    if not rows:
        raise DataError(f"{where} has no labelled pictures. Add rows, or fill in the labels.")

    classes = tuple(columns.targets)
    if labels is not None:
        classes = _choose(columns, labels, splits, rows, where=where, skip_classes=skip_classes)
        known = set(classes)
        rows = [k for k in rows if not labels[k] or known.intersection(labels[k])]
    elif skip_classes:
        raise DataError(
            f"`--skip-class {skip_classes[0]}`: {where} has numbers to learn, no classes. Leave "
            "the option away."
        )
    if skip_classes:
        notes.append(f"classes left out as asked: {', '.join(sorted(skip_classes))}")
    kept = np.array(rows, dtype=np.int64)
    return PictureTable(
        store=make_store([names[k] for k in rows]),
        ids=np.arange(len(rows), dtype=np.int64),
        labels=targets[kept] if labels is None else _encode(labels, rows, classes, has_several),
        classes=classes,
        split=np.array([splits[k] for k in rows], dtype=np.str_),
        group=None if groups is None else np.array([groups[k] for k in rows], dtype=np.str_),
        source=source,
        notes=tuple(notes),
        kind="regression" if labels is None else "multi-label" if has_several else "class",
    )


def _find_all(columns: Columns, find: Callable[[str], str | None], mistakes: Mistakes) -> list[str]:
    names = []
    for row, path in zip(columns.rows, columns.paths, strict=True):
        try:
            name = find(path) if path else None
        except PictureError as error:
            mistakes.add(
                "files that are there and cannot be read in place",
                f"{row}: `{clip(path)}` ({error})",
                advice="Rename them, or unpack the archive and give the CSV in the folder.",
            )
            name = ""
        names.append(name or "")
        if not path:
            mistakes.add("rows without a path", row, advice="Fill it in, or delete the row.")
        elif name is None:
            hint = "Check the paths and what they are relative to."
            if "\\" in path and os.sep == "/":
                hint = "Write paths with `/`, not with a backslash."
            mistakes.add("missing files", f"{row}: `{clip(path)}`", advice=hint)
    return names


def _read_splits(columns: Columns, mistakes: Mistakes) -> list[str]:
    if columns.splits is None:
        return ["train"] * len(columns.paths)
    splits = []
    for row, written in zip(columns.rows, columns.splits, strict=True):
        split = SPLIT_FOLDERS.get(written.lower())
        if split is None:
            near = did_you_mean(written[:40], SPLIT_FOLDERS)
            mistakes.add(
                "unknown splits",
                f"{row}: `{clip(written, 60)}`.{near}" if near else f"{row}: `{clip(written, 60)}`",
                advice="Expected train, validation (or val) or test.",
            )
        splits.append(split or "train")
    return splits


def _read_labels(columns: Columns, mistakes: Mistakes) -> list[tuple[str, ...]]:
    known: dict[str, tuple[str, ...]] = {}
    labels = []
    for row, written in zip(columns.rows, columns.labels or (), strict=True):
        if not isinstance(written, str):
            parts = tuple(dict.fromkeys(clean_label(part.strip()) for part in written))
        elif written in known:
            parts = known[written]
        else:
            text = clean_label(written.strip())
            parts = tuple(dict.fromkeys(part.strip() for part in text.split("|"))) if text else ()
            known[written] = parts
        if "" in parts:
            mistakes.add(
                "labels with an empty part",
                f"{row}: `{clip(str(written), 60)}`",
                advice="Several labels are written `a|b`.",
            )
        for part in parts:
            if len(part) > MAX_LABEL_CHARS:
                mistakes.add(
                    f"labels of more than {MAX_LABEL_CHARS} characters",
                    f"{row}: `{clip(part, 60)}`",
                    advice="Shorten them.",
                )
        labels.append(parts)
    return labels


def _read_targets(columns: Columns, mistakes: Mistakes) -> NDArray[np.float64]:
    """Return (N, T); what is left empty is NaN."""
    targets = np.full((len(columns.paths), len(columns.targets)), np.nan)
    for column, (name, cells) in enumerate(columns.targets.items()):
        for k, cell in enumerate(cells):
            text = str(cell).strip()
            if cell is None or text == "" or (isinstance(cell, float) and math.isnan(cell)):
                continue
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not math.isfinite(value) or "_" in text:
                mistakes.add(
                    f"cells of `{name}` that are no number",
                    f"{columns.rows[k]}: `{clip(text, 60)}`",
                    advice="Write numbers with a point: 0.5.",
                )
            targets[k, column] = value
    return targets


def _read_groups(columns: Columns, mistakes: Mistakes) -> list[str] | None:
    if columns.groups is None:
        return None
    groups = []
    for row, path, group in zip(columns.rows, columns.paths, columns.groups, strict=True):
        if len(group) > MAX_LABEL_CHARS:
            mistakes.add(
                f"groups of more than {MAX_LABEL_CHARS} characters",
                f"{row}: `{clip(group, 60)}`",
                advice="Shorten them.",
            )
        groups.append(group or f"only {path[-MAX_LABEL_CHARS:]}")
    return groups


def _once(
    columns: Columns, names: Sequence[str], mistakes: Mistakes, notes: list[str]
) -> list[int]:
    """Return the first row of each picture; rows that contradict it are mistakes."""

    def words(k: int) -> tuple[object, ...]:
        label = None if columns.labels is None else columns.labels[k]
        return (
            label if isinstance(label, str | None) else tuple(label),
            columns.splits and columns.splits[k].lower(),
            columns.groups and columns.groups[k],
            *(str(cells[k]) for cells in columns.targets.values()),
        )

    first: dict[str, int] = {}
    again = []
    for k, name in enumerate(names):
        j = first.setdefault(os.path.normpath(name), k) if name else k
        if j == k:
            continue
        if words(j) == words(k):
            again.append(k)
        else:
            mistakes.add(
                "pictures named twice in different words",
                f"{columns.rows[k]}: `{clip(columns.paths[k])}`, as in {columns.rows[j]}",
                advice="Give each picture one row; several labels are written `a|b`.",
            )
    if again:
        place = f"{columns.rows[again[0]]}: {clip(columns.paths[again[0]])}"
        notes.append(f"{count(len(again), 'row')} named a picture again; it counts once ({place})")
    return sorted(set(range(len(names))) - set(again))


def _choose(
    columns: Columns,
    labels: Sequence[tuple[str, ...]],
    splits: Sequence[str],
    rows: Sequence[int],
    *,
    where: str,
    skip_classes: Sequence[str],
) -> tuple[str, ...]:
    def misplaced(label: str, split: str) -> tuple[str, str]:
        k = next(k for k in rows if splits[k] == split and label in labels[k])
        return (
            f"{where}, {columns.rows[k]}: split `{split}` has the label `{clip(label)}`",
            "Add pictures of it to the split `train`",
        )

    classes = choose_classes(
        [labels[k] for k in rows],
        [splits[k] for k in rows],
        where=where,
        skip_classes=[clean_label(each) for each in skip_classes],
        misplaced=misplaced,
    )
    if not classes:
        raise DataError(f"{where} has no classes left. Skip fewer of them.")
    return classes


def _encode(
    labels: Sequence[tuple[str, ...]],
    rows: Sequence[int],
    classes: Sequence[str],
    has_several: bool,
) -> NDArray[np.int64] | NDArray[np.uint8]:
    position = {name: k for k, name in enumerate(classes)}
    if not has_several:
        return np.array([position[labels[k][0]] for k in rows], dtype=np.int64)
    encoded = np.zeros((len(rows), len(classes)), dtype=np.uint8)
    for row, k in enumerate(rows):
        encoded[row, [position[x] for x in labels[k] if x in position]] = 1
    return encoded
