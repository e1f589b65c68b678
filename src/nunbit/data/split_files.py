"""Files that say which picture is in which split: written by a run, read again by name."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nunbit.data.table import SPLITS, PictureTable
from nunbit.errors import DataError, name_list

__all__ = [
    "csv_delimiter",
    "csv_text",
    "parted_groups",
    "plain_name",
    "read_split",
    "split_as_read",
    "split_csv",
]

SPLIT_FILE = "split.csv"
"""Name of the file that a run keeps its split in."""


def plain_name(name: str) -> str:
    """Return a name without the ``./`` that some programs put before it."""
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    r"""Return rows as the text of a CSV; line ends of every kind survive in names.

    Example:
        >>> csv_text([["a.png", 1], ["b\r.png", 2]])
        'a.png,1\n"b\r.png","2"\n'
    """
    text = io.StringIO()
    plain = csv.writer(text, lineterminator="\n")
    # The csv module quotes only the line ends that it writes itself.
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        (quoted if any("\r" in str(cell) for cell in row) else plain).writerow(row)
    return text.getvalue()


def csv_delimiter(header: str) -> str:
    """Return what parts the columns of a header: comma, else semicolon or tab."""
    return next((mark for mark in ",;\t" if mark in header), ",")


def read_split(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read which picture is in which split from a CSV ``path,...,split``, or a run folder.

    Raises:
        DataError: There is no such file, or it says something else.
    """
    file = Path(os.path.expanduser(path))
    file = file / SPLIT_FILE if file.is_dir() else file
    try:
        text = file.read_bytes().decode("utf-8-sig", "surrogateescape")
        delimiter = csv_delimiter(text.partition("\n")[0])
        lines = io.StringIO(text, newline="")
        rows = list(csv.DictReader(lines, strict=True, delimiter=delimiter))
    except OSError as error:
        raise DataError(f"split file `{file}` cannot be read: {error.strerror}.") from error
    except csv.Error as error:
        raise DataError(f"split file `{file}` is no CSV: {error}.") from error
    lacking = [name for name in ("path", "split") if rows and name not in rows[0]]
    if lacking or not rows:
        raise DataError(
            f"split file `{file}` has {'no rows' if not rows else f'no column `{lacking[0]}`'}, "
            "expected columns `path` and `split`, as the `split.csv` of a run has them."
        )
    strange = sorted({str(row["split"]) for row in rows if row["split"] not in SPLITS})
    if strange:
        raise DataError(
            f"split file `{file}` names the split `{strange[0]}`, expected {', '.join(SPLITS)}."
        )
    found: dict[str, str] = {}
    twice = []
    for row in rows:
        name, split = plain_name(str(row["path"])), str(row["split"])
        if found.setdefault(name, split) != split:
            twice.append(f"`{name}` ({found[name]} and {split})")
    if twice:
        raise DataError(
            f"split file `{file}` puts pictures into two splits: {name_list(twice, limit=3)}. "
            "Name each picture once."
        )
    return found


def parted_groups(table: PictureTable) -> list[str]:
    """Return the groups that have pictures in several splits, in order."""
    if table.group is None or not len(table):
        return []
    names, member = np.unique(table.group, return_inverse=True)
    kinds, split = np.unique(table.split, return_inverse=True)
    is_there = np.zeros((len(names), len(kinds)), dtype=bool)
    is_there[member, split] = True
    return [str(name) for name in names[is_there.sum(axis=1) > 1]]


def split_as_read(table: PictureTable, split_of: dict[str, str], *, file: str) -> PictureTable:
    """Return the pictures that a split file names, in the splits that it names.

    Pictures that the file does not name are left out, and a note says how many.

    Raises:
        DataError: The file names none of the training pictures, or parts a group that
            the source itself keeps together.
    """
    names = table.names
    split = np.array([split_of.get(plain_name(name), "") for name in names], dtype="<U10")
    known = np.flatnonzero(split != "")
    part = replace(table.select(known), split=split[known])
    notes = list(table.notes)
    if not part.has_split("train"):
        raise DataError(
            f"`{file}` names none of the training pictures of `{table.source}` (it names "
            f"{name_list(split_of, limit=3)}). Take the split of a run on the same source."
        )
    parted = sorted(set(parted_groups(part)) - set(parted_groups(table)))
    if parted:
        listed = name_list((f"`{name}`" for name in parted), limit=5)
        raise DataError(
            f"`{file}` puts pictures of one group into several splits: {listed}. Pictures of one "
            "group are alike, so that the scores would be too good. Keep each group in one "
            "split, or leave the groups away."
        )
    if len(part) < len(table):
        left = name_list([n for n, s in zip(names, split, strict=True) if not s], limit=3)
        notes.append(f"left out: {len(table) - len(part):,} pictures not in `{file}` ({left})")
    gone = len(split_of) - len(part)
    if gone > 0:
        notes.append(f"{gone:,} pictures that `{file}` names are not there")
    return replace(part, notes=tuple(notes))


def split_csv(table: PictureTable) -> str:
    """Return the table as CSV text ``path,label,split[,group]``, for the run folder."""
    rows: list[list[str]] = [
        ["path", "label", "split", *([] if table.group is None else ["group"])]
    ]
    for row, name in enumerate(table.names):
        group = [] if table.group is None else [str(table.group[row])]
        rows.append([name, table.label_text(row), str(table.split[row]), *group])
    return csv_text(rows)
