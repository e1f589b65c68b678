"""From a picture and its parameters to the picture moved: one warp, then single pixels.

Order, as in Keras: warp, channel shift, flips, brightness. Pictures here are
(H, W, C) whatever the data format of the caller is.

Departs: from Keras' code in what ``keras_code=False`` (the default of the drop-in)
says: the axes of the shifts, the centre, the edges, the brightness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nunbit.augment.affine import Movements
from nunbit.augment.warp import FillMode, warp
from nunbit.data.buffers import Scratch
from nunbit.errors import ShapeError
from nunbit.keras.draw import Parameters

__all__ = ["Transform", "shift_brightness", "shift_channels"]

Picture = NDArray[np.generic]

_NEUTRAL: dict[str, float] = {"theta": 0, "tx": 0, "ty": 0, "shear": 0, "zx": 1, "zy": 1}


@dataclass(frozen=True)
class Transform:
    """How parameters are applied to pictures."""

    fill_mode: FillMode
    cval: float
    order: int
    keras_code: bool
    """Whether to do as Keras' code does where it departs from its documentation."""
    channels_first: bool = False
    """Of the caller; Keras' code takes the last axis for channels when it brightens."""

    def matrices(
        self, parameters: Sequence[Parameters], *, height: int, width: int
    ) -> list[NDArray[np.float64] | None]:
        """Return the pull matrix (2, 3) of each picture, or None where it stays in place."""
        values = np.array(
            [[each.get(name, rest) for name, rest in _NEUTRAL.items()] for each in parameters],
            dtype=np.float64,
        ).reshape(len(parameters), len(_NEUTRAL))
        moves = (values != list(_NEUTRAL.values())).any(axis=1)
        if not moves.any():
            return [None] * len(parameters)
        theta, tx, ty, shear, zx, zy = values.T
        none = np.zeros(len(values), bool)
        movements = Movements(
            theta=theta,
            shear=shear,
            shift_columns=tx if self.keras_code else ty,
            shift_rows=ty if self.keras_code else tx,
            zoom_columns=zx,
            zoom_rows=zy,
            flip_columns=none,
            flip_rows=none,
        )
        swapped = (height / 2 - 0.5, width / 2 - 0.5)
        matrices = movements.pull_matrices(
            height=height, width=width, centre=swapped if self.keras_code else None
        )
        return [matrix if moved else None for matrix, moved in zip(matrices, moves, strict=True)]

    def apply(
        self,
        picture: Picture,
        parameters: Parameters,
        matrix: NDArray[np.float64] | None,
        *,
        top: float | None = None,
        scratch: Scratch | None = None,
    ) -> Picture:
        """Apply the parameters of one picture.

        Shape:
            picture: (H, W, C) of any number type; not changed.
            returns: (H, W, C); whole numbers become float32 where values change.
        Args:
            matrix: From :meth:`matrices`.
            top: White, for brightness; None = found from the picture.
            scratch: Where the result may lie; it then lasts until the next picture.
        """
        moved = picture if matrix is None else self._warp(picture, matrix, scratch)
        intensity = parameters.get("channel_shift_intensity")
        if intensity is not None:
            moved = shift_channels(moved, intensity)
        moved = _flip(
            moved,
            bool(parameters.get("flip_horizontal")),
            bool(parameters.get("flip_vertical")),
            scratch,
        )
        factor = parameters.get("brightness")
        if factor is None:
            return moved
        if self.keras_code and self.channels_first:
            return np.moveaxis(_brightness_8_bit(np.moveaxis(moved, 2, 0), factor), 0, 2)
        if self.keras_code:
            return _brightness_8_bit(moved, factor)
        return shift_brightness(moved, factor, top=top)

    def _warp(
        self, picture: Picture, matrix: NDArray[np.float64], scratch: Scratch | None
    ) -> Picture:
        source, out = np.ascontiguousarray(picture, dtype=np.float32), None
        if scratch is not None:
            source = scratch.array("source", picture.shape, np.float32)
            np.copyto(source, picture, casting="unsafe")
            out = scratch.array("moved", picture.shape, np.float32)
        moved = warp(
            source,
            matrix,
            fill_mode=self.fill_mode,
            cval=float(self.cval),
            order=self.order,
            keras_edges=self.keras_code,
            out=out,
        )
        floating = np.issubdtype(picture.dtype, np.floating)
        return moved.astype(picture.dtype, copy=False) if floating else moved


def _flip(picture: Picture, horizontal: bool, vertical: bool, scratch: Scratch | None) -> Picture:
    if not (horizontal or vertical):
        return picture
    if picture.dtype not in (np.uint8, np.float32) or picture.shape[2] > 4:
        turned = picture[:, ::-1] if horizontal else picture
        return turned[::-1] if vertical else turned
    axis = -1 if horizontal and vertical else 1 if horizontal else 0  # OpenCV's words for it
    out = None if scratch is None else scratch.array("turned", picture.shape, picture.dtype)
    return cv2.flip(np.ascontiguousarray(picture), axis, out).reshape(picture.shape)


def shift_channels(picture: Picture, intensity: float) -> Picture:
    """Add ``intensity`` to every channel, within the lowest and highest pixel that were there.

    Example:
        >>> shift_channels(np.array([[[0.0, 10.0, 200.0]]]), 30).tolist()
        [[[30.0, 40.0, 200.0]]]
    """
    low, high = picture.min(), picture.max()
    pixels = picture if np.issubdtype(picture.dtype, np.floating) else picture.astype(np.float32)
    return np.asarray(np.clip(pixels + intensity, low, high))  # type: ignore[operator]  # any number type


def shift_brightness(picture: Picture, factor: float, *, top: float | None = None) -> Picture:
    """Multiply by ``factor``, between black and white; a fourth channel is alpha and stays.

    Shape:
        picture: (H, W, C) of any number type.
        returns: the same, floating point.
    Args:
        top: White. None: 1 where no pixel lies outside 0..1, else 255; pictures that go
            below 0 or above 255 have their own lowest and highest pixel for black and white.
    Example:
        >>> shift_brightness(np.array([[[0.1, 0.6, 0.2]]]), 2.0).tolist()
        [[[0.2, 1.0, 0.4]]]
    """
    floating = np.issubdtype(picture.dtype, np.floating)
    pixels: NDArray[np.floating] = picture if floating else picture.astype(np.float32)  # type: ignore[assignment]
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 255:
        black, white = low, high
    else:
        black, white = 0.0, top if top is not None else (1.0 if high <= 1 else 255.0)
    bright: Picture = np.clip((pixels - black) * factor + black, black, white)
    if bright.shape[2] == 4:
        bright[:, :, 3] = pixels[:, :, 3]
    return bright


def _brightness_8_bit(picture: Picture, factor: float) -> Picture:
    """Do as Keras' code does: cast to 8 bits, blend with black, cast again."""
    channels = picture.shape[2]
    if channels not in (1, 3, 4):
        raise ShapeError(
            f"Unsupported channel number: {channels}. Brightness in Keras 3 takes 1, 3 or 4 "
            "channels on the last axis. Leave out `like`, or put channels last."
        )
    pixels = picture.astype(np.float32)
    low, high = pixels.min(), pixels.max()
    stretched = bool(low < 0 or high > 255)
    if stretched:
        pixels = pixels - low
        peak = pixels.max()
        pixels = pixels / (peak if peak != 0 else 1) * 255
    whole = pixels.astype(np.uint8)
    # Pillow computes in float32 and cuts off the fraction.
    bright = np.clip(whole.astype(np.float32) * np.float32(factor), 0, 255)
    bright = bright.astype(np.uint8).astype(np.float32)
    if channels == 4:
        bright[:, :, 3] = whole[:, :, 3]
    return np.asarray(bright / 255 * (high - low) + low) if stretched else bright
