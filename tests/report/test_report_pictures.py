"""Pictures in the page are the pictures that were given."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest

from nunbit.errors import ShapeError
from nunbit.report import MisreadPicture, render_report
from nunbit.report.pictures import make_thumbnail


def decode(uri):
    """Return kind and RGB pixels of a data address."""
    head, _, data = uri.partition(",")
    raw = np.frombuffer(base64.b64decode(data, validate=True), np.uint8)
    return head, cv2.imdecode(raw, cv2.IMREAD_COLOR)[:, :, ::-1]


def test_tiny_colour_picture_comes_back_bit_by_bit():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 20, 3), dtype=np.uint8)
    thumbnail = make_thumbnail(pixels)
    head, decoded = decode(thumbnail.uri)
    assert head == "data:image/png;base64"
    assert thumbnail.is_tiny
    assert (thumbnail.width, thumbnail.height) == (20, 32)
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (64, 64), (1, 1)])
def test_tiny_grey_picture_comes_back_bit_by_bit(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    _, decoded = decode(make_thumbnail(pixels).uri)
    for channel in range(3):
        np.testing.assert_array_equal(decoded[:, :, channel], pixels.reshape(shape[:2]))


@pytest.mark.parametrize("rgb", [(220, 30, 40), (20, 200, 60), (30, 60, 210)])
def test_large_picture_keeps_its_colours_and_its_shape(rgb):
    pixels = np.full((300, 600, 3), rgb, dtype=np.uint8)
    thumbnail = make_thumbnail(pixels)
    head, decoded = decode(thumbnail.uri)
    assert head == "data:image/jpeg;base64"
    assert not thumbnail.is_tiny
    assert decoded.shape == (80, 160, 3)
    assert np.abs(decoded.astype(int) - rgb).max() <= 6


@pytest.mark.parametrize(
    ("shape", "size"),
    [((65, 65), (65, 65)), ((10, 2000, 3), (160, 1)), ((2000, 10), (1, 160))],
)
def test_thumbnail_is_never_enlarged_nor_empty(shape, size):
    thumbnail = make_thumbnail(np.zeros(shape, np.uint8))
    assert (thumbnail.width, thumbnail.height) == size
    assert decode(thumbnail.uri)[1].shape[:2] == size[::-1]


def test_picture_seen_through_a_strided_view():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    view = pixels[::2, ::-1, ::-1]
    np.testing.assert_array_equal(decode(make_thumbnail(view).uri)[1], view)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((0, 8), np.uint8),
        np.zeros(8, np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(pixels):
    with pytest.raises(ShapeError, match=r"expected uint8 \(H, W\) or \(H, W, 3\) RGB"):
        make_thumbnail(pixels)


def test_page_holds_the_given_pictures(change, read_page):
    rng = np.random.default_rng(1)
    tiny = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    red = np.zeros((200, 100, 3), np.uint8)
    red[..., 0] = 255
    misread = [MisreadPicture("t", tiny, "a", "b", 0.9), MisreadPicture("r", red, "a", "b", 0.8)]
    page = read_page(render_report(change(misread=misread)))
    first, second = page.one("ul", cls="gallery").all("img")
    np.testing.assert_array_equal(decode(first.attrs["src"])[1], tiny)
    assert first.attrs["class"] == "tiny"
    assert "class" not in second.attrs
    assert (second.attrs["width"], second.attrs["height"]) == ("80", "160")
    assert decode(second.attrs["src"])[1].mean(axis=(0, 1)) == pytest.approx([254, 0, 0], abs=3)
