"""The list of pictures to leave out: what ``check`` writes and ``train`` takes.

A CSV with the columns ``path,reason``, or a plain list with one path a line; names as
in the table, that is, relative to the source. A name that is no UTF-8 keeps its bytes.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from nunbit.data.split_files import csv_delimiter, csv_text, plain_name
from nunbit.data.table import PictureTable
from nunbit.errors import DataError, StorageError, name_list
from nunbit.storage import write_atomic

__all__ = ["apply_exclusions", "check_free", "read_exclusions", "write_exclusions"]

HEADER = ("path", "reason")
EMPTY = ("path,reason", "path;reason", "path\treason")
"""First lines of lists that leave out nothing."""


def check_free(path: str | os.PathLike[str]) -> None:
    """Refuse a place where something is already: a list may have been edited by hand.

    Raises:
        StorageError: There is something.
    """
    if os.path.lexists(path):
        raise StorageError(
            f"`{path}` is there already and may have been edited; it is not overwritten. "
            "Give another name, or remove it first."
        )


def write_exclusions(path: str | os.PathLike[str], pictures: Iterable[tuple[str, str]]) -> None:
    """Write names and reasons to a file that is not there yet.

    Raises:
        StorageError: The file is there already, or cannot be written.
    """
    check_free(path)
    write_atomic(Path(path), csv_text([HEADER, *pictures]))


def read_exclusions(path: str | os.PathLike[str]) -> list[str]:
    """Read the names of a list, each once, in order.

    A CSV (commas, semicolons or tabs) is told by its first line, which starts with
    ``path``; any other file is one path a line. Empty lines are passed over.

    Raises:
        DataError: The file cannot be read, or names no picture.
    """
    try:
        raw = Path(os.path.expanduser(path)).read_bytes()
    except OSError as error:
        raise DataError(
            f"the list `{path}` cannot be read: {error.strerror or error}. Expected a file that "
            "`nunbit check SOURCE --exclude-file FILE` wrote, or one path a line."
        ) from error
    text = raw.decode("utf-8-sig", "surrogateescape")
    first = text.partition("\n")[0].rstrip("\r")
    if first.partition(csv_delimiter(first))[0].strip().strip('"').lower() == HEADER[0]:
        names = _names_of_csv(text, path)
    else:
        names = [line.rstrip("\r") for line in text.split("\n")]
    names = list(dict.fromkeys(name for name in names if name.strip()))
    if "\0" in text or (not names and first.strip() not in EMPTY):
        raise DataError(
            f"the list `{path}` names no picture. Expected a CSV with the column `path`, or one "
            "path a line."
        )
    return names


def _names_of_csv(text: str, path: str | os.PathLike[str]) -> list[str]:
    try:
        delimiter = csv_delimiter(text.partition("\n")[0])
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter))
    except csv.Error as error:
        raise DataError(
            f"the list `{path}` is no CSV: {error}. Expected the columns `path,reason`, with "
            'names that hold commas or line ends in quotes ("a,b.jpg").'
        ) from error
    return [row[0] for row in rows[1:] if row]


def apply_exclusions(table: PictureTable, names: Sequence[str]) -> tuple[PictureTable, list[str]]:
    """Return the table without the named pictures, and notes for people.

    Names that the table does not have are counted in a note: the list may be older
    than the folder, or cover more than is used of it.

    Raises:
        DataError: No picture would be left.
    """
    wanted = {plain_name(name) for name in names}
    there = [plain_name(name) for name in table.names]
    kept = np.array([name not in wanted for name in there], dtype=bool)
    if len(table) and not kept.any():
        raise DataError(
            f"the list leaves out all {len(table):,} pictures of {table.source}. "
            "Shorten it, or train without it."
        )
    notes = []
    out = int((~kept).sum())
    if out:
        notes.append(f"left out as listed: {out:,} {'picture' if out == 1 else 'pictures'}")
    unknown = sorted(wanted - set(there))
    if unknown:
        notes.append(
            f"{len(unknown):,} listed {'name matches' if len(unknown) == 1 else 'names match'} "
            f"no picture: {name_list(unknown, limit=3)}"
        )
    return table.select(kept), notes
