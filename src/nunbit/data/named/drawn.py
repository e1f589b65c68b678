"""Sets that are drawn when they are asked for, class by class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nunbit.data.sources.stores import ArrayStore
from nunbit.data.table import PictureTable

__all__ = ["draw_table"]


def draw_table(
    source: str,
    classes: Sequence[str],
    per_class: Mapping[str, int],
    draw: Callable[[str, int, str], NDArray[np.uint8]],
    *,
    digits: int,
) -> PictureTable:
    """Draw all pictures of a set.

    Args:
        per_class: Pictures of each class, by split.
        draw: Takes class, number and split.
        digits: Of the number in a picture's name.
    """
    pixels, labels, splits = [], [], []
    for split, count in per_class.items():
        for number in range(count):
            for label, kind in enumerate(classes):
                pixels.append(draw(kind, number, split))
                labels.append(label)
                splits.append(split)
    return PictureTable(
        store=ArrayStore(np.stack(pixels), lambda i: f"{source}/{splits[i]}/{i:0{digits}d}"),
        ids=np.arange(len(labels)),
        labels=np.array(labels, dtype=np.int64),
        classes=tuple(classes),
        split=np.array(splits, dtype="<U10"),
        source=source,
    )
