"""Pictures inside the page: small, and as text that needs no second file."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nunbit.errors import ShapeError

__all__ = ["Thumbnail", "make_thumbnail", "png_uri"]

TINY_SIDE_PX = 64
"""Up to this side a picture is kept pixel by pixel and enlarged with hard edges."""
THUMBNAIL_SIDE_PX = 160
"""Longest side of larger pictures in the page."""
JPEG_QUALITY = 82


@dataclass(frozen=True)
class Thumbnail:
    """A picture ready for ``<img src>``, with its size in the page's own pixels."""

    uri: str
    width: int
    height: int
    is_tiny: bool


def make_thumbnail(pixels: NDArray[np.uint8]) -> Thumbnail:
    """Make a picture small enough for the page.

    Tiny pictures go in without loss, since there every pixel counts.

    Shape:
        pixels: (H, W), (H, W, 1) or (H, W, 3) RGB, uint8; H, W >= 1.

    Raises:
        ShapeError: The pixels are something else.
    """
    import cv2

    pixels = np.asarray(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    is_picture = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if not is_picture or pixels.dtype != np.uint8 or pixels.size == 0:
        raise ShapeError(
            f"a picture of the report is {pixels.dtype} {pixels.shape}, expected uint8 "
            "(H, W) or (H, W, 3) RGB. Pass the decoded picture, before it is normalised."
        )
    height, width = pixels.shape[:2]
    if max(height, width) <= TINY_SIDE_PX:
        return Thumbnail(png_uri(pixels), width, height, is_tiny=True)
    scale = min(1.0, THUMBNAIL_SIDE_PX / max(height, width))
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return Thumbnail(
        _encode(small.astype(np.uint8, copy=False), "jpeg", options), width, height, is_tiny=False
    )


def png_uri(pixels: NDArray[np.uint8]) -> str:
    """Return a picture as a ``data:`` address, without loss.

    Shape:
        pixels: (H, W), (H, W, 3) RGB or (H, W, 4) RGBA, uint8.
    """
    import cv2

    return _encode(pixels, "png", [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _encode(pixels: NDArray[np.uint8], kind: str, options: list[int]) -> str:
    import cv2

    if pixels.ndim == 3:  # OpenCV writes BGR and BGRA
        pixels = pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]
    _, data = cv2.imencode(f".{kind}", np.ascontiguousarray(pixels), options)
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode('ascii')}"
