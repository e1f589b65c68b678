"""The picture table: one plain table that says which pictures there are.

A row is a picture: where its pixels are, its label, its split and its group.
Everything before decoding works on this table and touches no pixels; everything
after decoding has lost the paths and kept the row's id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["SPLITS", "PictureStore", "PictureTable", "TargetKind"]

SPLITS = ("train", "validation", "test")

TargetKind = Literal["class", "multi-label", "regression"]
"""What the labels of a table are: one class each, any number of classes, or numbers."""


class PictureStore(Protocol):
    """Where the pixels are: files on disk, members of an archive, one array.

    Methods are called from several threads at once.
    """

    def __len__(self) -> int:
        """Return how many pictures the store has."""
        ...

    def name(self, position: int) -> str:
        """Return the name people know the picture by, unique within the store."""
        ...

    def read(self, position: int) -> bytes | NDArray[np.uint8]:
        """Return an encoded file, or pixels as uint8 (H, W) grey or (H, W, 3) RGB.

        Raises:
            PictureError: The picture cannot be read; the message is the reason.
        """
        ...


@dataclass(frozen=True)
class PictureTable:
    """Pictures, their labels and their splits, as columns of equal length.

    Args:
        store: Where the pixels are.
        ids: int64 (N,). Position of each row in ``store``. It also identifies the
            picture wherever randomness or scores are derived from it, so it never
            changes when rows are selected.
        labels: By ``kind``: int64 (N,) positions in ``classes``, -1 where a picture
            has none; uint8 (N, K) of 0 and 1, a column per class; float64 (N, T).
        classes: Class names in the order of the network's outputs; names of the T
            numbers where the targets are numbers.
        split: (N,) of ``"train"``, ``"validation"``, ``"test"``.
        group: (N,) of texts, or None. Pictures of one group never part.
        source: Name of the source, for people and for the run's folder name.
        image_size: Side in pixels to train at, where the source has a natural one.
        titles: Class names in other languages: ``{"ko": (...)}``.
        notes: What was noticed while scanning, in sentences for people.
        kind: What the labels are.
    """

    store: PictureStore
    ids: NDArray[np.int64]
    labels: NDArray[Any]
    classes: tuple[str, ...]
    split: NDArray[np.str_]
    source: str
    group: NDArray[np.str_] | None = None
    image_size: int | None = None
    titles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    kind: TargetKind = "class"

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.ids)

    @property
    def names(self) -> list[str]:
        """The name of each picture, in row order."""
        return [self.store.name(int(i)) for i in self.ids]

    def label_text(self, row: int) -> str:
        """Return the label of a row as a CSV has it: ``cat``, ``cat|dog``, ``0.5``."""
        label = self.labels[row]
        if self.kind == "class":
            return self.classes[int(label)] if label >= 0 else ""
        if self.kind == "multi-label":
            return "|".join(name for name, on in zip(self.classes, label, strict=True) if on)
        return "|".join(f"{value:.17g}" for value in label)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> PictureTable:
        """Return the table with only ``rows``: a mask, or positions in order."""
        return replace(
            self,
            ids=self.ids[rows],
            labels=self.labels[rows],
            split=self.split[rows],
            group=None if self.group is None else self.group[rows],
        )

    def of_split(self, split: str) -> PictureTable:
        """Return the rows of one split."""
        return self.select(self.split == split)

    def has_split(self, split: str) -> bool:
        """Return whether any row belongs to ``split``."""
        return bool((self.split == split).any())
