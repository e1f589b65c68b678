"""``open_source``: from what the user gave to a picture table."""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nunbit.data.named import NAMED_SETS, open_named
from nunbit.data.sources.archives import (
    ARCHIVE_SUFFIXES,
    Archive,
    ArchiveLimits,
    is_archive,
    open_archive,
)
from nunbit.data.sources.arrays import is_columns, table_from_arrays, table_from_columns
from nunbit.data.sources.columns import Columns, table_of
from nunbit.data.sources.csv_source import names_pictures, parse_csv
from nunbit.data.sources.labels import clean_label, clip, spellings
from nunbit.data.sources.stores import FileStore, read_file
from nunbit.data.sources.tree import is_picture, list_folder, make_table, read_tree
from nunbit.data.table import PictureTable
from nunbit.errors import DataError, PictureError, name_list, nearest

__all__ = ["Source", "open_archive_source", "open_csv", "open_folder", "open_source"]

Source = str | os.PathLike[str] | Mapping[str, Any] | tuple[Any, Any]
"""What :func:`open_source` takes; a dataframe counts as a mapping of its columns."""

CSV_SUFFIXES = (".csv", ".tsv")
MAX_CSV_BYTES = 1 << 30
"""Largest CSV, in bytes; it is read into memory."""
HEAD_BYTES = 100_000
"""How much of a CSV is read to see whether it names pictures."""


def open_source(source: Source, *, skip_classes: Sequence[str] = ()) -> PictureTable:
    """Scan a source; no picture is opened yet.

    Args:
        source: A folder of class folders; a folder with ``train/``, ``validation/``
            and ``test/``; a folder of files whose names begin with the class; a CSV; a
            zip or tar of any of these; WebDataset shards; the name of a set
            (``mnist``; a folder of that name is reached as ``./mnist``); a dataframe
            or a mapping of columns; or a pair ``(images, labels)`` of arrays.
        skip_classes: Classes to leave out.
    Raises:
        DataError: There is no such source, or it holds no labelled pictures.
    """
    if isinstance(source, tuple):
        if len(source) != 2:
            raise DataError(f"got a tuple of {len(source)}, expected a pair (images, labels).")
        return table_from_arrays(*source, skip_classes=skip_classes)
    if not isinstance(source, str | bytes | os.PathLike):
        if is_columns(source):
            return table_from_columns(source, skip_classes=skip_classes)
        raise DataError(
            f"got {type(source).__name__} as a source, expected a path, the name of a set, a "
            "dataframe with the columns path and label, or a pair (images, labels)."
        )
    text = os.fsdecode(source)
    if text in NAMED_SETS:
        return open_named(text, skip_classes=skip_classes)
    from nunbit.data.sources.shards import is_shards, open_shards  # for these sources only

    if is_shards(text):
        return open_shards(text, skip_classes=skip_classes)
    path = Path(os.path.expanduser(text))
    if text and os.path.isdir(path):
        return open_folder(path, where=f"folder `{text}`", skip_classes=skip_classes)
    if text and os.path.isfile(path):
        if path.name.lower().endswith(CSV_SUFFIXES):
            return open_csv(path, where=f"`{text}`", skip_classes=skip_classes)
        if is_archive(path.name):
            return open_archive_source(path, where=f"`{text}`", skip_classes=skip_classes)
    if text and os.path.exists(path):
        raise DataError(
            f"`{text}` is a file, expected a folder of class folders, a CSV (.csv), an archive "
            f"({', '.join(ARCHIVE_SUFFIXES)}) or the name of a set ({', '.join(NAMED_SETS)})."
        )
    raise DataError(f"no such folder or set: `{clip(text)}`.{_did_you_mean(path)} {_expected()}")


def open_folder(path: Path, *, where: str, skip_classes: Sequence[str] = ()) -> PictureTable:
    """Open a folder; classes are its folders, or what file names begin with.

    Raises:
        DataError: A folder cannot be read, or there are no labelled pictures.
    """
    names, folders, passed = list_folder(path)
    tree = read_tree(names, folders)
    tree.passed = passed
    if not tree.names:
        hint = _csv_beside(path)
        where = f"{where} ({hint})" if hint else where
    table = make_table(
        tree,
        store=FileStore(path, tree.names),
        source=path.resolve().name,
        where=where,
        skip_classes=skip_classes,
    )
    hint = _csv_beside(path) if len(table.classes) == 1 else ""
    return replace(table, notes=(*table.notes, hint)) if hint else table


def _csv_beside(folder: Path) -> str:
    """Name a CSV in a folder, one that names pictures if there is any."""
    tables = sorted(
        p for p in folder.iterdir() if p.name.lower().endswith(CSV_SUFFIXES) and p.is_file()
    )
    for each in tables:
        with contextlib.suppress(OSError), open(each, "rb") as file:
            if names_pictures(file.read(HEAD_BYTES)):
                return f"give `{each}` if it lists the pictures"
    return f"give `{tables[0]}` if it lists the pictures" if tables else ""


def open_csv(path: Path, *, where: str, skip_classes: Sequence[str] = ()) -> PictureTable:
    """Open a CSV; its paths are relative to the folder it lies in.

    Raises:
        DataError: All that is wrong with it, in one message.
    """
    size = os.path.getsize(path)
    if size > MAX_CSV_BYTES:
        raise DataError(
            f"{where} has {size / 1e6:,.0f} MB, expected at most {MAX_CSV_BYTES / 1e6:,.0f} MB of "
            "paths and labels. Make several of it."
        )
    try:
        data = read_file(path)
    except PictureError as error:
        raise DataError(f"{where} cannot be read: {error}.") from error
    root = path.parent

    def find(name: str) -> str | None:
        there = (each for each in spellings(name) if os.path.isfile(os.path.join(root, each)))
        return next(there, None)

    return table_of(
        parse_csv(data, where=where),
        find=find,
        make_store=lambda names: FileStore(root, names, origin=path),
        source=path.stem,
        where=where,
        skip_classes=skip_classes,
    )


def open_archive_source(
    path: Path,
    *,
    where: str,
    source: str | None = None,
    skip_classes: Sequence[str] = (),
    limits: ArchiveLimits | None = None,
) -> PictureTable:
    """Open a zip or tar, in place.

    Where exactly one CSV at its top names pictures, that CSV counts; else the folders
    in it. A CSV can name only files that end as pictures do.

    Args:
        source: Name of the source for people; default: that of the file.
        limits: How much the archive may hold.
    Raises:
        DataError: The archive is damaged, above a limit, or has no labelled pictures.
        StorageError: A packed tar finds no room.
    """
    archive = open_archive(path, where=where, limits=limits)
    source = source or path.name[: -len(_suffix(path.name))] or path.name
    columns, notes = _table_within(archive, where)
    if columns is None:
        tree = read_tree(archive.names, archive.folders)
        if not tree.names and archive.notes:
            where = f"{where} ({'; '.join(archive.notes)})"
        table = make_table(
            tree,
            store=archive.make_store(tree.names),
            source=source,
            where=where,
            skip_classes=skip_classes,
        )
    else:
        there = {clean_label(name): name for name in archive.names} | {
            name: name for name in archive.names
        }

        def find(path: str) -> str | None:
            path = posixpath.normpath(path)
            name = there.get(path) or there.get(clean_label(path))
            if name is not None and not is_picture(name):
                raise PictureError("its name does not end as that of a picture")
            return name

        table = table_of(
            columns,
            find=find,
            make_store=archive.make_store,
            source=source,
            where=f"the CSV in {where}",
            skip_classes=skip_classes,
        )
    return replace(table, notes=(*table.notes, *archive.notes, *notes))


def _suffix(name: str) -> str:
    return max((s for s in ARCHIVE_SUFFIXES if name.lower().endswith(s)), key=len, default="")


def _table_within(archive: Archive, where: str) -> tuple[Columns | None, tuple[str, ...]]:
    """Read the one CSV at the top of an archive that names pictures; note where there are more."""
    found: dict[str, bytes] = {}
    for name in archive.names:
        if "/" in name or not name.lower().endswith(CSV_SUFFIXES):
            continue
        try:
            data = archive.read(name)
        except PictureError as error:
            raise DataError(f"{where}: `{clip(name)}` {error}.") from error
        if names_pictures(data):
            found[name] = data
    if len(found) == 1:
        (name, data), *_ = found.items()
        return parse_csv(data, where=f"`{name}` in {where}"), ()
    if not found:
        return None, ()
    return None, (
        f"not used: {len(found)} CSV files that name pictures, where one was expected: "
        f"{name_list(f'`{clip(name)}`' for name in found)}",
    )


def _did_you_mean(path: Path) -> str:
    """Name the set or the source in the same place that is spelt most like ``path``."""
    beside: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        for each in path.parent.iterdir():
            if each.is_dir() or is_archive(each.name) or each.suffix.lower() in CSV_SUFFIXES:
                beside[each.name] = str(each)
    near = nearest(path.name, [*NAMED_SETS, *beside])
    return f" Did you mean `{beside.get(near, near)}`?" if near else ""


def _expected() -> str:
    return (
        "Give a folder that holds one folder of pictures per class, a CSV or an archive, or one of "
        f"the sets {', '.join(NAMED_SETS)} (`nunbit datasets` says where they are looked for)."
    )
