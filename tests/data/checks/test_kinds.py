"""Kinds of files are told from their first bytes, for every format, and nothing raises."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nunbit.data.checks.kinds import odd_kinds, picture_format, suffix_format

RGB = Image.fromarray(np.arange(48 * 4, dtype=np.uint8).reshape(8, 8, 3))
GREY = RGB.convert("L")


def written(image, kind, **how):
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


CASES = [
    (RGB, "JPEG", {}, ()),
    (GREY, "JPEG", {}, ()),
    (RGB, "JPEG", {"progressive": True}, ()),
    (RGB.convert("CMYK"), "JPEG", {}, ("CMYK",)),
    (RGB, "JPEG", {"exif": turned()}, ("EXIF-rotated",)),
    (RGB.convert("CMYK"), "JPEG", {"exif": turned()}, ("EXIF-rotated", "CMYK")),
    (RGB, "PNG", {}, ()),
    (GREY.convert("1"), "PNG", {}, ("1-bit",)),
    (RGB.convert("P"), "PNG", {}, ("palette",)),
    (RGB.convert("RGBA"), "PNG", {}, ("alpha",)),
    (RGB.convert("P"), "PNG", {"transparency": 0}, ("palette", "alpha")),
    (Image.fromarray(np.zeros((4, 4), np.uint16)), "PNG", {}, ("16-bit",)),
    (RGB, "PNG", {"save_all": True, "append_images": [GREY.convert("RGB")]}, ("animated",)),
    (RGB, "GIF", {}, ()),
    (RGB, "GIF", {"save_all": True, "append_images": [RGB.rotate(90)] * 2}, ("animated",)),
    (RGB, "BMP", {}, ()),
    (RGB.convert("P"), "BMP", {}, ("palette",)),
    (GREY.convert("1"), "BMP", {}, ("1-bit",)),
    (RGB, "WEBP", {}, ()),
    (RGB.convert("RGBA"), "WEBP", {"lossless": True, "exact": True}, ()),
    (RGB, "WEBP", {"save_all": True, "append_images": [RGB.rotate(90)]}, ("animated",)),
    (RGB, "TIFF", {}, ()),
    (Image.fromarray(np.zeros((4, 4), np.uint16)), "TIFF", {}, ("16-bit",)),
    (GREY.convert("1"), "TIFF", {}, ("1-bit",)),
    (RGB.convert("CMYK"), "TIFF", {}, ("CMYK",)),
    (RGB.convert("P"), "TIFF", {}, ("palette",)),
    (RGB.convert("RGBA"), "TIFF", {}, ("alpha",)),
    (RGB, "TIFF", {"tiffinfo": {274: 6}}, ("EXIF-rotated",)),
    (RGB, "TIFF", {"save_all": True, "append_images": [RGB]}, ("several pages",)),
]


@pytest.mark.parametrize(("image", "kind", "how", "odd"), CASES)
def test_kinds(image, kind, how, odd):
    data = written(image, kind, **how)
    assert odd_kinds(data) == odd
    assert picture_format(data) == {"WEBP": "WebP"}.get(kind, kind)


def test_alpha_of_webp_is_seen():
    clear = RGB.convert("RGBA")
    clear.putalpha(GREY)
    assert odd_kinds(written(clear, "WEBP")) == ("alpha",)


def test_avif_is_known_by_its_brand():
    data = written(RGB, "AVIF")
    assert picture_format(data) == "AVIF"
    assert picture_format(data.replace(b"avif", b"heic")) == "HEIC"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a/b.JPG", "JPEG"),
        ("a.jfif", "JPEG"),
        ("x.tif", "TIFF"),
        ("x.webp", "WebP"),
        ("x.dcm", None),
        ("no suffix", None),
    ],
)
def test_suffixes(name, says):
    assert suffix_format(name) == says


@given(st.sampled_from(range(len(CASES))), st.data())
def test_damaged_headers_never_raise(case, data):
    image, kind, how, _ = CASES[case]
    whole = bytearray(written(image, kind, **how))
    for _ in range(data.draw(st.integers(0, 8))):
        whole[data.draw(st.integers(0, min(len(whole), 200) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    assert all(isinstance(word, str) for word in odd_kinds(cut))


@given(st.binary(max_size=80))
def test_any_bytes_are_taken(data):
    assert isinstance(odd_kinds(data), tuple)
