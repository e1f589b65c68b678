"""``mnist`` and ``fashion-mnist``: the official IDX files, plain or gzip.

Source of the format: LeCun, Cortes, Burges, "The MNIST database of handwritten
digits": big-endian magic 0x0000080d (unsigned bytes, d dimensions), d sizes of 32
bits, then the bytes.
"""

from __future__ import annotations

import functools
import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nunbit.data.named.base import NamedSet
from nunbit.data.named.photographs import open_pictures
from nunbit.data.sources.stores import ArrayStore
from nunbit.data.table import PictureTable
from nunbit.errors import DataError

__all__ = ["FASHION_MNIST", "MNIST", "read_idx"]

PARTS = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or gzip.

    Raises:
        DataError: It is no IDX file, or shorter or longer than its header says.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"`{path}` cannot be read: {error.strerror}.") from error
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"`{path}` is a damaged gzip file ({error}). Fetch it again."
            ) from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise DataError(
            f"`{path}` is no IDX file of bytes: it starts with {raw[:4].hex(' ')}, expected "
            "00 00 08 and the number of dimensions. Fetch the official file again."
        )
    header = 4 + 4 * raw[3]
    sizes = raw[4 : min(header, len(raw) // 4 * 4)]
    shape = tuple(np.frombuffer(sizes, dtype=">u4").tolist())
    expected = header + math.prod(shape)
    if len(shape) != raw[3] or len(raw) != expected:
        raise DataError(
            f"`{path}` has {len(raw)} bytes, its header {shape} asks for {expected}. "
            "It is truncated or damaged: fetch it again."
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape)


def _find(folder: Path, name: str) -> Path | None:
    for candidate in (name, f"{name}.gz", name.replace("-idx", ".idx")):
        if (folder / candidate).is_file():
            return folder / candidate
    return None


def _open_idx(place: Path | None, *, name: str, classes: tuple[str, ...]) -> PictureTable:
    if place is None or place.is_file() or not _find(place, PARTS["train"][0]):
        return open_pictures(place, name=name, classes=classes)
    images, labels, splits = [], [], []
    for split, (image_name, label_name) in PARTS.items():
        image_path, label_path = _find(place, image_name), _find(place, label_name)
        if image_path is None or label_path is None:
            missing = image_name if image_path is None else label_name
            raise DataError(f"`{place}` has no `{missing}` or `{missing}.gz`. Put it there.")
        images.append(read_idx(image_path))
        labels.append(read_idx(label_path))
        if images[-1].ndim != 3 or labels[-1].shape != images[-1].shape[:1]:
            raise DataError(
                f"`{image_path}` holds {images[-1].shape} and `{label_path}` {labels[-1].shape}; "
                "expected (N, rows, columns) and (N,). Fetch the official files again."
            )
        splits += [split] * len(labels[-1])
    if images[0].shape[1:] != images[1].shape[1:]:
        raise DataError(
            f"the pictures in `{place}` are {images[0].shape[1:]} to train on and "
            f"{images[1].shape[1:]} to test on. Fetch the official files again."
        )
    table_labels = np.concatenate(labels).astype(np.int64)
    if table_labels.max(initial=0) >= len(classes):
        raise DataError(
            f"`{place}` has labels up to {table_labels.max()}, but `{name}` has "
            f"{len(classes)} classes. Fetch the official files again."
        )
    first_test = len(labels[0])

    def picture_name(i: int) -> str:
        return f"train/{i:05d}" if i < first_test else f"test/{i - first_test:05d}"

    return PictureTable(
        store=ArrayStore(np.concatenate(images), picture_name),
        ids=np.arange(len(table_labels)),
        labels=table_labels,
        classes=classes,
        split=np.array(splits, dtype="<U10"),
        source=name,
    )


FILES = "the four official files (train-images-idx3-ubyte.gz and so on)"

MNIST = NamedSet(
    name="mnist",
    title="handwritten digits, 28×28 grey",
    title_ko="손글씨 숫자, 28×28 흑백",
    classes=tuple("0123456789"),
    classes_ko=(),
    train_images=60_000,
    test_images=10_000,
    image_size=28,
    colour="grey",
    licence="CC BY-SA 3.0",
    files=FILES,
    open=functools.partial(_open_idx, name="mnist", classes=tuple("0123456789")),
)

_CLOTHES = {
    "T-shirt/top": "티셔츠",
    "Trouser": "바지",
    "Pullover": "스웨터",
    "Dress": "드레스",
    "Coat": "코트",
    "Sandal": "샌달",
    "Shirt": "셔츠",
    "Sneaker": "스니커즈",
    "Bag": "가방",
    "Ankle boot": "앵클 부츠",
}

FASHION_MNIST = NamedSet(
    name="fashion-mnist",
    title="articles of clothing, 28×28 grey",
    title_ko="의류 사진, 28×28 흑백",
    classes=tuple(_CLOTHES),
    classes_ko=tuple(_CLOTHES.values()),
    train_images=60_000,
    test_images=10_000,
    image_size=28,
    colour="grey",
    licence="MIT",
    files=FILES,
    open=functools.partial(_open_idx, name="fashion-mnist", classes=tuple(_CLOTHES)),
)
