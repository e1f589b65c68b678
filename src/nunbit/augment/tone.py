"""Changes of single pixels' values, on uint8 pictures, by OpenCV and NumPy.

Source: Keras for channel shift and brightness; Pillow's ``ImageEnhance`` and
``ImageOps``, which torchvision and the policies follow, for the others.
Departs: blends and stretches are rounded; Pillow cuts off what is behind the point
(as does brightness here, because Keras does). The hue is turned without rounding
it to 8 bits.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["SMOOTH", "Step", "Tone", "change"]

Bytes = NDArray[np.uint8]

SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
"""Pillow's filter SMOOTH, of which sharpness is the opposite."""
LEVELS = np.arange(256, dtype=np.float32)


class Tone(IntEnum):
    """What changes, and what its amount means."""

    NONE = 0
    CHANNEL_SHIFT = 1
    """Levels added to all channels."""
    BRIGHTNESS = 2
    """Factor; 0 = black."""
    CONTRAST = 3
    """Factor; 0 = all of the mean grey."""
    SATURATION = 4
    """Factor; 0 = grey."""
    HUE = 5
    """Share of the colour circle."""
    SHARPNESS = 6
    """Factor; 0 = smoothed."""
    POSTERIZE = 7
    """Bits that stay."""
    SOLARIZE = 8
    """Level from which on values are turned over."""
    AUTOCONTRAST = 9
    EQUALIZE = 10


class Step(NamedTuple):
    """One change of each picture of a batch."""

    kinds: NDArray[np.int64]
    """(B,) of :class:`Tone`."""
    amounts: NDArray[np.float64]
    """(B,)."""


def change(picture: Bytes, kind: Tone, amount: float) -> Bytes:
    """Return the picture with one change; colours change only where there are three channels.

    Shape:
        picture: uint8 (H, W, C), contiguous; not changed.
        returns: uint8 (H, W, C).
    """
    if kind == Tone.NONE:
        return picture
    if kind in (Tone.SATURATION, Tone.HUE) and picture.shape[2] != 3:
        return picture
    if kind == Tone.SATURATION:
        grey = cv2.cvtColor(_grey(picture), cv2.COLOR_GRAY2RGB)
        return _blend(picture, grey, amount)  # type: ignore[arg-type]  # cv2 stubs
    if kind == Tone.HUE:
        return _turn_hue(picture, amount)
    if kind == Tone.SHARPNESS:
        return _sharpen(picture, amount)
    return _like(picture, cv2.LUT(picture, _table(picture, kind, np.float32(amount))))


def _table(picture: Bytes, kind: Tone, amount: np.float32) -> Bytes:
    """Return what becomes of each level: (256,), or (1, 256, C) where channels differ."""
    if kind == Tone.CHANNEL_SHIFT:
        low, high = picture.min(), picture.max()
        shifted: Bytes = (
            np.floor(LEVELS + amount + np.float32(0.5)).clip(low, high).astype(np.uint8)
        )
        return shifted
    if kind == Tone.BRIGHTNESS:
        return (LEVELS * amount).clip(0, 255).astype(np.uint8)
    if kind == Tone.CONTRAST:
        grey = _grey(picture)
        mean = (2 * int(grey.sum(dtype=np.int64)) + grey.size) // (2 * grey.size)
        mixed = LEVELS * amount + (np.float32(1) - amount) * np.float32(mean)
        return mixed.round().clip(0, 255).astype(np.uint8)
    if kind == Tone.POSTERIZE:
        return LEVELS.astype(np.uint8) & np.uint8(256 - (1 << (8 - int(amount))))
    if kind == Tone.SOLARIZE:
        return np.where(amount <= LEVELS, 255 - LEVELS, LEVELS).astype(np.uint8)
    planes = np.moveaxis(picture, 2, 0)
    make = _stretch if kind == Tone.AUTOCONTRAST else _equalize
    return np.stack([make(plane) for plane in planes], 1)[None]


def _stretch(plane: Bytes) -> Bytes:
    low, high = np.float32(plane.min()), np.float32(plane.max())
    if low == high:
        return LEVELS.astype(np.uint8)
    scale = np.float32(255) / (high - low)
    return ((LEVELS - low) * scale).round().clip(0, 255).astype(np.uint8)


def _equalize(plane: Bytes) -> Bytes:
    counts = np.bincount(plane.ravel(), minlength=256)
    step = (plane.size - counts[np.flatnonzero(counts)[-1]]) // 255
    if step == 0:
        return LEVELS.astype(np.uint8)
    before = np.cumsum(counts) - counts
    table: Bytes = ((before + step // 2) // step).clip(0, 255).astype(np.uint8)
    return table


def _grey(picture: Bytes) -> Bytes:
    """Return the luminance (H, W) of a colour picture; other channels as they are."""
    if picture.shape[2] != 3:
        return picture
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]  # cv2


def _blend(picture: Bytes, other: Bytes, factor: float) -> Bytes:
    return _like(picture, cv2.addWeighted(picture, factor, other, 1 - factor, 0))


def _like(picture: Bytes, found: Any) -> Bytes:
    """Give a result of OpenCV, which drops a single channel, the shape of the picture."""
    shaped: Bytes = found.reshape(picture.shape)
    return shaped


def _turn_hue(picture: Bytes, amount: float) -> Bytes:
    colours = cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_RGB2HSV)
    colours[:, :, 0] = (colours[:, :, 0] + 360 * amount) % 360
    return cv2.cvtColor(colours, cv2.COLOR_HSV2RGB).round().clip(0, 255).astype(np.uint8)


def _sharpen(picture: Bytes, factor: float) -> Bytes:
    if min(picture.shape[:2]) < 3:
        return picture
    smooth = picture.copy()
    inner = cv2.filter2D(picture, -1, SMOOTH).reshape(picture.shape)
    smooth[1:-1, 1:-1] = inner[1:-1, 1:-1]
    return _blend(picture, smooth, factor)
