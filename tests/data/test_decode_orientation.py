"""Every orientation a camera can write, in every format that can carry it."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from nunbit.data.decode import decode, orient
from nunbit.data.headers import avif_turns, exif_orientation, tiff_tag

ORIENTATION = 0x0112
FORMATS: dict[str, tuple[str, dict[str, Any], int]] = {
    "jpeg": ("JPEG", {"quality": 95}, 3),
    "png": ("PNG", {}, 0),
    "webp": ("WEBP", {"lossless": True}, 0),
    "tiff": ("TIFF", {}, 0),
    "tiff-lzw": ("TIFF", {"compression": "tiff_lzw"}, 0),
    "tiff-jpeg": ("TIFF", {"compression": "jpeg"}, 3),
    "avif": ("AVIF", {"quality": 100, "subsampling": "4:4:4"}, 4),
}
"""Pillow's name, how to write it, and by how many grey levels two decoders may differ."""


def slope(mode: str) -> Image.Image:
    """A picture of which no turn and no mirror image is like another."""
    y, x = np.mgrid[0:24, 0:40]
    return Image.fromarray(np.stack([x * 6, y * 10, (x + y) * 4], -1).astype(np.uint8)).convert(
        mode
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("name", FORMATS)
def test_orientation_is_applied_as_pillow_does(
    name: str, mode: str, orientation: int, encode: Callable[..., bytes]
) -> None:
    kind, how, tolerance = FORMATS[name]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = encode(slope(mode), kind, exif=exif, **how)
    with Image.open(io.BytesIO(file)) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert(mode)).astype(int)
    got = decode(file).astype(int)
    if mode == "L" and got.ndim == 3:  # WebP knows no grey
        got = got[:, :, 0]
    assert got.shape == expected.shape
    assert abs(got - expected).max() <= tolerance


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\x00\x00"])
def test_exif_is_read_in_both_byte_orders(order: str, prefix: bytes) -> None:
    start = b"II*\x00" if order == "<" else b"MM\x00*"
    blob = prefix + start + struct.pack(order + "IH", 8, 2)
    blob += struct.pack(order + "HHIHH", 0x010F, 3, 1, 5, 0)  # another tag comes first
    assert exif_orientation(blob + struct.pack(order + "HHIHH", ORIENTATION, 3, 1, 6, 0)) == 6
    one_entry = blob.replace(struct.pack(order + "IH", 8, 2), struct.pack(order + "IH", 8, 1))
    beyond = one_entry + struct.pack(order + "HHIHH", ORIENTATION, 3, 1, 6, 0)
    assert exif_orientation(beyond) == 1, "only as many entries as are announced"
    for outside in (0, 9, 65535):
        bad = blob + struct.pack(order + "HHIHH", ORIENTATION, 3, 1, outside, 0)
        assert exif_orientation(bad) == 1


@given(st.binary(max_size=80), st.sampled_from([b"", b"II*\x00", b"MM\x00*"]))
def test_damaged_exif_means_upright(blob: bytes, start: bytes) -> None:
    assert 1 <= exif_orientation(start + blob) <= 8
    assert tiff_tag(blob, 1, default=-7) in range(-7, 65536)


def test_turns_of_avif_are_found_only_as_boxes() -> None:
    assert avif_turns(b"irot\x01 imir\x01") == (0, None)
    assert avif_turns(b"..\x00\x00\x00\x09irot\x03..\x00\x00\x00\x09imir\x00") == (3, 0)


def test_orient_undoes_itself() -> None:
    """Each mirror image twice, and a turn followed by the opposite one, is the picture."""
    pixels = np.arange(6).reshape(2, 3)
    for there, back in ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 8), (7, 7), (8, 6)):
        turned = orient(pixels, there)
        assert there == 1 or turned.tolist() != pixels.tolist()
        assert orient(turned, back).tolist() == pixels.tolist()
