"""Pictures that look like photographs, and tables of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from nunbit.data.table import PictureTable

Photo = Callable[..., NDArray[np.uint8]]
MakeTable = Callable[..., PictureTable]


@pytest.fixture
def photo() -> Photo:
    """Return a function from a number to a picture with large and small forms, RGB."""

    def make(number: int, height: int = 120, width: int = 160) -> NDArray[np.uint8]:
        rng = np.random.default_rng(number)
        large = cv2.resize(rng.normal(0, 40, (6, 8, 3)), (width, height), interpolation=2)
        small = cv2.resize(rng.normal(0, 25, (24, 32, 3)), (width, height), interpolation=2)
        return np.clip(128 + large + small, 0, 255).astype(np.uint8)

    return make


class ListStore:
    """Pictures of any size in memory; bytes are files, an error is one that cannot be read."""

    def __init__(self, pictures: Sequence[object], names: Sequence[str]) -> None:
        self.pictures, self.names = list(pictures), list(names)

    def __len__(self) -> int:
        return len(self.pictures)

    def name(self, position: int) -> str:
        return self.names[position]

    def read(self, position: int) -> object:
        picture = self.pictures[position]
        if isinstance(picture, Exception):
            raise picture
        return picture


@pytest.fixture
def make_table() -> MakeTable:
    """Return a function that makes a table of pictures given one by one."""

    def make(
        pictures: Sequence[object],
        *,
        labels: Sequence[object] | None = None,
        split: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        classes: Sequence[str] = ("cat", "dog"),
        **columns: object,
    ) -> PictureTable:
        count = len(pictures)
        return PictureTable(
            store=ListStore(pictures, names or [f"{k}.png" for k in range(count)]),
            ids=np.arange(count),
            labels=np.array([k % 2 for k in range(count)] if labels is None else labels),
            classes=tuple(classes),
            split=np.array(split or ["train"] * count),
            source="made",
            **columns,
        )

    return make
