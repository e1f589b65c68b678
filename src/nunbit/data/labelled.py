"""``load_for_evaluation``: labelled pictures for a network that exists."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from nunbit.data.options import DataOptions
from nunbit.data.pictures import PictureSet
from nunbit.data.preprocessing import Preprocessing
from nunbit.data.reading import left_out, read_pixels
from nunbit.data.sources.opening import open_source
from nunbit.errors import DataError, name_list

__all__ = ["load_for_evaluation"]


def load_for_evaluation(
    source: str | os.PathLike[str],
    *,
    preprocessing: Preprocessing,
    classes: tuple[str, ...],
    skip_classes: tuple[str, ...] = (),
    only: tuple[str, Sequence[str]] | None = None,
    options: DataOptions | None = None,
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
        options: Whether there is a cache, and how much memory may be used.

    Returns:
        The pictures, and notes for people.

    Raises:
        DataError: No pictures, or a class that the network does not know.
    """
    where = f"`{source}`"
    table = open_source(source, skip_classes=skip_classes)
    if table.kind != "class":
        raise DataError(
            f"{where} has labels of the kind {table.kind}, expected one class per picture: the "
            "network tells classes apart."
        )
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
    decoded = read_pixels(table, preprocessing, where=where, options=options)
    if decoded.unreadable:
        notes.append(left_out(decoded.unreadable))
    table = decoded.table
    labels = np.array([position[name] for name in table.classes])[table.labels]
    pictures = PictureSet(
        split or "all", decoded.pixels, decoded.rows, labels, table.ids, table.names
    )
    return pictures, notes
