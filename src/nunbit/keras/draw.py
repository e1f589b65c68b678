"""Random parameters of one picture, drawn in Keras' order from NumPy's old generator.

The order decides what a seed gives, so that an experiment with a seed sees the same
pictures here as there. A line that is switched off draws nothing, but for the flips,
which are drawn always: rotation, shift by ``height_shift_range`` (``tx``), shift by
``width_shift_range`` (``ty``), shear, two zooms, two flips, channel shift, brightness.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nunbit.errors import OptionError

__all__ = ["Parameters", "Ranges", "global_draws"]

Parameters = dict[str, Any]
"""``theta, tx, ty, shear, zx, zy, flip_horizontal, flip_vertical, channel_shift_intensity,
brightness``: angles in degrees, shifts in pixels, None where a change is switched off."""

Shift = float | int | Sequence[float]


def global_draws() -> np.random.RandomState:
    """Return the generator behind ``numpy.random.uniform`` and its like."""
    return np.random.mtrand._rand  # scikit-learn takes it from there too


@dataclass(frozen=True)
class Ranges:
    """How far pictures are moved, as ``ImageDataGenerator`` was told."""

    rotation_range: float
    width_shift_range: Shift
    height_shift_range: Shift
    brightness_range: Sequence[float] | None
    shear_range: float
    zoom_range: Sequence[float]
    channel_shift_range: float
    horizontal_flip: bool
    vertical_flip: bool
    like_code: bool
    """Whether arguments that the documentation does not foresee are read as Keras' code does."""

    def draw(self, *, height: int, width: int, rng: np.random.RandomState) -> Parameters:
        """Draw the parameters of one picture.

        Args:
            height: Rows of the picture; shifts below 1 are shares of it.
            width: Columns of the picture, likewise.
        """
        theta = _either_way(self.rotation_range, rng)
        tx = self._shift("height_shift_range", height, rng)
        ty = self._shift("width_shift_range", width, rng)
        shear = _either_way(self.shear_range, rng)
        low, high = self.zoom_range
        zx, zy = (1, 1) if low == 1 and high == 1 else rng.uniform(low, high, 2)
        flip_horizontal = int((rng.random_sample() < 0.5) and self.horizontal_flip)
        flip_vertical = int((rng.random_sample() < 0.5) and self.vertical_flip)
        change = self.channel_shift_range
        bright = self.brightness_range
        return {
            "theta": theta,
            "tx": tx,
            "ty": ty,
            "shear": shear,
            "zx": zx,
            "zy": zy,
            "flip_horizontal": flip_horizontal,
            "flip_vertical": flip_vertical,
            "channel_shift_intensity": rng.uniform(-change, change) if change != 0 else None,
            "brightness": rng.uniform(bright[0], bright[1]) if bright is not None else None,
        }

    def _shift(self, name: str, extent: int, rng: np.random.RandomState) -> float:
        amount: Any = getattr(self, name)
        if isinstance(amount, np.ndarray):
            if self.like_code and amount.size > 1:
                raise OptionError(
                    f"`{name}` is an array of {amount.size} numbers, which Keras 3 does not take. "
                    f"Pass `{name}={amount.tolist()}`, or leave out `like`."
                )
            amount = amount.tolist()
        if not amount:
            return 0.0
        if isinstance(amount, numbers.Integral):  # True is 1, which moves nothing
            pixels = int(amount)
            if pixels > 0 or not self.like_code:
                return float(rng.choice(abs(pixels)) * rng.choice([-1, 1]))
        elif isinstance(amount, (list, tuple)):
            chosen, sign = float(rng.choice(amount)), int(rng.choice([-1, 1]))
            chosen = chosen * sign if self.like_code else chosen  # drawn in both, to stay in step
            return chosen * extent if np.max(amount) < 1 else chosen
        moved = float(rng.uniform(-amount, amount))
        return moved * extent if amount < 1 else moved


def _either_way(amount: float, rng: np.random.RandomState) -> float:
    return rng.uniform(-amount, amount) if amount else 0.0
