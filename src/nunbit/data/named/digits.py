"""``digits``: 1,797 scans of handwritten digits, 8x8 grey, from scikit-learn.

They ship with scikit-learn, so that the main job runs offline, in seconds.
Source: Alpaydin & Kaynak 1998, UCI "Optical Recognition of Handwritten Digits".
Departs: scikit-learn carries only that set's test part, so the test split here is
our own: every fifth picture of each class. Values 0..16 are scaled to 0..255.
"""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nunbit.data.named.base import NamedSet
from nunbit.data.sources.stores import ArrayStore
from nunbit.data.table import PictureTable

__all__ = ["DIGITS"]

CLASSES = tuple("0123456789")


def _read() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return values 0..16 (N, 8, 8) and the digits that they show.

    Importing scikit-learn takes 0.7 s, so its file is read without it; where another
    version keeps the file elsewhere, scikit-learn is asked.
    """
    found = importlib.util.find_spec("sklearn")
    for folder in (found.submodule_search_locations or []) if found else []:
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            text = gzip.decompress(file.read_bytes()).replace(b"\n", b",")
            table = np.fromstring(text, dtype=np.uint8, sep=",").reshape(-1, 65)
            return table[:, :64].reshape(-1, 8, 8), table[:, 64].astype(np.int64)
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images.astype(np.uint8), bunch.target.astype(np.int64)


def _open(place: Path | None) -> PictureTable:
    values, labels = _read()
    pixels = (values * (255 / 16)).round().astype(np.uint8)
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
