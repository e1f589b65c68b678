"""``cifar10``: the official binary files, or a folder or zip of its pictures.

Source of the format: Krizhevsky 2009, "CIFAR-10 binary version": records of one
label byte and 3,072 bytes, red, green and blue plane of 32x32.
The pickled "python version" is not read: Nunbit loads no pickle.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nunbit.data.named.base import NamedSet
from nunbit.data.named.photographs import open_pictures
from nunbit.data.sources.stores import ArrayStore
from nunbit.data.table import PictureTable
from nunbit.errors import DataError

__all__ = ["CIFAR10"]

_CLASSES = {
    "airplane": "비행기",
    "automobile": "자동차",
    "bird": "새",
    "cat": "고양이",
    "deer": "사슴",
    "dog": "개",
    "frog": "개구리",
    "horse": "말",
    "ship": "배",
    "truck": "트럭",
}
RECORD_BYTES = 1 + 3 * 32 * 32


def _open(place: Path | None) -> PictureTable:
    folder = place
    if place is not None and (place / "cifar-10-batches-bin").is_dir():
        folder = place / "cifar-10-batches-bin"
    if folder is None or not (folder / "data_batch_1.bin").is_file():
        return open_pictures(place, name="cifar10", classes=tuple(_CLASSES))
    names = [f"data_batch_{k}.bin" for k in range(1, 6)] + ["test_batch.bin"]
    records, splits = [], []
    for name in names:
        if not (folder / name).is_file():
            raise DataError(f"`{folder}` has no `{name}`. Put all six official files there.")
        raw = np.fromfile(folder / name, dtype=np.uint8)
        if len(raw) == 0 or len(raw) % RECORD_BYTES:
            raise DataError(
                f"`{folder / name}` has {len(raw)} bytes, expected a multiple of {RECORD_BYTES}. "
                "It is truncated or damaged: fetch it again."
            )
        records.append(raw.reshape(-1, RECORD_BYTES))
        splits += ["test" if name.startswith("test") else "train"] * len(records[-1])
    data = np.concatenate(records)
    if data[:, 0].max() >= len(_CLASSES):
        raise DataError(f"`{folder}` has labels up to {data[:, 0].max()}, expected 0 to 9.")
    pixels = data[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return PictureTable(
        store=ArrayStore(np.ascontiguousarray(pixels), lambda i: f"{splits[i]}/{i:05d}"),
        ids=np.arange(len(data)),
        labels=data[:, 0].astype(np.int64),
        classes=tuple(_CLASSES),
        split=np.array(splits, dtype="<U10"),
        source="cifar10",
    )


CIFAR10 = NamedSet(
    name="cifar10",
    title="things and animals, 32×32 colour",
    title_ko="사물과 동물, 32×32 컬러",
    classes=tuple(_CLASSES),
    classes_ko=tuple(_CLASSES.values()),
    train_images=50_000,
    test_images=10_000,
    image_size=32,
    colour="rgb",
    licence="none stated; for research (Krizhevsky 2009)",
    files="the official binary files (`cifar-10-batches-bin`), or folders `train/<class>` and "
    "`test/<class>`, or a zip of them",
    open=_open,
)
