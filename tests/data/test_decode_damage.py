"""Damaged, truncated and foreign files are refused, never half-read, and nothing else happens."""

from __future__ import annotations

import functools
import io
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from nunbit.data.decode import decode
from nunbit.errors import PictureError

KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpeg": ("JPEG", "RGB", {"quality": 90}),
    "jpeg-progressive": ("JPEG", "RGB", {"progressive": True}),
    "jpeg-grey": ("JPEG", "L", {}),
    "png": ("PNG", "RGB", {}),
    "png-grey": ("PNG", "L", {}),
    "png-palette": ("PNG", "P", {"transparency": 2}),
    "webp": ("WEBP", "RGB", {}),
    "webp-lossless": ("WEBP", "RGB", {"lossless": True}),
    "gif": ("GIF", "P", {}),
    "bmp": ("BMP", "RGB", {}),
    "tiff": ("TIFF", "RGB", {}),
    "tiff-deflate": ("TIFF", "RGB", {"compression": "tiff_deflate"}),
    "tiff-alpha": ("TIFF", "RGBA", {"compression": "tiff_lzw"}),
    "avif": ("AVIF", "RGB", {}),
}


def noisy(size: int) -> Image.Image:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:size, 0:size]
    slope = np.stack([x * 2, y * 2, x + y], -1)
    return Image.fromarray((slope + rng.integers(0, 30, slope.shape)).clip(0, 255).astype(np.uint8))


@functools.cache
def sample(name: str, size: int = 80) -> bytes:
    kind, mode, how = KINDS[name]
    file = io.BytesIO()
    noisy(size).convert(mode).save(file, kind, **how)
    return file.getvalue()


@pytest.mark.parametrize("name", KINDS)
def test_a_file_cut_anywhere_is_refused(name: str) -> None:
    whole = sample(name)
    assert decode(whole).shape[:2] == (80, 80)
    size = len(whole)
    shares = [int(size * share) for share in np.linspace(0.03, 0.99, 30)]
    for end in sorted({1, 2, 3, 4, 8, 20, *shares, *range(size - 12, size)}):
        with pytest.raises(PictureError, match=r"damaged|truncated|decoded"):
            decode(whole[:end])


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "webp", "tiff", "bmp"])
def test_a_cut_file_prints_nothing(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    whole = sample(name)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(PictureError):
            decode(whole[: int(len(whole) * share)])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["png", "png-grey", "png-palette"])
def test_a_png_with_one_wrong_byte_is_refused_in_silence(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = sample(name)
    for at in range(8, len(whole) - 20, len(whole) // 40):
        changed = whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]
        with pytest.raises(PictureError, match="damaged or truncated"):
            decode(changed)
    assert capfd.readouterr() == ("", "")


def test_what_comes_after_a_picture_does_not_matter() -> None:
    for name in KINDS:
        assert np.array_equal(decode(sample(name) + b"more" * 9), decode(sample(name)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"This is a text.\n" * 30, "not a picture"),
        (b"\xff\xd8\xff", "not a picture"),
        (b"\x89PNG\r\n\x1a\n", "damaged|truncated"),
        (b"%PDF-1.7\n", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    ],
)
def test_other_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(PictureError, match=message):
        decode(data)


def _decode_or_refuse(data: bytes) -> None:
    """Anything but a picture or a PictureError lets the test fail."""
    try:
        pixels: NDArray[np.uint8] = decode(data)
    except PictureError as error:
        assert str(error)  # noqa: PT017  # there is a reason, always
        return
    assert pixels.dtype == np.uint8
    assert pixels.size
    assert pixels.ndim == 2 or pixels.shape[2] == 3


@given(st.binary(max_size=300), st.sampled_from([b"", *(sample(name)[:16] for name in KINDS)]))
def test_random_bytes_are_refused(data: bytes, start: bytes) -> None:
    _decode_or_refuse(start + data)


@given(
    name=st.sampled_from(sorted(KINDS)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), min_size=1),
    in_head=st.booleans(),
    end=st.one_of(st.none(), st.floats(0, 1)),
)
def test_changed_files_are_read_or_refused(
    name: str, changes: list[tuple[float, bytes]], end: float | None, *, in_head: bool
) -> None:
    data = bytearray(sample(name, 16))
    reach = min(len(data), 120) if in_head else len(data)
    for share, new in changes:
        at = int(share * (reach - 1))
        data[at : at + len(new)] = new
    if end is not None:
        del data[int(end * len(data)) :]
    _decode_or_refuse(bytes(data))


def test_opencv_uses_one_thread_and_keeps_quiet() -> None:
    assert cv2.getNumThreads() == 1
    assert cv2.utils.logging.getLogLevel() == cv2.utils.logging.LOG_LEVEL_SILENT
