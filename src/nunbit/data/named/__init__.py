"""The named sets: what ``nunbit train mnist`` means by ``mnist``.

``digits``, ``shapes`` and ``signals`` are always there. The others are looked for in
``$NUNBIT_DATA/<name>``, where systems install them, and in the cache; what is
nowhere is downloaded into the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nunbit.data.named.base import NamedSet, download_set, find_place, find_set
from nunbit.data.named.cifar import CIFAR10
from nunbit.data.named.digits import DIGITS
from nunbit.data.named.idx import FASHION_MNIST, MNIST
from nunbit.data.named.photographs import CATS_DOGS
from nunbit.data.named.shapes import SHAPES
from nunbit.data.named.signals import SIGNALS
from nunbit.data.table import PictureTable
from nunbit.errors import DataError, did_you_mean, name_list

__all__ = ["NAMED_SETS", "NamedSet", "download_set", "find_place", "find_set", "open_named"]

NAMED_SETS: dict[str, NamedSet] = {
    each.name: each for each in (DIGITS, SHAPES, SIGNALS, MNIST, FASHION_MNIST, CIFAR10, CATS_DOGS)
}


def open_named(name: str, *, skip_classes: Sequence[str] = ()) -> PictureTable:
    """Open a named set.

    Raises:
        DataError: It is not on this machine and could not be downloaded (the message
            says why, and where to put it), its files are damaged, or a class to skip is unknown.
    """
    known = NAMED_SETS[name]
    table = replace(known.open(find_set(known)), source=name, image_size=known.image_size)
    if known.classes_ko:
        table = replace(table, titles={"ko": known.classes_ko})
    return _without_classes(table, skip_classes) if skip_classes else table


def _without_classes(table: PictureTable, skip_classes: Sequence[str]) -> PictureTable:
    unknown = sorted(set(skip_classes) - set(table.classes))
    if unknown:
        raise DataError(
            f"`--skip-class {unknown[0]}`: `{table.source}` has no such class."
            f"{did_you_mean(unknown[0], table.classes)} It has: {name_list(table.classes)}."
        )
    kept = [k for k, name in enumerate(table.classes) if name not in skip_classes]
    new_position = np.full(len(table.classes), -1)
    new_position[kept] = np.arange(len(kept))
    rows = np.flatnonzero(np.isin(table.labels, kept))
    part = table.select(rows)
    return replace(
        part,
        labels=new_position[part.labels],
        classes=tuple(table.classes[k] for k in kept),
        titles={lang: tuple(names[k] for k in kept) for lang, names in table.titles.items()},
        notes=(*table.notes, f"classes left out as asked: {', '.join(sorted(skip_classes))}"),
    )
