"""``digits``: 1,797 scans of handwritten digits, 8x8 grey, from scikit-learn.

They ship with scikit-learn, so that the main job runs offline, in seconds.
Source: Alpaydin & Kaynak 1998, UCI "Optical Recognition of Handwritten Digits".
Departs: scikit-learn carries only that set's test part, so the test split here is
our own: every fifth picture of each class. Values 0..16 are scaled to 0..255.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nunbit.data.named.base import NamedSet
from nunbit.data.sources.stores import ArrayStore
from nunbit.data.table import PictureTable

__all__ = ["DIGITS"]

CLASSES = tuple("0123456789")


def _open(place: Path | None) -> PictureTable:
    from sklearn.datasets import load_digits  # 0.7 s to import, so only here

    bunch = load_digits()
    pixels = (bunch.images * (255 / 16)).round().astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    split = np.full(len(labels), "train", dtype="<U10")
    for digit in range(10):
        split[np.flatnonzero(labels == digit)[::5]] = "test"
    return PictureTable(
        store=ArrayStore(pixels, lambda i: f"digits/{i:04d}"),
        ids=np.arange(len(labels)),
        labels=labels,
        classes=CLASSES,
        split=split,
        source="digits",
    )


DIGITS = NamedSet(
    name="digits",
    title="handwritten digits, scans of 8×8",
    title_ko="손글씨 숫자, 8×8 스캔",
    classes=CLASSES,
    classes_ko=(),
    train_images=1433,
    test_images=364,
    image_size=8,
    colour="grey",
    licence="CC BY 4.0 (UCI), ships with scikit-learn",
    files="",
    open=_open,
)
