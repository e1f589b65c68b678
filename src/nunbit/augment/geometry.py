"""Where every pixel of an augmented picture comes from: one matrix for each picture.

Source: He et al. 2015, arXiv:1512.03385, section 4.2, for pad-and-crop; Szegedy et
al. 2014, arXiv:1409.4842, section 6, for random resized crops; Keras for the rest.
Departs: a crop that would reach beyond the picture is cut, not drawn again; its
place is no whole pixel; what lies beside it is seen where the picture then moves.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from nunbit.augment.affine import Floats, Movements
from nunbit.augment.draw import Column, Draws
from nunbit.augment.options import Augment
from nunbit.augment.policies import policy_matrices

__all__ = ["movements", "pull_matrices"]


def pull_matrices(augment: Augment, draws: Draws, *, height: int, width: int) -> Floats | None:
    """Return all movements of each picture as one matrix, or None where none is on.

    From the picture outwards: random resized crop, the movements of
    ``ImageDataGenerator``, those of a policy, pad-and-crop.

    Shape:
        returns: (B, 2, 3), from output (column, row, 1) to input (column, row).
    """
    parts: list[Floats] = []
    if augment.random_resized_crop is not None:
        parts.append(_crop(augment, draws, height=height, width=width))
    if augment.moves:
        moved = movements(augment, draws, height=height, width=width)
        parts.append(moved.pull_matrices(height=height, width=width))
    parts += policy_matrices(augment, draws, height=height, width=width)
    if augment.crop_padding:
        places = 2 * augment.crop_padding + 1
        steps = [draws.integers(c, places) for c in (Column.PADDING_COLUMN, Column.PADDING_ROW)]
        offset = np.stack(steps, 1).astype(np.float64) - augment.crop_padding
        parts.append(_straight(np.ones((len(draws), 2)), offset))
    return functools.reduce(_after, parts) if parts else None


def movements(augment: Augment, draws: Draws, *, height: int, width: int) -> Movements:
    """Draw the movements of ``ImageDataGenerator``."""
    turn, shear = augment.rotation_range, augment.shear_range
    off = np.zeros(len(draws), bool)
    return Movements(
        theta=draws.between(Column.THETA, -turn, turn),
        shear=draws.between(Column.SHEAR, -shear, shear),
        shift_columns=_shift(augment.width_shift_range, draws, Column.SHIFT_COLUMNS, width),
        shift_rows=_shift(augment.height_shift_range, draws, Column.SHIFT_ROWS, height),
        zoom_columns=draws.between(Column.ZOOM_COLUMNS, *augment.zoom),
        zoom_rows=draws.between(Column.ZOOM_ROWS, *augment.zoom),
        flip_columns=draws.chance(Column.FLIP_COLUMNS) if augment.horizontal_flip else off,
        flip_rows=draws.chance(Column.FLIP_ROWS) if augment.vertical_flip else off,
    )


def _shift(amount: float | tuple[float, ...], draws: Draws, column: Column, extent: int) -> Floats:
    """Draw steps in pixels from any form of a shift range."""
    if isinstance(amount, tuple):
        choices = np.asarray(amount, np.float64)
        scale = extent if abs(choices).max() < 1 else 1
        return np.asarray(choices[draws.integers(column, len(choices))] * scale)
    if isinstance(amount, int):  # n: the whole numbers between -n and n, without the ends
        if amount == 0:
            return np.zeros(len(draws))
        return (draws.integers(column, 2 * amount - 1) - (amount - 1)).astype(np.float64)
    reach = amount * extent if amount < 1 else amount
    return draws.between(column, -reach, reach)


def _crop(augment: Augment, draws: Draws, *, height: int, width: int) -> Floats:
    low, high = augment.random_resized_crop or (1.0, 1.0)
    area = draws.between(Column.CROP_AREA, low, high) * height * width
    aspect = np.exp(draws.between(Column.CROP_ASPECT, *map(math.log, augment.crop_aspect)))
    sides = np.stack(
        [np.minimum(np.sqrt(area * aspect), width), np.minimum(np.sqrt(area / aspect), height)], 1
    )
    places = np.stack([draws.unit(Column.CROP_COLUMN), draws.unit(Column.CROP_ROW)], 1)
    whole = np.array([width, height])
    scale = sides / whole
    # Pixels are squares: the left edge of pixel 0 lies at -0.5.
    return _straight(scale, places * (whole - sides) - 0.5 + 0.5 * scale)


def _straight(scale: Floats, offset: Floats) -> Floats:
    """Return matrices (B, 2, 3) without turn and shear."""
    matrices = np.zeros((len(scale), 2, 3))
    matrices[:, [0, 1], [0, 1]] = scale
    matrices[:, :, 2] = offset
    return matrices


def _after(inner: Floats, outer: Floats) -> Floats:
    """Return the matrices of ``inner`` followed by ``outer``, from output to input."""
    found = inner[:, :, :2] @ outer
    found[:, :, 2] += inner[:, :, 2]
    return found
